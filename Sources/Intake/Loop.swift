// Loop.swift: one thread, one epoll, all connections of one server. It handles descriptors,
// readiness and deadlines, not HTTP or lines: a Service makes the connections and a Connection
// implements the protocol. Time comes from a closure, so tests step the loop by hand. Start at
// turn.

import CSystem
import Glibc
import TLS

/// A system call of the loop that a test can make fail.
package enum Syscall: Sendable { case accept, receive, send }

/// A listener on a loop: makes connections of its kind.
protocol Service: AnyObject {
  /// nil refuses the peer; the loop closes the descriptor.
  func connect(_ seat: Connection.Seat) -> Connection?
  /// What is sent to a connection above the limit before it is closed.
  var refusal: [UInt8] { get }
}

/// Figures of a loop, for metrics and tests.
public struct LoopStatistics: Sendable, Equatable {
  public var openConnections = 0
  public var acceptedConnections = 0
  /// TLS handshakes that failed or were given up.
  public var failedHandshakes = 0
  /// Refused because the limit was reached or no descriptor was left.
  public var refusedConnections = 0
  /// Idle connections, or those with a half-sent request, closed in favour of new ones.
  public var evictedConnections = 0
  public var requests = 0
  /// Requests refused before they reached a handler.
  public var refusedRequests = 0
  /// Streams dropped because their readers were slow or gone.
  public var droppedStreams = 0
  /// Bytes of all connections so far.
  public var receivedBytes: UInt64 = 0
  public var sentBytes: UInt64 = 0

  public init() {}
}

final class Loop {
  struct Listener {
    var descriptor: Int32
    var service: any Service
  }

  private struct Slot {
    var connection: Connection?
    var generation: UInt32 = 0
  }

  private static let wakeToken = UInt64.max
  private static let listenerBit: UInt64 = 1 << 63

  let mailbox: Mailbox
  let maximumConnections: Int
  private let clock: () -> Int64
  private let poller: Int32
  private var listeners: [Listener] = []
  private var slots: [Slot] = []
  private var free: [Int] = []
  private(set) var openCount = 0
  private var wheel: TimerWheel
  private var events: [csystem_event]
  private var scratch: [UInt8]
  /// Decrypted bytes; made with the first TLS connection.
  private var plain: [UInt8] = []
  private var handshakeSteps = 0
  private var ready: [Connection] = []
  private var touched: [Connection] = []
  private var spare: Int32
  private var acceptPausedUntil: Int64?
  private var stopDeadline: Int64?
  private(set) var now: Int64
  private(set) var isStopped = false
  var statistics = LoopStatistics()
  /// Returns an errno to make a call fail with, or 0.
  var fault: ((Syscall) -> Int32)?

  init(mailbox: Mailbox, maximumConnections: Int, clock: @escaping () -> Int64) throws(ServerError) {
    self.mailbox = mailbox
    self.maximumConnections = maximumConnections
    self.clock = clock
    now = clock()
    wheel = TimerWheel(nowNanoseconds: now)
    events = Array(repeating: csystem_event(), count: 256)
    scratch = Array(repeating: 0, count: 65536)
    spare = csystem_open_spare()
    poller = csystem_epoll_create()
    guard poller >= 0 else { throw .system("epoll_create1", errno: -poller) }
    let added = csystem_epoll_add(
      poller, mailbox.descriptor, UInt32(CSYSTEM_READABLE), Self.wakeToken)
    guard added >= 0 else { throw .system("epoll_ctl", errno: -added) }
  }

  deinit {
    for listener in listeners { _ = csystem_close(listener.descriptor) }
    for slot in slots { if let open = slot.connection { _ = csystem_close(open.descriptor) } }
    if spare >= 0 { _ = csystem_close(spare) }
    if poller >= 0 { _ = csystem_close(poller) }
  }

  var isStopping: Bool { stopDeadline != nil }

  func listen(_ descriptor: Int32, _ service: any Service) throws(ServerError) {
    let token = Self.listenerBit | UInt64(listeners.count)
    listeners.append(Listener(descriptor: descriptor, service: service))
    let added = csystem_epoll_add(poller, descriptor, UInt32(CSYSTEM_READABLE), token)
    if added < 0 { throw .system("epoll_ctl", errno: -added) }
  }

  /// Releases the listening sockets without closing them, after a failed start.
  func forgetListeners() { listeners = [] }

  // MARK: One turn

  /// Does all work that is due, waits at most `wait` nanoseconds (nil: until something happens) for
  /// events, and handles them as well.
  func turn(wait: Int64?) {
    now = clock()
    handshakeSteps = 0
    settle()
    if endIfDone() { return }
    var nanoseconds = wheel.nanosecondsToNext(nowNanoseconds: now)
    for limit in [wait, stopDeadline.map { $0 - now }, acceptPausedUntil.map { $0 - now }] {
      if let limit { nanoseconds = min(nanoseconds ?? limit, limit) }
    }
    if !ready.isEmpty || !touched.isEmpty || !mailbox.goToSleep() { nanoseconds = 0 }
    // Rounded up: waking before the deadline would spin until it is reached.
    let milliseconds = nanoseconds.map { Int32(clamping: max(0, $0).clampedSum(999_999) / 1_000_000) } ?? -1
    let count = csystem_epoll_wait(poller, &events, Int32(events.count), milliseconds)
    mailbox.wakeUp()
    now = clock()
    for index in 0..<Int(max(count, 0)) { handle(events[index]) }
    for entry in wheel.expire(nowNanoseconds: now) { expire(entry) }
    if let paused = acceptPausedUntil, now >= paused { resumeAccepting() }
    settle()
    _ = endIfDone()
  }

  private func endIfDone() -> Bool {
    guard let deadline = stopDeadline else { return false }
    if now >= deadline { forEachConnection { $0.close(.stopped) } }
    if openCount == 0 { isStopped = true }
    return isStopped
  }

  /// Performs commands, lets connections process their input, and writes, until none of that is
  /// left to do or every connection has had its share.
  private func settle() {
    var rounds = 0
    repeat {
      for command in mailbox.take() { perform(command) }
      let going = ready
      ready = []
      for connection in going where connection.isOpen {
        connection.isReady = false
        connection.resume()
      }
      let changed = touched
      touched = []
      for connection in changed {
        connection.isTouched = false
        if connection.isOpen { connection.settle() }
      }
      rounds += 1
    } while rounds < 16 && (!ready.isEmpty || !touched.isEmpty)
  }

  private func handle(_ event: csystem_event) {
    if event.token == Self.wakeToken { return }
    if event.token & Self.listenerBit != 0 {
      accept(Int(event.token & ~Self.listenerBit))
    } else if let connection = find(event.token) {
      connection.handle(bits: event.bits)
      touch(connection)
    }
  }

  private func perform(_ command: LoopCommand) {
    switch command {
    case .exchange(let id, let serial, let action):
      guard let connection = find(id) else { return }
      connection.perform(action, serial: serial)
      touch(connection)
    case .line(let id, let bytes):
      guard let connection = find(id) else { return }
      connection.perform(line: bytes)
      touch(connection)
    case .closeLine(let id, let reason):
      find(id)?.performClose(reason)
    case .stop(let deadline):
      stop(deadline)
    }
  }

  private func stop(_ deadline: Int64) {
    stopDeadline = min(deadline, stopDeadline ?? .max)
    for listener in listeners {
      _ = csystem_epoll_remove(poller, listener.descriptor)
      _ = csystem_close(listener.descriptor)
    }
    listeners = []
    acceptPausedUntil = nil
    forEachConnection { $0.beginStop() }
  }

  // MARK: Accepting

  private func accept(_ index: Int) {
    guard listeners.indices.contains(index) else { return }
    let listener = listeners[index]
    // Bounded per turn: a flood of connections must not starve those that are open.
    for _ in 0..<64 {
      var peer = csystem_peer()
      let injected = fault?(.accept) ?? 0
      let descriptor = injected > 0 ? -injected : csystem_accept(listener.descriptor, &peer)
      if descriptor < 0 {
        if -descriptor == EAGAIN { return }
        // The peer left between its arrival and now.
        if -descriptor == ECONNABORTED || -descriptor == EPROTO { continue }
        // The process is out of descriptors: connections that strangers hold are given up before
        // any peer is refused.
        if -descriptor == EMFILE || -descriptor == ENFILE, evict() { continue }
        if -descriptor == EMFILE || -descriptor == ENFILE, spare >= 0, shed(listener) { continue }
        pauseAccepting()
        return
      }
      statistics.acceptedConnections += 1
      admit(descriptor, peerOf(peer, descriptor), listener.service)
    }
  }

  /// If no descriptor is left, frees the spare one to accept, notify and close one peer, then
  /// reopens it. Otherwise the peer would wait forever, and a level-triggered poll would spin.
  private func shed(_ listener: Listener) -> Bool {
    _ = csystem_close(spare)
    var peer = csystem_peer()
    let descriptor = csystem_accept(listener.descriptor, &peer)
    if descriptor >= 0 {
      statistics.refusedConnections += 1
      tell(listener.service.refusal, descriptor)
      _ = csystem_close(descriptor)
    }
    spare = csystem_open_spare()
    return descriptor >= 0
  }

  private func tell(_ bytes: [UInt8], _ descriptor: Int32) {
    // Best effort: the peer is refused either way.
    _ = bytes.withUnsafeBytes { csystem_send(descriptor, $0.baseAddress, $0.count) }
    _ = csystem_shutdown_writing(descriptor)
  }

  private func pauseAccepting() {
    for listener in listeners { _ = csystem_epoll_modify(poller, listener.descriptor, 0, 0) }
    acceptPausedUntil = now + 200_000_000
  }

  private func resumeAccepting() {
    acceptPausedUntil = nil
    if spare < 0 { spare = csystem_open_spare() }
    for (index, listener) in listeners.enumerated() {
      let token = Self.listenerBit | UInt64(index)
      _ = csystem_epoll_modify(poller, listener.descriptor, UInt32(CSYSTEM_READABLE), token)
    }
  }

  private func peerOf(_ peer: csystem_peer, _ descriptor: Int32) -> Peer? {
    if peer.is_unix != 0 { return localPeer(descriptor) }
    let address = withUnsafeBytes(of: peer.address) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    return .tcp(address: address, port: peer.port)
  }

  private func localPeer(_ descriptor: Int32) -> Peer? {
    var found = csystem_credentials()
    guard csystem_credentials_of(descriptor, &found) >= 0 else { return nil }
    return .local(PeerCredentials(uid: found.uid, gid: found.gid, pid: found.pid))
  }

  /// Takes one end of a socket pair as if it had been accepted. The loop owns the descriptor from
  /// now on.
  func adopt(_ descriptor: Int32, _ service: any Service, as peer: Peer?) {
    now = clock()
    statistics.acceptedConnections += 1
    admit(descriptor, peer ?? localPeer(descriptor), service)
  }

  private func admit(_ descriptor: Int32, _ peer: Peer?, _ service: any Service) {
    if openCount >= maximumConnections, !evict() {
      statistics.refusedConnections += 1
      tell(service.refusal, descriptor)
      _ = csystem_close(descriptor)
      return
    }
    let index = free.popLast() ?? slots.count
    if index == slots.count { slots.append(Slot()) }
    slots[index].generation &+= 1
    let id = UInt64(slots[index].generation & 0x7FFF_FFFF) << 32 | UInt64(index)
    guard let peer,
      let connection = service.connect(
        Connection.Seat(descriptor: descriptor, id: id, peer: peer, loop: self)),
      csystem_epoll_add(poller, descriptor, connection.interest, id) >= 0
    else {
      statistics.refusedConnections += 1
      free.append(index)
      _ = csystem_close(descriptor)
      return
    }
    slots[index].connection = connection
    openCount += 1
    connection.opened()
    touch(connection)
  }

  /// Connections of at most this rank are closed several at a time; otherwise a flood of new ones
  /// would cause a scan of all open connections for each of its own.
  private static let lastOfMany = 3

  /// Makes space: closes the connection of the lowest rank, and among those the one that has been
  /// silent longest.
  private func evict() -> Bool {
    var candidates: [(rank: Int, since: Int64, connection: Connection)] = []
    for slot in slots {
      guard let connection = slot.connection, let rank = connection.evictionRank else { continue }
      candidates.append((rank, connection.lastActivity, connection))
    }
    guard let first = candidates.min(by: { ($0.rank, $0.since) < ($1.rank, $1.since) }) else { return false }
    var victims = [first.connection]
    let many = maximumConnections / 64
    if many > 1, first.rank <= Self.lastOfMany {
      victims = candidates.filter { $0.rank <= Self.lastOfMany }
        .sorted { ($0.rank, $0.since) < ($1.rank, $1.since) }
        .prefix(many).map(\.connection)
    }
    for victim in victims {
      statistics.evictedConnections += 1
      victim.close(.disconnected)
    }
    return true
  }

  /// Ends the stranger's upload that has sent nothing for longest.
  func giveUpStrangersUpload() {
    var victim: Connection?
    for slot in slots {
      guard let candidate = slot.connection, candidate.isStrangersUpload else { continue }
      if let chosen = victim, chosen.lastActivity <= candidate.lastActivity { continue }
      victim = candidate
    }
    guard let victim else { return }
    statistics.evictedConnections += 1
    victim.giveUp()
    touch(victim)
  }

  /// Ends the TLS handshake that has sent nothing for longest.
  func giveUpHandshake() {
    var victim: Connection?
    for slot in slots {
      guard let candidate = slot.connection, candidate.isInHandshake else { continue }
      if let chosen = victim, chosen.lastActivity <= candidate.lastActivity { continue }
      victim = candidate
    }
    guard let victim else { return }
    statistics.evictedConnections += 1
    statistics.failedHandshakes += 1
    victim.close(.disconnected)
  }

  // MARK: For connections

  /// Whether one more step of a handshake may be taken in this turn. One costs a millisecond of
  /// arithmetic, and streams must not wait for a flood of them.
  func takesHandshake() -> Bool {
    handshakeSteps += 1
    return handshakeSteps <= 8
  }

  func find(_ id: UInt64) -> Connection? {
    let index = Int(id & 0xFFFF_FFFF)
    guard slots.indices.contains(index), let connection = slots[index].connection, connection.id == id
    else { return nil }
    return connection
  }

  func forEachConnection(_ body: (Connection) -> Void) {
    for slot in slots { if let connection = slot.connection { body(connection) } }
  }

  /// Schedules the connection to write and update its interest and deadline before the loop sleeps.
  func touch(_ connection: Connection) {
    guard connection.isOpen, !connection.isTouched else { return }
    connection.isTouched = true
    touched.append(connection)
  }

  /// Schedules the connection to process the input it holds.
  func makeReady(_ connection: Connection) {
    guard connection.isOpen, !connection.isReady else { return }
    connection.isReady = true
    ready.append(connection)
  }

  func setInterest(_ connection: Connection, _ bits: UInt32) {
    if csystem_epoll_modify(poller, connection.descriptor, bits, connection.id) < 0 {
      connection.close(.disconnected)
    }
  }

  func schedule(_ connection: Connection, _ deadline: Int64) {
    connection.deadline = deadline
    guard deadline < .max else { return }
    let tick = TimerWheel.tick(of: deadline)
    guard tick < connection.wheelTick else { return }
    connection.wheelTick = tick
    wheel.insert(connection.id, tick: tick)
  }

  private func expire(_ entry: TimerWheel.Entry) {
    // An entry that another has replaced is stale.
    guard let connection = find(entry.id), connection.wheelTick == entry.tick else { return }
    connection.wheelTick = .max
    if connection.deadline <= now {
      connection.deadlinePassed()
      touch(connection)
    } else {
      schedule(connection, connection.deadline)
    }
  }

  func remove(_ connection: Connection) {
    let index = Int(connection.id & 0xFFFF_FFFF)
    guard slots.indices.contains(index), slots[index].connection === connection else { return }
    slots[index].connection = nil
    free.append(index)
    openCount -= 1
    _ = csystem_close(connection.descriptor)
  }

  /// Reads once, at most `limit` bytes, and passes them on. 0 bytes mean the end of the peer's
  /// data.
  func receive(_ connection: Connection, limit: Int) {
    // Moved out for the call, so that the code that reads the buffer cannot write to it.
    var buffer = scratch
    scratch = []
    defer { scratch = buffer }
    let injected = fault?(.receive) ?? 0
    let count =
      injected > 0
      ? -Int(injected)
      : buffer.withUnsafeMutableBytes {
        csystem_receive(connection.descriptor, $0.baseAddress, min(limit, $0.count))
      }
    if count > 0 {
      connection.lastActivity = now
      statistics.receivedBytes &+= UInt64(count)
      if let secure = connection.secure {
        open(secure, connection, buffer, count)
      } else {
        connection.received(buffer.span.extracting(0..<count))
      }
    } else if count == 0 {
      connection.reachedEnd()
    } else if count != -Int(EAGAIN) {
      connection.close(.disconnected)
    }
  }

  /// Decrypts what arrived, and passes it on.
  private func open(_ secure: SecureLink, _ connection: Connection, _ bytes: [UInt8], _ count: Int) {
    if plain.isEmpty { plain = Array(repeating: 0, count: TLSSession.recordBytes) }
    var buffer = plain
    plain = []
    defer { plain = buffer }
    let wasInHandshake = connection.isInHandshake
    do throws(TLSError) {
      let fed = bytes.withUnsafeBytes { all in
        Result { () throws(TLSError) in
          try secure.session.feed(UnsafeRawBufferPointer(rebasing: all[..<count]))
        }
      }
      try fed.get()
      try secure.session.handshake()
      secure.collect()
      guard secure.isEstablished else { return }
      if wasInHandshake { connection.secured() }
      while connection.isOpen {
        let read = buffer.withUnsafeMutableBytes { all in
          Result { () throws(TLSError) in try secure.session.read(into: all) }
        }
        switch try read.get() {
        case .bytes(let count): connection.received(buffer.span.extracting(0..<count))
        case .ended: connection.reachedEnd()
        case .wantsMore: return secure.collect()
        }
      }
    } catch {
      if wasInHandshake { statistics.failedHandshakes += 1 }
      // The alert that says why; best effort, as the connection ends either way.
      secure.collect()
      _ = send(connection)
      connection.close(.disconnected)
    }
  }

  /// Offers what waits to the socket.
  /// - Returns: how many bytes it took, or the negated errno
  private func write(_ buffer: OutputBuffer, of connection: Connection) -> Int {
    let waiting = buffer.waiting
    let injected = fault?(.send) ?? 0
    if injected > 0 { return -Int(injected) }
    let count = buffer.bytes.withUnsafeBytes { all in
      let part = UnsafeRawBufferPointer(rebasing: all[waiting])
      return csystem_send(connection.descriptor, part.baseAddress, part.count)
    }
    if count > 0 {
      statistics.sentBytes &+= UInt64(count)
      connection.lastWrite = now
    }
    return count
  }

  /// Encrypts and writes as much as the socket accepts. False if the connection broke.
  private func send(_ connection: Connection, through secure: SecureLink) -> Bool {
    while true {
      do throws(TLSError) { try secure.seal(connection.output) } catch { return false }
      guard !secure.sealed.isEmpty else { return true }
      let count = write(secure.sealed, of: connection)
      if count == -Int(EAGAIN) { return true }
      guard count > 0 else { return false }
      secure.sent(count, of: &connection.output)
    }
  }

  /// Writes as much as the socket accepts. False if the connection broke.
  func send(_ connection: Connection) -> Bool {
    if let secure = connection.secure { return send(connection, through: secure) }
    while !connection.output.isEmpty {
      let count = write(connection.output, of: connection)
      if count == -Int(EAGAIN) { return true }
      guard count > 0 else { return false }
      connection.output.drop(count)
    }
    return true
  }
}
