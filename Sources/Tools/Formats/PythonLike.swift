// PythonLike.swift: [NAME(key='text', other=3), ...], as LFM2 writes it between marks of its own and
// small Llama models where an answer begins.

extension ToolFormat {
  static let pythonLike = ToolFormat(
    name: "python-like", reasoning: .think,
    shape: CallShape(
      openers: ["<|tool_call_start|>", "<|python_tag|>["],
      openersAtStart: ["["],
      opening: [.maybe("<|tool_call_start|>"), .maybe("<|python_tag|>"), .space, .text("["), .space],
      calls: [[.name, .space, .python]], separators: [","],
      closing: [.text("]"), .space, .maybe("<|tool_call_end|>")]),
    isNamed: { $0.contains("<|tool_call_start|>") })
}
