// OllamaAnswer.swift: answers of Ollama's `POST /api/chat` and `POST /api/generate`: lines of JSON,
// the last one says how it ended, or one object. Times are not measured here, so there are none in
// it. Start at take.
// Source: Ollama API reference.
import Foundation
import Intake
import JSON
import Tools

struct OllamaAnswer: AnswerWriter {
  private let shape: AnswerShape
  private let form: Form
  private var stage: MessageStage
  private var hasBegun = false
  private var text = ""
  private var reasoning = ""
  private var calls: [AnsweredCall] = []

  /// What an answer's text stands in.
  enum Form { case message, response }

  init(_ shape: AnswerShape, _ form: Form) {
    self.shape = shape
    self.form = form
    stage = MessageStage(shape)
  }

  mutating func wait() -> [AnswerPiece] { shape.form.isStreamed ? begin() : [] }

  mutating func take(_ event: AnswerEvent) -> [AnswerPiece] {
    switch event {
    case .admitted, .started: return shape.form.isStreamed ? begin() : []
    case .text(let text, _):
      let first = shape.form.isStreamed ? begin() : []
      let pieces = stage.feed(text).compactMap { add($0) }
      return shape.form.isStreamed ? first + pieces : []
    case .finished(let end): return finish(end)
    case .cut(let end, let refusal):
      let error = APIError(refusal)
      let members: [JSONValue.Member] = [
        (key: "error", value: .string(error.message)), (key: "hotpot", value: ReceiptMembers.own(end, shape)),
      ]
      guard hasBegun else {
        return [.whole(.json(JSONWriter.bytes(.object(members)), status: error.status))]
      }
      return [line(members), .end]
    case .refused(let refusal):
      let error = APIError(refusal)
      guard hasBegun else { return [.whole(Self.response(error))] }
      return [line([(key: "error", value: .string(error.message))]), .end]
    }
  }

  private mutating func begin() -> [AnswerPiece] {
    guard !hasBegun else { return [] }
    hasBegun = true
    return [.beginLines]
  }

  private func line(_ members: [JSONValue.Member]) -> AnswerPiece {
    .line(JSONWriter.bytes(.object(members)))
  }

  private var head: [JSONValue.Member] {
    let date = Date(timeIntervalSince1970: Double(shape.created)).ISO8601Format()
    return [(key: "model", value: .string(shape.model)), (key: "created_at", value: .string(date))]
  }

  /// A line with a piece of the message; nil if the event is none.
  private mutating func add(_ event: MessageEvent) -> AnswerPiece? {
    switch event {
    case .content(let piece):
      text += piece
      return line(head + body(piece, thinking: "", []) + [(key: "done", value: false)])
    case .reasoning(let piece):
      reasoning += piece
      return line(head + body("", thinking: piece, []) + [(key: "done", value: false)])
    case .call(let index, let id, let name):
      calls.append(AnsweredCall(id: shape.callID(index, id), name: name))
      return nil
    case .arguments(_, let piece):
      guard let last = calls.indices.last else { return nil }
      calls[last].arguments += piece
      return line(head + body("", thinking: "", [calls[last]]) + [(key: "done", value: false)])
    case .finished: return nil
    }
  }

  private func body(_ text: String, thinking: String, _ calls: [AnsweredCall]) -> [JSONValue.Member] {
    guard form == .message else {
      return [(key: "response", value: .string(text))]
        + (thinking.isEmpty ? [] : [(key: "thinking", value: .string(thinking))])
    }
    var message: [JSONValue.Member] = [
      (key: "role", value: "assistant"), (key: "content", value: .string(text)),
    ]
    if !thinking.isEmpty { message.append((key: "thinking", value: .string(thinking))) }
    if !calls.isEmpty {
      let calls = calls.map { call -> JSONValue in
        ["id": .string(call.id), "function": ["name": .string(call.name), "arguments": call.input]]
      }
      message.append((key: "tool_calls", value: .array(calls)))
    }
    return [(key: "message", value: .object(message))]
  }

  private mutating func finish(_ end: AnswerEnd) -> [AnswerPiece] {
    let (events, reason) = stage.finish(end)
    var pieces = shape.form.isStreamed ? begin() : []
    for event in events { if let piece = add(event) { pieces.append(piece) } }
    let tail: [JSONValue.Member] = [
      (key: "done", value: true), (key: "done_reason", value: reason == "length" ? "length" : "stop"),
      (key: "prompt_eval_count", value: JSONValue(end.usage.prompt)),
      (key: "eval_count", value: JSONValue(end.usage.completion)),
      (key: "hotpot", value: ReceiptMembers.own(end, shape)),
    ]
    guard shape.form.isStreamed else {
      let members = head + body(text, thinking: reasoning, calls) + tail
      return [.whole(.json(JSONWriter.bytes(.object(members))))]
    }
    return pieces + [line(head + body("", thinking: "", []) + tail), .end]
  }

  /// Ollama's error object.
  static func response(_ error: APIError) -> Response {
    let response = Response.json(
      JSONWriter.bytes([
        "error": .string(error.message), "code": .string(error.code),
        "param": error.parameter.map { .string($0) } ?? .null,
      ]), status: error.status)
    return error.retryAfter.map { response.with("Retry-After", String($0)) } ?? response
  }
}
