// NATSClient.swift: a client of one of several NATS servers: one thread, one connection, which is
// made again whenever it is lost. What is said is decided in NATSCore. Start at NATSClient.start.

import CSystem
import Dispatch
import Foundation
import JSON
import Synchronization
import TLS

/// Where a server listens.
package struct NATSServer: Sendable, Hashable, CustomStringConvertible {
  package let host: String
  package let port: UInt16
  /// The connection must be in TLS; it is too where the server demands it.
  package let isSecure: Bool

  /// - text: `HOST`, `HOST:PORT`, with `nats://` or `tls://` before it
  package init?(_ text: String) {
    var rest = Substring(text)
    isSecure = rest.hasPrefix("tls://")
    if let scheme = rest.range(of: "://") {
      guard isSecure || rest.hasPrefix("nats://") else { return nil }
      rest = rest[scheme.upperBound...]
    }
    let colon = rest.lastIndex(of: ":").flatMap { rest[$0...].contains("]") ? nil : $0 }
    let name = rest[..<(colon ?? rest.endIndex)].filter { $0 != "[" && $0 != "]" }
    guard let number = colon.map({ UInt16(rest[rest.index(after: $0)...]) }) ?? 4_222, number > 0,
      !name.isEmpty, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x2F && $0 != 0x40 })
    else { return nil }
    (host, port) = (name, number)
  }

  package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// What a client tells its owner.
package enum NATSNotice: Sendable, Equatable {
  /// The connection is there, to that server of that version.
  case connected(NATSServer, version: String)
  /// It is not, and why.
  case disconnected(NATSServer, String)
  /// The server refused something, in its words.
  case complaint(String)
}

package final class NATSClient: Sendable {
  package struct Settings: Sendable {
    package var servers: [NATSServer]
    /// Shown by the server.
    package var name: String
    /// The token of this client's inboxes, which its rights name.
    package var inbox: String
    package var login = NATSLogin.none
    package var trust = TLSTrust()
    package var version = "0"

    package init(servers: [NATSServer], name: String, inbox: String) {
      self.servers = servers
      self.name = name
      self.inbox = inbox
    }
  }

  package struct Status: Sendable, Equatable {
    package var server: NATSServer?
    package var info: NATSInfo?
    package var isReady: Bool { info != nil }
    /// Connections made so far.
    package var connections = 0
    /// The last reason why there was none.
    package var trouble: String?
  }

  private struct Inner: Sendable {
    var core: NATSCore
    var status = Status()
    var isClosing = false
    var isEnded = false
  }

  private let settings: Settings
  private let notice: @Sendable (NATSNotice) -> Void
  private let inner: Mutex<Inner>
  private let wake: Int32
  private let ended = DispatchGroup()

  /// - notice: called on the client's thread, as are all handlers; none may block.
  package init(
    _ settings: Settings, notice: @escaping @Sendable (NATSNotice) -> Void = { _ in }
  ) {
    self.settings = settings
    self.notice = notice
    let drawn = UInt64.random(in: .min ... .max)
    inner = Mutex(
      Inner(
        core: NATSCore(
          inbox: "_INBOX.\(NATSSubject.token(settings.inbox)).\(String(drawn, radix: 36))")))
    wake = csystem_eventfd()
  }

  deinit { _ = csystem_close(wake) }

  package var status: Status { inner.withLock { $0.status } }

  /// A subject below this client's own inbox; another one for each call.
  package func makeInbox(_ name: String) -> String {
    "_INBOX.\(NATSSubject.token(settings.inbox)).\(name)\(String(UInt64.random(in: .min ... .max), radix: 36))"
  }

  // MARK: what its owner asks for

  /// Connects, and again whenever that is needed, until `close`.
  package func start() {
    ended.enter()
    let thread = Thread { [self] in
      run()
      ended.leave()
    }
    thread.name = "hotpot-nats"
    thread.stackSize = 512 << 10
    thread.start()
  }

  private func change<Value>(
    _ body: (inout NATSCore) throws(NATSError) -> Value
  ) throws(NATSError) -> Value {
    let result = inner.withLock { inner -> Result<Value, NATSError> in
      guard !inner.isClosing else { return .failure(.closed) }
      do throws(NATSError) { return .success(try body(&inner.core)) } catch { return .failure(error) }
    }
    _ = csystem_wake(wake)
    return try result.get()
  }

  package func publish(_ message: NATSMessage) throws(NATSError) {
    try change { (core) throws(NATSError) in try core.publish(message) }
  }

  /// Asks, and finishes once: with the first answer, or why there is none.
  package func request(
    _ message: NATSMessage, timeout: Duration = .seconds(5),
    _ done: @escaping @Sendable (Result<NATSMessage, NATSError>) -> Void
  ) {
    do throws(NATSError) {
      try change { (core) throws(NATSError) in
        try core.request(message, by: Self.now + timeout.milliseconds, done)
      }
    } catch {
      done(.failure(error))
    }
  }

  /// The same, waiting; never on the client's own thread.
  package func ask(_ message: NATSMessage, timeout: Duration = .seconds(5)) throws(NATSError) -> NATSMessage {
    let answer = Answer()
    request(message, timeout: timeout) { answer.came($0) }
    return try answer.wait().get()
  }

  private final class Answer: Sendable {
    private let value = Mutex<Result<NATSMessage, NATSError>>(.failure(.timedOut))
    private let semaphore = DispatchSemaphore(value: 0)

    func came(_ result: Result<NATSMessage, NATSError>) {
      value.withLock { $0 = result }
      semaphore.signal()
    }

    func wait() -> Result<NATSMessage, NATSError> {
      semaphore.wait()
      return value.withLock { $0 }
    }
  }

  package func subscribe(
    _ subject: String, queue: String? = nil, _ handler: @escaping @Sendable (NATSMessage) -> Void
  ) throws(NATSError) -> UInt64 {
    try change { (core) throws(NATSError) in try core.subscribe(subject, queue: queue, handler) }
  }

  /// - keepsHandler: what is on its way still arrives, until it is called without
  package func unsubscribe(_ id: UInt64, keepsHandler: Bool = false) {
    // A closed client has no subscriptions.
    try? change { (core) throws(NATSError) in core.unsubscribe(id, keepsHandler: keepsHandler) }
  }

  /// Ends the client. What was published before is sent, if the server takes it within two seconds.
  package func close() {
    inner.withLock { inner in
      guard !inner.isClosing else { return }
      inner.isClosing = true
      inner.core.drain(by: Self.now + 2_000)
    }
    _ = csystem_wake(wake)
  }

  /// Blocks until the thread has ended.
  package func waitUntilClosed() { ended.wait() }

  // MARK: the thread

  private static var now: Int64 {
    let (seconds, attoseconds) = start.duration(to: .now).components
    return seconds * 1_000 + attoseconds / 1_000_000_000_000_000
  }
  private static let start = ContinuousClock.now

  private var isClosing: Bool { inner.withLock { $0.isClosing } }

  private func run() {
    var failures = 0
    var next = 0
    while !isClosing {
      let server = settings.servers[next % settings.servers.count]
      next += 1
      let before = status.connections
      let reason = session(server)
      perform(
        inner.withLock { inner in
          (inner.status.server, inner.status.info, inner.status.trouble) = (nil, nil, reason)
          return inner.core.lost()
        })
      guard !isClosing else { break }
      failures = status.connections > before ? 0 : failures + 1
      notice(.disconnected(server, reason))
      // Twice as long each time up to five seconds, and a part of it by chance, so that a server
      // that comes back does not meet all its clients at once.
      let most = min(5_000, 100 << min(failures, 6))
      pause(Int64.random(in: Int64(most) / 2...Int64(most)))
    }
    perform(
      inner.withLock { inner in
        inner.isEnded = true
        return inner.core.close()
      })
  }

  private func pause(_ milliseconds: Int64) {
    let end = Self.now + milliseconds
    while !isClosing, Self.now < end {
      var place = pollfd(fd: wake, events: Int16(POLLIN), revents: 0)
      if poll(&place, 1, Int32(clamping: end - Self.now)) > 0 { _ = csystem_wake_clear(wake) }
    }
  }

  /// One connection, to its end.
  /// - Returns: why it ended
  private func session(_ server: NATSServer) -> String {
    let stream: OutgoingStream
    do throws(StreamError) {
      stream = try OutgoingStream(host: server.host, port: server.port, by: .now + .seconds(5))
    } catch {
      return error.description
    }
    inner.withLock { $0.core.connected(wantsTLS: server.isSecure, at: Self.now) }
    do {
      while true {
        let (output, deadline, isDone) = inner.withLock { inner in
          (inner.core.takeOutput(), inner.core.deadline, inner.isClosing && inner.core.isDrained)
        }
        if !output.isEmpty { try stream.write(output) }
        _ = try stream.flush()
        if isDone {
          stream.finish()
          return "closed"
        }
        if stream.waiting > NATSCore.maximumOutput { return "it reads nothing" }
        let left = max(0, min(deadline - Self.now, 60_000))
        _ = stream.wait(or: wake, until: .now + .milliseconds(left))
        _ = csystem_wake_clear(wake)
        // A bounded share before what others want to send.
        for _ in 0..<16 {
          let read = try stream.read()
          guard case .bytes(let bytes) = read else {
            if read == .ended { return "it closed the connection" }
            break
          }
          let effects = inner.withLock { $0.core.received(bytes, at: Self.now) }
          if let reason = try carryOut(effects, stream, server) { return reason }
        }
        let effects = inner.withLock { $0.core.tick(at: Self.now) }
        if let reason = try carryOut(effects, stream, server) { return reason }
      }
    } catch {
      return "\(error)"
    }
  }

  /// - Returns: why the connection is to end, if it is
  private func carryOut(
    _ effects: [NATSCore.Effect], _ stream: OutgoingStream, _ server: NATSServer
  ) throws -> String? {
    for effect in effects {
      switch effect {
      case .deliver(let handler, let message): handler(message)
      case .finish(let done, let result): done(result)
      case .complaint(let words): notice(.complaint(words))
      case .end(let reason): return reason
      case .serverLeaves:
        // With one server there is nowhere to go before it has left.
        if settings.servers.count > 1 { return "it is about to stop" }
      case .secure:
        try stream.secure(
          TLSContext.client(settings.trust), host: server.host, by: .now + .seconds(10))
        let more = inner.withLock { $0.core.secured() }
        if let reason = try carryOut(more, stream, server) { return reason }
      case .prepareLogin(let info):
        let fields = try settings.login.fields(for: info)
        inner.withLock {
          $0.core.logIn(as: settings.name, fields, version: settings.version, at: Self.now)
        }
      case .becameReady:
        let info = inner.withLock { inner in
          inner.status.server = server
          inner.status.info = inner.core.info
          inner.status.connections += 1
          inner.status.trouble = nil
          return inner.core.info
        }
        notice(.connected(server, version: info.version))
      }
    }
    return nil
  }

  /// What is left to do when there is no connection.
  private func perform(_ effects: [NATSCore.Effect]) {
    for case .finish(let done, let result) in effects { done(result) }
  }
}

extension Duration {
  var milliseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1_000 + attoseconds / 1_000_000_000_000_000
  }
}
