// QueueWordTests.swift: the shared queue's messages, and what a requester makes of answers from one
// node or from several.

import Foundation
import NATS
import Scheduling
import Testing

@testable import Node

@Suite struct QueueWordTests {
  private let id = JobID(0xAB)

  private func message(
    _ subject: String = "hotpot.job.m.std.alice", _ changes: [String: String?] = [:]
  ) -> NATSMessage {
    var fields: [String: String] = [
      "Nats-Msg-Id": "00000000000000ab", "Hotpot-Reply": "_INBOX.alice.x1", "Hotpot-Version": "1",
    ]
    for (name, value) in changes { fields[name] = value }
    return NATSMessage(
      subject: subject,
      headers: NATSHeaders(fields.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }),
      payload: Array("{}".utf8))
  }

  @Test func `a job is read as it was written`() throws {
    let job = QueueJob(
      id: id, client: "alice", priorityClass: .hi, reply: "_INBOX.alice.x", deadline: 5, modelDigest: "ab",
      numerics: "n", body: Array("{\"seed\":1}".utf8))
    let written = job.message(model: "SmolLM2.Q4 x")
    #expect(written.subject == "hotpot.job.SmolLM2_Q4_x.hi.alice")
    #expect(try QueueJob(written) == job)
    let passed = QueueJob(
      id: id, client: "n1", priorityClass: .lo, reply: "_INBOX.n1.x",
      passed: .init(dialect: "chat", seed: .max, client: "unknown-a b"), body: [])
    #expect(try QueueJob(passed.message(model: "m")) == passed)
    #expect(try QueueJob(message()).id == id)
  }

  @Test(
    arguments: [
      ("hotpot.job.m.std", [:], "its subject is none of a job"),
      ("hotpot.job.m.urgent.alice", [:], "its subject is none of a job"),
      ("hotpot.job.m.std.operator", [:], "'operator' is no client's name"),
      ("hotpot.job.m.std.unknown-x", [:], "'unknown-x' is no client's name"),
      ("hotpot.job.m.std.alice", ["Hotpot-Version": "2"], "it is no job of version 1"),
      ("hotpot.job.m.std.alice", ["Nats-Msg-Id": "AB"], "its id is not 16 digits of lower-case hex"),
      ("hotpot.job.m.std.alice", ["Nats-Msg-Id": nil], "its id is not 16 digits of lower-case hex"),
      ("hotpot.job.m.std.alice", ["Hotpot-Reply": "_INBOX.bob.x"], "its reply is to no inbox of its client"),
      (
        "hotpot.job.m.std.alice", ["Hotpot-Reply": "hotpot.cancel.1"],
        "its reply is to no inbox of its client"
      ),
      (
        "hotpot.job.m.std.alice", ["Hotpot-Reply": "_INBOX.alice.>"], "its reply is to no inbox of its client"
      ),
      ("hotpot.job.m.std.alice", ["Hotpot-Deadline": "soon"], "its deadline is no time"),
      (
        "hotpot.job.m.std.alice", ["Hotpot-Dialect": "chat", "Hotpot-Client": "bob"],
        "it names a dialect, and no seed or no client"
      ),
      (
        "hotpot.job.m.std.alice", ["Hotpot-Dialect": "chat", "Hotpot-Seed": "1"],
        "it names a dialect, and no seed or no client"
      ),
    ] as [(String, [String: String?], String)])
  func `what is no job is refused by name`(_ subject: String, _ changes: [String: String?], _ words: String) {
    #expect(throws: QueueJob.Fault(description: words)) { try QueueJob(message(subject, changes)) }
  }

  private func word(_ body: QueueWord.Body, node: String = "n1", delivery: Int = 1) -> QueueWord {
    QueueWord(job: id, node: node, delivery: delivery, body)
  }

  @Test func `what nodes say is read as it was said, and nothing else is`() {
    var end = QueueWord.End(prompt: 5, cached: 1, completion: 2)
    (end.finish, end.receipt, end.line, end.signature, end.nonce) = ("stop", "r1", "line \"x\"", "s", "n")
    end.amount = 12
    (end.share, end.constraint) = ("s", .choice(["a", "b"]))
    var prompt = PreparedPrompt(
      tokens: [1, -2], parser: nil, parserName: "hermes-json", ignored: ["x", "y.z"], echo: "once")
    prompt.reading = MessageReading(format: "hermes-json", reasoning: .think, promptEnd: "<think>\n")
    let opening = QueueOpening(prompt)
    for body: QueueWord.Body in [
      .state(.running, modelDigest: "d", numerics: "N1"), .chunk(from: 0, tokens: [1, -2], text: "ä\n"),
      .done(end, tokens: [1, 2], text: "ab"), .rejected("no", isRequest: false),
      .rejected("bad", isRequest: true),
      .opening(opening),
    ] {
      #expect(QueueWord(parsing: word(body).bytes) == word(body))
    }
    for bad in [
      "", "[]", "{}", "{\"job\":\"00000000000000ab\",\"node\":\"n\",\"delivery\":0,\"rejected\":\"x\"}",
      "{\"job\":\"00000000000000ab\",\"node\":\"n\",\"delivery\":1,\"opening\":{}}",
      "{\"job\":\"00000000000000ab\",\"node\":\"n\",\"delivery\":1,\"opening\":{\"prompt\":[1],\"echo\":\"\",\"ignored\":[],\"reading\":{\"format\":\"none such\"}}}",
      "{\"job\":\"00000000000000ab\",\"node\":\"n\",\"delivery\":1,\"i\":-1,\"tokens\":[],\"text\":\"\"}",
      "{\"job\":\"00000000000000ab\",\"node\":\"n\",\"delivery\":1,\"i\":0,\"tokens\":[1.5],\"text\":\"\"}",
      "{\"job\":\"00000000000000ab\",\"node\":\"n\",\"delivery\":1,\"i\":0,\"tokens\":[99999999999],\"text\":\"\"}",
    ] {
      #expect(QueueWord(parsing: Array(bad.utf8)) == nil, "\(bad)")
    }
  }

  private func running(_ node: String, _ delivery: Int, digest: String = "d") -> QueueWord {
    word(.state(.running, modelDigest: digest, numerics: "N1"), node: node, delivery: delivery)
  }

  @Test func `a second node goes on where the first stopped, and the reader sees one text`() {
    var runs = QueueRuns(job: id)
    var text = ""
    var others: [QueueRuns.Event] = []
    func take(_ word: QueueWord) {
      for event in runs.take(word) {
        if case .text(let more) = event { text += more } else { others.append(event) }
      }
    }
    take(running("n1", 1))
    take(word(.chunk(from: 0, tokens: [1, 2], text: "one ")))
    take(word(.chunk(from: 2, tokens: [3], text: "two")))
    take(running("n2", 2))
    // Other pieces of the same answer.
    take(word(.chunk(from: 0, tokens: [1], text: "on"), node: "n2", delivery: 2))
    take(word(.chunk(from: 1, tokens: [2, 3, 4], text: "e two three"), node: "n2", delivery: 2))
    #expect(text == "one two three" && runs.tokens == [1, 2, 3, 4])
    // The first one is late, and says what is known.
    take(word(.chunk(from: 3, tokens: [4], text: " three")))
    var end = QueueWord.End(prompt: 1, cached: 0, completion: 5)
    end.finish = "stop"
    take(word(.done(end, tokens: [1, 2, 3, 4, 5], text: "one two three four"), node: "n2", delivery: 2))
    take(word(.done(end, tokens: [1, 2, 3, 4, 5], text: "one two three four")))
    #expect(text == "one two three four")
    #expect(
      others == [
        .state(.running, node: "n1"), .again(node: "n2"), .state(.running, node: "n2"),
        .done(end, node: "n2"),
      ])
  }

  @Test func `a chunk that was missed is in the end, and nothing is guessed before it`() {
    var runs = QueueRuns(job: id)
    _ = runs.take(word(.chunk(from: 0, tokens: [1], text: "a")))
    #expect(runs.take(word(.chunk(from: 2, tokens: [3], text: "c"))).isEmpty)
    #expect(runs.take(word(.chunk(from: 1, tokens: [2], text: "b"))).isEmpty)
    let end = QueueWord.End(prompt: 1, cached: 0, completion: 3)
    #expect(
      runs.take(word(.done(end, tokens: [1, 2, 3], text: "abc"))) == [.text("bc"), .done(end, node: "n1")])
  }

  @Test func `nodes that differ are both kept, and the second is believed no more`() {
    var runs = QueueRuns(job: id)
    _ = runs.take(running("n1", 1))
    _ = runs.take(word(.chunk(from: 0, tokens: [1, 2, 3], text: "abc")))
    _ = runs.take(running("liar", 2))
    let found = runs.take(
      word(.chunk(from: 0, tokens: [1, 9, 3, 4], text: "axcd"), node: "liar", delivery: 2))
    #expect(
      found == [
        .disagreement(
          QueueDisagreement(
            job: id, token: 1, first: .init(node: "n1", delivery: 1, tokens: [1, 2, 3], text: "abc"),
            second: .init(node: "liar", delivery: 2, tokens: [1, 9, 3, 4], text: "axcd")))
      ])
    #expect(runs.take(word(.chunk(from: 4, tokens: [5], text: "e"), node: "liar", delivery: 2)).isEmpty)
    #expect(runs.text == "abc" && runs.tokens == [1, 2, 3])
    // The same tokens with another text, and a shorter whole.
    var texts = QueueRuns(job: id)
    _ = texts.take(word(.chunk(from: 0, tokens: [1, 2], text: "ab")))
    guard
      case .disagreement(let other)? = texts.take(
        word(.chunk(from: 0, tokens: [1, 2], text: "xy"), node: "n2", delivery: 2)
      ).first
    else { Issue.record("equal tokens with another text passed"); return }
    #expect(other.token == nil)
    var short = QueueRuns(job: id)
    _ = short.take(word(.chunk(from: 0, tokens: [1, 2, 3], text: "abc")))
    let end = QueueWord.End(prompt: 1, cached: 0, completion: 2)
    let events = short.take(word(.done(end, tokens: [1, 2], text: "ab"), node: "n2", delivery: 2))
    guard case .disagreement(let cut)? = events.first else { Issue.record("a shorter answer passed"); return }
    #expect(cut.token == 2 && events.last == .done(end, node: "n2"))
  }

  @Test func `another model or profile continues nothing`() {
    var runs = QueueRuns(job: id)
    _ = runs.take(running("n1", 1))
    _ = runs.take(word(.chunk(from: 0, tokens: [1], text: "a")))
    _ = runs.take(running("n2", 2, digest: "other"))
    #expect(runs.take(word(.chunk(from: 0, tokens: [1, 2], text: "ab"), node: "n2", delivery: 2)).isEmpty)
    #expect(runs.text == "a")
  }

  @Test func `what a refusal here means for a job elsewhere`() {
    #expect(QueueDoor.verdict(.stopping) == .another(after: 0))
    #expect(QueueDoor.verdict(.cancelled(by: .shutdown)) == .another(after: 0))
    #expect(QueueDoor.verdict(.modelNotServed("a", served: "b")) == .another(after: 30_000))
    #expect(QueueDoor.verdict(.rejected("no")) == .nobody)
    #expect(QueueDoor.verdict(.emptyPrompt) == .nobody)
    #expect(QueueDoor.verdict(.cancelled(by: .client)) == .nobody)
  }

  @Test func `versions of servers with known holes are named`() {
    for (version, hole) in [
      ("2.9.10", "CVE-2023-47090"), ("2.9.25", "CVE-2025-30215"), ("2.10.26", "CVE-2025-30215"),
      ("2.11.0", "CVE-2025-30215"),
      ("2.11.2", "CVE-2026-58253"), ("2.12.6", "CVE-2026-58253"), ("2.10.29", "CVE-2026-58253"),
    ] {
      #expect(QueueAdministration.hole(inVersion: version)?.hasPrefix(hole) == true, "\(version)")
    }
    for version in ["2.11.16", "2.12.7", "2.14.0", "3.0.0"] {
      #expect(QueueAdministration.hole(inVersion: version) == nil, "\(version)")
    }
    #expect(QueueAdministration.hole(inVersion: "dev") == "its version 'dev' is not known")
  }
}
