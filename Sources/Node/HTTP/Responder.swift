// Responder.swift: one answer in OpenAI's words, streamed or whole, as its events come.
// Leaves out the request (CompletionRequest) and routes. Start at Responder.take.
import Foundation
import Intake
import Synchronization

/// What of the request shapes the answer.
struct AnswerShape: Sendable {
  /// `chatcmpl-` or `cmpl-` and the job's id.
  let id: String
  let job: String
  let model: String
  /// Seconds since 1970.
  let created: Int64
  let isChat: Bool
  let isStreamed: Bool
  let includesUsage: Bool
  let wantsLogprobs: Bool
  let seed: UInt64
  /// The prompt's token ids, where the client asked for ids.
  let promptTokens: [Int32]?
}

extension APIError {
  /// OpenAI's error object; `status` stands in it too, because a stream's status line has gone out before.
  var json: JSONValue {
    [
      "error": [
        "message": .string(message), "type": .string(type), "param": parameter.map { .string($0) } ?? .null,
        "code": .string(code), "status": JSONValue(status),
      ]
    ]
  }

  var response: Response {
    var response = Response.json(JSONWriter.bytes(json), status: status)
    // RFC 9110, 15.5.2: a 401 names the scheme that is wanted.
    if status == 401 { response = response.with("WWW-Authenticate", "Bearer realm=\"hotpot\"") }
    return retryAfter.map { response.with("Retry-After", String($0)) } ?? response
  }
}

/// Where an answer goes: a connection, a store, a control socket. Called in order, from the node's threads.
struct AnswerOutput: Sendable {
  /// A stream begins; nothing follows but events, comments and the end.
  let begin: @Sendable () -> Void
  /// JSON on one line.
  let event: @Sendable ([UInt8]) -> Void
  let comment: @Sendable (String) -> Void
  let end: @Sendable () -> Void
  /// The answer in one piece, or a refusal before a stream began.
  let whole: @Sendable (Response) -> Void

  init(_ exchange: Exchange) {
    begin = { exchange.startEvents() }
    event = { exchange.send(line: $0) }
    comment = { exchange.send(comment: $0) }
    end = { exchange.finish() }
    whole = { exchange.respond($0) }
  }

  /// For answers that are not streamed.
  init(whole: @escaping @Sendable (Response) -> Void) {
    begin = {}
    event = { _ in }
    comment = { _ in }
    end = {}
    self.whole = whole
  }

  /// For a peer that reads events and then a status: 200 after a stream.
  init(event: @escaping @Sendable (String) -> Void, end: @escaping @Sendable (Int) -> Void) {
    begin = {}
    self.event = { event(String(decoding: $0, as: UTF8.self)) }
    comment = { _ in }
    self.end = { end(200) }
    whole = {
      event(String(decoding: $0.body, as: UTF8.self))
      end($0.status)
    }
  }
}

/// Turns the events of one job into one answer.
final class Responder: Sendable {
  private let shape: AnswerShape
  private let output: AnswerOutput
  private let inner = Mutex(Inner())
  /// What stands around the text of a chunk that has nothing else.
  private let textFrame: (head: [UInt8], tail: [UInt8])?

  private struct Inner {
    var hasBegun = false
    var text = ""
    var logprobs: [TextLogprob] = []
    /// Characters of the tokens whose log-probabilities have been streamed.
    var offset = 0
  }

  init(shape: AnswerShape, output: AnswerOutput) {
    self.shape = shape
    self.output = output
    textFrame = shape.isStreamed ? shape.textFrame : nil
  }

  /// The client waits for an operator: a stream begins, so that comment lines keep it open.
  func wait() {
    guard shape.isStreamed else { return }
    begin()
    output.comment("waiting for the operator")
  }

  /// One event of the job. Called in order.
  func take(_ event: AnswerEvent) {
    switch event {
    case .admitted, .started: if shape.isStreamed { begin() }
    case .text(let text, let logprobs):
      if shape.isStreamed {
        begin()
        if let textFrame, logprobs.isEmpty {
          send(text: text, in: textFrame)
        } else {
          send(shape.chunk(text: text, logprobs: logprobs, textOffset: offset(of: logprobs), finish: nil))
        }
      } else {
        inner.withLock {
          $0.text += text
          $0.logprobs += logprobs
        }
      }
    case .finished(let end): finish(end)
    case .refused(let error): refuse(error)
    }
  }

  /// Where the text of these tokens begins in the whole answer, as their bytes tell it.
  private func offset(of logprobs: [TextLogprob]) -> Int {
    inner.withLock { inner in
      defer { inner.offset += logprobs.reduce(0) { $0 + shape.text($1.chosen.bytes).count } }
      return inner.offset
    }
  }

  private func begin() {
    let isFirst = inner.withLock { inner in
      defer { inner.hasBegun = true }
      return !inner.hasBegun
    }
    guard isFirst else { return }
    output.begin()
    if shape.isChat {
      send(shape.chunk(delta: ["role": "assistant", "content": ""], logprobs: [], finish: nil))
    }
  }

  private func send(_ value: JSONValue) { output.event(JSONWriter.bytes(value)) }

  private func send(text: String, in frame: (head: [UInt8], tail: [UInt8])) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(frame.head.count + frame.tail.count + text.utf8.count + 8)
    bytes += frame.head
    JSONWriter.writeString(text, into: &bytes)
    bytes += frame.tail
    output.event(bytes)
  }

  private func refuse(_ error: APIError) {
    if inner.withLock({ $0.hasBegun }) {
      send(error.json)
      output.end()
    } else {
      output.whole(error.response)
    }
  }

  private func finish(_ end: AnswerEnd) {
    var own: [JSONValue.Member] = [(key: "job", value: .string(shape.job))]
    if let receipt = end.receipt { own.append((key: "receipt", value: .string(receipt))) }
    if let nonce = end.nonce { own.append((key: "nonce", value: .string(nonce))) }
    own.append((key: "seed", value: JSONValue(shape.seed)))
    if let amount = end.amount { own.append((key: "amount_micro", value: JSONValue(amount))) }
    if let tokens = shape.promptTokens {
      own.append((key: "prompt_token_ids", value: .array(tokens.map { JSONValue($0) })))
      own.append((key: "token_ids", value: .array((end.tokens ?? []).map { JSONValue($0) })))
    }
    let usage: JSONValue = [
      "prompt_tokens": JSONValue(end.usage.prompt), "completion_tokens": JSONValue(end.usage.completion),
      "total_tokens": JSONValue(end.usage.prompt + end.usage.completion),
      "prompt_tokens_details": ["cached_tokens": JSONValue(end.usage.cached)],
    ]
    if shape.isStreamed {
      begin()
      guard case .object(var members) = shape.chunk(text: "", logprobs: [], finish: end.finishReason) else {
        return
      }
      members.append((key: "hotpot", value: .object(own)))
      send(.object(members))
      if shape.includesUsage {
        guard case .object(var members) = shape.frame(choices: []) else { return }
        members.append((key: "usage", value: usage))
        send(.object(members))
      }
      output.event(Array("[DONE]".utf8))
      output.end()
      return
    }
    let (text, logprobs) = inner.withLock { ($0.text, $0.logprobs) }
    let choice: JSONValue
    if shape.isChat {
      choice = [
        "index": 0, "message": ["role": "assistant", "content": .string(text), "refusal": nil],
        "logprobs": shape.logprobs(logprobs, textOffset: 0), "finish_reason": .string(end.finishReason),
      ]
    } else {
      choice = [
        "index": 0, "text": .string(text), "logprobs": shape.logprobs(logprobs, textOffset: 0),
        "finish_reason": .string(end.finishReason),
      ]
    }
    let body: JSONValue = [
      "id": .string(shape.id), "object": shape.isChat ? "chat.completion" : "text_completion",
      "created": JSONValue(shape.created), "model": .string(shape.model), "choices": [choice], "usage": usage,
      "hotpot": .object(own),
    ]
    output.whole(.json(JSONWriter.bytes(body)))
  }
}

extension AnswerShape {
  /// What stands around the text in a chunk that has nothing else, by far the most of them: made once.
  fileprivate var textFrame: (head: [UInt8], tail: [UInt8])? {
    // JSON escapes this text, and nothing else of a chunk has it.
    let mark = "\u{0}text"
    let bytes = JSONWriter.bytes(chunk(text: mark, logprobs: [], finish: nil))
    var quoted: [UInt8] = []
    JSONWriter.writeString(mark, into: &quoted)
    guard let place = bytes.indices.last(where: { bytes[$0...].starts(with: quoted) }) else { return nil }
    return (Array(bytes[..<place]), Array(bytes[(place + quoted.count)...]))
  }

  fileprivate func frame(choices: [JSONValue]) -> JSONValue {
    [
      "id": .string(id), "object": isChat ? "chat.completion.chunk" : "text_completion",
      "created": JSONValue(created), "model": .string(model), "choices": .array(choices),
    ]
  }

  fileprivate func chunk(
    text: String, logprobs: [TextLogprob], textOffset: Int = 0, finish: String?
  ) -> JSONValue {
    if isChat {
      return chunk(
        delta: finish == nil ? ["content": .string(text)] : [:], logprobs: logprobs, finish: finish)
    }
    return frame(choices: [
      [
        "index": 0, "text": .string(text), "logprobs": self.logprobs(logprobs, textOffset: textOffset),
        "finish_reason": finish.map { .string($0) } ?? .null,
      ]
    ])
  }

  fileprivate func chunk(delta: JSONValue, logprobs: [TextLogprob], finish: String?) -> JSONValue {
    frame(choices: [
      [
        "index": 0, "delta": delta, "logprobs": self.logprobs(logprobs, textOffset: 0),
        "finish_reason": finish.map { .string($0) } ?? .null,
      ]
    ])
  }

  /// Chat's form is a list of objects, that of completions four parallel lists.
  fileprivate func logprobs(_ list: [TextLogprob], textOffset: Int) -> JSONValue {
    guard wantsLogprobs, !list.isEmpty else { return .null }
    if isChat {
      return [
        "content": .array(
          list.map { token in
            guard case .object(var members) = entry(token.chosen) else { return .null }
            members.append((key: "top_logprobs", value: .array(token.top.map(entry))))
            return .object(members)
          }),
        "refusal": nil,
      ]
    }
    var offset = textOffset
    var offsets: [JSONValue] = []
    for token in list {
      offsets.append(JSONValue(offset))
      offset += text(token.chosen.bytes).count
    }
    return [
      "tokens": .array(list.map { .string(text($0.chosen.bytes)) }),
      "token_logprobs": .array(list.map { .double(Double($0.chosen.logprob)) }),
      "top_logprobs": .array(
        list.map { token in
          .object(token.top.map { (key: text($0.bytes), value: .double(Double($0.logprob))) })
        }),
      "text_offset": .array(offsets),
    ]
  }

  private func entry(_ entry: TextLogprob.Entry) -> JSONValue {
    [
      "token": .string(text(entry.bytes)), "logprob": .double(Double(entry.logprob)),
      "bytes": .array(entry.bytes.map { JSONValue($0) }),
    ]
  }

  fileprivate func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
