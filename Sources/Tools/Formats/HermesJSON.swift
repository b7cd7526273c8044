// HermesJSON.swift: <tool_call>{"name": ..., "arguments": {...}}</tool_call>, as Hermes, Qwen2.5,
// Qwen3 and Granite 4 write it.

extension ToolFormat {
  package static let hermesJSON = ToolFormat(
    name: "hermes-json", reasoning: .think,
    shape: CallShape(
      openers: ["<tool_call>"],
      opening: [.text("<tool_call>"), .space],
      calls: [[.namedObject]],
      closing: [.maybe("</tool_call>")]),
    isNamed: { $0.contains("<tool_call>") })
}
