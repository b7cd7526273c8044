// ServerTests.swift: the running server over real TCP and Unix sockets, with its own thread and clock.

import CSystem
import Dispatch
import Foundation
import Fuzzing
import Glibc
import Intake
import Testing

/// A blocking client of a running server.
final class TCPClient {
  let descriptor: Int32

  init(port: UInt16) { descriptor = csystem_connect_tcp("127.0.0.1", port) }

  init(path: String) { descriptor = csystem_connect_unix(path) }

  deinit { _ = csystem_close(descriptor) }

  func send(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { csystem_send_blocking(descriptor, $0.baseAddress, $0.count) }
  }

  /// Reads until the text so far satisfies the condition, or the server closes.
  func receive(until done: (String) -> Bool) -> String {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = buffer.withUnsafeMutableBytes {
        csystem_receive_blocking(descriptor, $0.baseAddress, $0.count)
      }
      if count <= 0 { return String(decoding: all, as: UTF8.self) }
      all.append(contentsOf: buffer[..<count])
      let text = String(decoding: all, as: UTF8.self)
      if done(text) { return text }
    }
  }

  func receiveToTheEnd() -> String { receive { _ in false } }
}

@Suite struct ServerTests {
  private func local(_ change: (inout Server.Configuration) -> Void = { _ in }) -> Server.Configuration {
    var configuration = Server.Configuration()
    configuration.addresses = [.tcp(host: "127.0.0.1", port: 0)]
    change(&configuration)
    return configuration
  }

  @Test func aRunningServerAnswersFromAnyThread() throws {
    let server = try Server(local()) { request, exchange in
      DispatchQueue.global().async {
        exchange.startEvents()
        for index in 0..<100 { exchange.send(data: "\(request.head.path) \(index)") }
        exchange.finish()
      }
    }
    let client = TCPClient(port: try #require(server.ports.first))
    for round in 0..<20 {
      client.send(get("/\(round)"))
      let text = client.receive { $0.hasSuffix("\r\n0\r\n\r\n") }
      let events = text.components(separatedBy: "data: ").dropFirst().map { $0.prefix { $0 != "\n" } }
      #expect(events.map(String.init) == (0..<100).map { "/\(round) \($0)" })
    }
    server.stop(grace: .seconds(1))
    server.waitUntilStopped()
    #expect(client.receiveToTheEnd().isEmpty)
  }

  @Test func aUnixSocketServesOnlyItsOwner() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      String(UUID().uuidString.prefix(8)))
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let path = folder.appendingPathComponent("http.sock").path
    let server = try Server(local { $0.addresses = [.unix(path: path, users: [getuid()])] }) {
      request, exchange in
      exchange.respond(.text("\(request.peer)"))
    }
    var status = stat()
    #expect(stat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
    let client = TCPClient(path: path)
    client.send(get("/", "Connection: close\r\n"))
    let text = client.receiveToTheEnd()
    #expect(text.contains("uid: \(getuid())"))
    #expect(text.contains("pid: \(getpid())"))
    server.stop(grace: .seconds(1))
    server.waitUntilStopped()
    #expect(stat(path, &status) != 0)
  }

  @Test func anAddressInUseIsRefusedByName() throws {
    let server = try Server(local()) { _, exchange in exchange.respond(.text("x")) }
    let port = try #require(server.ports.first)
    #expect(throws: ServerError.addressInUse("127.0.0.1:\(port)")) {
      try Server(local { $0.addresses = [.tcp(host: "127.0.0.1", port: port)] }) { _, _ in }
    }
    #expect(throws: ServerError.addressInvalid("localhost")) {
      try Server(local { $0.addresses = [.tcp(host: "localhost", port: 0)] }) { _, _ in }
    }
    #expect(throws: ServerError.addressInvalid("192.0.2.1")) {
      try Server(local { $0.addresses = [.tcp(host: "192.0.2.1", port: 0)] }) { _, _ in }
    }
    server.stop(grace: .zero)
  }

  @Test func droppingTheServerEndsItsThread() throws {
    var server: Server? = try Server(local()) { _, exchange in exchange.respond(.text("x")) }
    let client = TCPClient(port: try #require(server?.ports.first))
    client.send(get("/"))
    #expect(client.receive { $0.hasSuffix("x") }.hasSuffix("x"))
    server = nil
    #expect(client.receiveToTheEnd().isEmpty)
  }

  @Test func everyRandomDisconnectIsReported() throws {
    let kept = Recorder<Exchange>()
    let reasons = Recorder<Gone>()
    let all = DispatchSemaphore(value: 0)
    let server = try Server(local()) { _, exchange in
      exchange.onGone { reason in
        reasons.append(reason)
        all.signal()
      }
      exchange.startEvents(heartbeat: nil)
      exchange.send(data: "x")
      kept.append(exchange)
    }
    let port = try #require(server.ports.first)
    var random = SeededGenerator(seed: 7)
    let count = 500
    for _ in 0..<count {
      let client = TCPClient(port: port)
      client.send(get("/"))
      // Gone before the answer, in the middle of it, or later; closed or reset.
      switch Int.random(in: 0..<3, using: &random) {
      case 0: _ = client.receive { $0.contains("data: x") }
      case 1: _ = client.receive { $0.contains("\r\n") }
      default: break
      }
    }
    for _ in 0..<count { all.wait() }
    #expect(kept.all.allSatisfy { $0.isGone })
    // Not by the server's own end.
    #expect(reasons.all == Array(repeating: .disconnected, count: count))
    server.stop(grace: .zero)
  }

  @Test func aServerWithoutDescriptorsTellsItsPeersAndRecovers() throws {
    let (loop, _) = try steppedServer()
    let listener = csystem_listen_tcp("127.0.0.1", 0, 16)
    try loop.listen(listener)
    let port = UInt16(csystem_local_port(listener))
    // Exhausted for the first three: each is told and closed by means of the spare descriptor.
    var left = 3
    loop.injectFaults { call in
      guard call == .accept, left > 0 else { return 0 }
      left -= 1
      return EMFILE
    }
    let refused = (0..<3).map { _ in TCPClient(port: port) }
    loop.turn()
    for client in refused { #expect(status(client.receiveToTheEnd()) == 503) }
    #expect(loop.statistics.refusedConnections == 3)
    let client = TCPClient(port: port)
    client.send(get("/now"))
    loop.turn()
    #expect(status(client.receive { $0.contains("GET /now") }) == 200)
    // A fault that is not ours to shed pauses accepting for a moment, and no longer.
    left = 1
    loop.injectFaults { call in
      guard call == .accept, left > 0 else { return 0 }
      left -= 1
      return ENOMEM
    }
    let patient = TCPClient(port: port)
    patient.send(get("/now"))
    loop.turn()
    #expect(loop.statistics.openConnections == 1)
    loop.advance(.milliseconds(300))
    #expect(status(patient.receive { $0.contains("GET /now") }) == 200)
  }
}
