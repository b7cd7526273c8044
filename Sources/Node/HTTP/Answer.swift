// Answer.swift: what comes back for one job, before it is put into the words of some protocol.
// Leaves out HTTP (Routes) and screens. Start at AnswerEvent.
import Control
import Inference

/// A request that is not answered, in OpenAI's terms.
/// Source: OpenAI API reference, error codes.
public struct APIError: Error, Sendable, Equatable, CustomStringConvertible {
  public let status: Int
  /// OpenAI's `type`, for example `invalid_request_error`.
  public let type: String
  /// Stable, for programs.
  public let code: String
  /// Lower case, no full stop: what was found and what was wanted.
  public let message: String
  /// The field at fault.
  public let parameter: String?
  /// Seconds after which it is worth asking again.
  public let retryAfter: Int?

  public init(
    status: Int, type: String, code: String, message: String, parameter: String? = nil, retryAfter: Int? = nil
  ) {
    self.status = status
    self.type = type
    self.code = code
    self.message = message
    self.parameter = parameter
    self.retryAfter = retryAfter
  }

  public var description: String { message }

  static func invalid(_ parameter: String?, _ message: String, code: String = "invalid_value") -> APIError {
    APIError(
      status: 400, type: "invalid_request_error", code: code, message: message, parameter: parameter)
  }

  static func unsupported(_ parameter: String, _ message: String) -> APIError {
    invalid(parameter, message, code: "unsupported_parameter")
  }

  static func notFound(_ what: String) -> APIError {
    APIError(status: 404, type: "invalid_request_error", code: "not_found", message: what)
  }

  static func unavailable(_ code: String, _ message: String, retryAfter: Int?) -> APIError {
    APIError(status: 503, type: "server_error", code: code, message: message, retryAfter: retryAfter)
  }
}

/// Tokens of one job, as OpenAI's `usage`.
public struct TokenCounts: Sendable, Equatable, Codable {
  public let prompt: Int
  public let cached: Int
  public let completion: Int

  public init(prompt: Int, cached: Int, completion: Int) {
    self.prompt = prompt
    self.cached = cached
    self.completion = completion
  }
}

/// How a job ended for which there is a receipt.
public struct AnswerEnd: Sendable, Equatable {
  /// `stop` or `length`; nil where the job was cut.
  public let finishReason: String?
  public let usage: TokenCounts
  /// nil where there is no receipt, with the reason in the log.
  public var receipt: String?
  /// The nonces of the receipt's commitments, in hex: only the client gets them.
  public var nonce: String?
  /// What it costs, in the node's currency.
  public let amount: MicroUnits?
  /// The generated token ids, end token included: with the prompt's ids and the nonce they open the receipt.
  public var tokens: [Int32]?
  /// Of a job that was cut: tokens whose text had gone out before the cut was known; neither receipted nor charged.
  public var unreceipted: [Int32] = []
  /// What else opens the receipt: in ascending order of token.
  public var biases: [SamplingRequest.TokenBias] = []
  public var stops: [String] = []
  public var ignoresEnd = false
}

/// What comes back for one job, in order. The last is `finished`, `cut` or `refused`.
public enum AnswerEvent: Sendable {
  /// A policy or an operator admitted it.
  case admitted
  /// It is being computed.
  case started
  /// More text, with the log-probabilities of its tokens where they were asked for.
  case text(String, [TextLogprob])
  case finished(AnswerEnd)
  /// It was cancelled or its time ran out, and it is charged for what it got: with its receipt.
  case cut(AnswerEnd, APIError)
  case refused(APIError)
}

/// One token with its log-probability and those of the likeliest instead of it.
public struct TextLogprob: Sendable, Equatable {
  public struct Entry: Sendable, Equatable {
    public let token: Int32
    public let bytes: [UInt8]
    /// It is no text: `bytes` are its name.
    public let isSpecial: Bool
    public let logprob: Float
  }

  public let chosen: Entry
  /// The likeliest, best first; the chosen one need not be among them.
  public let top: [Entry]
  /// Where the chosen token's text begins in the answer, in code points; at the end of the answer for what a stop string cut off.
  public var offset: Int
}

/// Where an answer goes. Called on the node's threads, in order; must return at once.
public typealias AnswerSink = @Sendable (AnswerEvent) -> Void
