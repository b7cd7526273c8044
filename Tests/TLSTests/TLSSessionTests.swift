// TLSSessionTests.swift: whom a client believes, what two sessions say to each other, and broken bytes.

import Certificates
import Dice
import Foundation
import TLS
import Testing

@Suite(.disabled(if: Certificates.areAbsent, "there is no openssl, which makes certificates"))
struct TLSSessionTests {
  @Test func `bytes arrive as they were sent, in both directions`() throws {
    let pair = try Pair()
    try pair.shakeHands()
    #expect(pair.client.isEstablished && pair.server.isEstablished)
    #expect(pair.client.protocolName == "TLSv1.3")
    let long = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    try long.withUnsafeBytes { try pair.client.write($0) }
    let wire = try Pair.carry(from: pair.client, to: pair.server)
    #expect(wire.count > long.count)
    let isSame = try Pair.read(pair.server) == long
    #expect(isSame)
    try [UInt8]("answer".utf8).withUnsafeBytes { try pair.server.write($0) }
    pair.server.finish()
    _ = try Pair.carry(from: pair.server, to: pair.client)
    #expect(try Pair.read(pair.client) == Array("answer".utf8))
    var rest = [UInt8](repeating: 0, count: 8)
    let last = try rest.withUnsafeMutableBytes { try pair.client.read(into: $0) }
    #expect(last == .ended)
  }

  @Test(arguments: ["localhost", "127.0.0.1", "::1"])
  func `a certificate holds for the names and addresses that it has`(_ host: String) throws {
    let pair = try Pair(host: host)
    try pair.shakeHands()
    #expect(pair.client.isEstablished)
  }

  @Test(arguments: [
    ("other", "localhost", "ca.pem", "hostname mismatch"),
    ("good", "127.0.0.2", "ca.pem", "IP address mismatch"),
    ("good", "sub.localhost", "ca.pem", "hostname mismatch"),
    ("expired", "localhost", "ca.pem", "certificate has expired"),
    ("self", "localhost", "ca.pem", "self-signed certificate"),
    ("revoked", "localhost", "ca-crl.pem", "certificate revoked"),
    ("good", "localhost", "self.pem", "unable to get local issuer certificate"),
  ])
  func `a certificate that does not hold is refused by its fault`(
    _ name: String, _ host: String, _ authorities: String, _ words: String
  ) throws {
    let pair = try Pair(
      host: host, trust: TLSTrust(authorities: Certificates.path(authorities)),
      identity: Pair.identity(name))
    #expect(throws: TLSError("its certificate is refused: \(words)")) { try pair.shakeHands() }
    #expect(!pair.client.isEstablished)
    // The server hears of it in time.
    #expect(!pair.server.isEstablished)
  }

  @Test func `the system's authorities know no authority of ours`() throws {
    let pair = try Pair(trust: TLSTrust())
    #expect(throws: TLSError("its certificate is refused: unable to get local issuer certificate")) {
      try pair.shakeHands()
    }
  }

  @Test func `a list of revocations lets others pass`() throws {
    let pair = try Pair(trust: TLSTrust(authorities: Certificates.path("ca-crl.pem")))
    try pair.shakeHands()
    #expect(pair.client.isEstablished)
  }

  @Test func `files that are no identity are refused by name`() throws {
    let (good, key) = (try Certificates.path("good.pem"), try Certificates.path("good.key"))
    let other = try Certificates.path("other.key")
    #expect(throws: TLSError("'/absent.pem': No such file or directory")) {
      try TLSContext.server(certificate: "/absent.pem", key: key)
    }
    #expect(throws: TLSError("'\(key)': no start line")) {
      try TLSContext.server(certificate: key, key: key)
    }
    #expect(throws: TLSError("'\(other)': key values mismatch")) {
      try TLSContext.server(certificate: good, key: other)
    }
    // A key with a passphrase asks nobody at the terminal.
    let locked = try Certificates.path("locked.key")
    let error = #expect(throws: TLSError.self) { try TLSContext.server(certificate: good, key: locked) }
    #expect(error?.description.hasPrefix("'\(locked)': ") == true)
    #expect(throws: TLSError("'\(key)': no certificate or crl found")) {
      try TLSContext.client(TLSTrust(authorities: key))
    }
  }

  @Test func `a certificate says how long it holds`() throws {
    // 30 days, of which the test may have used a second.
    #expect([29, 30].contains(try Pair.identity("good").daysLeft))
    #expect(try #require(Pair.identity("expired").daysLeft) < -1_000)
    #expect(try TLSContext.client().daysLeft == nil)
  }

  @Test func `an identity is read again, and keeps the old one if the new is refused`() throws {
    let folder = NSTemporaryDirectory() + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func place(_ name: String, as wanted: String) throws {
      let bytes = try Data(contentsOf: URL(filePath: Certificates.path(name)))
      try bytes.write(to: URL(filePath: folder + "/" + wanted))
    }
    try place("good.pem", as: "it.pem")
    try place("good.key", as: "it.key")
    let identity = try TLSIdentity(certificate: folder + "/it.pem", key: folder + "/it.key")
    let before = try Pair(identity: identity.context)
    try place("other.pem", as: "it.pem")
    #expect(throws: TLSError("'\(folder)/it.key': key values mismatch")) { try identity.reload() }
    let still = try Pair(identity: identity.context)
    try still.shakeHands()
    try place("other.key", as: "it.key")
    try identity.reload()
    let renewed = try Pair(host: "elsewhere.test", identity: identity.context)
    try renewed.shakeHands()
    // Whoever began with the old one goes on with it.
    try before.shakeHands()
    #expect(before.client.isEstablished && still.client.isEstablished && renewed.client.isEstablished)
  }

  @Test func `a handshake cut at any byte is never complete`() throws {
    let whole = try Pair()
    try? whole.client.handshake()
    let hello = whole.client.take()
    try #require(hello.count > 100)
    for count in 0..<hello.count {
      let server = try TLSSession(server: Pair.identity("good"))
      try hello[..<count].withUnsafeBytes { try server.feed($0) }
      // An early fault may be found before the cut.
      _ = try? server.handshake()
      #expect(!server.isEstablished)
    }
  }

  @Test func `changed and random bytes in a handshake or after it are refused`() throws {
    var dice = SeededGenerator(seed: 11)
    let identity = try Pair.identity("good")
    for round in 0..<400 {
      let pair = try Pair(identity: identity)
      // Which of the carried flights is changed, and where.
      let target = round % 5
      var changed = false
      for flight in 0..<6 {
        let isClients = flight % 2 == 0
        let (from, to) = isClients ? (pair.client, pair.server) : (pair.server, pair.client)
        _ = try? from.handshake()
        var bytes = from.take()
        if !changed, flight >= target, !bytes.isEmpty {
          changed = true
          switch Int.random(in: 0..<3, using: &dice) {
          case 0:
            bytes[Int.random(in: bytes.indices, using: &dice)] ^= UInt8(
              1 << Int.random(in: 0..<8, using: &dice))
          case 1: bytes.removeLast(Int.random(in: 1...bytes.count, using: &dice))
          default:
            bytes = (0..<Int.random(in: 1...300, using: &dice)).map { _ in .random(in: 0...255, using: &dice)
            }
          }
        }
        _ = try? bytes.withUnsafeBytes { try to.feed($0) }
        _ = try? to.handshake()
        if to.isEstablished { _ = try? Pair.read(to) }
      }
      // What gets through in spite of it, such as a changed version of a record, changes no word.
      let sent = Array("word".utf8)
      guard (try? sent.withUnsafeBytes { try pair.client.write($0) }) != nil else { continue }
      _ = try? Pair.carry(from: pair.client, to: pair.server)
      let arrived = (try? Pair.read(pair.server)) ?? sent
      #expect(arrived == sent || arrived.isEmpty)
    }
  }
}
