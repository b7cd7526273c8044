// GraphHistory.swift: the past that graphs show: one sample a second, in buckets of three seconds,
// and a day by minutes. Buckets end at multiples of three seconds, so that a graph moves every
// three seconds and never wobbles; the number beside it is current. Drawing is in
// Canvas+Graph.swift. Start at append.
import Control

struct GraphHistory: Equatable, Sendable {
  struct Series: Equatable, Sendable {
    /// Means of whole buckets, oldest first; nil where nothing was known.
    private(set) var buckets: [Double?] = []
    private var sum = 0.0
    private var count = 0

    mutating func append(_ value: Double?) {
      if let value, value.isFinite {
        sum += value
        count += 1
      }
    }

    mutating func close() {
      buckets.append(count > 0 ? sum / Double(count) : nil)
      if buckets.count > GraphHistory.capacity { buckets.removeFirst(buckets.count - GraphHistory.capacity) }
      sum = 0
      count = 0
    }
  }

  static let capacity = 1200
  static let bucketSeconds: Int64 = 3

  private(set) var decode = Series()
  private(set) var prefill = Series()
  private(set) var cpu = Series()
  private(set) var memory = Series()
  private(set) var kvInUse = Series()
  private(set) var batchSize = Series()
  private(set) var gpus: [Series] = []
  /// Means of whole minutes, for the last day.
  private(set) var cpuDay = Series()
  private(set) var decodeDay = Series()
  /// Minutes closed since the start.
  private(set) var minutes = 0
  private var minute: Int64?
  /// Buckets closed since the start: the position of a sweeping graph.
  private(set) var closed = 0
  private var bucket: Int64?

  mutating func append(_ snapshot: NodeSnapshot) {
    step(to: snapshot.time)
    decode.append(snapshot.throughput.decode.current)
    prefill.append(snapshot.throughput.prefill.current)
    cpu.append(snapshot.compute.cpu.current)
    memory.append(memoryShare(snapshot.compute))
    kvInUse.append(snapshot.throughput.kvInUse.current)
    batchSize.append(Double(snapshot.throughput.batchSize))
    stepMinute(to: snapshot.time)
    cpuDay.append(snapshot.compute.cpu.current)
    decodeDay.append(snapshot.throughput.decode.current)
    let shares = (snapshot.compute.gpus.current ?? []).prefix(64).map { $0.utilization.current }
    growGPUs(to: shares.count)
    for (index, share) in shares.enumerated() { gpus[index].append(share) }
  }

  /// Replaces what was gathered here with the node's own past.
  mutating func replace(with history: NodeHistory) {
    let longest =
      ([history.decode, history.prefill, history.cpu, history.memory, history.kvInUse, history.batchSize]
      + history.gpu)
      .map(\.count).max() ?? 0
    let samples = min(longest, GraphHistory.capacity * Int(GraphHistory.bucketSeconds))
    self = GraphHistory()
    growGPUs(to: min(64, history.gpu.count))
    func sample(_ values: [Double?], _ back: Int) -> Double? {
      back <= values.count ? values[values.count - back] : nil
    }
    for back in stride(from: samples, to: 0, by: -1) {
      step(to: history.time.subtractingReportingOverflow(Int64(back - 1) * 1_000_000).partialValue)
      decode.append(sample(history.decode, back))
      prefill.append(sample(history.prefill, back))
      cpu.append(sample(history.cpu, back))
      memory.append(sample(history.memory, back))
      kvInUse.append(sample(history.kvInUse, back))
      batchSize.append(sample(history.batchSize, back))
      for index in gpus.indices { gpus[index].append(sample(history.gpu[index], back)) }
    }
    // Whole minutes; the last one is the minute before the current one.
    let days = min(1440, max(history.cpuDay.count, history.decodeDay.count))
    for back in stride(from: days, to: 0, by: -1) {
      cpuDay.append(sample(history.cpuDay, back))
      decodeDay.append(sample(history.decodeDay, back))
      closeMinute()
    }
    minute = history.time / 60_000_000
  }

  private mutating func stepMinute(to time: Microseconds) {
    let now = time / 60_000_000
    let last = minute ?? now
    // If the clock was set back, the graph continues at the minute it had reached.
    if now > last { for _ in 0..<min(now - last, 1440) { closeMinute() } }
    minute = max(now, last)
  }

  private mutating func closeMinute() {
    cpuDay.close()
    decodeDay.close()
    minutes &+= 1
  }

  private mutating func growGPUs(to count: Int) {
    while gpus.count < count { gpus.append(Series()) }
  }

  private mutating func step(to time: Microseconds) {
    let now = time / (GraphHistory.bucketSeconds * 1_000_000)
    guard let last = bucket else {
      bucket = now
      return
    }
    // After a long pause, or a clock set back, the gap is not drawn at full length.
    let (distance, overflow) = now.subtractingReportingOverflow(last)
    let steps = overflow || distance < 0 ? 1 : min(distance, 60)
    if steps > 0 || overflow || distance < 0 {
      for _ in 0..<max(1, steps) { close() }
      bucket = now
    }
  }

  private mutating func close() {
    decode.close()
    prefill.close()
    cpu.close()
    memory.close()
    kvInUse.close()
    batchSize.close()
    for index in gpus.indices { gpus[index].close() }
    closed &+= 1
  }
}

func memoryShare(_ compute: ComputeSnapshot) -> Double? {
  guard let used = compute.memoryUsed.latest, let total = compute.memoryTotal.latest, total > 0 else {
    return nil
  }
  return min(1, max(0, Double(used) / Double(total)))
}
