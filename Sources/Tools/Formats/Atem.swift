// Atem.swift: to=NAME<|message|><atem:function_calls><atem:invoke name="NAME">..., as Muse Glimmer
// writes it. The recipient decides: markup in a message to the user is text.

import JSON

extension ToolFormat {
  static let atem = ToolFormat(
    name: "atem", reasoning: nil,
    shape: CallShape(
      openers: [],
      opening: [.space, .text("<atem:function_calls>"), .space],
      calls: [
        [
          .text("<atem:invoke name=\""), .name, .text("\">"),
          .tags(
            Tags(
              open: "<atem:parameter name=\"", nameEnd: "\"", valueOpen: [.init(marker: ">")],
              close: "</atem:parameter>", followers: ["</atem:invoke>"])),
          .space, .text("</atem:invoke>"),
        ]
      ],
      closing: [.maybe("</atem:function_calls>")]),
    channels: Channels(
      start: "<|start|>assistant", headerStarts: [" to=", "to="], message: "<|message|>",
      ends: ["<|eom|>", "<|eot|>"],
      kind: { header in
        switch Channels.recipient(header) {
        case "self": .reasoning
        case "user", nil: .content
        case let name?: .call(name: name)
        }
      },
      written: Channels.Written(
        reasoning: " to=self<|message|>",
        content: ["either": [["text": " to=user<|message|>"], ["text": "<|message|>"]]],
        call: { [["text": .string(" to=\($0)<|message|>")]] })),
    isNamed: { $0.contains("atem:function_calls") })
}
