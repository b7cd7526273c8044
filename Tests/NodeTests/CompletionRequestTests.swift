import Intake
import Node
import Testing

@Suite struct CompletionRequestTests {
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
    "tools", "tool_choice", "functions", "parallel_tool_calls", "audio", "modalities", "prediction", "store",
    "service_tier", "reasoning_effort", "web_search_options", "nonsense",
  ]) func whatIsNotSupportedIsRefusedByName(field: String) {
    let found = error([(field, "x")])
    #expect(found?.code == "unsupported_parameter")
    #expect(found?.parameter == field)
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
    #expect(messages([["role": "user", "content": "x", "name": "y"]])?.parameter == "messages[0].name")
    #expect(messages([["role": "developer", "content": [["type": "text", "text": "x"]]]]) == nil)
  }

  @Test func fieldsThatNeedOthersSaySo() {
    #expect(error([("top_logprobs", 3)])?.parameter == "top_logprobs")
    #expect(error([("stream_options", ["include_usage": true])])?.parameter == "stream_options")
    #expect(error([("max_tokens", 3), ("max_completion_tokens", 4)])?.parameter == "max_tokens")
    #expect(error([("response_format", ["type": "json_object"])])?.parameter == "response_format.type")
    #expect(error([("response_format", ["type": "text"])]) == nil)
    #expect(error([("stop", .array(Array(repeating: "x", count: 17)))])?.parameter == "stop")
    #expect(error([("logit_bias", ["x": 1])])?.parameter == "logit_bias")
    #expect(error([("logit_bias", ["5": 101])])?.parameter == "logit_bias")
    #expect(error([("hotpot", ["price": "-1"])])?.parameter == "hotpot.price")
    #expect(error([("hotpot", ["priority": 10])])?.parameter == "hotpot.priority")
  }

  @Test func completionsTakeTextsAndTokenIds() {
    #expect(error([("prompt", .array([1, 2, 3]))], chat: false) == nil)
    #expect(error([("prompt", .array(["one"]))], chat: false) == nil)
    #expect(error([("prompt", .array(["one", "two"]))], chat: false)?.parameter == "prompt[0]")
    #expect(error([("prompt", .array([-1]))], chat: false)?.parameter == "prompt[0]")
    #expect(error([("echo", true)], chat: false)?.code == "unsupported_parameter")
    #expect(error([("best_of", 2)], chat: false)?.parameter == "best_of")
  }
}
