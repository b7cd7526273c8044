// MistralList.swift: [TOOL_CALLS][{"name": ..., "arguments": {...}, "id": ...}, ...], as Mistral Nemo
// and its contemporaries write it.

extension ToolFormat {
  static let mistralList = ToolFormat(
    name: "mistral-list", reasoning: .bracketed,
    shape: CallShape(
      openers: ["[TOOL_CALLS]"],
      opening: [.text("[TOOL_CALLS]"), .space, .text("["), .space],
      calls: [[.namedObject]], separators: [","], closing: [.text("]")]),
    isNamed: { $0.contains("[TOOL_CALLS]") })
}
