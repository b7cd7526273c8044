// QueueDoorTests.swift: nodes on a shared queue, with real servers: a job from its publishing to its
// acknowledgement, held, cancelled, refused, and finished by another node.

import Dispatch
import Foundation
import JSON
import NATS
import NATSServers
import Receipts
import Scheduling
import Synchronization
import Testing

@testable import Node

/// What came for one request, for a test that waits for its end.
private final class Reader: Sendable {
  let events = Mutex<[QueueRequest.Event]>([])
  private let ended = DispatchSemaphore(value: 0)

  func take(_ event: QueueRequest.Event) {
    events.withLock { $0.append(event) }
    switch event {
    case .full, .failed, .run(.done), .run(.rejected): ended.signal()
    case .stored, .run: break
    }
  }

  func wait() -> Bool { ended.wait(timeout: .now() + 60) == .success }

  var all: [QueueRequest.Event] { events.withLock { $0 } }
  var text: String {
    all.reduce(into: "") { if case .run(.text(let more)) = $1 { $0 += more } }
  }
  var end: QueueWord.End? {
    for case .run(.done(let end, _)) in all { return end }
    return nil
  }
}

@Suite(
  .serialized,
  .disabled(if: NATSServerProgram.all.isEmpty, "there is no nats-server: apt install nats-server"))
struct QueueDoorTests {
  /// A stream for the small model, and a client's connection to it.
  final class Site {
    let server: NATSServerProcess
    let client: NATSClient
    let administrator: NATSClient
    let queue: SharedQueue
    let scratch: ScratchDirectory

    /// - nodeKey: of a node's login; then everybody has the rights that `queue init --rights` prints,
    ///   and no more
    init(_ program: NATSServerProgram, jobs: Int = 100, nodeKey: String? = nil) throws {
      let rights = try nodeKey.map {
        QueueAdministration.rights(
          SharedQueue(), node: "n1", nodeKey: try QueueAdministration.nkey(ofKey: $0),
          clients: ["alice", "bob"])
      }
      server = try NATSServerProcess(
        program, rights?.replacingOccurrences(of: "CHANGE ME", with: "secret") ?? "")
      scratch = try ScratchDirectory()
      var queue = SharedQueue()
      queue.servers = [try #require(NATSServer("127.0.0.1:\(server.port)"))]
      var administrators = queue
      if rights != nil {
        queue.login = .password(user: "alice", password: "secret")
        administrators.login = .password(user: "admin", password: "secret")
      }
      self.queue = queue
      client = NATSClient(queue.connection(as: "alice", version: "0"))
      client.start()
      administrator = NATSClient(administrators.connection(as: "admin", version: "0"))
      administrator.start()
      for client in [client, administrator] {
        for _ in 0..<2_000 where !client.status.isReady { usleep(5_000) }
      }
      var sizes = QueueAdministration.Sizes()
      sizes.jobs = jobs
      _ = try QueueAdministration(queue, administrator).make(models: ["m"], sizes)
      try SmallModel.write(to: scratch.path + "/small.gguf", seed: 1)
    }

    deinit {
      for client in [client, administrator] {
        client.close()
        client.waitUntilClosed()
      }
    }

    /// - login: the section of that name
    /// - http: where its door listens
    /// - served: the name of its model
    /// - queue: more keys of that section
    func node(
      _ name: String, _ more: String = "policy: [{ action: 'admit' }]", login: String = "{}",
      http: String = "none", served: String = "m", queue keys: String = ""
    ) throws -> NodeService {
      let path = scratch.path + "/small.gguf"
      let node = try NodeService(
        NodeOptions(
          configuration: NodeConfiguration(
            file: "test",
            text: """
              { name: '\(name)', threads: 1, http: { listen: '\(http)' }, audits: { share: 0 },
                prices: [{ prompt: '1', completion: '100' }],
                queue: { servers: ['127.0.0.1:\(server.port)']\(login == "{}" ? "" : ", login: \(login)")
                  \(keys) },
                \(more) }
              """),
          stateDirectory: scratch.path + "/" + name, version: "0"
        ) { (_) throws(ServingError) in ModelFile(name: served, path: path) })
      try node.start()
      return node
    }

    fileprivate func submit(_ body: String, id: UInt64, model: String = "m") -> (QueueRequest, Reader) {
      let reader = Reader()
      let job = QueueJob(
        id: JobID(id), client: "alice", priorityClass: .std, reply: client.makeInbox("r"),
        body: Array(body.utf8))
      let request = QueueRequest(client, queue, job: job) { reader.take($0) }
      request.submit(model: model)
      return (request, reader)
    }

    /// Waits until the queue has no job, or has one; for ten seconds and some at most.
    func empty(_ isEmpty: Bool = true) throws {
      for _ in 0..<2_000 {
        if try (jobsLeft() == 0) == isEmpty { return }
        usleep(5_000)
      }
    }

    /// Waits for a server that has just been started again.
    func jobsLeft() throws -> Int {
      for _ in 0..<2_000 where !administrator.status.isReady { usleep(5_000) }
      return try QueueAdministration(queue, administrator).status().jobs
    }
  }

  private func end(_ node: NodeService) {
    node.stop(drain: false, by: "test")
    node.waitUntilStopped()
  }

  private func receipts(_ node: NodeService) -> Int { node.runtime.journal.read { $0.counts.logged } }

  static let body =
    "{\"model\":\"m\",\"prompt\":\"hello\",\"max_tokens\":24,\"seed\":7,\"temperature\":1,\"ignore_eos\":true}"

  @Test(arguments: NATSServerProgram.all)
  func `a job is taken, answered, receipted and acknowledged`(_ program: NATSServerProgram) throws {
    let site = try Site(program)
    let (_, waiting) = site.submit(Self.body, id: 1)
    let node = try site.node("n1")
    defer { end(node) }
    try #require(waiting.wait())
    let end = try #require(waiting.end)
    #expect(waiting.all.first == .stored)
    #expect(waiting.all.contains(.run(.state(.running, node: "n1"))))
    #expect(end.completion == 24 && end.finish == "length")
    #expect(!waiting.text.isEmpty)
    #expect(end.line?.contains("\"client\":\"unknown-alice\"") == true)
    #expect(end.signature?.hasPrefix("-----BEGIN SSH SIGNATURE-----") == true || !hasSSHKeygen)
    try site.empty()
    #expect(try site.jobsLeft() == 0)
    #expect(receipts(node) == 1)
    // The same request again gives the same text; a body without a seed is refused for all.
    let (_, again) = site.submit(Self.body, id: 2)
    try #require(again.wait())
    #expect(again.text == waiting.text)
    let (_, seedless) = site.submit("{\"model\":\"m\",\"prompt\":\"hello\",\"max_tokens\":4}", id: 3)
    try #require(seedless.wait())
    #expect(
      seedless.all.contains(
        .run(
          .rejected("'seed' is missing: a job of a shared queue names its seed", node: "n1", isRequest: true))
      ))
    // An id that the queue knows is stored once.
    let (_, twice) = site.submit(Self.body, id: 2)
    try #require(twice.wait())
    #expect(twice.all.last == .failed("the queue had a job of that id already"))
  }

  @Test(arguments: NATSServerProgram.all)
  func `a full queue refuses, and jobs are cancelled where they wait and where they run`(
    _ program: NATSServerProgram
  ) throws {
    let site = try Site(program, jobs: 2)
    let (first, one) = site.submit(Self.body, id: 1)
    let (_, two) = site.submit(Self.body, id: 2)
    for _ in 0..<1_000 where one.all.isEmpty || two.all.isEmpty { usleep(5_000) }
    let (_, three) = site.submit(Self.body, id: 3)
    try #require(three.wait())
    guard case .full? = three.all.last else { Issue.record("\(three.all)"); return }
    // It waits: it is deleted.
    let gone = DispatchSemaphore(value: 0)
    first.cancel { if $0 { gone.signal() } }
    try #require(gone.wait(timeout: .now() + 20) == .success)
    #expect(try site.jobsLeft() == 1)
    // It is held by the operator: the node answers.
    let node = try site.node("n1", "policy: [{ action: 'ask' }]")
    defer { end(node) }
    for _ in 0..<2_000 where !two.all.contains(.run(.state(.pending, node: "n1"))) { usleep(5_000) }
    #expect(two.all.contains(.run(.state(.pending, node: "n1"))))
    let (held, four) = site.submit(Self.body, id: 4)
    for _ in 0..<2_000 where !four.all.contains(.run(.state(.pending, node: "n1"))) { usleep(5_000) }
    held.cancel { if $0 { gone.signal() } }
    try #require(gone.wait(timeout: .now() + 20) == .success)
    try #require(four.wait())
    #expect(four.all.contains(.run(.rejected("cancelled by the client", node: "n1"))))
    // The operator rejects the other one, for all.
    let reply = node.runtime.act(.reject(jobs: [JobID(2).hex], reason: "not today"), by: Operator("test"))
    guard case .done = reply else { Issue.record("\(reply)"); return }
    try #require(two.wait())
    #expect(two.all.contains(.run(.rejected("not today", node: "n1"))))
    try site.empty()
    #expect(try site.jobsLeft() == 0)
    #expect(receipts(node) == 0)
  }

  @Test(arguments: NATSServerProgram.all)
  func `two nodes share many jobs, each answered once, and a node that stops passes its jobs on`(
    _ program: NATSServerProgram
  ) throws {
    let site = try Site(program)
    let one = try site.node("n1")
    let two = try site.node("n2")
    defer { end(two) }
    var readers: [Reader] = []
    var requests: [QueueRequest] = []
    for number in 1...30 {
      let (request, reader) = site.submit(Self.body, id: UInt64(number))
      requests.append(request)
      readers.append(reader)
    }
    // In the middle of it.
    for _ in 0..<4_000 where readers.count(where: { $0.end != nil }) < 5 { usleep(2_000) }
    end(one)
    for reader in readers { try #require(reader.wait()) }
    let odd = readers.filter { $0.text != readers[0].text }
    #expect(odd.isEmpty, "\(odd.map(\.all))")
    #expect(
      readers.allSatisfy { reader in
        !reader.all.contains { if case .run(.disagreement) = $0 { true } else { false } }
      })
    try site.empty()
    #expect(try site.jobsLeft() == 0)
    #expect(receipts(one) + receipts(two) == 30)
    withExtendedLifetime(requests) {}
  }

  @Test(arguments: NATSServerProgram.all)
  func `a killed server comes back, and what was running is answered once`(_ program: NATSServerProgram)
    throws
  {
    let site = try Site(program)
    let node = try site.node("n1")
    defer { end(node) }
    let (request, reader) = site.submit(
      "{\"model\":\"m\",\"prompt\":\"hello\",\"max_tokens\":200,\"seed\":7,\"ignore_eos\":true}", id: 1)
    for _ in 0..<4_000 where reader.text.isEmpty { usleep(2_000) }
    site.server.kill()
    try site.server.start()
    try #require(reader.wait())
    #expect(reader.end?.completion == 200)
    try site.empty()
    #expect(receipts(node) == 1)
    withExtendedLifetime(request) {}
  }

  @Test(.enabled(if: hasSSHKeygen, "ssh-keygen is not installed"), arguments: NATSServerProgram.all)
  func `the rights that are printed let a job through, to a node whose key ssh's agent holds, and no more`(
    _ program: NATSServerProgram
  ) throws {
    let keys = try ScratchDirectory()
    let key = keys.path + "/queue"
    _ = try SSHKeygen().makeKey(at: key)
    let site = try Site(program, nodeKey: key)
    let node = try site.node("n1", login: "{ nkey: '\(key)' }")
    defer { end(node) }
    let (request, reader) = site.submit(Self.body, id: 1)
    try #require(reader.wait())
    #expect(reader.end?.completion == 24, "\(reader.all)")
    try site.empty()
    #expect(try site.jobsLeft() == 0 && receipts(node) == 1)
    // It waits for nobody, so that it is there to be read.
    end(node)
    let (second, _) = site.submit(Self.body, id: 2)
    try site.empty(false)
    let alice = JetStream(site.client)
    for call in [
      "STREAM.MSG.GET.HOTPOT", "STREAM.PURGE.HOTPOT", "CONSUMER.MSG.NEXT.HOTPOT.m_std",
      "STREAM.MSG.GET.HOTPOT_ENDS", "STREAM.DELETE.HOTPOT",
    ] {
      #expect(throws: JetStreamError.self, "\(call)") {
        _ = try alice.call(waiting: call, ["seq": 1], timeout: .milliseconds(300))
      }
    }
    // Nobody sends a job in another's name, or claims an end.
    for subject in ["hotpot.job.m.std.bob", "hotpot.end.alice.0000000000000002"] {
      #expect(throws: NATSError.self, "\(subject)") {
        _ = try site.client.ask(NATSMessage(subject: subject, payload: [1]), timeout: .milliseconds(300))
      }
    }
    #expect(try site.jobsLeft() == 1)
    withExtendedLifetime((request, second)) {}
  }

  /// What a node that claimed a job's end says of its receipt.
  enum Claimant: CaseIterable { case hasReceipt, hasNone }

  @Test(arguments: NATSServerProgram.all, Claimant.allCases)
  func `a job whose end a dead node has claimed is answered once, and billed once`(
    _ program: NATSServerProgram, _ claimant: Claimant
  ) throws {
    let site = try Site(program)
    let (request, reader) = site.submit(Self.body, id: 1)
    // Another node takes it, claims its end, and gives it back.
    let other = NATSClient(site.queue.connection(as: "other", version: "0"))
    other.start()
    defer {
      other.close()
      other.waitUntilClosed()
    }
    for _ in 0..<2_000 where !other.status.isReady { usleep(5_000) }
    let jetStream = JetStream(other)
    let given = DispatchSemaphore(value: 0)
    let taken = Mutex<QueueJob?>(nil)
    let pull = PullConsumer(jetStream, stream: site.queue.stream, consumer: "m_std") { _, event in
      guard case .delivery(let delivery) = event else { return }
      taken.withLock { $0 = try? QueueJob(delivery.message) }
      delivery.say(.pass(after: nil), to: other)
      given.signal()
    }
    let others = QueueClaims(
      jetStream: jetStream, stream: site.queue.ends, node: "other", claimant: "other")
    try pull.pull(waits: true)
    try #require(given.wait(timeout: .now() + 20) == .success)
    pull.end()
    let job = try #require(taken.withLock { $0 })
    let outcomes = Mutex<[QueueClaims.Outcome]>([])
    // Claimed twice, as by a node that did not hear of its first: it is its own.
    for _ in 0..<2 {
      others.claim(job, after: 0) { outcome in
        outcomes.withLock { $0.append(outcome) }
        given.signal()
      }
      try #require(given.wait(timeout: .now() + 20) == .success)
    }
    #expect(outcomes.withLock { $0 } == [.mine, .mine])
    // Of somebody else it is not.
    QueueClaims(jetStream: jetStream, stream: site.queue.ends, node: "third", claimant: "third")
      .claim(job, after: 0) { outcome in
        outcomes.withLock { $0.append(outcome) }
        given.signal()
      }
    try #require(given.wait(timeout: .now() + 20) == .success)
    guard case .others(let claim)? = outcomes.withLock({ $0.last }), claim.node == "other" else {
      Issue.record("\(outcomes.withLock { $0 })")
      return
    }
    var end = QueueWord.End(prompt: 5, cached: 0, completion: 24)
    end.finish = "length"
    end.receipt = "other's"
    let word = QueueWord(job: job.id, node: "other", delivery: 1, .done(end, tokens: [], text: ""))
    _ = try other.subscribe(QueueSubject.claimant("other")) { message in
      guard let reply = message.reply, QueueClaims.question(message.payload)?.job == job.id else { return }
      try? other.publish(
        NATSMessage(
          subject: reply, payload: claimant == .hasReceipt ? word.bytes : QueueClaims.noReceipt))
    }
    let node = try site.node("n1")
    defer { self.end(node) }
    try #require(reader.wait())
    let heard = try #require(reader.end)
    #expect(!reader.text.isEmpty && heard.completion == 24)
    switch claimant {
    case .hasReceipt: #expect(heard == end)
    case .hasNone: #expect(heard.line?.contains("unknown-alice") == true)
    }
    try site.empty()
    #expect(try site.jobsLeft() == 0)
    #expect(receipts(node) == (claimant == .hasReceipt ? 0 : 1))
    withExtendedLifetime(request) {}
  }

  @Test func `a node says what is wrong with its settings`() {
    func problem(_ text: String) -> String {
      do {
        _ = try NodeConfiguration(file: "c", text: "{ queue: { \(text) } }")
        return "it was taken"
      } catch { return "\(error)" }
    }
    #expect(problem("servers: []") == "c:1:12: 'queue.servers' has 0 entries, wanted 1 to 16")
    #expect(
      problem("servers: ['ws://a']")
        == "c:1:12: 'queue.servers' has 'ws://a', wanted HOST:PORT, or tls://HOST:PORT")
    #expect(
      problem("servers: ['a'], stream: 'a.b'")
        == "c:1:28: 'queue.stream' is 'a.b', wanted a name without dots and spaces")
    #expect(problem("servers: ['a'], login: { user: 'x' }") == "c:1:28: 'queue.login' is no login")
    #expect(
      problem("servers: ['a'], login: { nkey: 'k' }")
        == "c:1:37: 'queue.login.nkey' is 'k', wanted a key file's path from '/' on")
    #expect(
      problem("servers: ['a'], classes: ['urgent']")
        == "c:1:28: 'queue.classes' has 'urgent', wanted \"hi\", \"std\" or \"lo\"")
    #expect(problem("stream: 'a'") == "c:1:3: 'queue.servers' is missing, wanted where the queue is")
  }
}
