// OpenAIAnswer.swift: what answers to chats and to completions have in common, streamed or in one
// piece. Not here: the form of one choice (OpenAIChat.swift, OpenAICompletions.swift), requests
// (OpenAIRequest.swift). Start at OpenAIAnswerWriter.take.
import Intake
import JSON
import Tools

/// One answer so far.
struct OpenAIAnswer: Sendable {
  let shape: AnswerShape
  var hasBegun = false
  /// The text of an answer that is not streamed.
  var text = ""
  var logprobs: [TextLogprob] = []
  var reasoning = ""
  var calls: [AnsweredCall] = []
  var stage: MessageStage
  /// The JSON around the text of a chunk that has nothing else, by far the most common kind; made
  /// once.
  var textFrame: (head: [UInt8], tail: [UInt8])?

  init(_ shape: AnswerShape) {
    self.shape = shape
    text = shape.echo
    stage = MessageStage(shape)
  }
}

protocol OpenAIAnswerWriter: AnswerWriter {
  static var idPrefix: String { get }
  static var wholeObject: String { get }
  static var chunkObject: String { get }
  static var fieldNames: APIError.FieldNames { get }
  var answer: OpenAIAnswer { get set }
  /// The choice of a stream's first chunk, if it has a separate one.
  var opening: JSONValue? { get }
  /// The choice of a chunk, and that of an answer in one piece.
  func chunk(text: String, logprobs: [TextLogprob], finish: String?) -> JSONValue
  func whole(text: String, logprobs: [TextLogprob], finish: String?) -> JSONValue
  /// The choice of a chunk with a piece of a message that isn't content; nil if there is none.
  func chunk(_ event: MessageEvent) -> JSONValue?
}

extension OpenAIAnswerWriter {
  private var shape: AnswerShape { answer.shape }
  private var id: String { Self.idPrefix + shape.job.hex }

  mutating func wait() -> [AnswerPiece] {
    shape.form.isStreamed ? begin() + [.comment("waiting for the operator")] : []
  }

  mutating func take(_ event: AnswerEvent) -> [AnswerPiece] {
    switch event {
    case .admitted, .started: return shape.form.isStreamed ? begin() : []
    case .text(let text, let logprobs):
      guard shape.form.isStreamed else {
        answer.logprobs += logprobs
        note(answer.stage.feed(text))
        return []
      }
      let first = begin()
      if answer.stage.isParsing {
        answer.logprobs += logprobs
        let events = answer.stage.feed(text)
        return first + events.compactMap { eventPiece($0) }
      }
      guard logprobs.isEmpty else {
        return first + [json(frame([chunk(text: text, logprobs: logprobs, finish: nil)]))]
      }
      let piece = AnswerPiece.event(framed(text))
      return first.isEmpty ? [piece] : first + [piece]
    case .finished(let end): return finish(end)
    case .cut(let end, let refusal): return cut(end, error(refusal))
    case .refused(let refusal):
      guard answer.hasBegun else { return [.whole(error(refusal).response)] }
      return [json(error(refusal).json), .end]
    }
  }

  private mutating func begin() -> [AnswerPiece] {
    guard !answer.hasBegun else { return [] }
    answer.hasBegun = true
    var pieces: [AnswerPiece] = [.begin]
    if let opening { pieces.append(json(frame([opening]))) }
    if !shape.echo.isEmpty {
      pieces.append(json(frame([chunk(text: shape.echo, logprobs: [], finish: nil)])))
    }
    return pieces
  }

  private func json(_ value: JSONValue) -> AnswerPiece { .event(JSONWriter.bytes(value)) }

  private func error(_ refusal: Refusal) -> APIError { APIError(refusal, in: Self.fieldNames) }

  private func frame(_ choices: [JSONValue]) -> JSONValue {
    [
      "id": .string(id), "object": .string(Self.chunkObject), "created": JSONValue(shape.created),
      "model": .string(shape.model), "choices": .array(choices),
    ]
  }

  private mutating func framed(_ text: String) -> [UInt8] {
    let frame = answer.textFrame ?? makeTextFrame()
    answer.textFrame = frame
    var bytes: [UInt8] = []
    bytes.reserveCapacity(frame.head.count + frame.tail.count + text.utf8.count + 8)
    bytes += frame.head
    JSONWriter.writeString(text, into: &bytes)
    bytes += frame.tail
    return bytes
  }

  private func makeTextFrame() -> (head: [UInt8], tail: [UInt8]) {
    // Text that JSON escapes and that occurs nowhere else in a chunk.
    let mark = "\u{0}text"
    let bytes = JSONWriter.bytes(frame([chunk(text: mark, logprobs: [], finish: nil)]))
    var quoted: [UInt8] = []
    JSONWriter.writeString(mark, into: &quoted)
    let place = bytes.indices.last { bytes[$0...].starts(with: quoted) } ?? bytes.endIndex
    return (Array(bytes[..<place]), Array(bytes[place...].dropFirst(quoted.count)))
  }

  /// The error, and what the client needs to check what it owes; answers in one piece include the
  /// text so far.
  private mutating func cut(_ end: AnswerEnd, _ error: APIError) -> [AnswerPiece] {
    guard case .object(var members) = error.json else { return [] }
    if shape.form.isStreamed, answer.hasBegun {
      members.append((key: "id", value: .string(id)))
      members.append((key: "model", value: .string(shape.model)))
      members.append((key: "hotpot", value: own(end)))
      members.append((key: "usage", value: usage(end)))
      return [json(.object(members)), .end]
    }
    let (events, reason) = answer.stage.finish(end)
    note(events)
    for member in whole(end, reason) where member.key != "error" { members.append(member) }
    var response = Response.json(JSONWriter.bytes(.object(members)), status: error.status)
    if let after = error.retryAfter { response = response.with("Retry-After", String(after)) }
    return [.whole(response)]
  }

  private mutating func finish(_ end: AnswerEnd) -> [AnswerPiece] {
    let (events, reason) = answer.stage.finish(end)
    guard shape.form.isStreamed else {
      note(events)
      return [.whole(.json(JSONWriter.bytes(.object(whole(end, reason)))))]
    }
    var pieces = begin()
    pieces += events.compactMap { eventPiece($0) }
    let choice = chunk(text: "", logprobs: answer.logprobs, finish: reason ?? "stop")
    pieces.append(json(frame([choice]).adding("hotpot", own(end))))
    if shape.form.includesUsage { pieces.append(json(frame([]).adding("usage", usage(end)))) }
    pieces += [.event(Array("[DONE]".utf8)), .end]
    return pieces
  }

  /// Keeps a piece of an answer that is not streamed.
  private mutating func note(_ events: [MessageEvent]) {
    for event in events {
      switch event {
      case .content(let text): answer.text += text
      case .reasoning(let text): answer.reasoning += text
      case .call(let index, let id, let name):
        answer.calls.append(AnsweredCall(id: shape.callID(index, id), name: name))
      case .arguments(_, let text):
        if let last = answer.calls.indices.last { answer.calls[last].arguments += text }
      case .finished: break
      }
    }
  }

  /// A chunk of a message that is parsed.
  private mutating func eventPiece(_ event: MessageEvent) -> AnswerPiece? {
    guard case .content(let text) = event else { return chunk(event).map { json(frame([$0])) } }
    let logprobs = answer.logprobs
    answer.logprobs = []
    return logprobs.isEmpty
      ? .event(framed(text)) : json(frame([chunk(text: text, logprobs: logprobs, finish: nil)]))
  }

  private func whole(_ end: AnswerEnd, _ reason: String?) -> [JSONValue.Member] {
    [
      (key: "id", value: .string(id)), (key: "object", value: .string(Self.wholeObject)),
      (key: "created", value: JSONValue(shape.created)), (key: "model", value: .string(shape.model)),
      (
        key: "choices",
        value: [whole(text: answer.text, logprobs: answer.logprobs, finish: reason)]
      ), (key: "usage", value: usage(end)), (key: "hotpot", value: own(end)),
    ]
  }

  private func own(_ end: AnswerEnd) -> JSONValue {
    ReceiptMembers.own(end, shape)
  }

  private func usage(_ end: AnswerEnd) -> JSONValue {
    [
      "prompt_tokens": JSONValue(end.usage.prompt), "completion_tokens": JSONValue(end.usage.completion),
      "total_tokens": JSONValue(end.usage.prompt + end.usage.completion),
      "prompt_tokens_details": ["cached_tokens": JSONValue(end.usage.cached)],
    ]
  }
}

extension JSONValue {
  /// The object with one more member at its end.
  fileprivate func adding(_ key: String, _ value: JSONValue) -> JSONValue {
    guard case .object(let members) = self else { return self }
    return .object(members + [(key: key, value: value)])
  }
}
