// Scheduler.swift: which job runs next, and which is refused.
// A value: no clock, no thread, no model; every decision replays from its inputs.
// Words follow vLLM: sequence, block, prefill, decode, preempt.
//
// A job's way: submit -> (approve) -> plan puts it into a step -> stepped moves it on ->
// Effect.ended. Start at `submit`, then `plan(at:)` in Scheduler+Plan.swift. The order is in
// Scheduler+Order.swift, memory in Scheduler+Memory.swift, the operator's acts in
// Scheduler+Acts.swift.

/// The queue, the batch and the KV blocks of one engine.
///
/// Every call that changes something takes the time. If the clock moves backwards, time stands
/// still here until it catches up. If it jumps ahead, time limits run out, but the queue does not
/// age (ageing counts serving time).
///
/// **No starvation.** A priority is raised by one for each `Limits.ageing` of serving time since
/// one of its jobs last started, up to 9: then it is fully aged. From then until its next start,
/// all clients together are charged at most `agedBound` weighted tokens. Within a priority, clients
/// take turns by what they were charged (below). Among one client's jobs of one priority, a job is
/// overtaken only by those queued up to `Limits.patience` after it, by sequences that have already
/// run, and by jobs that an operator moves.
///
/// **Fairness.** While two clients both have jobs queued, all at one priority, and nobody holds,
/// moves or cancels, what they are charged in any interval differs by at most `fairnessBound`
/// weighted tokens (Sheng et al. 2024, theorem 4.4).
///
/// **Strangers.** Waiting jobs of the operator, of known clients and of strangers are counted
/// separately (`Pool`), and strangers get at most `Limits.maxRunningStrangers` places in the batch.
/// Strangers get what known clients leave; the promises above do not hold for them. Ageing does not
/// raise the class at which a stranger's job runs, so a known client's job of a higher priority can
/// take its place and its memory. A stranger's job that has to wait makes only other strangers
/// wait.
public struct Scheduler: Sendable {
  public internal(set) var limits: Limits
  public internal(set) var isPaused = false
  public internal(set) var isDraining = false
  public internal(set) var counters = Counters()

  // Time: `clock` is the sum of the forward moves of the caller's clock; `serving` that of its
  // moves between plans.
  var clock: Microseconds = 0
  var lastTime: Microseconds?
  var serving: Microseconds = 0
  var lastPlan: Microseconds?
  /// No time limit runs out before this.
  var nextExpiry = Microseconds.max

  var records: [Record] = []
  var emptyRecords: [Int] = []
  var recordOf: [JobID: Int] = [:]

  var clients: [Client] = []
  var clientOf: [ClientID: Int] = [:]
  var nextSerial: UInt64 = 1

  var lines: [Line] = []
  var lineOf: [LineKey: Int] = [:]
  /// Indexed by priority; audits have none.
  var levels = [Level](repeating: Level(), count: 10)
  /// The highest counter at which any client's job was started.
  var virtualTime: Int64 = 0
  var lastStarted: Int?
  var nextPlace: Int64 = 0
  var nextStart: Int64 = 0
  var nextGroup: Int64 = 1
  /// The group whose first job has started; 0: none.
  var startedGroup: Int64 = 0
  var outputShare = 1.0

  /// The batch in rank order: memory is given from the front, preemption starts at the back.
  var running: [Int] = []
  /// Jobs outside the batch that still have blocks on the device, in the order in which they left
  /// it.
  var parked: [Int] = []
  /// Indexed by pool.
  var waiting = [Waiting](repeating: Waiting(), count: Pool.allCases.count)
  var runningStrangers = 0
  var heldJobs = 0

  var pool: BlockPool
  var hostFree: [BlockID]
  /// Indexed by window of the limits.
  var windowPools: [BlockPool]
  var windowHostFree: [[BlockID]]
  /// Slots of recurrent states; a checkpoint's content is that of the block it stands behind.
  var statePool: BlockPool
  var stateHostFree: [BlockID]
  var steps = StepModel()
  var stepNumber: UInt64 = 0
  var inFlight: StepInFlight?
  /// The job at the head that found too little memory, and how much was free then: no need to try
  /// again before more is free.
  var blockedHead: (job: JobID, free: Int, windows: [Int], states: Int)?

  public init(_ limits: Limits) throws(LimitsError) {
    try limits.check()
    self.limits = limits
    pool = BlockPool(count: limits.blocks)
    hostFree = (0..<BlockID(limits.hostBlocks)).reversed()
    windowPools = limits.windows.map { BlockPool(count: $0.blocks) }
    windowHostFree = limits.windows.map { (0..<BlockID($0.hostBlocks)).reversed() }
    statePool = BlockPool(count: limits.states?.slots ?? 0)
    stateHostFree = (0..<BlockID(limits.states?.hostSlots ?? 0)).reversed()
  }

  /// Changes bounds while jobs run. Running jobs are kept; a smaller batch limit takes effect as
  /// sequences end. The sizes of the memory itself (`blocks`, `hostBlocks`, `windows`,
  /// `states`, `contextLength`) do not change.
  public mutating func setLimits(_ new: Limits) throws(LimitsError) {
    var new = new
    new.blocks = limits.blocks
    new.hostBlocks = limits.hostBlocks
    new.windows = limits.windows
    new.states = limits.states
    new.contextLength = limits.contextLength
    try new.check()
    limits = new
  }

  // MARK: Submission

  /// Admits a job, or returns why not. `verdict` is the policy's (`Policy.decide`), or `.admit` for
  /// the node's own jobs. A refused job leaves no trace but in `counters`.
  /// - isPromised: an earlier run of the node accepted it, so no bound of the queue refuses it.
  public mutating func submit(
    _ job: Job, verdict: Verdict, isPromised: Bool = false, at now: Microseconds
  ) -> Submission {
    advance(to: now)
    counters.submitted += 1
    if let refusal = refusal(of: job, verdict: verdict, isPromised: isPromised) {
      counters.refused += 1
      return .refused(refusal)
    }
    let client = client(for: job.client, isStranger: job.pool == .strangers)
    let deadline = job.timeLimit.map { clock.plus($0) } ?? .max
    let pending = verdict == .ask
    let priority = job.priority
    let own = standing(
      LineKey(client: client, priority: priority, audit: job.origin == .audit), deadline: deadline)
    var record = Record(
      job: job, serial: nextSerial, client: client, state: pending ? .pending : .queued, priority: priority,
      standing: own, own: own, submittedAt: clock, deadline: deadline,
      approvalDeadline: pending ? clock.plus(limits.approvalTime) : .max,
      keys: Array(job.prefix.prefix(job.promptTokens / Limits.blockSize)),
      windows: limits.windows.map { _ in WindowTable() })
    if let states = limits.states {
      record.checkpoints = Self.checkpoints(of: job, apart: states.distance)
    }
    nextSerial += 1
    let index = add(record)
    clients[client].references += 2
    countWaiting(index, 1)
    nextExpiry = min(nextExpiry, deadline, record.approvalDeadline)
    if pending {
      waiting[job.pool.rawValue].pending += 1
      return .pending(decideWithin: limits.approvalTime)
    }
    enqueue(index)
    return .queued
  }

  /// Why `submit` would refuse a job now; nil if it would admit it.
  public func refusal(of job: Job, verdict: Verdict, isPromised: Bool = false) -> QueueRefusal? {
    if recordOf[job.id] != nil { return .duplicate(job.id) }
    if job.promptTokens < 1 {
      return .invalid(field: "promptTokens", found: Int64(job.promptTokens), wanted: "1 or more")
    }
    if job.maxOutputTokens < 1 {
      return .invalid(field: "maxOutputTokens", found: Int64(job.maxOutputTokens), wanted: "1 or more")
    }
    if !(0...9).contains(job.priority) {
      return .invalid(field: "priority", found: Int64(job.priority), wanted: "0 to 9")
    }
    if let limit = job.timeLimit, limit < 1 {
      return .invalid(field: "timeLimit", found: limit, wanted: "1 microsecond or more")
    }
    let room = min(
      limits.contextLength, limits.blocks.multipliedReportingOverflow(by: Limits.blockSize).partialValue)
    let (length, overflow) = job.promptTokens.addingReportingOverflow(job.maxOutputTokens)
    if overflow || length > room {
      return .tooLong(prompt: job.promptTokens, output: job.maxOutputTokens, room: room)
    }
    if case .reject(let reason) = verdict { return .policy(reason: reason) }
    if isPromised { return nil }
    if isDraining { return .draining }
    return full(job, verdict: verdict)
  }

  /// The refusal if a job's pool has no place left.
  private func full(_ job: Job, verdict: Verdict) -> QueueRefusal? {
    let waits = waiting[job.pool.rawValue]
    let mostTokens: Int
    let mostOfOne: Int
    switch job.pool {
    case .own:
      if waits.jobs >= limits.maxWaitingJobs {
        return .queueFull(jobs: waits.jobs, retryAfter: retryAfter)
      }
      return nil
    case .clients:
      if verdict == .ask, waits.pending >= limits.maxPendingJobs {
        return .approvalsFull(jobs: waits.pending, retryAfter: retryAfter)
      }
      if verdict != .ask, waits.jobs - waits.pending >= limits.maxWaitingJobs {
        return .queueFull(jobs: waits.jobs - waits.pending, retryAfter: retryAfter)
      }
      mostTokens = limits.maxWaitingTokens
      mostOfOne = limits.maxWaitingJobsPerClient
    case .strangers:
      if waits.jobs >= limits.maxStrangerJobs {
        return .strangersFull(jobs: waits.jobs, retryAfter: retryAfter)
      }
      mostTokens = limits.maxStrangerTokens
      mostOfOne = limits.maxJobsPerStranger
    }
    if waits.tokens + job.promptTokens > mostTokens {
      return .tokensFull(tokens: waits.tokens, retryAfter: retryAfter)
    }
    if let client = clientOf[job.client], clients[client].waiting >= mostOfOne {
      return .clientFull(jobs: clients[client].waiting, retryAfter: retryAfter)
    }
    return nil
  }

  /// Lets time pass: pending jobs and time limits expire. `plan` does so too; Node calls this at
  /// `nextDeadline`.
  public mutating func tick(at now: Microseconds) -> [Effect] {
    advance(to: now)
    guard clock >= nextExpiry else { return [] }
    var effects: [Effect] = []
    var next = Microseconds.max
    for id in aliveInOrder() {
      guard let index = recordOf[id] else { continue }
      let record = records[index]
      if record.state == .pending, record.approvalDeadline <= clock {
        effects.append(end(index, .expired(.approval)))
      } else if record.deadline <= clock {
        effects.append(end(index, .expired(.timeLimit)))
      } else {
        next = min(next, record.deadline, record.state == .pending ? record.approvalDeadline : .max)
      }
    }
    nextExpiry = next
    return effects
  }

  /// How long after the last given time something may expire; nil: nothing can.
  public var nextDeadline: Microseconds? {
    nextExpiry == .max ? nil : max(0, nextExpiry.minus(clock))
  }

  /// After how many blocks of a prompt its recurrent state is kept: where messages end, and where its
  /// last full block does.
  /// - distance: blocks that they lie apart at least
  package static func checkpoints(of job: Job, apart distance: Int) -> [Int] {
    let full = min(job.prefix.count, job.promptTokens / Limits.blockSize)
    var found: [Int] = []
    for border in (job.borders ?? []).map({ $0 / Limits.blockSize }) + [full]
    where border <= full && border >= (found.last ?? 0) + distance {
      found.append(border)
    }
    let surplus = found.count - Limits.mostCheckpoints
    if surplus > 0 { found.removeSubrange(1...surplus) }
    return found
  }

  // MARK: Bookkeeping

  mutating func advance(to now: Microseconds) {
    // Never so late that a job without a time limit would expire.
    if let last = lastTime { clock = min(clock.plus(max(0, now.minus(last))), .max / 2) }
    lastTime = now
  }

  mutating func add(_ record: Record) -> Int {
    let index: Int
    if let empty = emptyRecords.popLast() {
      index = empty
      records[index] = record
    } else {
      index = records.count
      records.append(record)
    }
    recordOf[record.job.id] = index
    return index
  }

  /// Jobs in order of submission (a job's number need not be).
  func aliveInOrder() -> [JobID] {
    records.indices.filter { records[$0].alive }.sorted { records[$0].serial < records[$1].serial }
      .map { records[$0].job.id }
  }

  mutating func countWaiting(_ index: Int, _ sign: Int) {
    let pool = records[index].job.pool.rawValue
    waiting[pool].jobs += sign
    waiting[pool].tokens += sign * records[index].job.promptTokens
    clients[records[index].client].waiting += sign
  }

  /// Removes a job from whatever it is in and frees all that it has.
  mutating func end(_ index: Int, _ outcome: Outcome) -> Effect {
    let record = records[index]
    blockedHead = nil
    switch record.state {
    case .pending:
      waiting[record.job.pool.rawValue].pending -= 1
      countWaiting(index, -1)
    case .queued:
      leaveLine(index)
      countWaiting(index, -1)
    case .held:
      heldJobs -= 1
      countWaiting(index, -1)
    case .running: leaveBatch(index)
    case .done, .rejected, .cancelled, .expired, .failed, .interrupted: break
    }
    dropBlocks(index)
    clients[record.client].references -= 1
    clients[record.standing.line.client].references -= 1
    recordOf[record.job.id] = nil
    records[index].alive = false
    records[index].keys = []
    emptyRecords.append(index)
    counters.count(outcome)
    if case .done = outcome {
      let share = Double(record.generated) / Double(max(1, record.job.maxOutputTokens))
      outputShare += (share - outputShare) / 16
    }
    let until = record.startedAt ?? clock
    return .ended(
      Ended(
        job: record.job.id, client: record.job.client, outcome: outcome,
        prefilledTokens: min(record.reached, record.job.promptTokens), cachedTokens: record.cached,
        generatedTokens: record.generated, waited: until.minus(record.submittedAt),
        ran: record.startedAt.map { clock.minus($0) } ?? 0))
  }

  /// Removes a sequence from the batch.
  mutating func leaveBatch(_ index: Int) {
    guard let place = running.firstIndex(of: index) else { return }
    running.remove(at: place)
    if records[index].isStranger { runningStrangers -= 1 }
  }

  /// The record of a client, created if needed. If there are too many, it forgets the least served
  /// client that has no jobs, strangers first, because a new stranger can be made up for free.
  mutating func client(for id: ClientID, isStranger: Bool) -> Int {
    if let known = clientOf[id] { return known }
    let new = Client(
      id: id, isStranger: isStranger, serial: nextSerial, counter: 0, references: 0, lines: 0, waiting: 0)
    nextSerial += 1
    var index = clients.count
    if clients.count >= Self.rememberedClients {
      var least: Int?
      for (candidate, client) in clients.enumerated() where client.references == 0 && candidate != lastStarted
      {
        if let best = least,
          (clients[best].isStranger ? 0 : 1, clients[best].counter) <= (
            client.isStranger ? 0 : 1, client.counter
          )
        {
          continue
        }
        least = candidate
      }
      if let least { index = least }
    }
    if index == clients.count {
      clients.append(new)
    } else {
      clientOf[clients[index].id] = nil
      clients[index] = new
    }
    clientOf[id] = index
    return index
  }

  /// How many clients without jobs keep their share.
  static let rememberedClients = 4_096
}

/// The outcome of a submission.
public enum Submission: Hashable, Codable, Sendable {
  /// The operator has this long to decide.
  case pending(decideWithin: Microseconds)
  case queued
  case refused(QueueRefusal)
}

/// Why a job was not admitted.
public enum QueueRefusal: Hashable, Codable, Sendable, CustomStringConvertible {
  case policy(reason: String)
  case queueFull(jobs: Int, retryAfter: Microseconds)
  /// Of known clients.
  case approvalsFull(jobs: Int, retryAfter: Microseconds)
  case strangersFull(jobs: Int, retryAfter: Microseconds)
  case tokensFull(tokens: Int, retryAfter: Microseconds)
  case clientFull(jobs: Int, retryAfter: Microseconds)
  /// `room`: the positions that one sequence can have here.
  case tooLong(prompt: Int, output: Int, room: Int)
  case draining
  case duplicate(JobID)
  case invalid(field: String, found: Int64, wanted: String)

  /// How long to wait before trying again, if that is known.
  public var retryAfter: Microseconds? {
    switch self {
    case .queueFull(_, let time), .approvalsFull(_, let time), .strangersFull(_, let time),
      .tokensFull(_, let time), .clientFull(_, let time):
      time
    case .policy, .tooLong, .draining, .duplicate, .invalid: nil
    }
  }

  public var description: String {
    switch self {
    case .policy(let reason): reason
    case .queueFull(let jobs, _): "the queue is full: \(counted(jobs, "job")) \(jobs == 1 ? "waits" : "wait")"
    case .approvalsFull(let jobs, _):
      "\(counted(jobs, "job")) \(jobs == 1 ? "waits" : "wait") for the operator already"
    case .strangersFull(let jobs, _):
      "\(counted(jobs, "job")) of unknown clients \(jobs == 1 ? "waits" : "wait") already"
    case .tokensFull(let tokens, _):
      "the queue is full: \(counted(tokens, "prompt token")) \(tokens == 1 ? "waits" : "wait")"
    case .clientFull(let jobs, _): "this client already has \(counted(jobs, "job")) waiting"
    case .tooLong(let prompt, let output, let room):
      "\(prompt) prompt tokens and up to \(output) generated ones do not fit the \(room) positions there are"
    case .draining: "the node is draining and takes no new jobs"
    case .duplicate(let id): "job \(id) exists already"
    case .invalid(let field, let found, let wanted): "\(field) is \(found), wanted \(wanted)"
    }
  }
}

/// Totals since the scheduler was made. They only grow.
public struct Counters: Hashable, Codable, Sendable {
  public var submitted: Int64 = 0
  public var refused: Int64 = 0
  public var done: Int64 = 0
  public var rejected: Int64 = 0
  public var cancelled: Int64 = 0
  public var expired: Int64 = 0
  public var failed: Int64 = 0
  public var interrupted: Int64 = 0
  public var steps: Int64 = 0
  /// Prompt positions computed, including those recomputed after a preemption.
  public var prefillTokens: Int64 = 0
  /// Positions found in the cache instead of computed.
  public var cachedTokens: Int64 = 0
  public var generatedTokens: Int64 = 0
  public var keptPreemptions: Int64 = 0
  public var swapPreemptions: Int64 = 0
  public var recomputePreemptions: Int64 = 0
  /// Cached blocks that were evicted.
  public var evictedBlocks: Int64 = 0
  /// Weighted tokens charged to all clients.
  public var charged: Int64 = 0

  public init() {}

  mutating func count(_ outcome: Outcome) {
    switch outcome.state {
    case .done: done += 1
    case .rejected: rejected += 1
    case .cancelled: cancelled += 1
    case .expired: expired += 1
    case .failed: failed += 1
    case .interrupted: interrupted += 1
    case .pending, .queued, .running, .held: break
    }
  }
}
