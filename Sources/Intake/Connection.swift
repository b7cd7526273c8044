// Connection.swift: what HTTP and line connections share: a descriptor, output, interest, a
// deadline. A class, because the loop's tables and lists refer to the same connection. Only the
// loop's thread touches it.

import CSystem

class Connection {
  /// A connection's slot in its loop.
  struct Seat {
    let descriptor: Int32
    let id: UInt64
    let peer: Peer
    let loop: Loop
  }

  let descriptor: Int32
  let id: UInt64
  let peer: Peer
  let loop: Loop
  /// nil for a connection that isn't in TLS.
  let secure: SecureLink?
  var output = OutputBuffer()
  private(set) var interest = readable | peerClosed
  var deadline = Int64.max
  /// The tick under which the wheel knows this connection.
  var wheelTick = Int64.max
  var lastActivity: Int64
  var lastWrite: Int64
  private(set) var isOpen = true
  var isTouched = false
  var isReady = false
  /// The peer has closed its sending side; polling for that event again would spin.
  private var peerHasClosed = false

  static let readable = UInt32(CSYSTEM_READABLE)
  static let writable = UInt32(CSYSTEM_WRITABLE)
  static let peerClosed = UInt32(CSYSTEM_PEER_CLOSED)
  static let broken = UInt32(CSYSTEM_FAILED) | UInt32(CSYSTEM_HUNG_UP)

  init(_ seat: Seat, secure: SecureLink? = nil) {
    self.secure = secure
    descriptor = seat.descriptor
    id = seat.id
    peer = seat.peer
    loop = seat.loop
    lastActivity = seat.loop.now
    lastWrite = seat.loop.now
  }

  // What each kind of connection overrides.

  var wantsInput: Bool { true }
  var inputLimit: Int { 16384 }
  /// Connections of lower rank are closed first when a new one needs space; nil: never closed for
  /// that.
  var evictionRank: Int? { nil }
  var isStrangersUpload: Bool { false }
  /// Ends its current work, to make space for another connection.
  func giveUp() { close(.disconnected) }
  var currentDeadline: Int64 { .max }
  func opened() {}
  /// The TLS handshake is complete.
  func secured() {}
  func received(_ bytes: Span<UInt8>) {}
  func reachedEnd() { close(.disconnected) }
  /// The peer closed its sending side while no input was wanted.
  func peerLeft() { close(.disconnected) }
  func outputDrained() {}
  func outputMoved() {}
  func deadlinePassed() { close(.stalled) }
  func resume() {}
  func beginStop() {}
  func closed(_ reason: Gone) {}
  func perform(_ action: ExchangeAction, serial: UInt64) {}
  func perform(line: [UInt8]) {}
  func performClose(_ reason: Gone?) {}

  // What the loop calls.

  final func handle(bits: UInt32) {
    if bits & Self.readable != 0, wantsInput {
      // What is left unread is reported again at the next turn.
      guard !isInHandshake || loop.takesHandshake() else { return }
      loop.receive(self, limit: inputLimit)
    } else if bits & Self.broken != 0 {
      close(.disconnected)
    } else if bits & Self.peerClosed != 0 {
      peerHasClosed = true
      peerLeft()
    }
  }

  /// Writes, then tells the poller and the wheel what to wait for.
  final func settle() {
    if hasSomethingToSend {
      guard loop.send(self) else { return close(.disconnected) }
      outputMoved()
    }
    if output.isEmpty { outputDrained() }
    guard isOpen else { return }
    var wanted: UInt32 = peerHasClosed ? 0 : Self.peerClosed
    if wantsInput { wanted |= Self.readable }
    if hasSomethingToSend { wanted |= Self.writable }
    if wanted != interest {
      interest = wanted
      loop.setInterest(self, wanted)
    }
    if isOpen { loop.schedule(self, currentDeadline) }
  }

  final var isInHandshake: Bool { secure.map { !$0.isEstablished } ?? false }

  private var hasSomethingToSend: Bool { secure?.wantsToSend(output) ?? !output.isEmpty }

  /// Tells the peer that nothing more comes. False if the connection broke.
  final func shutDownWriting() -> Bool {
    if let secure {
      secure.session.finish()
      secure.collect()
      // Best effort: everything before it has been sent.
      _ = loop.send(self)
    }
    return csystem_shutdown_writing(descriptor) >= 0
  }

  final func close(_ reason: Gone) {
    guard isOpen else { return }
    isOpen = false
    loop.remove(self)
    closed(reason)
  }
}
