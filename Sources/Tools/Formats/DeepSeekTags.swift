// DeepSeekTags.swift: <｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{...}<｜tool▁call▁end｜>, as DeepSeek V3.1
// writes it; R1 and V3 name a type first and fence the arguments.

extension ToolFormat {
  static let deepSeekTags = ToolFormat(
    name: "deepseek-tags", reasoning: .think,
    shape: CallShape(
      openers: ["<｜tool▁calls▁begin｜>"],
      opening: [.text("<｜tool▁calls▁begin｜>"), .space],
      calls: [
        [
          .text("<｜tool▁call▁begin｜>function<｜tool▁sep｜>"), .name, .space, .text("```json"), .space,
          .arguments,
          .space, .maybe("```"), .space, .text("<｜tool▁call▁end｜>"),
        ],
        [
          .text("<｜tool▁call▁begin｜>"), .name, .text("<｜tool▁sep｜>"), .space, .arguments, .space,
          .text("<｜tool▁call▁end｜>"),
        ],
      ],
      closing: [.maybe("<｜tool▁calls▁end｜>")]),
    isNamed: { $0.contains("tool▁calls▁begin") })
}
