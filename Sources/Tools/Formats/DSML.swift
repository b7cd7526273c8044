// DSML.swift: <｜DSML｜invoke name="NAME"><｜DSML｜parameter name="KEY" string="true">..., as DeepSeek
// V3.2 and V4 write it. The tag says whether its value is a string or JSON.

extension ToolFormat {
  static let dsml = ToolFormat(
    name: "dsml", reasoning: .think,
    shape: CallShape(
      openers: ["<｜DSML｜function_calls>", "<｜DSML｜tool_calls>"],
      opening: [.either(["<｜DSML｜function_calls>", "<｜DSML｜tool_calls>"]), .space],
      calls: [
        [
          .text("<｜DSML｜invoke name=\""), .name, .text("\">"),
          .tags(
            Tags(
              open: "<｜DSML｜parameter name=\"", nameEnd: "\"",
              valueOpen: [
                .init(marker: " string=\"true\">", isString: true),
                .init(marker: " string=\"false\">", isString: false), .init(marker: ">"),
              ], close: "</｜DSML｜parameter>", followers: ["</｜DSML｜invoke>"])),
          .space, .text("</｜DSML｜invoke>"),
        ]
      ],
      closing: [.either(["</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"])]),
    isNamed: { $0.contains("DSML") })
}
