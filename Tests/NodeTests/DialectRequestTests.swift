import Foundation
import JSON
import TestSettings
import Testing

@testable import Node

@Suite struct DialectRequestTests {
  static let good: [(String, JSONValue)] = [
    ("model", "m"), ("messages", .array([["role": "user", "content": "hi"]])),
  ]

  func error(_ extra: [(String, JSONValue)], chat: Bool = true) -> APIError? {
    var members = chat ? Self.good : [("model", "m"), ("prompt", "hi")]
    for (name, value) in extra {
      members.removeAll { $0.0 == name }
      members.append((name, value))
    }
    let value = JSONValue.object(members.map { (key: $0.0, value: $0.1) })
    return chat ? RequestCheck.chat(value) : RequestCheck.completion(value)
  }

  @Test func thePlainestRequestIsTaken() {
    #expect(error([]) == nil)
    #expect(error([], chat: false) == nil)
  }

  /// RELIABILITY: every numeric field with -1, 0, max+1, 1e308, "5", 1.5, 2^63.
  @Test(arguments: [
    ("temperature", ["-1", "3", "1e308", "\"5\"", "9223372036854775808"]),
    ("top_p", ["-1", "0", "2", "1e308", "\"5\"", "1.5", "9223372036854775808"]),
    ("min_p", ["-1", "2", "1e308", "\"5\"", "1.5", "9223372036854775808"]),
    ("top_k", ["-2", "2147483648", "1e308", "\"5\"", "1.5", "9223372036854775808"]),
    ("presence_penalty", ["-3", "3", "1e308", "\"5\"", "9223372036854775808"]),
    ("frequency_penalty", ["-3", "3", "1e308", "\"5\"", "9223372036854775808"]),
    ("repetition_penalty", ["-1", "0", "101", "1e308", "\"5\"", "9223372036854775808"]),
    ("max_tokens", ["-1", "0", "1048577", "1e308", "\"5\"", "1.5", "9223372036854775808"]),
    ("max_completion_tokens", ["-1", "0", "1048577", "1e308", "\"5\"", "1.5", "9223372036854775808"]),
    ("n", ["-1", "0", "2", "1e308", "\"5\"", "1.5", "9223372036854775808"]),
    ("seed", ["-1", "1e308", "\"5\"", "1.5", "18446744073709551616"]),
    ("top_logprobs", ["-1", "21", "1e308", "\"5\"", "1.5", "9223372036854775808"]),
  ]) func everyNumberHasARange(field: String, values: [String]) throws {
    for text in values {
      let value = try JSONText.parse(Array(text.utf8))
      var extra = [(field, value)]
      if field == "top_logprobs" { extra.append(("logprobs", true)) }
      let found = error(extra)
      #expect(found?.status == 400, "\(field) = \(text)")
      #expect(found?.parameter == field, "\(field) = \(text)")
      #expect(found?.message.contains("'\(field)'") ?? false, "\(field) = \(text): \(found?.message ?? "")")
    }
  }

  @Test(arguments: [
    "tool_choice", "functions", "audio", "modalities", "reasoning_effort", "web_search_options",
  ]) func whatIsNotSupportedIsRefusedByName(field: String) {
    let found = error([(field, "x")])
    #expect(found?.code == "unsupported_parameter")
    #expect(found?.parameter == field)
  }

  /// What changes nothing that an answer has to hold is taken, and named in the answer.
  @Test func whatIsLeftOutOfAccountIsNamed() throws {
    func ignored(_ extra: [(String, JSONValue)], path: String = "/v1/chat/completions") throws -> [String] {
      let value = JSONValue.object((Self.good + extra).map { (key: $0.0, value: $0.1) })
      return try #require(Dialect.all.first { $0.path == path }).read(value).request.ignored
    }
    #expect(try ignored([]) == [])
    #expect(try ignored([("store", false), ("metadata", [:]), ("user", ""), ("service_tier", "auto")]) == [])
    #expect(try ignored([("nonsense", 1), ("store", true)]) == ["store", "nonsense"])
    #expect(
      try ignored([("user", "u"), ("metadata", ["a": "b"]), ("prediction", ["type": "content"])])
        == ["prediction", "metadata", "user"])
    #expect(try ignored([("verbosity", "low"), ("parallel_tool_calls", false)]) == ["verbosity"])
    let tools: JSONValue = [["type": "function", "function": ["name": "f"]]]
    #expect(
      try ignored([("tools", tools), ("parallel_tool_calls", false)]) == ["parallel_tool_calls"])
  }

  @Test func messagesAreCheckedToTheLastPart() {
    func messages(_ list: JSONValue) -> APIError? { error([("messages", list)]) }
    #expect(messages([])?.parameter == "messages")
    #expect(messages([["role": "robot", "content": "x"]])?.parameter == "messages[0].role")
    #expect(messages([["role": "user"]])?.parameter == "messages[0].content")
    #expect(messages([["role": "user", "content": 5]])?.parameter == "messages[0].content")
    #expect(
      messages([["role": "user", "content": [["type": "image_url", "image_url": "x"]]]])?.parameter
        == "messages[0].content[0].type")
    #expect(messages([["role": "user", "content": "x", "weight": "y"]]) == nil)
    #expect(messages([["role": "user", "content": "x", "images": ["y"]]])?.parameter == "messages[0].images")
    let call: JSONValue = ["id": "a", "type": "function", "function": ["name": "f", "arguments": "{}"]]
    #expect(
      messages([
        ["role": "assistant", "content": nil, "tool_calls": [call]],
        ["role": "tool", "content": "x", "tool_call_id": "a"],
      ]) == nil)
    #expect(messages([["role": "tool", "content": "x", "tool_call_id": "a"]])?.parameter == "messages[0]")
    #expect(
      messages([["role": "assistant", "content": nil, "tool_calls": [["type": "custom", "custom": [:]]]]])?
        .parameter == "messages[0].tool_calls[0].type")
    #expect(
      messages([["role": "assistant", "tool_calls": [["function": ["arguments": "{}"]]]]])?.parameter
        == "messages[0].tool_calls[0].function.name")
    #expect(messages([["role": "developer", "content": [["type": "text", "text": "x"]]]]) == nil)
  }

  @Test func fieldsThatNeedOthersSaySo() {
    #expect(error([("top_logprobs", 3)])?.parameter == "top_logprobs")
    #expect(error([("stream_options", ["include_usage": true])])?.parameter == "stream_options")
    #expect(error([("max_tokens", 3), ("max_completion_tokens", 4)])?.parameter == "max_tokens")
    #expect(error([("response_format", ["type": "json_object"])]) == nil)
    #expect(error([("response_format", ["type": "yaml"])])?.parameter == "response_format.type")
    #expect(error([("response_format", ["type": "json_schema"])])?.parameter == "response_format.json_schema")
    // A name without a schema asks for any object, as a format does without one.
    #expect(error([("response_format", ["type": "json_schema", "json_schema": ["name": "n"]])]) == nil)
    // A call can be demanded only of tools that are offered.
    let tools: JSONValue = [["type": "function", "function": ["name": "f", "strict": true]]]
    let named: JSONValue = ["type": "function", "function": ["name": "g"]]
    #expect(error([("tool_choice", "required")])?.parameter == "tool_choice")
    #expect(error([("tools", tools), ("tool_choice", "required")]) == nil)
    #expect(error([("tools", tools), ("tool_choice", named)])?.parameter == "tool_choice")
    #expect(error([("guided_regex", "a+"), ("guided_choice", ["a"])])?.parameter == "guided_choice")
    #expect(error([("guided_json", "{")])?.parameter == "guided_json")
    #expect(error([("grammar", "root ::= \"a\""), ("ignore_eos", true)])?.parameter == "ignore_eos")
    #expect(error([("structured_outputs", ["lark": "x"])])?.parameter == "structured_outputs.lark")
    for field in ["grammar", "guided_grammar", "guided_regex", "regex"] {
      #expect(error([(field, "x")]) == nil)
      #expect(error([(field, 1)], chat: false)?.parameter == field)
    }
    #expect(error([("response_format", ["type": "text"])]) == nil)
    #expect(error([("stop", .array(Array(repeating: "x", count: 17)))])?.parameter == "stop")
    #expect(error([("logit_bias", ["x": 1])])?.parameter == "logit_bias")
    #expect(error([("logit_bias", ["5": 101])])?.parameter == "logit_bias")
    #expect(error([("hotpot", ["price": "-1"])])?.parameter == "hotpot.price")
    #expect(error([("hotpot", ["priority": 10])])?.parameter == "hotpot.priority")
    #expect(error([("hotpot", ["receipt": "inline"])]) == nil)
    #expect(error([("hotpot", ["receipt": "yes"])])?.parameter == "hotpot.receipt")
    #expect(error([("hotpot", ["nonce": .string(String(repeating: "5a", count: 32))])]) == nil)
    for nonce in [JSONValue.string(String(repeating: "5A", count: 32)), "5a", "", 7] {
      #expect(error([("hotpot", ["nonce": nonce])])?.parameter == "hotpot.nonce")
    }
  }

  @Test func completionsTakeTextsAndTokenIds() {
    #expect(error([("prompt", .array([1, 2, 3]))], chat: false) == nil)
    #expect(error([("prompt", .array(["one"]))], chat: false) == nil)
    #expect(error([("prompt", .array([[1, 2, 3]]))], chat: false) == nil)
    #expect(error([("prompt", .array([[1], [2]]))], chat: false)?.parameter == "prompt[0]")
    #expect(error([("prompt", .array(["one", "two"]))], chat: false)?.parameter == "prompt[0]")
    #expect(error([("prompt", .array([-1]))], chat: false)?.parameter == "prompt[0]")
    #expect(error([("echo", true)], chat: false) == nil)
    #expect(error([("suffix", "end")], chat: false) == nil)
    for (field, with) in [
      ("echo", ("logprobs", 1)), ("echo", ("suffix", "end")), ("suffix", ("prompt", [1, 2])),
    ] as [(String, (String, JSONValue))] {
      let found = error([(field, field == "echo" ? true : "end"), with], chat: false)
      #expect(found?.parameter == field && found?.code == "unsupported_parameter", "\(field): \(with)")
    }
    #expect(error([("best_of", 2)], chat: false)?.parameter == "best_of")
  }

  /// Every field that asks for nothing, and beside it a value that would change the answer.
  @Test(arguments: [
    ("functions", ["[]"], ["[{\"name\":\"f\"}]"]),
    ("tool_choice", ["\"none\"", "\"auto\""], ["\"sometimes\""]),
    ("function_call", ["\"none\"", "\"auto\""], ["{\"name\":\"f\"}"]),
    ("store", ["false", "true"], []),
    ("metadata", ["{}", "{\"run\":\"7\"}"], ["[1]", "{\"run\":7}"]),
    ("service_tier", ["\"auto\"", "\"flex\""], []),
    ("modalities", ["[\"text\"]"], ["[\"text\",\"audio\"]", "[]"]),
    ("reasoning_effort", ["\"none\"", "\"low\"", "\"medium\""], ["\"enormous\""]),
    ("verbosity", ["\"medium\"", "\"low\""], []),
    ("user", ["\"u\"", "\"\""], ["5"]),
    ("safety_identifier", ["\"s\""], ["5"]),
    ("prompt_cache_key", ["\"k\""], ["5"]),
    ("chat_template_kwargs", ["{}", "{\"enable_thinking\":false}"], []),
    ("prediction", ["{\"type\":\"content\",\"content\":\"x\"}"], []),
    ("audio", [], ["{\"voice\":\"alloy\"}"]),
    ("web_search_options", [], ["{}"]),
    ("min_tokens", ["0"], ["1"]),
    ("skip_special_tokens", ["true"], ["false"]),
    ("length_penalty", ["1", "1.0"], ["2"]),
    ("response_format", ["{\"type\":\"text\"}"], []),
    ("logit_bias", ["{}"], []),
    ("stop", ["[]"], []),
    ("n", ["1"], []),
    ("stream_options", ["{}", "{\"include_usage\":false}", "{\"include_obfuscation\":false}"], []),
    ("top_logprobs", ["0"], []),
    ("logprobs", ["false"], []),
  ]) func whatAsksForNothingIsTaken(field: String, neutral: [String], asking: [String]) throws {
    for text in neutral + ["null"] {
      let value = try JSONText.parse(Array(text.utf8))
      #expect(error([(field, value)]) == nil, "\(field): \(text)")
    }
    for text in asking {
      let found = error([(field, try JSONText.parse(Array(text.utf8)))])
      #expect(found?.status == 400 && found?.type.rawValue == "invalid_request_error", "\(field): \(text)")
      #expect(found?.parameter == field && found?.code == "unsupported_parameter", "\(field): \(text)")
    }
  }

  @Test func completionsHaveNeutralFieldsToo() {
    for (field, value) in [
      ("echo", false), ("suffix", ""), ("suffix", nil), ("best_of", 1), ("n", 1), ("user", "u"),
      ("logit_bias", .object([])), ("seed", nil), ("logprobs", nil), ("stream_options", nil),
    ] as [(String, JSONValue)] {
      #expect(error([(field, value)], chat: false) == nil, "\(field)")
    }
    // What only chat has is a field that nobody knows.
    #expect(error([("tools", [])], chat: false) == nil)
  }

  @Test func messagesMayCarryWhatChangesNothing() throws {
    func messages(_ text: String) throws -> APIError? {
      error([("messages", try JSONText.parse(Array(text.utf8)))])
    }
    let taken = [
      #"[{"role":"user","content":"hi","name":"bob"}]"#,
      #"[{"role":"user","content":"hi"},{"role":"assistant","content":null},{"role":"user","content":"x"}]"#,
      #"[{"role":"assistant","content":"a","refusal":null,"annotations":[],"tool_calls":[],"function_call":null,"audio":null}]"#,
      #"[{"role":"assistant","content":"a","reasoning_content":"","tool_calls":null}]"#,
      #"[{"role":"assistant","content":"a","reasoning_content":"so"}]"#,
      #"[{"role":"user","content":[{"type":"text","text":"a","detail":1}]}]"#,
      #"[{"role":"system","content":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]},{"role":"user","content":"x"}]"#,
    ]
    for text in taken { #expect(try messages(text) == nil, "\(text)") }
    let refused: [(String, String)] = [
      (
        #"[{"role":"assistant","content":null,"tool_calls":[{"id":"c"}]}]"#,
        "messages[0].tool_calls[0].function"
      ),
      (#"[{"role":"user","content":null}]"#, "messages[0].content"),
      (#"[{"role":"assistant","content":"a","reasoning_content":5}]"#, "messages[0].reasoning_content"),
      (#"[{"role":"user","content":"a","name":5}]"#, "messages[0].name"),
      (#"[{"role":"user","content":[{"type":"image_url"}]}]"#, "messages[0].content[0].type"),
    ]
    for (text, parameter) in refused {
      #expect(try messages(text)?.parameter == parameter, "\(text)")
    }
  }

  static let recorded: String? = ReferenceFolder.path("vectors/clients")

  /// What unmodified clients send, where it asks for no tool and no format: all of it is taken.
  @Test(
    .enabled(if: recorded != nil, "the reference folder with vectors/clients is absent"))
  func plainRequestsOfRecordedClientsAreTaken() throws {
    var taken = 0
    var refused: [String: Int] = [:]
    let folder = try #require(Self.recorded)
    for name in try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    where name.hasSuffix(".json") {
      let bytes = try Data(contentsOf: URL(filePath: folder + "/" + name))
      guard let request = try JSONText.parse(Array(bytes))["request"],
        case .string(let path)? = request["path"],
        let body = request["body"]
      else { continue }
      let found: APIError?
      switch path {
      case "/v1/chat/completions": found = RequestCheck.chat(body)
      case "/v1/completions": found = RequestCheck.completion(body)
      default: continue
      }
      guard let found else {
        taken += 1
        continue
      }
      // Refused is only what would change the answer, and by its name.
      let asking = [
        "tools", "functions", "response_format", "n", "echo", "structured_outputs", "regex",
        "web_search_options", "tool_choice",
      ]
      let field = found.parameter ?? ""
      let top = String(field.prefix { $0 != "." && $0 != "[" })
      #expect(
        asking.contains(top) || field.hasSuffix(".role") || field.contains("tool_calls")
          || field.contains(".type"), "\(name): \(found)")
      refused[top, default: 0] += 1
    }
    print("recorded requests: \(taken) taken; refused by name: \(refused.sorted { $0.key < $1.key })")
    #expect(taken > 40)
  }
}
