// TLSServerTests.swift: the server in TLS: on a stepped loop with a client of our own, and over real
// sockets with the programs `curl` and `openssl`.

import CSystem
import Certificates
import Dispatch
import Foundation
import Fuzzing
import TLS
import Testing

@testable import Intake

/// A client of a stepped loop that speaks TLS.
private final class SecureClient {
  let end: ClientEnd
  let session: TLSSession
  private(set) var failure: TLSError?

  init(_ loop: SteppedLoop) throws {
    end = ClientEnd(try loop.connect())
    session = try TLSSession(
      client: TLSContext.client(TLSTrust(authorities: Certificates.path("ca.pem"))), host: "localhost")
  }

  /// Carries what is there in both directions once; the plain bytes that came.
  @discardableResult
  func exchange(atMost: Int = .max) -> [UInt8] {
    var plain: [UInt8] = []
    do throws(TLSError) {
      try session.handshake()
      flush()
      var buffer = [UInt8](repeating: 0, count: min(65_536, atMost))
      let count = buffer.withUnsafeMutableBytes { all in
        recv(end.descriptor, all.baseAddress, all.count, Int32(MSG_DONTWAIT))
      }
      if count > 0 {
        let fed = buffer.withUnsafeBytes { all in
          Result { () throws(TLSError) in
            try session.feed(UnsafeRawBufferPointer(rebasing: all[..<count]))
          }
        }
        try fed.get()
      }
      try session.handshake()
      flush()
      while session.isEstablished {
        let read = buffer.withUnsafeMutableBytes { all in
          Result { () throws(TLSError) in try session.read(into: all) }
        }
        guard case .bytes(let count) = try read.get() else { break }
        plain += buffer[..<count]
      }
    } catch {
      failure = error
    }
    return plain
  }

  private func flush() {
    let bytes = session.take()
    if !bytes.isEmpty { end.send(bytes) }
  }

  func establish(_ loop: SteppedLoop) {
    for _ in 0..<6 where !session.isEstablished {
      exchange()
      loop.turn()
    }
  }

  func send(_ text: String) throws {
    try Array(text.utf8).withUnsafeBytes { try session.write($0) }
    flush()
  }

  func text(_ loop: SteppedLoop) -> String {
    var all: [UInt8] = []
    for _ in 0..<6 {
      loop.turn()
      all += exchange()
    }
    return String(decoding: all, as: UTF8.self)
  }
}

@Suite(.disabled(if: Certificates.areAbsent, "there is no openssl, which makes certificates"))
struct TLSServerTests {
  private func settings(_ name: String = "good") throws -> Server.Configuration {
    var configuration = Server.Configuration()
    configuration.addresses = [.tcp(host: "127.0.0.1", port: 0)]
    configuration.tls = try TLSIdentity(
      certificate: Certificates.path(name + ".pem"), key: Certificates.path(name + ".key"))
    return configuration
  }

  @Test func `requests and answers are the same in TLS, one after another and pipelined`() throws {
    let (loop, _) = try steppedServer(settings())
    let client = try SecureClient(loop)
    client.establish(loop)
    #expect(client.session.isEstablished)
    try client.send(get("/now/1"))
    #expect(status(client.text(loop)) == 200)
    try client.send(get("/now/2") + get("/now/3"))
    let both = client.text(loop)
    #expect(both.contains("GET /now/2 0") && both.contains("GET /now/3 0"))
    // An end that is told: the server says it too.
    try client.send(get("/now/4", "Connection: close\r\n"))
    #expect(client.text(loop).contains("GET /now/4 0"))
    var rest = [UInt8](repeating: 0, count: 8)
    #expect(try rest.withUnsafeMutableBytes { try client.session.read(into: $0) } == .ended)
  }

  @Test func `a Unix socket stays plain`() throws {
    let (loop, _) = try steppedServer(settings())
    let client = ClientEnd(try loop.connect(as: .local(PeerCredentials(uid: 0, gid: 0, pid: 1))))
    client.send(get("/now"))
    loop.turn()
    #expect(status(client.receive().text) == 200)
  }

  @Test func `a long answer reaches a slow reader whole, and waits for it in little memory`() throws {
    var configuration = try settings()
    configuration.streamBufferBytes = 8 << 20
    let (loop, kept) = try steppedServer(configuration)
    let client = try SecureClient(loop)
    client.establish(loop)
    try client.send(get("/stream"))
    loop.turn()
    let exchange = try #require(kept.all.first?.1)
    exchange.startStream(status: 200, fields: [])
    let long = (0..<600_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }
    #expect(exchange.send(long))
    exchange.finish()
    var all: [UInt8] = []
    for _ in 0..<20_000 {
      loop.turn()
      let more = client.exchange(atMost: 10_007)
      all += more
      if all.suffix(5) == Array("0\r\n\r\n".utf8) { break }
    }
    let head = try #require(String(decoding: all.prefix(500), as: UTF8.self).range(of: "\r\n\r\n"))
    let start = String(decoding: all.prefix(500), as: UTF8.self)[..<head.upperBound].utf8.count
    let size = Array("\(String(600_000, radix: 16))\r\n".utf8)
    let isWhole = Array(all[start...]) == size + long + Array("\r\n0\r\n\r\n".utf8)
    #expect(isWhole)
  }

  @Test func `a handshake that does not go on holds nobody up, and ends in time`() throws {
    var configuration = try settings()
    configuration.handshakeTimeout = .seconds(10)
    let (loop, _) = try steppedServer(configuration)
    let silent = ClientEnd(try loop.connect())
    let halting = ClientEnd(try loop.connect())
    let begun = try SecureClient(loop)
    try? begun.session.handshake()
    halting.send(Array(begun.session.take().prefix(100)))
    loop.turn()
    let other = try SecureClient(loop)
    other.establish(loop)
    try other.send(get("/now"))
    #expect(status(other.text(loop)) == 200)
    loop.advance(.seconds(9))
    #expect(!silent.receive().ended && !halting.receive().ended)
    loop.advance(.seconds(2))
    #expect(silent.receive().ended && halting.receive().ended)
    #expect(loop.statistics.openConnections == 1)
  }

  @Test func `of too many handshakes the one that was silent longest is given up`() throws {
    var configuration = try settings()
    configuration.handshakes = 3
    let (loop, _) = try steppedServer(configuration)
    var clients: [ClientEnd] = []
    for _ in 0..<5 {
      loop.advance(.milliseconds(10))
      clients.append(ClientEnd(try loop.connect()))
      loop.turn()
    }
    #expect(clients.map { $0.receive().ended } == [true, true, false, false, false])
    #expect(loop.statistics.failedHandshakes == 2)
    // Those whose handshake is complete do not count.
    let client = try SecureClient(loop)
    client.establish(loop)
    #expect(client.session.isEstablished)
    for _ in 0..<3 { clients.append(ClientEnd(try loop.connect())) }
    try client.send(get("/now"))
    #expect(status(client.text(loop)) == 200)
  }

  @Test func `plain requests, noise and cut handshakes end their connection only`() throws {
    let (loop, _) = try steppedServer(settings())
    let plain = ClientEnd(try loop.connect())
    plain.send(get("/now"))
    loop.turn()
    let answer = plain.receive()
    #expect(answer.ended && !answer.text.contains("HTTP/1.1"))
    var random = SeededGenerator(seed: 3)
    for round in 0..<300 {
      let client = try SecureClient(loop)
      // A whole handshake, a part of one, and then noise, or bytes that were changed.
      for _ in 0..<random.below(4) {
        client.exchange()
        loop.turn()
      }
      try? client.session.handshake()
      var bytes = client.session.take()
      if bytes.isEmpty || random.oneIn(3) {
        bytes += (0..<random.below(200)).map { _ in UInt8.random(in: 0...255, using: &random) }
      }
      if !bytes.isEmpty, random.oneIn(2) { bytes[random.below(bytes.count)] ^= 0x40 }
      client.end.send(Array(bytes.prefix(random.below(bytes.count + 1))))
      loop.turn()
      if round % 2 == 0 { client.end.close() }
      loop.turn()
    }
    loop.advance(.seconds(11))
    loop.advance(.seconds(40))
    #expect(loop.statistics.openConnections == 0)
    let client = try SecureClient(loop)
    client.establish(loop)
    try client.send(get("/now"))
    #expect(status(client.text(loop)) == 200)
  }

  // MARK: over real sockets

  private func serve(
    _ configuration: Server.Configuration, _ body: (Server, _ port: UInt16) throws -> Void
  ) throws {
    let server = try Server(configuration) { request, exchange in
      exchange.respond(.text("\(request.head.method.rawValue) \(request.head.path)"))
    }
    defer {
      server.stop(grace: .zero)
      server.waitUntilStopped()
    }
    try body(server, try #require(server.ports.first))
  }

  private func openssl(_ port: UInt16, _ options: [String]) throws -> String {
    try Certificates.run(
      ["openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-servername", "localhost", "-CAfile"]
        + [Certificates.path("ca.pem")] + options
    ).output
  }

  @Test func `openssl speaks 1.2 and 1.3 with it, and nothing older`() throws {
    try serve(settings()) { _, port in
      for version in ["1_2", "1_3"] {
        let said = try openssl(port, ["-tls\(version)", "-alpn", "h2,http/1.1", "-verify_return_error"])
        #expect(said.contains("Verify return code: 0 (ok)"))
        #expect(said.contains("ALPN protocol: http/1.1"))
      }
      for version in ["1", "1_1"] {
        let said = try openssl(port, ["-tls\(version)", "-cipher", "DEFAULT@SECLEVEL=0"])
        #expect(said.contains("alert protocol version"))
      }
      #expect(try openssl(port, ["-alpn", "h2"]).contains("no application protocol"))
      #expect(try openssl(port, []).contains("No ALPN negotiated"))
    }
  }

  @Test(.disabled(if: Certificates.program("curl") == nil, "there is no curl"))
  func `curl believes it by its authority, and only then`() throws {
    let authority = try Certificates.path("ca.pem")
    try serve(settings()) { _, port in
      let good = try Certificates.run(
        ["curl", "-sS", "--cacert", authority, "https://localhost:\(port)/a", "https://127.0.0.1:\(port)/b"])
      #expect(good.output == "GET /aGET /b")
      let unknown = try Certificates.run(["curl", "-sS", "https://localhost:\(port)/"])
      #expect(unknown.status == 60)
    }
    try serve(settings("expired")) { _, port in
      let old = try Certificates.run(["curl", "-sS", "--cacert", authority, "https://localhost:\(port)/"])
      #expect(old.status == 60 && old.output.contains("expired"))
    }
  }

  @Test func `our own calls reach it, and name what is wrong with a certificate`() throws {
    let trust = TLSTrust(authorities: try Certificates.path("ca.pem"))
    try serve(settings()) { _, port in
      let answer = try HTTPCall("https://localhost:\(port)/x", trust: trust).send("GET")
      #expect(answer.status == 200 && answer.body == Array("GET /x".utf8))
      #expect(
        throws: HTTPCallError(
          "TLS: its certificate is refused: unable to get local issuer certificate")
      ) { try HTTPCall("https://localhost:\(port)/x").send("GET") }
      // A server that speaks TLS is asked in plain words.
      #expect(throws: HTTPCallError.self) { try HTTPCall("http://localhost:\(port)/x").send("GET") }
    }
    try serve(settings("other")) { _, port in
      #expect(throws: HTTPCallError("TLS: its certificate is refused: hostname mismatch")) {
        try HTTPCall("https://localhost:\(port)/x", trust: trust).send("GET")
      }
    }
    var plain = Server.Configuration()
    plain.addresses = [.tcp(host: "127.0.0.1", port: 0)]
    try serve(plain) { _, port in
      #expect(throws: HTTPCallError.self) {
        try HTTPCall("https://localhost:\(port)/x", trust: trust).send("GET", timeout: .seconds(5))
      }
    }
  }

  @Test func `a certificate is renewed under open streams, which notice nothing`() throws {
    let folder = NSTemporaryDirectory() + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func place(_ name: String) throws {
      for end in ["pem", "key"] {
        let bytes = try Data(contentsOf: URL(filePath: Certificates.path("\(name).\(end)")))
        try bytes.write(to: URL(filePath: "\(folder)/it.\(end)"))
      }
    }
    try place("good")
    var configuration = try settings()
    let identity = try TLSIdentity(certificate: folder + "/it.pem", key: folder + "/it.key")
    configuration.tls = identity
    let (loop, kept) = try steppedServer(configuration)
    let clients = try (0..<8).map { _ in try SecureClient(loop) }
    for client in clients {
      client.establish(loop)
      try client.send(get("/stream"))
      loop.turn()
    }
    let exchanges = kept.all.map(\.1)
    #expect(exchanges.count == 8)
    for exchange in exchanges { exchange.startEvents() }
    for exchange in exchanges { exchange.send(data: "before") }
    try place("again")
    try identity.reload()
    let fresh = try SecureClient(loop)
    fresh.establish(loop)
    #expect(fresh.session.isEstablished)
    for exchange in exchanges {
      exchange.send(data: "after")
      exchange.finish()
    }
    for client in clients {
      let text = client.text(loop)
      #expect(text.contains("data: before") && text.contains("data: after") && text.hasSuffix("0\r\n\r\n"))
    }
  }

  @Test(.timeLimit(.minutes(1)))
  func `an answer that is cut short is no answer`() throws {
    // A server in TLS that ends in the middle, as `openssl s_server` does when it is ended.
    let trust = TLSTrust(authorities: try Certificates.path("ca.pem"))
    let identity = try TLSContext.server(
      certificate: Certificates.path("good.pem"), key: Certificates.path("good.key"))
    for (says, words) in [
      (true, "its answer ended after 3 of 10 bytes"), (false, "TLS: the connection was cut"),
    ] {
      let listener = csystem_listen_tcp("127.0.0.1", 0, 4)
      let port = csystem_local_port(listener)
      let done = DispatchSemaphore(value: 0)
      DispatchQueue.global().async {
        defer { done.signal() }
        answerShort(listener, identity, tellsItsEnd: says)
      }
      #expect(throws: HTTPCallError(words)) {
        try HTTPCall("https://localhost:\(port)/", trust: trust).send("GET")
      }
      done.wait()
      _ = csystem_close(listener)
    }
  }
}

/// Serves one connection: a head that promises ten bytes, three of them, and the end.
private func answerShort(_ listener: Int32, _ identity: TLSContext, tellsItsEnd: Bool) {
  var peer = csystem_peer()
  var descriptor: Int32 = -1
  while descriptor < 0 {
    var wait = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
    _ = poll(&wait, 1, -1)
    descriptor = csystem_accept(listener, &peer)
  }
  defer { _ = csystem_close(descriptor) }
  guard let session = try? TLSSession(server: identity) else { return }
  func send() {
    let bytes = session.take()
    _ = bytes.withUnsafeBytes { csystem_send(descriptor, $0.baseAddress, $0.count) }
  }
  var buffer = [UInt8](repeating: 0, count: 16_384)
  while true {
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    _ = poll(&wait, 1, -1)
    let count = buffer.withUnsafeMutableBytes { csystem_receive(descriptor, $0.baseAddress, $0.count) }
    guard count > 0 else { return }
    try? buffer.withUnsafeBytes { try session.feed(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    try? session.handshake()
    send()
    guard session.isEstablished else { continue }
    let read = try? buffer.withUnsafeMutableBytes { try session.read(into: $0) }
    if case .bytes? = read { break }
  }
  let answer = Array("HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nabc".utf8)
  try? answer.withUnsafeBytes { try session.write($0) }
  if tellsItsEnd { session.finish() }
  send()
}
