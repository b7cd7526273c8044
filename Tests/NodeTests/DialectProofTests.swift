// DialectProofTests.swift: what a client of Anthropic's messages, OpenAI's responses or Ollama proves: its own request in
// its own protocol, its saved answer whole, as events or as lines, and every lie about either named. OpenAI's chats are in
// MessageProofTests, texts alone in ProofTests. Start at jobs.
import Foundation
import Fuzzing
import JSON
import Node
import Receipts
import Testing
import Wire

@Suite(.serialized) struct DialectProofTests {
  private struct Job {
    let name: String
    let path: String
    let request: String
  }

  private static let schema = #"{"type":"object","properties":{"city":{"type":"string"}}}"#
  private static let own = #""return_token_ids":true,"hotpot":{"receipt":"inline"}"#

  private static let jobs: [Job] = [
    (
      "/v1/responses",
      #""input":"Weather in Paris?","max_output_tokens":60,"temperature":0,"tools":[{"type":"function","name":"get_weather","parameters":\#(schema)}]"#
    ),
    (
      "/v1/messages",
      #""messages":[{"role":"user","content":"Weather in Paris?"}],"max_tokens":60,"temperature":0,"tools":[{"name":"get_weather","input_schema":\#(schema)}]"#
    ),
    (
      "/api/chat",
      #""messages":[{"role":"user","content":"Weather in Paris?"}],"options":{"temperature":0,"num_predict":60},"tools":[{"type":"function","function":{"name":"get_weather","parameters":\#(schema)}}]"#
    ),
    (
      "/api/generate",
      #""prompt":"The capital?","system":"Be brief.","options":{"temperature":0,"num_predict":60,"seed":4}"#
    ),
    // Without a call, and cut.
    ("/v1/responses", #""input":"The capital?","max_output_tokens":60,"temperature":0"#),
    (
      "/v1/messages",
      #""system":"Be brief.","messages":[{"role":"user","content":"The capital?"}],"max_tokens":5,"temperature":0"#
    ),
  ].flatMap { path, fields in
    [true, false].flatMap { isStreamed in
      ["", own].map { own in
        Job(
          name:
            "\(path)\(isStreamed ? ", streamed" : "")\(own.isEmpty ? ", without token ids" : "")",
          path: path,
          request:
            "{\"model\":\"tiny\",\(fields),\"stream\":\(isStreamed),\(own.isEmpty ? #""hotpot":{"receipt":"inline"}"# : own)}"
        )
      }
    }
  }

  /// What is changed of an answer, by text that stands there; and the check that names it, or nil where the answer cannot be
  /// read any more.
  private static let lies: [(what: String, old: String, new: String, check: Verification.Name)] = [
    ("another argument", #"\"Paris\""#, #"\"Parma\""#, .text),
    ("another argument", #""city":"Paris""#, #""city":"Parma""#, .text),
    ("another function", #""name":"get_weather""#, #""name":"get_money""#, .text),
    ("another thought", "Easy.", "Hard.", .text),
    ("another sentence", " is Paris.", " is Parma.", .text),
    ("another word before a call", "Looking.", "Cooking.", .text),
    (
      "an end called a limit", #""stop_reason":"end_turn""#, #""stop_reason":"max_tokens""#, .answer
    ),
    ("an end called a limit", #""done_reason":"stop""#, #""done_reason":"length""#, .answer),
    (
      "an end called a limit", #""status":"completed","error""#, #""status":"incomplete","error""#,
      .answer
    ),
    (
      "a cut answer called whole", #""stop_reason":"max_tokens""#, #""stop_reason":"end_turn""#,
      .answer
    ),
    ("a call called an end", #""stop_reason":"tool_use""#, #""stop_reason":"end_turn""#, .text),
    ("fewer tokens than were billed", #""output_tokens":"#, #""output_tokens":1"#, .answer),
    ("fewer tokens than were billed", #""eval_count":"#, #""eval_count":1"#, .answer),
    ("another price", #""amount_micro":"#, #""amount_micro":1"#, .answer),
  ]

  /// Changes whose answer says two things at once, or nothing, in answers whose name begins so.
  private static let breaks: [(job: String, old: String, new: String)] = [
    ("/v1/responses, streamed", #""delta":"The capital"#, #""delta":"A capital"#),
    ("/v1/responses, streamed", #""response.output_item.added""#, #""response.other""#),
    ("/v1/responses", #""id":"resp_"#, #""id":"resp_0"#),
    ("/v1/responses, without", #""object":"response""#, #""object":"chat.completion""#),
    ("/v1/messages, streamed", #""index":0,"content_block""#, #""index":7,"content_block""#),
    ("/v1/messages", #""id":"msg_"#, #""id":"msg_0"#), ("/", #""job":""#, #""job":"0"#),
  ]

  private struct Verdict {
    let passes: Bool
    let checks: [Verification.Check]

    func failed(_ name: Verification.Name) -> Bool {
      checks.contains { $0.name == name && $0.result == .failed }
    }
  }

  private static func verdict(_ answer: String, _ request: String?, _ machine: Reexecutor) throws
    -> Verdict
  {
    var proof = try ReceiptProof(
      nil, answer: Array(answer.utf8), request: request.map { Array($0.utf8) })
    proof.run(on: { () throws(ServingError) in machine })
    let verification = proof.verify()
    return Verdict(passes: verification.passes(asking: proof.asked), checks: verification.checks)
  }

  @Test func `every protocol's answers are proved, and every lie about them is named`() throws {
    let scratch = try ScratchDirectory()
    let path = scratch.path + "/tiny.gguf"
    try ScriptedModel.talking.write(to: path)
    let machine = try Reexecutor(path: path, threads: 1)
    var told: Set<String> = []
    var broken: Set<String> = []
    var count = 0
    try TalkingNode.with { node in
      for job in Self.jobs {
        let answer = try node.post(job.path, job.request)
        try #require(answer.status == 200, "\(job.name): \(answer.body)")
        // Lines come in chunks, whose sizes stand between them.
        let saved =
          job.path.hasPrefix("/api") && job.request.contains("\"stream\":true")
          ? answer.body.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("{") }.joined(
            separator: "\n")
          : answer.body
        let honest = try Self.verdict(saved, job.request, machine)
        #expect(honest.passes, "\(job.name): \(honest.checks)\n\(saved)")
        let settings = honest.checks.first { $0.name == .settings }
        #expect(
          settings?.detail.hasSuffix("as a request to \(job.path)") == true,
          "\(job.name): \(String(describing: settings))")
        for (what, old, new, check) in Self.lies {
          let changed = saved.replacing(old, with: new)
          guard changed != saved else { continue }
          told.insert(what)
          count += 1
          let found = try Self.verdict(changed, job.request, machine)
          #expect(
            !found.passes && found.failed(check),
            "\(job.name), \(what): \(found.checks)\n\(changed)")
        }
        for (name, old, new) in Self.breaks where job.name.hasPrefix(name) {
          let changed = saved.replacing(old, with: new, maxReplacements: 1)
          guard changed != saved else { continue }
          broken.insert(name + old)
          if let found = try? Self.verdict(changed, job.request, machine) {
            #expect(!found.passes, "\(job.name), \(old): \(found.checks)")
          }
        }
        // Another request than the one that was sent.
        let asked = job.request.replacing(
          #""model":"tiny""#, with: #""model":"tiny","system":"Lie.""#)
        if job.path == "/v1/messages", !job.request.contains("system") {
          let found = try Self.verdict(saved, asked, machine)
          #expect(!found.passes && found.failed(.request), "\(job.name): \(found.checks)")
        }
        let limit = try Self.verdict(
          saved, job.request.replacing("\":60", with: "\":61"), machine)
        if job.request.contains("\":60") {
          #expect(!limit.passes && limit.failed(.settings), "\(job.name)")
        }
      }
    }
    #expect(told == Set(Self.lies.map(\.what)), "every lie fits an answer")
    #expect(broken == Set(Self.breaks.map { $0.job + $0.old }))
    print("\(count) lies in \(Self.jobs.count) jobs of four protocols, each refused by its check")
  }
}
