// CompletionPlaceTests.swift: completions whose text begins with the prompt, or stands between two texts: what
// the model reads, what the client gets, and that both are proved.
import Foundation
import JSON
import Receipts
import TestSettings
import Testing
import Wire

@testable import Node

@Suite(.serialized) struct CompletionPlaceTests {
  private func serve(_ body: (_ post: (String) throws -> WireAnswer, Reexecutor) throws -> Void) throws {
    let scratch = try ScratchDirectory()
    let path = scratch.path + "/small.gguf"
    try SmallModel.write(to: path)
    let machine = try Reexecutor(path: path, threads: 1)
    let node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(
          file: "test", text: "{ threads: 1, kv_tokens: 2048, http: { listen: '127.0.0.1:0' } }"),
        stateDirectory: scratch.path + "/state", version: "0"
      ) { (_) throws(ServingError) in ModelFile(name: "small", path: path) })
    try node.start()
    defer {
      node.stop(drain: false, by: "test")
      node.waitUntilStopped()
    }
    let token = try node.accounts.addClient("aria", by: Operator("test")).get()
    let port = try #require(node.ports.first)
    while try WireAnswer.get(port, "GET", "/health").body.contains("\"loading\"") {}
    try body(
      { try WireAnswer.get(port, "POST", "/v1/completions", token: token, body: $0) }, machine)
  }

  private static func fields(_ more: String) -> String {
    "{\"model\":\"small\",\"max_tokens\":12,\"temperature\":0,\"ignore_eos\":true,\"return_token_ids\":true,\"hotpot\":{\"receipt\":\"inline\"},\(more)}"
  }

  private static func text(of answer: WireAnswer) -> String {
    objects(of: answer).compactMap { $0["choices"]?.array?.first?["text"]?.string }.joined()
  }

  private static func verdict(_ answer: String, _ request: String, _ machine: Reexecutor) throws
    -> Verification
  {
    var proof = try ReceiptProof(nil, answer: Array(answer.utf8), request: Array(request.utf8))
    proof.run(on: { () throws(ServingError) in machine })
    return proof.verify()
  }

  @Test func anEchoIsThePromptAndIsProved() throws {
    try serve { post, machine in
      let plain = Self.text(of: try post(Self.fields("\"prompt\":\"Nine bells\"")))
      for more in ["", ",\"stream\":true"] {
        let request = Self.fields("\"prompt\":\"Nine bells\",\"echo\":true\(more)")
        let answer = try post(request)
        try #require(answer.status == 200, "\(answer.body)")
        #expect(Array(Self.text(of: answer).utf8) == Array(("Nine bells" + plain).utf8))
        #expect(answer.body.contains("\"echoed\":10"))
        let honest = try Self.verdict(answer.body, request, machine)
        #expect(honest.checks.first { $0.name == .text }?.result == .ok, "\(honest.checks)")
        for (old, new) in [("Nine bells", "Nine balls"), ("\"echoed\":10", "\"echoed\":9")] {
          let told = try Self.verdict(answer.body.replacing(old, with: new), request, machine)
          #expect(told.checks.first { $0.name == .text }?.result == .failed, "\(old): \(told.checks)")
        }
      }
    }
  }

  @Test func aTextIsAskedForBetweenTwo() throws {
    try serve { post, machine in
      let request = Self.fields("\"prompt\":\"def f(\",\"suffix\":\"): pass <|im_end|>\"")
      let answer = try post(request)
      try #require(answer.status == 200, "\(answer.body)")
      let own = try #require(objects(of: answer).last?["hotpot"])
      let ids = own["prompt_token_ids"]?.array?.compactMap(\.integer)
      let marks = SmallModel.infill.map { Int($0) }
      let (before, after) = ("def f(".utf8.count, "): pass <|im_end|>".utf8.count)
      try #require(ids?.count == 3 + before + after, "no text of a client is a special token")
      #expect(ids?[0] == marks[0] && ids?[before + 1] == marks[1] && ids?.last == marks[2])
      let honest = try Self.verdict(answer.body, request, machine)
      #expect(
        honest.checks.allSatisfy { $0.result != .failed } && honest.checks.contains { $0.result == .ok },
        "\(honest.checks)")
      // The same answer to another suffix is another prompt.
      let told = try Self.verdict(answer.body, request.replacing("pass", with: "fail"), machine)
      #expect(told.checks.contains { $0.result == .failed }, "\(told.checks)")
    }
    try TalkingNode.with { node in
      let answer = try node.post(
        "/v1/completions", "{\"model\":\"tiny\",\"prompt\":\"a\",\"suffix\":\"b\",\"max_tokens\":4}")
      #expect(answer.status == 400 && answer.body.contains("fim_pre_token_id"), "\(answer.body)")
    }
  }
}
