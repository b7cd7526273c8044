// FamilyTests.swift: a call in each format that models write, through a node's door: whole, streamed,
// demanded, and under a strict schema. The model is scripted, so the call is known. Start at calls.
import Foundation
import Fuzzing
import JSON
import Node
import Testing
import Tools

@Suite(.serialized) struct FamilyTests {
  private static let tool: JSONValue = [
    "name": "get_weather",
    "parameters": [
      "type": "object", "properties": ["city": ["type": "string"]], "required": ["city"],
      "additionalProperties": false,
    ],
  ]

  /// The calls and the content of a chat's answer.
  private static func chat(
    _ node: TalkingNode, _ more: [JSONValue.Member], strict: Bool = false
  ) throws -> (calls: [[String?]], content: String, finish: String?, body: String) {
    var function = tool.members ?? []
    if strict { function.append((key: "strict", value: true)) }
    let request: [JSONValue.Member] =
      [
        (key: "model", value: "tiny"), (key: "temperature", value: 0), (key: "max_tokens", value: 300),
        (key: "messages", value: [["role": "user", "content": "Weather in Paris?"]]),
        (key: "tools", value: [["type": "function", "function": .object(function)]]),
      ] + more
    let answer = try node.post(
      "/v1/chat/completions", String(decoding: JSONWriter.bytes(.object(request)), as: UTF8.self))
    var calls: [[String?]] = []
    var content = ""
    var finish: String?
    for choice in objects(of: answer).compactMap({ $0["choices"]?.array?.first }) {
      finish = choice["finish_reason"]?.string ?? finish
      guard let message = choice["message"] ?? choice["delta"] else { continue }
      content += message["content"]?.string ?? ""
      for call in message["tool_calls"]?.array ?? [] {
        let index = call["index"]?.integer ?? calls.count
        while calls.count <= index { calls.append([nil, ""]) }
        calls[index][0] = call["function"]?["name"]?.string ?? calls[index][0]
        calls[index][1] = (calls[index][1] ?? "") + (call["function"]?["arguments"]?.string ?? "")
      }
    }
    return (calls, content, finish, answer.body)
  }

  @Test(
    "every format's call comes whole, streamed, demanded and under a schema",
    arguments: ScriptedModel.families.map(\.format))
  func calls(_ format: String) throws {
    let model = try #require(ScriptedModel.named(format))
    let wanted: [[String?]] = [["get_weather", "{\"city\":\"Paris\"}"]]
    try TalkingNode.with(model) { node in
      let ways: [(name: String, more: [JSONValue.Member], strict: Bool)] = [
        ("whole", [], false), ("streamed", [(key: "stream", value: true)], false),
        ("required", [(key: "tool_choice", value: "required")], false),
        (
          "named", [(key: "tool_choice", value: ["type": "function", "function": ["name": "get_weather"]])],
          false
        ),
        ("strict", [], true), ("strict, required", [(key: "tool_choice", value: "required")], true),
      ]
      for way in ways {
        let found = try Self.chat(node, way.more, strict: way.strict)
        #expect(found.calls == wanted, "\(format), \(way.name): \(found.body.prefix(1_200))")
        #expect(found.finish == "tool_calls", "\(format), \(way.name)")
      }
    }
  }

  @Test func everyFormatHasAScriptedModel() {
    #expect(Set(ScriptedModel.families.map(\.format)) == Set(ToolFormat.all.map(\.name)))
  }
}
