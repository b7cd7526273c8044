// GLM.swift: <tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>, as GLM-4.5
// and later write it, with or without line breaks.

extension ToolFormat {
  static let glm = ToolFormat(
    name: "glm", reasoning: .think,
    shape: CallShape(
      openers: ["<tool_call>"],
      opening: [.text("<tool_call>")],
      calls: [
        [
          .name,
          .tags(
            Tags(
              open: "<arg_key>", nameEnd: "</arg_key>", valueOpen: [.init(marker: "<arg_value>")],
              close: "</arg_value>", followers: ["</tool_call>"])),
          .space, .text("</tool_call>"),
        ]
      ]),
    isNamed: { $0.contains("<arg_key>") })
}
