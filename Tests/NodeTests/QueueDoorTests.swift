// QueueDoorTests.swift: nodes on a shared queue, with real servers: a job from its publishing to its
// acknowledgement, held, cancelled, refused, and finished by another node.

import Dispatch
import Foundation
import JSON
import NATS
import NATSServers
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
  private final class Site {
    let server: NATSServerProcess
    let client: NATSClient
    let queue: SharedQueue
    let scratch: ScratchDirectory

    init(_ program: NATSServerProgram, jobs: Int = 100) throws {
      server = try NATSServerProcess(program)
      scratch = try ScratchDirectory()
      var queue = SharedQueue()
      queue.servers = [try #require(NATSServer("127.0.0.1:\(server.port)"))]
      self.queue = queue
      client = NATSClient(queue.connection(as: "alice", version: "0"))
      client.start()
      for _ in 0..<2_000 where !client.status.isReady { usleep(5_000) }
      var sizes = QueueAdministration.Sizes()
      sizes.jobs = jobs
      _ = try QueueAdministration(queue, client).make(models: ["m"], sizes)
      try SmallModel.write(to: scratch.path + "/small.gguf", seed: 1)
    }

    deinit {
      client.close()
      client.waitUntilClosed()
    }

    func node(_ name: String, _ more: String = "policy: [{ action: 'admit' }]") throws -> NodeService {
      let path = scratch.path + "/small.gguf"
      let node = try NodeService(
        NodeOptions(
          configuration: NodeConfiguration(
            file: "test",
            text: """
              { name: '\(name)', threads: 1, http: { listen: 'none' }, audits: { share: 0 },
                prices: [{ prompt: '1', completion: '100' }],
                queue: { servers: ['127.0.0.1:\(server.port)'] }, \(more) }
              """),
          stateDirectory: scratch.path + "/" + name, version: "0"
        ) { (_) throws(ServingError) in ModelFile(name: "m", path: path) })
      try node.start()
      return node
    }

    func submit(_ body: String, id: UInt64, model: String = "m") -> (QueueRequest, Reader) {
      let reader = Reader()
      let job = QueueJob(
        id: JobID(id), client: "alice", priorityClass: .std, reply: client.makeInbox("r"),
        body: Array(body.utf8))
      let request = QueueRequest(client, queue, job: job) { reader.take($0) }
      request.submit(model: model)
      return (request, reader)
    }

    func jobsLeft() throws -> Int { try QueueAdministration(queue, client).status().jobs }
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
    for _ in 0..<1_000 where try site.jobsLeft() > 0 { usleep(5_000) }
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
        .run(.rejected("'seed' is missing: a job of a shared queue names its seed", node: "n1"))))
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
    for _ in 0..<1_000 where try site.jobsLeft() > 0 { usleep(5_000) }
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
    #expect(Set(readers.map(\.text)).count == 1)
    #expect(
      readers.allSatisfy { reader in
        !reader.all.contains { if case .run(.disagreement) = $0 { true } else { false } }
      })
    for _ in 0..<2_000 where try site.jobsLeft() > 0 { usleep(5_000) }
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
    for _ in 0..<4_000 where try site.jobsLeft() > 0 { usleep(5_000) }
    #expect(receipts(node) == 1)
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
