// NodeState+Snapshot.swift: the state, ready for display. Start at snapshot(at:).
import Accounting
import Control
import Scheduling

/// One hour of samples at 1 s and, for two of them, a day at 1 min. Fixed memory: 16 bytes per
/// sample, with 8 GPUs (14 * 3,600 + 2 * 1,440) * 16 = 852 kB.
struct Histories: Sendable {
  static let seconds = 3_600
  static let minutes = 1_440
  var decodeDay = MinuteRing(capacity: minutes)
  var cpuDay = MinuteRing(capacity: minutes)
  var decode = SampleRing(capacity: seconds)
  var prefill = SampleRing(capacity: seconds)
  var cpu = SampleRing(capacity: seconds)
  var memory = SampleRing(capacity: seconds)
  var kvInUse = SampleRing(capacity: seconds)
  var batchSize = SampleRing(capacity: seconds)
  var gpu: [SampleRing] = []
}

extension NodeState {
  mutating func sampleHistory(at now: Moment) {
    history.decode.add(decodeRate.rate(at: now.monotonic).current)
    history.prefill.add(prefillRate.rate(at: now.monotonic).current)
    history.cpu.add(compute?.cpu.current)
    let minute = now.wall / 60_000_000
    history.decodeDay.add(decodeRate.rate(at: now.monotonic).current, minute: minute)
    history.cpuDay.add(compute?.cpu.current, minute: minute)
    if let used = compute?.memoryUsed.current, let total = compute?.memoryTotal.current, total > 0 {
      history.memory.add(Double(used) / Double(total))
    } else {
      history.memory.add(nil)
    }
    history.kvInUse.add(kvShares?.used)
    history.batchSize.add(scheduler == nil ? nil : Double(batchSize))
    let gpus = compute?.gpus.current ?? []
    while history.gpu.count < gpus.count { history.gpu.append(SampleRing(capacity: Histories.seconds)) }
    for index in history.gpu.indices {
      history.gpu[index].add(gpus.indices.contains(index) ? gpus[index].utilization.current : nil)
    }
  }

  package func pastSamples(at now: Moment) -> NodeHistory {
    NodeHistory(
      time: now.wall, decode: history.decode.ordered, prefill: history.prefill.ordered,
      cpu: history.cpu.ordered, memory: history.memory.ordered, kvInUse: history.kvInUse.ordered,
      batchSize: history.batchSize.ordered, gpu: history.gpu.map(\.ordered),
      decodeDay: history.decodeDay.ordered, cpuDay: history.cpuDay.ordered)
  }

  private var kvShares: (used: Double, cached: Double)? {
    guard let load = scheduler?.load, load.blocks > 0 else { return nil }
    return (Double(load.usedBlocks) / Double(load.blocks), Double(load.cachedBlocks) / Double(load.blocks))
  }

  var servingState: ServingState {
    if isStopping { return .stopping }
    switch engine {
    case .noModel: return .noModel
    case .loading: return .loading
    case .failed: return .failed
    case .ready: break
    }
    if journalFailure != nil { return .readOnly }
    if scheduler?.isPaused ?? false { return .paused }
    if scheduler?.isDraining ?? false { return .draining }
    return .serving
  }

  /// The one reason why nothing runs; nil while something does.
  var whyIdle: String? {
    switch engine {
    case .noModel(let reason): return reason
    case .loading: return "the model is loading"
    case .failed(let reason): return "the engine stopped: \(reason)"
    case .ready: break
    }
    if isStopping { return "stopping" }
    if let journalFailure { return "read-only: \(journalFailure)" }
    guard let queue = scheduler, let reason = queue.whyIdle else { return nil }
    if let overLimit { return overLimit.words }
    if isSpaceLow { return "disk nearly full" }
    if let auditFailure, configuration.audits.stopOnFailure { return auditFailure }
    return "\(reason)"
  }

  var alarms: [String] {
    var found: [String] = []
    if let auditFailure { found.append(auditFailure) }
    if let auditTrouble { found.append(auditTrouble) }
    if let journalFailure { found.append("journal read-only: \(journalFailure)") }
    if let overLimit { found.append(overLimit.words) }
    if isSpaceLow { found.append("disk nearly full") }
    if let signingFailure { found.append("receipts unsigned: \(signingFailure)") }
    for (name, reason) in witnessRefusals.sorted(by: { $0.key < $1.key }) {
      found.append("witness \(name.prefix(40)) refuses: \(reason)")
    }
    return found
  }

  package mutating func snapshot(at now: Moment) -> NodeSnapshot {
    snapshotSequence += 1
    let views = scheduler?.jobs ?? []
    for view in views {
      jobs[view.id]?.promptDone = view.prefilledTokens
    }
    let sealing = jobs.values.filter { $0.sealing != nil }.sorted {
      ($1.ended ?? .max, $0.id) < ($0.ended ?? .max, $1.id)
    }.map(\.id)
    // Jobs that wait for their receipt have just ended.
    let rows = Self.ordered(
      (views.map(\.id) + sealing + endedJobs.reversed()).compactMap { row($0, at: now) })
    let pending = rows.count { $0.state == .pending }
    let earned = earnings(at: now)
    return NodeSnapshot(
      sequence: snapshotSequence, time: now.wall, node: summary(pending: pending), jobs: rows,
      approvals: approvals(views, at: now), compute: compute ?? Self.noTelemetry,
      throughput: throughput(at: now),
      receipts: receipts.snapshot(at: now.monotonic), earnings: earned,
      log: Array(log.suffix(Self.rememberedLines)), clients: clientStandings(rows, earned.clients, at: now))
  }

  /// Ended jobs are below all others, whatever else their state says.
  private static func ordered(_ rows: [JobRow]) -> [JobRow] {
    func live(_ wanted: JobState) -> [JobRow] { rows.filter { $0.state == wanted } }
    return live(.running) + live(.queued) + live(.held) + live(.pending) + rows.filter(\.state.hasEnded)
  }

  private func summary(pending: Int) -> NodeSummary {
    var loading: Double?
    if case .loading(let fraction) = engine { loading = fraction }
    return NodeSummary(
      name: configuration.name, version: version, state: servingState, whyIdle: whyIdle, alarms: alarms,
      model: facts?.model, loading: loading, profile: facts?.profile ?? "-", isa: facts?.isa ?? "-",
      started: started.wall, address: address, waitingApproval: pending,
      queued: jobs.values.filter { $0.state == .queued }.count,
      running: jobs.values.filter { $0.state == .running }.count,
      currency: configuration.currency, isDemo: isDemo)
  }

  mutating func row(_ id: JobID, at now: Moment) -> JobRow? {
    guard var entry = jobs[id] else { return nil }
    let decoding = entry.state == .running && entry.lastToken != nil
    let rate = decoding ? entry.rate.rate(at: now.monotonic).current : nil
    jobs[id] = entry
    return JobRow(
      id: id.hex, state: entry.state, stateDetail: entry.detail, client: entry.request.identity.name,
      origin: entry.request.origin, model: entry.request.model, priority: entry.priority,
      promptTokens: entry.request.promptTokens, promptDone: entry.promptDone, cachedTokens: entry.cached,
      outputTokens: entry.generated, outputLimit: entry.request.outputLimit, tokensPerSecond: rate,
      submitted: entry.submitted.wall, started: entry.started, firstToken: entry.firstToken,
      ended: entry.ended,
      price: isCharged(entry) ? (owed(entry) ?? entry.worst).micro : nil, priceIsBound: owed(entry) == nil,
      receipt: entry.receipt, admitted: entry.admitted?.wall, energy: energyUsed(entry),
      energyCost: energyCost(entry))
  }

  /// What a job owes so far; nil before it has started.
  private func owed(_ entry: JobEntry) -> Amount? {
    if let amount = entry.amount { return amount }
    guard entry.started != nil else { return nil }
    return try? entry.price.amount(  // The worst case did not overflow, so this cannot.
      for: Usage(prompt: entry.promptDone, cached: entry.cached, completion: entry.generated))
  }

  private func approvals(_ views: [JobView], at now: Moment) -> [ApprovalRow] {
    var rows: [ApprovalRow] = []
    for view in views where view.state == .pending {
      guard let entry = jobs[view.id] else { continue }
      let left = view.decideWithin ?? 0
      rows.append(
        ApprovalRow(
          id: view.id.hex, client: entry.request.identity.name, isKnown: entry.request.identity.isKnown,
          model: entry.request.model, promptTokens: entry.request.promptTokens,
          outputLimit: entry.request.outputLimit, offered: entry.request.offered?.micro,
          asked: entry.asked == .free ? nil : entry.asked.completion.micro, deadline: now.wall + left,
          submitted: entry.submitted.wall, policy: entry.policy,
          wouldEarn: isCharged(entry) && entry.asked != .free
            ? .value(entry.worst.micro) : .unavailable("no price is set for it"),
          wouldCost: wouldCost(view, at: now),
          wouldTake: view.finishesIn.map { .value($0) } ?? .warmingUp,
          charged: entry.asked == .free ? nil : entry.price.completion.micro))
    }
    return rows.sorted { ($0.deadline, $0.id) < ($1.deadline, $1.id) }
  }

  private mutating func throughput(at now: Moment) -> ThroughputSnapshot {
    let first = firstTokens.percentiles([0.5, 0.99], at: now.monotonic)
    let between = betweenTokens.percentiles([0.5, 0.99], at: now.monotonic)
    let shares = kvShares
    let none: Reading<Double> = .unavailable("no model is loaded")
    return ThroughputSnapshot(
      decode: scheduler == nil ? none : decodeRate.rate(at: now.monotonic),
      prefill: scheduler == nil ? none : prefillRate.rate(at: now.monotonic), firstTokenP50: first[0],
      firstTokenP99: first[1], betweenTokensP50: between[0], betweenTokensP99: between[1],
      kvInUse: shares.map { .value($0.used) } ?? none, kvCached: shares.map { .value($0.cached) } ?? none,
      kvPositions: scheduler.map { $0.load.blocks * Scheduling.Limits.blockSize },
      batchSize: batchSize,
      cacheHits: counts.prompts == 0 ? .warmingUp : .value(Double(counts.cached) / Double(counts.prompts)),
      tokensGenerated: counts.generated, tokensPrefilled: counts.prefilled, jobsDone: counts.done,
      preemptions: counts.preemptions)
  }

  private mutating func earnings(at now: Moment) -> EarningsSnapshot {
    let day = now.day
    let past = (0..<30).map { day - 29 + Day($0) }
    let daily = past.map { ledger.total(LedgerQuery(days: $0...$0)) }
    let today = daily.last ?? Totals()
    let accounts = ledger.clients.map { name in
      let account = ledger.account(of: name)
      let all = ledger.total(LedgerQuery(client: name))
      return ClientEarnings(
        client: name, today: ledger.total(LedgerQuery(days: day...day, client: name)).amount.micro,
        total: account.posted.micro, unsettled: account.unsettled.micro, jobs: all.jobs,
        tokens: all.promptTokens + all.completionTokens)
    }
    let unsettled = accounts.reduce(0) { $0 + $1.unsettled }
    let settled = ledger.clients.reduce(0) { $0 + ledger.account(of: $1).settled.micro }
    let perHour = earnedRate.rate(at: now.monotonic).map { MicroUnits(nearest: $0 * 3_600) }
    let hoursLeft = Double(now.secondsLeft) / 3_600
    let cost = energyCost(on: day)
    let net = cost.map { today.amount.micro - $0 }
    let tokens = today.promptTokens + today.completionTokens
    return EarningsSnapshot(
      today: .value(today.amount.micro), todayNet: net, perHour: perHour,
      projectedDay: perHour.map { today.amount.micro + MicroUnits(nearest: Double($0) * hoursLeft) },
      days: daily.map(\.amount.micro), unsettled: .value(unsettled), verified: .value(ledger.verified.micro),
      settled: .value(settled),
      energyToday: energy.used(on: day).map { .value($0.joules) } ?? .unavailable("no power reading"),
      clients: accounts.filter { $0.jobs > 0 || $0.unsettled != 0 }
        .sorted { ($1.unsettled, $0.client) < ($0.unsettled, $1.client) },
      costToday: cost, costs: past.map { energy.used(on: $0)?.cost?.micro },
      netPerHour: Self.difference(perHour, electricityPerHour(at: now)),
      netPerMillion: tokens == 0
        ? .warmingUp : net.map { MicroUnits(nearest: Double($0) / Double(tokens) * 1_000_000) })
  }

  private static func difference(_ a: Reading<MicroUnits>, _ b: Reading<MicroUnits>) -> Reading<MicroUnits> {
    guard let minuend = a.current else { return a }
    return b.map { minuend - $0 }
  }

  /// Details of a job, without its content.
  package mutating func detail(_ id: JobID, prompt: String?, answer: String?, at now: Moment) -> JobDetail? {
    guard let row = row(id, at: now), let entry = jobs[id] else { return nil }
    var settings = entry.request.settings
    settings.append(["policy", entry.policy])
    if isCharged(entry) {
      settings.append([
        "price",
        "\(entry.price.prompt)/\(entry.price.cached)/\(entry.price.completion) \(configuration.currency) per million prompt/cached/completion tokens",
      ])
      if entry.price != entry.asked {
        settings.append([
          "asked", "\(entry.asked.completion) \(configuration.currency); the offer is charged",
        ])
      }
      settings.append(["at most", "\(entry.worst) \(configuration.currency)"])
    }
    return JobDetail(row: row, timeline: entry.timeline, settings: settings, prompt: prompt, answer: answer)
  }

  static let noTelemetry: ComputeSnapshot = {
    func none<Value>() -> Reading<Value> { .warmingUp }
    return ComputeSnapshot(
      cpu: none(), cores: none(), cpuTemperature: none(), cpuPower: none(), load: none(), memoryUsed: none(),
      memoryTotal: none(), swapUsed: none(), residentMemory: none(), cpuPressure: none(),
      memoryPressure: none(),
      ioPressure: none(), diskFree: none(), networkIn: none(), networkOut: none(), gpus: none(),
      container: nil)
  }()
}

extension MicroUnits {
  /// The nearest amount; NaN counts as 0.
  fileprivate init(nearest value: Double) {
    self = Int64(exactly: value.rounded()) ?? (value > 0 ? .max : value < 0 ? .min : 0)
  }
}
