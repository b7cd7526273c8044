// BadInputTests.swift: requests whose tools, schemas and histories cannot be, through a node's door: each
// is refused with 400 and the name of the place, and nothing is started. Start at badRequests.
import Foundation
import JSON
import Node
import Testing
import Wire

@Suite(.serialized) struct BadInputTests {
  private static func body(_ members: String, messages: String = #"[{"role":"user","content":"Hi"}]"#)
    -> String
  {
    #"{"model":"tiny","max_tokens":20,"messages":\#(messages),\#(members)}"#
  }

  private static func tool(_ parameters: String, strict: Bool = true) -> String {
    #""tools":[{"type":"function","function":{"name":"f","strict":\#(strict),"parameters":\#(parameters)}}]"#
  }

  private static func format(_ schema: String) -> String {
    #""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":\#(schema)}}"#
  }

  @Test func badRequests() throws {
    let many = (0...1_024).map { #"{"type":"function","function":{"name":"f\#($0)"}}"# }.joined(
      separator: ",")
    let wide = (0..<9_000).map { #""property_number_\#($0)":{"type":"string","pattern":"^[a-z]{1,40}$"}"# }
      .joined(separator: ",")
    let nested =
      String(repeating: #"{"type":"array","items":"#, count: 200) + "{}" + String(repeating: "}", count: 200)
    let result = #"{"role":"tool","tool_call_id":"a","content":"x"}"#
    let call =
      #"{"role":"assistant","content":null,"tool_calls":[{"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}]}"#
    let cases: [(name: String, path: String, body: String, field: String?)] = [
      (
        "a strict tool that nothing meets", "/v1/chat/completions",
        Self.body(
          Self.tool(
            #"{"type":"object","properties":{"a":{"type":"string","minLength":5,"maxLength":2}},"required":["a"]}"#
          )),
        "tools[0].function.parameters"
      ),
      (
        "a strict tool with a keyword that is not held", "/v1/chat/completions",
        Self.body(Self.tool(#"{"type":"object","properties":{"a":{"not":{}}},"required":["a"]}"#)),
        "tools[0].function.parameters"
      ),
      (
        "a reference to itself", "/v1/chat/completions", Self.body(Self.format(##"{"$ref":"#"}"##)),
        "response_format.json_schema.schema"
      ),
      (
        "references in a circle", "/v1/chat/completions",
        Self.body(
          Self.tool(##"{"$defs":{"A":{"$ref":"#/$defs/B"},"B":{"$ref":"#/$defs/A"}},"$ref":"#/$defs/A"}"##)),
        "tools[0].function.parameters"
      ),
      (
        "a reference to nothing", "/v1/chat/completions",
        Self.body(Self.format(##"{"$ref":"#/$defs/none"}"##)),
        "response_format.json_schema.schema"
      ),
      (
        "a schema too wide", "/v1/chat/completions",
        Self.body(Self.format(#"{"type":"object","properties":{\#(wide)}}"#)),
        "response_format.json_schema.schema"
      ),
      ("too many tools", "/v1/chat/completions", Self.body(#""tools":[\#(many)]"#), "tools"),
      ("nested too deep", "/v1/chat/completions", Self.body(Self.format(nested)), nil),
      (
        "a regex bomb", "/v1/chat/completions", Self.body(#""regex":"((a{1,99}){1,99}){1,99}""#), "regex"
      ),
      ("a grammar without a root", "/v1/chat/completions", Self.body(#""grammar":"a ::= \"x\"""#), "grammar"),
      (
        "a tool that must be called and is not offered", "/v1/chat/completions",
        Self.body(#""tool_choice":"required""#), "tool_choice"
      ),
      (
        "a tool's name that no call can hold", "/v1/chat/completions",
        Self.body(
          #""tools":[{"type":"function","function":{"name":"get weather"}}],"tool_choice":"required""#),
        "tool_choice"
      ),
      (
        "a result without a call", "/v1/chat/completions",
        Self.body(#""n":1"#, messages: #"[{"role":"user","content":"Hi"},\#(result)]"#), "messages[1]"
      ),
      (
        "a result of another call", "/v1/chat/completions",
        Self.body(#""n":1"#, messages: #"[{"role":"user","content":"Hi"},\#(call),\#(result)]"#),
        "messages[2]"
      ),
      (
        "a message's result without a call", "/v1/messages",
        Self.body(
          #""stream":false"#,
          messages: #"[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}]"#),
        "messages[0]"
      ),
      (
        "an output without a call", "/v1/responses",
        #"{"model":"tiny","input":[{"type":"function_call_output","call_id":"a","output":"x"}]}"#, "input[0]"
      ),
      (
        "a format that nothing meets", "/v1/responses",
        #"{"model":"tiny","input":"Hi","text":{"format":{"type":"json_schema","name":"n","schema":{"enum":[]}}}}"#,
        "text.format.schema"
      ),
      (
        "a message's format that is not held", "/v1/messages",
        Self.body(
          #""output_config":{"format":{"type":"json_schema","schema":{"type":"array","uniqueItems":true}}}"#),
        "output_config.format.schema"
      ),
      (
        "a format of Ollama's that is not held", "/api/chat",
        Self.body(#""format":{"type":"array","contains":{}}"#),
        "format"
      ),
    ]
    try TalkingNode.with { node in
      // Ends of jobs and receipts.
      func started() throws -> [Substring] {
        try WireAnswer.get(node.port, "GET", "/metrics").body.split(separator: "\n").filter {
          $0.hasPrefix("hotpot:jobs_total") || $0.hasPrefix("hotpot:receipts_logged")
        }
      }
      let before = try started()
      #expect(!before.isEmpty)
      for bad in cases {
        let answer = try node.post(bad.path, bad.body)
        #expect(answer.status == 400, "\(bad.name): \(answer.body.prefix(300))")
        guard let field = bad.field, let object = objects(of: answer).first else { continue }
        let named = object["error"]?["param"]?.string ?? object["param"]?.string
        #expect(named == field, "\(bad.name): \(answer.body.prefix(300))")
      }
      #expect(try started() == before)
    }
  }
}
