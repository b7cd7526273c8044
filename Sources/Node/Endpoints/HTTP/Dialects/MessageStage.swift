// MessageStage.swift: an answer's text on its way to a dialect: as a message's reasoning, content and
// calls. Reading the text is the work of Tools.
import Tools

struct MessageStage: Sendable {
  private var parser: MessageParser?

  init(_ shape: AnswerShape) { self.init(shape.parser) }

  /// - parser: nil if the answer is its text
  init(_ parser: MessageParser?) { self.parser = parser }

  /// Whether the answer is more than its text.
  var isParsing: Bool { parser != nil }

  mutating func feed(_ text: String) -> [MessageEvent] {
    guard parser != nil else { return text.isEmpty ? [] : [.content(text)] }
    return parser?.feed(text) ?? []
  }

  /// The rest of the answer, and why it ended: `stop`, `length`, `tool_calls`; nil if it was cut.
  mutating func finish(_ end: AnswerEnd) -> (events: [MessageEvent], reason: String?) {
    let events = parser?.finish(isCut: end.finishReason != "stop") ?? []
    let calls = parser?.callCount ?? 0
    return (
      events.filter { if case .finished = $0 { false } else { true } },
      end.finishReason == "stop" && calls > 0 ? "tool_calls" : end.finishReason
    )
  }
}

extension AnswerShape {
  func callID(_ index: Int, _ own: String?) -> String { AnsweredCall.id(index, own, of: job) }
}
