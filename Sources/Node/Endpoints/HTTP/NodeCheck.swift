// NodeCheck.swift: the mystery shopper: a stranger's jobs at somebody's node, with everything that
// can be checked of them: receipts, proofs, checkpoints, prices, and the bits of a model. Not here:
// how requests travel, what is remembered between two visits (the command), one receipt's checks
// (ReceiptProof.swift). Start at NodeCheck.run.
import Accounting
import Foundation
import Intake
import JSON
import Receipts

package struct NodeCheck {
  /// One request to the node, and its whole answer.
  package typealias Fetch = (_ method: String, _ path: String, _ body: [UInt8]?) throws(HTTPCallError) ->
    HTTPCall.Answer

  private let fetch: Fetch
  private let machine: Reexecutor?
  private let keygen: SSHKeygen
  private let pause: () -> Void
  private let progress: (_ job: Int) -> Void
  /// How often a checkpoint over a new receipt is asked for.
  private let patience: Int

  /// - machine: the model that the node says it runs; nil checks all but re-execution
  /// - pause: waits for a moment, since a checkpoint is signed within a second
  package init(
    machine: Reexecutor?, keygen: SSHKeygen = SSHKeygen().remembering(), patience: Int = 40,
    pause: @escaping () -> Void, progress: @escaping (_ job: Int) -> Void = { _ in }, fetch: @escaping Fetch
  ) {
    self.fetch = fetch
    self.machine = machine
    self.keygen = keygen
    self.patience = patience
    self.pause = pause
    self.progress = progress
  }

  // MARK: a visit

  /// What is said of the node before anything is asked.
  private struct Card {
    let key: SSHPublicKey
    let model: String
    let digest: String
    let prices: [Receipts.Receipt.Price]
    let currency: String
  }

  /// - known: what was remembered of this node; nil at the first visit
  package func run(jobs: Int, known: KnownNode?) -> VisitReport {
    var report = VisitReport()
    func add(_ name: String, _ result: Verification.Result, _ detail: String) {
      report.add(name, result, detail)
    }
    let card: Card
    do { card = try readCard() } catch {
      add("node", .failed, "\(error)")
      return report
    }
    add("node", .ok, "it says that it runs \(card.model), SHA-256 \(card.digest.prefix(16))...")
    if let known, known.key != card.key {
      add(
        "key", .failed,
        "its key is \(card.key.fingerprint), at the last visit it was \(known.key.fingerprint)")
      report.known = known
      return report
    }
    add(
      "key", .ok,
      card.key.fingerprint + (known == nil ? ", seen for the first time: compare it" : ", as before"))

    var heads: [LogHead] = known.map { [$0.head] } ?? []
    var log: (Verification.Result, String) = (.ok, "")
    func see(_ head: LogHead) {
      guard log.0 == .ok else { return }
      if let problem = fork(head, after: heads.last, card.key) { log = problem } else { heads.append(head) }
    }
    do { try see(checkpoint().head(by: card.key, keygen: keygen)) } catch let problem as NodeProblem {
      // A node that has never answered has no checkpoint yet.
      if !problem.isEarly { log = (.failed, "\(problem)") }
    } catch { log = (.failed, "\(error)") }

    let shopping = shop(jobs, card, see)
    report.findings += shopping
    switch log.0 {
    case .ok:
      add(
        "log", .ok,
        "\(heads.count) checkpoints, each continues the one before\(known == nil ? "" : ", from the last visit on")"
      )
    case .failed, .notChecked: add("log", log.0, log.1)
    }
    report.known = heads.last.map { KnownNode(key: card.key, head: $0) } ?? known
    return report
  }

  private func readCard() throws -> Card {
    let value = try JSONText.parse(get("/v1/node"))
    guard let text = value["key"]?.string, let key = SSHPublicKey(parsing: text) else {
      throw NodeProblem("it names no key at /v1/node")
    }
    guard let model = value["model"]?.string, let digest = value["model_sha256"]?.string,
      let currency = value["currency"]?.string
    else { throw NodeProblem("it serves no model") }
    let prices = try (value["prices_per_million_tokens"]?.array ?? []).compactMap {
      rule -> Receipts.Receipt.Price? in
      guard rule["model"]?.string.map({ $0 == model }) ?? true else { return nil }
      func micro(_ name: String) throws -> Int64 { try Amount(parsing: rule[name]?.string ?? "0").micro }
      return Receipts.Receipt.Price(
        prompt: try micro("prompt"), cached: try micro("cached"), completion: try micro("completion"),
        minimum: try micro("minimum"))
    }
    return Card(key: key, model: model, digest: digest, prices: prices, currency: currency)
  }

  // MARK: jobs

  /// What is counted over all jobs; of what is wrong, the first is kept.
  private struct Tally {
    var answered = 0
    var proved = 0
    var unanswered: String?
    var wrong: String?
    var reexecuted: String?
    var otherModel: String?
    var otherPrice: String?
    var tokens = 0
    var time = Duration.zero
  }

  private func shop(_ jobs: Int, _ card: Card, _ see: (LogHead) -> Void) -> [VisitReport.Finding] {
    var tally = Tally()
    for number in 0..<jobs {
      progress(number)
      let asked = Self.request(number, model: card.model)
      do {
        try shop(number, asked, card, &tally, see)
      } catch { tally.unanswered = tally.unanswered ?? "job \(number): \(error)" }
    }
    let of = "of \(jobs)"
    func finding(_ name: String, _ problem: String?, _ detail: String) -> VisitReport.Finding {
      VisitReport.Finding(
        name: name, result: problem == nil ? .ok : .failed, detail: problem ?? detail)
    }
    var found = [
      finding(
        "jobs", tally.unanswered, "\(tally.answered) \(of) answered, with receipt, proof and checkpoint"),
      finding(
        "receipts", tally.wrong,
        "\(tally.proved) \(of) hold: what was asked, what was answered, what it costs"),
      finding("model", tally.otherModel, "every receipt names the model that the node names"),
      finding(
        "prices", tally.otherPrice,
        card.prices.isEmpty
          ? "none are published, and nothing was charged" : "every receipt has a published price"),
    ]
    if machine == nil {
      found.append(
        VisitReport.Finding(
          name: "re-execution", result: .notChecked,
          detail: "no model was given: that these tokens come from these weights is the node's word"))
    } else {
      found.append(
        finding("re-execution", tally.reexecuted, "\(tally.proved) \(of) answers are the model's, to the bit")
      )
    }
    let seconds = tally.time / .seconds(1)
    let rate = seconds > 0 ? Int((Double(tally.tokens) / seconds).rounded()) : 0
    found.append(
      VisitReport.Finding(
        name: "speed", result: .notChecked,
        detail: "\(rate) tokens a second with its waiting and its way here; the node publishes no speed"))
    return found
  }

  private func shop(
    _ number: Int, _ asked: (path: String, body: [UInt8]), _ card: Card, _ tally: inout Tally,
    _ see: (LogHead) -> Void
  ) throws {
    let start = ContinuousClock.now
    let answer = try fetch("POST", asked.path, asked.body)
    guard answer.status == 200 else { throw NodeProblem("it answered \(answer.status)") }
    tally.time += ContinuousClock.now - start
    let saved = try SavedAnswer(answer.body)
    guard let id = saved.answer.receipt else { throw NodeProblem("the answer names no receipt") }
    let (bundle, checkpoint) = try bundle(id, card.key)
    see(try checkpoint.head(by: card.key, keygen: keygen))
    tally.answered += 1
    var proof = try ReceiptProof(bundle, answer: answer.body, request: asked.body)
    proof.evidence.allowedSigners = ReceiptBundle.allowedSigners(card.key)
    if let machine { proof.run(on: { () throws(ServingError) in machine }) }
    let verification = proof.verify(keygen: keygen)
    let passes = verification.passes(asking: proof.asked)
    if passes { tally.proved += 1 }
    let broken = verification.checks.first { $0.result == .failed && $0.name != .reexecution }
    if let broken {
      tally.wrong = tally.wrong ?? "job \(number), receipt \(id): \(broken.name.rawValue): \(broken.detail)"
    }
    if let bits = verification.checks.first(where: { $0.result == .failed && $0.name == .reexecution }) {
      tally.reexecuted = tally.reexecuted ?? "job \(number), receipt \(id): \(bits.detail)"
    }
    if !passes, broken == nil, tally.reexecuted == nil {
      let open = verification.checks.first { proof.asked.contains($0.name) && $0.result == .notChecked }
      tally.wrong =
        tally.wrong
        ?? "job \(number), receipt \(id): not checked: \(open.map { "\($0.name.rawValue): \($0.detail)" } ?? "something")"
    }
    guard let receipt = verification.receipt else { return }
    tally.tokens += receipt.completionTokens
    if receipt.modelSHA256.hex != card.digest || receipt.model != card.model {
      tally.otherModel =
        tally.otherModel ?? "job \(number), receipt \(id): it names \(receipt.model), \(receipt.modelSHA256)"
    }
    let isPublished =
      card.prices.isEmpty
      ? receipt.amount == 0 : card.prices.contains(receipt.price) && receipt.currency == card.currency
    if !isPublished {
      tally.otherPrice =
        tally.otherPrice
        ?? "job \(number), receipt \(id): \(receipt.price.prompt) and \(receipt.price.completion) micro-units for a million tokens, which the node does not publish"
    }
  }

  /// Varied requests: protocols, samplers, lengths, tools, a schema, whole and streamed, with and without
  /// token ids; every one with a nonce of its own, so that no answer of before fits.
  static func request(_ number: Int, model: String) -> (path: String, body: [UInt8]) {
    let topics = [
      "a river", "a lighthouse", "salt", "a clock", "an old map", "rain", "a violin", "the number seven",
    ]
    let topic = topics[number % topics.count] + " (\(UInt16.random(in: .min ... .max)))"
    let form = forms[number % forms.count]
    var members: [JSONValue.Member] = [
      (key: "model", value: .string(model)),
      (key: "hotpot", value: ["nonce": .string(Nonces.random().prompt.hex)]),
    ]
    let limit = JSONValue(Int.random(in: 4...48))
    let question: JSONValue = [
      ["role": "user", "content": .string("Say something about \(topic).")]
    ]
    switch form.dialect.path {
    case Dialect.openAICompletions.path:
      members += [
        (key: "prompt", value: .string("A story about \(topic):")),
        (key: "max_tokens", value: limit),
      ]
    case Dialect.openAIResponses.path:
      members += [
        (key: "input", value: .string("Say something about \(topic).")),
        (key: "max_output_tokens", value: limit),
      ]
    case Dialect.ollamaGenerate.path:
      members += [
        (key: "prompt", value: .string("Say something about \(topic).")),
        (key: "options", value: ["num_predict": limit, "temperature": 0.9]),
      ]
    case Dialect.ollamaChat.path:
      members += [
        (key: "messages", value: question),
        (key: "options", value: ["num_predict": limit, "top_k": 30]),
      ]
    default: members += [(key: "messages", value: question), (key: "max_tokens", value: limit)]
    }
    return (form.dialect.path, JSONWriter.bytes(.object(members + form.members())))
  }

  /// A protocol, and what a request in it has besides its question.
  private struct Form: Sendable {
    let dialect: Dialect
    let members: @Sendable () -> [JSONValue.Member]

    init(_ dialect: Dialect, _ members: @escaping @Sendable () -> [JSONValue.Member]) {
      self.dialect = dialect
      self.members = members
    }
  }

  private static let ids: JSONValue.Member = (key: "return_token_ids", value: true)
  private static let streamed: JSONValue.Member = (key: "stream", value: true)
  private static var seed: JSONValue.Member {
    (key: "seed", value: JSONValue(UInt32.random(in: .min ... .max)))
  }
  private static let schema: JSONValue = [
    "type": "object",
    "properties": ["topic": ["type": "string", "maxLength": 40], "old": ["type": "boolean"]],
    "required": ["topic", "old"],
  ]

  private static let forms: [Form] = [
    Form(.openAIChat) { [(key: "temperature", value: 0), ids] },
    Form(.openAIChat) { [(key: "temperature", value: 0.8), seed, ids, streamed] },
    Form(.openAIChat) {
      [
        seed, (key: "logprobs", value: true), (key: "top_logprobs", value: 2),
        (key: "stop", value: ["\n\n"]),
        (key: "logit_bias", value: ["40": -1]),
      ]
    },
    Form(.openAIChat) { [(key: "top_p", value: 0.9), (key: "top_k", value: 40), streamed] },
    Form(.openAIChat) { [(key: "min_p", value: 0.05), ids] },
    Form(.openAICompletions) { [(key: "temperature", value: 1.2), seed] },
    Form(.openAICompletions) {
      [
        ids, (key: "repetition_penalty", value: 1.1), (key: "presence_penalty", value: 0.5),
        (key: "logprobs", value: 3),
      ]
    },
    Form(.openAICompletions) { [streamed, (key: "frequency_penalty", value: 0.5), seed] },
    Form(.openAIChat) {
      [
        ids,
        (
          key: "tools",
          value: [
            [
              "type": "function",
              "function": [
                "name": "look_up", "description": "Looks a topic up.", "parameters": schema,
              ],
            ]
          ]
        ),
      ]
    },
    Form(.openAIChat) {
      [
        seed, ids,
        (
          key: "response_format",
          value: ["type": "json_schema", "json_schema": ["name": "answer", "schema": schema]]
        ),
      ]
    },
    Form(.anthropicMessages) { [(key: "system", value: "Be brief."), ids] },
    Form(.anthropicMessages) { [(key: "temperature", value: 0.5), streamed] },
    Form(.openAIResponses) { [(key: "temperature", value: 0), (key: "stream", value: true), ids] },
    Form(.openAIResponses) { [(key: "instructions", value: "Be brief.")] },
    Form(.ollamaChat) { [ids] },
    Form(.ollamaGenerate) { [(key: "stream", value: false)] },
  ]

  // MARK: the log

  private func get(_ path: String) throws -> [UInt8] {
    let answer = try fetch("GET", path, nil)
    guard answer.status == 200 else {
      throw NodeProblem("it answered \(answer.status) at \(path)", isEarly: answer.status == 503)
    }
    return answer.body
  }

  private func checkpoint() throws -> SignedCheckpoint {
    try SignedCheckpoint(parsing: String(decoding: try get("/v1/checkpoint"), as: UTF8.self))
  }

  /// Why a head does not continue the one before; nil if it does.
  private func fork(_ head: LogHead, after last: LogHead?, _ key: SSHPublicKey) -> (
    Verification.Result, String
  )? {
    guard let last, last != head else { return nil }
    func seen(_ head: LogHead) -> Checkpoint {
      Checkpoint(origin: head.origin, size: head.size, root: head.root, time: 0, previous: .zero)
    }
    do {
      var proof: ConsistencyProof?
      if last.size < head.size, last.size > 0 {
        let text = try get("/v1/checkpoint?from=\(last.size)&to=\(head.size)")
        proof = try ConsistencyProof(parsing: String(decoding: text, as: UTF8.self))
      }
      try Witness.check(seen(head), continues: seen(last), proof)
      return nil
    } catch let problem as WitnessError {
      return (
        .failed,
        "FORKED: \(problem); \(key.fingerprint) signed a log of \(last.size) with the root \(last.root) and one of \(head.size) with \(head.root)"
      )
    } catch {
      return (.failed, "no proof that the log of \(head.size) continues the one of \(last.size): \(error)")
    }
  }

  /// A receipt with its proof and the checkpoint that this leads to.
  private func bundle(_ id: String, _ key: SSHPublicKey) throws -> (ReceiptBundle, SignedCheckpoint) {
    // The id goes into a path.
    guard id.utf8.count == 16,
      id.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else { throw NodeProblem("the receipt's id is none") }
    let line = try get("/v1/receipts/\(id)")
    var last: any Error = NodeProblem("no checkpoint over receipt \(id)")
    for _ in 0..<patience {
      do {
        let text = String(decoding: try get("/v1/receipts/\(id)/proof"), as: UTF8.self)
        let proof = try InclusionProof(parsing: text)
        let signed = try checkpoint()
        // Another checkpoint may have been signed between the two.
        if signed.checkpoint == proof.checkpoint {
          return (
            ReceiptBundle(
              receipt: String(decoding: line, as: UTF8.self), proof: text, checkpoint: signed.checkpoint.text,
              signature: signed.signature, allowedSigners: ReceiptBundle.allowedSigners(key)), signed
          )
        }
      } catch let problem as NodeProblem where problem.isEarly { last = problem }
      pause()
    }
    throw last
  }
}

/// What a node does wrong, in words.
private struct NodeProblem: Error, CustomStringConvertible {
  let description: String
  /// It may be otherwise in a second.
  let isEarly: Bool

  init(_ description: String, isEarly: Bool = false) {
    self.description = description
    self.isEarly = isEarly
  }
}
