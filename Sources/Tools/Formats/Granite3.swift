// Granite3.swift: <|tool_call|>[{"name": ..., "arguments": {...}}, ...], as Granite 3 writes it.

extension ToolFormat {
  static let granite3 = ToolFormat(
    name: "granite3", reasoning: .think,
    shape: CallShape(
      openers: ["<|tool_call|>"],
      opening: [.text("<|tool_call|>"), .space, .text("["), .space],
      calls: [[.namedObject]], separators: [","], closing: [.text("]")]),
    isNamed: { $0.contains("<|tool_call|>") })
}
