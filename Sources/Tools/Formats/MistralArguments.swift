// MistralArguments.swift: [TOOL_CALLS]NAME[ARGS]{...}, with [CALL_ID]ID in some, as Devstral, Mistral
// Small 3.2 and Ministral 3 write it.

extension ToolFormat {
  static let mistralArguments = ToolFormat(
    name: "mistral-args", reasoning: .bracketed,
    shape: CallShape(
      openers: ["[TOOL_CALLS]"],
      opening: [.text("[TOOL_CALLS]"), .space],
      calls: [[.name, .labelled("[CALL_ID]"), .text("[ARGS]"), .space, .arguments]]),
    isNamed: { $0.contains("[TOOL_CALLS]") && $0.contains("[ARGS]") })
}
