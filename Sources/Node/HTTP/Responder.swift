// Responder.swift: one answer in OpenAI's words, streamed or whole, as its events come.
// Leaves out the request (CompletionRequest) and routes. Start at Responder.take.
import Foundation
import Intake
import JSON
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
          send(shape.chunk(text: text, logprobs: logprobs, finish: nil))
        }
      } else {
        inner.withLock {
          $0.text += text
          $0.logprobs += logprobs
        }
      }
    case .finished(let end): finish(end)
    case .cut(let end, let error): cut(end, error)
    case .refused(let error): refuse(error)
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

  /// The error, and what the client needs to check what it owes; whole answers bring the text so far along.
  private func cut(_ end: AnswerEnd, _ error: APIError) {
    guard case .object(var members) = error.json else { return }
    if shape.isStreamed, inner.withLock({ $0.hasBegun }) {
      members.append((key: "id", value: .string(shape.id)))
      members.append((key: "model", value: .string(shape.model)))
      members.append((key: "hotpot", value: own(end)))
      members.append((key: "usage", value: usage(end)))
      send(.object(members))
      output.end()
      return
    }
    for member in whole(end) where member.key != "error" { members.append(member) }
    var response = Response.json(JSONWriter.bytes(.object(members)), status: error.status)
    if let after = error.retryAfter { response = response.with("Retry-After", String(after)) }
    output.whole(response)
  }

  /// The text and what opens the receipt, of a job whose answer nobody took.
  static func members(_ kept: KeptTranscript) -> [JSONValue.Member] {
    let receipt = kept.receipt
    let reason: JSONValue =
      switch receipt.finish {
      case .stop, .stopString: "stop"
      case .length, .context: "length"
      case .cancelled, .cancelledByClient, .cancelledByOperator, .expired: .null
      }
    let end = AnswerEnd(
      finishReason: nil,
      usage: TokenCounts(
        prompt: receipt.promptTokens, cached: receipt.cachedTokens, completion: receipt.completionTokens),
      receipt: kept.id, nonce: kept.nonces.hex, amount: receipt.amount, tokens: kept.output,
      unreceipted: kept.unreceipted, biases: kept.sampling.logitBias, stops: kept.terms.stops,
      ignoresEnd: kept.terms.ignoresEnd)
    return [
      (key: "choices", value: [["index": 0, "text": .string(kept.answer), "finish_reason": reason]]),
      (
        key: "hotpot",
        value: own(end, job: kept.job.hex, seed: kept.sampling.seed, prompt: kept.prompt)
      ),
    ]
  }

  private func own(_ end: AnswerEnd) -> JSONValue {
    Self.own(end, job: shape.job, seed: shape.seed, prompt: shape.promptTokens)
  }

  /// What opens the receipt, under the key `hotpot`.
  /// - prompt: its ids, where the client asked for ids
  private static func own(_ end: AnswerEnd, job: String, seed: UInt64, prompt: [Int32]?) -> JSONValue {
    var own: [JSONValue.Member] = [(key: "job", value: .string(job))]
    if let receipt = end.receipt { own.append((key: "receipt", value: .string(receipt))) }
    if let nonce = end.nonce { own.append((key: "nonce", value: .string(nonce))) }
    own.append((key: "seed", value: JSONValue(seed)))
    if let amount = end.amount { own.append((key: "amount_micro", value: JSONValue(amount))) }
    if let tokens = prompt {
      // Of a job that was cut while its prompt was read, what was read: that is what the receipt commits to.
      let prompt = end.finishReason == nil ? tokens.prefix(end.usage.prompt) : tokens[...]
      own.append((key: "prompt_token_ids", value: .array(prompt.map { JSONValue($0) })))
      own.append((key: "token_ids", value: .array((end.tokens ?? []).map { JSONValue($0) })))
      if !end.unreceipted.isEmpty {
        own.append((key: "unreceipted_token_ids", value: .array(end.unreceipted.map { JSONValue($0) })))
      }
      if !end.biases.isEmpty {
        // As a transcript spells them: the bits, which no reader of numbers rounds.
        let pairs = end.biases.map { bias -> JSONValue in
          [JSONValue(bias.token), .string(SavedAnswer.hexadecimal(bias.bias.bitPattern))]
        }
        own.append((key: "logit_bias", value: .array(pairs)))
      }
      if !end.stops.isEmpty {
        own.append((key: "stop", value: .array(end.stops.map { .string($0) })))
      }
      if end.ignoresEnd { own.append((key: "ignore_eos", value: true)) }
    }
    return .object(own)
  }

  private func usage(_ end: AnswerEnd) -> JSONValue {
    [
      "prompt_tokens": JSONValue(end.usage.prompt), "completion_tokens": JSONValue(end.usage.completion),
      "total_tokens": JSONValue(end.usage.prompt + end.usage.completion),
      "prompt_tokens_details": ["cached_tokens": JSONValue(end.usage.cached)],
    ]
  }

  private func finish(_ end: AnswerEnd) {
    if shape.isStreamed {
      begin()
      guard
        case .object(var members) = shape.chunk(text: "", logprobs: [], finish: end.finishReason ?? "stop")
      else {
        return
      }
      members.append((key: "hotpot", value: own(end)))
      send(.object(members))
      if shape.includesUsage {
        guard case .object(var members) = shape.frame(choices: []) else { return }
        members.append((key: "usage", value: usage(end)))
        send(.object(members))
      }
      output.event(Array("[DONE]".utf8))
      output.end()
      return
    }
    output.whole(.json(JSONWriter.bytes(.object(whole(end)))))
  }

  private func whole(_ end: AnswerEnd) -> [JSONValue.Member] {
    let (text, logprobs) = inner.withLock { ($0.text, $0.logprobs) }
    let choice: JSONValue
    if shape.isChat {
      choice = [
        "index": 0, "message": ["role": "assistant", "content": .string(text), "refusal": nil],
        "logprobs": shape.logprobs(logprobs),
        "finish_reason": end.finishReason.map { .string($0) } ?? .null,
      ]
    } else {
      choice = [
        "index": 0, "text": .string(text), "logprobs": shape.logprobs(logprobs),
        "finish_reason": end.finishReason.map { .string($0) } ?? .null,
      ]
    }
    return [
      (key: "id", value: .string(shape.id)),
      (key: "object", value: shape.isChat ? "chat.completion" : "text_completion"),
      (key: "created", value: JSONValue(shape.created)), (key: "model", value: .string(shape.model)),
      (key: "choices", value: [choice]), (key: "usage", value: usage(end)),
      (key: "hotpot", value: own(end)),
    ]
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
    text: String, logprobs: [TextLogprob], finish: String?
  ) -> JSONValue {
    if isChat {
      return chunk(
        delta: finish == nil ? ["content": .string(text)] : [:], logprobs: logprobs, finish: finish)
    }
    return frame(choices: [
      [
        "index": 0, "text": .string(text), "logprobs": self.logprobs(logprobs),
        "finish_reason": finish.map { .string($0) } ?? .null,
      ]
    ])
  }

  fileprivate func chunk(delta: JSONValue, logprobs: [TextLogprob], finish: String?) -> JSONValue {
    frame(choices: [
      [
        "index": 0, "delta": delta, "logprobs": self.logprobs(logprobs),
        "finish_reason": finish.map { .string($0) } ?? .null,
      ]
    ])
  }

  /// Chat's form is a list of objects, that of completions four parallel lists.
  fileprivate func logprobs(_ list: [TextLogprob]) -> JSONValue {
    guard wantsLogprobs, !list.isEmpty else { return .null }
    if isChat {
      return [
        "content": .array(
          list.map { token in
            guard case .object(var members) = token.chosen.json else { return .null }
            members.append((key: "top_logprobs", value: .array(token.top.map(\.json))))
            return .object(members)
          }),
        "refusal": nil,
      ]
    }
    let named = list.map { CompletionLogprobs($0) }
    return [
      "tokens": .array(named.map { .string($0.chosen) }),
      "token_logprobs": .array(list.map { .double(Double($0.chosen.logprob)) }),
      "top_logprobs": .array(
        named.map { token in
          .object(token.top.map { (key: $0.name, value: .double(Double($0.logprob))) })
        }),
      "text_offset": .array(list.map { JSONValue($0.offset) }),
    ]
  }
}

/// One token in the form of completions, where names stand for tokens: every token has a name of its own, and
/// the chosen one is among the likeliest, as one more where it is not one of them.
///
/// - The name is the token's text. That of a token which is no text of its own, such as a part of a character, is
///   `bytes:` and its bytes, each as `\xe6`, as OpenAI names it; so is that of a text which looks like such a name.
/// - Two tokens may have one text. The chosen one keeps it, else the likelier; the other is `token_id:` and its id, vLLM's
///   name for it.
///
/// Source: OpenAI API reference, completions: "there may be up to `logprobs+1` elements".
struct CompletionLogprobs: Sendable {
  let chosen: String
  /// Likeliest first.
  let top: [(name: String, logprob: Float)]

  init(_ token: TextLogprob) {
    let chosen = token.chosen.name
    // Two spellings of one character are two names to every reader of JSON.
    var taken: Set<[UInt8]> = [Array(chosen.utf8)]
    var top: [(name: String, logprob: Float)] = []
    for entry in token.top {
      if entry.token == token.chosen.token {
        top.append((chosen, entry.logprob))
      } else {
        let isFree = taken.insert(Array(entry.name.utf8)).inserted
        top.append((isFree ? entry.name : "token_id:\(entry.token)", entry.logprob))
      }
    }
    if !token.top.contains(where: { $0.token == token.chosen.token }) {
      top.append((chosen, token.chosen.logprob))
    }
    self.chosen = chosen
    self.top = top
  }
}

extension TextLogprob.Entry {
  /// Its text; nil where its bytes are none.
  private var text: String? { String(validating: bytes, as: UTF8.self) }

  private var escaped: String {
    bytes.map { byte in
      let digits = String(byte, radix: 16)
      return byte < 16 ? "\\x0" + digits : "\\x" + digits
    }.joined()
  }

  fileprivate var name: String {
    guard let text, !text.isEmpty else { return bytes.isEmpty ? "token_id:\(token)" : "bytes:" + escaped }
    return ["bytes:", "token_id:"].contains(where: text.hasPrefix) ? "bytes:" + escaped : text
  }

  /// Chat's form. What is no text of its own is written as its bytes, `\xe6`; they stand beside it as numbers too.
  fileprivate var json: JSONValue {
    [
      "token": .string(text ?? escaped), "logprob": .double(Double(logprob)),
      // A special token is a name, and no bytes of any text.
      "bytes": isSpecial ? .null : .array(bytes.map { JSONValue($0) }),
    ]
  }
}
