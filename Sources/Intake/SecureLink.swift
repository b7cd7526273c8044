// SecureLink.swift: the TLS of one connection of a server: its session, and the encrypted bytes that
// wait for the socket. Only the loop's thread touches it. Not here: the socket (Loop), certificates
// (TLSIdentity).

import TLS

final class SecureLink {
  /// Plain bytes that are encrypted at a time: more would fill memory for a peer that reads slowly.
  private static let portion = 4 * TLSSession.recordBytes

  let session: TLSSession
  /// Encrypted bytes for the socket.
  private(set) var sealed = OutputBuffer()
  /// How many plain bytes of the connection's output `sealed` has; they leave the output with it.
  private var portioned = 0

  init(_ identity: TLSIdentity) throws(TLSError) { session = try TLSSession(server: identity.context) }

  var isEstablished: Bool { session.isEstablished }

  /// Whether the socket has something to take.
  func wantsToSend(_ output: OutputBuffer) -> Bool {
    !sealed.isEmpty || (isEstablished && !output.isEmpty)
  }

  /// Moves what the session says into `sealed`: parts of the handshake, alerts.
  func collect() {
    let bytes = session.take()
    if !bytes.isEmpty { sealed.append(bytes) }
  }

  /// The socket took these encrypted bytes.
  func sent(_ count: Int, of output: inout OutputBuffer) {
    sealed.drop(count)
    guard sealed.isEmpty else { return }
    output.drop(portioned)
    portioned = 0
  }

  /// Encrypts the next part of the output, once the part before it is sent.
  func seal(_ output: OutputBuffer) throws(TLSError) {
    guard sealed.isEmpty, isEstablished, !output.isEmpty else { return }
    let part = output.waiting.prefix(Self.portion)
    let result = output.bytes.withUnsafeBytes { all in
      Result { () throws(TLSError) in try session.write(UnsafeRawBufferPointer(rebasing: all[part])) }
    }
    try result.get()
    portioned = part.count
    collect()
  }
}
