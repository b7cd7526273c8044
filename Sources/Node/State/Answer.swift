// Answer.swift: what comes back for one job, before it is put into the words of some protocol.
// Leaves out why a job is refused (Refusal.swift), HTTP and screens. Start at AnswerEvent.
import Control
import Inference

/// Tokens of one job.
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

/// How a job ended for which there is a receipt.
package struct AnswerEnd: Sendable, Equatable {
  /// `stop` or `length`; nil where the job was cut.
  package let finishReason: String?
  package let usage: TokenCounts
  /// nil where there is no receipt, with the reason in the log.
  package var receipt: String?
  /// The nonces of the receipt's commitments, in hex: only the client gets them.
  package var nonce: String?
  /// What it costs, in the node's currency.
  package let amount: MicroUnits?
  /// The generated token ids, end token included: with the prompt's ids and the nonce they open the receipt.
  package var tokens: [Int32]?
  /// Of a job that was cut: tokens whose text had gone out before the cut was known; neither receipted nor charged.
  package var unreceipted: [Int32] = []
  /// What else opens the receipt: in ascending order of token.
  package var biases: [SamplingRequest.TokenBias] = []
  package var stops: [String] = []
  package var ignoresEnd = false
}

/// What comes back for one job, in order. The last is `finished`, `cut` or `refused`.
package enum AnswerEvent: Sendable {
  /// A policy or an operator admitted it.
  case admitted
  /// It is being computed.
  case started
  /// More text, with the log-probabilities of its tokens where they were asked for.
  case text(String, [TextLogprob])
  case finished(AnswerEnd)
  /// It was cancelled or its time ran out, and it is charged for what it got: with its receipt.
  case cut(AnswerEnd, Refusal)
  case refused(Refusal)
}

/// One token with its log-probability and those of the likeliest instead of it.
package struct TextLogprob: Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package let token: Int32
    package let bytes: [UInt8]
    /// It is no text: `bytes` are its name.
    package let isSpecial: Bool
    package let logprob: Float
  }

  package let chosen: Entry
  /// The likeliest, best first; the chosen one need not be among them.
  package let top: [Entry]
  /// Where the chosen token's text begins in the answer, in code points; at the end of the answer for what a stop string cut off.
  package var offset: Int
}

/// Where an answer goes. Called on the node's threads, in order; must return at once.
package typealias AnswerSink = @Sendable (AnswerEvent) -> Void
