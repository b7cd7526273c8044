// ScriptedNode.swift: a node as a value: jobs that progress by the second and commands that change
// them, without an engine. It serves tests and the development of the dashboard. Every figure
// follows from the second, so that screens are reproducible. It keeps the contract of a real node:
// ids stay, sequence numbers grow, and every command is answered with its tag. Start at busy,
// advance and apply.
import Control
import Telemetry

package struct ScriptedNode: Sendable {
  package private(set) var second: Int64 = 0
  package var state = ServingState.serving
  package var whyIdle: String?
  package var alarms: [String] = []
  package var modelName: String? = "SmolLM2-135M-Instruct Q4_1"
  /// What an operator left to keep.
  package private(set) var chats: ChatBook?
  package var hasGPU = true
  package var hasSensors = true
  package private(set) var jobs: [Job] = []
  package private(set) var log: [LogLine] = []
  /// The commands that the node received, oldest first.
  package private(set) var commands: [NodeCommand] = []
  private var sequence: UInt64 = 0
  private var revealed: String?
  private var verified: Set<String> = []
  private var receiptsLogged = 10_482

  /// 2026-03-14 11:09:26 UTC.
  package static let start: Microseconds = 1_773_486_566_000_000
  package var time: Microseconds { Self.start + second * 1_000_000 }

  package struct Job: Sendable {
    package var id: String
    package var state: JobState
    package var detail: String?
    package var client: String
    package var origin = JobOrigin.client
    package var model = "SmolLM2-135M-Instruct Q4_1"
    package var priority = 5
    package var prompt: Int
    package var promptDone = 0
    package var output = 0
    package var limit: Int
    package var rate: Double
    package var submitted: Microseconds
    package var started: Microseconds?
    package var firstToken: Microseconds?
    package var ended: Microseconds?
    package var offered: MicroUnits?
    package var isKnown = true

    package init(
      id: String, state: JobState, client: String, priority: Int = 5, prompt: Int, promptDone: Int = 0,
      output: Int = 0,
      limit: Int, rate: Double, submitted: Microseconds
    ) {
      self.id = id
      self.state = state
      self.client = client
      self.priority = priority
      self.prompt = prompt
      self.promptDone = promptDone
      self.output = output
      self.limit = limit
      self.rate = rate
      self.submitted = submitted
    }
  }

  package init() {}

  /// Four running, one held, two waiting, `queued` queued.
  package static func busy(queued: Int = 11) -> ScriptedNode {
    var node = ScriptedNode()
    let clients = ["aria-research", "garden-bot", "tomas-lab", "kitchen-display", "nightly-eval"]
    func job(
      _ id: String, _ state: JobState, _ client: String, prompt: Int, output: Int, limit: Int, rate: Double,
      age: Int64,
      priority: Int = 5
    ) -> Job {
      Job(
        id: id, state: state, client: client, priority: priority, prompt: prompt,
        promptDone: state == .running ? prompt : 0, output: output, limit: limit, rate: rate,
        submitted: start - age * 1_000_000)
    }
    var first = job(
      "7f3a90d1c2b4e6f8", .running, "aria-research", prompt: 1204, output: 412, limit: 640, rate: 51.2,
      age: 12, priority: 7)
    first.started = first.submitted + 300_000
    first.firstToken = first.submitted + 384_000
    var second = job(
      "81c0aa12bb34cc56", .running, "garden-bot", prompt: 310, output: 96, limit: 512, rate: 49.8, age: 4)
    second.started = second.submitted + 20_000
    second.firstToken = second.submitted + 104_000
    var third = job(
      "81d4f00dfeed0001", .running, "garden-bot", prompt: 4020, output: 0, limit: 900, rate: 0, age: 2)
    third.promptDone = 2492
    third.started = third.submitted + 500_000
    var fourth = job(
      "81d9000000000abc", .running, "tomas-lab", prompt: 96, output: 1630, limit: 2048, rate: 47.1, age: 44,
      priority: 4)
    fourth.started = fourth.submitted + 1_000_000
    fourth.firstToken = fourth.submitted + 1_090_000
    var held = job(
      "80aa777788889999", .held, "kim", prompt: 88, output: 17, limit: 256, rate: 0, age: 75, priority: 9)
    held.origin = .chat
    node.jobs = [first, second, third, fourth, held]
    for index in 0..<queued {
      let id = hex(0x81e1 + index * 7, 4) + hex(0x1000_0000_0000 + index * 977, 12)
      node.jobs.append(
        job(
          id, .queued, clients[index % clients.count], prompt: 120 + index * 211 % 3000, output: 0,
          limit: 256 << (index % 4), rate: 40 + Double(index % 9), age: Int64(1 + index * 2),
          priority: index % 3 == 0 ? 5 : 4))
    }
    var unknown = job(
      "81f2c0ffee000001", .pending, "9c:41:e0:77", prompt: 640, output: 0, limit: 512, rate: 45, age: 48)
    unknown.offered = 12_000
    unknown.isKnown = false
    var known = job(
      "8203c0ffee000002", .pending, "tomas-lab", prompt: 1802, output: 0, limit: 2048, rate: 46, age: 2)
    known.offered = 30_000
    node.jobs += [unknown, known]
    node.note(.info, nil, "model SmolLM2-135M-Instruct Q4_1 loaded in 212 ms, profile N1/A12/KVf16")
    node.note(.act, "kim", "approved 7f3a for aria-research")
    node.note(.warning, nil, "client garden-bot: 3 of 4 slots in use")
    node.note(.info, nil, "checkpoint 10482 signed")
    return node
  }

  private static func hex(_ value: Int, _ digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  package mutating func note(_ level: LogLevel, _ who: String?, _ text: String) {
    log.append(LogLine(sequence: UInt64(log.count + 1), time: time, level: level, who: who, text: text))
  }

  package mutating func add(_ job: Job) { jobs.append(job) }

  /// Ends a job from outside.
  package mutating func end(_ id: String, _ state: JobState, _ detail: String?) {
    guard let index = jobs.firstIndex(where: { $0.id.hasPrefix(id) }) else { return }
    jobs[index].state = state
    jobs[index].detail = detail
    jobs[index].ended = time
  }

  package mutating func remove(_ id: String) { jobs.removeAll { $0.id.hasPrefix(id) } }

  /// One second of work.
  package mutating func advance(seconds: Int = 1) {
    for _ in 0..<seconds {
      second += 1
      if state == .paused { continue }
      for index in jobs.indices where jobs[index].state == .running {
        if jobs[index].promptDone < jobs[index].prompt {
          jobs[index].promptDone = min(jobs[index].prompt, jobs[index].promptDone + 480)
          continue
        }
        if jobs[index].firstToken == nil {
          jobs[index].firstToken = time
          jobs[index].rate = 44 + Double(index)
        }
        jobs[index].output = min(jobs[index].limit, jobs[index].output + Int(jobs[index].rate))
        if jobs[index].output >= jobs[index].limit {
          jobs[index].state = .done
          jobs[index].ended = time
          receiptsLogged += 1
          note(
            .info, nil,
            "\(jobs[index].id.prefix(4)) done: \(jobs[index].output) tokens, receipt \(receiptsLogged)")
        }
      }
      let running = jobs.count { $0.state == .running }
      if running < 4, state == .serving, let next = jobs.firstIndex(where: { $0.state == .queued }) {
        jobs[next].state = .running
        jobs[next].started = time
        if jobs[next].rate == 0 { jobs[next].rate = 45 }
      }
      for index in jobs.indices where jobs[index].state == .pending {
        if jobs[index].submitted + 300_000_000 <= time {
          jobs[index].state = .expired
          jobs[index].ended = time
        }
      }
    }
  }

  // MARK: what screens see

  private func row(_ job: Job) -> JobRow {
    let owed = MicroUnits(job.prompt * 4 + job.output * 45)
    let isBound = job.state == .queued || job.state == .pending
    let isDecoding = job.state == .running && job.firstToken != nil && state != .paused
    return JobRow(
      id: job.id, state: job.state, stateDetail: job.detail, client: job.client, origin: job.origin,
      model: job.model,
      priority: job.priority, promptTokens: job.prompt, promptDone: job.promptDone,
      cachedTokens: job.prompt / 3,
      outputTokens: job.output, outputLimit: job.limit,
      tokensPerSecond: isDecoding ? job.rate + Double((second + Int64(job.prompt)) % 5) / 10 : nil,
      submitted: job.submitted, started: job.started, firstToken: job.firstToken, ended: job.ended,
      price: job.origin == .chat ? nil : isBound ? MicroUnits(job.prompt * 4 + job.limit * 45) : owed,
      priceIsBound: isBound, receipt: job.state == .done ? "r" + job.id.prefix(8) : nil,
      energy: job.started == nil ? nil : electricity(job).map { $0 * 1.5 },
      energyCost: job.started == nil ? nil : electricity(job).current.map { .value(MicroUnits($0 / 8)) })
  }

  /// In tokens.
  private func electricity(_ job: Job) -> Control.Reading<Double> {
    if case .unavailable(let reason) = compute.cpuPower { return .unavailable(reason) }
    return .value(Double(job.promptDone + job.output))
  }

  private func approval(_ job: Job) -> ApprovalRow {
    ApprovalRow(
      id: job.id, client: job.client, isKnown: job.isKnown, model: job.model, promptTokens: job.prompt,
      outputLimit: job.limit, offered: job.offered, asked: 20_000, deadline: job.submitted + 300_000_000,
      submitted: job.submitted,
      policy: job.isKnown ? "rule 2 asks: more than 1,024 tokens" : "rule 3 asks: unknown client",
      wouldEarn: .value(MicroUnits(job.limit * 20)), wouldCost: .value(1_400),
      wouldTake: .value(MicroUnits(Double(job.limit) / 48 * 1e6)))
  }

  private func wave(_ period: Double, _ low: Double, _ high: Double) -> Double {
    // A triangle with a smaller one on it: no libm, the same on every machine.
    func triangle(_ phase: Double) -> Double {
      let part = phase - phase.rounded(.down)
      return part < 0.5 ? part * 2 : 2 - part * 2
    }
    let mix = 0.75 * triangle(Double(second) / period) + 0.25 * triangle(Double(second) / 7.3)
    return low + (high - low) * mix
  }

  package mutating func snapshot() -> NodeSnapshot {
    sequence += 1
    let order: [JobState: Int] = [.running: 0, .queued: 1, .held: 2, .pending: 3]
    let sorted = jobs.enumerated().sorted { left, right in
      let (a, b) = (order[left.element.state] ?? 4, order[right.element.state] ?? 4)
      if a != b { return a < b }
      // Of those that ended the newest is first.
      let (earlier, later) = (right.element.ended ?? 0, left.element.ended ?? 0)
      return a == 4 && earlier != later ? later > earlier : left.offset < right.offset
    }.map(\.element)
    let running = jobs.filter { $0.state == .running }
    let decode = running.filter { $0.promptDone >= $0.prompt }.reduce(0.0) { $0 + $1.rate }
    let isPrefilling = running.contains { $0.promptDone < $0.prompt }
    let approvals = jobs.filter { $0.state == .pending }.sorted { $0.submitted < $1.submitted }
    let isActive = state == .serving && !running.isEmpty || state == .draining
    let why = whyIdle ?? (isActive ? nil : reason)
    let summary = NodeSummary(
      name: "kitchen-1", version: "0.1.0", state: state, whyIdle: why, alarms: alarms, model: modelName,
      loading: state == .loading ? 0.43 : nil, profile: "N1/A12/KVf16", isa: "avx512",
      started: Self.start - 274_320_000_000,
      address: "http://127.0.0.1:8114", waitingApproval: approvals.count,
      queued: jobs.count { $0.state == .queued },
      running: running.count, currency: "EUR", isDemo: false)
    return NodeSnapshot(
      sequence: sequence, time: time, node: summary, jobs: sorted.map(row),
      approvals: approvals.map(approval),
      compute: compute,
      throughput: throughput(decode: decode, isPrefilling: isPrefilling, batch: running.count),
      receipts: receipts, earnings: earnings, log: Array(log.suffix(200)), clients: clients)
  }

  private var reason: String {
    switch state {
    case .noModel: "no model on this machine"
    case .loading: "the model is loading"
    case .serving: "no jobs"
    case .paused: "paused by kim"
    case .draining: "draining"
    case .readOnly: "the journal cannot be written: no space left on device"
    case .failed: "the engine stopped: no memory"
    case .stopping: "stopping"
    }
  }

  private var compute: ComputeSnapshot {
    let none = "no sensor found"
    let load = running ? 1.0 : 0.1
    return ComputeSnapshot(
      cpu: .value(wave(61, 0.5, 0.97) * load),
      cores: .value(
        (0..<16).map { core in
          min(1, max(0, wave(61, 0.4, 1.05) - Double((core * 5 + Int(second / 5)) % 7) / 12))
        }),
      cpuTemperature: hasSensors ? .value(58 + wave(90, 0, 9)) : .unavailable(none),
      cpuPower: hasSensors ? .value(104 + wave(75, 0, 24)) : .unavailable("no access to RAPL"),
      load: .value([3.12, 2.84, 2.51]), memoryUsed: .value(12_992_276_070 + second / 5 * 400_000),
      memoryTotal: .value(25_232_932_864),
      swapUsed: .value(0), residentMemory: .value(4_404_019_200), cpuPressure: .value(0.12),
      memoryPressure: .value(0),
      ioPressure: .value(0.01), diskFree: .value(412_316_860_416), networkIn: .value(14_200),
      networkOut: .value(38_100),
      gpus: hasGPU
        ? .value([
          GPUSnapshot(
            name: "RTX 4090", utilization: .value(wave(47, 0.35, 0.92) * load),
            memoryUsed: .value(9_771_050_598),
            memoryTotal: .value(25_757_220_864), temperature: .value(60 + wave(80, 0, 8)),
            power: .value(370 + wave(40, 0, 60)),
            powerLimit: .value(450), clock: .value(2520), throttle: nil,
            processes: .value(["pid 4711 9316 MiB"]),
            slowdownTemperature: .value(90), memoryClock: .value(10_501), correctedErrors: .value(2),
            uncorrectedErrors: .value(0), received: .value(412_000_000), sent: .value(38_000_000))
        ]) : .unavailable("no GPU found (no NVIDIA library (libnvidia-ml.so.1))"),
      container: nil, cpuClock: .value(4_310), cpuWait: .value(0.002), cpuSteal: .value(0),
      mappedMemory: .value(105_906_176), diskRead: .value(0), diskWritten: .value(61_440))
  }

  private var running: Bool { jobs.contains { $0.state == .running } && state != .paused }

  private func throughput(decode: Double, isPrefilling: Bool, batch: Int) -> ThroughputSnapshot {
    ThroughputSnapshot(
      decode: running ? .value(decode + wave(23, 0, 60)) : .value(0),
      prefill: .value(isPrefilling ? 3104 + wave(9, 0, 300) : second % 30 < 12 ? 640 : 0),
      firstTokenP50: .value(84), firstTokenP99: .value(310),
      betweenTokensP50: .value(19.4), betweenTokensP99: .value(31), kvInUse: .value(0.41),
      kvCached: .value(0.22), batchSize: batch,
      cacheHits: .value(0.34), tokensGenerated: 48_210_512, tokensPrefilled: 120_776_004, jobsDone: 10_482,
      preemptions: 3)
  }

  private var receipts: ReceiptsSnapshot {
    let done = jobs.filter { $0.state == .done }
    var rows: [ReceiptRow] = []
    for (index, job) in done.reversed().enumerated() {
      rows.append(
        ReceiptRow(
          id: "r" + job.id.prefix(8), index: UInt64(receiptsLogged - 1 - index), job: job.id,
          client: job.client, model: job.model,
          time: job.ended ?? time, promptTokens: job.prompt, outputTokens: job.output,
          amount: MicroUnits(job.output * 45),
          state: .signed, audit: verified.contains("r" + job.id.prefix(8)) ? .running : .unaudited))
    }
    let clients = ["aria-research", "garden-bot", "tomas-lab"]
    for index in 0..<12 {
      let number = receiptsLogged - 1 - done.count - index
      let id = "r" + Self.hex(0x51ab_0000 + index, 8)
      rows.append(
        ReceiptRow(
          id: id, index: UInt64(number), job: Self.hex(0x7e00 + index, 16), client: clients[index % 3],
          model: "SmolLM2-135M-Instruct Q4_1", time: Self.start - Int64(20 + index * 31) * 1_000_000,
          promptTokens: 200 + index,
          outputTokens: 128 + index * 97 % 400, amount: MicroUnits(5_000 + index * 1_717),
          state: index < 2 ? .signed : .witnessed,
          audit: verified.contains(id) ? .running : index == 5 ? .audited : .unaudited))
    }
    return ReceiptsSnapshot(
      logged: .value(receiptsLogged), signed: receiptsLogged, witnessed: 9960, audited: 512, failed: 0,
      lastCheckpoint: .value(time - 3_000_000), perMinute: .value(7.4),
      keyFingerprint: .value("SHA256:4hC9v2mQ0w7yX1tLzKp8uRnEaVbG3sJdFf6oNcYi5Wk"), recent: rows)
  }

  private var earnings: EarningsSnapshot {
    EarningsSnapshot(
      today: .value(1_284_000 + second / 5 * 900), todayNet: .value(1_161_000 + second / 5 * 820),
      perHour: .value(212_000),
      projectedDay: .value(5_088_000),
      days: (0..<29).map { MicroUnits(800_000 + ($0 * 7919) % 13 * 70_000) } + [1_284_000],
      unsettled: .value(3_212_000),
      verified: .value(2_902_000), settled: .value(41_870_000), energyToday: .value(4_910_000),
      clients: [
        ClientEarnings(
          client: "aria-research", today: 702_000, total: 24_118_000, unsettled: 1_820_000, jobs: 5120,
          tokens: 2_400_118),
        ClientEarnings(
          client: "garden-bot", today: 402_000, total: 15_002_000, unsettled: 992_000, jobs: 4410,
          tokens: 1_290_400),
        ClientEarnings(
          client: "tomas-lab", today: 180_000, total: 5_962_000, unsettled: 400_000, jobs: 952,
          tokens: 620_002),
      ])
  }

  /// More or less work by the hour, up to `top`.
  private func day(_ minute: Int, _ top: Double) -> Double {
    let hour = Double(minute) / 60
    let part = max(0, 1 - abs(hour - 15) / 9)
    return top * part * (0.8 + 0.2 * Double((minute * 7919) % 97) / 97)
  }

  package func history(seconds: Int) -> NodeHistory {
    var past = self
    var decode: [Double?] = []
    var prefill: [Double?] = []
    var cpu: [Double?] = []
    var gpu: [Double?] = []
    for index in 0..<seconds {
      past.second = second - Int64(seconds - 1 - index)
      decode.append(past.wave(53, 190, 420))
      prefill.append(past.second % 40 < 9 ? past.wave(9, 1800, 3300) : past.wave(31, 0, 700))
      cpu.append(past.wave(61, 0.5, 0.97))
      gpu.append(past.wave(47, 0.35, 0.92))
    }
    return NodeHistory(
      time: time, decode: decode, prefill: prefill, cpu: cpu, memory: cpu.map { _ in 0.51 },
      kvInUse: cpu.map { _ in 0.41 },
      batchSize: cpu.map { _ in 4 }, gpu: hasGPU ? [gpu] : [],
      // A day: quiet at night, nothing known in the first hour.
      decodeDay: (0..<1440).map { $0 < 60 ? nil : past.wave(7, 0, 40) + day($0, 380) },
      cpuDay: (0..<1440).map { $0 < 60 ? nil : 0.04 + day($0, 0.9) })
  }

  private var clients: [ClientStanding] {
    func client(
      _ name: String, isKnown: Bool = true, isRevoked: Bool = false, seen: Int64?, today: MicroUnits = 0,
      owed: MicroUnits = 0, done: Int = 0, tokens: Int? = 0, budget: MicroUnits? = nil, perDay: Int? = nil,
      atOnce: Int? = nil
    ) -> ClientStanding {
      let mine = jobs.filter { $0.client == name && !$0.state.hasEnded }
      let running = mine.filter { $0.state == .running }
      return ClientStanding(
        name: name, isKnown: isKnown, isRevoked: isRevoked, running: running.count,
        waiting: mine.count - running.count, rate: running.reduce(0) { $0 + $1.rate }, tokensToday: tokens,
        today: today, owed: owed, jobs: done, budget: budget, budgetLeft: budget.map { $0 - owed },
        models: nil,
        tokensPerJob: nil, jobsAtOnce: atOnce, tokensPerDay: perDay,
        priority: isKnown ? 5 : 4, asked: isKnown ? 20_000 : nil,
        lastSeen: seen.map { time - $0 * 1_000_000 })
    }
    return [
      client("garden-bot", seen: 2, today: 402_000, owed: 992_000, done: 4410, tokens: 61_204, atOnce: 4),
      client(
        "tomas-lab", seen: 2, today: 180_000, owed: 400_000, done: 952, tokens: 8_120, budget: 2_000_000),
      client(
        "aria-research", seen: 12, today: 702_000, owed: 1_820_000, done: 5120, tokens: 140_331,
        perDay: 500_000),
      client("9c:41:e0:77", isKnown: false, seen: 48, tokens: nil),
      client("nightly-eval", seen: 190), client("kitchen-display", seen: nil),
      client("old-phone", isRevoked: true, seen: nil, owed: 12_000, done: 31),
    ]
  }

  /// Jobs of three days, an hour apart: the newest ended before this node began.
  private func past(_ query: PastQuery) -> [PastJob] {
    let clients = ["aria-research", "garden-bot", "tomas-lab", "unknown-9c41e077aa00"]
    let ends: [(JobState, String?)] = [
      (.done, nil), (.done, "its token limit"), (.rejected, "the price is below this node's"), (.done, nil),
      (.interrupted, "the node stopped"), (.cancelled, "by the client"), (.done, nil),
      (.failed, "a token that is not in the vocabulary"), (.expired, "nobody decided in time"),
    ]
    return (0..<72).map { index in
      let ended = Self.start - Int64(index) * 3_600_000_000 - 7_000_000
      let (state, detail) = ends[index % ends.count]
      let hasReceipt = state == .done || state == .cancelled
      return PastJob(
        id: Self.hex(0x7e00 + index * 41, 4) + Self.hex(index, 12), state: state, stateDetail: detail,
        client: clients[index % clients.count], model: "SmolLM2-135M-Instruct Q4_1",
        promptTokens: 120 + index * 7, outputLimit: 512,
        submitted: ended - Int64(2 + index % 40) * 1_000_000,
        outputTokens: hasReceipt ? 80 + index * 5 : nil, firstToken: nil,
        price: hasReceipt ? MicroUnits(3_000 + index * 977) : nil, ended: ended,
        day: "2026-03-\(14 - (index + 12) / 24)",
        receipt: hasReceipt ? "r" + Self.hex(0x51ab_0000 + index, 8) : nil)
    }.filter { $0.ended < query.before ?? .max }.prefix(query.limit).map { $0 }
  }

  // MARK: commands

  /// What a node answers; the reply carries the tag.
  package mutating func apply(_ command: NodeCommand, tag: UInt64) -> [NodeMessage] {
    commands.append(command)
    func done(_ text: String) -> NodeMessage { .reply(tag: tag, .done(text)) }
    switch command {
    case .approve(let ids):
      return [done("approved \(change(ids, from: [.pending], to: .queued)) of \(ids.count)")]
    case .reject(let ids, let reason):
      let count = change(ids, from: [.pending], to: .rejected, detail: "rejected: \(reason)")
      return [done("rejected \(count): \(reason)")]
    case .hold(let ids):
      return [done("held \(change(ids, from: [.queued, .running], to: .held, detail: "held"))")]
    case .release(let ids): return [done("released \(change(ids, from: [.held], to: .queued))")]
    case .setPriority(let ids, let priority, let step):
      for index in jobs.indices where ids.contains(jobs[index].id) {
        jobs[index].priority = step.map { min(9, max(0, jobs[index].priority + $0)) } ?? priority
      }
      return [done("priority \(priority)")]
    case .move(let id, let steps):
      guard let from = jobs.firstIndex(where: { $0.id == id }) else {
        return [.reply(tag: tag, .refused("no job \(id)"))]
      }
      let to = min(jobs.count - 1, max(0, from + steps))
      jobs.insert(jobs.remove(at: from), at: to)
      return [done("moved")]
    case .cancel(let ids):
      return [
        done(
          "cancelled \(change(ids, from: [.pending, .queued, .running, .held], to: .cancelled, detail: "cancelled by kim"))"
        )
      ]
    case .pause:
      state = .paused
      return [done("paused")]
    case .resume:
      state = .serving
      return [done("resumed")]
    case .drain:
      state = .draining
      return [done("draining")]
    case .undrain:
      state = .serving
      return [done("admitting again")]
    case .shutdown:
      state = .stopping
      return [done("stopping")]
    case .inspect(let id):
      return detail(id, withText: false).map { [.job($0), done("")] } ?? [
        .reply(tag: tag, .refused("no job \(id)"))
      ]
    case .reveal(let id):
      revealed = id
      note(.act, "kim", "looked at the text of \(id.prefix(4))")
      return detail(id, withText: true).map { [.job($0), done("this look is in the log")] } ?? [
        .reply(tag: tag, .refused("no job \(id)"))
      ]
    case .conceal:
      revealed = nil
      return []
    case .receipt(let id):
      guard let row = receipts.recent.first(where: { $0.id == id }) else {
        return [.reply(tag: tag, .refused("no receipt \(id)"))]
      }
      return [
        .receipt(
          ReceiptDetail(
            row: row,
            fields: [
              ["leaf", "9f2c44d18aa07be1c3d5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b"],
              ["job", "0000000000007e01"], ["client", "garden-bot"], ["profile", "N1/A12/KVf16"],
              ["prompt", "sha256:11aa22bb33cc44dd55ee66ff77889900aabbccddeeff00112233445566778899"],
            ], line: "{\"v\":1,\"index\":\(row.index),\"job\":\"\(row.job)\",\"client\":\"\(row.client)\"}"))
      ]
    case .verify(let id):
      verified.insert(id)
      return [done("re-executing \(id)")]
    case .chat:
      return [done("asked"), .chat(.started(job: "c0ffee00c0ffee00"))]
    case .stopChat: return [.chat(.finished(reason: "stopped", tokens: 12, tokensPerSecond: 48.5))]
    case .keepChats(let book):
      chats = book
      return [done("")]
    case .pull(let model):
      return [
        done("fetching \(model)"),
        .pull(
          PullProgress(
            model: model, phase: .fetching, bytes: 41_943_040, total: 101_187_584, detail: "from the hub")),
      ]
    case .cancelPull:
      return [.pull(PullProgress(model: "smollm2", phase: .cancelled, bytes: 0, total: nil, detail: nil))]
    case .history: return [.history(history(seconds: 900))]
    case .administer(.add(let name)):
      return [
        .token(name: name, token: "hotpot_" + String(repeating: "0123456789abcdef", count: 4)),
        done("added client \(name)"),
      ]
    case .administer: return [done("done")]
    case .reload: return [done("applied: policy, prices; waits for a restart: threads")]
    case .past(let query): return [.past(past(query)), done("")]
    }
  }

  private mutating func change(
    _ ids: [String], from states: [JobState], to state: JobState, detail: String? = nil
  ) -> Int {
    var count = 0
    for index in jobs.indices where ids.contains(jobs[index].id) && states.contains(jobs[index].state) {
      jobs[index].state = state
      jobs[index].detail = detail
      if state.hasEnded { jobs[index].ended = time }
      count += 1
    }
    return count
  }

  private func detail(_ id: String, withText: Bool) -> JobDetail? {
    guard let job = jobs.first(where: { $0.id == id }) else { return nil }
    var timeline = [JobDetail.Moment(time: job.submitted, what: "submitted by \(job.client)")]
    if let started = job.started {
      timeline.append(.init(time: started, what: "approved by rule 1, started"))
    }
    if let first = job.firstToken { timeline.append(.init(time: first, what: "first token")) }
    if let ended = job.ended { timeline.append(.init(time: ended, what: job.detail ?? job.state.rawValue)) }
    return JobDetail(
      row: row(job), timeline: timeline,
      settings: [
        ["temperature", "0.7"], ["top-p", "0.95"], ["seed", "42"], ["offer", "0.045 a thousand tokens"],
      ],
      prompt: withText ? "What is a checkpoint, and who signs it? 漢字 and é are fine." : nil,
      answer: withText ? "A signed statement of the log's size and root." : nil)
  }
}
