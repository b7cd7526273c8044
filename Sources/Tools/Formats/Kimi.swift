// Kimi.swift: <|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{...}<|tool_call_end|>, as
// Kimi K2 writes it. The name with its number is the model's own name for the call.

extension ToolFormat {
  static let kimi = ToolFormat(
    name: "kimi", reasoning: .think,
    shape: CallShape(
      openers: ["<|tool_calls_section_begin|>"],
      opening: [.text("<|tool_calls_section_begin|>"), .space],
      calls: [
        [
          .text("<|tool_call_begin|>"), .space, .name, .space, .text("<|tool_call_argument_begin|>"), .space,
          .arguments, .space, .text("<|tool_call_end|>"),
        ]
      ],
      closing: [.maybe("<|tool_calls_section_end|>")], namePrefix: "functions.", hasNumberedNames: true),
    isNamed: { $0.contains("tool_calls_section_begin") })
}
