// StepModel.swift: how long a step takes on this machine, learnt from measured steps. A prompt
// token beside decodes has no single price. A few are nearly free, because the weights are read
// anyway; tokens at deep positions are expensive, because attention reads all positions before
// them. So prices are kept by size and by depth, and larger sizes are tried in small increments.
// Start at `prefillBudget(decodes:depth:limits:)`.

/// All numbers come from `measured` alone, by fixed arithmetic, so a replay learns the same.
struct StepModel: Sendable {
  /// A step's decodes: how many, and their mean position.
  struct Decodes: Hashable, Sendable {
    var count = 0
    var depth = 0
  }

  /// Microseconds of a step that only decodes, by batch size (1 to 16 exactly, then by powers of
  /// two) and by depth. 0: not seen.
  private var decode = [Double](repeating: 0, count: rows * reaches)
  /// Whether a second step has confirmed it.
  private var isConfirmed = [Bool](repeating: false, count: rows * reaches)
  /// The decodes of the last step that only decoded.
  private var lastReach = 0
  /// Steps since then that took prompt tokens beside decodes.
  private var mixedSteps = 0
  /// Microseconds that a prompt token adds to a step with decodes, by size and depth. 0: not seen.
  private var mixed = [Double](repeating: 0, count: sizes.count * depths)
  /// The same for recent steps of any size and depth, and for steps without decodes. 0: not seen.
  private var mixedToken = 0.0
  private var aloneToken = 0.0

  /// Prompt tokens beside decodes before any were measured.
  static let firstChunk = 8
  /// The least that a prompt advances: one token where even that is expensive, because far into a
  /// long prompt a token reads as much memory as a decode there.
  static let leastChunk = 1
  /// Prompt tokens of a step without decodes before any were measured.
  static let firstPrefill = 64

  /// The smallest chunk of each size class, a quarter larger than the one before: 1, 2, 3, 4, 5, 6,
  /// 7, 8, 10, 12, 15 and so on.
  private static let sizes: [Int] = {
    var sizes = [1]
    while let last = sizes.last, last < 1 << 16 { sizes.append(max(last + 1, last * 5 / 4)) }
    return sizes
  }()
  private static let depths = 16
  /// Assumed cost of a depth that was never tried, relative to the next shallower one: it is at
  /// most twice as deep.
  private static let deeper = 2.0
  /// Once in this many steps with prompt tokens, the next larger size is tried if it fits at the
  /// price of the smaller one, whatever it seemed to take: otherwise one disturbed measurement
  /// would rule that size out for good.
  private static let retry = 8
  /// After this many steps with prompt tokens, one decode-only step refreshes the baseline.
  private static let longestMixed = 32

  private static let rows = 32
  private static let reaches = 48

  /// 0 below 128 positions, then four for each doubling.
  private static func reach(_ position: Int) -> Int {
    guard position >= 128 else { return 0 }
    let bits = Int.bitWidth - position.leadingZeroBitCount
    return min(reaches - 1, 1 + 4 * (bits - 8) + (position >> (bits - 3)) % 4)
  }

  private static func row(_ batch: Int) -> Int {
    batch <= 16 ? max(batch, 1) - 1 : min(31, 11 + (Int.bitWidth - (batch - 1).leadingZeroBitCount))
  }

  private static func size(_ tokens: Int) -> Int {
    (sizes.firstIndex { $0 > tokens } ?? sizes.count) - 1
  }

  /// 0 below 256 positions, then one for each doubling.
  private static func depth(_ position: Int) -> Int {
    position < 256 ? 0 : min(depths - 1, Int.bitWidth - 8 - position.leadingZeroBitCount)
  }

  /// The time of a step with this many decodes and nothing else, at the depth of the last decodes.
  func decodeTime(_ batch: Int) -> Double? { decodeTime(Self.row(batch), lastReach) }

  /// The measured time, otherwise that of the nearest depth seen, otherwise that of the nearest
  /// batch size.
  private func decodeTime(_ row: Int, _ reach: Int) -> Double? {
    func nearest(_ count: Int, to place: Int, _ found: (Int) -> Double?) -> Double? {
      for distance in 0..<count {
        if place - distance >= 0, let time = found(place - distance) { return time }
        if place + distance < count, let time = found(place + distance) { return time }
      }
      return nil
    }
    return nearest(Self.rows, to: row) { row in
      nearest(Self.reaches, to: reach) { reach in
        let time = decode[row * Self.reaches + reach]
        return time > 0 ? time : nil
      }
    }
  }

  /// The time of one prompt token in a step without decodes.
  var prefillTime: Double? { aloneToken > 0 ? aloneToken : (mixedToken > 0 ? mixedToken : nil) }

  /// Learns from one step that took `took`.
  /// - depth: the mean position of its prompt tokens
  mutating func measured(_ decodes: Decodes, prefillTokens: Int, depth: Int, took: Microseconds) {
    let time = Double(min(max(took, 1), 60_000_000))
    let (row, reach) = (Self.row(decodes.count), Self.reach(decodes.depth))
    if prefillTokens == 0 {
      guard decodes.count > 0 else { return }
      let place = row * Self.reaches + reach
      lastReach = reach
      if decode[place] == 0 {
        decode[place] = time
      } else if !isConfirmed[place] {
        // Of two samples, keep the one that was disturbed less.
        decode[place] = min(decode[place], time)
        isConfirmed[place] = true
      } else {
        // Rare samples weigh more.
        Self.follow(&decode[place], time, by: mixedSteps > 0 ? 1.25 : 1.03)
      }
      mixedSteps = 0
    } else if decodes.count == 0 {
      Self.learn(&aloneToken, time / Double(prefillTokens))
    } else if let base = decodeTime(row, reach) {
      // A price that appears to be zero must still be able to rise.
      let token = max((time - base) / Double(prefillTokens), base / 1_024)
      mixedSteps += 1
      Self.learn(&mixedToken, token)
      Self.learn(&mixed[Self.size(prefillTokens) * Self.depths + Self.depth(depth)], token)
    }
  }

  /// Estimates the median, because streams are promised "three of their median steps" and some
  /// steps are always disturbed: each sample moves the estimate up or down by the same fraction.
  private static func follow(_ estimate: inout Double, _ sample: Double, by factor: Double) {
    estimate = sample > estimate ? min(sample, estimate * factor) : max(sample, estimate / factor)
  }

  /// Rises quickly and falls slowly; one disturbed step changes an estimate only by a bounded
  /// factor.
  private static func learn(_ estimate: inout Double, _ sample: Double) {
    guard estimate > 0 else {
      estimate = max(sample, 0.01)
      return
    }
    let bounded = min(max(sample, estimate / 4), estimate * 2)
    estimate += (bounded - estimate) * (bounded > estimate ? 0.5 : 0.25)
  }

  /// A prompt token's price at a size that was tried: at this depth; otherwise `deeper` times the
  /// nearest shallower one's, but no more than the smaller size's at this depth; otherwise the
  /// nearest deeper one's.
  private func price(_ size: Int, _ depth: Int) -> Double? {
    let prices = mixed[(size * Self.depths)..<((size + 1) * Self.depths)]
    let place = prices.startIndex + depth
    if prices[place] > 0 { return prices[place] }
    if let shallower = prices[..<place].last(where: { $0 > 0 }) {
      let below = size > 0 ? mixed[place - Self.depths] : 0
      return below > 0 ? min(below, shallower * Self.deeper) : shallower * Self.deeper
    }
    return prices[place...].first { $0 > 0 }
  }

  /// Prompt tokens that fit beside decodes in a step of the target length. None if decodes of this
  /// number and depth were never measured: two steps without a prompt establish the baseline first.
  /// - depth: the position of the first of them
  func prefillBudget(beside decodes: Decodes, depth: Int, limits: Limits) -> Int {
    let room = limits.maxStepTokens - decodes.count
    guard decodes.count > 0 else {
      guard let token = prefillTime else { return min(room, Self.firstPrefill) }
      return min(room, max(Self.leastChunk, Int(min(Double(limits.prefillInterval) / token, 1e9))))
    }
    let place = Self.row(decodes.count) * Self.reaches + Self.reach(decodes.depth)
    guard isConfirmed[place], mixedSteps < Self.longestMixed else { return 0 }
    let base = decode[place]
    let step = min(base * limits.stallRatio, max(Double(limits.tokenInterval), base * 1.25))
    return min(room, max(Self.leastChunk, affordable(step - base, depth: Self.depth(depth))))
  }

  /// The most prompt tokens that are known to take no longer than `time`; for a size that was never
  /// tried, only its smallest chunk.
  private func affordable(_ time: Double, depth: Int) -> Int {
    var larger: Double?
    for size in Self.sizes.indices.reversed() {
      let least = Self.sizes[size]
      if let price = price(size, depth) {
        larger = price
      } else if larger == nil {
        if size > 0, let smaller = price(size - 1, depth), Double(least) * smaller <= time { return least }
        continue
      }
      guard let larger else { continue }
      let next = Self.sizes.indices.contains(size + 1) ? Self.sizes[size + 1] : Int.max
      let count = Int(min(time / larger, Double(next - 1)))
      guard count >= least else { continue }
      if mixedSteps % Self.retry == Self.retry - 1, let price = price(size, depth),
        Double(next) * price <= time
      {
        return next
      }
      return count
    }
    return larger == nil ? Self.firstChunk : 0
  }
}
