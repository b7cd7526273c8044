// Harmony.swift: <|channel|>commentary to=functions.NAME<|message|>{...}<|call|>, as gpt-oss writes
// it; the recipient stands before or after the channel. Source: OpenAI's harmony response format.

import JSON

extension ToolFormat {
  static let harmony = ToolFormat(
    name: "harmony", reasoning: nil,
    shape: CallShape(
      openers: [], opening: [.space], calls: [[.arguments]],
      closing: [.maybe("<|call|>")], namePrefix: "functions."),
    channels: Channels(
      start: "<|start|>assistant",
      headerStarts: [" to=", "to=", "<|channel|>", "<|constrain|>"],
      message: "<|message|>",
      ends: ["<|end|>", "<|call|>", "<|return|>"],
      kind: { header in
        if let name = Channels.recipient(header) { return .call(name: name) }
        return header.contains("<|channel|>analysis") ? .reasoning : .content
      },
      written: Channels.Written(
        reasoning: "<|channel|>analysis<|message|>",
        content: ["text": "<|channel|>final<|message|>"],
        call: { name in
          [
            ["text": .string("<|channel|>commentary to=\(name) <|constrain|>json<|message|>")],
            ["text": .string(" to=\(name)<|channel|>commentary json<|message|>")],
          ]
        })),
    isNamed: { $0.contains("<|channel|>") && $0.contains("<|message|>") })
}
