// LineTests.swift: the line server turned by hand, and with its real thread, socket file and client.

import CSystem
import Foundation
import Glibc
import Intake
import Testing

@Suite struct LineTests {
  private func stepped(
    _ change: (inout LineServer.Configuration) -> Void = { _ in }
  ) throws -> (SteppedLoop, Recorder<(peer: LinePeer, line: String)>, Recorder<Gone>) {
    let lines = Recorder<(peer: LinePeer, line: String)>()
    let closed = Recorder<Gone>()
    var configuration = LineServer.Configuration(path: "", users: [getuid()])
    change(&configuration)
    let loop = try SteppedLoop(
      lines: configuration,
      .init(
        onLine: { peer, line in lines.append((peer, String(decoding: line, as: UTF8.self))) },
        onClose: { _, reason in closed.append(reason) }))
    return (loop, lines, closed)
  }

  @Test func linesArriveHoweverTheyAreCut() throws {
    let (loop, lines, _) = try stepped()
    let client = ClientEnd(try loop.connect(as: nil))
    for byte in Array("one\n\ntwo\r\nthree".utf8) {
      client.send([byte])
      loop.turn()
    }
    client.send("!\nfour\nfive\n")
    loop.turn()
    #expect(lines.all.map(\.line) == ["one", "", "two\r", "three!", "four", "five"])
    #expect(lines.all.first?.peer.credentials.uid == getuid())
    #expect(lines.all.first?.peer.credentials.pid == getpid())
  }

  @Test func answersComeBackAsLines() throws {
    let (loop, lines, _) = try stepped()
    let client = ClientEnd(try loop.connect(as: nil))
    client.send("hello\n")
    loop.turn()
    let peer = try #require(lines.all.first?.peer)
    #expect(peer.send(Array("a".utf8)))
    #expect(peer.send(Array("b".utf8)))
    #expect(peer.waitingBytes == 4)
    loop.turn()
    #expect(peer.waitingBytes == 0)
    #expect(client.receive().text == "a\nb\n")
    peer.send(Array("last".utf8))
    peer.close()
    #expect(!peer.send([]))
    loop.turn()
    #expect(client.receive() == ("last\n", true))
  }

  @Test func aLineThatIsTooLongClosesItsPeer() throws {
    let (loop, lines, closed) = try stepped { $0.lineBytes = 10 }
    let fit = ClientEnd(try loop.connect(as: nil))
    fit.send("0123456789\n")
    loop.turn()
    #expect(lines.all.count == 1)
    fit.send("01234567890")
    loop.turn()
    #expect(fit.receive().ended)
    let whole = ClientEnd(try loop.connect(as: nil))
    whole.send("01234567890\n")
    loop.turn()
    #expect(whole.receive().ended)
    #expect(lines.all.count == 1)
    #expect(closed.all == [.aborted, .aborted])
  }

  @Test func aPeerThatDoesNotReadIsClosedAtTheBoundOrInTime() throws {
    let (loop, lines, closed) = try stepped { $0.bufferBytes = 1_000_000 }
    let client = ClientEnd(try loop.connect(as: nil))
    client.send("x\n")
    loop.turn()
    let peer = try #require(lines.all.first?.peer)
    var sent = 0
    while peer.send([UInt8](repeating: 0x61, count: 999)), sent < 10_000 {
      sent += 1
      loop.turn()
    }
    loop.turn()
    #expect(sent < 3000)
    #expect(closed.all == [.tooSlow])
    let second = ClientEnd(try loop.connect(as: nil))
    second.send("x\n")
    loop.turn()
    lines.all.last?.peer.send([UInt8](repeating: 0x61, count: 900_000))
    loop.turn()
    loop.advance(.seconds(19))
    #expect(closed.all.count == 1)
    loop.advance(.seconds(2))
    #expect(closed.all.last == .stalled)
  }

  @Test func strangersAreTurnedAway() throws {
    let (loop, lines, _) = try stepped { $0.users = [4_000_000] }
    let client = ClientEnd(try loop.connect(as: .local(PeerCredentials(uid: 4_000_001, gid: 0, pid: 1))))
    client.send("x\n")
    loop.turn()
    #expect(client.receive().ended)
    #expect(lines.all.isEmpty)
  }

  private func temporaryFolder() throws -> String {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      UUID().uuidString.prefix(8).description)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder.path
  }

  @Test func aClientTalksToARunningServer() throws {
    let path = try temporaryFolder() + "/control.sock"
    let server = try LineServer(
      .init(path: path, users: [getuid()]),
      .init(onLine: { peer, line in
        peer.send(line.reversed())
        if line == Array("bye".utf8) { peer.close() }
      }))
    var status = stat()
    #expect(stat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
    let client = try LineClient(path: path)
    #expect(try client.serverUser() == getuid())
    for text in ["abc", "", "longer line"] {
      try client.send(Array(text.utf8))
      #expect(try client.receive() == Array(text.utf8).reversed())
    }
    let big = [UInt8](repeating: 0x62, count: 500_000)
    try client.send(big)
    #expect(try client.receive() == big)
    try client.send(Array("bye".utf8))
    #expect(try client.receive() == Array("eyb".utf8))
    #expect(try client.receive() == nil)
    // A second server on the path is refused while the first serves, and the file goes with the server.
    #expect(throws: ServerError.addressInUse(path)) {
      try LineServer(.init(path: path, users: []), .init(onLine: { _, _ in }))
    }
    server.stop(grace: .seconds(1))
    server.waitUntilStopped()
    #expect(stat(path, &status) != 0)
    #expect(throws: ServerError.noServer(path)) { try LineClient(path: path) }
  }

  @Test func aSocketFileThatIsLeftOverIsReplacedAndOtherFilesAreNot() throws {
    let folder = try temporaryFolder()
    let path = folder + "/left.sock"
    let left = csystem_listen_unix(path, 1_000)
    #expect(left >= 0)
    _ = csystem_close(left)
    // A child that another test forks just now has it open until it becomes its program: as long somebody answers.
    for _ in 0..<1_000 where (try? LineClient(path: path)) != nil { usleep(1_000) }
    let server = try LineServer(.init(path: path, users: []), .init(onLine: { _, _ in }))
    server.stop(grace: .zero)
    server.waitUntilStopped()
    let file = folder + "/file"
    try Data("keep".utf8).write(to: URL(fileURLWithPath: file))
    #expect(throws: ServerError.notASocket(file)) {
      try LineServer(.init(path: file, users: []), .init(onLine: { _, _ in }))
    }
    #expect(try String(contentsOfFile: file, encoding: .utf8) == "keep")
    let long = folder + "/" + String(repeating: "x", count: 120)
    #expect(throws: ServerError.pathTooLong(long, limit: 107)) {
      try LineServer(.init(path: long, users: []), .init(onLine: { _, _ in }))
    }
  }
}
