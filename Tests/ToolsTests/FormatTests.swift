// FormatTests.swift: each format on a few answers of its own: a call between texts, two calls, a
// spoiled call, a mention, a cut.

import JSON
import TestSettings
import Testing

@testable import Tools

struct FormatCase: Sendable, CustomTestStringConvertible {
  let format: String
  let text: String
  var content = ""
  var reasoning = ""
  var calls: [(name: String, arguments: String)] = []
  var isCut = false
  var prompt = ""
  var offersTools = true

  var testDescription: String { "\(format): \(text.prefix(60))" }
}

private let tools = [
  ToolDefinition(
    name: "add",
    parameters: .object([
      (
        key: "properties",
        value: .object([
          (key: "a", value: .object([(key: "type", value: "integer")])),
          (key: "note", value: .object([(key: "type", value: "string")])),
          (
            key: "maybe",
            value: .object([
              (
                key: "anyOf",
                value: .array([
                  .object([(key: "type", value: "string")]), .object([(key: "type", value: "null")]),
                ])
              )
            ])
          ),
        ])
      )
    ])),
  ToolDefinition(name: "ping"),
]

private let cases: [FormatCase] = [
  FormatCase(
    format: "qwen-xml",
    text:
      "Well.\n<tool_call>\n<function=add>\n<parameter=a>\n3\n</parameter>\n<parameter=note>\n4\n</parameter>\n"
      + "</function>\n</tool_call>\nDone.",
    content: "Well.\nDone.", calls: [("add", #"{"a":3,"note":"4"}"#)]),
  FormatCase(
    format: "qwen-xml",
    text:
      "<tool_call><function=add><parameter=note>a</parameter> b\n</parameter><parameter=maybe>null</parameter>"
      + "</function></tool_call>",
    calls: [("add", #"{"note":"a</parameter> b","maybe":null}"#)]),
  FormatCase(
    format: "qwen-xml", text: "<tool_call>\n<function=add>\n<parameter=a\n3",
    content:
      "<tool_call>\n<function=add>\n<parameter=a\n3", isCut: true),
  FormatCase(
    format: "hermes-json",
    text: #"<think>So.</think><tool_call>{"name":"add","arguments":{"a":1,"a":2}}</tool_call>"#
      + #"<tool_call>{"name":"ping"}</tool_call>"#,
    reasoning: "So.", calls: [("add", #"{"a":2}"#), ("ping", "{}")]),
  FormatCase(
    format: "hermes-json", text: #"<tool_call>{"name":"add","arguments":[1]}</tool_call>"#,
    content: #"<tool_call>{"name":"add","arguments":[1]}</tool_call>"#),
  FormatCase(
    format: "hermes-json", text: #"Hm.<tool_call>{"name":"ping","arguments":{}}"#, reasoning: "Hm.",
    calls: [("ping", "{}")], prompt: "<think>\n"),
  FormatCase(
    format: "hermes-json", text: #"Hm <tool_call>{"name":"ping"}</tool_call> no.</think>Yes."#,
    content: "Yes.",
    reasoning: #"Hm <tool_call>{"name":"ping"}</tool_call> no."#, prompt: "<think>\n"),
  FormatCase(
    format: "harmony",
    text: "<|channel|>analysis<|message|>A.<|end|><|start|>assistant<|channel|>commentary to=functions.add "
      + #"<|constrain|>json<|message|>{"a":1}<|call|>"#,
    reasoning: "A.", calls: [("add", #"{"a":1}"#)]),
  FormatCase(format: "harmony", text: "No header at all.", content: "No header at all."),
  FormatCase(
    format: "harmony", text: " to=functions.add<|message|>{}", content: "to=functions.add<|message|>{}",
    offersTools: false),
  FormatCase(
    format: "gemma4",
    text: #"<|channel>thought"#
      + "\nA.\n<channel|>Text<|tool_call>call:add{a:1,note:<|\"|>x}y<|\"|>}<tool_call|>",
    content: "Text", reasoning: "A.", calls: [("add", #"{"a":1,"note":"x}y"}"#)]),
  FormatCase(
    format: "gemma4", text: "<|tool_call>call:add{a:oops}<tool_call|>",
    content: "<|tool_call>call:add{a:oops}<tool_call|>"),
  FormatCase(
    format: "atem",
    text: " to=user<|message|>Hi.<|eom|><|start|>assistant to=add<|message|><atem:function_calls>\n"
      + "<atem:invoke name=\"add\">\n<atem:parameter name=\"a\">1</atem:parameter>\n</atem:invoke>\n"
      + "</atem:function_calls>",
    content: "Hi.", calls: [("add", #"{"a":1}"#)]),
  FormatCase(
    format: "mistral-list",
    text: #"[TOOL_CALLS] [{"name":"add","arguments":{"a":1}},{"name":"ping","arguments":{}}]"#,
    calls: [("add", #"{"a":1}"#), ("ping", "{}")]),
  FormatCase(
    format: "mistral-list", text: #"[TOOL_CALLS][{"name":"ping","arguments":{}},{"nam"#, content: #",{"nam"#,
    calls: [("ping", "{}")], isCut: true),
  FormatCase(
    format: "mistral-args", text: #"[THINK]A.[/THINK][TOOL_CALLS]add[CALL_ID]abcdefghi[ARGS]{"a":1} then"#,
    content: "then", reasoning: "A.", calls: [("add", #"{"a":1}"#)]),
  FormatCase(format: "mistral-args", text: "Use [TOOL_CALLS] here.", content: "Use [TOOL_CALLS] here."),
  FormatCase(
    format: "glm",
    text: "<tool_call>add\n<arg_key>note</arg_key>\n<arg_value>true</arg_value>\n<arg_key>a</arg_key>\n"
      + "<arg_value>5</arg_value>\n</tool_call><tool_call>ping</tool_call>",
    calls: [("add", #"{"note":"true","a":5}"#), ("ping", "{}")]),
  FormatCase(format: "glm", text: "Say <tool_call> twice.", content: "Say <tool_call> twice."),
  FormatCase(
    format: "invoke",
    text: "<minimax:tool_call>\n<invoke name=\"add\">\n<parameter name=\"a\">1</parameter>\n</invoke>\n"
      + "<invoke name=\"ping\">\n</invoke>\n</minimax:tool_call>",
    calls: [("add", #"{"a":1}"#), ("ping", "{}")]),
  FormatCase(
    format: "dsml",
    text: "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"add\">\n<｜DSML｜parameter name=\"a\" string=\"true\">1"
      + "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
    calls: [("add", #"{"a":"1"}"#)]),
  FormatCase(
    format: "python-like",
    text: #"<|tool_call_start|>[add(a=1, note='it\'s', maybe=None), ping()]<|tool_call_end|>"#,
    calls: [("add", #"{"a":1,"note":"it's","maybe":null}"#), ("ping", "{}")]),
  FormatCase(format: "python-like", text: "[one](two) and [ping()]", content: "[one](two) and [ping()]"),
  FormatCase(
    format: "llama-json",
    text: #"{"name": "add", "parameters": {"a": 1}}; {"name": "ping", "parameters": {}}"#,
    calls: [("add", #"{"a":1}"#), ("ping", "{}")]),
  FormatCase(format: "llama-json", text: #"{"name": "Bob"}"#, content: #"{"name": "Bob"}"#),
  FormatCase(
    format: "deepseek-tags",
    text: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": 1}\n```"
      + "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>ping<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    calls: [("add", #"{"a":1}"#), ("ping", "{}")]),
  FormatCase(
    format: "granite3", text: #"Now.<|tool_call|>[{"name": "add", "arguments": {"a": 1}}]"#, content: "Now.",
    calls: [("add", #"{"a":1}"#)]),
  FormatCase(
    format: "command-r",
    text: "<|START_THINKING|>A.<|END_THINKING|><|START_ACTION|>[\n"
      + #"    {"tool_call_id": "0", "tool_name": "add", "parameters": {"a": 1}}"# + "\n]<|END_ACTION|>",
    reasoning: "A.", calls: [("add", #"{"a":1}"#)]),
  FormatCase(
    format: "command-r", text: "<|START_RESPONSE|>Action: none.<|END_RESPONSE|>", content: "Action: none."),
  FormatCase(
    format: "kimi",
    text:
      "<|tool_calls_section_begin|><|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{\"a\":1}"
      + "<|tool_call_end|><|tool_calls_section_end|>",
    calls: [("add", #"{"a":1}"#)]),
]

@Suite struct FormatTests {
  @Test(arguments: cases)
  func anAnswerIsReadWholeAndInPieces(_ wanted: FormatCase) throws {
    let format = try #require(ToolFormat.named(wanted.format))
    for pieces in [nil, 1, 2, 3, 7] {
      let got = Collected(
        wanted.text, pieces: pieces, format: format, reasoning: format.reasoning,
        tools: wanted.offersTools ? tools : [], prompt: wanted.prompt, isCut: wanted.isCut)
      #expect(got.content == wanted.content)
      #expect(got.reasoning == wanted.reasoning)
      #expect(got.calls == wanted.calls.map { Collected.Call(name: $0.name, arguments: $0.arguments) })
      #expect(got.ending == (wanted.isCut ? .length : wanted.calls.isEmpty ? .stop : .toolCalls))
    }
  }

  @Test func everyFormatHasACaseAndANameOfItsOwn() {
    let names = ToolFormat.all.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(Set(cases.map(\.format)) == Set(names))
  }

  @Test func aTemplateNamesItsFormat() {
    let marks = [
      "<function=": "qwen-xml", "<tool_call>": "hermes-json", "<|channel|>x<|message|>": "harmony",
      "<|tool_call>": "gemma4", "<atem:function_calls>": "atem", "[TOOL_CALLS]": "mistral-list",
      "[TOOL_CALLS][ARGS]": "mistral-args", "<tool_call><arg_key>": "glm", "<minimax:tool_call>": "invoke",
      "｜DSML｜": "dsml", "<|tool_call_start|>": "python-like", "<|python_tag|>": "llama-json",
      "<｜tool▁calls▁begin｜>": "deepseek-tags", "<|tool_call|>": "granite3", "<|START_ACTION|>": "command-r",
      "<|tool_calls_section_begin|>": "kimi",
    ]
    #expect(marks.count == ToolFormat.all.count)
    for (mark, name) in marks { #expect(ToolFormat.chosen(by: "{{ \(mark) }}")?.name == name) }
    #expect(ToolFormat.chosen(by: "{{ messages }}") == nil)
    #expect(ToolFormat.reasoning(in: "x </think>") == .think)
    #expect(ToolFormat.reasoning(in: "x") == nil)
  }

  @Test func anAnswerWithoutAFormatIsItsText() {
    let text = " \n A <tool_call>{}</tool_call> <think>b</think> \n"
    let got = Collected(text, pieces: 1, format: nil, reasoning: nil, tools: tools)
    #expect(got.content == text)
    #expect(got.ending == .stop)
  }

  @Test func aTextFullOfOpeningsIsKept() throws {
    for name in ToolFormat.all.map(\.name) {
      let format = try #require(ToolFormat.named(name))
      let openings =
        format.shape.openers + format.shape.openersAtStart
        + format.shape.opening.compactMap { part in
          if case .text(let marker) = part { return marker }
          return nil
        }
      let unit = openings.map(\.text).joined() + "{[(\"'"
      let text = String(repeating: unit, count: 20_000 / max(1, unit.count))
      let got = Collected(text, pieces: 5, format: format, reasoning: format.reasoning, tools: tools)
      #expect(got.calls.isEmpty)
      #expect(trimmingSpace(got.content + got.reasoning) == trimmingSpace(text))
    }
  }
}
