// QwenXML.swift: <tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>, as
// Qwen3-Coder, Qwen3.5 and later and Nemotron 3 write it. Forms that these models drift into are read
// too: no outer tag, no closing function tag, and JSON inside the outer tag.

extension ToolFormat {
  static let qwenXML = ToolFormat(
    name: "qwen-xml", reasoning: .think,
    shape: CallShape(
      openers: ["<tool_call>", "<function="],
      opening: [.maybe("<tool_call>"), .space],
      calls: [
        [
          .text("<function="), .name, .text(">"),
          .tags(
            Tags(
              open: "<parameter=", nameEnd: ">", valueOpen: [.init(marker: "")], close: "</parameter>",
              followers: ["</function>", "</tool_call>"], isOnOwnLines: true)),
          .space, .either(["</function>", "</tool_call>"]),
        ],
        [.namedObject],
      ],
      closing: [.maybe("</tool_call>")]),
    isNamed: { $0.contains("<function=") })
}
