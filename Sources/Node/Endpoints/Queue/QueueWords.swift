// QueueWords.swift: the shared queue's messages, as nodes and those who ask have them on the wire:
// subjects, the job, and what is said about it while it runs. Start at QueueJob and QueueWord.
import JSON
import NATS
import Scheduling

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
  package let body: [UInt8]

  package init(
    id: JobID, client: String, priorityClass: SharedQueue.Class, reply: String, deadline: Int64? = nil,
    modelDigest: String? = nil, numerics: String? = nil, body: [UInt8]
  ) {
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
    self.init(
      id: id, client: tokens[4], priorityClass: priorityClass, reply: reply, deadline: deadline,
      modelDigest: headers["Hotpot-Model-SHA256"], numerics: headers["Hotpot-Numerics"],
      body: message.payload)
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

    package init(prompt: Int, cached: Int, completion: Int) {
      self.prompt = prompt
      self.cached = cached
      self.completion = completion
    }
  }

  package enum Body: Sendable, Equatable {
    /// With the digest of the model and the profile that it runs in.
    case state(State, modelDigest: String, numerics: String)
    /// Tokens from number `from` on, and the text that they added.
    case chunk(from: Int, tokens: [Int32], text: String)
    /// All of the answer again, and its receipt: the end.
    case done(End, tokens: [Int32], text: String)
    /// Nobody answers it: the end.
    case rejected(String)
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
    case .rejected(let words): members.append(("rejected", .string(words)))
    case .done(let end, let tokens, let words):
      members += [
        (
          "done",
          [
            "finish": text(end.finish), "prompt_tokens": JSONValue(end.prompt),
            "cached_tokens": JSONValue(end.cached), "completion_tokens": JSONValue(end.completion),
            "receipt": text(end.receipt), "receipt_line": text(end.line), "signature": text(end.signature),
            "nonce": text(end.nonce), "amount": end.amount.map { JSONValue($0) } ?? .null,
            "reason": text(end.reason),
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
      body = .rejected(String(words.prefix(1_000)))
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
      body = .done(found, tokens: tokens, text: text)
    } else if let from = value["i"]?.integer, from >= 0, let text = value["text"]?.string {
      body = .chunk(from: from, tokens: tokens, text: text)
    } else {
      return nil
    }
    self.init(job: id, node: node, delivery: delivery, body)
  }
}
