// NATSCore.swift: what a client of a NATS server says and when, as a value: bytes and moments in,
// bytes and effects out. It has no socket, no clock and no thread (NATSClient). Start at connected,
// received and tick.

import JSON

/// Why something asked of a server did not happen.
package enum NATSError: Error, Sendable, Hashable, CustomStringConvertible {
  /// There is no connection, or it broke meanwhile.
  case disconnected
  case timedOut
  /// Nobody listens on the subject.
  case noResponders
  /// The message is larger than the server takes.
  case tooLarge(bytes: Int, limit: Int)
  case subject(String)
  case closed

  package var description: String {
    switch self {
    case .disconnected: "there is no connection to a server"
    case .timedOut: "no answer in time"
    case .noResponders: "nobody listens there"
    case .tooLarge(let bytes, let limit): "the message has \(bytes) bytes, the server takes at most \(limit)"
    case .subject(let subject): "'\(subject.prefix(80))' is no subject"
    case .closed: "the client is closed"
    }
  }
}

struct NATSCore: Sendable {
  typealias Milliseconds = Int64
  typealias Handler = @Sendable (NATSMessage) -> Void
  typealias Done = @Sendable (Result<NATSMessage, NATSError>) -> Void

  enum Phase: Sendable, Equatable {
    case closed
    /// The server's first INFO is awaited.
    case greeting
    /// INFO came; TLS begins, or the login is made up.
    case securing, signing
    /// CONNECT was sent, and a PING behind it.
    case login
    case ready
  }

  enum Effect: Sendable {
    case deliver(Handler, NATSMessage)
    case finish(Done, Result<NATSMessage, NATSError>)
    /// TLS is to begin; `secured` is to follow.
    case secure
    /// `logIn` is to follow with the fields for this server.
    case prepareLogin(NATSInfo)
    case becameReady
    /// The server leaves, and asks its clients to go elsewhere.
    case serverLeaves
    /// Something that the operator should know.
    case complaint(String)
    /// The connection is of no use any more.
    case end(String)
  }

  private struct Subscription: Sendable {
    let subject: String
    let queue: String?
    let handler: Handler
  }

  private struct Request: Sendable {
    let deadline: Milliseconds
    let done: Done
  }

  /// How long a server may take to greet, and to take the login.
  static let loginTime: Milliseconds = 5_000
  static let pingInterval: Milliseconds = 20_000
  /// Bytes that may wait for a server that reads slowly.
  static let maximumOutput = 32 << 20

  let inbox: String
  private(set) var phase = Phase.closed
  private(set) var info = NATSInfo()
  private var wantsTLS = false
  private var isSecure = false
  private var parser = NATSParser()
  private var output: [UInt8] = []
  private var subscriptions: [UInt64: Subscription] = [:]
  private var requests: [String: Request] = [:]
  private var nextSubscription: UInt64 = 2
  private var nextRequest: UInt64 = 0
  private var phaseDeadline = Milliseconds.max
  private var nextPing = Milliseconds.max
  private var pingsOut = 0
  private var drainDeadline: Milliseconds?
  private(set) var isDrained = false

  /// - inbox: a subject that no other client of the server has, without a dot at its end
  init(inbox: String) { self.inbox = inbox }

  // MARK: the connection

  /// - wantsTLS: the address says that the connection must be in TLS
  mutating func connected(wantsTLS: Bool, at now: Milliseconds) {
    parser = NATSParser()
    output = []
    (self.wantsTLS, isSecure) = (wantsTLS, false)
    info = NATSInfo()
    pingsOut = 0
    phase = .greeting
    phaseDeadline = now + Self.loginTime
    nextPing = .max
  }

  mutating func secured() -> [Effect] {
    guard phase == .securing else { return [] }
    isSecure = true
    phase = .signing
    return [.prepareLogin(info)]
  }

  /// - credentials: the fields of CONNECT that say who this is
  mutating func logIn(
    as name: String, _ credentials: [JSONValue.Member], version: String, at now: Milliseconds
  ) {
    guard phase == .signing else { return }
    let fields: [JSONValue.Member] =
      [
        ("verbose", .bool(false)), ("pedantic", .bool(false)), ("lang", .string("swift")),
        ("version", .string(version)), ("name", .string(name)), ("protocol", .int(1)),
        ("headers", .bool(true)), ("no_responders", .bool(true)), ("echo", .bool(false)),
      ] + credentials
    output += Array("CONNECT ".utf8) + JSONWriter.bytes(.object(fields)) + Array("\r\nPING\r\n".utf8)
    phase = .login
    phaseDeadline = now + Self.loginTime
  }

  /// The connection is gone: what was asked over it fails; subscriptions are made again with the
  /// next.
  mutating func lost() -> [Effect] {
    phase = .closed
    (phaseDeadline, nextPing) = (.max, .max)
    output = []
    let failed = requests.values.map { Effect.finish($0.done, .failure(.disconnected)) }
    requests = [:]
    return failed
  }

  mutating func takeOutput() -> [UInt8] {
    defer { output = [] }
    return output
  }

  /// When `tick` is to be called at the latest.
  var deadline: Milliseconds {
    min(phaseDeadline, nextPing, drainDeadline ?? .max, requests.values.map(\.deadline).min() ?? .max)
  }

  mutating func tick(at now: Milliseconds) -> [Effect] {
    var effects: [Effect] = []
    for (token, request) in requests where request.deadline <= now {
      requests[token] = nil
      effects.append(.finish(request.done, .failure(.timedOut)))
    }
    if phaseDeadline <= now {
      phaseDeadline = .max
      effects.append(.end(phase == .greeting ? "it sent no greeting" : "it did not answer the login"))
    }
    if nextPing <= now {
      if pingsOut >= 2 {
        nextPing = .max
        effects.append(.end("it answers no more"))
      } else {
        pingsOut += 1
        nextPing = now + Self.pingInterval
        output += Array("PING\r\n".utf8)
      }
    }
    if let drainDeadline, drainDeadline <= now { isDrained = true }
    return effects
  }

  // MARK: what the server says

  /// - Returns: an effect `end` if the server did what it may not
  mutating func received(_ bytes: [UInt8], at now: Milliseconds) -> [Effect] {
    parser.append(bytes)
    var effects: [Effect] = []
    // Whatever comes shows that it lives.
    if phase == .ready {
      pingsOut = 0
      nextPing = now + Self.pingInterval
    }
    var isPinged = false
    do throws(NATSFault) {
      while phase != .closed, let said = try parser.next() {
        // A flood of them is answered once.
        if said == .ping { isPinged = true } else { try take(said, at: now, &effects) }
      }
    } catch {
      effects.append(.end("it breaks the protocol: \(error)"))
      return effects
    }
    if isPinged { output += Array("PONG\r\n".utf8) }
    if output.count > Self.maximumOutput { effects.append(.end("it reads nothing")) }
    return effects
  }

  private mutating func take(
    _ said: NATSSaid, at now: Milliseconds, _ effects: inout [Effect]
  ) throws(NATSFault) {
    switch said {
    case .info(let bytes): try greet(NATSInfo(parsing: bytes), &effects)
    case .ping, .ok: break
    case .pong:
      switch phase {
      case .login:
        phase = .ready
        phaseDeadline = .max
        nextPing = now + Self.pingInterval
        subscribeAgain()
        effects.append(.becameReady)
      case .ready: if drainDeadline != nil { isDrained = true }
      case .closed, .greeting, .securing, .signing: throw NATSFault("it sent PONG before the login")
      }
    case .error(let words):
      // The connection stays open after a refusal of one subject.
      if phase == .ready, words.lowercased().hasPrefix("permissions violation") {
        effects.append(.complaint(words))
      } else {
        effects.append(.end("it said '\(words)'"))
      }
    case .message(let message):
      guard phase == .ready else { throw NATSFault("it sent a message before the login") }
      deliver(message, &effects)
    }
  }

  private mutating func greet(_ found: NATSInfo, _ effects: inout [Effect]) throws(NATSFault) {
    let first = phase == .greeting
    info = found
    if found.isLeaving, !first { effects.append(.serverLeaves) }
    guard first else { return }
    if wantsTLS || found.wantsTLS {
      guard found.wantsTLS || found.offersTLS else { throw NATSFault("it has no TLS, which is wanted") }
      // Plain bytes behind the greeting would be taken for those that TLS protects.
      guard !parser.holdsBytes else { throw NATSFault("it sent plain bytes where TLS begins") }
      phase = .securing
      effects.append(.secure)
    } else {
      phase = .signing
      effects.append(.prepareLogin(found))
    }
  }

  private mutating func deliver(_ message: NATSMessage, _ effects: inout [Effect]) {
    if message.subscription == 1 {
      // One subscription for all answers: the inbox's last token says to which request.
      guard message.subject.hasPrefix(inbox + ".") else { return }
      let token = String(message.subject.dropFirst(inbox.utf8.count + 1))
      // An answer may come after its timer.
      guard let request = requests.removeValue(forKey: token) else { return }
      let isNobody = message.status == 503 && message.payload.isEmpty
      effects.append(.finish(request.done, isNobody ? .failure(.noResponders) : .success(message)))
    } else if let subscription = subscriptions[message.subscription] {
      effects.append(.deliver(subscription.handler, message))
    }
  }

  // MARK: what is said to it

  private mutating func subscribeAgain() {
    output += Array("SUB \(inbox).* 1\r\n".utf8)
    for (id, subscription) in subscriptions.sorted(by: { $0.key < $1.key }) { say(id, subscription) }
  }

  private mutating func say(_ id: UInt64, _ subscription: Subscription) {
    let queue = subscription.queue.map { $0 + " " } ?? ""
    output += Array("SUB \(subscription.subject) \(queue)\(id)\r\n".utf8)
  }

  /// The number of a new subscription; it is made now, and again after each loss of the connection.
  mutating func subscribe(
    _ subject: String, queue: String? = nil, _ handler: @escaping Handler
  ) throws(NATSError) -> UInt64 {
    guard NATSSubject.isPattern(subject), queue.map(NATSSubject.isPlain) ?? true else {
      throw .subject(subject)
    }
    let subscription = Subscription(subject: subject, queue: queue, handler: handler)
    let id = nextSubscription
    nextSubscription += 1
    subscriptions[id] = subscription
    if phase == .ready { say(id, subscription) }
    return id
  }

  /// - keepsHandler: what is on its way still arrives, until this is called without
  mutating func unsubscribe(_ id: UInt64, keepsHandler: Bool = false) {
    guard subscriptions[id] != nil else { return }
    if !keepsHandler { subscriptions[id] = nil }
    if phase == .ready { output += Array("UNSUB \(id)\r\n".utf8) }
  }

  mutating func publish(_ message: NATSMessage) throws(NATSError) {
    guard phase == .ready else { throw .disconnected }
    guard NATSSubject.isPlain(message.subject), message.reply.map(NATSSubject.isPlain) ?? true else {
      throw .subject(message.subject)
    }
    let headers = message.headers.map(\.bytes) ?? []
    let total = headers.count + message.payload.count
    guard total <= info.maximumPayload else { throw .tooLarge(bytes: total, limit: info.maximumPayload) }
    guard output.count + total <= Self.maximumOutput else { throw .disconnected }
    let reply = message.reply.map { $0 + " " } ?? ""
    let line =
      headers.isEmpty
      ? "PUB \(message.subject) \(reply)\(total)\r\n"
      : "HPUB \(message.subject) \(reply)\(headers.count) \(total)\r\n"
    output += line.utf8
    output += headers
    output += message.payload
    output += [0x0D, 0x0A]
  }

  /// Publishes with an inbox of its own, and finishes with the first answer, or by the deadline.
  mutating func request(
    _ message: NATSMessage, by deadline: Milliseconds, _ done: @escaping Done
  ) throws(NATSError) {
    nextRequest &+= 1
    let token = String(nextRequest, radix: 36)
    var sent = message
    sent.reply = "\(inbox).\(token)"
    try publish(sent)
    requests[token] = Request(deadline: deadline, done: done)
  }

  /// Nothing more is wanted: what the server still sends is taken until it has confirmed.
  mutating func drain(by deadline: Milliseconds) {
    guard phase == .ready else {
      isDrained = true
      return
    }
    guard drainDeadline == nil else { return }
    for id in subscriptions.keys.sorted() { output += Array("UNSUB \(id)\r\n".utf8) }
    output += Array("PING\r\n".utf8)
    drainDeadline = deadline
  }

  /// Everything that was asked fails, for good.
  mutating func close() -> [Effect] {
    subscriptions = [:]
    return lost().map { effect in
      if case .finish(let done, _) = effect { return .finish(done, .failure(.closed)) }
      return effect
    }
  }
}
