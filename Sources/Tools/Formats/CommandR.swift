// CommandR.swift: <|START_ACTION|>[{"tool_name": ..., "parameters": {...}}, ...]<|END_ACTION|>, as
// Command R7B writes it; Command R+ writes the list in a fence after the word Action.

extension ToolFormat {
  static let commandR = ToolFormat(
    name: "command-r", reasoning: .command,
    shape: CallShape(
      openers: ["<|START_ACTION|>", "Action:"],
      opening: [
        .either(["<|START_ACTION|>", "Action:"]), .space, .maybe("```json"), .space, .text("["), .space,
      ],
      calls: [
        [
          .object(
            names: ["tool_name", "name"], arguments: ["parameters", "arguments"], needsArguments: false)
        ]
      ],
      separators: [","],
      closing: [.text("]"), .space, .maybe("```"), .maybe("<|END_ACTION|>")]),
    silentMarkers: ["<|START_RESPONSE|>", "<|END_RESPONSE|>"],
    isNamed: { $0.contains("<|START_ACTION|>") || ($0.contains("Action:") && $0.contains("tool_name")) })
}
