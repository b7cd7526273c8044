// Sampler.swift: from one row of logits to one token, without sorting more than needed. The meaning
// of every step, and validation, are in SamplingRequest.swift. This file knows nothing about the
// engine. Start at choose(from:context:position:).
//
// Weights are integers, so sums do not depend on order. Therefore the row is divided into 256
// buckets by distance from the maximum (a monotone function of the logit). Whole buckets are kept
// or dropped by their sums, and only the bucket that contains a limit is sorted.
import CKernels

/// A request together with the tokens it refers to.
public struct SamplingContext: Sendable {
  public var request: SamplingRequest
  /// What the text must be; nil allows every token.
  public var constraint: (any TokenConstraint)?
  /// The first `promptCount` tokens of the sequence are the prompt; the token at absolute position
  /// `promptCount + i` is output i, and its draw uses the counter i.
  public var promptCount: Int
  /// The sequence so far, prompt first. Read only if `usesTranscript`; it must then cover all
  /// positions before the token to choose, and may be longer.
  public var transcript: [Int32]

  public init(
    _ request: SamplingRequest, promptCount: Int, transcript: [Int32] = [],
    constraint: (any TokenConstraint)? = nil
  ) {
    self.request = request
    self.constraint = constraint
    self.promptCount = promptCount
    self.transcript = transcript
  }

  /// Whether the choice depends on the tokens so far.
  public var usesTranscript: Bool { request.usesHistory || constraint != nil }
}

/// A token with its log-probability under the model's unmodified logits.
public struct TokenLogprob: Sendable, Equatable, Codable {
  public var token: Int32
  public var logprob: Float

  public init(token: Int32, logprob: Float) {
    self.token = token
    self.logprob = logprob
  }
}

/// The sampler's choice for one position.
public struct SampledToken: Sendable, Equatable {
  public var token: Int32
  /// The log-probability of the chosen token; nil unless `topLogprobs` was requested.
  public var logprob: Float?
  /// The likeliest first, ties by ascending id.
  public var top: [TokenLogprob]
}

/// Draws tokens. Holds scratch memory of a few words per token of the vocabulary; one owner at a
/// time.
public final class Sampler {
  public let vocabularySize: Int
  private let level: ck_level
  private let weights: UnsafeMutablePointer<Float>
  private let buckets: UnsafeMutablePointer<UInt8>
  /// Occurrences in the output, plus 2^31 if the token occurs in the prompt; all zero between
  /// calls.
  private let occurrences: UnsafeMutablePointer<UInt32>
  private var candidates: [Int32] = []

  static let scale: Float = 0x1p32
  /// The logit of a token that a constraint forbids: below all others, and its weight is zero.
  private static let forbidden: Float = -0x1p94
  private static let inPrompt: UInt32 = 1 << 31
  private static let bucketsPerUnit: Float = 11.5

  public init(vocabularySize: Int, level: KernelLevel) {
    self.level = level.kernels
    self.vocabularySize = vocabularySize
    weights = .allocate(capacity: vocabularySize)
    buckets = .allocate(capacity: vocabularySize)
    occurrences = .allocate(capacity: vocabularySize)
    weights.initialize(repeating: 0, count: vocabularySize)
    buckets.initialize(repeating: 0, count: vocabularySize)
    occurrences.initialize(repeating: 0, count: vocabularySize)
  }

  deinit {
    weights.deallocate()
    buckets.deallocate()
    occurrences.deallocate()
  }

  /// Chooses the token at absolute position `position` from the logits of the position before it.
  /// Changes `logits` (bias, penalties and constraint). Returns nil if a logit is not finite, or
  /// 2^96 or more, or if the constraint allows no token. The request must be valid.
  /// - logits: (vocabularySize)
  public func choose(
    from logits: UnsafeMutablePointer<Float>, context: SamplingContext, position: Int
  ) -> SampledToken? {
    guard let raw = Sampler.maximum(logits, vocabularySize) else { return nil }
    let request = context.request
    var sum: Double = 0
    var top: [TokenLogprob] = []
    var rawLogits: [Int32: Float] = [:]
    if let count = request.topLogprobs {
      sum = logSum(logits, maximum: raw.value)
      for id in likeliest(count, of: logits) {
        top.append(TokenLogprob(token: id, logprob: Float(Double(logits[Int(id)] - raw.value) - sum)))
      }
      for entry in request.logitBias { rawLogits[entry.token] = logits[Int(entry.token)] }
      if request.usesHistory {
        for id in context.transcript.prefix(position) { rawLogits[id] = logits[Int(id)] }
      }
    }
    var best = raw
    if !request.logitBias.isEmpty || context.usesTranscript {
      for entry in request.logitBias { logits[Int(entry.token)] += entry.bias }
      if request.usesHistory { penalise(logits, context: context, position: position) }
      if let constraint = context.constraint {
        let output = context.transcript.prefix(position).dropFirst(context.promptCount)
        guard let allowed = constraint.allowed(after: output), forbidOthers(logits, allowed) else {
          return nil
        }
      }
      guard let changed = Sampler.maximum(logits, vocabularySize) else { return nil }
      // The likeliest allowed token must be above those that are not.
      if context.constraint != nil, changed.value <= Sampler.forbidden { return nil }
      best = changed
    }
    let token =
      request.temperature == 0
      ? best.token
      : draw(from: logits, best: best, request: request, index: position - context.promptCount)
    var chosen: Float?
    if request.topLogprobs != nil {
      let value = rawLogits[token] ?? logits[Int(token)]
      chosen = Float(Double(value - raw.value) - sum)
    }
    return SampledToken(token: token, logprob: chosen, top: top)
  }

  /// The largest logit and the lowest id that has it; nil if any logit is not finite, or 2^96 or
  /// more.
  static func maximum(_ logits: UnsafePointer<Float>, _ count: Int) -> (value: Float, token: Int32)? {
    var lanes = SIMD16<Float>(repeating: -.infinity)
    // y - y is 0 for a finite y and NaN for any other; scaling by 2^32 leaves headroom for a
    // division by the temperature.
    var trouble = SIMD16<Float>(repeating: 0)
    var i = 0
    while i + 16 <= count {
      let x = UnsafeRawPointer(logits + i).loadUnaligned(as: SIMD16<Float>.self)
      lanes.replace(with: x, where: x .> lanes)
      let y = x * Sampler.scale
      trouble += y - y
      i += 16
    }
    var value = lanes.max()
    var rest = trouble.sum()
    while i < count {
      value = max(value, logits[i])
      let y = logits[i] * Sampler.scale
      rest += y - y
      i += 1
    }
    guard rest == 0 else { return nil }
    var id = 0
    while id < count && logits[id] != value { id += 1 }
    return id < count ? (value, Int32(id)) : nil
  }

  /// The log of the sum of exp(l - maximum) over all logits.
  private func logSum(_ logits: UnsafePointer<Float>, maximum: Float) -> Double {
    for i in 0..<vocabularySize { weights[i] = logits[i] - maximum }
    ck_exp(level, weights, UInt32(vocabularySize), weights)
    var total: UInt64 = 0
    for i in 0..<vocabularySize { total &+= UInt64(weights[i] * Sampler.scale) }
    return Sampler.log(Double(total) * 0x1p-32)
  }

  /// Natural logarithm of a finite x >= 1, computed by plain arithmetic, because libm's result
  /// differs between versions. With x = m * 2^e, m in [2^-1/2, 2^1/2): log m = 2 artanh((m - 1) /
  /// (m + 1)) by its series to the 21st power (error below 1e-16).
  static func log(_ x: Double) -> Double {
    var exponent = Double(x.exponent)
    var m = x.significand
    if m > 1.4142135623730951 {
      m *= 0.5
      exponent += 1
    }
    let s = (m - 1) / (m + 1)
    let square = s * s
    var series = 0.0
    var k = 21
    while k >= 1 {
      series = series * square + 1 / Double(k)
      k -= 2
    }
    return exponent * 0.6931471805599453 + 2 * s * series
  }

  /// The first `count` of the order, by insertion into a short list.
  private func likeliest(_ count: Int, of logits: UnsafePointer<Float>) -> [Int32] {
    guard count > 0 else { return [] }
    var list: [Int32] = []
    list.reserveCapacity(count + 1)
    var threshold = -Float.infinity
    for i in 0..<vocabularySize where logits[i] > threshold || list.count < count {
      let value = logits[i]
      var at = list.count
      while at > 0 && logits[Int(list[at - 1])] < value { at -= 1 }
      list.insert(Int32(i), at: at)
      if list.count > count { list.removeLast() }
      if list.count == count, let last = list.last { threshold = logits[Int(last)] }
    }
    return list
  }

  private func penalise(
    _ logits: UnsafeMutablePointer<Float>, context: SamplingContext, position: Int
  ) {
    let request = context.request
    let transcript = context.transcript.prefix(position)
    for (i, token) in transcript.enumerated() {
      if i < context.promptCount {
        occurrences[Int(token)] |= Sampler.inPrompt
      } else {
        occurrences[Int(token)] += 1
      }
    }
    for token in transcript {
      let seen = occurrences[Int(token)]
      if seen == 0 { continue }
      occurrences[Int(token)] = 0
      var value = logits[Int(token)]
      if request.repetitionPenalty != 1 {
        value = value > 0 ? value / request.repetitionPenalty : value * request.repetitionPenalty
      }
      let count = seen & ~Sampler.inPrompt
      if count > 0 {
        value -= request.frequencyPenalty * Float(count)
        value -= request.presencePenalty
      }
      logits[Int(token)] = value
    }
  }

  /// Takes all ids out of the choice that a set does not have; false if the set does not cover the
  /// vocabulary.
  private func forbidOthers(_ logits: UnsafeMutablePointer<Float>, _ allowed: [UInt64]) -> Bool {
    guard allowed.count * 64 >= vocabularySize else { return false }
    for (index, word) in allowed.enumerated() where word != .max {
      let first = index * 64
      let count = min(64, vocabularySize - first)
      guard count > 0 else { break }
      if word == 0 {
        (logits + first).update(repeating: Sampler.forbidden, count: count)
        continue
      }
      var others = ~word
      while others != 0 {
        let bit = others.trailingZeroBitCount
        if bit < count { logits[first + bit] = Sampler.forbidden }
        others &= others - 1
      }
    }
    return true
  }

  /// Where the kept part of the order ends: all buckets before `bucket`, and the first `count` of
  /// that bucket.
  private struct Limit {
    var bucket = 256
    var count = 0
    var mass: UInt64
  }

  private func draw(
    from logits: UnsafePointer<Float>, best: (value: Float, token: Int32), request: SamplingRequest,
    index: Int
  ) -> Int32 {
    let temperature = max(request.temperature, SamplingRequest.lowestTemperature)
    let first = best.value / temperature
    for i in 0..<vocabularySize { weights[i] = logits[i] / temperature - first }
    var count = [Int](repeating: 0, count: 256)
    var mass = [UInt64](repeating: 0, count: 256)
    for i in 0..<vocabularySize {
      buckets[i] = UInt8(min(255, -weights[i] * Sampler.bucketsPerUnit))
    }
    ck_exp(level, weights, UInt32(vocabularySize), weights)
    let floor = UInt64(request.minP * Sampler.scale)
    var total: UInt64 = 0
    for i in 0..<vocabularySize {
      let bucket = Int(buckets[i])
      var weight = UInt64(weights[i] * Sampler.scale)
      if weight < floor {
        weight = 0
        weights[i] = 0
      }
      count[bucket] += 1
      mass[bucket] &+= weight
      total &+= weight
    }
    var limit = Limit(mass: total)
    if request.topK > 0 && request.topK < vocabularySize {
      var before = 0
      var sum: UInt64 = 0
      for bucket in 0..<256 {
        if before + count[bucket] >= request.topK {
          limit = Limit(bucket: bucket, count: request.topK - before, mass: sum)
          if mass[bucket] > 0 {
            sort(bucket, of: logits)
            for id in candidates.prefix(limit.count) { limit.mass &+= weight(id) }
          }
          break
        }
        before += count[bucket]
        sum &+= mass[bucket]
      }
    }
    if request.topP < 1 {
      let wanted = Double(request.topP) * Double(limit.mass)
      limit = cut(limit, mass: mass, logits: logits) { Double($0) >= wanted } ?? limit
    }
    let u = UInt128(Philox.bits24(seed: request.seed, index: index))
    let wanted = u * UInt128(limit.mass)
    let chosen = cut(limit, mass: mass, logits: logits) { UInt128($0) << 24 > wanted }
    // The running sum ends at limit.mass, which always exceeds u / 2^24 of itself, because the
    // first token alone weighs 2^32.
    guard let chosen, chosen.count > 0, chosen.count <= candidates.count else { return best.token }
    return candidates[chosen.count - 1]
  }

  /// The shortest prefix of the order, within `limit`, whose running sum satisfies `enough`. Leaves
  /// the sorted bucket in `candidates`.
  private func cut(
    _ limit: Limit, mass: [UInt64], logits: UnsafePointer<Float>, enough: (UInt64) -> Bool
  ) -> Limit? {
    var sum: UInt64 = 0
    for bucket in 0..<min(256, limit.bucket + 1) {
      let whole = bucket < limit.bucket
      if whole && !enough(sum &+ mass[bucket]) {
        sum &+= mass[bucket]
        continue
      }
      sort(bucket, of: logits)
      let end = whole ? candidates.count : limit.count
      for (i, id) in candidates.prefix(end).enumerated() {
        sum &+= weight(id)
        if enough(sum) { return Limit(bucket: bucket, count: i + 1, mass: sum) }
      }
    }
    return nil
  }

  private func weight(_ id: Int32) -> UInt64 { UInt64(weights[Int(id)] * Sampler.scale) }

  private func sort(_ bucket: Int, of logits: UnsafePointer<Float>) {
    candidates.removeAll(keepingCapacity: true)
    let wanted = UInt8(bucket)
    for i in 0..<vocabularySize where buckets[i] == wanted { candidates.append(Int32(i)) }
    candidates.sort { a, b in
      let x = logits[Int(a)]
      let y = logits[Int(b)]
      return x > y || (x == y && a < b)
    }
  }
}
