// SessionTests.swift: an agent's session of twenty turns, each with all turns before it: how much of its
// prompts is found in the cache, while another client asks in between.
import Foundation
import JSON
import Testing
import Wire

@Suite(.serialized) struct SessionTests {
  /// A system message and tools as coding agents have them, in proportion to what they read.
  private static let system = (0..<60).map { "Rule \($0): read a file before you change it, and say why.\n" }
    .joined()
  private static let tools = ["read_file", "edit_file", "run", "search", "get_weather"].map {
    name -> JSONValue in
    [
      "type": "function",
      "function": [
        "name": .string(name), "description": "Works on the files of this session.",
        "parameters": [
          "type": "object",
          "properties": ["path": ["type": "string"], "text": ["type": "string"]], "required": ["path"],
        ],
      ],
    ]
  }

  private static func body(_ messages: [JSONValue]) -> String {
    let value: JSONValue = [
      "model": "tiny", "messages": .array(messages), "tools": .array(tools), "temperature": 0,
      "max_tokens": 64,
    ]
    return String(decoding: JSONWriter.bytes(value), as: UTF8.self)
  }

  @Test func `nine tenths of a session's prompts are found in the cache`() throws {
    try TalkingNode.with { node in
      var messages: [JSONValue] = [["role": "system", "content": .string(Self.system)]]
      var (prompt, cached) = (0, 0)
      for turn in 0..<20 {
        // Every other turn is what a tool found.
        let found = (0..<12).map { "line \($0) of file \(turn): let value = \($0 * turn)\n" }.joined()
        if turn % 2 == 1, let call = messages.last?["tool_calls"]?.array?.first?["id"] {
          messages.append(["role": "tool", "tool_call_id": call, "content": .string(found)])
        } else {
          messages.append(["role": "user", "content": .string("Change this, please.\n" + found)])
        }
        let answer = try node.post("/v1/chat/completions", Self.body(messages))
        try #require(answer.status == 200, "turn \(turn): \(answer.body)")
        let object = try JSONText.parse(Array(answer.body.utf8))
        let usage = try #require(object["usage"])
        prompt += try #require(usage["prompt_tokens"]?.integer)
        cached += try #require(usage["prompt_tokens_details"]?["cached_tokens"]?.integer)
        messages.append(try #require(object["choices"]?.array?.first?["message"]))
        // Somebody else.
        _ = try node.post("/v1/completions", #"{"model":"tiny","prompt":"turn \#(turn):","max_tokens":3}"#)
      }
      let share = Double(cached) / Double(prompt)
      print(
        String(
          format: "a session of 20 turns: %d of %d prompt tokens cached, %.1f %%", cached, prompt, 100 * share
        ))
      #expect(share >= 0.9)
    }
  }
}
