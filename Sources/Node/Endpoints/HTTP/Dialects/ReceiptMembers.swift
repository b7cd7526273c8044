// ReceiptMembers.swift: what opens a receipt, as all dialects' answers contain it under the key
// `hotpot`. Not here: the rest of an answer (the dialects), reading it back (SavedAnswer.swift).
// Start at own.
import Control
import Inference
import JSON

enum ReceiptMembers {
  /// The text and what opens the receipt, for a job whose client did not receive the answer.
  static func all(_ kept: KeptTranscript) -> [JSONValue.Member] {
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
      receipt: kept.id, nonce: kept.nonces.hex, nonceShare: kept.nonceShare?.hex, amount: receipt.amount,
      tokens: kept.output,
      unreceipted: kept.unreceipted, biases: kept.sampling.logitBias, stops: kept.terms.stops,
      ignoresEnd: kept.terms.ignoresEnd, constraint: kept.terms.constraint)
    return [
      (key: "choices", value: [["index": 0, "text": .string(kept.answer), "finish_reason": reason]]),
      (
        key: "hotpot",
        value: own(end, job: kept.job.hex, seed: kept.sampling.seed, prompt: kept.prompt)
      ),
    ]
  }

  /// What opens an answer's receipt, how its text was read and what was left out of account.
  static func own(_ end: AnswerEnd, _ shape: AnswerShape) -> JSONValue {
    guard
      case .object(var members) = own(
        end, job: shape.job.hex, seed: shape.seed, prompt: shape.form.returnsTokens ? shape.prompt : nil)
    else { return .null }
    if let name = shape.parserName { members.append((key: "parser", value: .string(name))) }
    if !shape.echo.isEmpty { members.append((key: "echoed", value: JSONValue(shape.echo.utf8.count))) }
    if !shape.ignored.isEmpty {
      members.append((key: "ignored", value: .array(shape.ignored.prefix(64).map { .string($0) })))
    }
    return .object(members)
  }

  private static func receipt(_ end: AnswerEnd, _ job: String) -> [JSONValue.Member] {
    var own: [JSONValue.Member] = [(key: "job", value: .string(job))]
    if let receipt = end.receipt { own.append((key: "receipt", value: .string(receipt))) }
    if let nonce = end.nonce { own.append((key: "nonce", value: .string(nonce))) }
    if let share = end.nonceShare { own.append((key: "nonce_share", value: .string(share))) }
    if let inline = end.inline {
      own.append((key: "receipt_line", value: .string(inline.line)))
      if let signature = inline.signature {
        own.append((key: "receipt_signature", value: .string(signature)))
      }
    }
    return own
  }

  /// What opens the receipt, under the key `hotpot`.
  /// - prompt: its ids, if the client requested ids
  static func own(_ end: AnswerEnd, job: String, seed: UInt64, prompt: [Int32]?) -> JSONValue {
    var own = receipt(end, job)
    own.append((key: "seed", value: JSONValue(seed)))
    if let amount = end.amount { own.append((key: "amount_micro", value: JSONValue(amount))) }
    if let tokens = prompt {
      // If a job was cut during prefill, these are the tokens that were read: the receipt commits
      // to them.
      let prompt = end.finishReason == nil ? tokens.prefix(end.usage.prompt) : tokens[...]
      own.append((key: "prompt_token_ids", value: .array(prompt.map { JSONValue($0) })))
      own.append((key: "token_ids", value: .array((end.tokens ?? []).map { JSONValue($0) })))
      if !end.unreceipted.isEmpty {
        own.append((key: "unreceipted_token_ids", value: .array(end.unreceipted.map { JSONValue($0) })))
      }
      if !end.biases.isEmpty {
        // As a transcript spells them: the bits, which no number parser rounds.
        let pairs = end.biases.map { bias -> JSONValue in
          [JSONValue(bias.token), .string(hexadecimal(bias.bias.bitPattern))]
        }
        own.append((key: "logit_bias", value: .array(pairs)))
      }
      if !end.stops.isEmpty {
        own.append((key: "stop", value: .array(end.stops.map { .string($0) })))
      }
      if let constraint = end.constraint {
        own.append((key: "constraint", value: [.string(constraint.kind), .string(constraint.text)]))
      }
      if end.ignoresEnd { own.append((key: "ignore_eos", value: true)) }
    }
    return .object(own)
  }

  /// The same for the vector of a text, which itself stands elsewhere in the answer.
  static func own(_ end: AnswerEnd, job: String, prompt: [Int32]?) -> JSONValue {
    var own = receipt(end, job)
    if let amount = end.amount { own.append((key: "amount_micro", value: JSONValue(amount))) }
    if let prompt { own.append((key: "prompt_token_ids", value: .array(prompt.map { JSONValue($0) }))) }
    return .object(own)
  }

  /// The bits of a bias, as a transcript spells them.
  static func hexadecimal(_ bits: UInt32) -> String {
    let digits = String(bits, radix: 16)
    return String(repeating: "0", count: 8 - digits.utf8.count) + digits
  }
}
