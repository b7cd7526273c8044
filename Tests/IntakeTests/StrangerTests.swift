// StrangerTests.swift: connections of senders whom nobody knows: bodies that never end, heads that never come, and the
// places that known senders have beside them. The loop is turned by hand.

import CSystem
import Intake
import Testing

@Suite struct StrangerTests {
  private func server(
    _ connections: Int = 8, _ change: (inout Server.Configuration) -> Void = { _ in }
  ) throws -> SteppedLoop {
    var configuration = Server.Configuration()
    configuration.maximumConnections = connections
    configuration.standing = { head, _ in
      head.bearerToken.map { String(decoding: $0, as: UTF8.self) } == "known" ? .known : .stranger
    }
    change(&configuration)
    return try SteppedLoop(configuration) { request, exchange in
      exchange.respond(.text("\(request.body.count) bytes"))
    }
  }

  private func post(_ token: String, _ length: Int, _ body: String = "") -> String {
    "POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(token)\r\nContent-Length: \(length)\r\n\r\n\(body)"
  }

  /// Clients that have connected and sent that much.
  private func open(_ loop: SteppedLoop, _ count: Int, _ text: String) throws -> [ClientEnd] {
    try (0..<count).map { _ in
      let end = ClientEnd(try loop.connect())
      end.send(text)
      loop.turn()
      return end
    }
  }

  @Test func bodiesThatNeverEndKeepNoKnownSenderOut() throws {
    let loop = try server(8) { $0.strangers.uploads = 100 }
    let slow = try open(loop, 8, post("made up", 1_000, "a few"))
    var answers: [String] = []
    for _ in 0..<20 {
      let known = ClientEnd(try loop.connect())
      known.send(post("known", 2, "ok"))
      loop.turn()
      answers.append(known.receive().text)
    }
    #expect(answers.allSatisfy { status($0) == 200 && $0.hasSuffix("2 bytes") })
    #expect(slow.count { $0.receive().ended } >= 1)
  }

  @Test func newConnectionsTakeTheirPlacesFromSlowBodiesAndNotFromEachOther() throws {
    let loop = try server(8) { $0.strangers.uploads = 100 }
    _ = try open(loop, 8, post("made up", 1_000, "a few"))
    let slow = try open(loop, 8, post("made up", 1_000, "a few"))
    // All have connected before the first of them says a word.
    let known = try (0..<5).map { _ in ClientEnd(try loop.connect()) }
    for end in known { end.send(post("known", 2, "ok")) }
    loop.turn()
    #expect(known.map { status($0.receive().text) } == [200, 200, 200, 200, 200])
    _ = slow
  }

  @Test func aKnownSendersBodyIsNotBrokenOffForStrangers() throws {
    let loop = try server(4) { $0.strangers.uploads = 100 }
    let known = ClientEnd(try loop.connect())
    known.send(post("known", 10, "half "))
    loop.turn()
    for _ in 0..<5 { _ = try open(loop, 4, post("made up", 1_000, "x")) }
    known.send("whole")
    loop.turn()
    #expect(status(known.receive().text) == 200)
  }

  @Test func strangersThatReadNothingOfTheirAnswerMakeRoom() throws {
    let loop = try server(3) { $0.writeStallTimeout = .seconds(1_000) }
    // Requests without end on one connection, and nobody who reads: its answers fill the socket.
    let deaf = ClientEnd(try loop.connect())
    for _ in 0..<4_000 {
      deaf.send(post("made up", 0))
      loop.turn()
    }
    loop.advance(.seconds(5))
    let others = try open(loop, 2, post("made up", 1_000, "x"))
    for _ in 0..<5 {
      let known = ClientEnd(try loop.connect())
      known.send(post("known", 2, "ok"))
      loop.turn()
      #expect(status(known.receive().text) == 200)
    }
    _ = others
  }

  @Test func strangersSendAsManyBodiesAtOnceAsTheyMay() throws {
    let loop = try server(100) { $0.strangers.uploads = 3 }
    let slow = try open(loop, 3, post("made up", 1_000, "a few"))
    loop.advance(.seconds(1))
    for end in slow.dropFirst() { end.send("more") }
    loop.turn()
    // The one that has been silent longest makes room for a fourth, which is quick.
    let quick = ClientEnd(try loop.connect())
    quick.send(post("another", 2, "o"))
    loop.turn()
    #expect(status(slow[0].receive().text) == 408)
    quick.send("k")
    loop.turn()
    #expect(status(quick.receive().text) == 200)
    #expect(slow.dropFirst().allSatisfy { !$0.receive().ended })
    // Its place is free again.
    let last = ClientEnd(try loop.connect())
    last.send(post("another", 2, "o"))
    loop.turn()
    #expect(slow.dropFirst().allSatisfy { !$0.receive().ended })
  }

  @Test func aStrangersBodyMustComeAtSomeRate() throws {
    let loop = try server(100) { $0.strangers.uploadRate = 100 }
    let (slow, steady) = (ClientEnd(try loop.connect()), ClientEnd(try loop.connect()))
    let known = ClientEnd(try loop.connect())
    slow.send(post("made up", 100_000, "x"))
    steady.send(post("made up", 100_000, "x"))
    known.send(post("known", 100_000, "x"))
    loop.turn()
    for second in 1...30 {
      slow.send("x")
      steady.send(String(repeating: "x", count: 150))
      known.send("x")
      loop.advance(.seconds(1))
      if second == 9 { #expect(!slow.receive().ended) }
    }
    #expect(status(slow.receive().text) == 408)
    #expect(!steady.receive().ended && !known.receive().ended)
  }

  @Test func bodiesOfStrangersLeaveTheMemoryForKnownOnes() throws {
    let loop = try server(100) {
      $0.receivedBodyBytes = 10_000
      $0.strangers.receivedBodyBytes = 3_000
    }
    let some = String(repeating: "x", count: 2_500)
    let first = try open(loop, 1, post("made up", 5_000, some))
    let second = try open(loop, 1, post("made up", 5_000, some))
    #expect(status(second[0].receive().text) == 503)
    let known = ClientEnd(try loop.connect())
    let whole = String(repeating: "x", count: 9_000)
    known.send(post("known", 9_000, whole))
    loop.turn()
    #expect(status(known.receive().text) == 200)
    // What is over gives its bytes back.
    first[0].send(some)
    loop.turn()
    let third = ClientEnd(try loop.connect())
    third.send(post("made up", 2_500, some))
    loop.turn()
    #expect(status(third.receive().text) == 200)
  }

  @Test func withoutDescriptorsStrangersAreClosedBeforeAnybodyIsTurnedAway() throws {
    let loop = try server(100) { $0.strangers.uploads = 100 }
    let listener = csystem_listen_tcp("127.0.0.1", 0, 16)
    let port = UInt16(clamping: csystem_local_port(listener))
    try loop.listen(listener)
    let slow = try open(loop, 2, post("made up", 1_000, "x"))
    let known = ClientEnd(csystem_connect_tcp("127.0.0.1", port))
    known.send(post("known", 2, "ok"))
    var left = 1
    loop.injectFaults { call in
      guard case .accept = call, left > 0 else { return 0 }
      left -= 1
      return 24  // EMFILE
    }
    loop.turn()
    loop.turn()
    loop.injectFaults(nil)
    #expect(slow.count { $0.receive().ended } == 1)
    #expect(status(known.receive().text) == 200)
  }

  @Test func anIdleConnectionIsClosedAfterHalfAMinute() throws {
    let loop = try SteppedLoop(Server.Configuration()) { _, exchange in exchange.respond(.text("ok")) }
    let (quiet, served) = (ClientEnd(try loop.connect()), ClientEnd(try loop.connect()))
    served.send(get("/"))
    loop.turn()
    loop.advance(.milliseconds(29_900))
    #expect(!quiet.receive().ended && !served.receive().ended)
    loop.advance(.milliseconds(200))
    #expect(quiet.receive().ended && served.receive().ended)
  }
}
