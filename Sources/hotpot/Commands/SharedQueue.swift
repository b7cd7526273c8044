// SharedQueue.swift: `hotpot queue`: makes and shows the queue that machines share, and
// `hotpot submit --queue`, which gives it a job. Not here: what is said there (Node's
// QueueAdministration and QueueRequest). Start at Command.sharedQueue.

import Dispatch
import Foundation
import JSON
import NATS
import Node
import Receipts
import Scheduling
import Synchronization

extension Command {
  static let sharedQueue = Command(
    name: "queue", summary: "the queue that machines share: make it, look at it, empty it",
    operands: "init | status | jobs | purge | doctor",
    details: """
      Where it is and who asks is the configuration's: 'servers' and 'login' in the section 'queue'.

      'init' makes the streams, and three consumers for each --model: hi, std and lo. It may be repeated. With --rights it prints
      a configuration to paste for the server instead, in which each client has its own name and a node may do no more than it must.
      'status' shows what waits for which model, what is leased, and how many nodes wait for a job. 'jobs' lists the oldest jobs.
      'purge' deletes all jobs, or those of a model or class; it asks for --yes. 'doctor' looks at the server: its version's known
      holes, and whether prompts lie on its disk.
      """,
    options: [
      NodeSetup.config,
      Option("model", letter: "m", value: "NAME", "the model whose jobs are meant"),
      Option("class", value: "CLASS", "for 'purge': hi, std or lo"),
      Option(
        "jobs", letter: "n", value: "N",
        "for 'init': the most jobs that it holds; for 'jobs': how many are listed"),
      Option("memory", "for 'init': in the server's memory, so that no prompt touches its disk"),
      Option("rights", "for 'init': print a server's configuration"),
      Option("client", value: "NAME", "for 'init --rights': a client"),
      Option("yes", "for 'purge': really"), .json,
    ]
  ) { arguments in
    let action = try arguments.operands(1...1, "init, status, jobs, purge or doctor")[0]
    guard let run = actions[action] else {
      throw Failure(
        .usage, "there is no 'queue \(action.prefix(40))'", hint: "wanted init, status, jobs, purge or doctor"
      )
    }
    let link = try QueueLink(arguments)
    return try await OwnThread.run { try run(arguments, link) }
  }

  private static let actions: [String: @Sendable (Arguments, QueueLink) throws -> ExitCode] = [
    "init": make, "status": status, "jobs": jobs, "purge": purge, "doctor": examine,
  ]

  private static func make(_ arguments: Arguments, _ link: QueueLink) throws -> ExitCode {
    if arguments.has("rights") {
      Console.write(try link.rights(clients: [arguments.string("client") ?? "alice"]) + "\n")
      return .ok
    }
    var sizes = QueueAdministration.Sizes()
    if let jobs = try arguments.int("jobs", in: 1...10_000_000) { sizes.jobs = jobs }
    sizes.isInMemory = arguments.has("memory")
    guard let model = arguments.string("model") ?? link.configuration.model else {
      throw Failure(.usage, "no model is named", hint: "--model NAME, as 'hotpot models list' shows it")
    }
    let name = ModelChoice.name(ofFile: model)
    for line in try link.administration().make(models: [name], sizes) { Console.print(line) }
    return .ok
  }

  private static func status(_ arguments: Arguments, _ link: QueueLink) throws -> ExitCode {
    let administration = try link.administration()
    let found = try administration.status()
    let server = administration.jetStream.client.status
    if arguments.has("json") {
      try Console.print(
        json: QueueStatusPage(
          server: server.server?.description ?? "", version: server.info?.version ?? "", jobs: found.jobs,
          limit: found.limit, bytes: found.bytes, storage: found.isInMemory ? "memory" : "file",
          depths: found.depths.map {
            .init(model: $0.model, priorityClass: $0.priorityClass, client: $0.client, jobs: $0.jobs)
          },
          consumers: found.consumers.map {
            .init(
              name: $0.name, waiting: $0.waiting, leased: $0.leased, redelivered: $0.redelivered,
              nodesWaiting: $0.pulls)
          }))
      return .ok
    }
    Console.print(
      "\(link.queue.stream) at \(server.server.map { link.queue.words($0) } ?? "?"), nats-server \(server.info?.version ?? "?"): \(counted(found.jobs, "job")) of at most \(found.limit), \(found.bytes) bytes, \(found.isInMemory ? "in memory" : "on disk")"
    )
    if !found.consumers.isEmpty {
      Console.write(
        StatusPage.table(
          [["consumer", "waiting", "leased", "redelivered", "pulls"]]
            + found.consumers.map {
              [$0.name, "\($0.waiting)", "\($0.leased)", "\($0.redelivered)", "\($0.pulls)"]
            }))
    }
    if !found.depths.isEmpty {
      Console.write(
        StatusPage.table(
          [["model", "class", "client", "jobs"]]
            + found.depths.map { [$0.model, $0.priorityClass, $0.client, "\($0.jobs)"] }))
    }
    return .ok
  }

  private static func jobs(_ arguments: Arguments, _ link: QueueLink) throws -> ExitCode {
    let limit = try arguments.int("jobs", in: 1...10_000) ?? 50
    let found = try link.administration().jobs(atMost: limit)
    if arguments.has("json") {
      for job in found {
        try Console.print(
          json: QueueJobRow(
            id: job.id, model: job.model, priorityClass: job.priorityClass, client: job.client,
            bytes: job.bytes,
            time: job.time))
      }
      return .ok
    }
    Console.write(
      StatusPage.table(
        [["job", "model", "class", "client", "bytes", "since"]]
          + found.map { [$0.id, $0.model, $0.priorityClass, $0.client, "\($0.bytes)", $0.time] }))
    return .ok
  }

  private static func purge(_ arguments: Arguments, _ link: QueueLink) throws -> ExitCode {
    let priorityClass = arguments.string("class")
    if let priorityClass, SharedQueue.Class(rawValue: priorityClass) == nil {
      throw Failure(.usage, "option '--class' is '\(priorityClass.prefix(40))', wanted hi, std or lo")
    }
    guard arguments.has("yes") else {
      throw Failure(.usage, "a purge deletes jobs of others too", hint: "--yes says that it is meant")
    }
    let model = arguments.string("model").map { QueueSubject.model($0) }
    let isAll = model == nil && priorityClass == nil
    let subject = isAll ? nil : "hotpot.job.\(model ?? "*").\(priorityClass ?? "*").*"
    let count = try link.administration().purge(subject)
    Console.print("deleted \(counted(count, "job"))")
    return .ok
  }

  private static func examine(_ arguments: Arguments, _ link: QueueLink) throws -> ExitCode {
    let findings = link.findings()
    if arguments.has("json") {
      try Console.print(json: findings)
    } else {
      for finding in findings { finding.say() }
    }
    return findings.contains { $0.status == .broken } ? .failed : .ok
  }
}

private struct QueueStatusPage: Encodable {
  struct Depth: Encodable {
    let model: String
    let priorityClass: String
    let client: String
    let jobs: Int
  }
  struct Consumer: Encodable {
    let name: String
    let waiting: Int
    let leased: Int
    let redelivered: Int
    let nodesWaiting: Int
  }
  let server: String
  let version: String
  let jobs: Int
  let limit: Int
  let bytes: Int
  let storage: String
  let depths: [Depth]
  let consumers: [Consumer]
}

private struct QueueJobRow: Encodable {
  let id: String
  let model: String
  let priorityClass: String
  let client: String
  let bytes: Int
  let time: String
}

/// The connection of a command to the shared queue that its configuration names.
final class QueueLink: Sendable {
  let configuration: NodeConfiguration
  let queue: SharedQueue
  private let tunnel: WatchedTunnel?

  init(_ arguments: Arguments) throws {
    configuration = try NodeSetup.configuration(arguments)
    guard let shared = configuration.queue.shared else {
      throw Failure(
        .usage, "the configuration names no shared queue",
        hint: "'queue: { servers: [\"127.0.0.1:4222\"] }' does; see hotpot-config(5)")
    }
    do throws(SSHTunnel.Failure) {
      let way = try shared.tunnelled()
      queue = way?.queue ?? shared
      tunnel = way.map { way in WatchedTunnel(way.tunnel) { Console.warn($0) } }
    } catch {
      throw Failure(.unavailable, "the shared queue: \(error)")
    }
  }

  deinit { tunnel?.stop() }

  /// Who this is at the server.
  var name: String { if case .password(let user, _) = queue.login { user } else { configuration.name } }

  /// Waits until it is connected.
  func connect() throws -> NATSClient {
    tunnel?.start()
    let client = NATSClient(queue.connection(as: configuration.name, version: Commands.version))
    client.start()
    for _ in 0..<1_000 {
      let status = client.status
      if status.isReady { return client }
      // What ssh carries is there after a moment.
      if let trouble = status.trouble, status.connections == 0, queue.servers.count == 1, tunnel == nil {
        client.close()
        throw Failure(.unavailable, "the shared queue at \(queue.words(queue.servers[0])): \(trouble)")
      }
      usleep(10_000)
    }
    client.close()
    throw Failure(
      .unavailable, "the shared queue is not reached: \(client.status.trouble ?? "no server answers")")
  }

  func administration() throws -> QueueAdministration { QueueAdministration(queue, try connect()) }

  func rights(clients: [String]) throws -> String {
    var key: String?
    if case .nkey(let path) = queue.login {
      key = try QueueAdministration.nkey(ofKey: path)
    }
    return QueueAdministration.rights(queue, node: configuration.name, nodeKey: key, clients: clients)
  }

  func findings() -> [Finding] {
    let client: NATSClient
    do { client = try connect() } catch {
      let failure = Failure(describing: error)
      return [
        Finding(
          "queue", .broken, failure.message, hint: failure.hint ?? "start the server, or mend 'queue.servers'"
        )
      ]
    }
    let status = client.status
    let (server, version) = (status.server.map { queue.words($0) } ?? "", status.info?.version ?? "")
    var findings: [Finding] = []
    if let hole = QueueAdministration.hole(inVersion: version) {
      let isHere = queue.servers.allSatisfy { ["127.0.0.1", "::1", "localhost"].contains($0.host) }
      findings.append(
        Finding(
          "server", .warn, "nats-server \(version) at \(server): \(hole)",
          hint: isHere
            ? "keep it on loopback for machines of one operator; 2.14 is for groups"
            : "update it; until then let only machines of one operator reach it"))
    } else {
      findings.append(Finding("server", .ok, "nats-server \(version) at \(server), no known hole"))
    }
    let administration = QueueAdministration(queue, client)
    do {
      let found = try administration.status()
      findings.append(
        found.isInMemory
          ? Finding("prompts", .ok, "the stream is in the server's memory: no prompt touches its disk")
          : Finding(
            "prompts", .warn,
            "prompts lie on the server's disk until they are answered, and are not erased there after",
            hint: "'hotpot queue init --memory' on a new stream, or an encrypted disk"))
    } catch {
      findings.append(
        Finding(
          "stream", .missing, "\(queue.stream): \(error)", hint: "'hotpot queue init --model NAME' makes it"))
    }
    do {
      let claims = try administration.claims()
      findings.append(Finding("ends", .ok, "\(queue.ends) has who ended \(counted(claims, "job"))"))
    } catch {
      findings.append(
        Finding(
          "ends", .missing, "\(queue.ends), without which no node bills: \(error)",
          hint: "'hotpot queue init --model NAME' makes it"))
    }
    if let ssh = queue.ssh {
      findings.append(Finding("encryption", .ok, "ssh to '\(ssh)'"))
    } else if !queue.servers.allSatisfy(\.isSecure), !(status.info?.wantsTLS ?? false) {
      let isNear = queue.servers.allSatisfy { ["127.0.0.1", "::1", "localhost"].contains($0.host) }
      findings.append(
        isNear
          ? Finding("encryption", .ok, "none, on this machine")
          : Finding(
            "encryption", .broken, "prompts and the login travel in plain text",
            hint: "tls://HOST:PORT in 'queue.servers', or 'queue.ssh'"))
    }
    client.close()
    return findings
  }
}

/// `hotpot submit --queue`: one job for whichever node takes it.
struct QueueSubmission {
  let link: QueueLink
  let json: Bool
  let stateDirectory: String

  /// What the handler tells the thread that waits.
  private final class Outcome: Sendable {
    struct State: Sendable {
      var code: ExitCode?
      var message: String?
      var end: QueueWord.End?
      var node = ""
    }
    let state = Mutex(State())
    let ended = DispatchSemaphore(value: 0)

    func end(_ code: ExitCode, _ message: String? = nil) {
      state.withLock { ($0.code, $0.message) = (code, message) }
      ended.signal()
    }
  }

  func run(_ body: [UInt8]) throws -> ExitCode {
    let (request, model) = try prepared(body)
    guard let id = JobID(hex: Self.makeID()) else { throw Failure(.internalError, "no id") }
    let client = try link.connect()
    defer {
      client.close()
      client.waitUntilClosed()
    }
    let outcome = Outcome()
    let (isJSON, state) = (json, stateDirectory)
    let job = QueueJob(
      id: id, client: link.name, priorityClass: Self.priorityClass(of: request),
      reply: client.makeInbox("answer"), body: JSONWriter.bytes(request))
    let asked = QueueRequest(client, link.queue, job: job) { event in
      switch event {
      case .stored: if !isJSON { Console.note("hotpot: job \(id.hex) waits in the queue\n") }
      case .full(let words): outcome.end(.tryAgain, "the shared queue is full: \(words)")
      case .failed(let words): outcome.end(.unavailable, words)
      case .run(.text(let text)): if !isJSON { Console.pour(text) }
      case .run(.state(let state, let node)):
        if !isJSON { Console.note("hotpot: \(state.rawValue) at \(node)\n") }
      case .run(.opening): break
      case .run(.again(let node)):
        Console.note("\nhotpot: the node was lost; \(node) goes on\n")
      case .run(.rejected(let words, _, _)): outcome.end(.noPermission, words)
      case .run(.done(let end, let node)):
        outcome.state.withLock { ($0.end, $0.node) = (end, node) }
        outcome.end(.ok)
      case .run(.disagreement(let found)):
        Console.warn(found.kept(in: state))
      }
    }
    StopSignals.take {
      asked.cancel { _ in outcome.end(.interrupted, "cancelled") }
    }
    asked.submit(model: model)
    outcome.ended.wait()
    let found = outcome.state.withLock { $0 }
    guard found.code == .ok, let end = found.end else {
      throw Failure(found.code ?? .failed, found.message ?? "it did not end")
    }
    if json {
      try Console.print(
        json: QueueAnswerPage(
          job: id.hex, node: found.node, text: asked.text, finish: end.finish, promptTokens: end.prompt,
          completionTokens: end.completion, receipt: end.receipt, receiptLine: end.line,
          signature: end.signature,
          amount: end.amount, reason: end.reason))
    } else {
      Console.write("\n")
      if let reason = end.reason { throw Failure(.failed, reason) }
    }
    return .ok
  }

  /// The request as an object with a seed, and the name of its model.
  private func prepared(_ body: [UInt8]) throws -> (JSONValue, String) {
    let value: JSONValue
    do { value = try JSONText.parse(body) } catch {
      throw Failure(.badData, "the request is no JSON: \(error)")
    }
    guard case .object(var members) = value else { throw Failure(.badData, "the request is no JSON object") }
    guard let model = value["model"]?.string ?? link.configuration.model, !model.isEmpty else {
      throw Failure(.badData, "the request names no 'model'", hint: "nodes take jobs by the model's name")
    }
    // With the same seed another node goes on where one stopped.
    if value["seed"] == nil { members.append((key: "seed", value: JSONValue(UInt32.random(in: 0 ... .max)))) }
    return (.object(members), model)
  }

  private static func priorityClass(of request: JSONValue) -> SharedQueue.Class {
    SharedQueue.Class(priority: request["hotpot"]?["priority"]?.integer ?? 5)
  }

  private static func makeID() -> String {
    let digits = String(UInt64.random(in: .min ... .max), radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }
}

private struct QueueAnswerPage: Encodable {
  let job: String
  let node: String
  let text: String
  let finish: String?
  let promptTokens: Int
  let completionTokens: Int
  let receipt: String?
  let receiptLine: String?
  let signature: String?
  let amount: Int64?
  let reason: String?
}
