// AuditTests.swift: receipts run again by the node that wrote them, whatever the length of the prompt, the size of the
// chunks that it is read in and the jobs that come between; what is wrong is found, and what could not run is said.
// The first suite drives scheduler, transcripts and engine without a node, so that it chooses who is preempted and how.
import Control
import Foundation
import Grammar
import Inference
import Intake
import JSON
import Receipts
import Scheduling
import Synchronization
import TestSettings
import Testing
import Tools

@testable import Node

private let ignore: AnswerSink = { _ in }

/// A scheduler over one engine loop; its clock counts calls.
private final class Machine: Sendable {
  let serving: Serving
  let transcripts = Transcripts()
  private let inner: Mutex<Inner>
  private let loop = Mutex<EngineLoop?>(nil)
  private let idle = DispatchSemaphore(value: 0)

  struct Ended: Sendable {
    let job: JobID
    let outcome: Outcome
  }

  private struct Inner {
    var scheduler: Scheduler
    var clock: Microseconds = 0
    /// Jobs to come when an audit has had so many steps.
    var interlopers: [(after: Int, job: Job)] = []
    var auditSteps = 0
    var audits: Set<JobID> = []
    var alive: Set<JobID> = []
    var ended: [Ended] = []
    var differences: [String: String] = [:]
    var preemptions: [Preemption: Int] = [:]
    var failure: String?
    /// Tokens that steps computed as guesses, and those of them that were right.
    var guessed = (all: 0, right: 0)
    /// How often a sequence sat out a step because its mask was being found.
    var awaited = 0
  }

  init(_ serving: Serving, _ limits: Limits) throws {
    self.serving = serving
    inner = Mutex(Inner(scheduler: try Scheduler(limits)))
    let made = EngineLoop(
      engine: serving.engine, transcripts: transcripts,
      node: EngineLoop.Node(
        nextStep: { [weak self] in self?.plan() },
        report: { [weak self] number, results, took in self?.stepped(number, results, took) },
        nextDeadline: { nil },
        failed: { [weak self] words in
          self?.inner.withLock { $0.failure = words }
          self?.idle.signal()
        },
        audited: { [weak self] transcript in
          guard let self, let audit = transcript.audit else { return }
          let words = transcript.difference(facts: self.serving.facts).map { "\($0)" } ?? "identical"
          inner.withLock { $0.differences[audit.id] = words }
        },
        together: { $0() }))
    loop.withLock { $0 = made }
    made.start()
  }

  private func plan() -> StepPlan? {
    inner.withLock { inner in
      inner.clock += 1_000
      while let next = inner.interlopers.first, inner.auditSteps >= next.after {
        inner.interlopers.removeFirst()
        submit(next.job, &inner)
      }
      let plan = inner.scheduler.plan(at: inner.clock)
      note(plan.effects, &inner)
      if plan.entries.contains(where: { inner.audits.contains($0.job) }) { inner.auditSteps += 1 }
      inner.guessed.all += plan.entries.reduce(0) { $0 + ($1.guessed ?? 0) }
      return plan
    }
  }

  private func submit(_ job: Job, _ inner: inout Inner) {
    guard case .queued = inner.scheduler.submit(job, verdict: .admit, at: inner.clock) else {
      inner.failure = "job \(job.id.hex) was refused"
      return
    }
    inner.alive.insert(job.id)
    if job.origin == .audit { inner.audits.insert(job.id) }
  }

  private func stepped(_ number: UInt64, _ results: [Scheduling.StepResult], _ took: Microseconds) {
    inner.withLock { inner in
      inner.clock += took
      inner.awaited += results.count { $0.kind == .later }
      inner.guessed.right += results.reduce(0) { $0 + max(0, $1.tokens - 1) }
      guard let effects = try? inner.scheduler.stepped(number, results, took: took, at: inner.clock) else {
        inner.failure = "step \(number) does not fit"
        return
      }
      note(effects, &inner)
    }
  }

  private func note(_ effects: [Effect], _ inner: inout Inner) {
    for effect in effects {
      switch effect {
      case .preempted(_, let how), .evicted(_, let how): inner.preemptions[how, default: 0] += 1
      case .ended(let end):
        inner.ended.append(Ended(job: end.job, outcome: end.outcome))
        inner.alive.remove(end.job)
        if inner.alive.isEmpty { idle.signal() }
      default: break
      }
    }
  }

  /// Runs jobs to their end; the later ones come when an audit among the first has had so many steps.
  func run(_ jobs: [Job], then interlopers: [(after: Int, job: Job)] = []) throws -> [Ended] {
    inner.withLock { inner in
      inner.auditSteps = 0
      inner.ended = []
      inner.interlopers = interlopers
      for job in jobs { submit(job, &inner) }
    }
    loop.withLock { $0?.signal() }
    repeat {
      try #require(idle.wait(timeout: .now() + 300) == .success, "the jobs did not end within 5 minutes")
      try #require(inner.withLock { $0.failure } == nil)
    } while inner.withLock { !$0.alive.isEmpty }
    return inner.withLock { $0.ended }
  }

  var preemptions: [Preemption: Int] { inner.withLock { $0.preemptions } }
  var guessed: (all: Int, right: Int) { inner.withLock { $0.guessed } }
  var awaited: Int { inner.withLock { $0.awaited } }
  func difference(_ id: String) -> String? { inner.withLock { $0.differences[id] } }
  func stop() { loop.withLock { $0 }?.stop() }
}

@Suite(.serialized) struct AuditTests {
  private static let outputs = 40

  private func serving(_ folder: ScratchDirectory) throws -> Serving {
    let path = folder.path + "/small.gguf"
    try SmallModel.write(to: path)
    return try Serving.load(
      ModelFile(name: "small", path: path),
      configuration: NodeConfiguration(file: "test", text: "{ threads: 2, kv_tokens: 8192 }"))
  }

  private func prepared(
    _ serving: Serving, _ number: UInt64, prompt: Int, outputs: Int, sampler: String, _ dice: inout Dice
  ) throws -> Serving.Prepared {
    let tokens = (0..<prompt).map { _ in Int.random(in: 0..<256, using: &dice) }
    let body =
      "{\"model\":\"small\",\"prompt\":[\(tokens.map(String.init).joined(separator: ","))],\"max_tokens\":\(outputs),\"ignore_eos\":true,\(sampler)}"
    let asked = try Dialect.openAICompletions.read(JSONText.parse(Array(body.utf8)))
    return try serving.prepare(
      asked.request, id: JobID(number), identity: .known("aria"), origin: .client, isAsynchronous: false,
      sink: { _ in ignore })
  }

  private func job(_ request: JobRequest) -> Job {
    Job(
      id: request.id, client: ClientID(request.identity.name), model: request.model,
      origin: request.origin.scheduling, promptTokens: request.promptTokens,
      maxOutputTokens: request.outputLimit, prefix: request.prefix)
  }

  /// What the node keeps of a job that was done.
  private func kept(_ transcript: Node.Transcript, _ serving: Serving) -> KeptTranscript {
    let output = transcript.output
    let receipt = transcript.receipt(
      Seal(
        job: transcript.id, client: "aria", promptTokens: transcript.prompt.count, cachedTokens: 0,
        completionTokens: output.count, outputLimit: output.count, finish: .length, submitted: 1, started: 1,
        firstToken: 1, ended: 2, price: .free, amount: .zero, day: 0),
      facts: serving.facts, node: "", currency: "EUR")
    return KeptTranscript(
      id: "receipt \(transcript.id.rawValue)", job: transcript.id, receipt: receipt,
      prompt: transcript.prompt,
      output: output, terms: transcript.terms, promptText: "", answer: "", sampling: transcript.sampling,
      nonces: transcript.nonces,
      until: .max)
  }

  private static let samplers = [
    "\"temperature\":0", "\"temperature\":1,\"seed\":7",
    "\"temperature\":0.8,\"seed\":9,\"frequency_penalty\":0.5,\"repetition_penalty\":1.1,\"logit_bias\":{\"65\":2}",
  ]

  @Test(arguments: [Preemption.keep, .swap, .recompute])
  func everyLengthOfPromptIsTheSameBitsWhateverComesBetween(_ how: Preemption) throws {
    let folder = try ScratchDirectory()
    let serving = try serving(folder)
    var dice = Dice(state: 3)
    var lengths = [1, 2, 31, 84, 161, 212, 392, 2_000]
    // Half of so many blocks fit on the host.
    if how != .swap { lengths.append(8_000) }
    var number: UInt64 = 1
    for (turn, length) in lengths.enumerated() {
      let needed = (length + Self.outputs) / Limits.blockSize + 2
      // Whoever comes wants all blocks, unless nobody is to be moved out.
      var limits = Limits(blocks: how == .keep ? 512 : needed, contextLength: 8_192)
      limits.hostBlocks = how == .swap ? needed : 0
      limits.swapBlockTime = 0
      limits.maxRunning = 4
      limits.maxStepTokens = max(10, min(500, length / 5))
      let machine = try Machine(serving, limits)
      let client = try prepared(
        serving, number, prompt: length, outputs: Self.outputs, sampler: Self.samplers[turn % 3], &dice)
      machine.transcripts.add(client.transcript)
      let ends = try machine.run([job(client.job)])
      #expect(ends.map(\.outcome) == [.done(.length)])
      let kept = kept(client.transcript, serving)

      var others: [(after: Int, job: Job)] = []
      for after in [2, 3] {
        number += 1
        let other = try prepared(
          serving, number, prompt: needed * Limits.blockSize - 8, outputs: 3, sampler: Self.samplers[0],
          &dice)
        machine.transcripts.add(other.transcript)
        others.append((after, job(other.job)))
      }
      number += 1
      let audit = try #require(serving.prepareAudit(of: kept, id: JobID(number), sink: ignore))
      machine.transcripts.add(audit.transcript)
      let found = try machine.run([job(audit.job)], then: others)
      #expect(found.first { $0.job == audit.job.id }?.outcome == .done(.length))
      #expect(found.count == 3, "a prompt of \(length) is read in too few steps for others to come between")
      #expect(machine.difference(kept.id) == "identical", "a prompt of \(length)")
      #expect(machine.preemptions[how] ?? 0 > 0, "\(machine.preemptions) for a prompt of \(length)")
      machine.stop()
      number += 1
    }
  }

  private static let schema =
    "{\"type\":\"object\",\"properties\":{\"a\":{\"enum\":[\"x\",\"yy\"]},\"n\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":99},\"s\":{\"type\":\"string\",\"maxLength\":6},\"l\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"maxItems\":3}},\"required\":[\"a\",\"n\",\"s\",\"l\"],\"additionalProperties\":false}"

  private static let tools = #"""
    "tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{
    "city":{"enum":["Paris","Rome"]},"days":{"type":"integer","minimum":1,"maximum":9}},
    "required":["city","days"],"additionalProperties":false}}},
    {"type":"function","function":{"name":"stop","parameters":{"type":"object","properties":{},
    "additionalProperties":false}}}]
    """#

  /// A member that constrains a completion or, of a chat, calls that are demanded. Empty: none.
  private static let fields: [(name: String, member: String, isChat: Bool)] = [
    (
      "schema",
      "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":\(schema)}}",
      false
    ),
    ("expression", "\"guided_regex\":\"(ab|c)+\\\\.[0-9]{3}\"", false),
    ("choice", "\"guided_choice\":[\"one\",\"two\",\"日\"]", false),
    ("grammar", "\"grammar\":\"root ::= \\\"(\\\" root? \\\")\\\"\"", false),
    ("nothing", "", false),
    ("tools", tools + ",\"tool_choice\":\"required\"", true),
    (
      "a named tool",
      tools + ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"get_weather\"}}", true
    ),
    ("tools, one call", tools + ",\"tool_choice\":\"required\",\"parallel_tool_calls\":false", true),
  ]

  /// The calls in an answer, as the node reads it.
  private func calls(in answer: String, _ serving: Serving) throws -> [AnsweredCall] {
    let offered = ["get_weather", "stop"].map { ToolDefinition(name: $0, parameters: [:]) }
    var parser = try #require(serving.messages.parser(offered, prompt: ""))
    var calls: [AnsweredCall] = []
    for event in parser.feed(answer) + parser.finish(isCut: false) {
      switch event {
      case .call(_, let id, let name): calls.append(AnsweredCall(id: id ?? "", name: name))
      case .arguments(let index, let piece): calls[index].arguments += piece
      case .content, .reasoning, .finished: break
      }
    }
    return calls
  }

  @Test(arguments: [Preemption.keep, .swap, .recompute])
  func constrainedAnswersAreValidAndTheSameWhenRunAgain(_ how: Preemption) throws {
    let folder = try ScratchDirectory()
    let serving = try serving(folder)
    let machine = try Reexecutor(path: folder.path + "/small.gguf", threads: 2)
    var dice = Dice(state: 11)
    // Without room for two long answers at once, unless memory is kept.
    var limits = Limits(blocks: how == .keep ? 512 : 80, contextLength: 8_192)
    limits.hostBlocks = how == .swap ? 128 : 0
    limits.swapBlockTime = 0
    limits.maxRunning = 8
    limits.maxStepTokens = 64
    let loop = try Machine(serving, limits)
    let shared = (0..<48).map { _ in Int.random(in: 0..<256, using: &dice) }
    var (answers, refused, called) = (0, 0, 0)
    var kinds: [String: Int] = [:]
    let each = 2 * Self.fields.count
    // 10,080 answers over the three ways.
    for round in 0..<(isHeavy ? 210 : 1) {
      var prepared: [(field: String, isChat: Bool, job: Serving.Prepared)] = []
      for number in (each * round)..<(each * round + each) {
        let field = Self.fields[number % Self.fields.count]
        // Some prompts begin alike, so that blocks are found in the cache.
        let own = (0..<Int.random(in: 3...150, using: &dice)).map { _ in Int.random(in: 0..<256, using: &dice)
        }
        let prompt = (number % 3 == 0 ? shared : []) + own
        let asks =
          field.isChat
          ? "\"messages\":[{\"role\":\"user\",\"content\":\"\(own.prefix(60).map { String($0, radix: 36) }.joined())\"}]"
          : "\"prompt\":[\(prompt.map(String.init).joined(separator: ","))]"
        let body =
          "{\"model\":\"small\",\(asks),\"max_tokens\":400,\(Self.samplers[number % 3])\(field.member.isEmpty ? "" : "," + field.member)}"
        let dialect = field.isChat ? Dialect.openAIChat : .openAICompletions
        let asked = try dialect.read(JSONText.parse(Array(body.utf8)))
        let made = try serving.prepare(
          asked.request, id: JobID(UInt64(number + 1)), identity: .known("aria"), origin: .client,
          isAsynchronous: false, sink: { _ in ignore })
        loop.transcripts.add(made.transcript)
        prepared.append((field.name, field.isChat, made))
      }
      let ends = try loop.run(prepared.map { job($0.job.job) })
      for (index, own) in prepared.enumerated() {
        let transcript = own.job.transcript
        let source = transcript.terms.constraint
        let outcome = ends.first { $0.job == transcript.id }?.outcome
        if let source {
          let constraint = try Constraint(source)
          var state = ConstraintState(constraint)
          let text = Array(transcript.answer.utf8)
          let isBegun = state.advance(text)
          #expect(isBegun, "\(own.field): \(transcript.answer)")
          if outcome == .done(.stop) {
            let isComplete = state.isComplete
            #expect(isComplete, "\(own.field): \(transcript.answer)")
            if own.isChat {
              let calls = try calls(in: transcript.answer, serving)
              #expect(!calls.isEmpty, "\(own.field): \(transcript.answer)")
              if own.field == "a named tool" { #expect(calls.allSatisfy { $0.name == "get_weather" }) }
              if own.field == "tools, one call" { #expect(calls.count == 1) }
              called += calls.count
            }
          }
        }
        let kept = kept(transcript, serving)
        #expect(kept.receipt.version == (own.isChat ? 4 : source == nil ? 2 : 3))
        #expect(source != nil || own.field == "nothing")
        // The node's own audit, and another machine with the client's transcript.
        let audit = try #require(
          serving.prepareAudit(of: kept, id: JobID(UInt64(1_000_000 + each * round + index)), sink: ignore))
        loop.transcripts.add(audit.transcript)
        _ = try loop.run([job(audit.job)])
        #expect(loop.difference(kept.id) == "identical", "\(own.field)")
        func transcribed(_ output: [Int32]) -> Receipts.Transcript {
          Receipts.Transcript(
            nonces: transcript.nonces, prompt: transcript.prompt.map { UInt32(bitPattern: $0) },
            output: output.map { UInt32(bitPattern: $0) },
            biases: transcript.sampling.logitBias.map { Receipts.Transcript.Bias($0) },
            constraint: source.map { Receipts.Transcript.Constraint($0) })
        }
        let client = transcribed(transcript.output)
        #expect(try Receipts.Transcript(parsing: client.text) == client)
        if source != nil { #expect(client.constraintCommitment == kept.receipt.constraint) }
        let found = try machine.run(kept.receipt, client)
        #expect(found.firstDifference(from: kept.receipt, output: client.output) == nil, "\(own.field)")
        answers += 1
        kinds[own.field, default: 0] += 1
        if source != nil {
          // One token that the constraint does not allow.
          var edited = transcript.output
          edited[0] = 0
          let other = transcribed(edited)
          let wrong = try machine.run(kept.receipt, other)
          let difference = wrong.firstDifference(from: kept.receipt, output: other.output)
          guard case .token(position: 0, sampler: _, receipt: 0) = difference else {
            Issue.record("\(own.field): \(difference.map { "\($0)" } ?? "an edited answer passes")")
            continue
          }
          refused += 1
        }
      }
    }
    let counted = kinds.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    print(
      "constrained, \(how): \(answers) answers run again (\(counted)), \(called) calls; \(refused) edited ones refused; preempted \(loop.preemptions); \(loop.guessed.right) of \(loop.guessed.all) guessed tokens right; \(loop.awaited) steps sat out"
    )
    #expect(called > 0)
    // What bytes alone can follow is known beforehand, where every token is a byte.
    #expect(loop.guessed.right > 0)
    // Masks are found beside the engine.
    #expect(loop.awaited > 0)
    if isHeavy, how != .keep { #expect(loop.preemptions[how] ?? 0 >= 20) }
    loop.stop()
  }

  @Test func aConstraintThatCannotBeHeldIsRefusedByItsPlace() throws {
    let folder = try ScratchDirectory()
    let serving = try serving(folder)
    for (field, words) in [
      (
        "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"properties\":{\"a\":{\"not\":{}}}}}}",
        "'response_format.json_schema.schema': 'not' is not supported, at /properties/a/not"
      ),
      ("\"grammar\":\"root ::= x\"", "'grammar': the rule 'x' is not defined, at line 1, column 10"),
      (
        "\"guided_regex\":\"a(?=b)\"",
        "'guided_regex': the expression has a lookahead or lookbehind, which is not supported (character 4)"
      ),
    ] {
      let asked = try Dialect.openAICompletions.read(
        JSONText.parse(Array("{\"model\":\"small\",\"prompt\":[1],\(field)}".utf8)))
      do throws(Refusal) {
        _ = try serving.prepare(
          asked.request, id: JobID(1), identity: .known("aria"), origin: .client, isAsynchronous: false,
          sink: { _ in ignore })
        Issue.record("\(field) is taken")
      } catch {
        let said = APIError(error, in: OpenAIChat.fieldNames)
        #expect(said.message == words)
        #expect(said.parameter == String(words.dropFirst().prefix { $0 != "'" }))
      }
    }
  }

  @Test func whatWasTamperedWithIsNamed() throws {
    let folder = try ScratchDirectory()
    let serving = try serving(folder)
    var dice = Dice(state: 5)
    var limits = Limits(blocks: 512, contextLength: 8_192)
    limits.maxStepTokens = 100
    let machine = try Machine(serving, limits)
    let client = try prepared(
      serving, 1, prompt: 392, outputs: Self.outputs, sampler: "\"temperature\":1,\"seed\":7", &dice)
    machine.transcripts.add(client.transcript)
    _ = try machine.run([job(client.job)])
    let good = kept(client.transcript, serving)

    func altered(
      _ id: String, prompt: [Int32]? = nil, output: [Int32]? = nil,
      _ change: (inout Receipts.Receipt) -> Void = { _ in }
    ) -> KeptTranscript {
      var receipt = good.receipt
      change(&receipt)
      return KeptTranscript(
        id: id, job: good.job, receipt: receipt, prompt: prompt ?? good.prompt, output: output ?? good.output,
        promptText: "", answer: "", sampling: good.sampling, nonces: good.nonces, until: .max)
    }
    var prompt = good.prompt
    prompt[5] = (prompt[5] + 1) % 256
    var output = good.output
    output[35] = (output[35] + 1) % 256
    let cases: [(kept: KeptTranscript, words: String)] = [
      (altered("prompt", prompt: prompt), "token "),
      (altered("output", output: output), "token 35: the sampler gives "),
      (altered("window") { $0.windows[1] = .zero }, "tokens 32 to 39: the hidden states differ"),
      (altered("windows") { $0.windows.removeLast() }, "tokens 32 to 39: the hidden states differ"),
      (altered("none"), "identical"),
    ]
    for (number, wanted) in cases.enumerated() {
      let audit = try #require(
        serving.prepareAudit(of: wanted.kept, id: JobID(UInt64(number) + 10), sink: ignore))
      machine.transcripts.add(audit.transcript)
      _ = try machine.run([job(audit.job)])
      let found = machine.difference(wanted.kept.id) ?? "no result"
      #expect(found.hasPrefix(wanted.words), "\(wanted.kept.id): \(found)")
    }
    machine.stop()
  }

  @Test func aFailedAuditSaysItsWindowAndItsToken() {
    let zero = SHA256Digest.zero
    let cases: [(Reexecution.Difference, placed: String, kept: String)] = [
      (
        .token(position: 35, sampler: 7, receipt: 8),
        "window 1, token 35: the sampler gives 7, the receipt says 8",
        "window 1, token 35"
      ),
      (
        .window(from: 64, to: 70), "window 2, tokens 64 to 70: the hidden states differ",
        "window 2, tokens from 64 on: the hidden states differ"
      ),
      (
        .model(found: zero, receipt: zero),
        "the model's SHA-256 is \(zero), the receipt says \(zero)", "the model differs"
      ),
    ]
    for (difference, placed, kept) in cases {
      #expect(difference.placed == placed)
      #expect(difference.audit(of: 3).words == kept)
    }
  }
}

/// What an operator sees of audits that do not come to a result.
@Suite struct AuditStateTests {
  private func node() throws -> ScriptedNode {
    let node = try ScriptedNode()
    _ = node.submit(1)
    while node.step() {}
    #expect(node.audit("r0") == .unaudited)
    return node
  }

  @Test func anAuditThatCannotRunIsSaidCountedAndLogged() throws {
    let node = try node()
    node.startAudit(of: "r0", job: 0xA0D1)
    #expect(node.audit("r0") == .running)
    _ = node.step(failing: "item 0 of the step: too long")
    #expect(node.audit("r0") == .notRun("item 0 of the step: too long"))
    let snapshot = node.snapshot()
    #expect(snapshot.receipts.auditsNotRun == 1)
    #expect(snapshot.receipts.audited == 0 && snapshot.receipts.failed == 0)
    #expect(snapshot.node.alarms == ["audits do not run: item 0 of the step: too long"])
    #expect(
      snapshot.log.last?.text == "the audit of receipt r0 failed to run: item 0 of the step: too long")
    #expect(
      node.records.last == .audit(Audit(receipt: 0, outcome: .notRun)))
    var state = node.state
    #expect(state.metrics(at: node.now).contains("hotpot:receipts_audits_not_run{model_name=\"m\"} 1\n"))
    // The next one that runs ends the alarm, and the count goes back.
    node.startAudit(of: "r0", job: 0xA0D2)
    #expect(node.audit("r0") == .running)
    node.send(.audited(receipt: "r0", .audited))
    #expect(node.snapshot().receipts.auditsNotRun == 0)
    #expect(node.snapshot().receipts.audited == 1)
    #expect(node.snapshot().node.alarms.isEmpty)
  }

  @Test func oneThatIsEndedLeavesTheReceiptAsItWas() throws {
    let node = try node()
    let id = node.startAudit(of: "r0", job: 0xA0D1)
    #expect(node.act(.cancel(jobs: [id.hex])) == .done("cancelled 1 job"))
    #expect(node.audit("r0") == .unaudited)
    node.send(.audited(receipt: "r0", .audited))
    // Looked at again, and once more in vain: what was found stands, and counts once.
    for job in [UInt64(0xA0D2), 0xA0D3] {
      node.startAudit(of: "r0", job: job)
      #expect(node.audit("r0") == .running)
      _ = node.step(failing: "no memory")
      #expect(node.audit("r0") == .audited)
    }
    let again = node.startAudit(of: "r0", job: 0xA0D4)
    node.send(.audited(receipt: "r0", .audited))
    node.send(.cancelledByClient(again))
    #expect(node.audit("r0") == .audited)
    #expect(node.snapshot().receipts.audited == 1)
    #expect(node.snapshot().receipts.auditsNotRun == 0)
  }

  @Test func theEngineOrAnotherModelEndsIt() throws {
    for event in [NodeEvent.engineFailed("broke"), .engineReady(ScriptedNode.facts)] {
      let node = try node()
      node.startAudit(of: "r0", job: 0xA0D1)
      _ = node.state.nextStep(at: node.now)
      node.send(event)
      #expect(node.audit("r0") == .unaudited)
      #expect(!node.snapshot().jobs.contains { !$0.state.hasEnded })
    }
  }

  @Test func aRestartShowsWhatTheJournalSaysOfIt() throws {
    let scratch = try ScratchDirectory()
    let opened = try Journal.open(state: scratch.path, time: 1)
    for job in UInt64(0)..<4 {
      var receipt = Receipts.Receipt()
      receipt.job = job
      receipt.client = "aria"
      receipt.model = "m"
      try opened.journal.append([.receipt(receipt)], at: 1)
    }
    try opened.journal.append(
      [
        .audit(Audit(receipt: 1, outcome: .notRun)), .audit(Audit(receipt: 2, outcome: .identical)),
        // It takes nothing from what was found before.
        .audit(Audit(receipt: 2, outcome: .notRun)), .audit(Audit(receipt: 3, outcome: .notRun)),
        .audit(Audit(receipt: 3, outcome: .identical)),
      ], at: 2)
    opened.journal.close()
    let journal = try Journal.open(state: scratch.path, time: 3).journal
    let node = try ScriptedNode()
    let recent = try (0..<4).map { try journal.receipt(at: $0) }
    #expect(node.state.restore(from: journal.catalog(), recent: recent, at: node.now).isEmpty)
    let words = "before the node's last start; its log of then says why"
    let rows = node.snapshot().receipts.recent.sorted { $0.index < $1.index }
    #expect(rows.map(\.audit) == [.unaudited, .notRun(words), .audited, .audited])
    #expect(node.snapshot().receipts.audited == 2)
    #expect(node.snapshot().receipts.auditsNotRun == 1)
    journal.close()
  }
}

/// A node that audits everything, as its operator sees it.
@Suite(.serialized) struct AuditedNodeTests {
  @Test func longPromptsAreAuditedWhileOthersCome() throws {
    let scratch = try ScratchDirectory()
    let path = scratch.path + "/small.gguf"
    try SmallModel.write(to: path)
    let node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(
          file: "test",
          text: "{ threads: 2, kv_tokens: 4096, http: { listen: 'none' }, audits: { share: 1 } }"),
        stateDirectory: scratch.path + "/state", version: "0"
      ) { (_) throws(ServingError) in ModelFile(name: "small", path: path) })
    try node.start()
    defer {
      node.stop(drain: false, by: "test")
      node.waitUntilStopped()
    }
    func wait(_ seconds: Int, _ condition: (NodeSnapshot) -> Bool) -> Bool {
      for _ in 0..<(seconds * 50) {
        if condition(node.snapshot()) { return true }
        usleep(20_000)
      }
      return false
    }
    try #require(wait(60) { $0.node.state == .serving })
    var dice = Dice(state: 17)
    func submit(prompt: Int, _ outputs: Int) throws {
      let tokens = (0..<prompt).map { _ in Int.random(in: 0..<256, using: &dice) }
      let body =
        "{\"model\":\"small\",\"prompt\":[\(tokens.map(String.init).joined(separator: ","))],\"max_tokens\":\(outputs),\"ignore_eos\":true}"
      let asked = try Dialect.openAICompletions.read(Array(body.utf8), atMost: 1 << 20)
      _ = try node.admission.admit(asked.request, id: Admission.makeJobID(), from: .operator) { _ in ignore }
    }
    let lengths = [1, 2, 31, 84, 161, 212, 392, 2_000]
    for length in lengths { try submit(prompt: length, 36) }
    var count = lengths.count
    try #require(wait(120) { $0.receipts.logged == .value(count) })
    // Others come while audits run.
    for _ in 0..<3 {
      _ = wait(5) { $0.jobs.contains { $0.origin == .audit && $0.state == .running } }
      try submit(prompt: 3_000, 4)
      count += 1
    }
    #expect(wait(240) { $0.receipts.audited == count })
    var receipts = node.snapshot().receipts
    #expect(receipts.failed == 0 && receipts.auditsNotRun == 0)
    #expect(receipts.recent.allSatisfy { $0.audit == .audited })
    #expect(node.snapshot().node.alarms.isEmpty)

    // Verified at an operator's word, by the beginning of its id: counted once.
    let long = try #require(receipts.recent.first { $0.promptTokens == 2_000 })
    let beginning = String(long.id.prefix(8))
    #expect(
      node.receipts.verify(receipt: beginning)
        == .done("verifying receipt \(beginning) when the engine is idle"))
    #expect(wait(60) { snapshot in snapshot.receipts.recent.allSatisfy { $0.audit == .audited } })
    receipts = node.snapshot().receipts
    #expect(receipts.audited == count)
  }
}

extension ScriptedNode {
  func audit(_ receipt: String) -> AuditState? {
    snapshot().receipts.recent.first { $0.id == receipt }?.audit
  }

  @discardableResult func startAudit(of receipt: String, job number: UInt64) -> JobID {
    let id = JobID(number)
    send(
      .submitted(
        JobRequest(
          id: id, identity: .known("audit"), origin: .audit, model: "m", promptTokens: 20, outputLimit: 1,
          priority: 0, audits: receipt)))
    return id
  }

  /// One step in which everything fails.
  func step(failing reason: String) -> Bool {
    guard let (plan, effects) = state.nextStep(at: now) else { return false }
    perform(effects)
    guard !plan.isEmpty else { return false }
    monotonic += 2_000
    send(
      .stepped(
        number: plan.number, results: plan.entries.map { StepResult(job: $0.job, .failed(reason: reason)) },
        duration: 2_000))
    return true
  }
}
