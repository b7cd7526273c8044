// SamplingRequest.swift: the sampling parameters that a client may set, with their bounds. Not
// here: the drawing itself (Sampler.swift) and stop strings (StopMatcher.swift). Start at
// validate(vocabularySize:).

/// How the next token is chosen from a row of logits. A value: equal requests over equal logits,
/// history and output index give equal tokens on every machine.
///
/// The steps, in this order (all in f32 unless stated otherwise; names and meanings follow vLLM and
/// OpenAI):
/// 1. `logitBias`: `l += bias` for every token named.
/// 2. `repetitionPenalty` r, for every id that occurs in the prompt or in the output so far:
///    `l = l > 0 ? l / r : l * r`.
/// 3. `frequencyPenalty` f and `presencePenalty` p, for every id that occurs c > 0 times in the
///    output so far: `l = l - f * Float(c)`, then `l = l - p`.
/// 4. Under a constraint (`TokenConstraint`), ids that it does not allow after the output so far:
///    `l = -2^94`. If it allows none, no token is chosen.
/// 5. Order: logit descending, id ascending. `temperature` 0 takes the first of the order (greedy)
///    and stops here.
/// 6. `z_i = l_i / temperature` (a temperature between 0 and 0.01 counts as 0.01),
///    `w_i = floor(2^32 * exp(z_i - z_0))` as an integer, so that every sum below is exact.
/// 7. `minP` keeps the w_i of at least `floor(2^32 * minP)`. `topK` then keeps the first k of the
///    order, and `topP` the shortest prefix of it whose sum of w reaches `topP` of what is left. The
///    first of the order is always kept.
/// 8. u = the upper 24 bits of the first word of Philox4x32-10 (key = seed, counter = output
///    index); the token is the first in the order whose running sum of w exceeds `u / 2^24` of the
///    total that is left.
public struct SamplingRequest: Sendable, Equatable, Codable {
  /// 0 is greedy; at most 100.
  public var temperature: Float
  /// 0 keeps all.
  public var topK: Int
  /// In (0, 1]; 1 keeps all.
  public var topP: Float
  /// In [0, 1]; 0 keeps all.
  public var minP: Float
  /// In (0, 100]; 1 changes nothing.
  public var repetitionPenalty: Float
  /// In [-2, 2].
  public var presencePenalty: Float
  /// In [-2, 2].
  public var frequencyPenalty: Float
  /// At most 1,024 entries in ascending order of token, biases in [-100, 100].
  public var logitBias: [TokenBias]
  public var seed: UInt64
  /// How many of the likeliest tokens to report beside the chosen one: nil reports nothing, 0 the
  /// chosen one only, at most 20. Log-probabilities are of the model's own logits, before any of
  /// the steps above.
  public var topLogprobs: Int?

  public struct TokenBias: Sendable, Equatable, Codable {
    public var token: Int32
    public var bias: Float

    public init(token: Int32, bias: Float) {
      self.token = token
      self.bias = bias
    }
  }

  /// Lower temperatures above 0 count as this one.
  public static let lowestTemperature: Float = 0.01
  public static let maximumTopLogprobs = 20
  public static let maximumBiases = 1_024

  public init(
    temperature: Float = 0, topK: Int = 0, topP: Float = 1, minP: Float = 0, repetitionPenalty: Float = 1,
    presencePenalty: Float = 0, frequencyPenalty: Float = 0, logitBias: [TokenBias] = [], seed: UInt64 = 0,
    topLogprobs: Int? = nil
  ) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.minP = minP
    self.repetitionPenalty = repetitionPenalty
    self.presencePenalty = presencePenalty
    self.frequencyPenalty = frequencyPenalty
    self.logitBias = logitBias
    self.seed = seed
    self.topLogprobs = topLogprobs
  }

  public static let greedy = SamplingRequest()

  /// Whether the choice depends on the tokens so far, so that the request needs a transcript.
  public var usesHistory: Bool {
    repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0
  }

  /// Refuses every value outside the bounds that the properties state; `vocabularySize` bounds the
  /// biased tokens.
  public func validate(vocabularySize: Int) throws(SamplingError) {
    try SamplingRequest.check("temperature", temperature, 0...100)
    guard topK >= 0, topK <= Int(Int32.max) else {
      throw SamplingError(field: "top_k", found: "\(topK)", wanted: "0 to \(Int32.max)")
    }
    try SamplingRequest.check("top_p", topP, 0...1)
    guard topP > 0 else {
      throw SamplingError(field: "top_p", found: "\(topP)", wanted: "above 0, at most 1")
    }
    try SamplingRequest.check("min_p", minP, 0...1)
    try SamplingRequest.check("repetition_penalty", repetitionPenalty, 0.01...100)
    try SamplingRequest.check("presence_penalty", presencePenalty, -2...2)
    try SamplingRequest.check("frequency_penalty", frequencyPenalty, -2...2)
    guard logitBias.count <= SamplingRequest.maximumBiases else {
      throw SamplingError(
        field: "logit_bias", found: "\(logitBias.count) entries",
        wanted: "at most \(SamplingRequest.maximumBiases)")
    }
    var previous: Int32 = -1
    for entry in logitBias {
      guard entry.token >= 0, Int(entry.token) < vocabularySize else {
        throw SamplingError(
          field: "logit_bias", found: "token \(entry.token)", wanted: "0 to \(vocabularySize - 1)")
      }
      guard entry.token > previous else {
        throw SamplingError(
          field: "logit_bias", found: "token \(entry.token) after \(previous)",
          wanted: "tokens ascending, each once")
      }
      previous = entry.token
      try SamplingRequest.check("logit_bias", entry.bias, -100...100)
    }
    if let count = topLogprobs {
      guard (0...SamplingRequest.maximumTopLogprobs).contains(count) else {
        throw SamplingError(
          field: "top_logprobs", found: "\(count)", wanted: "0 to \(SamplingRequest.maximumTopLogprobs)")
      }
    }
  }

  private static func check(_ field: String, _ value: Float, _ range: ClosedRange<Float>)
    throws(SamplingError)
  {
    guard range.contains(value) else {
      throw SamplingError(
        field: field, found: "\(value)", wanted: "\(range.lowerBound) to \(range.upperBound)")
    }
  }
}

/// A sampling parameter outside its bounds.
public struct SamplingError: Error, Equatable, Sendable, CustomStringConvertible {
  public let field: String
  public let found: String
  public let wanted: String

  public init(field: String, found: String, wanted: String) {
    self.field = field
    self.found = found
    self.wanted = wanted
  }

  public var description: String { "\(field): found \(found), wanted \(wanted)" }
}
