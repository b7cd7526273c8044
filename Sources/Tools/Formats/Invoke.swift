// Invoke.swift: <minimax:tool_call><invoke name="NAME"><parameter name="KEY">VALUE</parameter>..., as
// MiniMax M2 writes it.

extension ToolFormat {
  static let invoke = ToolFormat(
    name: "invoke", reasoning: .think,
    shape: CallShape(
      openers: ["<minimax:tool_call>"],
      opening: [.text("<minimax:tool_call>"), .space],
      calls: [
        [
          .text("<invoke name=\""), .name, .text("\">"),
          .tags(
            Tags(
              open: "<parameter name=\"", nameEnd: "\"", valueOpen: [.init(marker: ">")],
              close: "</parameter>", followers: ["</invoke>"])),
          .space, .text("</invoke>"),
        ]
      ],
      closing: [.maybe("</minimax:tool_call>")]),
    isNamed: { $0.contains("<minimax:tool_call>") })
}
