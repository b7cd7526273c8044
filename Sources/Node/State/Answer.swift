// Answer.swift: what is returned for one job, before it is put into the terms of a protocol. Not
// here: why a job is refused (Refusal.swift), HTTP, screens. Start at AnswerEvent.
import Control
import Grammar
import Inference
import Receipts

/// Token counts of one job.
package struct TokenCounts: Sendable, Equatable, Codable {
  package let prompt: Int
  package let cached: Int
  package let completion: Int

  package init(prompt: Int, cached: Int, completion: Int) {
    self.prompt = prompt
    self.cached = cached
    self.completion = completion
  }
}

/// The end of a job that has a receipt.
package struct AnswerEnd: Sendable, Equatable {
  /// `stop` or `length`; nil if the job was cut.
  package let finishReason: String?
  package let usage: TokenCounts
  /// nil if there is no receipt; the log says why.
  package var receipt: String?
  /// The nonces of the receipt's commitments, in hex: only the client gets them.
  package var nonce: String?
  /// The node's part of them, if the client gave the other.
  package var nonceShare: String?
  /// What it costs, in the node's currency.
  package let amount: MicroUnits?
  /// The generated token ids, end token included: with the prompt's ids and the nonce they open the
  /// receipt.
  package var tokens: [Int32]?
  /// The vector of the text, if that was asked for.
  package var vector: [Float]?
  /// For a job that was cut: tokens whose text was sent before the cut was known; neither receipted
  /// nor charged.
  package var unreceipted: [Int32] = []
  /// Also opens the receipt: in ascending order of token.
  package var biases: [SamplingRequest.TokenBias] = []
  package var stops: [String] = []
  package var ignoresEnd = false
  package var constraint: ConstraintSource?
  /// The receipt itself, for clients that want it in the answer.
  package var inline: InlineReceipt?
}

/// What is returned for one job, in order. The last is `finished`, `cut` or `refused`.
package enum AnswerEvent: Sendable {
  /// A policy or an operator admitted it.
  case admitted
  /// It is being computed.
  case started
  /// More text, with the log-probabilities of its tokens if requested.
  case text(String, [TextLogprob])
  case finished(AnswerEnd)
  /// It was cancelled or its time ran out. It is charged for what it got, and has a receipt.
  case cut(AnswerEnd, Refusal)
  case refused(Refusal)
}

/// One token with its log-probability and those of the likeliest alternatives.
package struct TextLogprob: Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package let token: Int32
    package let bytes: [UInt8]
    /// It isn't text: `bytes` are its name.
    package let isSpecial: Bool
    package let logprob: Float
  }

  package let chosen: Entry
  /// The likeliest, best first; the chosen one isn't necessarily among them.
  package let top: [Entry]
  /// Where the chosen token's text begins in the answer, in code points; the end of the answer for
  /// tokens that a stop string cut off.
  package var offset: Int
}

/// The destination of an answer. Called on the node's threads, in order; must return at once.
package typealias AnswerSink = @Sendable (AnswerEvent) -> Void
