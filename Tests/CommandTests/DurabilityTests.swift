// DurabilityTests.swift: a served node with a model that is killed, stopped and started again: what
// it acknowledged is there afterwards. Tests/Acceptance/durability.py does the same under load,
// hundreds of times.

import Foundation
import TestSettings
import Testing
import Wire

@Suite(
  .serialized,
  .enabled(if: !RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one")
)
struct DurabilityTests {
  var model: String { RealModel.path ?? "" }
  var name: String { URL(fileURLWithPath: model).deletingPathExtension().lastPathComponent }
  static let configuration =
    "{ audits: { share: 0 }, policy: [{ client: 'bob', action: 'ask' }, { client: 'known', action: 'admit' }] }"

  /// The id of a job that was answered 202.
  func accept(_ node: ServedNode, _ token: String, tokens: Int = 4, seed: Int = 1) throws -> String {
    let answer = try ask(node, token, tokens: tokens, seed: seed)
    #expect(answer.status == 202, "\(answer.body)")
    return try #require(answer.object?["id"] as? String)
  }

  func ask(_ node: ServedNode, _ token: String, tokens: Int = 4, seed: Int = 1) throws -> WireAnswer {
    let body = """
      {"model":"\(name)","seed":\(seed),"max_tokens":\(tokens),"ignore_eos":true,\
      "messages":[{"role":"user","content":"Count."}]}
      """
    return try WireAnswer.get(
      UInt16(node.port), "POST", "/v1/chat/completions", token: token, body: body,
      fields: ["Prefer: respond-async"])
  }

  func fetch(_ node: ServedNode, _ job: String, _ token: String) throws -> WireAnswer {
    try WireAnswer.get(UInt16(node.port), "GET", "/v1/jobs/\(job)", token: token)
  }

  func wait(_ node: ServedNode, _ job: String, _ token: String) throws -> WireAnswer {
    var answer = try fetch(node, job, token)
    while answer.status == 202 { answer = try fetch(node, job, token) }
    return answer
  }

  func again(_ node: ServedNode, _ configuration: String = Self.configuration) throws -> ServedNode {
    node.signal(SIGKILL)
    node.process.waitUntilExit()
    return try ServedNode(model: model, configuration: configuration, folder: node.folder)
  }

  func journal(_ node: ServedNode, _ job: String) -> [String] {
    node.folder.text("node/journal/00000001.jsonl").split(separator: "\n").map(String.init)
      .filter { $0.contains("\"job\":\"\(job)\"") }
      .compactMap { line in
        line.components(separatedBy: "\"type\":\"").last.map { String($0.prefix { $0 != "\"" }) }
      }
  }

  @Test func finishedAnswersOutliveAKillAndAStop() throws {
    var node = try ServedNode(model: model, configuration: Self.configuration)
    let token = try node.token("ada")
    let jobs = try (1...4).map { try accept(node, token, seed: $0) }
    let first = try wait(node, jobs[0], token)
    while !jobs.allSatisfy({ journal(node, $0).contains("receipt") }) { usleep(20_000) }
    node = try again(node)
    // The same bytes, receipt's id included; and three that nobody had fetched.
    #expect(try fetch(node, jobs[0], token).body == first.body)
    for job in jobs {
      let answer = try fetch(node, job, token)
      #expect(answer.status == 200 && answer.fields["content-type"] == "application/json")
      let own = answer.object?["hotpot"] as? [String: Any]
      let receipt = try #require(own?["receipt"] as? String)
      #expect(
        try WireAnswer.get(UInt16(node.port), "GET", "/v1/receipts/\(receipt)", token: token).status == 200)
      #expect((own?["nonce"] as? String)?.utf8.count == 128)
      #expect(try fetch(node, job, "sk-someone").status == 404)
    }
    #expect(node.stop() == 0)
    node = try ServedNode(model: model, configuration: Self.configuration, folder: node.folder)
    for job in jobs { #expect(try fetch(node, job, token).status == 200) }
    #expect(node.folder.names("node/spool").isEmpty)
    #expect(node.stop() == 0)
  }

  @Test func anAnswerGoesAfterItWasFetchedAndNotBefore() throws {
    let configuration = "{ audits: { share: 0 }, answers: { grace_s: 1 } }"
    let node = try ServedNode(model: model, configuration: configuration)
    let token = try node.token("ada")
    let jobs = try (1...2).map { try accept(node, token, seed: $0) }
    _ = try wait(node, jobs[0], token)
    while !journal(node, jobs[1]).contains("receipt") { usleep(20_000) }
    #expect(node.folder.names("node/answers").contains(jobs[1]))
    while node.folder.names("node/answers").contains(where: { $0.hasPrefix(jobs[0]) }) { usleep(50_000) }
    #expect(node.folder.names("node/answers") == [jobs[1]])
    #expect(try fetch(node, jobs[1], token).status == 200)
    #expect(node.stop() == 0)
  }

  @Test func anApprovedJobStaysApprovedAndARejectedOneRejected() throws {
    var node = try ServedNode(model: model, configuration: Self.configuration)
    let token = try node.token("bob")
    let approved = try accept(node, token, tokens: 3_000)
    let rejected = try accept(node, token, seed: 2)
    let waiting = try accept(node, token, seed: 3)
    #expect(try node.command(["approve", approved]).status == 0)
    #expect(try node.command(["priority", approved, "9"]).status == 0)
    #expect(try node.command(["reject", rejected]).status == 0)
    node = try again(node)
    for _ in 0..<200 where try fetch(node, approved, token).object?["prompt_tokens"] == nil { usleep(20_000) }
    let row = try fetch(node, approved, token)
    #expect(["queued", "running"].contains(row.object?["status"] as? String ?? ""), "\(row.body)")
    #expect(try fetch(node, waiting, token).object?["status"] as? String == "pending")
    #expect(try fetch(node, rejected, token).error?["code"] as? String == "rejected")
    #expect(try node.command(["cancel", approved]).status == 0)
    #expect(node.stop() == 0)
    // A stop ends nothing that waits.
    node = try ServedNode(model: model, configuration: Self.configuration, folder: node.folder)
    #expect(try node.command(["approve", waiting]).status == 0)
    #expect(try wait(node, waiting, token).status == 200)
    #expect(journal(node, waiting) == ["job_accepted", "receipt"])
    #expect(node.stop() == 0)
  }

  @Test func aRequestThatCannotBeReadEndsItsJobOnceAndInWords() throws {
    var node = try ServedNode(model: model, configuration: Self.configuration)
    let token = try node.token("bob")
    let jobs = try (1...4).map { try accept(node, token, seed: $0) }
    node.signal(SIGKILL)
    node.process.waitUntilExit()
    func path(_ job: String) -> URL { URL(fileURLWithPath: node.folder.path + "/node/spool/" + job) }
    try Data("garbage".utf8).write(to: path(jobs[0]))
    try Data().write(to: path(jobs[1]))
    var bytes = try Data(contentsOf: path(jobs[2]))
    bytes[bytes.count - 9] ^= 1
    try bytes.write(to: path(jobs[2]))
    for _ in 1...2 {
      node = try again(node)
      for job in jobs[..<3] {
        let answer = try wait(node, job, token)
        #expect(answer.status == 503 && answer.error?["code"] as? String == "interrupted")
        #expect((answer.error?["message"] as? String)?.contains("damaged") == true, "\(answer.body)")
        #expect(journal(node, job) == ["job_accepted", "job_ended"])
      }
      #expect(node.folder.names("node/spool") == [jobs[3]])
    }
    #expect(try fetch(node, jobs[3], token).object?["status"] as? String == "pending")
    #expect(node.stop() == 0)
  }

  @Test func strangersUseUpNobodysShareButTheirOwn() throws {
    let configuration = "{ audits: { share: 0 }, answers: { strangers: 8 } }"
    let node = try ServedNode(model: model, configuration: configuration)
    let token = try node.token("ada")
    let job = try accept(node, token)
    while !journal(node, job).contains("receipt") { usleep(20_000) }
    var taken = 0
    var refused = 0
    for number in 0..<40 {
      let answer = try ask(node, "sk-made-up-\(number / 4)", seed: number)
      if answer.status == 202 { taken += 1 }
      if answer.status == 429, answer.error?["code"] as? String == "answers_full" { refused += 1 }
    }
    #expect(taken == 8 && refused == 32)
    #expect(node.folder.names("node/spool").count == 8, "what is refused leaves nothing on the disk")
    #expect(try fetch(node, job, token).status == 200)
    #expect(try wait(node, accept(node, token), token).status == 200)
    #expect(node.stop() == 0)
  }

  @Test func aPublicKeyOfNobodyStopsTheStart() throws {
    let node = try ServedNode(model: model, configuration: Self.configuration)
    #expect(node.stop() == 0)
    let file = URL(fileURLWithPath: node.folder.path + "/node/key.pub")
    let good = try String(contentsOf: file, encoding: .utf8)
    var parts = good.split(separator: " ").map(String.init)
    var blob = try #require(Data(base64Encoded: parts[1]))
    blob[blob.count - 1] ^= 1
    parts[1] = blob.base64EncodedString()
    try Data(parts.joined(separator: " ").utf8).write(to: file)
    let result = try node.command(["serve", "--listen", "none", "--model", model])
    #expect(result.status == 65)
    #expect(result.errors.contains("key.pub' is not the public half of "), "\(result.errors)")
    #expect(result.errors.contains("hotpot: hint: 'ssh-keygen -y -f "))
    try Data("ssh-ed25519 AAAA".utf8).write(to: file)
    #expect(try node.command(["serve", "--listen", "none", "--model", model]).status == 65)
  }
}
