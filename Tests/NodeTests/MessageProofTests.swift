// MessageProofTests.swift: what a client proves of an answer that was read as a message: reasoning,
// content and calls are those that the receipt's tokens give, for the client's own tools. Text alone is
// in ProofTests. Start at jobs.
import Foundation
import Fuzzing
import JSON
import Node
import Receipts
import Testing
import Wire

@Suite(.serialized) struct MessageProofTests {
  private static let fields = #"""
    "messages":[{"role":"user","content":"Weather in Paris?"}],"max_tokens":60,"temperature":0,
    "tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object",
    "properties":{"city":{"type":"string"}}}}}],"hotpot":{"receipt":"inline"}
    """#

  private static func request(_ more: String) -> String { "{\"model\":\"tiny\",\(fields)\(more)}" }

  private static let jobs = [
    (name: "whole", request: request(#","return_token_ids":true"#)),
    (name: "streamed", request: request(#","return_token_ids":true,"stream":true"#)),
    (name: "without token ids", request: request("")),
    (
      name: "cut",
      request: request(#","return_token_ids":true"#).replacing("\"max_tokens\":60", with: "\"max_tokens\":7")
    ),
    (
      name: "reasoning alone",
      request:
        #"{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"max_tokens":60,"temperature":0,"return_token_ids":true,"hotpot":{"receipt":"inline"}}"#
    ),
  ]

  private struct Verdict {
    let passes: Bool
    let text: Verification.Check?
    let all: String
  }

  private static func verdict(
    _ answer: String, _ request: String?, _ machine: Reexecutor
  ) throws -> Verdict {
    var proof = try ReceiptProof(nil, answer: Array(answer.utf8), request: request.map { Array($0.utf8) })
    proof.run(on: { () throws(ServingError) in machine })
    let verification = proof.verify()
    let text = verification.checks.first { $0.name == .text }
    return Verdict(
      passes: verification.passes(asking: proof.asked), text: text, all: "\(verification.checks)")
  }

  @Test func whatANodeReadsInATextIsProvedAndWhatIsChangedIsNamed() throws {
    let scratch = try ScratchDirectory()
    let path = scratch.path + "/tiny.gguf"
    try ScriptedModel.talking.write(to: path)
    let machine = try Reexecutor(path: path, threads: 1)
    var told: Set<String> = []
    try TalkingNode.with { node in
      for job in Self.jobs {
        let answer = try node.post("/v1/chat/completions", job.request)
        try #require(answer.status == 200, "\(job.name): \(answer.body)")
        let honest = try Self.verdict(answer.body, job.request, machine)
        #expect(honest.passes, "\(job.name): \(honest.all)\n\(answer.body)")
        // Without the request nobody knows which tools there were: that is said, and is no pass.
        if job.name != "without token ids" {
          let alone = try Self.verdict(answer.body, nil, machine)
          guard let text = alone.text, text.result == .notChecked else {
            Issue.record("\(job.name): \(alone.all)")
            continue
          }
          #expect(!alone.passes && text.detail.contains("'--request'"), "\(text)")
        }
        for (what, old, new) in Self.lies {
          let changed = answer.body.replacing(old, with: new)
          guard changed != answer.body else { continue }
          told.insert(what)
          let found = try Self.verdict(changed, job.request, machine)
          guard found.text?.result == .failed else {
            Issue.record("\(job.name), \(what): \(found.all)")
            continue
          }
          #expect(!found.passes)
        }
      }
    }
    #expect(told == Set(Self.lies.map(\.what)), "every lie fits an answer")
  }

  private static let lies: [(what: String, old: String, new: String)] = [
    ("another argument", #"\"Paris\""#, #"\"Parma\""#),
    ("another function", #""name":"get_weather""#, #""name":"get_money""#),
    ("another thought", "Weather.", "Whether."),
    ("another text", "Looking.", "Cooking."),
    ("another sentence", " is Paris.", " is Parma."),
    ("a call called an end", #""finish_reason":"tool_calls""#, #""finish_reason":"stop""#),
    ("no call any more", #""tool_calls":[{"#, #""nothing":[{"#),
    ("a parser that is none of the model's", #""parser":"#, #""unread":"#),
  ]

  /// A member that anybody can add must not make a text unread.
  @Test func aTextThatWasNotReadAsAMessageCannotBeCalledOne() throws {
    let jobs = try ProvedJobs.shared.get()
    let chat = try #require(jobs.jobs["chat"])
    let edited = chat.answer.replacing(#""content":""#, with: #""content":"x"#)
      .replacing(#""hotpot":{"#, with: #""hotpot":{"parser":"hermes-json","#)
    try #require(edited != chat.answer)
    for request in [chat.request, nil] {
      var proof = try ReceiptProof(
        try ReceiptBundle(parsing: chat.bundle), answer: Array(edited.utf8),
        request: request.map { Array($0.utf8) })
      proof.run(on: { () throws(ServingError) in jobs.machine })
      let verification = proof.verify(keygen: jobs.keygen)
      #expect(!verification.passes(asking: proof.asked), "\(verification.checks)")
    }
  }
}
