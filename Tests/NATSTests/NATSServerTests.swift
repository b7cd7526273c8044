// NATSServerTests.swift: the client with real servers, Debian's 2.9 and the packaged 2.14: logins,
// TLS, requests, work queues, and servers that die.

import Certificates
import Dispatch
import Foundation
import JSON
import NATSServers
import Synchronization
import TLS
import Testing

@testable import NATS

/// A client of a test's server, and what it told.
private final class Station {
  let client: NATSClient
  let notices = Log()

  init(
    _ servers: [String], login: NATSLogin = .none, trust: TLSTrust = TLSTrust(), inbox: String = "me"
  ) throws {
    var settings = NATSClient.Settings(
      servers: try servers.map { try #require(NATSServer($0)) }, name: "test", inbox: inbox)
    settings.login = login
    settings.trust = trust
    client = NATSClient(settings) { [notices] in notices.add("\($0)") }
    client.start()
  }

  /// Waits until it is connected.
  func ready(connections: Int = 1) throws {
    for _ in 0..<3_000 {
      if client.status.isReady, client.status.connections >= connections { return }
      usleep(5_000)
    }
    throw NATSError.timedOut
  }

  /// Waits until it said why there is no connection.
  func trouble() throws -> String {
    for _ in 0..<3_000 {
      if let trouble = client.status.trouble { return trouble }
      usleep(5_000)
    }
    throw NATSError.timedOut
  }

  deinit {
    client.close()
    client.waitUntilClosed()
  }
}

/// What came, for a test that waits for it.
private final class Mailbox<Element: Sendable>: Sendable {
  private let elements = Mutex<[Element]>([])
  private let came = DispatchSemaphore(value: 0)

  func put(_ element: Element) {
    elements.withLock { $0.append(element) }
    came.signal()
  }

  func take() throws -> Element {
    guard came.wait(timeout: .now() + 20) == .success else { throw NATSError.timedOut }
    return elements.withLock { $0.removeFirst() }
  }
}

@Suite(
  .serialized,
  .disabled(if: NATSServerProgram.all.isEmpty, "there is no nats-server: apt install nats-server"))
struct NATSServerTests {
  private static let stream: JSONValue = [
    "name": "T", "subjects": ["job.*"], "retention": "workqueue", "storage": "file", "discard": "new",
    "max_msgs": 4, "num_replicas": 1, "duplicate_window": 60_000_000_000,
  ]

  private static func consumer(wait: Int64 = 1_000_000_000) -> JSONValue {
    [
      "stream_name": "T",
      "config": [
        "durable_name": "c", "ack_policy": "explicit", "ack_wait": JSONValue(wait), "max_deliver": -1,
        "max_waiting": 512, "filter_subject": "job.a", "deliver_policy": "all", "replay_policy": "instant",
      ],
    ]
  }

  private func put(_ jetStream: JetStream, _ id: String) throws -> Result<JetStream.Stored, JetStreamError> {
    let box = Mailbox<Result<JetStream.Stored, JetStreamError>>()
    jetStream.publish(
      NATSMessage(
        subject: "job.a", headers: NATSHeaders([("Nats-Msg-Id", id)]), payload: Array("job \(id)".utf8))
    ) { box.put($0) }
    return try box.take()
  }

  private func open(_ station: Station, wait: Int64 = 1_000_000_000) throws -> (
    JetStream, PullConsumer, Mailbox<PullConsumer.Event>
  ) {
    let jetStream = JetStream(station.client)
    _ = try jetStream.call(waiting: "STREAM.CREATE.T", Self.stream)
    _ = try jetStream.call(waiting: "CONSUMER.DURABLE.CREATE.T.c", Self.consumer(wait: wait))
    let events = Mailbox<PullConsumer.Event>()
    let pull = PullConsumer(jetStream, stream: "T", consumer: "c") { events.put($1) }
    return (jetStream, pull, events)
  }

  @Test(arguments: NATSServerProgram.all)
  func `requests are answered, headers arrive, and nobody is told at once`(_ program: NATSServerProgram)
    throws
  {
    let server = try NATSServerProcess(program)
    let one = try Station(["127.0.0.1:\(server.port)"])
    let two = try Station(["127.0.0.1:\(server.port)"], inbox: "you")
    try one.ready()
    try two.ready()
    #expect(one.client.status.info?.version == program.version)
    let other = two.client
    _ = try two.client.subscribe("ask.*") { message in
      guard let reply = message.reply else { return }
      var answer = NATSMessage(subject: reply, headers: message.headers)
      answer.payload = message.payload.reversed()
      try? other.publish(answer)
    }
    // A round trip shows that the server has the subscription.
    #expect(throws: NATSError.noResponders) { try two.client.ask(NATSMessage(subject: "nobody")) }
    let sent = Array((0..<200_000).map { UInt8(truncatingIfNeeded: $0) })
    let answer = try one.client.ask(
      NATSMessage(subject: "ask.it", headers: NATSHeaders([("X", "ü y")]), payload: sent))
    #expect(answer.headers?["x"] == "ü y")
    let isSame = answer.payload == Array(sent.reversed())
    #expect(isSame)
    #expect(throws: NATSError.noResponders) { try one.client.ask(NATSMessage(subject: "ask.too.deep")) }
    #expect(throws: NATSError.self) {
      try one.client.ask(NATSMessage(subject: "ask.it", payload: Array(repeating: 0, count: 2 << 20)))
    }
  }

  @Test(arguments: NATSServerProgram.all)
  func `it logs in by token, by password and by an nkey, and is told when it may not`(
    _ program: NATSServerProgram
  ) throws {
    let byToken = try NATSServerProcess(program, "authorization { token: \"secret\" }")
    try Station(["127.0.0.1:\(byToken.port)"], login: .token("secret")).ready()
    let wrong = try Station(["127.0.0.1:\(byToken.port)"], login: .token("guess"))
    #expect(try wrong.trouble() == "it said 'Authorization Violation'")
    let byName = try NATSServerProcess(program, "authorization { user: \"a\", password: \"b\" }")
    try Station(["127.0.0.1:\(byName.port)"], login: .password(user: "a", password: "b")).ready()
    guard !Certificates.areAbsent else { return }
    // The key and its signatures are OpenSSL's.
    let folder = try Certificates.path("")
    let key = folder + "nkey-\(UUID().uuidString)"
    #expect(try Certificates.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key]).status == 0)
    #expect(
      try Certificates.run([
        "openssl", "pkey", "-in", key, "-pubout", "-outform", "DER", "-out", key + ".pub",
      ]).status == 0)
    let publicKey = try Array(Data(contentsOf: URL(filePath: key + ".pub")).suffix(32))
    let name = NATSLogin.userKey(publicKey)
    let byKey = try NATSServerProcess(program, "authorization { users: [ { nkey: \(name) } ] }")
    let login = NATSLogin.nkey(key: name) { nonce in
      try Data(nonce).write(to: URL(filePath: key + ".nonce"))
      let made = try Certificates.run([
        "openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", key + ".nonce", "-out", key + ".sig",
      ])
      guard made.status == 0 else { throw Certificates.Unmade(output: made.output) }
      return try Array(Data(contentsOf: URL(filePath: key + ".sig")))
    }
    try Station(["127.0.0.1:\(byKey.port)"], login: login).ready()
  }

  @Test(
    .disabled(if: Certificates.areAbsent, "there is no openssl, which makes certificates"),
    arguments: NATSServerProgram.all)
  func `it speaks TLS with a server that is who it says, and with no other`(_ program: NATSServerProgram)
    throws
  {
    func tls(_ name: String) throws -> String {
      "tls { cert_file: \"\(try Certificates.path(name + ".pem"))\", key_file: \"\(try Certificates.path(name + ".key"))\" }"
    }
    let trust = TLSTrust(authorities: try Certificates.path("ca.pem"))
    let good = try NATSServerProcess(program, tls("good"))
    let station = try Station(["tls://localhost:\(good.port)"], trust: trust)
    try station.ready()
    #expect(throws: NATSError.noResponders) { try station.client.ask(NATSMessage(subject: "nobody")) }
    // The server demands it of addresses that do not say it.
    try Station(["localhost:\(good.port)"], trust: trust).ready()
    let unknown = try Station(["localhost:\(good.port)"])
    #expect(
      try unknown.trouble() == "TLS: its certificate is refused: unable to get local issuer certificate")
    let other = try NATSServerProcess(program, tls("other"))
    let misled = try Station(["localhost:\(other.port)"], trust: trust)
    #expect(try misled.trouble() == "TLS: its certificate is refused: hostname mismatch")
    let plain = try NATSServerProcess(program)
    let refused = try Station(["tls://localhost:\(plain.port)"], trust: trust)
    #expect(try refused.trouble() == "it breaks the protocol: it has no TLS, which is wanted")
    let mutual = try NATSServerProcess(
      program, tls("good").dropLast() + ", ca_file: \"\(try Certificates.path("ca.pem"))\", verify: true }")
    var known = trust
    known.certificate = try Certificates.path("client.pem")
    known.key = try Certificates.path("client.key")
    try Station(["localhost:\(mutual.port)"], trust: known).ready()
    let unnamed = try Station(["localhost:\(mutual.port)"], trust: trust)
    _ = try unnamed.trouble()
    #expect(unnamed.client.status.connections == 0)
  }

  @Test(arguments: NATSServerProgram.all)
  func `a work queue gives each message once, again after its lease, and never after its end`(
    _ program: NATSServerProgram
  ) throws {
    let server = try NATSServerProcess(program)
    let station = try Station(["127.0.0.1:\(server.port)"])
    try station.ready()
    let (jetStream, pull, events) = try open(station)
    // The same configuration again is no error, another is one.
    _ = try jetStream.call(waiting: "STREAM.CREATE.T", Self.stream)
    let refusal = #expect(throws: JetStreamError.self) {
      try jetStream.call(waiting: "STREAM.CREATE.T", ["name": "T", "subjects": ["other.*"]])
    }
    #expect(refusal?.number == 10_058)
    try pull.pull(waits: false)
    #expect(try events.take() == .empty)
    #expect(try put(jetStream, "1").get() == JetStream.Stored(stream: "T", sequence: 1, isDuplicate: false))
    #expect(try put(jetStream, "1").get() == JetStream.Stored(stream: "T", sequence: 1, isDuplicate: true))
    for id in ["2", "3", "4"] { _ = try put(jetStream, id).get() }
    guard case .failure(let full) = try put(jetStream, "5") else {
      Issue.record("it took a fifth")
      return
    }
    #expect(JetStreamError.streamFull.contains(full.number ?? 0))
    func next(waits: Bool = true) throws -> NATSDelivery {
      try pull.pull(waits: waits)
      guard case .delivery(let delivery) = try events.take() else { throw NATSError.timedOut }
      return delivery
    }
    func confirm(_ delivery: NATSDelivery, _ what: NATSDelivery.Acknowledgement) throws -> Bool {
      let box = Mailbox<Bool>()
      delivery.confirm(what, to: station.client) { box.put($0) }
      return try box.take()
    }
    let first = try next(waits: false)
    #expect(first.message.payload == Array("job 1".utf8) && first.count == 1 && first.sequence == 1)
    #expect(first.message.headers?["Nats-Msg-Id"] == "1")
    #expect(try confirm(first, .done))
    #expect(try confirm(first, .done), "confirmed again")
    // Passed on, it is there at once.
    let second = try next()
    #expect(try confirm(second, .pass(after: nil)))
    let again = try next()
    #expect(again.sequence == 2 && again.count == 2)
    // Its lease runs out while it is held; meanwhile others are given.
    let third = try next()
    #expect(try confirm(third, .done))
    let fourth = try next()
    #expect(try confirm(fourth, .end))
    #expect(fourth.sequence == 4)
    let late = try next()
    #expect(late.sequence == 2 && late.count == 3)
    #expect(try confirm(late, .done))
    let info = try jetStream.call(waiting: "STREAM.INFO.T", ["subjects_filter": ">"])
    #expect(info["state"]?["messages"]?.integer == 0)
    // A pull that is taken back swallows nothing.
    try pull.pull(waits: true)
    pull.withdraw()
    _ = try put(jetStream, "6").get()
    #expect(try next().message.payload == Array("job 6".utf8))
  }

  @Test(arguments: NATSServerProgram.all)
  func `a lease that is renewed lasts`(_ program: NATSServerProgram) throws {
    let server = try NATSServerProcess(program)
    let station = try Station(["127.0.0.1:\(server.port)"])
    try station.ready()
    let (jetStream, pull, events) = try open(station, wait: 600_000_000)
    _ = try put(jetStream, "1").get()
    try pull.pull(waits: true)
    guard case .delivery(let held) = try events.take() else {
      Issue.record("no delivery")
      return
    }
    for _ in 0..<8 {
      usleep(200_000)
      held.say(.working, to: station.client)
    }
    try pull.pull(waits: false)
    #expect(try events.take() == .empty, "it was given away after 1.6 s of a lease of 0.6 s")
    // Not renewed, it is.
    try pull.pull(waits: true)
    guard case .delivery(let second) = try events.take() else {
      Issue.record("no second delivery")
      return
    }
    #expect(second.count == 2)
  }

  @Test(arguments: NATSServerProgram.all)
  func `a killed server comes back with its queue, and the client with its subscriptions`(
    _ program: NATSServerProgram
  ) throws {
    let server = try NATSServerProcess(program)
    let station = try Station(["127.0.0.1:\(server.port)"])
    try station.ready()
    let (jetStream, pull, events) = try open(station, wait: 30_000_000_000)
    for id in ["1", "2"] { _ = try put(jetStream, id).get() }
    try pull.pull(waits: true)
    guard case .delivery(let held) = try events.take() else {
      Issue.record("no delivery")
      return
    }
    let waiting = Mailbox<Result<NATSMessage, NATSError>>()
    station.client.request(NATSMessage(subject: "job.none", reply: nil), timeout: .seconds(60)) {
      waiting.put($0)
    }
    _ = try waiting.take()
    server.kill()
    for _ in 0..<3_000 where station.client.status.isReady { usleep(5_000) }
    #expect(throws: NATSError.disconnected) { try station.client.ask(NATSMessage(subject: "x")) }
    try server.start()
    try station.ready(connections: 2)
    // The old lease is still ours, and the ids are still known.
    let done = Mailbox<Bool>()
    held.confirm(.done, to: station.client) { done.put($0) }
    #expect(try done.take())
    #expect(try put(jetStream, "2").get().isDuplicate)
    pull.check(at: .now + .seconds(60))
    try pull.pull(waits: true)
    guard case .delivery(let second) = try events.take() else {
      Issue.record("no second delivery")
      return
    }
    #expect(second.message.payload == Array("job 2".utf8))
    #expect(station.notices.lines.contains { $0.hasPrefix("disconnected") })
  }

  @Test(arguments: NATSServerProgram.all)
  func `of several servers it takes one that is there, and leaves one that is about to stop`(
    _ program: NATSServerProgram
  ) throws {
    let (one, two) = (
      try NATSServerProcess(program, "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\""),
      try NATSServerProcess(program)
    )
    let station = try Station(["127.0.0.1:1", "127.0.0.1:\(one.port)", "127.0.0.1:\(two.port)"])
    try station.ready()
    #expect(station.client.status.server?.port == one.port)
    // Lame duck mode.
    one.signal(SIGUSR2)
    try station.ready(connections: 2)
    #expect(station.client.status.server?.port == two.port)
  }

  @Test(arguments: NATSServerProgram.all)
  func `silence of a consumer that is not there ends by our own clock`(_ program: NATSServerProgram) throws {
    let server = try NATSServerProcess(program)
    let station = try Station(["127.0.0.1:\(server.port)"])
    try station.ready()
    let events = Mailbox<PullConsumer.Event>()
    let pull = PullConsumer(JetStream(station.client), stream: "NONE", consumer: "c") { events.put($1) }
    try pull.pull(waits: true)
    pull.check(at: .now + .seconds(11))
    // 2.14 says that nobody listens there; 2.9 says nothing.
    let event = try events.take()
    #expect(event == .silent || event == .refused(status: 503, ""))
    #expect(!pull.isOpen)
  }

  @Test(arguments: NATSServerProgram.all)
  func `rights that the server keeps are told as complaints`(_ program: NATSServerProgram) throws {
    let server = try NATSServerProcess(
      program,
      "authorization { users: [ { user: a, password: b, permissions: { publish: [\"ok\"], subscribe: [\"_INBOX.me.>\"] } } ] }"
    )
    let station = try Station(["127.0.0.1:\(server.port)"], login: .password(user: "a", password: "b"))
    try station.ready()
    try station.client.publish(NATSMessage(subject: "forbidden"))
    #expect(throws: NATSError.noResponders) { try station.client.ask(NATSMessage(subject: "ok")) }
    for _ in 0..<1_000 where !station.notices.lines.contains(where: { $0.contains("ermissions") }) {
      usleep(5_000)
    }
    #expect(
      station.notices.lines.contains { $0.hasPrefix("complaint(\"Permissions Violation for Publish to") })
    #expect(station.client.status.isReady)
  }
}
