// ReexecutionTests.swift: a node that serves mixed batches under pressure, and every receipt of it run again elsewhere: no false
// refusal, whatever batch, cache, hold, preemption, number of threads or level of kernels; and what that costs.
// Needs a model: 'hotpot models pull smollm2' or HOTPOT_MODEL. HOTPOT_HEAVY=1 counts 200,000 tokens.
import Accounting
import Control
import Foundation
import Inference
import Intake
import Node
import Receipts
import TestSettings
import Testing

/// One answered job: what its client holds.
private struct Answered {
  let receipt: String
  let transcript: Receipts.Transcript
}

/// A node in this process, and one line to it.
private final class Served {
  let node: NodeService
  private let line: LineClient
  private var tag: UInt64 = 0
  private var bodies: [UInt64: String] = [:]

  init(_ state: String, _ configuration: String, model: String) throws {
    node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(file: "config.json5", text: configuration), stateDirectory: state,
        version: "0"
      ) { (_) throws(ServingError) in ModelFile(name: "m", path: model) })
    try node.start()
    line = try LineClient(path: state + "/control.sock", timeout: .seconds(600))
    try send(.hello(version: ControlProtocol.version, every: 0, readOnly: false))
    while node.snapshot().node.state != .serving { usleep(10_000) }
  }

  func send(_ request: ControlRequest) throws { try line.send(ControlProtocol.line(request)) }

  func next() -> UInt64 {
    tag += 1
    return tag
  }

  func receive() throws -> ControlReply {
    let bytes = try #require(try line.receive(), "the node closed the line")
    return try #require(ControlProtocol.parse(ControlReply.self, bytes))
  }

  func bundle(_ id: String) throws -> ReceiptBundle {
    for _ in 0..<1_000 {
      try line.send(ControlProtocol.line(VerbRequest(tag: next(), ExportReceipt(id: id))))
      while true {
        let reply = try receive()
        if case .bundle(_, let text) = reply { return try ReceiptBundle(parsing: text) }
        if case .refused = reply { break }
      }
      usleep(10_000)
    }
    throw ServingError("receipt \(id) was never signed", hint: nil)
  }

  /// Keeps `width` jobs under way until so many tokens were generated; holds, releases and cancels some on the way.
  /// - end: the token that ends a message, which then stands where prompts part; nil: none does
  /// - counts: of tokens, one of them for each job
  /// - isSmall: prompts of a few tokens, none like another
  func generate(
    tokens: Int, width: Int, vocabulary: Int, end: Int?, counts: [Int] = [8, 32, 33, 64, 100, 200],
    isSmall: Bool = false, _ dice: inout Dice
  ) throws -> (
    answers: [Answered], tokens: Int
  ) {
    var answers: [Answered] = []
    var made = 0
    var asked = 0
    var open: Set<UInt64> = []
    var held: Set<String> = []
    // Past the special tokens, which come first.
    let ids = min(1_000, vocabulary / 8)..<min(40_000, vocabulary)
    let shared = (0..<70).map { _ in Int.random(in: ids, using: &dice) } + (end.map { [$0] } ?? [])
    while made < tokens || !open.isEmpty {
      while open.count < width, made + asked < tokens {
        let tag = next()
        let count = counts.randomElement(using: &dice) ?? 8
        // Two of three prompts begin alike: their blocks are found in the cache.
        let prompt =
          (!isSmall && Int.random(in: 0..<3, using: &dice) > 0 ? shared : [])
          + (0..<Int.random(in: 3...(isSmall ? 12 : 90), using: &dice)).map { _ in
            Int.random(in: ids, using: &dice)
          }
        let sampler =
          [
            "\"temperature\":0", "\"temperature\":0.8,\"seed\":\(dice.next() >> 12)",
            "\"temperature\":1.0,\"top_p\":0.9,\"seed\":\(dice.next() >> 12)",
            "\"temperature\":0.7,\"frequency_penalty\":0.5,\"presence_penalty\":0.2,\"seed\":\(dice.next() >> 12)",
          ].randomElement(using: &dice) ?? ""
        let body =
          "{\"model\":\"m\",\"prompt\":[\(prompt.map(String.init).joined(separator: ","))],\"max_tokens\":\(count),\(sampler),\"ignore_eos\":\(Bool.random(using: &dice)),\"hotpot\":{\"priority\":\(Int.random(in: 0...9, using: &dice))},\"return_token_ids\":true}"
        try send(.submit(tag: tag, chat: false, body: body))
        open.insert(tag)
        bodies[tag] = ""
        asked += count
      }
      switch try receive() {
      case .chunk(let tag, let data): bodies[tag, default: ""] += data
      case .ended(let tag, let status):
        open.remove(tag)
        let body = bodies.removeValue(forKey: tag) ?? ""
        #expect(status == 200, "\(body)")
        let answer = try self.answer(body)
        answers.append(answer)
        made += answer.transcript.output.count
        asked = max(0, asked - answer.transcript.output.count)
        // What was held goes on, and another one waits.
        let rows = node.snapshot().jobs.filter { !$0.state.hasEnded }
        if !held.isEmpty {
          try send(.command(tag: next(), command: .release(jobs: held.sorted())))
          held = []
        }
        if rows.count > 2, let row = rows.filter({ $0.state == .running }).randomElement(using: &dice) {
          held = [row.id]
          try send(.command(tag: next(), command: .hold(jobs: [row.id])))
        }
      default: break
      }
      if open.isEmpty { asked = 0 }
    }
    return (answers, made)
  }

  private func answer(_ body: String) throws -> Answered {
    struct Page: Decodable {
      struct Own: Decodable {
        let receipt: String
        let nonce: String
        let promptTokenIds: [UInt32]
        let tokenIds: [UInt32]
      }
      let hotpot: Own
    }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let own = try decoder.decode(Page.self, from: Data(body.utf8)).hotpot
    return Answered(
      receipt: own.receipt,
      transcript: Receipts.Transcript(
        nonces: try #require(Nonces(hex: own.nonce)), prompt: own.promptTokenIds, output: own.tokenIds))
  }

  func stop() {
    node.stop(drain: false, by: "test")
    node.waitUntilStopped()
  }
}

@Suite(.serialized) struct ReexecutionTests {
  @Test(
    .enabled(if: !RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one"))
  func noHonestReceiptIsRefused() throws {
    let path = try #require(RealModel.path)
    let total = isHeavy ? Int(ProcessInfo.processInfo.environment["HOTPOT_TOKENS"] ?? "") ?? 200_000 : 1_500
    try check(path, total: total)
  }

  /// Their states are swapped, computed again, kept where messages end and forked from there.
  @Test(
    .disabled(if: ReferenceFolder.isAbsent, "the reference folder is not beside the repository"),
    arguments: ["qwen35.Q8_0", "lfm2.Q4_0", "falcon-h1.Q8_0", "qwen3next.Q4_0"])
  func `no honest receipt of a recurrent model is refused`(_ name: String) throws {
    let path = try #require(ReferenceFolder.url).appending(path: "golden/arch/\(name).gguf").path
    let tokenizer = try Tokenizer(GGUFFile(path: path))
    let end = try #require(tokenizer.endOfGenerationTokens.first)
    let reused = try check(path, total: isHeavy ? 20_000 : 1_500, end: Int(end))
    // A state is kept where a block ends: behind a message, and behind a prompt.
    print("\(name): \(reused) tokens of prompts reused")
    #expect(reused > 0 && reused % 16 == 0)
  }

  /// Each part of the tokens is generated with one number of threads and level of kernels, and verified with others.
  /// Returns how many tokens of prompts were found in the cache.
  @discardableResult
  private func check(_ path: String, total: Int, end: Int? = nil) throws -> Int {
    let vocabulary = try Model(path: path).hyperparameters.vocabularySize
    // Scalar kernels take a second a token of a real model; HOTPOT_MODEL may name a small one.
    let isSmall = vocabulary < 4_096
    let levels = KernelLevel.available.filter { isSmall || $0.name != "scalar" }
    let best = try #require(levels.last)
    let parts: [(level: KernelLevel, threads: Int, verifiers: [(KernelLevel, Int)], share: Double)] = [
      (best, 2, [(levels[0], 1), (best, 1)], 0.5), (best, 1, levels.dropFirst().map { ($0, 2) }, 0.2),
      (levels[0], 2, [(best, 1), (levels[0], 3)], 0.3),
    ]
    var dice = Dice(state: 11)
    var (tokens, receipts, preemptions, cached, holds) = (0, 0, 0, 0, 0)
    for part in parts {
      let scratch = try ScratchDirectory()
      setenv("HOTPOT_ISA", part.level.name, 1)
      // Memory for 512 tokens under twelve jobs of up to 360: somebody is always moved out.
      let served = try Served(
        scratch.path,
        "{ threads: \(part.threads), kv_tokens: 512, http: { listen: 'none' }, queue: { running: 8 }, audits: { share: 0, keep_transcripts_s: 0 } }",
        model: path)
      unsetenv("HOTPOT_ISA")
      let made = try served.generate(
        tokens: Int(Double(total) * part.share), width: 12, vocabulary: vocabulary, end: end, &dice)
      let snapshot = served.node.snapshot()
      preemptions += snapshot.throughput.preemptions
      let machines = try part.verifiers.map { try Reexecutor(path: path, threads: $0.1, level: $0.0) }
      for (i, answer) in made.answers.enumerated() {
        let bundle = try served.bundle(answer.receipt)
        guard case .receipt(let receipt) = try Entry(parsing: Array(bundle.receipt.utf8)).record else {
          Issue.record("no receipt")
          continue
        }
        cached += receipt.cachedTokens
        let found = try machines[i % machines.count].run(receipt, answer.transcript)
        if let difference = found.firstDifference(from: receipt, output: answer.transcript.output) {
          Issue.record("receipt \(answer.receipt), \(part.level.name): \(difference)")
        }
        // Signatures cost two processes each: one of sixteen.
        if i % 16 == 0 {
          var evidence = Verification.Evidence()
          evidence.transcript = answer.transcript
          evidence.reexecution = .ran(found)
          let checks = Verification(bundle, evidence: evidence, keygen: SSHKeygen(deadline: 30))
          #expect(
            checks.passes(asking: [
              .receipt, .signature, .inclusion, .commitments, .counts, .amount, .reexecution,
            ]), "\(checks.checks)")
        }
      }
      holds += served.node.snapshot().log.filter { $0.text.hasPrefix("held ") }.count
      served.stop()
      tokens += made.tokens
      receipts += made.answers.count
      print(
        "\(part.level.name), \(part.threads) threads: \(made.tokens) tokens in \(made.answers.count) receipts, all identical; verified on \(part.verifiers.map { "\($0.0.name)/\($0.1)" })"
      )
    }
    print(
      "\(tokens) tokens, \(receipts) receipts, \(preemptions) preemptions, \(holds) holds in the last log lines: 0 refused"
    )
    #expect(tokens >= total)
    #expect(preemptions > 0 && holds > 0)
    return cached
  }
}

/// Figures, with HOTPOT_HEAVY=1 only.
@Suite(.serialized, .enabled(if: isHeavy && !RealModel.isAbsent)) struct ReceiptCostBenchmarks {
  private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
  private func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body()
    return (ContinuousClock.now - start) / .seconds(1)
  }

  /// Sequences that decode side by side on one engine.
  private struct Batch {
    let engine: Engine
    var last: [Int32]
    var position = 16
    let tables: [[Int32]]
    var windows: [WindowHashes]

    init(model: Model, count: Int, length: Int) throws {
      let blocks = (length + 31) / 16
      engine = try Engine(model: model, configuration: Engine.Configuration(kvBlocks: count * blocks))
      tables = (0..<count).map { i in (0..<blocks).map { Int32(i * blocks + $0) } }
      windows = (0..<count).map { _ in WindowHashes() }
      last = []
      for (i, table) in tables.enumerated() {
        let prompt = (0..<16).map { Int32(2_000 + 31 * i + 7 * $0) }
        let found = try engine.step([
          StepItem(
            tokens: prompt, position: 0, blocks: table,
            output: .last(SamplingContext(.greedy, promptCount: 16)))
        ])
        last.append(found.first?.token ?? 0)
      }
    }

    mutating func step(hashes: Bool) throws {
      let items = last.indices.map {
        StepItem(
          tokens: [last[$0]], position: position, blocks: tables[$0],
          output: .last(SamplingContext(.greedy, promptCount: 16)), digests: hashes)
      }
      for (i, result) in try engine.step(items).enumerated() {
        last[i] = result.token ?? 0
        if hashes, let digest = result.digests.first.flatMap({ SHA256Digest(bytes: $0) }) {
          windows[i].append(digest)
        }
      }
      position += 1
    }
  }

  /// Eight sequences decode, and in every other step their hidden states are hashed: neighbouring steps differ in nothing
  /// else, and the median of their ratios is steadier than the machine. Then what a job's synced records cost a core.
  @Test func hashesAndJournalBesideTheEngineAtFullLoad() throws {
    let model = try Model(path: try #require(RealModel.path))
    var batch = try Batch(model: model, count: 8, length: 1_600)
    for _ in 0..<20 { try batch.step(hashes: true) }
    var ratios: [Double] = []
    var bare: [Double] = []
    // Off, on, on, off: the growing depth cancels.
    for _ in 0..<370 {
      let first = try seconds { try batch.step(hashes: false) }
      let both = try seconds {
        try batch.step(hashes: true)
        try batch.step(hashes: true)
      }
      let last = try seconds { try batch.step(hashes: false) }
      ratios.append(both / (first + last))
      bare.append((first + last) / 2)
    }
    let share = ((median(ratios) - 1) * 1e4).rounded() / 100
    print(
      "window hashes: \(share) % of a step of 8 sequences, median of 370 neighbours (\(Int(8 / median(bare))) tokens/s)"
    )

    let scratch = try ScratchDirectory()
    let journal = try Journal.open(state: scratch.path, time: 1).journal
    func cpu() -> Double {
      var time = timespec()
      clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
    let jobs = 500
    let before = cpu()
    for job in 0..<UInt64(jobs) {
      var receipt = Receipts.Receipt()
      receipt.job = job
      receipt.client = "client"
      receipt.model = "m"
      receipt.completionTokens = 64
      receipt.maxTokens = 64
      receipt.windows = Array(batch.windows[0].windows.prefix(2))
      let accepted = JobAccepted(
        job: job, client: "client", model: "m", promptTokens: 16, maxTokens: 64, reserved: 1,
        isSpooled: false)
      try journal.append([.jobAccepted(accepted)], at: 1)
      try journal.append([.receipt(receipt)], at: 1)
    }
    let each = (cpu() - before) / Double(jobs)
    journal.close()
    // Jobs of 64 tokens, at the speed that was just seen.
    let load = each * 8 / median(bare) / 64
    print(
      "journal: \((each * 1e6).rounded()) us of CPU for a job's two synced records, alone in their groups: \((load * 1e4).rounded() / 100) % of a core"
    )
  }

  /// A signature is a process of a few milliseconds: at one a second, its share of a core.
  @Test func aSignatureASecondIsUnderAHundredthOfACore() throws {
    let scratch = try ScratchDirectory()
    let keygen = SSHKeygen(deadline: 20)
    _ = try keygen.makeKey(at: scratch.path + "/key")
    func cpu() -> Double {
      [RUSAGE_SELF, RUSAGE_CHILDREN].reduce(0) { sum, who in
        var usage = rusage()
        getrusage(__rusage_who_t(who.rawValue), &usage)
        return sum + Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
          + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
      }
    }
    let before = cpu()
    for _ in 0..<100 { _ = try keygen.sign([1], key: scratch.path + "/key", namespace: Checkpoint.namespace) }
    let each = (cpu() - before) / 100
    print(
      "a signature: \((each * 1e5).rounded() / 100) ms of CPU, its process included: at one a second \((each * 1e4).rounded() / 100) % of a core"
    )
    #expect(each < 0.01)
  }

  /// As `hotpot verify DIRECTORY` does: one process, one load of the model, every check.
  @Test func aThousandSmallBundles() throws {
    let path = try #require(RealModel.path)
    let vocabulary = try Model(path: path).hyperparameters.vocabularySize
    let scratch = try ScratchDirectory()
    let served = try Served(
      scratch.path, "{ http: { listen: 'none' }, audits: { share: 0, keep_transcripts_s: 0 } }", model: path)
    var dice = Dice(state: 23)
    let made = try served.generate(
      tokens: 8_000, width: 12, vocabulary: vocabulary, end: nil, counts: [8], isSmall: true, &dice)
    let proofs = try made.answers.map { answer in
      var bundle = try served.bundle(answer.receipt)
      bundle.transcript = answer.transcript.text
      return try ReceiptProof(bundle)
    }
    served.stop()
    let machine = try Reexecutor(path: path)
    let keygen = SSHKeygen(deadline: 30).remembering()
    var held = 0
    let took = seconds {
      for given in proofs {
        var proof = given
        proof.run(on: { () throws(ServingError) in machine })
        if proof.verify(keygen: keygen).passes(asking: proof.asked) { held += 1 }
      }
    }
    #expect(held == proofs.count && held >= 1_000)
    print(
      "\(held) bundles of 8 tokens verified in \((took * 10).rounded() / 10) s: \((Double(held) / took).rounded(to: 1)) a second"
    )
  }

  /// A job of one sequence generated and run again, by turns, with one model in memory.
  @Test func verificationBesideGeneration() throws {
    let path = try #require(RealModel.path)
    let model = try Model(path: path)
    let machine = try Reexecutor(path: path)
    let digest = try #require(SHA256Digest(bytes: model.fileDigest()))
    for (prompt, count) in [(32, 256), (32, 512), (256, 1_024)] {
      var ratios: [Double] = []
      var times: [(Double, Double)] = []
      for round in 0..<3 {
        let blocks = (prompt + count + 15) / 16
        let engine = try Engine(model: model, configuration: Engine.Configuration(kvBlocks: blocks))
        let table = (0..<Int32(blocks)).map { $0 }
        let given = (0..<prompt).map { Int32(3_000 + round + 11 * $0) }
        var output: [Int32] = []
        var windows = WindowHashes()
        func take(_ item: StepItem) throws {
          let found = try #require(try engine.step([item]).first)
          output.append(try #require(found.token))
          if let digest = found.digests.last.flatMap({ SHA256Digest(bytes: $0) }) { windows.append(digest) }
        }
        let context = SamplingContext(.greedy, promptCount: prompt)
        let generation = try seconds {
          try take(
            StepItem(tokens: given, position: 0, blocks: table, output: .last(context), digests: true))
          while output.count < count {
            try take(
              StepItem(
                tokens: [output[output.count - 1]], position: prompt + output.count - 1, blocks: table,
                output: .last(context), digests: true))
          }
        }
        var receipt = Receipts.Receipt()
        receipt.modelSHA256 = digest
        receipt.numerics = engine.configuration.profile.numericsVersion
        receipt.promptTokens = prompt
        receipt.completionTokens = count
        receipt.maxTokens = count
        receipt.finish = .length
        receipt.windows = windows.windows
        let transcript = Receipts.Transcript(
          nonces: .random(), prompt: given.map { UInt32(bitPattern: $0) },
          output: output.map { UInt32(bitPattern: $0) })
        var found: Reexecution?
        let verification = try seconds { found = try machine.run(receipt, transcript) }
        #expect(found?.firstDifference(from: receipt, output: transcript.output) == nil)
        ratios.append(generation / verification)
        times.append((generation, verification))
      }
      print(
        "prompt \(prompt), \(count) tokens: generated in \((times[1].0 * 1e3).rounded()) ms, verified in \((times[1].1 * 1e3).rounded()) ms: \((ratios.min() ?? 0).rounded(to: 2)) / \(median(ratios).rounded(to: 2)) / \((ratios.max() ?? 0).rounded(to: 2)) times as fast"
      )
    }
  }
}

extension Double {
  fileprivate func rounded(to digits: Int) -> Double {
    let scale = pow(10, Double(digits))
    return (self * scale).rounded() / scale
  }
}
