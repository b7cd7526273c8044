// QueueEntranceTests.swift: a node's HTTP door as an entrance to the shared queue: what it cannot take is
// answered by another node, in each dialect as that node's own door answers it.

import Dispatch
import Foundation
import JSON
import NATSServers
import Receipts
import Scheduling
import Synchronization
import Testing
import Wire

@testable import Node

@Suite(
  .serialized,
  .disabled(if: NATSServerProgram.all.isEmpty, "there is no nats-server: apt install nats-server"))
struct QueueEntranceTests {
  /// A node that serves another model and passes on what is for `m`, and one that answers it.
  private final class House {
    let site: QueueDoorTests.Site
    let front: NodeService
    let back: NodeService
    let frontPort: UInt16
    let backPort: UInt16
    let tokens: (front: String, back: String)

    init(
      _ program: NATSServerProgram, jobs: Int = 100, entrances: String = "entrances: ['front']",
      served: String = "other", front keys: String = "", back more: String = "policy: [{ action: 'admit' }]"
    ) throws {
      site = try QueueDoorTests.Site(program, jobs: jobs)
      front = try site.node(
        "front", http: "127.0.0.1:0", served: served,
        queue: ", entrance: { models: ['m', 'absent'] }, models: ['none']\(keys)")
      back = try site.node("back", more, http: "127.0.0.1:0", queue: ", \(entrances)")
      tokens = (
        try front.accounts.addClient("aria", by: Operator("test")).get(),
        try back.accounts.addClient("aria", by: Operator("test")).get()
      )
      for node in [front, back] {
        for _ in 0..<6_000 where node.snapshot().node.state != .serving { usleep(5_000) }
      }
      for _ in 0..<2_000 where front.entrance?.client.status.isReady != true { usleep(5_000) }
      frontPort = try #require(front.ports.first)
      backPort = try #require(back.ports.first)
    }

    deinit {
      for node in [front, back] {
        node.stop(drain: false, by: "test")
        node.waitUntilStopped()
      }
    }

    func post(_ path: String, _ body: String, to port: UInt16? = nil, fields: [String] = []) throws
      -> WireAnswer
    {
      try WireAnswer.get(
        port ?? frontPort, "POST", path, token: port == backPort ? tokens.back : tokens.front, body: body,
        fields: fields)
    }

    /// Waits until the queue has no job.
    func empty() throws {
      try site.empty()
      #expect(try site.jobsLeft() == 0)
    }

    /// A stream that its reader may leave.
    func open() throws -> WireStream {
      try WireStream(
        frontPort,
        WireAnswer.request(
          "POST", "/v1/completions", token: tokens.front,
          body: #"{"model":"m","prompt":"x","max_tokens":5,"stream":true}"#, fields: ["Connection: close"]))
    }

    func receipts(_ node: NodeService) -> Int { node.runtime.journal.read { $0.counts.logged } }
  }

  /// An answer without what differs between two jobs.
  private static func settled(_ answer: WireAnswer) -> String {
    var text = answer.body
    for pattern in [
      #""(id|item_id|job|receipt|nonce|receipt_line|receipt_signature|response_id)":"[^"]*""#,
      #""(created|created_at|seed|cached_tokens|cache_read_input_tokens|input_tokens)":[0-9]+"#,
      #""(prompt_eval_count|amount_micro|total_duration|load_duration|prompt_eval_duration|eval_duration)":[0-9]+"#,
      #""created_at":"[^"]*""#, #""cost":[0-9.e-]+"#,
    ] {
      text = text.replacingOccurrences(of: pattern, with: "-", options: .regularExpression)
    }
    return text
  }

  /// The text of a stream in one piece: pieces differ with the time at which they came.
  private static func joined(_ answer: WireAnswer) -> String {
    var text = ""
    func collect(_ value: JSONValue, _ key: String = "") {
      switch value {
      case .object(let members): for member in members { collect(member.value, member.key) }
      case .array(let items): for item in items { collect(item, key) }
      case .string(let found): if ["content", "text", "delta", "response"].contains(key) { text += found }
      default: break
      }
    }
    for value in objects(of: answer) { collect(value) }
    return text
  }

  private static let sampled = #""max_tokens":20,"temperature":1,"hotpot":{"priority":5}"#
  private static let hello = #""messages":[{"role":"user","content":"hello"}]"#

  static let requests: [(path: String, body: String, isStream: Bool)] = [
    (
      "/v1/completions", #"{"model":"m","prompt":"hello","seed":7,\#(sampled),"return_token_ids":true}"#,
      false
    ),
    (
      "/v1/completions",
      #"{"model":"m","prompt":"hello","seed":7,\#(sampled),"stop":["q"],"logit_bias":{"66":2},"stream":true,"return_token_ids":true}"#,
      true
    ),
    ("/v1/chat/completions", #"{"model":"m",\#(hello),"seed":7,\#(sampled)}"#, false),
    (
      "/v1/chat/completions",
      #"{"model":"m",\#(hello),"seed":7,\#(sampled),"return_token_ids":true,"guided_choice":["yes","no"]}"#,
      false
    ),
    (
      "/v1/chat/completions",
      #"{"model":"m",\#(hello),"seed":7,\#(sampled),"tool_choice":"required","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"enum":[1,2]}},"required":["a"],"additionalProperties":false}}}]}"#,
      false
    ),
    (
      "/v1/chat/completions",
      #"{"model":"m",\#(hello),"seed":7,\#(sampled),"stream":true,"stream_options":{"include_usage":true}}"#,
      true
    ),
    ("/v1/responses", #"{"model":"m","input":"hello","seed":7,"max_output_tokens":20}"#, false),
    ("/api/chat", #"{"model":"m",\#(hello),"options":{"seed":7,"num_predict":20},"stream":false}"#, false),
  ]

  @Test(arguments: NATSServerProgram.all)
  func `an answer through the entrance is the one that the other node's door gives`(
    _ program: NATSServerProgram
  ) throws {
    let house = try House(program)
    for request in Self.requests {
      let direct = try house.post(request.path, request.body, to: house.backPort)
      let passed = try house.post(request.path, request.body)
      #expect(direct.status == 200 && passed.status == 200, "\(request.body): \(direct.body) \(passed.body)")
      if request.isStream {
        #expect(Self.joined(passed) == Self.joined(direct), "\(request.body)")
        #expect(!Self.joined(direct).isEmpty)
        #expect(passed.body.contains("data: [DONE]\n\n"))
      } else {
        #expect(Self.settled(passed) == Self.settled(direct), "\(request.path) \(request.body)")
      }
      #expect(passed.body.contains("\"receipt\":\""), "\(passed.body)")
    }
    #expect(house.receipts(house.front) == 0)
    #expect(house.receipts(house.back) == 2 * Self.requests.count)
    // It is the client's own job there, since that node trusts this entrance.
    let receipt = try house.back.runtime.journal.receipt(at: 2 * Self.requests.count - 1).receipt
    #expect(receipt.client == "aria")
    // Without a seed one is drawn, and the receipt is in the answer where it is wanted.
    let drawn = try house.post(
      "/v1/messages", #"{"model":"m",\#(Self.hello),"max_tokens":8}"#, fields: ["Hotpot-Receipt: inline"])
    #expect(drawn.status == 200 && drawn.body.contains("receipt_line"), "\(drawn.body)")
    for _ in 0..<400 where house.front.entrance?.counts.now != 0 { usleep(5_000) }
    #expect(house.front.entrance?.counts.now == 0)
    #expect(house.front.entrance?.counts.total == Self.requests.count + 1)
    // None of it was turned away.
    #expect(
      !house.front.snapshot().log.contains { $0.text.contains("turned") }, "\(house.front.snapshot().log)")
  }

  @Test(arguments: NATSServerProgram.all)
  func `what is refused there is refused here, and what no node has as ever`(_ program: NATSServerProgram)
    throws
  {
    let house = try House(
      program, jobs: 1, entrances: "entrances: ['other']", back: "policy: [{ action: 'ask' }]")
    // No node has it, and it is named: there is no consumer.
    let absent = try house.post("/v1/completions", #"{"model":"absent","prompt":"x"}"#)
    #expect(absent.status == 404 && absent.body.contains("model_not_found"), "\(absent.body)")
    // It is not named.
    #expect(try house.post("/v1/completions", #"{"model":"n","prompt":"x"}"#).status == 404)
    // Chances of tokens are not sent over the queue.
    let chances = try house.post("/v1/completions", #"{"model":"m","prompt":"x","logprobs":1}"#)
    #expect(chances.status == 404, "\(chances.body)")
    // Strangers are not passed on.
    let stranger = try WireAnswer.get(
      house.frontPort, "POST", "/v1/completions", token: "sk-made-up", body: #"{"model":"m","prompt":"x"}"#)
    #expect(stranger.status == 404 || stranger.status == 401, "\(stranger.body)")
    // The request is at fault.
    let long = try house.post("/v1/completions", #"{"model":"m","prompt":"x","max_tokens":99999}"#)
    #expect(long.status == 400, "\(long.body)")
    try house.empty()
    // It waits for the operator there; a second one finds the queue full.
    let waiting = try house.open()
    for _ in 0..<4_000 where house.back.snapshot().approvals.isEmpty { usleep(5_000) }
    let full = try house.post("/v1/completions", #"{"model":"m","prompt":"x","max_tokens":5}"#)
    #expect(full.status == 429 && full.fields["retry-after"] == "5", "\(full.body)")
    // The entrance is no client that this node trusts with names: the job is the entrance's own.
    let pending = try #require(house.back.snapshot().approvals.first)
    #expect(pending.client == "unknown-front")
    _ = house.back.runtime.act(.reject(jobs: [pending.id], reason: "not today"), by: Operator("test"))
    while waiting.read() {}
    #expect(waiting.text.contains("not today"), "\(waiting.text)")
    try house.empty()
    // A client that leaves cancels it there.
    let left = try house.open()
    for _ in 0..<4_000 where house.back.snapshot().approvals.isEmpty { usleep(5_000) }
    #expect(!house.back.snapshot().approvals.isEmpty)
    left.abort()
    for _ in 0..<4_000 where !house.back.snapshot().approvals.isEmpty { usleep(5_000) }
    #expect(house.back.snapshot().approvals.isEmpty)
    try house.empty()
    #expect(house.front.entrance?.counts.now == 0)
  }

  @Test(arguments: NATSServerProgram.all)
  func `what finds this node's queue full overflows to the others`(_ program: NATSServerProgram) throws {
    // It serves the model itself, one job at a time and none waiting.
    let house = try House(program, served: "m", front: ", running: 1, jobs: 1")
    let body =
      #"{"model":"m","prompt":"hello","max_tokens":60,"seed":7,"temperature":1,"ignore_eos":true}"#
    let streams = try (0..<8).map { _ in
      try WireStream(
        house.frontPort,
        WireAnswer.request(
          "POST", "/v1/completions", token: house.tokens.front, body: body, fields: ["Connection: close"]))
    }
    for stream in streams { while stream.read() {} }
    let answers = try streams.map { try $0.answer() }
    #expect(answers.count == 8 && answers.allSatisfy { $0.status == 200 }, "\(answers.map(\.body))")
    #expect(Set(answers.map { Self.joined($0) }).count == 1)
    #expect(house.receipts(house.front) + house.receipts(house.back) == 8)
    #expect(house.receipts(house.back) > 0)
  }
}
