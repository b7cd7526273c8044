// Bench.swift: a scheduler with an engine that is a formula, driven by hand. The engine keeps what it was told to write
// into each block, and so finds out if a plan has a sequence read what isn't there.

import Scheduling

/// A made-up engine: it remembers the text of every block (as a hash of the positions that should be there), and refuses a
/// plan that reads a block holding anything else.
struct FakeEngine {
  /// For each device and host block, the content written by row.
  var device: [[UInt64]]
  var host: [[UInt64]]
  /// The same for each window.
  var windows: [(device: [[UInt64]], host: [[UInt64]])]
  /// The texts that recurrent states have seen, as a hash of all their positions.
  var states: (device: [UInt64], host: [UInt64])
  private let limits: Limits
  var wrong: [String] = []

  init(_ limits: Limits) {
    device = Array(repeating: Array(repeating: 0, count: 16), count: limits.blocks)
    host = Array(repeating: Array(repeating: 0, count: 16), count: limits.hostBlocks)
    windows = limits.windows.map { window in
      (
        Array(repeating: Array(repeating: 0, count: 16), count: window.blocks),
        Array(repeating: Array(repeating: 0, count: 16), count: window.hostBlocks)
      )
    }
    states = (
      Array(repeating: 0, count: limits.states?.slots ?? 0),
      Array(repeating: 0, count: limits.states?.hostSlots ?? 0)
    )
    self.limits = limits
  }

  /// What a position holds: shared texts are equal in the first `shared` positions of a topic, then differ by job.
  static func content(_ topic: UInt64, _ shared: Int, _ job: JobID, _ position: Int) -> UInt64 {
    var x = position < shared ? topic &* 0x9E37_79B9_7F4A_7C15 : job.rawValue &* 0xD1B5_4A32_D192_ED03 &+ 1
    x ^= UInt64(position) &* 0xBF58_476D_1CE4_E5B9
    x ^= x >> 29
    return x &* 0x94D0_49BB_1331_11EB | 1
  }

  static func key(_ topic: UInt64, _ shared: Int, _ job: JobID, block: Int) -> BlockKey {
    var high: UInt64 = 1
    var low: UInt64 = 2
    for position in 0..<(block + 1) * 16 {
      let token = content(topic, shared, job, position)
      high = (high ^ token) &* 0x0000_0100_0000_01B3
      low = (low &+ token) &* 0x9E37_79B9_7F4A_7C15
    }
    return BlockKey(high: high, low: low)
  }

  mutating func perform(_ plan: StepPlan, _ topics: [JobID: (topic: UInt64, shared: Int)]) {
    for operation in plan.operations {
      switch operation {
      case .swapOut(_, let blocks, let to, let window?):
        for (block, row) in zip(blocks, to) {
          windows[window].host[Int(row)] = windows[window].device[Int(block)]
        }
      case .swapIn(_, let from, let blocks, let window?):
        for (row, block) in zip(from, blocks) {
          windows[window].device[Int(block)] = windows[window].host[Int(row)]
        }
      case .swapOut(_, let blocks, let to, nil):
        if blocks.count != to.count { wrong.append("swapOut of unequal lists") }
        for (block, row) in zip(blocks, to) { host[Int(row)] = device[Int(block)] }
      case .swapIn(_, let from, let blocks, nil):
        if blocks.count != from.count { wrong.append("swapIn of unequal lists") }
        for (row, block) in zip(from, blocks) { device[Int(block)] = host[Int(row)] }
      case .saveState(_, let slot, let place): states.host[Int(place)] = states.device[Int(slot)]
      case .restoreState(_, let place, let slot): states.device[Int(slot)] = states.host[Int(place)]
      }
    }
    var written: Set<BlockID> = []
    for entry in plan.entries {
      let (topic, shared) = topics[entry.job] ?? (0, 0)
      let end = entry.start + entry.count
      if entry.blocks.count * 16 < end {
        wrong.append("job \(entry.job): \(entry.blocks.count) blocks for \(end) positions")
      }
      for position in entry.start..<end {
        let block = entry.blocks[position / 16]
        device[Int(block)][position % 16] = Self.content(topic, shared, entry.job, position)
        if position % 16 == 0 || position == entry.start, !written.insert(block).inserted {
          wrong.append("step \(plan.number): block \(block) is written by two")
        }
      }
    }
    for entry in plan.entries { performWindows(plan, entry, topics) }
    performStates(plan, topics)
    // Read after all was written, as attention does.
    for entry in plan.entries {
      let (topic, shared) = topics[entry.job] ?? (0, 0)
      for position in 0..<entry.start {
        let block = entry.blocks[position / 16]
        if device[Int(block)][position % 16] != Self.content(topic, shared, entry.job, position) {
          wrong.append("step \(plan.number): job \(entry.job) reads something else at position \(position)")
          break
        }
      }
    }
  }
}

extension FakeEngine {
  /// The hash of a text's first positions.
  static func text(_ topic: UInt64, _ shared: Int, _ job: JobID, count: Int) -> UInt64 {
    (0..<count).reduce(7) { ($0 ^ content(topic, shared, job, $1)) &* 0x0000_0100_0000_01B3 }
  }

  /// Takes every entry's state from its slot, and leaves it in another or the same.
  private mutating func performStates(
    _ plan: StepPlan, _ topics: [JobID: (topic: UInt64, shared: Int)]
  ) {
    guard limits.states != nil else {
      if plan.entries.contains(where: { $0.state != nil }) { wrong.append("a state that nobody has") }
      return
    }
    for (place, entry) in plan.entries.enumerated() {
      let name = "step \(plan.number): job \(entry.job), position \(entry.start)"
      let (topic, shared) = topics[entry.job] ?? (0, 0)
      guard let slots = entry.state, (slots.from == nil) == (entry.start == 0) else {
        wrong.append("\(name) has no state, or one too many")
        continue
      }
      if let from = slots.from,
        states.device[Int(from)] != Self.text(topic, shared, entry.job, count: entry.start)
      {
        wrong.append("\(name) goes on from another state")
      }
      for (other, entry) in plan.entries.enumerated()
      where other != place && (entry.state?.into == slots.into || entry.state?.from == slots.into) {
        wrong.append("\(name) leaves its state where job \(entry.job) has one")
      }
    }
    for entry in plan.entries {
      guard let into = entry.state?.into else { continue }
      let (topic, shared) = topics[entry.job] ?? (0, 0)
      states.device[Int(into)] = Self.text(topic, shared, entry.job, count: entry.start + entry.count)
    }
  }

  /// Writes an entry's positions into its blocks of windows, and reads what its tokens see.
  private mutating func performWindows(
    _ plan: StepPlan, _ entry: StepEntry, _ topics: [JobID: (topic: UInt64, shared: Int)]
  ) {
    let (topic, shared) = topics[entry.job] ?? (0, 0)
    for (kind, table) in (entry.windows ?? []).enumerated() {
      func name(_ position: Int) -> String {
        "step \(plan.number): job \(entry.job), window \(kind), position \(position)"
      }
      for position in entry.start..<entry.start + entry.count {
        guard table[position / 16] >= 0 else {
          wrong.append("\(name(position)) has no block to write")
          return
        }
        windows[kind].device[Int(table[position / 16])][position % 16] = Self.content(
          topic, shared, entry.job, position)
      }
      for position in max(0, entry.start + 1 - limits.windows[kind].positions)..<entry.start {
        guard table[position / 16] >= 0,
          windows[kind].device[Int(table[position / 16])][position % 16]
            == Self.content(topic, shared, entry.job, position)
        else {
          wrong.append("\(name(position)) reads something else")
          return
        }
      }
    }
  }
}

/// A scheduler, a clock and the engine above, for tests that tell a story.
struct Bench {
  var scheduler: Scheduler
  var engine: FakeEngine
  var now: Microseconds = 1_000_000
  var topics: [JobID: (topic: UInt64, shared: Int)] = [:]
  var effects: [Effect] = []
  var starts: [JobID] = []
  var ended: [JobID: Ended] = [:]
  var outputs: [JobID: [Int]] = [:]
  /// Jobs whose last token comes before their limit.
  var stopAt: [JobID: Int] = [:]
  /// How many blocks of a job the scheduler was told the keys of.
  var keysGiven: [JobID: Int] = [:]
  var nextJob: UInt64 = 1

  init(_ limits: Limits) throws {
    scheduler = try Scheduler(limits)
    engine = FakeEngine(limits)
  }

  static func limits(blocks: Int = 64, context: Int = 512, _ change: (inout Limits) -> Void = { _ in })
    -> Limits
  {
    var limits = Limits(blocks: blocks, contextLength: context)
    change(&limits)
    return limits
  }

  mutating func note(_ new: [Effect]) {
    effects += new
    for effect in new {
      switch effect {
      case .started(let id, _): starts.append(id)
      case .ended(let end): ended[end.job] = end
      default: break
      }
    }
  }

  @discardableResult
  mutating func submit(
    _ client: String = "ada", prompt: Int = 20, output: Int = 4, priority: Int = 5, origin: Origin = .network,
    topic: UInt64? = nil, shared: Int = 0, timeLimit: Microseconds? = nil, verdict: Verdict = .admit,
    isStranger: Bool = false, borders: [Int]? = nil
  ) -> JobID {
    submission(
      client, prompt: prompt, output: output, priority: priority, origin: origin, topic: topic,
      shared: shared,
      timeLimit: timeLimit, verdict: verdict, isStranger: isStranger, borders: borders
    ).0
  }

  mutating func submission(
    _ client: String = "ada", prompt: Int = 20, output: Int = 4, priority: Int = 5, origin: Origin = .network,
    topic: UInt64? = nil, shared: Int = 0, timeLimit: Microseconds? = nil, verdict: Verdict = .admit,
    isStranger: Bool = false, borders: [Int]? = nil
  ) -> (JobID, Submission) {
    let id = JobID(nextJob)
    nextJob += 1
    topics[id] = (topic ?? id.rawValue, topic == nil ? 0 : shared)
    let keys = (0..<max(0, prompt / 16)).map { key(id, block: $0) }
    keysGiven[id] = keys.count
    let job = Job(
      id: id, client: ClientID(client), model: "tiny", origin: origin, promptTokens: prompt,
      maxOutputTokens: output, priority: priority, timeLimit: timeLimit, prefix: keys,
      borders: borders, isStranger: isStranger)
    return (id, scheduler.submit(job, verdict: verdict, at: now))
  }

  func key(_ id: JobID, block: Int) -> BlockKey {
    let (topic, shared) = topics[id] ?? (0, 0)
    return FakeEngine.key(topic, shared, id, block: block)
  }

  mutating func plan() -> StepPlan {
    let plan = scheduler.plan(at: now)
    note(plan.effects)
    engine.perform(plan, topics)
    return plan
  }

  /// A decode step costs 10 ms and 1 ms a sequence, a prompt token 0.5 ms.
  static func cost(_ plan: StepPlan) -> Microseconds {
    var decodes: Microseconds = 0
    var prefill: Microseconds = 0
    for entry in plan.entries {
      if entry.count == 1 { decodes += 1 } else { prefill += Microseconds(entry.count) }
    }
    return (decodes > 0 ? 10_000 : 0) + decodes * 1_000 + prefill * 500
  }

  mutating func results(_ plan: StepPlan, withKeys: Bool = true) -> [StepResult] {
    plan.entries.filter(\.emits).map { entry in
      outputs[entry.job, default: []].append(entry.outputIndex)
      let known = entry.start + entry.count + 1
      // Keys left out once are given later: they follow on one another without gaps.
      var keys: [BlockKey] = []
      if withKeys {
        let given = keysGiven[entry.job] ?? 0
        if given < known / 16 { keys = (given..<known / 16).map { key(entry.job, block: $0) } }
        keysGiven[entry.job] = max(given, known / 16)
      }
      let last = stopAt[entry.job] == entry.outputIndex + 1
      return StepResult(job: entry.job, last ? .lastToken(.stop) : .token, keys: keys)
    }
  }

  mutating func finish(_ plan: StepPlan) throws {
    guard !plan.isEmpty else { return }
    now += Self.cost(plan)
    let results = results(plan)
    note(try scheduler.stepped(plan.number, results, took: Self.cost(plan), at: now))
  }

  @discardableResult
  mutating func step() throws -> StepPlan {
    let plan = plan()
    try finish(plan)
    return plan
  }

  /// Steps until nothing is left to do.
  mutating func run(most: Int = 10_000) throws {
    for _ in 0..<most where !(try step().isEmpty) {}
  }

  func state(_ id: JobID) -> JobState? { scheduler.job(id)?.state ?? ended[id]?.outcome.state }
}
