// TLSSession.swift: one TLS connection as a machine between two streams of bytes: encrypted ones,
// which its owner moves over a socket, and plain ones. It never waits. Start at receive and send.

import CTLS

/// One end of a TLS connection. It belongs to one thread at a time.
public final class TLSSession {
  /// What one call found.
  public enum Read: Sendable, Equatable {
    case bytes(Int)
    /// It needs more encrypted bytes.
    case wantsMore
    /// The peer has said that it sends no more.
    case ended
  }

  /// The most plain bytes that one record holds (RFC 8446, 5.1).
  public static let recordBytes = 16_384
  /// Encrypted bytes that may wait for a peer that makes us answer and never reads.
  public static let maximumWaiting = 1 << 20

  private let session: OpaquePointer
  public private(set) var isEstablished = false

  /// The server's end.
  public init(server context: TLSContext) throws(TLSError) {
    guard let made = ctls_begin(context.pointer, nil, 0) else {
      throw TLSError("no memory for a connection")
    }
    session = made
  }

  /// The client's end, which accepts a certificate for this host only: a DNS name or a numeric
  /// address.
  public init(client context: TLSContext, host: String) throws(TLSError) {
    guard let made = ctls_begin(context.pointer, host, NumericAddress(host) != nil ? 1 : 0) else {
      throw TLSError("'\(host.prefix(80))' is no name that a certificate can have")
    }
    session = made
  }

  deinit { ctls_end(session) }

  private var failure: TLSError { TLSError(String(cString: ctls_problem(session))) }

  /// Takes encrypted bytes from the peer.
  public func feed(_ bytes: UnsafeRawBufferPointer) throws(TLSError) {
    guard ctls_feed(session, bytes.baseAddress, bytes.count) == 1 else { throw failure }
  }

  /// Goes on with the handshake. What is waiting is to be sent, also if this throws: it tells the
  /// peer why.
  public func handshake() throws(TLSError) {
    guard !isEstablished else { return }
    switch ctls_handshake(session) {
    case 1: isEstablished = true
    case Int32(CTLS_WANTS): try bound()
    default: throw failure
    }
  }

  /// Plain bytes, as far as the encrypted ones reach.
  public func read(into bytes: UnsafeMutableRawBufferPointer) throws(TLSError) -> Read {
    let count = ctls_read(session, bytes.baseAddress, bytes.count)
    try bound()
    switch count {
    case 1...: return .bytes(count)
    case CTLS_WANTS: return .wantsMore
    case CTLS_ENDED: return .ended
    default: throw failure
    }
  }

  /// Encrypts all of these bytes.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(TLSError) {
    guard !bytes.isEmpty else { return }
    guard ctls_write(session, bytes.baseAddress, bytes.count) == bytes.count else { throw failure }
  }

  /// Says that no more is sent.
  public func finish() { ctls_finish(session) }

  /// How many encrypted bytes are waiting to be taken.
  public var waiting: Int { Int(ctls_waiting(session)) }

  /// The encrypted bytes for the peer, all of them.
  public func take() -> [UInt8] {
    let count = waiting
    guard count > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, taken in
      taken = Int(ctls_take(session, buffer.baseAddress, buffer.count))
    }
  }

  /// `TLSv1.2` or `TLSv1.3`, once established.
  public var protocolName: String { String(cString: ctls_protocol(session)) }

  /// A peer that makes us answer without reading costs no memory without end.
  private func bound() throws(TLSError) {
    if waiting > Self.maximumWaiting { throw TLSError("it reads nothing of what it asks for") }
  }
}
