// QueueWords.swift: the shared queue's messages, as nodes and those who ask have them on the wire:
// subjects, the job, and what is said about it while it runs. Start at QueueJob and QueueWord.
import Grammar
import JSON
import NATS
import Scheduling
import Tools

/// Subjects of the shared queue.
package enum QueueSubject {
  /// A model's name as one token.
  package static func model(_ name: String) -> String { NATSSubject.token(name) }

  /// Where a client publishes a job. The server's rights pin the client.
  package static func job(model: String, _ class: SharedQueue.Class, client: String) -> String {
    "hotpot.job.\(self.model(model)).\(`class`.rawValue).\(client)"
  }

  /// Answered by the node that has the job; nobody listens otherwise.
  package static func running(_ id: JobID) -> String { "hotpot.running.\(id.hex)" }
  package static func cancel(_ id: JobID) -> String { "hotpot.cancel.\(id.hex)" }

  /// Where the node that ends a job says so before it writes its receipt. The stream of ends keeps the
  /// first that says it, and refuses others.
  package static func end(_ id: JobID, client: String) -> String { "hotpot.end.\(client).\(id.hex)" }

  /// Answered by a node for jobs whose end it has claimed.
  package static func claimant(_ name: String) -> String { "hotpot.claimant.\(NATSSubject.token(name))" }

  package static func consumer(model: String, _ class: SharedQueue.Class) -> String {
    "\(self.model(model))_\(`class`.rawValue)"
  }
}

/// A job as it lies in the queue.
package struct QueueJob: Sendable, Equatable {
  package let id: JobID
  package let client: String
  package let priorityClass: SharedQueue.Class
  /// Where its requester listens.
  package let reply: String
  /// Milliseconds since 1970 after which nobody needs the answer.
  package let deadline: Int64?
  /// The digest of the model that it is for, in hex.
  package let modelDigest: String?
  /// The profile of numerics that it is for.
  package let numerics: String?
  /// What an entrance adds to a request that came over HTTP, whose body goes as it came.
  package struct Passed: Sendable, Equatable {
    /// The dialect of the body.
    package let dialect: String
    /// For a request that names none.
    package let seed: UInt64
    /// Who asked at the entrance.
    package let client: String

    package init(dialect: String, seed: UInt64, client: String) {
      (self.dialect, self.seed, self.client) = (dialect, seed, client)
    }
  }

  /// nil if its client published it itself.
  package let passed: Passed?
  package let body: [UInt8]

  package init(
    id: JobID, client: String, priorityClass: SharedQueue.Class, reply: String, deadline: Int64? = nil,
    modelDigest: String? = nil, numerics: String? = nil, passed: Passed? = nil, body: [UInt8]
  ) {
    self.passed = passed
    self.id = id
    self.client = client
    self.priorityClass = priorityClass
    self.reply = reply
    self.deadline = deadline
    self.modelDigest = modelDigest
    self.numerics = numerics
    self.body = body
  }

  /// Why a message is no job, in words.
  package struct Fault: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String
  }

  static let version = "1"

  /// Whether a subject is a client's own.
  static func isInbox(_ reply: String, of client: String) -> Bool {
    NATSSubject.isPlain(reply) && reply.hasPrefix("_INBOX.\(NATSSubject.token(client)).")
  }

  /// - model: of the subject that it is published to
  package func message(model: String) -> NATSMessage {
    var fields = [
      ("Nats-Msg-Id", id.hex), ("Hotpot-Reply", reply), ("Hotpot-Version", Self.version),
    ]
    if let deadline { fields.append(("Hotpot-Deadline", "\(deadline)")) }
    if let modelDigest { fields.append(("Hotpot-Model-SHA256", modelDigest)) }
    if let numerics { fields.append(("Hotpot-Numerics", numerics)) }
    if let passed {
      fields += [
        ("Hotpot-Dialect", passed.dialect), ("Hotpot-Seed", "\(passed.seed)"),
        ("Hotpot-Client", passed.client),
      ]
    }
    return NATSMessage(
      subject: QueueSubject.job(model: model, priorityClass, client: client),
      headers: NATSHeaders(fields.map { (name: $0.0, value: $0.1) }), payload: body)
  }

  package init(_ message: NATSMessage) throws(Fault) {
    let tokens = message.subject.split(separator: ".").map(String.init)
    guard tokens.count == 5, tokens[0] == "hotpot", tokens[1] == "job",
      let priorityClass = SharedQueue.Class(rawValue: tokens[3])
    else { throw Fault(description: "its subject is none of a job") }
    // Names of the node's own jobs would be free.
    guard ClientDirectory.isValid(name: tokens[4]) else {
      throw Fault(description: "'\(tokens[4].prefix(64))' is no client's name")
    }
    guard let headers = message.headers, headers["Hotpot-Version"] == Self.version else {
      throw Fault(description: "it is no job of version \(Self.version)")
    }
    guard let id = headers["Nats-Msg-Id"].flatMap({ JobID(hex: $0) }) else {
      throw Fault(description: "its id is not 16 digits of lower-case hex")
    }
    // The answer goes to its client's own inbox and nowhere else, as the server's rights have it.
    guard let reply = headers["Hotpot-Reply"], Self.isInbox(reply, of: tokens[4]) else {
      throw Fault(description: "its reply is to no inbox of its client")
    }
    var deadline: Int64?
    if let text = headers["Hotpot-Deadline"] {
      guard let number = Int64(text), number >= 0 else { throw Fault(description: "its deadline is no time") }
      deadline = number
    }
    var passed: Passed?
    if let dialect = headers["Hotpot-Dialect"] {
      guard let seed = headers["Hotpot-Seed"].flatMap({ UInt64($0) }),
        let client = headers["Hotpot-Client"], client.utf8.count <= 256
      else { throw Fault(description: "it names a dialect, and no seed or no client") }
      passed = Passed(dialect: dialect, seed: seed, client: client)
    }
    self.init(
      id: id, client: tokens[4], priorityClass: priorityClass, reply: reply, deadline: deadline,
      modelDigest: headers["Hotpot-Model-SHA256"], numerics: headers["Hotpot-Numerics"], passed: passed,
      body: message.payload)
  }
}

/// What a node knows of a prompt that it has read, and an entrance needs to write its answer.
package struct QueueOpening: Sendable, Equatable {
  package var prompt: [Int32]
  /// How the text is read; nil if the answer is its text.
  package var reading: MessageReading?
  package var parserName: String?
  /// The fields of the request that were left out of account.
  package var ignored: [String]
  package var echo: String

  init(_ prompt: PreparedPrompt) {
    self.prompt = prompt.tokens
    reading = prompt.reading
    parserName = prompt.parserName
    ignored = Array(prompt.ignored.prefix(64))
    echo = prompt.echo
  }

  var json: JSONValue {
    var members: [JSONValue.Member] = [
      ("prompt", .array(prompt.map { JSONValue($0) })), ("echo", .string(echo)),
      ("ignored", .array(ignored.map { .string($0) })),
      ("parser", parserName.map { .string($0) } ?? .null),
    ]
    if let reading {
      members.append(
        (
          "reading",
          [
            "format": reading.format.map { .string($0) } ?? .null,
            "reasoning": reading.reasoning.map { [.string($0.open.text), .string($0.close.text)] } ?? .null,
            "after": .string(reading.promptEnd),
          ]
        ))
    }
    return .object(members)
  }

  init?(_ value: JSONValue) {
    guard let tokens = value["prompt"]?.array, let echo = value["echo"]?.string,
      let ignored = value["ignored"]?.array
    else { return nil }
    prompt = tokens.compactMap { $0.integer.flatMap { Int32(exactly: $0) } }
    self.echo = echo
    self.ignored = ignored.compactMap(\.string)
    guard prompt.count == tokens.count, self.ignored.count == ignored.count, ignored.count <= 64 else {
      return nil
    }
    parserName = value["parser"]?.string
    guard let reading = value["reading"] else { return }
    // A format that is not known here cannot be written.
    let format = reading["format"]?.string
    if let format, ToolFormat.named(format) == nil { return nil }
    var tags: ReasoningTags?
    if let pair = reading["reasoning"]?.array {
      guard pair.count == 2, let open = pair[0].string, let close = pair[1].string, !open.isEmpty,
        !close.isEmpty, open.utf8.count <= 64, close.utf8.count <= 64
      else { return nil }
      tags = ReasoningTags(open: Marker(open), close: Marker(close))
    }
    self.reading = MessageReading(
      format: format, reasoning: tags, promptEnd: reading["after"]?.string ?? "")
  }

  func prepared(_ tools: [ToolDefinition]) -> PreparedPrompt {
    PreparedPrompt(
      tokens: prompt, parser: reading?.parser(tools), parserName: parserName, ignored: ignored, echo: echo)
  }
}

/// One thing that a node says to a requester about a job.
package struct QueueWord: Sendable, Equatable {
  package enum State: String, Sendable, Equatable, CaseIterable { case queued, pending, running }

  package struct End: Sendable, Equatable {
    /// `stop` or `length`; nil if it was cut.
    package var finish: String?
    package var prompt: Int
    package var cached: Int
    package var completion: Int
    /// The receipt's id, its line and the node's signature over it.
    package var receipt: String?
    package var line: String?
    package var signature: String?
    /// The nonces that open the receipt.
    package var nonce: String?
    /// Millionths of the node's currency.
    package var amount: Int64?
    /// Why it was cut.
    package var reason: String?
    /// What the text had to be, which opens the receipt too.
    package var constraint: ConstraintSource?
    /// The node's part of the nonce, where the client gave the other.
    package var share: String?

    package init(prompt: Int, cached: Int, completion: Int) {
      self.prompt = prompt
      self.cached = cached
      self.completion = completion
    }
  }

  package enum Body: Sendable, Equatable {
    /// What an entrance writes the answer with; said before anything else of a job that one passed on.
    case opening(QueueOpening)
    /// With the digest of the model and the profile that it runs in.
    case state(State, modelDigest: String, numerics: String)
    /// Tokens from number `from` on, and the text that they added.
    case chunk(from: Int, tokens: [Int32], text: String)
    /// All of the answer again, and its receipt: the end.
    case done(End, tokens: [Int32], text: String)
    /// Nobody answers it: the end.
    /// - isRequest: the request is at fault, and not what an operator decided
    case rejected(String, isRequest: Bool)
  }

  package let job: JobID
  package let node: String
  /// How often the job had been given out, this time included.
  package let delivery: Int
  package let body: Body

  package init(job: JobID, node: String, delivery: Int, _ body: Body) {
    self.job = job
    self.node = node
    self.delivery = delivery
    self.body = body
  }

  package var bytes: [UInt8] {
    var members: [JSONValue.Member] = [
      ("job", .string(job.hex)), ("node", .string(node)), ("delivery", JSONValue(delivery)),
    ]
    func list(_ tokens: [Int32]) -> JSONValue { .array(tokens.map { JSONValue($0) }) }
    func text(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }
    switch body {
    case .state(let state, let digest, let numerics):
      members += [
        ("state", .string(state.rawValue)), ("model_sha256", .string(digest)),
        ("numerics", .string(numerics)),
      ]
    case .chunk(let from, let tokens, let words):
      members += [("i", JSONValue(from)), ("tokens", list(tokens)), ("text", .string(words))]
    case .rejected(let words, let isRequest):
      members += [("rejected", .string(words)), ("invalid_request", .bool(isRequest))]
    case .opening(let opening): members.append(("opening", opening.json))
    case .done(let end, let tokens, let words):
      members += [
        (
          "done",
          [
            "finish": text(end.finish), "prompt_tokens": JSONValue(end.prompt),
            "cached_tokens": JSONValue(end.cached), "completion_tokens": JSONValue(end.completion),
            "receipt": text(end.receipt), "receipt_line": text(end.line), "signature": text(end.signature),
            "nonce": text(end.nonce), "amount": end.amount.map { JSONValue($0) } ?? .null,
            "reason": text(end.reason), "nonce_share": text(end.share),
            "constraint": end.constraint.map { [.string($0.kind), .string($0.text)] } ?? .null,
          ]
        ), ("tokens", list(tokens)), ("text", .string(words)),
      ]
    }
    return JSONWriter.bytes(.object(members))
  }

  /// nil for what no node says.
  package init?(parsing bytes: [UInt8]) {
    var limits = JSONText.Limits()
    limits.bytes = 8 << 20
    limits.depth = 8
    guard let value = try? JSONText.parse(bytes, limits: limits), let job = value["job"]?.string,
      let id = JobID(hex: job), let node = value["node"]?.string, node.utf8.count <= 64,
      let delivery = value["delivery"]?.integer, delivery >= 1
    else { return nil }
    let tokens = (value["tokens"]?.array ?? []).compactMap { $0.integer.flatMap { Int32(exactly: $0) } }
    guard tokens.count == (value["tokens"]?.array ?? []).count else { return nil }
    let body: Body
    if let state = value["state"]?.string.flatMap({ State(rawValue: $0) }) {
      body = .state(
        state, modelDigest: value["model_sha256"]?.string ?? "", numerics: value["numerics"]?.string ?? "")
    } else if let words = value["rejected"]?.string {
      body = .rejected(
        String(words.prefix(1_000)), isRequest: value["invalid_request"]?.bool ?? false)
    } else if let opening = value["opening"] {
      guard let found = QueueOpening(opening) else { return nil }
      body = .opening(found)
    } else if let end = value["done"] {
      guard let prompt = end["prompt_tokens"]?.integer, let cached = end["cached_tokens"]?.integer,
        let completion = end["completion_tokens"]?.integer, let text = value["text"]?.string
      else { return nil }
      var found = End(prompt: prompt, cached: cached, completion: completion)
      found.finish = end["finish"]?.string
      found.receipt = end["receipt"]?.string
      found.line = end["receipt_line"]?.string
      found.signature = end["signature"]?.string
      found.nonce = end["nonce"]?.string
      found.amount = end["amount"]?.integer.map { Int64($0) }
      found.reason = end["reason"]?.string
      found.share = end["nonce_share"]?.string
      if let pair = end["constraint"]?.array, pair.count == 2, let kind = pair[0].string,
        let text = pair[1].string
      {
        found.constraint = ConstraintSource(kind: kind, text: text)
      }
      body = .done(found, tokens: tokens, text: text)
    } else if let from = value["i"]?.integer, from >= 0, let text = value["text"]?.string {
      body = .chunk(from: from, tokens: tokens, text: text)
    } else {
      return nil
    }
    self.init(job: id, node: node, delivery: delivery, body)
  }
}
