// NATSCoreTests.swift: what a client says and when, on a clock that the test moves: greetings, logins,
// timers, and servers that lie, babble or say nothing.

import JSON
import Synchronization
import Testing

@testable import NATS

@Suite struct NATSCoreTests {
  private static let plain = "INFO {\"version\":\"2.9.10\",\"headers\":true,\"max_payload\":100}\r\n"

  private func ready() -> NATSCore {
    var core = NATSCore(inbox: "_INBOX.me.1")
    core.connected(wantsTLS: false, at: 0)
    _ = core.received(Array(Self.plain.utf8), at: 0)
    core.logIn(as: "n", [], version: "1", at: 0)
    _ = core.received(Array("PONG\r\n".utf8), at: 0)
    return core
  }

  private func said(_ core: inout NATSCore) -> String { String(decoding: core.takeOutput(), as: UTF8.self) }

  private func ends(_ effects: [NATSCore.Effect]) -> [String] {
    effects.compactMap { if case .end(let reason) = $0 { reason } else { nil } }
  }

  @Test func `a client greets, logs in, and subscribes again after each loss`() throws {
    var core = NATSCore(inbox: "_INBOX.me.1")
    let id = try core.subscribe("jobs.*", queue: "q") { _ in }
    core.connected(wantsTLS: false, at: 0)
    let effects = core.received(Array(Self.plain.utf8), at: 0)
    guard case .prepareLogin(let info)? = effects.first else { throw NATSError.closed }
    #expect(info.version == "2.9.10" && info.hasHeaders && info.maximumPayload == 100)
    core.logIn(as: "hotpot/n", [("auth_token", "t")], version: "1", at: 0)
    let login = said(&core)
    #expect(
      login.hasPrefix("CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"swift\",\"version\":\"1\""))
    #expect(login.contains("\"no_responders\":true") && login.contains("\"auth_token\":\"t\""))
    #expect(login.hasSuffix("\r\nPING\r\n"))
    _ = core.received(Array("PONG\r\n".utf8), at: 0)
    #expect(core.phase == .ready)
    #expect(said(&core) == "SUB _INBOX.me.1.* 1\r\nSUB jobs.* q \(id)\r\n")
    _ = core.lost()
    #expect(throws: NATSError.disconnected) { try core.publish(NATSMessage(subject: "a")) }
    core.connected(wantsTLS: false, at: 0)
    _ = core.received(Array(Self.plain.utf8), at: 0)
    core.logIn(as: "n", [], version: "1", at: 0)
    _ = core.takeOutput()
    _ = core.received(Array("PONG\r\nPING\r\n".utf8), at: 0)
    #expect(said(&core) == "SUB _INBOX.me.1.* 1\r\nSUB jobs.* q \(id)\r\nPONG\r\n")
    core.unsubscribe(id)
    #expect(said(&core) == "UNSUB \(id)\r\n")
  }

  @Test func `messages are published within the server's bounds, with headers where there are some`() throws {
    var core = ready()
    _ = core.takeOutput()
    try core.publish(NATSMessage(subject: "a.b", payload: Array("hi".utf8)))
    try core.publish(NATSMessage(subject: "a", reply: "r", headers: NATSHeaders([("A", "b")])))
    #expect(said(&core) == "PUB a.b 2\r\nhi\r\nHPUB a r 18 18\r\nNATS/1.0\r\nA: b\r\n\r\n\r\n")
    #expect(throws: NATSError.tooLarge(bytes: 101, limit: 100)) {
      try core.publish(NATSMessage(subject: "a", payload: Array(repeating: 0, count: 101)))
    }
    #expect(throws: NATSError.subject("a\r\nPUB b 0")) {
      try core.publish(NATSMessage(subject: "a\r\nPUB b 0"))
    }
    #expect(throws: NATSError.subject("a b")) { _ = try core.subscribe("a b") { _ in } }
    #expect(said(&core).isEmpty)
  }

  @Test func `a request ends once: by its answer, by nobody, by its timer or with the connection`() throws {
    var core = ready()
    let log = Log()
    for (index, _) in (0..<4).enumerated() {
      try core.request(NATSMessage(subject: "ask"), by: 5_000) { log.add("\(index): \($0)") }
    }
    let inboxes = said(&core).split(separator: "\r\n").filter { $0.hasPrefix("PUB ask") }
      .map { $0.split(separator: " ")[2] }
    #expect(Set(inboxes).count == 4)
    run(core.received(Array("MSG \(inboxes[0]) 1 2\r\nok\r\n".utf8), at: 1))
    run(core.received(Array("HMSG \(inboxes[1]) 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n".utf8), at: 1))
    // Once more, and for a request that never was.
    run(core.received(Array("MSG \(inboxes[0]) 1 2\r\nok\r\nMSG _INBOX.me.1.zz 1 0\r\n\r\n".utf8), at: 1))
    run(core.tick(at: 4_999))
    #expect(log.lines.count == 2)
    #expect(log.lines[0].hasPrefix("0: success") && log.lines[1] == "1: failure(nobody listens there)")
    run(core.tick(at: 5_000))
    #expect(
      log.lines.sorted().suffix(2) == [
        "2: failure(no answer in time)", "3: failure(no answer in time)",
      ])
    try core.request(NATSMessage(subject: "ask"), by: 9_000) { log.add("last: \($0)") }
    run(core.lost())
    #expect(log.lines.last == "last: failure(there is no connection to a server)")
  }

  @Test func `a server that answers no ping is given up`() {
    var core = ready()
    _ = core.takeOutput()
    #expect(core.deadline == 20_000)
    #expect(ends(core.tick(at: 20_000)).isEmpty && said(&core) == "PING\r\n")
    // Whatever comes shows that it lives.
    _ = core.received(Array("PONG\r\n".utf8), at: 21_000)
    #expect(core.deadline == 41_000)
    #expect(ends(core.tick(at: 41_000)).isEmpty && ends(core.tick(at: 61_000)).isEmpty)
    #expect(ends(core.tick(at: 81_000)) == ["it answers no more"])
  }

  @Test func `silence before and after the greeting ends in time`() {
    var core = NATSCore(inbox: "i")
    core.connected(wantsTLS: false, at: 1_000)
    #expect(core.deadline == 6_000)
    #expect(ends(core.tick(at: 6_000)) == ["it sent no greeting"])
    core.connected(wantsTLS: false, at: 0)
    _ = core.received(Array(Self.plain.utf8), at: 0)
    core.logIn(as: "n", [], version: "1", at: 0)
    #expect(ends(core.tick(at: 5_000)) == ["it did not answer the login"])
  }

  @Test(arguments: [
    ("garbage that is no NATS at all\r\n", "it breaks the protocol: it sent no verb of NATS: 'garbage'"),
    (
      "INFO nonsense\r\n",
      "it breaks the protocol: its INFO is no JSON: found 'nonsense', wanted a value at line 1, column 1 (byte 0)"
    ),
    ("INFO []\r\n", "it breaks the protocol: its INFO is no object"),
    ("PONG\r\n", "it breaks the protocol: it sent PONG before the login"),
    ("MSG a 1 0\r\n\r\n", "it breaks the protocol: it sent a message before the login"),
    ("-ERR 'Authorization Violation'\r\n", "it said 'Authorization Violation'"),
  ])
  func `a server that begins wrongly is left by name`(_ text: String, _ reason: String) throws {
    var core = NATSCore(inbox: "i")
    core.connected(wantsTLS: false, at: 0)
    let found = ends(core.received(Array(text.utf8), at: 0))
    try #require(found.count == 1)
    // The words of the JSON reader are its own.
    #expect(
      found[0] == reason
        || (text.contains("nonsense") && found[0].hasPrefix("it breaks the protocol: its INFO is no JSON: ")))
  }

  @Test
  func `TLS begins after the greeting, where the address or the server wants it, and with nothing between`() {
    var core = NATSCore(inbox: "i")
    core.connected(wantsTLS: true, at: 0)
    #expect(
      ends(core.received(Array("INFO {}\r\n".utf8), at: 0)) == [
        "it breaks the protocol: it has no TLS, which is wanted"
      ])
    for info in ["INFO {\"tls_required\":true}\r\n", "INFO {\"tls_available\":true}\r\n"] {
      core.connected(wantsTLS: true, at: 0)
      let effects = core.received(Array(info.utf8), at: 0)
      guard case .secure? = effects.first else { Issue.record("no TLS after \(info)"); continue }
      guard case .prepareLogin? = core.secured().first else { Issue.record("no login"); continue }
      core.connected(wantsTLS: true, at: 0)
      #expect(
        ends(core.received(Array((info + "PING\r\n").utf8), at: 0))
          == ["it breaks the protocol: it sent plain bytes where TLS begins"])
    }
    core.connected(wantsTLS: false, at: 0)
    let effects = core.received(Array("INFO {\"tls_required\":true}\r\n".utf8), at: 0)
    guard case .secure? = effects.first else {
      Issue.record("no TLS though it is required")
      return
    }
  }

  @Test func `refusals of a subject are passed on, others end the connection, and a leaving server says so`()
  {
    var core = ready()
    var effects = core.received(Array("-ERR 'Permissions Violation for Publish to \"x\"'\r\n".utf8), at: 0)
    guard case .complaint("Permissions Violation for Publish to \"x\"")? = effects.first else {
      Issue.record("\(effects)")
      return
    }
    effects = core.received(Array("INFO {\"ldm\":true,\"max_payload\":50}\r\n".utf8), at: 0)
    guard case .serverLeaves? = effects.first else {
      Issue.record("\(effects)")
      return
    }
    #expect(core.phase == .ready && core.info.maximumPayload == 50)
    #expect(
      ends(core.received(Array("-ERR 'Maximum Payload Violation'\r\n".utf8), at: 0)) == [
        "it said 'Maximum Payload Violation'"
      ])
  }

  @Test func `a flood of pings is answered once for all that came together`() {
    var core = ready()
    _ = core.takeOutput()
    _ = core.received(Array(String(repeating: "PING\r\n", count: 20_000).utf8), at: 0)
    #expect(said(&core) == "PONG\r\n")
  }

  @Test func `what no subscription is for is dropped, and a job is told by its subscription`() throws {
    var core = ready()
    let log = Log()
    let id = try core.subscribe("_INBOX.me.pull.*") { log.add($0.subject) }
    run(
      core.received(
        Array("MSG _INBOX.me.pull.1 999 0\r\n\r\nMSG hotpot.job.m.std.a \(id) 0\r\n\r\n".utf8), at: 0))
    #expect(log.lines == ["hotpot.job.m.std.a"])
    // Taken back, what was on its way still comes.
    core.unsubscribe(id, keepsHandler: true)
    run(core.received(Array("MSG late \(id) 0\r\n\r\n".utf8), at: 0))
    core.unsubscribe(id)
    run(core.received(Array("MSG later \(id) 0\r\n\r\n".utf8), at: 0))
    #expect(log.lines == ["hotpot.job.m.std.a", "late"])
  }

  @Test func `a drain says that nothing more is wanted, and waits for that to be heard`() throws {
    var core = ready()
    _ = try core.subscribe("a") { _ in }
    try core.publish(NATSMessage(subject: "last"))
    _ = core.takeOutput()
    core.drain(by: 2_000)
    #expect(said(&core).hasSuffix("UNSUB 2\r\nPING\r\n") && !core.isDrained)
    _ = core.received(Array("PONG\r\n".utf8), at: 10)
    #expect(core.isDrained)
    var silent = ready()
    silent.drain(by: 2_000)
    _ = silent.tick(at: 2_000)
    #expect(silent.isDrained)
  }

  @Test func `logins have the fields that servers want, and only a nonce is signed`() throws {
    var info = NATSInfo()
    #expect(try NATSLogin.none.fields(for: info).isEmpty)
    #expect(
      try NATSLogin.password(user: "a", password: "b").fields(for: info).map(\.key) == ["user", "pass"])
    let log = Log()
    let login = NATSLogin.nkey(key: "U") { bytes in
      log.add(String(decoding: bytes, as: UTF8.self))
      return Array(repeating: 0xFB, count: 64)
    }
    #expect(throws: NATSFault("it asks for no nkey")) { try login.fields(for: info) }
    for text in [
      "", "short", "SSHSIG\u{0}\u{0}\u{0}\u{0}", "with space in it", String(repeating: "a", count: 65),
    ] {
      info.nonce = text
      #expect(throws: NATSFault("what it wants signed is no nonce: it is not signed")) {
        try login.fields(for: info)
      }
    }
    #expect(log.lines.isEmpty)
    info.nonce = "Ab-_0123456789"
    let fields = try login.fields(for: info)
    #expect(fields.map(\.key) == ["nkey", "sig"])
    #expect(fields[1].value.string == String(repeating: "-_v7", count: 21) + "-w")
    #expect(log.lines == ["Ab-_0123456789"])
    // Prefix, key and CRC-16 of 32 zeros, by an independent calculation in Python.
    #expect(
      NATSLogin.userKey(Array(repeating: 0, count: 32))
        == "UAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABET7")
  }

  @Test func `deliveries are read from both forms of their acknowledgement's subject`() throws {
    func delivery(_ reply: String?) -> NATSDelivery? { NATSDelivery(NATSMessage(subject: "s", reply: reply)) }
    let short = try #require(delivery("$JS.ACK.HOTPOT.c.3.17.20.1700000000.4"))
    #expect(short.count == 3 && short.sequence == 17)
    let long = try #require(delivery("$JS.ACK._.ACC.HOTPOT.c.2.18.20.1700000000.4.rand"))
    #expect(long.count == 2 && long.sequence == 18)
    #expect(try #require(delivery("$JS.ACK.hub.ACC.HOTPOT.c.2.18.20.17.4")).sequence == 18)
    for bad in [
      nil, "", "x.y", "$JS.ACK.HOTPOT.c.0.17.20.17.4", "$JS.ACK.HOTPOT.c.-1.17.20.17.4",
      "$JS.ACK.a.b.c.d.e.f.g",
      "$JS.ACK.HOTPOT.c.3.17.20.17", "$JS.ACK.HOTPOT.c.3.17.20.17.4.5",
      "$JS.ACK.HOTPOT.c.99999999999999999999.17.20.17.4",
    ] {
      #expect(delivery(bad) == nil, "\(bad ?? "nil")")
    }
    #expect(
      NATSDelivery.Acknowledgement.pass(after: .milliseconds(1_500)).bytes
        == Array("-NAK {\"delay\":1500000000}".utf8))
  }

  @Test func `addresses of servers are read, or refused`() {
    #expect(NATSServer("nats.example")?.description == "nats.example:4222")
    #expect(NATSServer("tls://[::1]:4333").map { "\($0) \($0.isSecure)" } == "[::1]:4333 true")
    #expect(NATSServer("nats://a:1").map { "\($0) \($0.isSecure)" } == "a:1 false")
    for bad in ["", "a:0", "a:b", "a:70000", "ws://a", "u:p@a", "a b", "a/b"] {
      #expect(NATSServer(bad) == nil, "\(bad)")
    }
  }

  private func run(_ effects: [NATSCore.Effect]) {
    for effect in effects {
      switch effect {
      case .deliver(let handler, let message): handler(message)
      case .finish(let done, let result): done(result)
      default: break
      }
    }
  }
}

/// Lines that handlers append to.
final class Log: Sendable {
  private let inner = Mutex<[String]>([])
  func add(_ line: String) { inner.withLock { $0.append(line) } }
  var lines: [String] { inner.withLock { $0 } }
}
