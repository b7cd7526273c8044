// APIManualTests.swift: `man/hotpot-api.7` against a node: its paths are the node's, and its curl lines
// get the answers that it speaks of.
import Foundation
import JSON
import ManualPages
import Receipts
import Testing
import Wire

@testable import Node

@Suite(.serialized) struct APIManualTests {
  @Test func everyPathIsInTheManual() throws {
    let text = try ManualPage("hotpot-api.7").text
    for route in Route.all {
      let path = route.path.map { part -> String in
        switch part {
        case .word(let word): "/" + word
        // Names stand in capitals.
        case .name: "/ID"
        case .rest: "/NAME"
        }
      }.joined()
      let method = route.methods.first?.rawValue ?? ""
      guard path != "/v1/vouchers" else { continue }
      #expect(text.contains("\(method) \(path)"), "\(method) \(path)")
    }
  }

  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/curl"), "there is no curl here"))
  func theCurlLinesWork() throws {
    let page = try ManualPage("hotpot-api.7")
    try TalkingNode.with { node in
      func run(_ block: String) throws -> String {
        let lines = "node=http://127.0.0.1:\(node.port) TOKEN=\(node.token)\n" + (try page.commands(block))
        let (status, output) = try shell(lines, in: "/tmp")
        #expect(status == 0, "\(output)")
        return output
      }
      let chat = try JSONText.parse(Array(run("tools").utf8))
      let choice = try #require(chat["choices"]?.array?.first)
      #expect(choice["finish_reason"] == "tool_calls")
      #expect(choice["message"]?["content"] == "Looking.")
      #expect(choice["message"]?["reasoning_content"] == "Weather.")
      let call = try #require(choice["message"]?["tool_calls"]?.array?.first)
      #expect(call["function"]?["name"] == "get_weather")
      #expect(call["function"]?["arguments"] == #"{"city":"Paris"}"#)
      #expect(chat["hotpot"]?["parser"] == "hermes-json")

      let messages = try run("messages")
      #expect(messages.contains("event: message_start\n"))
      #expect(messages.contains(#""type":"tool_use""#) && messages.contains(#""stop_reason":"tool_use""#))

      let responses = try run("responses")
      #expect(responses.contains("The capital of France is Paris."))
      #expect(responses.contains(#"{"object":"response.input_tokens","input_tokens":"#))

      let ollama = try run("ollama")
      #expect(ollama.contains(#""done":true,"done_reason":"stop""#))
      #expect(ollama.contains(#""capabilities":["completion","embedding","tools","thinking"]"#))

      let vector = try JSONText.parse(Array(run("embeddings").utf8))
      #expect(vector["data"]?.array?.first?["embedding"]?.array?.count == 16)
      #expect(vector["data"]?.array?.first?["hotpot"]?["receipt"]?.string?.utf8.count == 16)

      let models = try run("models")
      #expect(
        models.contains(
          #""pricing":{"prompt":"0.0000001","completion":"0.0000004","input_cache_read":"0.00000001","currency":"USD"}"#
        ))
      #expect(models.contains(#""input":{"usd":0.1}"#))
      #expect(models.contains(#"{"tokens":[97,98,99],"count":3,"#))
      #expect(models.contains(#"{"content":"ab","prompt":"ab"}"#))

      let bundle = try ReceiptBundle(parsing: run("bundle"))
      let proof = try InclusionProof(parsing: bundle.proof)
      #expect(try Checkpoint(parsing: bundle.checkpoint).size > proof.index)
    }
  }
}
