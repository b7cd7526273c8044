// MessageStage.swift: an answer's text on its way to a dialect: as a message's reasoning, content and
// calls. Reading the text is the work of Tools.
import JSON
import Scheduling
import Tools

/// A call in an answer that is not streamed.
struct AnsweredCall: Sendable, Equatable {
  let id: String
  let name: String
  var arguments = ""
}

struct MessageStage: Sendable {
  private var parser: MessageParser?

  init(_ shape: AnswerShape) { parser = shape.parser }

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
  /// A call's id: the model's own, or nine letters and digits, which is what the strictest templates
  /// want to see again.
  func callID(_ index: Int, _ own: String?) -> String {
    if let own { return own }
    // SplitMix64 over the job's number: other jobs have other ids.
    var mixed = job.rawValue &+ UInt64(index + 1) &* 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    let digits = String((mixed ^ mixed >> 31) % 101_559_956_668_416, radix: 36)
    return String(repeating: "0", count: 9 - digits.count) + digits
  }
}
