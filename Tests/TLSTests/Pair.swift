// Pair.swift: a client and a server whose encrypted bytes a test carries by hand.

import Certificates
import TLS

final class Pair {
  let client: TLSSession
  let server: TLSSession

  init(host: String = "localhost", trust: TLSTrust? = nil, identity: TLSContext? = nil) throws {
    let trusted = try trust ?? TLSTrust(authorities: Certificates.path("ca.pem"))
    client = try TLSSession(client: TLSContext.client(trusted), host: host)
    server = try TLSSession(server: identity ?? Self.identity("good"))
  }

  static func identity(_ name: String) throws -> TLSContext {
    try TLSContext.server(
      certificate: Certificates.path(name + ".pem"), key: Certificates.path(name + ".key"))
  }

  /// Carries bytes until neither side has more to say; throws what the client said of the server.
  func shakeHands() throws {
    var failure: TLSError?
    for _ in 0..<8 {
      do throws(TLSError) { try client.handshake() } catch { failure = error }
      // A server that is refused fails too; the client has the reason.
      _ = try? Self.carry(from: client, to: server)
      _ = try? server.handshake()
      _ = try? Self.carry(from: server, to: client)
    }
    if let failure { throw failure }
  }

  static func carry(from: TLSSession, to: TLSSession) throws -> [UInt8] {
    let bytes = from.take()
    try bytes.withUnsafeBytes { try to.feed($0) }
    return bytes
  }

  static func read(_ session: TLSSession) throws -> [UInt8] {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1_000)
    while true {
      let read = try buffer.withUnsafeMutableBytes { try session.read(into: $0) }
      guard case .bytes(let count) = read else { return all }
      all += buffer[..<count]
    }
  }
}
