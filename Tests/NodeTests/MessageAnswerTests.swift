// MessageAnswerTests.swift: answers that think and call, as each dialect writes them, streamed and in one
// piece. Plain answers are in DialectAnswerTests.swift; how texts are read is in ToolsTests.
import JSON
import Scheduling
import Testing
import Tools

@testable import Node

@Suite struct MessageAnswerTests {
  private static let end = AnswerEnd(
    finishReason: "stop", usage: TokenCounts(prompt: 3, cached: 1, completion: 2), receipt: "r", nonce: "n",
    amount: 5, tokens: [7, 8])
  private static let texts = [
    "<think>H", "m.</think>", "\nLook", "ing.\n<tool_call>{\"name\": \"f\", ",
    "\"arguments\": {\"a\": 1}}</tool_call>",
  ]
  private static let own =
    #""hotpot":{"job":"0000000000000001","receipt":"r","nonce":"n","seed":9,"amount_micro":5,"parser":"hermes-json","ignored":["x"]}"#

  /// The bytes of one answer, a line for each piece.
  private func lines(
    _ dialect: Dialect, _ members: [JSONValue.Member], isStreamed: Bool, texts: [String] = texts,
    end: AnswerEnd = end
  ) throws -> [String] {
    var asked = try dialect.read(.object(members + [(key: "stream", value: .bool(isStreamed))]))
    asked.request.sampling.seed = 9
    let parser = MessageParser(
      format: .named("hermes-json"), reasoning: .think, tools: [ToolDefinition(name: "f")])
    let shape = AnswerShape(
      asked, job: JobID(1),
      prompt: PreparedPrompt(tokens: [1, 2, 3], parser: parser, parserName: "hermes-json", ignored: ["x"]),
      created: 4)
    var writer = dialect.writer(shape)
    var pieces = writer.take(.started)
    for text in texts { pieces += writer.take(.text(text, [])) }
    pieces += writer.take(.finished(end))
    return pieces.map { piece in
      switch piece {
      case .begin: "begin"
      case .beginLines: "begin lines"
      case .event(let line), .line(let line): String(decoding: line, as: UTF8.self)
      case .named(let name, let line): "\(name) \(String(decoding: line, as: UTF8.self))"
      case .comment(let text): ": " + text
      case .end: "end"
      case .whole(let response): "\(response.status) " + String(decoding: response.body, as: UTF8.self)
      }
    }
  }

  private static let tools: JSONValue = [["type": "function", "function": ["name": "f"]]]
  private static let messages: JSONValue = [["role": "user", "content": "hi"]]
  private static let chat: [JSONValue.Member] = [
    (key: "model", value: "m"), (key: "messages", value: messages), (key: "tools", value: tools),
  ]
  /// The lines with the name of the call, which is made up, in place of its letters.
  private func named(_ lines: [String]) throws -> [String] {
    let asked = try Dialect.openAIChat.read(.object(Self.chat))
    let id = AnswerShape(asked, job: JobID(1), prompt: [], created: 0).callID(0, nil)
    #expect(id.count == 9 && id.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) })
    return lines.map { $0.replacing(id, with: "CALL") }
  }

  @Test func `a chat's call is streamed with its index, id and name first`() throws {
    let found = try named(lines(.openAIChat, Self.chat, isStreamed: true))
    let head =
      #"{"id":"chatcmpl-0000000000000001","object":"chat.completion.chunk","created":4,"model":"m","choices":["#
    func chunk(_ delta: String, _ finish: String = "null") -> String {
      head + #"{"index":0,"delta":\#(delta),"logprobs":null,"finish_reason":\#(finish)}]"#
    }
    #expect(
      found == [
        "begin", chunk(#"{"role":"assistant","content":""}"#) + "}",
        chunk(#"{"reasoning_content":"H","reasoning":"H"}"#) + "}",
        chunk(#"{"reasoning_content":"m.","reasoning":"m."}"#) + "}",
        chunk(#"{"content":"Look"}"#) + "}", chunk(#"{"content":"ing."}"#) + "}",
        chunk(
          #"{"tool_calls":[{"index":0,"id":"CALL","type":"function","function":{"name":"f","arguments":""}}]}"#
        )
          + "}",
        chunk(#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":1}"}}]}"#) + "}",
        chunk("{}", #""tool_calls""#) + "," + Self.own + "}", "[DONE]", "end",
      ])
  }

  @Test func `a chat's call comes whole`() throws {
    let found = try named(lines(.openAIChat, Self.chat, isStreamed: false))
    #expect(
      found == [
        #"200 {"id":"chatcmpl-0000000000000001","object":"chat.completion","created":4,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Looking.","refusal":null,"reasoning_content":"Hm.","reasoning":"Hm.","tool_calls":[{"id":"CALL","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}},"#
          + Self.own + "}"
      ])
    let silent = try lines(
      .openAIChat, Self.chat, isStreamed: false, texts: [#"<tool_call>{"name": "f"}</tool_call>"#])
    #expect(silent[0].contains(#""content":null"#))
  }

  private static let message: [JSONValue.Member] = [
    (key: "model", value: "m"), (key: "messages", value: messages), (key: "max_tokens", value: 9),
    (key: "tools", value: [["name": "f", "input_schema": ["type": "object"]]]),
  ]

  @Test func `a message is streamed as blocks`() throws {
    let found = try named(lines(.anthropicMessages, Self.message, isStreamed: true))
    #expect(
      found == [
        "begin",
        #"message_start {"type":"message_start","message":{"id":"msg_0000000000000001","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}"#,
        #"content_block_start {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        #"content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"H"}}"#,
        #"content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"m."}}"#,
        #"content_block_stop {"type":"content_block_stop","index":0}"#,
        #"content_block_start {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        #"content_block_delta {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Look"}}"#,
        #"content_block_delta {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"ing."}}"#,
        #"content_block_stop {"type":"content_block_stop","index":1}"#,
        #"content_block_start {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_CALL","name":"f","input":{}}}"#,
        #"content_block_delta {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
        #"content_block_stop {"type":"content_block_stop","index":2}"#,
        #"message_delta {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":2,"cache_creation_input_tokens":0,"cache_read_input_tokens":1,"output_tokens":2},"#
          + Self.own + "}",
        #"message_stop {"type":"message_stop"}"#, "end",
      ])
  }

  @Test func `a message comes whole`() throws {
    let found = try named(lines(.anthropicMessages, Self.message, isStreamed: false))
    #expect(
      found == [
        #"200 {"id":"msg_0000000000000001","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"Hm.","signature":""},{"type":"text","text":"Looking."},{"type":"tool_use","id":"toolu_CALL","name":"f","input":{"a":1}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":2,"cache_creation_input_tokens":0,"cache_read_input_tokens":1,"output_tokens":2},"#
          + Self.own + "}"
      ])
  }

  private static let response: [JSONValue.Member] = [
    (key: "model", value: "m"), (key: "input", value: "hi"),
    (key: "tools", value: [["type": "function", "name": "f"], ["type": "web_search"]]),
  ]

  @Test func `a response is a row of typed events in order`() throws {
    let found = try lines(.openAIResponses, Self.response, isStreamed: true)
    let events = try found.compactMap { line -> JSONValue? in
      guard let space = line.firstIndex(of: " ") else { return nil }
      let value = try JSONText.parse(Array(line[line.index(after: space)...].utf8))
      #expect(value["type"]?.string == String(line[..<space]))
      return value
    }
    #expect(events.map { $0["sequence_number"]?.integer } == events.indices.map { $0 })
    #expect(
      events.map { "\($0["type"]?.string ?? "") \($0["output_index"]?.integer.map(String.init) ?? "")" } == [
        "response.created ", "response.in_progress ", "response.output_item.added 0",
        "response.reasoning_text.delta 0", "response.reasoning_text.delta 0",
        "response.reasoning_text.done 0",
        "response.output_item.done 0", "response.output_item.added 1", "response.content_part.added 1",
        "response.output_text.delta 1", "response.output_text.delta 1", "response.output_text.done 1",
        "response.content_part.done 1", "response.output_item.done 1", "response.output_item.added 2",
        "response.function_call_arguments.delta 2", "response.function_call_arguments.done 2",
        "response.output_item.done 2", "response.completed ",
      ])
    let last = try #require(events.last?["response"])
    let whole = try #require(
      try lines(.openAIResponses, Self.response, isStreamed: false).first?.dropFirst(4))
    #expect(last == (try JSONText.parse(Array(whole.utf8))))
    #expect(last["output"]?.array?.map { $0["type"]?.string } == ["reasoning", "message", "function_call"])
    #expect(last["output"]?.array?.last?["arguments"] == #"{"a":1}"#)
    #expect(last["usage"]?["total_tokens"] == 5)
    #expect(last["hotpot"]?["parser"] == "hermes-json")
  }

  @Test func `a response that the limit cut is incomplete`() throws {
    let cut = AnswerEnd(
      finishReason: "length", usage: TokenCounts(prompt: 3, cached: 0, completion: 2), receipt: "r",
      nonce: "n",
      amount: 5)
    let found = try lines(.openAIResponses, Self.response, isStreamed: true, texts: ["<think>a"], end: cut)
    #expect(found.dropLast().last?.hasPrefix("response.incomplete ") == true)
    let message = try lines(.anthropicMessages, Self.message, isStreamed: false, texts: ["a"], end: cut)
    #expect(message[0].contains(#""stop_reason":"max_tokens""#))
    let line = try lines(.ollamaChat, Self.chat, isStreamed: false, texts: ["a"], end: cut)
    #expect(line[0].contains(#""done_reason":"length""#))
  }

  @Test func `Ollama's answers are lines`() throws {
    let found = try named(lines(.ollamaChat, Self.chat, isStreamed: true))
    let head = #"{"model":"m","created_at":"1970-01-01T00:00:04Z","message":{"role":"assistant","content":"#
    #expect(
      found == [
        "begin lines", head + #""","thinking":"H"},"done":false}"#,
        head + #""","thinking":"m."},"done":false}"#,
        head + #""Look"},"done":false}"#, head + #""ing."},"done":false}"#,
        head
          + #""","tool_calls":[{"id":"CALL","function":{"name":"f","arguments":{"a":1}}}]},"done":false}"#,
        head + #"""},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":2,"# + Self.own
          + "}",
        "end",
      ])
    let generated = try lines(
      .ollamaGenerate, [(key: "model", value: "m:latest"), (key: "prompt", value: "hi")], isStreamed: false)
    #expect(generated[0].contains(#"{"model":"m","#))
    #expect(generated[0].contains(#""response":"Looking.","thinking":"Hm.""#))
  }
}
