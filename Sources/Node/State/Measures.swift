// Measures.swift: rates, latency percentiles and past values for graphs, from events with times.
// Values without a clock. What is measured is up to NodeState. Start at RateMeter.
import Control

/// Events per second, over a sliding window of whole slots.
struct RateMeter: Sendable {
  /// Length of a slot in microseconds.
  private let slot: Microseconds
  private var counts: [Int]
  /// Number of the slot that `counts[newest]` belongs to, counted from time 0.
  private var newestSlot: Int64
  private let began: Microseconds

  /// - window: length in microseconds, divided into `slots`
  init(window: Microseconds, slots: Int, now: Microseconds) {
    slot = max(1, window / Int64(max(1, slots)))
    counts = Array(repeating: 0, count: max(1, slots) + 1)
    newestSlot = now / slot
    began = now
  }

  private mutating func advance(to now: Microseconds) {
    let current = now / slot
    guard current > newestSlot else { return }
    let steps = min(current - newestSlot, Int64(counts.count))
    for step in 0..<steps {
      counts[Int((current - step) % Int64(counts.count))] = 0
    }
    newestSlot = current
  }

  mutating func add(_ count: Int, at now: Microseconds) {
    advance(to: now)
    let slot = Int(newestSlot % Int64(counts.count))
    let (sum, overflow) = counts[slot].addingReportingOverflow(count)
    // Money is counted here too, so a rate that is too large saturates.
    counts[slot] = overflow ? .max : sum
  }

  /// The rate over the whole slots of the window and the elapsed part of the newest; `warmingUp`
  /// until the first slot is over.
  mutating func rate(at now: Microseconds) -> Reading<Double> {
    advance(to: now)
    let span = min(Int64(counts.count - 1) * slot + now % slot, now - began)
    guard span >= slot else { return .warmingUp }
    return .value(counts.reduce(0) { $0 + Double($1) } / Double(span) * 1_000_000)
  }
}

/// Percentiles over the samples of the last minutes, at most `capacity` of them.
struct LatencyWindow: Sendable {
  private var samples: [(time: Microseconds, value: Double)] = []
  private var next = 0
  private let capacity: Int
  private let window: Microseconds

  init(capacity: Int = 4096, window: Microseconds = 300_000_000) {
    self.capacity = capacity
    self.window = window
  }

  mutating func add(_ value: Double, at now: Microseconds) {
    if samples.count < capacity {
      samples.append((now, value))
    } else {
      samples[next] = (now, value)
      next = (next + 1) % capacity
    }
  }

  /// The values at the given shares (0 to 1) with a single sort; `warmingUp` if the window has no
  /// sample.
  func percentiles(_ shares: [Double], at now: Microseconds) -> [Reading<Double>] {
    let recent = samples.filter { now - $0.time <= window }.map(\.value).sorted()
    guard !recent.isEmpty else { return shares.map { _ in .warmingUp } }
    return shares.map { share in
      .value(recent[min(recent.count - 1, Int(share * Double(recent.count)))])
    }
  }
}

/// Prometheus histogram: cumulative counts by upper bound.
struct Histogram: Sendable {
  let bounds: [Double]
  private(set) var counts: [Int]
  private(set) var sum = 0.0
  private(set) var total = 0

  init(bounds: [Double]) {
    self.bounds = bounds
    counts = Array(repeating: 0, count: bounds.count)
  }

  mutating func add(_ value: Double) {
    sum += value
    total += 1
    for index in bounds.indices where value <= bounds[index] { counts[index] += 1 }
  }
}

/// The last `capacity` samples of one graph.
struct SampleRing: Sendable {
  private var values: [Double?] = []
  private var next = 0
  private let capacity: Int

  init(capacity: Int) { self.capacity = capacity }

  mutating func add(_ value: Double?) {
    if values.count < capacity {
      values.append(value)
    } else {
      values[next] = value
      next = (next + 1) % capacity
    }
  }

  /// Oldest first.
  var ordered: [Double?] { Array(values[next...] + values[..<next]) }
}

/// Means of whole minutes. A minute without any known value is nil.
struct MinuteRing: Sendable {
  private var ring: SampleRing
  private var minute: Int64?
  private var sum = 0.0
  private var count = 0
  private let capacity: Int64

  init(capacity: Int) {
    ring = SampleRing(capacity: capacity)
    self.capacity = Int64(capacity)
  }

  /// - minute: since 1970, by the wall clock; an earlier one (after the clock was set back) counts
  ///   towards the previous minute
  mutating func add(_ value: Double?, minute now: Int64) {
    if let minute, now > minute {
      ring.add(count > 0 ? sum / Double(count) : nil)
      // The machine slept.
      for _ in 0..<min(now - minute - 1, capacity) { ring.add(nil) }
      sum = 0
      count = 0
    }
    minute = max(minute ?? now, now)
    if let value {
      sum += value
      count += 1
    }
  }

  /// Oldest first, without the current minute.
  var ordered: [Double?] { ring.ordered }
}
