// DialectAnswerTests.swift: the events of an answer as the bytes of each dialect, and which request is whose.
// Leaves out requests field by field (DialectRequestTests.swift) and refusals (RefusalTests.swift).
import JSON
import Receipts
import Scheduling
import Testing

@testable import Node

@Suite struct DialectAnswerTests {
  private static let end = AnswerEnd(
    finishReason: "stop", usage: TokenCounts(prompt: 3, cached: 1, completion: 2), receipt: "r", nonce: "n",
    amount: 5, tokens: [7, 8])

  /// The bytes of one answer, a line for each piece.
  private func lines(
    _ dialect: Dialect, _ body: JSONValue, _ events: [AnswerEvent], waits: Bool = false
  ) throws -> [String] {
    let asked = try dialect.read(body)
    var writer = dialect.writer(AnswerShape(asked, job: JobID(1), prompt: [1, 2, 3], created: 4))
    var pieces = waits ? writer.wait() : []
    for event in events { pieces += writer.take(event) }
    return pieces.map { piece in
      switch piece {
      case .begin, .beginLines: "begin"
      case .event(let line), .named(_, let line), .line(let line): String(decoding: line, as: UTF8.self)
      case .comment(let text): ": " + text
      case .end: "end"
      case .whole(let response): "\(response.status) " + String(decoding: response.body, as: UTF8.self)
      }
    }
  }

  private static let chat: [JSONValue.Member] = [
    (key: "model", value: "m"), (key: "messages", value: .array([["role": "user", "content": "hi"]])),
    (key: "seed", value: 9),
  ]
  private static let text: [JSONValue.Member] = [
    (key: "model", value: "m"), (key: "prompt", value: "hi"), (key: "seed", value: 9),
  ]
  private static let streamed: [JSONValue.Member] = [
    (key: "stream", value: true), (key: "stream_options", value: ["include_usage": true]),
  ]
  private static let usage =
    #""usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}}"#
  private static let own =
    #""hotpot":{"job":"0000000000000001","receipt":"r","nonce":"n","seed":9,"amount_micro":5"#

  @Test func `the receipt and the node's part of a nonce stand beside the nonce`() throws {
    var end = Self.end
    end.nonceShare = "s"
    end.inline = InlineReceipt(line: "{}\n", signature: "sig")
    let own = #""nonce":"n","nonce_share":"s","receipt_line":"{}\n","receipt_signature":"sig","seed":9,"#
    for (dialect, members) in [(Dialect.openAIChat, Self.chat), (.openAICompletions, Self.text)] {
      let body = JSONValue.object(members)
      #expect(try lines(dialect, body, [.finished(end)]).last?.contains(own) == true)
    }
    end.inline?.signature = nil
    #expect(
      try lines(.openAIChat, .object(Self.chat), [.finished(end)]).last?.contains("receipt_signature")
        == false)
  }

  @Test func `a chat is streamed as chunks with deltas`() throws {
    let events: [AnswerEvent] = [.started, .text("a\"", []), .text("b", []), .finished(Self.end)]
    let head =
      #"{"id":"chatcmpl-0000000000000001","object":"chat.completion.chunk","created":4,"model":"m","choices":["#
    func chunk(_ delta: String, _ finish: String = "null") -> String {
      head + #"{"index":0,"delta":\#(delta),"logprobs":null,"finish_reason":\#(finish)}]"#
    }
    #expect(
      try lines(.openAIChat, .object(Self.chat + Self.streamed), events, waits: true) == [
        "begin", chunk(#"{"role":"assistant","content":""}"#) + "}", ": waiting for the operator",
        chunk(#"{"content":"a\""}"#) + "}", chunk(#"{"content":"b"}"#) + "}",
        chunk("{}", #""stop""#) + "," + Self.own + "}}", head + "]," + Self.usage + "}", "[DONE]", "end",
      ])
  }

  @Test func `completions are streamed as chunks with texts`() throws {
    let events: [AnswerEvent] = [.started, .text("a", []), .finished(Self.end)]
    let head =
      #"{"id":"cmpl-0000000000000001","object":"text_completion","created":4,"model":"m","choices":["#
    #expect(
      try lines(.openAICompletions, .object(Self.text + Self.streamed), events) == [
        "begin", head + #"{"index":0,"text":"a","logprobs":null,"finish_reason":null}]}"#,
        head + #"{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}],"# + Self.own + "}}",
        head + "]," + Self.usage + "}", "[DONE]", "end",
      ])
  }

  @Test func `an answer that is not streamed comes whole, with ids where they were asked for`() throws {
    let events: [AnswerEvent] = [.admitted, .started, .text("a", []), .text("b", []), .finished(Self.end)]
    #expect(
      try lines(.openAIChat, .object(Self.chat + [(key: "return_token_ids", value: true)]), events) == [
        #"200 {"id":"chatcmpl-0000000000000001","object":"chat.completion","created":4,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"ab","refusal":null},"logprobs":null,"finish_reason":"stop"}],"#
          + Self.usage + "," + Self.own + #","prompt_token_ids":[1,2,3],"token_ids":[7,8]}}"#
      ])
    #expect(
      try lines(.openAICompletions, .object(Self.text), events) == [
        #"200 {"id":"cmpl-0000000000000001","object":"text_completion","created":4,"model":"m","choices":[{"index":0,"text":"ab","logprobs":null,"finish_reason":"stop"}],"#
          + Self.usage + "," + Self.own + "}}"
      ])
  }

  @Test func `a refusal is a response before a stream, and an event in one`() throws {
    let error =
      #"{"error":{"message":"cancelled by the operator","type":"permission_error","param":null,"code":"cancelled","status":403}}"#
    let refused = AnswerEvent.refused(.cancelled(by: .operator))
    for dialect in [Dialect.openAIChat, .openAICompletions] {
      let body = dialect.name == Dialect.openAIChat.name ? Self.chat : Self.text
      #expect(try lines(dialect, .object(body + Self.streamed), [refused]) == ["403 " + error])
      #expect(try lines(dialect, .object(body), [.started, refused]) == ["403 " + error])
      #expect(
        try lines(dialect, .object(body + Self.streamed), [.started, refused]).suffix(2) == [error, "end"])
    }
  }

  @Test func `each dialect has a name and a path of its own`() {
    #expect(Set(Dialect.all.map(\.path)).count == Dialect.all.count)
    #expect(Set(Dialect.all.map(\.name)).count == Dialect.all.count)
  }
}
