// LineServer.swift: lines of bytes over a Unix socket, for processes of this machine. Start at
// LineServer.init. It does not interpret lines. Every line ends in LF, which callers neither
// receive nor pass.

import Synchronization

/// A server of lines on a Unix socket (mode 0600), on its own thread.
///
/// Its callbacks are called on that thread, in order for each peer, and must not block.
public final class LineServer: Sendable {
  public struct Configuration: Sendable {
    public var path: String
    /// Who may connect besides root.
    public var users: [UInt32]
    /// Decides about all other users; called on the server's thread.
    public var accepts: @Sendable (PeerCredentials) -> Bool = { _ in false }
    /// A peer above this number is disconnected.
    public var maximumConnections = 64
    /// The line, without its LF, that a peer gets if the limit of peers or of descriptors is
    /// reached; empty sends nothing.
    public var refusal: [UInt8] = []
    /// Bytes without the LF; a peer that sends a longer line is disconnected.
    public var lineBytes = 1 << 20
    /// Bytes that may wait for a slow peer; a peer that exceeds it is disconnected.
    public var bufferBytes = 4 << 20
    /// How long a peer may leave waiting output unread.
    public var writeStallTimeout = Duration.seconds(20)

    public init(path: String, users: [UInt32]) {
      self.path = path
      self.users = users
    }
  }

  public struct Callbacks: Sendable {
    public var onOpen: @Sendable (LinePeer) -> Void
    public var onLine: @Sendable (LinePeer, [UInt8]) -> Void
    /// Called once for each peer that was opened, whichever side closed it.
    public var onClose: @Sendable (LinePeer, Gone) -> Void

    public init(
      onOpen: @escaping @Sendable (LinePeer) -> Void = { _ in },
      onLine: @escaping @Sendable (LinePeer, [UInt8]) -> Void,
      onClose: @escaping @Sendable (LinePeer, Gone) -> Void = { _, _ in }
    ) {
      self.onOpen = onOpen
      self.onLine = onLine
      self.onClose = onClose
    }
  }

  private let running: RunningLoop

  /// Binds the socket, then serves on a new thread until `stop`, or until the server is dropped.
  public init(_ configuration: Configuration, _ callbacks: Callbacks) throws(ServerError) {
    let bound = try BoundAddresses([.unix(path: configuration.path, users: configuration.users)])
    running = try RunningLoop(
      name: "hotpot-control", maximumConnections: configuration.maximumConnections, bound: bound, bodyBytes: 0
    ) { users, _ in
      LineService(configuration, users: users, callbacks)
    }
  }

  deinit { running.stop(grace: .zero) }

  public var statistics: LoopStatistics { running.current }

  /// Stops accepting, spends at most `grace` writing what is waiting, and closes all peers.
  public func stop(grace: Duration) { running.stop(grace: grace) }

  /// Waits until the server has stopped. It blocks the calling thread.
  public func waitUntilStopped() { running.ended.wait() }
}

/// One connected process. Thread-safe; its methods never block.
public final class LinePeer: Sendable {
  public let id: UInt64
  public let credentials: PeerCredentials
  private let mailbox: Mailbox
  private let limit: Int
  private let waiting = Mutex((bytes: 0, isOpen: true))

  init(id: UInt64, credentials: PeerCredentials, mailbox: Mailbox, limit: Int) {
    self.id = id
    self.credentials = credentials
    self.mailbox = mailbox
    self.limit = limit
  }

  /// Sends a line; the LF is added. False if the peer is gone, or so slow that it is now
  /// disconnected.
  @discardableResult
  public func send(_ line: [UInt8]) -> Bool {
    waiting.withLock { waiting in
      guard waiting.isOpen else { return false }
      guard waiting.bytes + line.count < limit else {
        waiting.isOpen = false
        mailbox.post(.closeLine(connection: id, .tooSlow))
        return false
      }
      waiting.bytes += line.count + 1
      mailbox.post(.line(connection: id, line))
      return true
    }
  }

  /// Bytes sent and not yet taken by the peer's socket: a sender of snapshots skips one when this
  /// isn't 0.
  public var waitingBytes: Int { waiting.withLock { $0.bytes } }

  /// Closes the peer after what is waiting has been written.
  public func close() {
    waiting.withLock { waiting in
      guard waiting.isOpen else { return }
      waiting.isOpen = false
      mailbox.post(.closeLine(connection: id, nil))
    }
  }

  /// False once this side has closed the peer: what it sent after that is ignored.
  var isOpen: Bool { waiting.withLock { $0.isOpen } }

  func written(_ count: Int) { waiting.withLock { $0.bytes = max(0, $0.bytes - count) } }

  func lost() { waiting.withLock { $0.isOpen = false } }
}

final class LineService: Service {
  let configuration: LineServer.Configuration
  let callbacks: LineServer.Callbacks
  private let users: [UInt32]

  init(_ configuration: LineServer.Configuration, users: [UInt32], _ callbacks: LineServer.Callbacks) {
    self.configuration = configuration
    self.users = users
    self.callbacks = callbacks
  }

  /// The configuration decides what the word means.
  var refusal: [UInt8] { configuration.refusal.isEmpty ? [] : configuration.refusal + [0x0A] }

  func connect(_ seat: Connection.Seat) -> Connection? {
    guard case .local(let credentials) = seat.peer,
      credentials.uid == 0 || users.contains(credentials.uid) || configuration.accepts(credentials)
    else { return nil }
    let peer = LinePeer(
      id: seat.id, credentials: credentials, mailbox: seat.loop.mailbox, limit: configuration.bufferBytes)
    return LineConnection(seat, service: self, peer: peer)
  }
}

final class LineConnection: Connection {
  private let service: LineService
  private let linePeer: LinePeer
  private var line: [UInt8] = []
  private var isClosing = false
  private var lastWaiting = 0
  private var waitingSince: Int64

  init(_ seat: Seat, service: LineService, peer: LinePeer) {
    self.service = service
    linePeer = peer
    waitingSince = seat.loop.now
    super.init(seat)
  }

  override var wantsInput: Bool { !isClosing }

  override var currentDeadline: Int64 {
    guard !output.isEmpty else { return .max }
    return max(lastWrite, waitingSince).clampedSum(service.configuration.writeStallTimeout.nanoseconds)
  }

  override func opened() { service.callbacks.onOpen(linePeer) }

  override func received(_ bytes: Span<UInt8>) {
    var start = 0
    for index in bytes.indices where bytes[index] == 0x0A {
      bytes.extracting(start..<index).withUnsafeBufferPointer { line.append(contentsOf: $0) }
      start = index + 1
      guard line.count <= service.configuration.lineBytes else { return close(.aborted) }
      let whole = line
      line = []
      // If a line made us close the peer, later lines received with it are not read.
      guard linePeer.isOpen else { return }
      service.callbacks.onLine(linePeer, whole)
      guard isOpen else { return }
    }
    bytes.extracting(start..<bytes.count).withUnsafeBufferPointer { line.append(contentsOf: $0) }
    if line.count > service.configuration.lineBytes { close(.aborted) }
  }

  override func perform(line: [UInt8]) {
    if output.isEmpty { waitingSince = loop.now }
    output.append(line)
    output.append([0x0A])
    lastWaiting = output.count
  }

  override func outputMoved() {
    linePeer.written(lastWaiting - output.count)
    lastWaiting = output.count
  }

  override func outputDrained() {
    if isClosing { close(.disconnected) }
  }

  override func performClose(_ reason: Gone?) {
    if let reason { return close(reason) }
    isClosing = true
    loop.touch(self)
  }

  override func beginStop() {
    isClosing = true
    loop.touch(self)
  }

  override func closed(_ reason: Gone) {
    linePeer.lost()
    service.callbacks.onClose(linePeer, reason)
  }
}
