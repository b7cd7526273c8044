// LlamaJSON.swift: {"name": ..., "parameters": {...}} as the whole answer, as Llama 3.1 to 3.3 write
// it, with or without a mark in front. JSON that has no arguments is an answer, and no call.

extension ToolFormat {
  static let llamaJSON = ToolFormat(
    name: "llama-json", reasoning: nil,
    shape: CallShape(
      openers: ["<|python_tag|>{"],
      openersAtStart: ["{"],
      opening: [.maybe("<|python_tag|>"), .space],
      calls: [[.object(names: ["name"], arguments: ["parameters", "arguments"], needsArguments: true)]],
      separators: [";"]),
    isNamed: { $0.contains("<|python_tag|>") || $0.contains("\"parameters\": dictionary of argument name") })
}
