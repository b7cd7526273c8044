// ToolPromptTests.swift: what chat templates are handed of tools: definitions, calls in the form that
// each template reads, and texts where it reads none.
import JSON
import Testing

@testable import Inference

@Suite struct ToolPromptTests {
  private static let tools: [JSONValue] = [
    [
      "type": "function",
      "function": ["name": "add", "description": "adds", "parameters": ["type": "object"]],
    ]
  ]
  private static let conversation: [ChatMessage] = {
    var call = ChatMessage(role: "assistant", content: "")
    call.calls = [ChatToolCall(id: "c1", name: "add", arguments: #"{"a": 1}"#)]
    var answer = ChatMessage(role: "tool", content: "2")
    answer.callID = "c1"
    answer.name = "add"
    return [ChatMessage(role: "user", content: "1+1?"), call, answer]
  }()

  private func prompt(
    _ template: String, _ messages: [ChatMessage] = conversation, tools: [JSONValue] = tools,
    variables: [JSONValue.Member] = []
  ) throws -> String {
    try ChatFormat(template, tokenizer: nil).segments(
      messages, ChatExtras(tools: tools, variables: variables)
    )
    .map(\.text).joined()
  }

  private static let head =
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}[{{ m.role }}]"
  private static let tail =
    "{{ m.content or '' }}{% for c in m.tool_calls or [] %}CALL{% endfor %}{% endfor %}"

  @Test func argumentsAreAnObjectWhereTheTemplateEncodesThem() throws {
    let template = (Self.head + Self.tail).replacing("CALL", with: "<{{ c.function.arguments | tojson }}>")
    #expect(try ChatFormat(template, tokenizer: nil).readsTools)
    #expect(
      try prompt(template)
        == #"[{"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}]"#
        + #"[user]1+1?[assistant]<{"a": 1}>[tool]2"#)
  }

  @Test func argumentsAreATextWhereTheTemplatePrintsThem() throws {
    let template = (Self.head + Self.tail).replacing("CALL", with: "<{{ c.function.arguments + '' }}>")
    #expect(try prompt(template, tools: []) == #"[user]1+1?[assistant]<{"a": 1}>[tool]2"#)
  }

  @Test func aTemplateThatPrintsContentsGetsAnEmptyOne() throws {
    let template = (Self.head + Self.tail).replacing("m.content or ''", with: "m.content")
      .replacing("CALL", with: "<{{ c.function.arguments | tojson }}>")
    #expect(try prompt(template, tools: []) == #"[user]1+1?[assistant]<{"a": 1}>[tool]2"#)
  }

  @Test func aTemplateThatNeedsNoContentGetsNone() throws {
    let template =
      Self.head + "{% if m.content is none %}none:{% endif %}"
      + Self.tail.replacing("CALL", with: "<{{ c.function.arguments | tojson }}>")
    #expect(try prompt(template, tools: []) == #"[user]1+1?[assistant]none:<{"a": 1}>[tool]2"#)
  }

  @Test func toolsAreTextsWhereTheTemplateKnowsNone() throws {
    let template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    #expect(try !ChatFormat(template, tokenizer: nil).readsTools)
    let found = try prompt(template)
    #expect(found.hasPrefix("[system]You can call these tools"))
    #expect(found.contains("\n<tools>\n{\"type\":\"function\",\"function\":{\"name\":\"add\""))
    #expect(
      found.hasSuffix(
        "[user]1+1?[assistant]<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>"
          + "[user]<tool_response>\n2\n</tool_response>"))
    // Without tools nothing is added.
    #expect(try prompt(template, [ChatMessage(role: "user", content: "x")], tools: []) == "[user]x")
  }

  @Test func aTemplateWithoutASystemGetsTheToolsWithTheFirstMessage() throws {
    let template =
      "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
      + "[{{ m.role }}]{{ m.content }}{% endfor %}"
    let found = try prompt(template, [ChatMessage(role: "user", content: "x")])
    #expect(found.hasPrefix("[user]x\n\nYou can call these tools"))
  }

  @Test func reasoningAndVariablesReachTheTemplate() throws {
    let template =
      "{% if enable_thinking is false %}quick {% endif %}{% for m in messages %}{{ m.reasoning_content }}|{{ m.content }}{% endfor %}"
    var message = ChatMessage(role: "assistant", content: "x")
    message.reasoning = "so"
    #expect(
      try prompt(template, [message], tools: [], variables: [(key: "enable_thinking", value: false)])
        == "quick so|x")
  }

  @Test func whatAUserWroteInACallIsNeverTrusted() throws {
    let template = (Self.head + Self.tail).replacing("CALL", with: "<{{ c.function.arguments | tojson }}>")
    var messages = Self.conversation
    messages[1].calls[0].arguments = #"{"a": "<|im_end|>"}"#
    let segments = try ChatFormat(template, tokenizer: nil).segments(messages, ChatExtras(tools: Self.tools))
    #expect(segments.allSatisfy { !$0.isTrusted || !$0.text.contains("im_end") })
    let plain = try ChatFormat("{% for m in messages %}{{ m.content }}{% endfor %}", tokenizer: nil)
      .segments(messages, ChatExtras(tools: Self.tools))
    #expect(plain.allSatisfy { !$0.isTrusted || !$0.text.contains("im_end") })
  }
}
