// StepModel.swift: how long a step takes here, learnt from the steps that were measured.
// Leaves out what a token costs by its position: the estimate follows it, as it rises quickly and falls slowly.
// Start at `prefillBudget(decodes:limits:)`.

/// All numbers come from `measured` alone, by fixed arithmetic, so that a replay learns the same.
struct StepModel: Sendable {
  /// Microseconds of a step that only decodes, by batch size: 1 to 16 exactly, then by powers of two. 0: not seen.
  private var decode = [Double](repeating: 0, count: 32)
  /// Microseconds a prompt token adds to a step that decodes, and to one that doesn't. 0: not seen.
  private(set) var mixedToken = 0.0
  private(set) var aloneToken = 0.0

  /// A step's tokens before anything was measured, and the least by which a prompt goes forward.
  static let firstChunk = 32
  static let leastChunk = 4

  private static func row(_ batch: Int) -> Int {
    batch <= 16 ? max(batch, 1) - 1 : min(31, 11 + (Int.bitWidth - (batch - 1).leadingZeroBitCount))
  }

  /// The time of a step with `batch` decodes and nothing else: as measured, else that of the nearest batch seen.
  func decodeTime(_ batch: Int) -> Double? {
    let row = Self.row(batch)
    if decode[row] > 0 { return decode[row] }
    for distance in 1..<decode.count {
      if row - distance >= 0, decode[row - distance] > 0 { return decode[row - distance] }
      if row + distance < decode.count, decode[row + distance] > 0 { return decode[row + distance] }
    }
    return nil
  }

  /// The time of one prompt token in a step without decodes.
  var prefillTime: Double? { aloneToken > 0 ? aloneToken : (mixedToken > 0 ? mixedToken : nil) }

  mutating func measured(decodes: Int, prefillTokens: Int, took: Microseconds) {
    let time = Double(min(max(took, 1), 60_000_000))
    if prefillTokens == 0 {
      if decodes > 0 { Self.learn(&decode[Self.row(decodes)], time, rise: 0.125) }
    } else if decodes == 0 {
      Self.learn(&aloneToken, time / Double(prefillTokens), rise: 0.5)
    } else if let base = decodeTime(decodes) {
      Self.learn(&mixedToken, (time - base) / Double(prefillTokens), rise: 0.5)
    }
  }

  /// One disturbed step moves an estimate by a bounded factor only.
  private static func learn(_ estimate: inout Double, _ sample: Double, rise: Double) {
    guard estimate > 0 else {
      estimate = max(sample, 0.01)
      return
    }
    let bounded = min(max(sample, estimate / 4), estimate * 4)
    estimate += (bounded - estimate) * (bounded > estimate ? rise : 0.125)
    estimate = max(estimate, 0.01)
  }

  /// Prompt tokens that fit beside `decodes` decodes in a step of the wanted length.
  func prefillBudget(decodes: Int, limits: Limits) -> Int {
    let room = limits.maxStepTokens - decodes
    guard decodes > 0 else {
      guard let token = prefillTime else { return min(room, Self.firstChunk * 2) }
      return min(room, max(Self.leastChunk, Int(min(Double(limits.prefillInterval) / token, 1e9))))
    }
    let token = mixedToken > 0 ? mixedToken : aloneToken
    guard let base = decodeTime(decodes), token > 0 else { return min(room, Self.firstChunk) }
    let step = min(base * limits.stallRatio, max(Double(limits.tokenInterval), base * 1.25))
    return min(room, max(Self.leastChunk, Int(min((step - base) / token, 1e9))))
  }
}
