// QueueAdministration.swift: making and looking at the shared queue: its stream and consumers, the
// rights that a server gives each user, and servers with known holes. Start at QueueAdministration.
import Foundation
import JSON
import NATS
import Receipts
import Scheduling

package struct QueueAdministration: Sendable {
  package let queue: SharedQueue
  package let jetStream: JetStream

  package init(_ queue: SharedQueue, _ client: NATSClient) {
    self.queue = queue
    jetStream = JetStream(client, domain: queue.domain)
  }

  // MARK: making it

  package struct Sizes: Sendable {
    package var jobs = 10_000
    package var bytes = 256 << 20
    /// On the server's disk, or in its memory only.
    package var isInMemory = false
    package init() {}
  }

  /// The stream's configuration. Only fields that 2.9 and 2.14 both know: since 2.12 an unknown one is
  /// refused.
  static func stream(_ name: String, _ sizes: Sizes) -> JSONValue {
    [
      "name": .string(name), "subjects": ["hotpot.job.*.*.*"], "retention": "workqueue",
      "storage": .string(sizes.isInMemory ? "memory" : "file"), "discard": "new",
      "max_msgs": JSONValue(sizes.jobs), "max_bytes": JSONValue(sizes.bytes), "max_msg_size": 1_000_000,
      "max_age": 86_400_000_000_000, "num_replicas": 1, "duplicate_window": 3_600_000_000_000,
    ]
  }

  /// The stream in which a job's end is claimed: the last word on each subject, kept for longer than any
  /// job is.
  static func ends(_ name: String, _ sizes: Sizes) -> JSONValue {
    [
      "name": .string(name), "subjects": ["hotpot.end.*.*"], "retention": "limits",
      "storage": .string(sizes.isInMemory ? "memory" : "file"), "discard": "old",
      "max_msgs_per_subject": 1, "max_bytes": 67_108_864, "max_msg_size": 4_096,
      "max_age": 172_800_000_000_000, "num_replicas": 1,
    ]
  }

  static func consumer(_ stream: String, model: String, _ priorityClass: SharedQueue.Class) -> JSONValue {
    let (seconds, _) = SharedQueue.lease.components
    return [
      "stream_name": .string(stream),
      "config": [
        "durable_name": .string(QueueSubject.consumer(model: model, priorityClass)),
        "ack_policy": "explicit", "ack_wait": JSONValue(seconds * 1_000_000_000), "max_deliver": -1,
        "max_ack_pending": 10_000, "max_waiting": 512,
        "filter_subject": .string(
          "hotpot.job.\(QueueSubject.model(model)).\(priorityClass.rawValue).*"),
        "deliver_policy": "all", "replay_policy": "instant",
      ],
    ]
  }

  /// Makes both streams, and consumers for the models. What is there already stays.
  /// - Returns: what was done, a line each
  package func make(models: [String], _ sizes: Sizes) throws(JetStreamError) -> [String] {
    var done: [String] = []
    _ = try jetStream.call(waiting: "STREAM.CREATE.\(queue.stream)", Self.stream(queue.stream, sizes))
    done.append(
      "stream \(queue.stream), at most \(counted(sizes.jobs, "job")), \(sizes.isInMemory ? "in memory" : "on disk")"
    )
    _ = try jetStream.call(waiting: "STREAM.CREATE.\(queue.ends)", Self.ends(queue.ends, sizes))
    done.append("stream \(queue.ends), in which a job's end is claimed")
    for model in models {
      for priorityClass in SharedQueue.Class.allCases {
        let name = QueueSubject.consumer(model: model, priorityClass)
        _ = try jetStream.call(
          waiting: "CONSUMER.DURABLE.CREATE.\(queue.stream).\(name)",
          Self.consumer(queue.stream, model: model, priorityClass))
        done.append("consumer \(name)")
      }
    }
    return done
  }

  // MARK: looking at it

  package struct Depth: Sendable, Equatable {
    package let model: String
    package let priorityClass: String
    package let client: String
    package let jobs: Int
  }

  package struct Consumer: Sendable, Equatable {
    package let name: String
    package let waiting: Int
    package let leased: Int
    package let redelivered: Int
    /// Pulls that wait for a job: nodes with room.
    package let pulls: Int
  }

  package struct Status: Sendable, Equatable {
    package let jobs: Int
    package let bytes: Int
    package let limit: Int
    package let isInMemory: Bool
    package let depths: [Depth]
    package let consumers: [Consumer]
  }

  package func status() throws(JetStreamError) -> Status {
    let info = try jetStream.call(waiting: "STREAM.INFO.\(queue.stream)", ["subjects_filter": ">"])
    let depths = (info["state"]?["subjects"]?.members ?? []).compactMap { member -> Depth? in
      let tokens = member.key.split(separator: ".").map(String.init)
      guard tokens.count == 5, let count = member.value.integer else { return nil }
      return Depth(model: tokens[2], priorityClass: tokens[3], client: tokens[4], jobs: count)
    }
    var consumers: [Consumer] = []
    for name in try consumerNames() {
      let found = try jetStream.call(waiting: "CONSUMER.INFO.\(queue.stream).\(name)")
      consumers.append(
        Consumer(
          name: name, waiting: found["num_pending"]?.integer ?? 0,
          leased: found["num_ack_pending"]?.integer ?? 0,
          redelivered: found["num_redelivered"]?.integer ?? 0, pulls: found["num_waiting"]?.integer ?? 0))
    }
    return Status(
      jobs: info["state"]?["messages"]?.integer ?? 0, bytes: info["state"]?["bytes"]?.integer ?? 0,
      limit: info["config"]?["max_msgs"]?.integer ?? -1,
      isInMemory: info["config"]?["storage"]?.string == "memory",
      depths: depths.sorted {
        ($0.model, $0.priorityClass, $0.client) < ($1.model, $1.priorityClass, $1.client)
      },
      consumers: consumers)
  }

  /// How many jobs' ends are claimed.
  package func claims() throws(JetStreamError) -> Int {
    try jetStream.call(waiting: "STREAM.INFO.\(queue.ends)")["state"]?["messages"]?.integer ?? 0
  }

  private func consumerNames() throws(JetStreamError) -> [String] {
    let names = try jetStream.call(waiting: "CONSUMER.NAMES.\(queue.stream)")
    return (names["consumers"]?.array ?? []).compactMap(\.string).filter { NATSSubject.isToken($0) }.sorted()
  }

  package struct Waiting: Sendable, Equatable {
    package let sequence: Int
    package let id: String
    package let model: String
    package let priorityClass: String
    package let client: String
    package let bytes: Int
    package let time: String
  }

  /// The oldest jobs in the queue, leased ones too.
  package func jobs(atMost limit: Int) throws(JetStreamError) -> [Waiting] {
    let info = try jetStream.call(waiting: "STREAM.INFO.\(queue.stream)")
    guard let first = info["state"]?["first_seq"]?.integer, let last = info["state"]?["last_seq"]?.integer,
      (info["state"]?["messages"]?.integer ?? 0) > 0
    else { return [] }
    var found: [Waiting] = []
    var sequence = first
    // Numbers of jobs that are gone are gaps; a bounded stretch is looked at.
    while sequence <= last, found.count < limit, sequence - first < 20 * limit {
      defer { sequence += 1 }
      let answer: JSONValue
      do throws(JetStreamError) {
        answer = try jetStream.call(waiting: "STREAM.MSG.GET.\(queue.stream)", ["seq": JSONValue(sequence)])
      } catch {
        if JetStreamError.noMessage.contains(error.number ?? 0) { continue }
        throw error
      }
      guard let message = answer["message"], let subject = message["subject"]?.string else { continue }
      let tokens = subject.split(separator: ".").map(String.init)
      guard tokens.count == 5 else { continue }
      let block = message["hdrs"]?.string.flatMap { Data(base64Encoded: $0) }
      let id = block.flatMap { NATSHeaders(parsing: Array($0)) }?["Nats-Msg-Id"] ?? "?"
      found.append(
        Waiting(
          sequence: sequence, id: id, model: tokens[2], priorityClass: tokens[3], client: tokens[4],
          bytes: (message["data"]?.string?.utf8.count ?? 0) / 4 * 3,
          time: String((message["time"]?.string ?? "").prefix(19))))
    }
    return found
  }

  /// Deletes jobs that wait or are leased.
  /// - subject: those of a model or class; nil for all
  /// - Returns: how many
  package func purge(_ subject: String?) throws(JetStreamError) -> Int {
    let body: JSONValue? = subject.map { ["filter": .string($0)] }
    return try jetStream.call(waiting: "STREAM.PURGE.\(queue.stream)", body)["purged"]?.integer ?? 0
  }

  // MARK: rights and holes

  /// A server's configuration to paste: an administrator, a node, a client, each with what it needs and
  /// no more. The server pins each client's name, so none sends in another's.
  /// - nodeKey: the nkey of this node, if it has one
  package static func rights(_ queue: SharedQueue, node: String, nodeKey: String?, clients: [String])
    -> String
  {
    let name = NATSSubject.token(node)
    let api = "$JS.API"
    // An entrance is a client too.
    let entrance =
      queue.entrance == nil
      ? ""
      : ",\n          \"hotpot.job.*.*.\(name)\", \"hotpot.cancel.*\", \"\(api).STREAM.MSG.DELETE.\(queue.stream)\""
    let who = nodeKey.map { "nkey: \($0)" } ?? "user: \(name), password: \"CHANGE ME\""
    var lines = [
      "accounts {", "  POT {", "    jetstream: enabled", "    users: [",
      "      # makes the stream and its consumers: 'hotpot queue init'",
      "      { user: admin, password: \"CHANGE ME\" }",
      "      # a node",
      "      { \(who), permissions: {",
      "        publish: { allow: [\"\(api).INFO\", \"\(api).STREAM.INFO.\(queue.stream)\", \"\(api).CONSUMER.INFO.\(queue.stream).*\",",
      "          \"\(api).CONSUMER.MSG.NEXT.\(queue.stream).*\", \"$JS.ACK.\(queue.stream).>\",",
      "          \"\(api).STREAM.MSG.GET.\(queue.ends)\", \"hotpot.end.*.*\", \"hotpot.claimant.*\",",
      "          \"_INBOX.>\", \"hotpot.running.*\"\(entrance)] }",
      "        subscribe: { allow: [\"_INBOX.\(name).>\", \"hotpot.running.*\", \"hotpot.cancel.*\",",
      "          \"hotpot.claimant.*\"] } } }",
    ]
    for client in clients {
      lines += [
        "      { user: \(client), password: \"CHANGE ME\", permissions: {",
        "        publish: { allow: [\"hotpot.job.*.*.\(client)\", \"hotpot.cancel.*\", \"\(api).STREAM.MSG.DELETE.\(queue.stream)\"] }",
        "        subscribe: { allow: [\"_INBOX.\(client).>\"] }, allow_responses: true } }",
      ]
    }
    return (lines + ["    ]", "  }", "}"]).joined(separator: "\n")
  }

  /// The nkey of a key file of ssh, as a server's configuration has it.
  package static func nkey(ofKey path: String) throws(SignatureError) -> String {
    let key = try SSHKeygen().publicKey(at: path + ".pub")
    guard let name = NATSLogin.userKey(of: key) else { throw .badKey(path: path + ".pub") }
    return name
  }

  /// Known holes of a server's version, in words; nil if none is known. Source: nats.io's list of
  /// advisories.
  package static func hole(inVersion version: String) -> String? {
    let numbers = version.split(separator: ".").map { Int($0.prefix { $0.isNumber }) ?? 0 }
    guard numbers.count >= 3 else { return "its version '\(version.prefix(20))' is not known" }
    let found = (numbers[0], numbers[1], numbers[2])
    if found < (2, 9, 23) {
      return "CVE-2023-47090 lets everybody in beside accounts without a system account"
    }
    if found < (2, 10, 27) || (found.1 == 11 && found < (2, 11, 1)) {
      return "CVE-2025-30215 lets an account change the streams of others"
    }
    if found < (2, 11, 16) || (found.1 == 12 && found < (2, 12, 7)) { return "CVE-2026-58253 is open in it" }
    return nil
  }
}
