// AnthropicAnswer.swift: answers of `POST /v1/messages`, as a stream of named events or in one piece.
// A block of content is thinking, text, or one call. Start at take.
// Source: Anthropic API reference, "Streaming Messages".
import Intake
import JSON
import Tools

struct AnthropicAnswer: AnswerWriter {
  private enum Block { case thinking, text, call }

  private let shape: AnswerShape
  private var stage: MessageStage
  private var hasBegun = false
  /// The blocks so far; the last one may be open.
  private var blocks: [JSONValue] = []
  private var open: Block?
  /// The text of the open block.
  private var text = ""
  private var call: AnsweredCall?

  init(_ shape: AnswerShape) {
    self.shape = shape
    stage = MessageStage(shape)
  }

  mutating func wait() -> [AnswerPiece] {
    shape.form.isStreamed ? begin() + [.comment("waiting for the operator")] : []
  }

  mutating func take(_ event: AnswerEvent) -> [AnswerPiece] {
    switch event {
    case .admitted, .started: return shape.form.isStreamed ? begin() : []
    case .text(let text, _):
      let events = stage.feed(text)
      let pieces = events.flatMap { add($0) }
      return shape.form.isStreamed ? begin() + pieces : []
    case .finished(let end): return finish(end)
    case .cut(let end, let refusal):
      let error = Self.json(APIError(refusal, in: AnthropicMessages.fieldNames))
      guard case .object(var members) = error else { return [] }
      members.append((key: "hotpot", value: ReceiptMembers.own(end, shape)))
      members.append((key: "usage", value: usage(end)))
      guard hasBegun else {
        let status = APIError(refusal, in: AnthropicMessages.fieldNames).status
        return [.whole(.json(JSONWriter.bytes(.object(members)), status: status))]
      }
      return [named("error", .object(members)), .end]
    case .refused(let refusal):
      let error = APIError(refusal, in: AnthropicMessages.fieldNames)
      return hasBegun ? [named("error", Self.json(error)), .end] : [.whole(Self.response(error))]
    }
  }

  private mutating func begin() -> [AnswerPiece] {
    guard !hasBegun else { return [] }
    hasBegun = true
    let usage: JSONValue = [
      "input_tokens": JSONValue(shape.prompt.count), "cache_creation_input_tokens": 0,
      "cache_read_input_tokens": 0, "output_tokens": 0,
    ]
    return [.begin, named("message_start", ["message": message([], reason: nil, usage)])]
  }

  private func named(_ name: String, _ value: JSONValue) -> AnswerPiece {
    var members = value.members ?? []
    if !members.contains(where: { $0.key == "type" }) {
      members.insert((key: "type", value: .string(name)), at: 0)
    }
    return .named(name, JSONWriter.bytes(.object(members)))
  }

  private func message(_ content: [JSONValue], reason: String?, _ usage: JSONValue) -> JSONValue {
    [
      "id": .string("msg_" + shape.job.hex), "type": "message", "role": "assistant",
      "model": .string(shape.model), "content": .array(content),
      "stop_reason": reason.map { .string($0) } ?? .null, "stop_sequence": nil, "usage": usage,
    ]
  }

  private func usage(_ end: AnswerEnd) -> JSONValue {
    [
      "input_tokens": JSONValue(end.usage.prompt - end.usage.cached), "cache_creation_input_tokens": 0,
      "cache_read_input_tokens": JSONValue(end.usage.cached),
      "output_tokens": JSONValue(end.usage.completion),
    ]
  }

  // MARK: blocks

  private mutating func add(_ event: MessageEvent) -> [AnswerPiece] {
    switch event {
    case .reasoning(let piece):
      let pieces =
        open == .thinking
        ? [] : close() + start(.thinking, ["type": "thinking", "thinking": "", "signature": ""])
      text += piece
      return pieces + [delta(["type": "thinking_delta", "thinking": .string(piece)])]
    case .content(let piece):
      let pieces = open == .text ? [] : close() + start(.text, ["type": "text", "text": ""])
      text += piece
      return pieces + [delta(["type": "text_delta", "text": .string(piece)])]
    case .call(let index, let id, let name):
      let call = AnsweredCall(id: "toolu_" + shape.callID(index, id), name: name)
      let pieces =
        close()
        + start(
          .call, ["type": "tool_use", "id": .string(call.id), "name": .string(call.name), "input": [:]])
      self.call = call
      return pieces
    case .arguments(_, let piece):
      call?.arguments += piece
      return [delta(["type": "input_json_delta", "partial_json": .string(piece)])]
    case .finished: return []
    }
  }

  private mutating func start(_ block: Block, _ value: JSONValue) -> [AnswerPiece] {
    open = block
    text = ""
    return [named("content_block_start", ["index": JSONValue(blocks.count), "content_block": value])]
  }

  private func delta(_ value: JSONValue) -> AnswerPiece {
    named("content_block_delta", ["index": JSONValue(blocks.count), "delta": value])
  }

  private mutating func close() -> [AnswerPiece] {
    guard let block = open else { return [] }
    open = nil
    let index = blocks.count
    switch block {
    case .thinking: blocks.append(["type": "thinking", "thinking": .string(text), "signature": ""])
    case .text: blocks.append(["type": "text", "text": .string(text)])
    case .call:
      guard let call else { break }
      blocks.append([
        "type": "tool_use", "id": .string(call.id), "name": .string(call.name), "input": call.input,
      ])
    }
    return [named("content_block_stop", ["index": JSONValue(index)])]
  }

  // MARK: ends

  private mutating func finish(_ end: AnswerEnd) -> [AnswerPiece] {
    let (events, reason) = stage.finish(end)
    var pieces = begin()
    for event in events { pieces += add(event) }
    pieces += close()
    let word = ["length": "max_tokens", "tool_calls": "tool_use"][reason ?? "stop"] ?? "end_turn"
    let own = ReceiptMembers.own(end, shape)
    guard shape.form.isStreamed else {
      guard case .object(let members) = message(blocks, reason: word, usage(end)) else { return [] }
      return [.whole(.json(JSONWriter.bytes(.object(members + [(key: "hotpot", value: own)]))))]
    }
    return pieces + [
      named(
        "message_delta",
        ["delta": ["stop_reason": .string(word), "stop_sequence": nil], "usage": usage(end), "hotpot": own]),
      named("message_stop", [:]), .end,
    ]
  }

  // MARK: errors

  /// Anthropic's error object.
  static func json(_ error: APIError) -> JSONValue {
    let type =
      switch (error.type, error.status) {
      case (_, 404): "not_found_error"
      case (_, 503): "overloaded_error"
      case (.request, _): "invalid_request_error"
      case (.authentication, _), (.permission, _), (.rateLimit, _): error.type.rawValue
      case (.timeout, _), (.server, _): "api_error"
      }
    var members: [JSONValue.Member] = [
      (key: "type", value: .string(type)), (key: "message", value: .string(error.message)),
      (key: "code", value: .string(error.code)),
      (key: "param", value: error.parameter.map { .string($0) } ?? .null),
    ]
    if let code = error.parameter.flatMap({ fallbacks[$0] }) {
      members.append((key: "details", value: ["error_code": .string(code)]))
    }
    return ["type": "error", "error": .object(members)]
  }

  /// By field, the word upon which Anthropic's clients go on without it.
  private static let fallbacks = ["thread": "thread_unsupported_request"]

  static func response(_ error: APIError) -> Response {
    let response = Response.json(JSONWriter.bytes(json(error)), status: error.status)
    return error.retryAfter.map { response.with("Retry-After", String($0)) } ?? response
  }
}
