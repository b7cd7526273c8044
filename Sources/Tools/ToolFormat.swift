// ToolFormat.swift: the table of formats in which models write tool calls. A format is a file in
// Formats and a row here; the chat template of a model says which one it writes.

package struct ToolFormat: Sendable {
  /// As in requests, receipts and the configuration.
  package let name: String
  /// The marks around the reasoning of the models that write this format.
  package let reasoning: ReasoningTags?
  let shape: CallShape
  /// Nil where the answer is one text.
  var channels: Channels?
  /// Marks around content that are no content.
  var silentMarkers: [Marker] = []
  /// Whether a chat template is written for this format.
  let isNamed: @Sendable (_ template: String) -> Bool

  /// The more particular stand before the more general: the first that a template names is taken.
  package static let all: [ToolFormat] = [
    harmony, atem, gemma4, dsml, kimi, deepSeekTags, glm, invoke, commandR, granite3, mistralArguments,
    mistralList, qwenXML, pythonLike, llamaJSON, hermesJSON,
  ]

  package static func named(_ name: String) -> ToolFormat? { all.first { $0.name == name } }

  /// The format that a chat template asks its model to write; nil if it mentions none.
  package static func chosen(by template: String) -> ToolFormat? { all.first { $0.isNamed(template) } }

  /// The marks of reasoning that a chat template mentions; nil if it mentions none.
  package static func reasoning(in template: String) -> ReasoningTags? {
    let known: [ReasoningTags] = [.thoughtChannel, .command, .bracketed, .think]
    return known.first { template.contains($0.close.text) || template.contains($0.open.text) }
  }

  /// Whether answers are rows of messages, whether or not tools are offered.
  package var hasChannels: Bool { channels != nil }

  /// What stands around reasoning where it is a message of its own; nil in other formats.
  package var thinkingChannel: ReasoningTags? {
    channels.flatMap { channels in
      channels.ends.first.map { ReasoningTags(open: Marker(channels.written.reasoning), close: $0) }
    }
  }

  /// All texts that the format marks things with.
  package var marks: [String] {
    var marks = shape.openers + shape.openersAtStart + shape.separators + silentMarkers
    for part in shape.opening + shape.calls.flatMap({ $0 }) + shape.closing { marks += part.marks }
    if let channels { marks += [channels.start, channels.message] + channels.headerStarts + channels.ends }
    return marks.map(\.text)
  }
}

extension Part {
  fileprivate var marks: [Marker] {
    switch self {
    case .text(let marker), .maybe(let marker), .labelled(let marker): [marker]
    case .either(let markers): markers
    case .tags(let tags): [tags.open, tags.nameEnd, tags.close] + tags.valueOpen.map(\.marker)
    case .gemma: [Quoting.gemmaQuote]
    case .space, .name, .object, .arguments, .python: []
    }
  }
}
