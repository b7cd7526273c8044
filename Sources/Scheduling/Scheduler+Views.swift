// Scheduler+Views.swift: what screens, scripts and metrics read. Nothing here changes the state.
// Start at `jobs`.

/// One job that is alive, as a row.
public struct JobView: Hashable, Codable, Sendable {
  public let id: JobID
  public let client: ClientID
  public let model: String
  public let origin: Origin
  /// pending, queued, running or held.
  public let state: JobState
  public let priority: Int
  public let promptTokens: Int
  public let maxOutputTokens: Int
  public let price: Int64?
  /// Prompt positions with results; less than before after a preemption that recomputes.
  public let prefilledTokens: Int
  public let cachedTokens: Int
  public let generatedTokens: Int
  /// Since its submission.
  public let age: Microseconds
  /// From submission to its first start, or until now.
  public let waited: Microseconds
  /// Time left for the operator to decide; nil unless pending.
  public let decideWithin: Microseconds?
  /// Time left before its time limit; nil if it has none.
  public let timeLeft: Microseconds?
  /// Estimated time until its first and its last token, at the speed measured here and with outputs
  /// of typical length; for a pending job, as if it were approved now. nil: nothing measured yet,
  /// or held, or the node is paused.
  public let startsIn: Microseconds?
  public let finishesIn: Microseconds?
  public let blocks: Int
  public let hostBlocks: Int
}

/// Counts for metrics and the status line.
public struct Load: Hashable, Codable, Sendable {
  public let pending: Int
  public let queued: Int
  public let running: Int
  public let held: Int
  /// Prompt tokens of all jobs that are pending, queued or held.
  public let waitingTokens: Int
  public let blocks: Int
  /// Blocks that jobs refer to.
  public let usedBlocks: Int
  /// Free blocks whose content is known.
  public let cachedBlocks: Int
  public let hostBlocks: Int
  public let usedHostBlocks: Int
}

/// Why no step is planned. Node adds the reasons that only it knows: model missing, over
/// temperature, read-only.
public enum WhyIdle: Hashable, Codable, Sendable, CustomStringConvertible {
  case noJobs
  case paused
  /// Nothing is left to finish.
  case drained
  case waitingForApproval(Int)
  case held(Int)

  public var description: String {
    switch self {
    case .noJobs: "no jobs"
    case .paused: "paused"
    case .drained: "drained"
    case .waitingForApproval(let count):
      count == 1 ? "1 job waits for approval" : "\(count) jobs wait for approval"
    case .held(let count): count == 1 ? "1 job is held" : "\(count) jobs are held"
    }
  }
}

extension Scheduler {
  /// All jobs that are alive: the batch by rank, the queue as it would start, then held and pending
  /// ones by age.
  public var jobs: [JobView] {
    let queue = queueOrder()
    let others = aliveInOrder().compactMap { recordOf[$0] }
    let held = others.filter { records[$0].state == .held }
    let pending = others.filter { records[$0].state == .pending }
    let outlook = outlook(queue: queue, pending: pending)
    return (running + queue + held + pending).map { view($0, outlook[$0]) }
  }

  /// One job, without its estimates. nil: there is none, or it has ended.
  public func job(_ id: JobID) -> JobView? { recordOf[id].map { view($0, nil) } }

  public var load: Load {
    Load(
      pending: pendingJobs, queued: waitingJobs - pendingJobs - heldJobs, running: running.count,
      held: heldJobs,
      waitingTokens: waiting.reduce(0) { $0 + $1.tokens }, blocks: limits.blocks,
      usedBlocks: limits.blocks - pool.freeCount,
      cachedBlocks: pool.cachedCount, hostBlocks: limits.hostBlocks,
      usedHostBlocks: limits.hostBlocks - hostFree.count)
  }

  /// Slots of recurrent states that jobs refer to.
  package var usedStates: Int { statePool.count - statePool.freeCount }

  var pendingJobs: Int { waiting.reduce(0) { $0 + $1.pending } }
  var waitingJobs: Int { waiting.reduce(0) { $0 + $1.jobs } }

  /// The jobs that a new one of that pool has to wait for, as rules count them. Known clients go
  /// before strangers, and nobody waits for jobs that the operator has not approved; a stranger
  /// waits for all other strangers.
  public func queue(before pool: Pool) -> Int {
    switch pool {
    case .own, .clients:
      [Pool.own, .clients].reduce(-heldJobs(besides: .strangers)) {
        $0 + waiting[$1.rawValue].jobs - waiting[$1.rawValue].pending
      }
    case .strangers: waitingJobs - waiting[Pool.clients.rawValue].pending - heldJobs
    }
  }

  private func heldJobs(besides pool: Pool) -> Int {
    guard heldJobs > 0 else { return 0 }
    return records.count { $0.alive && $0.state == .held && $0.job.pool != pool }
  }

  /// Why nothing runs; nil: something runs, or will in the next step.
  public var whyIdle: WhyIdle? {
    if isPaused { return .paused }
    if !running.isEmpty || !lines.isEmpty { return nil }
    if isDraining { return .drained }
    if pendingJobs > 0 { return .waitingForApproval(pendingJobs) }
    return heldJobs > 0 ? .held(heldJobs) : .noJobs
  }

  /// A step is in progress: `plan` returns an empty step until `stepped`.
  public var isStepUnderWay: Bool { inFlight != nil }

  /// What a client has been charged, in weighted tokens; only differences between clients mean
  /// anything.
  public func share(of client: ClientID) -> Int64? { clientOf[client].map { counter(of: $0) } }

  /// How long a job of this size would take to finish if it were queued last now. nil: not measured
  /// yet.
  public func estimate(promptTokens: Int, maxOutputTokens: Int) -> Microseconds? {
    guard !isPaused, var forecast = Forecast(self) else { return nil }
    for index in queueOrder() { _ = forecast.add(records[index], self) }
    return forecast.add(
      prompt: min(max(0, promptTokens), limits.contextLength),
      output: expectedOutput(min(max(0, maxOutputTokens), limits.contextLength))
    ).finish
  }

  /// How long to wait before trying again: until a place in the batch is free, at least 1 s; 5 s if
  /// nothing has been measured yet.
  var retryAfter: Microseconds {
    guard let forecast = Forecast(self) else { return 5_000_000 }
    return max(1_000_000, forecast.nextFree)
  }

  func expectedOutput(_ most: Int) -> Int {
    min(most, Int((Double(most) * outputShare).rounded(.up)))
  }

  func expectedOutput(_ record: Record) -> Int {
    max(1, expectedOutput(record.job.maxOutputTokens) - record.generated)
  }

  private func outlook(queue: [Int], pending: [Int]) -> [Int: Forecast.Span] {
    guard !isPaused, var forecast = Forecast(self) else { return [:] }
    var spans: [Int: Forecast.Span] = [:]
    for index in running {
      spans[index] = Forecast.Span(start: 0, finish: forecast.spanOfRunning[index] ?? 0)
    }
    for index in queue { spans[index] = forecast.add(records[index], self) }
    for index in pending {
      var alone = forecast
      spans[index] = alone.add(records[index], self)
    }
    return spans
  }

  private func view(_ index: Int, _ span: Forecast.Span?) -> JobView {
    let record = records[index]
    return JobView(
      id: record.job.id, client: record.job.client, model: record.job.model, origin: record.job.origin,
      state: record.state, priority: record.priority, promptTokens: record.job.promptTokens,
      maxOutputTokens: record.job.maxOutputTokens, price: record.job.price,
      prefilledTokens: min(record.computed, record.job.promptTokens), cachedTokens: record.cached,
      generatedTokens: record.generated, age: clock.minus(record.submittedAt),
      waited: (record.startedAt ?? clock).minus(record.submittedAt),
      decideWithin: record.state == .pending ? max(0, record.approvalDeadline.minus(clock)) : nil,
      timeLeft: record.job.timeLimit == nil ? nil : max(0, record.deadline.minus(clock)),
      startsIn: span?.start, finishesIn: span?.finish, blocks: record.blocks.count,
      hostBlocks: record.host.count)
  }
}

/// A rough forecast: prompts are computed one after the other, outputs side by side in `maxRunning`
/// places, at the speed of a batch as full as it will be. Audits are not counted.
private struct Forecast {
  struct Span {
    let start: Microseconds
    let finish: Microseconds
  }

  /// When each place in the batch is free again.
  private var free: Heap<Double>
  private var prefillFree = 0.0
  private let token: Double
  private let step: Double
  private(set) var spanOfRunning: [Int: Microseconds] = [:]
  private(set) var nextFree: Microseconds = 0

  /// nil if the speed isn't known.
  init?(_ scheduler: Scheduler) {
    let queued = scheduler.lines.reduce(0) { $0 + $1.jobs.count }
    let batch = min(scheduler.limits.maxRunning, max(1, scheduler.running.count + queued))
    guard let step = scheduler.steps.decodeTime(batch), let token = scheduler.steps.prefillTime else {
      return nil
    }
    self.step = step
    self.token = token
    free = Heap(<)
    var soonest = Double.infinity
    for index in scheduler.running where !scheduler.records[index].isAudit {
      let record = scheduler.records[index]
      if record.remaining > 1 { prefillFree += Double(record.remaining) * token }
      let finish =
        (record.remaining > 1 ? prefillFree : 0) + Double(scheduler.expectedOutput(record)) * step
      free.push(finish)
      soonest = min(soonest, finish)
      spanOfRunning[index] = Microseconds(clamping: finish)
    }
    let places = scheduler.limits.maxRunning - spanOfRunning.count
    if places > 0 { soonest = 0 }
    for _ in 0..<max(0, places) { free.push(0) }
    nextFree = Microseconds(clamping: soonest)
  }

  mutating func add(_ record: Record, _ scheduler: Scheduler) -> Span {
    add(prompt: record.remaining, output: scheduler.expectedOutput(record))
  }

  mutating func add(prompt: Int, output: Int) -> Span {
    let start = max(free.pop() ?? 0, prefillFree)
    prefillFree = start + Double(prompt) * token
    let finish = prefillFree + Double(output) * step
    free.push(finish)
    return Span(start: Microseconds(clamping: start), finish: Microseconds(clamping: finish))
  }
}
