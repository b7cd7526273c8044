// OpenAIResponsesAnswer.swift: answers of `POST /v1/responses`: a row of items (reasoning, a message,
// calls), as typed events with sequence numbers or in one piece. Start at take.
// Source: OpenAI API reference, "Streaming events".
import Intake
import JSON
import Tools

struct OpenAIResponsesAnswer: AnswerWriter {
  private enum Item { case reasoning, message, call(AnsweredCall) }

  private let shape: AnswerShape
  private var stage: MessageStage
  private var hasBegun = false
  private var sequence = 0
  /// The items that are whole.
  private var output: [JSONValue] = []
  private var open: Item?
  private var text = ""

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
      let first = shape.form.isStreamed ? begin() : []
      let pieces = stage.feed(text).flatMap { add($0) }
      return shape.form.isStreamed ? first + pieces : []
    case .finished(let end): return finish(end)
    case .cut(let end, let refusal):
      let error = APIError(refusal, in: OpenAIResponses.fieldNames)
      guard hasBegun, shape.form.isStreamed else {
        guard case .object(let members) = error.json else { return [] }
        let own = [
          (key: "hotpot", value: ReceiptMembers.own(end, shape)), (key: "usage", value: usage(end)),
        ]
        return [.whole(.json(JSONWriter.bytes(.object(members + own)), status: error.status))]
      }
      return [failed(error, end), .end]
    case .refused(let refusal):
      let error = APIError(refusal, in: OpenAIResponses.fieldNames)
      return hasBegun ? [failed(error, nil), .end] : [.whole(error.response)]
    }
  }

  // MARK: events

  private mutating func begin() -> [AnswerPiece] {
    guard !hasBegun else { return [] }
    hasBegun = true
    return [
      .begin, event("response.created", ["response": response("in_progress", nil)]),
      event("response.in_progress", ["response": response("in_progress", nil)]),
    ]
  }

  private mutating func event(_ name: String, _ value: JSONValue) -> AnswerPiece {
    let members = value.members ?? []
    let head: [JSONValue.Member] = [
      (key: "type", value: .string(name)), (key: "sequence_number", value: JSONValue(sequence)),
    ]
    sequence += 1
    return .named(name, JSONWriter.bytes(.object(head + members)))
  }

  /// An event of the open item.
  private mutating func itemEvent(_ name: String, _ members: [JSONValue.Member]) -> AnswerPiece {
    event(
      name,
      .object(
        [
          (key: "item_id", value: .string(itemID)), (key: "output_index", value: JSONValue(output.count)),
        ] + members))
  }

  private var itemID: String {
    let prefix =
      switch open {
      case .reasoning: "rs_"
      case .call: "fc_"
      case .message, nil: "msg_"
      }
    return prefix + shape.job.hex + "_\(output.count)"
  }

  private mutating func add(_ event: MessageEvent) -> [AnswerPiece] {
    let index: [JSONValue.Member] = [(key: "content_index", value: 0)]
    switch event {
    case .reasoning(let piece):
      var pieces: [AnswerPiece] = []
      if case .reasoning = open {} else { pieces = close() + start(.reasoning) }
      text += piece
      return pieces + [
        itemEvent("response.reasoning_text.delta", index + [(key: "delta", value: .string(piece))])
      ]
    case .content(let piece):
      var pieces: [AnswerPiece] = []
      if case .message = open {} else { pieces = close() + start(.message) }
      text += piece
      return pieces + [
        itemEvent(
          "response.output_text.delta",
          index + [(key: "delta", value: .string(piece)), (key: "logprobs", value: [])])
      ]
    case .call(let index, let id, let name):
      return close() + start(.call(AnsweredCall(id: "call_" + shape.callID(index, id), name: name)))
    case .arguments(_, let piece):
      text += piece
      return [itemEvent("response.function_call_arguments.delta", [(key: "delta", value: .string(piece))])]
    case .finished: return []
    }
  }

  private mutating func start(_ item: Item) -> [AnswerPiece] {
    open = item
    text = ""
    let added = event(
      "response.output_item.added",
      ["output_index": JSONValue(output.count), "item": self.item(isWhole: false)])
    switch item {
    case .call, .reasoning: return [added]
    case .message:
      return [
        added,
        itemEvent(
          "response.content_part.added", [(key: "content_index", value: 0), (key: "part", value: part(""))]),
      ]
    }
  }

  private mutating func close() -> [AnswerPiece] {
    guard let item = open else { return [] }
    var pieces: [AnswerPiece] = []
    let index: [JSONValue.Member] = [(key: "content_index", value: 0)]
    switch item {
    case .reasoning:
      pieces.append(itemEvent("response.reasoning_text.done", index + [(key: "text", value: .string(text))]))
    case .message:
      pieces += [
        itemEvent(
          "response.output_text.done",
          index + [(key: "text", value: .string(text)), (key: "logprobs", value: [])]),
        itemEvent("response.content_part.done", index + [(key: "part", value: part(text))]),
      ]
    case .call(let call):
      pieces.append(
        itemEvent(
          "response.function_call_arguments.done",
          [(key: "name", value: .string(call.name)), (key: "arguments", value: .string(text))]))
    }
    let whole = self.item(isWhole: true)
    pieces.append(
      event("response.output_item.done", ["output_index": JSONValue(output.count), "item": whole]))
    output.append(whole)
    open = nil
    return pieces
  }

  private func part(_ text: String) -> JSONValue {
    ["type": "output_text", "text": .string(text), "annotations": [], "logprobs": []]
  }

  private func item(isWhole: Bool) -> JSONValue {
    let status: JSONValue = isWhole ? "completed" : "in_progress"
    switch open {
    case .reasoning:
      let content: JSONValue = isWhole ? [["type": "reasoning_text", "text": .string(text)]] : []
      return [
        "id": .string(itemID), "type": "reasoning", "summary": [], "content": content, "status": status,
      ]
    case .call(let call):
      return [
        "id": .string(itemID), "type": "function_call", "status": status, "call_id": .string(call.id),
        "name": .string(call.name), "arguments": .string(isWhole ? text : ""),
      ]
    case .message, nil:
      return [
        "id": .string(itemID), "type": "message", "status": status, "role": "assistant",
        "content": isWhole ? [part(text)] : [],
      ]
    }
  }

  // MARK: ends

  private mutating func finish(_ end: AnswerEnd) -> [AnswerPiece] {
    let (events, reason) = stage.finish(end)
    var pieces = begin()
    for event in events { pieces += add(event) }
    // An answer has a message, though it be empty.
    if output.isEmpty, open == nil { pieces += start(.message) }
    pieces += close()
    let isCut = reason == "length"
    let whole = response(isCut ? "incomplete" : "completed", end)
    guard shape.form.isStreamed else { return [.whole(.json(JSONWriter.bytes(whole)))] }
    return pieces + [event(isCut ? "response.incomplete" : "response.completed", ["response": whole]), .end]
  }

  private mutating func failed(_ error: APIError, _ end: AnswerEnd?) -> AnswerPiece {
    var members = response("failed", end).members ?? []
    if let place = members.firstIndex(where: { $0.key == "error" }) {
      members[place].value = ["code": .string(error.code), "message": .string(error.message)]
    }
    return event("response.failed", ["response": .object(members)])
  }

  private func usage(_ end: AnswerEnd) -> JSONValue {
    [
      "input_tokens": JSONValue(end.usage.prompt),
      "input_tokens_details": ["cached_tokens": JSONValue(end.usage.cached)],
      "output_tokens": JSONValue(end.usage.completion),
      "total_tokens": JSONValue(end.usage.prompt + end.usage.completion),
    ]
  }

  private func response(_ status: String, _ end: AnswerEnd?) -> JSONValue {
    let choice: JSONValue =
      switch shape.offered?.choice ?? .auto {
      case .none: "none"
      case .auto: "auto"
      case .required: "required"
      case .named(let name): ["type": "function", "name": .string(name)]
      }
    let tools = (shape.offered?.tools ?? []).map { tool -> JSONValue in
      [
        "type": "function", "name": .string(tool.name),
        "description": tool.description.map { .string($0) } ?? .null, "parameters": tool.parameters ?? [:],
        "strict": .bool(tool.isStrict),
      ]
    }
    var members: [JSONValue.Member] = [
      (key: "id", value: .string("resp_" + shape.job.hex)), (key: "object", value: "response"),
      (key: "created_at", value: JSONValue(shape.created)), (key: "status", value: .string(status)),
      (key: "error", value: nil),
      (key: "incomplete_details", value: status == "incomplete" ? ["reason": "max_output_tokens"] : nil),
      (key: "instructions", value: nil), (key: "metadata", value: [:]),
      (key: "model", value: .string(shape.model)), (key: "output", value: .array(output)),
      (key: "parallel_tool_calls", value: .bool(shape.offered?.isParallel ?? true)),
      (key: "previous_response_id", value: nil), (key: "reasoning", value: ["effort": nil, "summary": nil]),
      (key: "store", value: false), (key: "temperature", value: nil), (key: "top_p", value: nil),
      (key: "text", value: ["format": ["type": "text"]]), (key: "tool_choice", value: choice),
      (key: "tools", value: .array(tools)), (key: "truncation", value: "disabled"),
      (key: "usage", value: end.map { usage($0) } ?? .null),
    ]
    if let end { members.append((key: "hotpot", value: ReceiptMembers.own(end, shape))) }
    return .object(members)
  }
}
