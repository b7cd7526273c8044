// Gemma4.swift: <|tool_call>call:NAME{key:<|"|>text<|"|>,other:3}<tool_call|>, as Gemma 4 writes it.

extension ToolFormat {
  static let gemma4 = ToolFormat(
    name: "gemma4", reasoning: .thoughtChannel,
    shape: CallShape(
      openers: ["<|tool_call>"],
      opening: [.text("<|tool_call>"), .space, .text("call:")],
      calls: [[.name, .gemma]],
      closing: [.maybe("<tool_call|>")]),
    isNamed: { $0.contains("<|tool_call>") })
}
