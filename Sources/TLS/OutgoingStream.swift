// OutgoingStream.swift: a connection to another machine's TCP port, plain or in TLS, with deadlines.
// Reading and writing never wait; waiting is a call of its own. Not here: what is said. Start at
// OutgoingStream.init, secure and wait.

import CSystem
import Glibc

/// Why a connection failed, in words that follow the name of the other side.
public struct StreamError: Error, Hashable, Sendable, CustomStringConvertible {
  public let description: String
  public let hint: String?

  package init(_ description: String, hint: String? = nil) {
    self.description = description
    self.hint = hint
  }

  init(_ call: String, errno number: Int32) {
    self.init("\(call): \(String(cString: strerror(number)))")
  }
}

/// A connection that this machine opened. It belongs to one thread at a time.
public final class OutgoingStream {
  public typealias Deadline = ContinuousClock.Instant

  public enum Read: Sendable, Equatable {
    case bytes([UInt8])
    /// Nothing is there now.
    case nothing
    /// The other side has ended the connection properly.
    case ended
  }

  private let descriptor: Int32
  private var session: TLSSession?
  /// Bytes for the socket, from `start` on.
  private var pending: [UInt8] = []
  private var start = 0
  /// Encrypted bytes were read that may still hold plain ones.
  private var mayHoldMore = false
  private var buffer = [UInt8](repeating: 0, count: 65_536)

  /// Connects. Looking the name up takes as long as the system's resolver takes; the rest ends by
  /// the deadline.
  public init(host: String, port: UInt16, by deadline: Deadline) throws(StreamError) {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, "\(port)", &hints, &found)
    guard code == 0 else {
      throw StreamError("'\(host)' is not found: \(String(cString: gai_strerror(code)))")
    }
    defer { freeaddrinfo(found) }
    var last = ECONNREFUSED
    var next = found
    while let place = next {
      next = place.pointee.ai_next
      switch Self.connect(place.pointee, by: deadline) {
      case .success(let open):
        descriptor = open
        return
      case .failure(let problem): last = problem.number
      }
    }
    throw StreamError("'\(host):\(port)' cannot be reached: \(String(cString: strerror(last)))")
  }

  private struct Errno: Error { let number: Int32 }

  private static func connect(_ place: addrinfo, by deadline: Deadline) -> Result<Int32, Errno> {
    let type =
      place.ai_socktype | Int32(bitPattern: SOCK_CLOEXEC.rawValue) | Int32(bitPattern: SOCK_NONBLOCK.rawValue)
    let descriptor = socket(place.ai_family, type, place.ai_protocol)
    guard descriptor >= 0 else { return .failure(Errno(number: errno)) }
    func refuse(_ number: Int32) -> Result<Int32, Errno> {
      _ = csystem_close(descriptor)
      return .failure(Errno(number: number))
    }
    var on: Int32 = 1
    // Small messages are sent at once; where that cannot be set they come a little later.
    _ = setsockopt(
      descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    guard Glibc.connect(descriptor, place.ai_addr, place.ai_addrlen) != 0 else { return .success(descriptor) }
    guard errno == EINPROGRESS || errno == EINTR else { return refuse(errno) }
    guard poll(descriptor, Int16(POLLOUT), nil, until: deadline) != 0 else { return refuse(ETIMEDOUT) }
    var problem: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &problem, &size) == 0 else { return refuse(errno) }
    return problem == 0 ? .success(descriptor) : refuse(problem)
  }

  deinit { _ = csystem_close(descriptor) }

  /// Begins TLS on the open connection, and waits for the end of the handshake.
  /// - host: whom the certificate must be for
  public func secure(_ context: TLSContext, host: String, by deadline: Deadline) throws(StreamError) {
    let session = try Self.saying { () throws(TLSError) in try TLSSession(client: context, host: host) }
    while true {
      let verdict = Result { () throws(TLSError) in try session.handshake() }
      pending += session.take()
      do throws(StreamError) { _ = try flush() } catch { if case .success = verdict { throw error } }
      try Self.saying { () throws(TLSError) in try verdict.get() }
      if session.isEstablished { break }
      guard wait(until: deadline) else { throw StreamError("TLS: the handshake did not end in time") }
      guard let count = try receiveRaw() else { continue }
      guard count > 0 else {
        throw StreamError("TLS: the other side closed the connection during the handshake")
      }
      try Self.saying { () throws(TLSError) in try feed(session, count) }
    }
    self.session = session
    // The last flight may have been followed by data.
    mayHoldMore = true
  }

  /// What TLS says, as a problem of this connection.
  private static func saying<Value>(_ body: () throws(TLSError) -> Value) throws(StreamError) -> Value {
    do throws(TLSError) { return try body() } catch {
      throw StreamError("TLS: \(error)", hint: error.hint)
    }
  }

  private func feed(_ session: TLSSession, _ count: Int) throws(TLSError) {
    let verdict = buffer.withUnsafeBytes { all in
      Result { () throws(TLSError) in try session.feed(UnsafeRawBufferPointer(rebasing: all[..<count])) }
    }
    try verdict.get()
  }

  /// - Returns: how many bytes the socket gave, 0 at its end; nil if none is there now.
  private func receiveRaw() throws(StreamError) -> Int? {
    let count = buffer.withUnsafeMutableBytes { csystem_receive(descriptor, $0.baseAddress, $0.count) }
    if count == -Int(EAGAIN) || count == -Int(EINTR) { return nil }
    guard count >= 0 else { throw StreamError("the connection broke", errno: Int32(clamping: -count)) }
    return count
  }

  /// What has arrived. In TLS an end that the other side did not announce is an error: somebody
  /// between may have cut it.
  public func read() throws(StreamError) -> Read {
    guard let session else {
      guard let count = try receiveRaw() else { return .nothing }
      return count == 0 ? .ended : .bytes(Array(buffer[..<count]))
    }
    while true {
      if mayHoldMore, let found = try Self.saying({ () throws(TLSError) in try plain(session) }) {
        return found
      }
      guard let count = try receiveRaw() else { return .nothing }
      guard count > 0 else { throw StreamError("TLS: the connection was cut") }
      try Self.saying { () throws(TLSError) in try feed(session, count) }
      mayHoldMore = true
    }
  }

  private func plain(_ session: TLSSession) throws(TLSError) -> Read? {
    let result = buffer.withUnsafeMutableBytes { all in
      Result { () throws(TLSError) in try session.read(into: all) }
    }
    switch try result.get() {
    case .bytes(let count): return .bytes(Array(buffer[..<count]))
    case .ended: return .ended
    case .wantsMore:
      mayHoldMore = false
      // A change of keys is answered without any plain byte.
      pending += session.take()
      return nil
    }
  }

  /// Adds bytes to those that wait to be sent.
  public func write(_ bytes: [UInt8]) throws(StreamError) {
    guard let session else {
      pending += bytes
      return
    }
    let result = bytes.withUnsafeBytes { all in
      Result { () throws(TLSError) in try session.write(all) }
    }
    try Self.saying { () throws(TLSError) in try result.get() }
    pending += session.take()
  }

  /// How many bytes wait to be sent.
  public var waiting: Int { pending.count - start }

  /// Sends what the socket takes now.
  /// - Returns: whether nothing waits any more
  public func flush() throws(StreamError) -> Bool {
    while start < pending.count {
      let count = pending.withUnsafeBytes { all in
        csystem_send(descriptor, all.baseAddress.map { $0 + start }, all.count - start)
      }
      if count == -Int(EAGAIN) || count == -Int(EINTR) { break }
      guard count > 0 else { throw StreamError("the connection broke", errno: Int32(clamping: -count)) }
      start += count
    }
    if start == pending.count {
      pending.removeAll(keepingCapacity: pending.count < 1 << 16)
      start = 0
    } else if start > 1 << 16 {
      pending.removeFirst(start)
      start = 0
    }
    return pending.isEmpty
  }

  /// Sends all that waits.
  public func flushAll(by deadline: Deadline) throws(StreamError) {
    while try !flush() {
      guard Self.poll(descriptor, Int16(POLLOUT), nil, until: deadline) != 0 else {
        throw StreamError("it took nothing more in time")
      }
    }
  }

  /// Tells the other side that no more is sent, as far as that goes without waiting.
  public func finish() {
    guard let session else { return }
    session.finish()
    pending += session.take()
    // The connection is closed either way.
    _ = try? flush()
  }

  /// Waits until something can be read, or sent if something waits, or `wake` is readable.
  /// - Returns: false after the deadline
  public func wait(or wake: Int32? = nil, until deadline: Deadline?) -> Bool {
    if mayHoldMore { return true }
    let wanted = Int16(POLLIN) | (waiting > 0 ? Int16(POLLOUT) : 0)
    return Self.poll(descriptor, wanted, wake, until: deadline) != 0
  }

  private static func poll(
    _ descriptor: Int32, _ wanted: Int16, _ wake: Int32?, until deadline: Deadline?
  ) -> Int32 {
    while true {
      var places = [pollfd(fd: descriptor, events: wanted, revents: 0)]
      if let wake { places.append(pollfd(fd: wake, events: Int16(POLLIN), revents: 0)) }
      var milliseconds: Int32 = -1
      if let deadline {
        let left = ContinuousClock.now.duration(to: deadline)
        let (seconds, attoseconds) = left.components
        // Rounded up: waking before the deadline would spin until it is reached.
        milliseconds =
          left > .zero
          ? Int32(clamping: min(seconds, 1_000_000) * 1_000 + attoseconds / 1_000_000_000_000_000 + 1) : 0
      }
      let count = Glibc.poll(&places, nfds_t(places.count), milliseconds)
      if count < 0, errno == EINTR { continue }
      return count
    }
  }
}
