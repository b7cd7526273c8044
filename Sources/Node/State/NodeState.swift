// NodeState.swift: what a node decides, as a value: events in, effects out. No clock, no thread, no
// I/O, no text of any client. Ordering and memory are the scheduler's, money is the ledger's; this
// combines them and tracks every job's life. Not here: content (Transcript), performing effects
// (NodeService). Start at apply(_:at:); jobs are in NodeState+Jobs.swift, operators' acts in
// NodeState+Acts.swift, electricity in NodeState+Energy.swift, what screens see in
// NodeState+Snapshot.swift.
import Accounting
import Control
import Receipts
import Scheduling

/// The node's state machine.
package struct NodeState: Sendable {
  package internal(set) var configuration: NodeConfiguration
  let version: String
  let isDemo: Bool
  let address: String?
  let started: Moment

  /// The engine's state; jobs are accepted only when it is ready.
  enum Engine: Sendable {
    case noModel(String)
    case loading(Double?)
    case failed(String)
    case ready(EngineFacts)
  }
  var engine = Engine.loading(nil)
  /// nil until the engine is ready.
  var scheduler: Scheduler?
  var isStopping = false

  var jobs: [JobID: JobEntry] = [:]
  /// Ended jobs that are still shown on screens, oldest first.
  var endedJobs: [JobID] = []
  static let rememberedJobs = 200

  package internal(set) var clients = ClientDirectory()
  var clientLimits: [String: ClientLimits] = [:]
  /// SSH keys that clients sign their vouchers with, `type base64`.
  var clientKeys: [String: String] = [:]
  var vouchers = VoucherBook()
  /// The signed form of the vouchers: text, signature and key of each client's highest one.
  var voucherProofs: [String: VoucherAccepted] = [:]
  /// When clients' last requests came to a decision, by name.
  var lastSeen: [String: Microseconds] = [:]
  package internal(set) var ledger = Ledger()
  /// Tokens of each client by day, for daily limits: of today and the adjacent days, because a
  /// clock may be set back over midnight.
  var tokensUsed: [Day: [String: Int]] = [:]

  var journalFailure: String?
  var signingFailure: String?
  /// Witnesses that refuse this log, and why.
  var witnessRefusals: [String: String] = [:]
  var overLimit: OverLimit?
  var limitLog = LimitLog()
  var isSpaceLow = false
  var auditFailure: String?
  /// Why audits cannot be run; nil once one has run.
  var auditTrouble: String?

  var log: [LogLine] = []
  var logSequence: UInt64 = 0
  static let rememberedLines = 200

  var snapshotSequence: UInt64 = 0
  var compute: ComputeSnapshot?
  var energy = EnergyBook()
  package internal(set) var energySplit = EnergySplit()
  /// Tokens of the step that the engine is computing.
  var stepUnderWay: [(job: JobID, tokens: Int)] = []
  /// Micro-units posted, over the last hour.
  var earnedRate: RateMeter

  var decodeRate: RateMeter
  var prefillRate: RateMeter
  var firstTokens = LatencyWindow()
  var betweenTokens = LatencyWindow()
  var batchSize = 0
  var counts = Counts()
  /// Jobs of clients that ended, by how; see NodeState+Life.swift.
  var life = LifeCounts()
  var alarmHistory = AlarmHistory()
  var firstTokenSeconds = Histogram(bounds: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60])
  /// From its admission to its start.
  var queueSeconds = Histogram(bounds: [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600])
  /// How long jobs waited for the operator's decision, for those that were admitted.
  var approvalSeconds = Histogram(bounds: [1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600])
  var tokenSeconds = Histogram(bounds: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1])
  var jobSeconds = Histogram(bounds: [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600])

  var receipts = ReceiptBook()
  var history = Histories()

  /// Counts since the start, which only grow.
  struct Counts: Sendable {
    var generated = 0
    var prefilled = 0
    var cached = 0
    var prompts = 0
    var done = 0
    /// How many of those ended at their limit.
    var atLimit = 0
    var preemptions = 0
    /// Time that the engine spent on its steps.
    var engineTime: Microseconds = 0
  }

  package init(
    configuration: NodeConfiguration, policy: Policy, version: String, isDemo: Bool, address: String?,
    now: Moment
  ) {
    self.configuration = configuration
    self.configuration.policy = policy
    self.version = version
    self.isDemo = isDemo
    self.address = address
    started = now
    decodeRate = RateMeter(window: 1_000_000, slots: 10, now: now.monotonic)
    prefillRate = RateMeter(window: 1_000_000, slots: 10, now: now.monotonic)
    earnedRate = RateMeter(window: 3_600_000_000, slots: 60, now: now.monotonic)
  }

  /// Whether jobs of a shared queue may be taken: those of others wait there better than here.
  var admitsFromQueue: Bool {
    guard let scheduler, !isStopping, journalFailure == nil, overLimit == nil, !isSpaceLow else {
      return false
    }
    return !scheduler.isPaused && !scheduler.isDraining
  }

  var policy: Policy { configuration.policy }

  package var facts: EngineFacts? {
    if case .ready(let facts) = engine { facts } else { nil }
  }

  /// Applies one event completely.
  package mutating func apply(_ event: NodeEvent, at now: Moment) -> [NodeEffect] {
    var effects: [NodeEffect] = []
    switch event {
    case .loading(let fraction): engine = .loading(fraction)
    case .noModel(let reason): engine = .noModel(reason)
    case .engineReady(let facts): becomeReady(facts, at: now, &effects)
    case .engineFailed(let reason):
      engine = .failed(reason)
      note(.error, "the engine stopped: \(reason)", at: now, &effects)
      endAll(.shutdown, at: now, &effects)
      // The engine's step never ends; nothing more is planned.
      scheduler = nil
      stepUnderWay = []
    case .submitted(let request): submit(request, at: now, &effects)
    case .clientGone(let id): cancel(id, by: .client, at: now, &effects)
    case .cancelledByClient(let id): cancel(id, by: .client, at: now, &effects)
    case .act(let command, let who): _ = act(command, by: who, at: now, &effects)
    case .stepped(let number, let results, let duration):
      stepped(number, results, duration, at: now, &effects)
    case .receiptLogged(let id, let index, let receipt): receiptLogged(id, index, receipt, at: now, &effects)
    case .receiptRefused(let id): finishWithoutReceipt(id, at: now, &effects)
    case .lowSpace(let isLow):
      isSpaceLow = isLow
      note(
        .warning, isLow ? "nothing is admitted: the disk is nearly full" : "there is room on the disk again",
        at: now,
        &effects)
    case .journalFailed(let reason):
      if journalFailure == nil {
        journalFailure = reason
        note(.error, "the journal is read-only from now on: \(reason)", at: now, &effects)
        for id in jobs.keys.sorted() where jobs[id]?.sealing != nil {
          finishWithoutReceipt(id, at: now, &effects)
        }
      }
    case .checkpointSigned(let size, let time):
      if signingFailure != nil { note(.info, "receipts are signed again", at: now, &effects) }
      signingFailure = nil
      receipts.sign(below: size, at: time)
      ledger.markSigned(below: size)
    case .signingFailed(let reason):
      let isKnown = signingFailure.map { $0.withoutFigures == reason.withoutFigures } ?? false
      signingFailure = reason
      if !isKnown {
        note(.warning, "receipts stay unsigned: \(reason)", at: now, &effects)
      }
    case .witnessed(let size): receipts.witness(below: size)
    case .witnessRefuses(let name, let reason):
      if let reason, witnessRefusals[name] != reason {
        note(.error, "the witness \(name) refuses this log: \(reason)", at: now, &effects)
      } else if reason == nil, witnessRefusals[name] != nil {
        note(.info, "the witness \(name) cosigns again", at: now, &effects)
      }
      witnessRefusals[name] = reason
    case .audited(let receipt, let result): audited(receipt, result, at: now, &effects)
    case .telemetry(let sample, let joules): telemetry(sample, joules, at: now, &effects)
    case .clientAdded(let name, let digest): clients.add(name: name, tokenDigest: digest, at: now.wall)
    case .clientRevoked(let name): revoke(name, at: now, &effects)
    case .limitsSet(let client, let limits): clientLimits[client] = limits
    case .clientKeySet(let client, let key): clientKeys[client] = key
    case .deposited(let client, let amount, let reference, let who):
      _ = deposit(client, amount, reference, by: who, at: now, &effects)
    case .settled(let client, let amount, let reference, let who):
      _ = settle(client, amount, reference, by: who, at: now, &effects)
    case .corrected(let client, let amount, let reason, let who):
      _ = correct(client, amount, reason, by: who, at: now, &effects)
    case .reconfigured(let source, let change, let who):
      reconfigure(source: source, change, by: who, at: now, &effects)
    case .note(let level, let who, let text): note(level, who: who, text, at: now, &effects)
    case .tick: tick(at: now, &effects)
    }
    return effects
  }

  /// Microseconds from `now` until time alone changes something; nil if nothing waits for time.
  package var nextDeadline: Microseconds? { scheduler?.nextDeadline }

  private mutating func becomeReady(_ facts: EngineFacts, at now: Moment, _ effects: inout [NodeEffect]) {
    // The new model replaces one that served: its jobs end, and its step never returns.
    endAll(.shutdown, at: now, &effects)
    stepUnderWay = []
    do throws(LimitsError) {
      scheduler = try Scheduler(schedulingLimits(facts))
      engine = .ready(facts)
      note(.info, "serving \(facts.model), \(facts.profile) on \(facts.isa)", at: now, &effects)
    } catch {
      engine = .failed("\(error)")
      note(.error, "cannot schedule: \(error)", at: now, &effects)
    }
  }

  /// A line of the log, for screens and the file.
  mutating func note(
    _ level: LogLevel, who: String? = nil, _ text: String, at now: Moment, _ effects: inout [NodeEffect]
  ) {
    logSequence += 1
    let line = LogLine(sequence: logSequence, time: now.wall, level: level, who: who, text: text)
    log.append(line)
    if log.count > 2 * Self.rememberedLines { log.removeFirst(log.count - Self.rememberedLines) }
    effects.append(.log(line))
  }

  private mutating func tick(at now: Moment, _ effects: inout [NodeEffect]) {
    if tokensUsed.count > 3 {
      tokensUsed = tokensUsed.filter { ((Int(now.day) - 1)...(Int(now.day) + 1)).contains(Int($0.key)) }
    }
    if let happened = scheduler?.tick(at: now.monotonic) {
      follow(happened, at: now, &effects)
    }
    alarmHistory.see(alarms)
    if isStopping, scheduler.map(isIdle) ?? true, !jobs.values.contains(where: { $0.sealing != nil }) {
      record(energy.close(), &effects)
      effects.append(.stop)
    }
  }

  /// Nothing runs and nothing is queued.
  var isIdle: Bool { scheduler.map(isIdle) ?? false }

  private func isIdle(_ queue: Scheduler) -> Bool {
    let load = queue.load
    return load.running == 0 && load.queued == 0 && !queue.isStepUnderWay
  }

  private mutating func telemetry(
    _ sample: ComputeSnapshot, _ joules: Double, at now: Moment, _ effects: inout [NodeEffect]
  ) {
    compute = sample
    take(Energy(joules: joules), at: now, &effects)
    follow(exceeded(sample), at: now, &effects)
    sampleHistory(at: now)
  }

  mutating func follow(_ over: OverLimit?, at now: Moment, _ effects: inout [NodeEffect]) {
    overLimit = over
    switch limitLog.see(over, at: now.monotonic) {
    case .nothing: break
    case .begins(let words): note(.warning, "nothing is admitted: \(words)", at: now, &effects)
    case .ends: note(.info, "admitting again: under the limits", at: now, &effects)
    }
  }

  /// Takes effect at once: no more requests, and the client's jobs here end; finished work is
  /// receipted and owed.
  private mutating func revoke(_ name: String, at now: Moment, _ effects: inout [NodeEffect]) {
    clients.revoke(name: name, at: now.wall)
    for id in jobs.keys.sorted() {
      guard let entry = jobs[id], !entry.state.hasEnded, entry.request.identity == .known(name) else {
        continue
      }
      jobs[id]?.mark("its client was revoked", at: now)
      cancel(id, by: .operator, at: now, &effects)
    }
  }

  /// The configured limit that a sample exceeds, in words.
  func exceeded(_ sample: ComputeSnapshot) -> OverLimit? {
    let limits = configuration.limits
    if let limit = limits.temperature {
      let hottest = ([sample.cpuTemperature] + (sample.gpus.current ?? []).map(\.temperature)).compactMap(
        \.current
      ).max()
      if let hottest, hottest > limit {
        return OverLimit(kind: .temperature, words: "over temperature, \(Int(hottest)) °C of \(Int(limit))")
      }
    }
    if let limit = limits.memoryAvailable, let used = sample.memoryUsed.current,
      let total = sample.memoryTotal.current, total - used < limit
    {
      return OverLimit(
        kind: .memory, words: "out of memory, \((total - used) >> 20) MiB available of \(limit >> 20) wanted")
    }
    if let limit = limits.diskFree, let free = sample.diskFree.current, free < limit {
      return OverLimit(
        kind: .disk, words: "disk nearly full, \(free >> 20) MiB free of \(limit >> 20) wanted")
    }
    return nil
  }

  mutating func audited(
    _ receipt: String, _ result: AuditState, at now: Moment, _ effects: inout [NodeEffect]
  ) {
    receipts.audit(receipt, result)
    switch result {
    case .unaudited, .running: return
    case .audited:
      auditTrouble = nil
      return
    case .notRun(let reason):
      // The alarm stays until an audit runs; each receipt has its own reason, and the log says it
      // once.
      let words = "audits do not run: \(reason)"
      let isKnown = auditTrouble.map { $0.withoutFigures == words.withoutFigures } ?? false
      auditTrouble = words
      if !isKnown {
        note(.error, "the audit of receipt \(receipt) failed to run: \(reason)", at: now, &effects)
      }
      if let row = receipts.row(receipt) {
        effects.append(
          .record(.audit(Audit(receipt: Int(clamping: row.index), outcome: .notRun))))
      }
      return
    case .failed: auditTrouble = nil
    }
    guard case .failed(let difference) = result else { return }
    auditFailure = "receipt \(receipt.prefix(8)) failed its audit: \(difference)"
    note(.error, "receipt \(receipt) failed its audit: \(difference)", at: now, &effects)
    if let row = receipts.row(receipt), let amount = row.amount {
      ledger.markFailed(ReceiptIndex(row.index), amount: Amount(micro: amount))
    }
  }

  mutating func settle(
    _ client: String, _ amount: Amount, _ reference: String, by who: Operator, at now: Moment,
    _ effects: inout [NodeEffect]
  ) -> CommandReply {
    guard amount.micro.magnitude <= NodeConfiguration.largestAmount.micro.magnitude else {
      return .refused("a payment of \(amount) is more than a line of the journal holds")
    }
    do throws(AccountingError) {
      try ledger.apply(.settled(client: client, amount: amount, reference: reference, day: now.day))
    } catch {
      return .refused("\(error)")
    }
    effects.append(
      .record(
        .settlement(
          Settlement(
            client: client, amount: amount.micro, currency: configuration.currency, reference: reference,
            day: now.day))))
    note(
      .act, who: who.name,
      "settled \(amount) \(configuration.currency) with \(client), reference \(reference)", at: now, &effects)
    return .done("settled \(amount) \(configuration.currency) with \(client)")
  }

  /// A client pays before it owes.
  mutating func deposit(
    _ client: String, _ amount: Amount, _ reference: String, by who: Operator, at now: Moment,
    _ effects: inout [NodeEffect]
  ) -> CommandReply {
    guard clients.isActive(client) else {
      return .refused("there is no active client '\(client.prefix(80))'")
    }
    guard amount.micro.magnitude <= NodeConfiguration.largestAmount.micro.magnitude else {
      return .refused("a payment of \(amount) is more than a line of the journal holds")
    }
    do throws(AccountingError) {
      try ledger.apply(.deposited(client: client, amount: amount, reference: reference, day: now.day))
    } catch {
      return .refused("\(error)")
    }
    effects.append(
      .record(
        .deposit(
          Deposit(
            client: client, amount: amount.micro, currency: configuration.currency, reference: reference,
            day: now.day))))
    let left = ledger.account(of: client).unsettled
    let words = "\(client) paid \(amount) \(configuration.currency) ahead"
    note(.act, who: who.name, "\(words), reference \(reference)", at: now, &effects)
    let rest = left < .zero ? "\(Amount(micro: -left.micro)) is left for jobs" : "\(left) is owed still"
    return .done("\(words); \(rest)")
  }

  /// Changes what a client owes, by a separate transfer: earlier postings are not altered.
  package mutating func correct(
    _ client: String, _ amount: Amount, _ reason: String, by who: Operator, at now: Moment,
    _ effects: inout [NodeEffect]
  ) -> CommandReply {
    guard clients.entry(named: client) != nil || ledger.clients.contains(client) else {
      return .refused("there is no client '\(client.prefix(80))'")
    }
    guard amount != .zero, amount.micro.magnitude <= NodeConfiguration.largestAmount.micro.magnitude else {
      return .refused("a correction of \(amount) is nothing, or more than a line of the journal holds")
    }
    do throws(AccountingError) {
      try ledger.apply(.corrected(client: client, amount: amount, reason: reason, day: now.day))
    } catch {
      return .refused("\(error)")
    }
    effects.append(
      .record(
        .correction(Correction(client: client, amount: amount.micro, reason: reason, day: now.day))))
    note(
      .act, who: who.name, "corrected what \(client) owes by \(amount) \(configuration.currency): \(reason)",
      at: now, &effects)
    return .done("\(client) owes \(ledger.account(of: client).unsettled) \(configuration.currency) now")
  }
}
