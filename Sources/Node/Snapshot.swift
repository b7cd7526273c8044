// Snapshot.swift: everything a screen or a script shows of a node, at one moment.
// Values only, in the screen's own terms: rows sorted, rates computed, missing values with their reason.
// Leaves out how they come about (NodeState) and how they travel (Connection). Start at NodeSnapshot.
import Telemetry

/// A value with its status: current, stale, warming up, or unavailable with the reason.
public typealias Reading = Telemetry.Reading

/// Microseconds since 1970-01-01 00:00 UTC.
public typealias Microseconds = Int64

/// Millionths of one unit of the node's currency.
public typealias MicroUnits = Int64

/// One node at one moment. Written as JSON with snake_case keys by `hotpot status --json`.
public struct NodeSnapshot: Codable, Sendable, Equatable {
  /// Grows by one with each snapshot of this process.
  public let sequence: UInt64
  public let time: Microseconds
  public let node: NodeSummary
  /// Display order: running, held, queued in the order they would run, then ended, newest first.
  /// Pending jobs are in `approvals` and here, with the state `pending`.
  public let jobs: [JobRow]
  /// Jobs that wait for the operator, the one that expires first on top.
  public let approvals: [ApprovalRow]
  public let compute: ComputeSnapshot
  public let throughput: ThroughputSnapshot
  public let receipts: ReceiptsSnapshot
  public let earnings: EarningsSnapshot
  /// The newest lines of the log, oldest first; at most 200.
  public let log: [LogLine]

  public init(
    sequence: UInt64, time: Microseconds, node: NodeSummary, jobs: [JobRow], approvals: [ApprovalRow],
    compute: ComputeSnapshot, throughput: ThroughputSnapshot, receipts: ReceiptsSnapshot,
    earnings: EarningsSnapshot, log: [LogLine]
  ) {
    self.sequence = sequence
    self.time = time
    self.node = node
    self.jobs = jobs
    self.approvals = approvals
    self.compute = compute
    self.throughput = throughput
    self.receipts = receipts
    self.earnings = earnings
    self.log = log
  }
}

/// What the node as a whole is doing.
public enum ServingState: String, Codable, Sendable, Equatable, CaseIterable {
  /// No model on this machine, or none named.
  case noModel = "no_model"
  case loading, serving, paused, draining
  /// The journal cannot be written: running jobs finish, nothing is admitted.
  case readOnly = "read_only"
  /// The engine stopped: only a restart helps.
  case failed
  case stopping
}

public struct NodeSummary: Codable, Sendable, Equatable {
  public let name: String
  public let version: String
  public let state: ServingState
  /// The one reason why nothing runs; nil while something does.
  public let whyIdle: String?
  /// What is wrong and wants the operator, worst first; empty when all is well.
  public let alarms: [String]
  /// For example `SmolLM2-135M-Instruct Q4_1`; nil without a model.
  public let model: String?
  /// 0 to 1 while the model loads or is fetched.
  public let loading: Double?
  /// Numerics profile as in receipts, for example `N1/A12/KVf16`.
  public let profile: String
  /// Level of the kernels in use, for example `avx512`.
  public let isa: String
  public let started: Microseconds
  /// Where clients connect, for example `http://127.0.0.1:8114`.
  public let address: String?
  public let waitingApproval: Int
  public let queued: Int
  public let running: Int
  /// Currency of every amount in the snapshot, for example `EUR`.
  public let currency: String
  /// This is a throw-away node fed by demo clients.
  public let isDemo: Bool

  public init(
    name: String, version: String, state: ServingState, whyIdle: String?, alarms: [String], model: String?,
    loading: Double?, profile: String, isa: String, started: Microseconds, address: String?,
    waitingApproval: Int, queued: Int, running: Int, currency: String, isDemo: Bool
  ) {
    self.name = name
    self.version = version
    self.state = state
    self.whyIdle = whyIdle
    self.alarms = alarms
    self.model = model
    self.loading = loading
    self.profile = profile
    self.isa = isa
    self.started = started
    self.address = address
    self.waitingApproval = waitingApproval
    self.queued = queued
    self.running = running
    self.currency = currency
    self.isDemo = isDemo
  }
}

/// Who asked: earnings count only clients.
public enum JobOrigin: String, Codable, Sendable, Equatable, CaseIterable {
  /// A client over the network.
  case client
  /// The operator's own chat.
  case chat
  /// A demo client of `hotpot demo`.
  case demo
  /// Re-execution of an own receipt.
  case audit
}

/// One job as a row. Ids are 16 lower-case hex digits; screens show the shortest unique prefix of at least 4.
public struct JobRow: Codable, Sendable, Equatable, Identifiable {
  public let id: String
  public let state: JobState
  /// What it waits for, or why it ended so: for example `paused`, `prefill`, `rejected: too long`.
  public let stateDetail: String?
  public let client: String
  public let origin: JobOrigin
  public let model: String
  /// 0 (last) to 9 (first).
  public let priority: Int
  public let promptTokens: Int
  /// Prompt tokens whose KV is computed or was cached.
  public let promptDone: Int
  /// Of those, found in the prefix cache.
  public let cachedTokens: Int
  public let outputTokens: Int
  /// The most it may generate.
  public let outputLimit: Int
  /// Decode rate over the last second, tokens/s; nil when it does not decode.
  public let tokensPerSecond: Double?
  public let submitted: Microseconds
  public let started: Microseconds?
  public let firstToken: Microseconds?
  public let ended: Microseconds?
  /// What it owes so far, or at most, as `priceIsBound` says; nil when nothing is charged.
  public let price: MicroUnits?
  public let priceIsBound: Bool
  /// The receipt's id once there is one.
  public let receipt: String?
  /// Joules of processor and GPUs, divided by tokens among the jobs that computed at the same time; an ended job's is
  /// whole a second after its end. nil for a job that has not been in the batch, and from a node of an earlier release.
  public let energy: Reading<Double>?
  /// What they cost.
  public let energyCost: Reading<MicroUnits>?

  public init(
    id: String, state: JobState, stateDetail: String?, client: String, origin: JobOrigin, model: String,
    priority: Int, promptTokens: Int, promptDone: Int, cachedTokens: Int, outputTokens: Int, outputLimit: Int,
    tokensPerSecond: Double?, submitted: Microseconds, started: Microseconds?, firstToken: Microseconds?,
    ended: Microseconds?, price: MicroUnits?, priceIsBound: Bool, receipt: String?,
    energy: Reading<Double>? = nil, energyCost: Reading<MicroUnits>? = nil
  ) {
    self.id = id
    self.state = state
    self.stateDetail = stateDetail
    self.client = client
    self.origin = origin
    self.model = model
    self.priority = priority
    self.promptTokens = promptTokens
    self.promptDone = promptDone
    self.cachedTokens = cachedTokens
    self.outputTokens = outputTokens
    self.outputLimit = outputLimit
    self.tokensPerSecond = tokensPerSecond
    self.submitted = submitted
    self.started = started
    self.firstToken = firstToken
    self.ended = ended
    self.price = price
    self.priceIsBound = priceIsBound
    self.receipt = receipt
    self.energy = energy
    self.energyCost = energyCost
  }
}

/// A job that waits for the operator, with what he needs to decide.
public struct ApprovalRow: Codable, Sendable, Equatable, Identifiable {
  public let id: String
  public let client: String
  /// The client is in the node's list of clients.
  public let isKnown: Bool
  public let model: String
  public let promptTokens: Int
  public let outputLimit: Int
  /// What the client offers for a million completion tokens; nil when it offers nothing.
  public let offered: MicroUnits?
  /// What the node asks for a million completion tokens; nil when the node has no price.
  public let asked: MicroUnits?
  /// When it expires undecided.
  public let deadline: Microseconds
  public let submitted: Microseconds
  /// What the policy says and why, for example `rule 3 asks: unknown client`.
  public let policy: String
  /// What it would earn at most.
  public let wouldEarn: Reading<MicroUnits>
  /// What its electricity would cost.
  public let wouldCost: Reading<MicroUnits>
  /// How long it would take here, in microseconds, from now to its end.
  public let wouldTake: Reading<Microseconds>

  public init(
    id: String, client: String, isKnown: Bool, model: String, promptTokens: Int, outputLimit: Int,
    offered: MicroUnits?, asked: MicroUnits?, deadline: Microseconds, submitted: Microseconds, policy: String,
    wouldEarn: Reading<MicroUnits>, wouldCost: Reading<MicroUnits>, wouldTake: Reading<Microseconds>
  ) {
    self.id = id
    self.client = client
    self.isKnown = isKnown
    self.model = model
    self.promptTokens = promptTokens
    self.outputLimit = outputLimit
    self.offered = offered
    self.asked = asked
    self.deadline = deadline
    self.submitted = submitted
    self.policy = policy
    self.wouldEarn = wouldEarn
    self.wouldCost = wouldCost
    self.wouldTake = wouldTake
  }
}

/// What the machine does. Shares are 0 to 1, sizes bytes, temperatures Celsius, power watts, rates bytes/s.
public struct ComputeSnapshot: Codable, Sendable, Equatable {
  public let cpu: Reading<Double>
  /// One share a core, in the order of their numbers.
  public let cores: Reading<[Double]>
  public let cpuTemperature: Reading<Double>
  public let cpuPower: Reading<Double>
  public let load: Reading<[Double]>
  public let memoryUsed: Reading<Int64>
  public let memoryTotal: Reading<Int64>
  public let swapUsed: Reading<Int64>
  /// This process: resident bytes.
  public let residentMemory: Reading<Int64>
  /// Share of the last 10 s in which some task waited for the resource (PSI `some avg10`).
  public let cpuPressure: Reading<Double>
  public let memoryPressure: Reading<Double>
  public let ioPressure: Reading<Double>
  /// Free bytes where the state lives.
  public let diskFree: Reading<Int64>
  public let networkIn: Reading<Double>
  public let networkOut: Reading<Double>
  /// One entry a GPU; unavailable says why there are none.
  public let gpus: Reading<[GPUSnapshot]>
  /// Limits of the container, in words, for example `2 of 64 cores, 8 GiB`; nil without any.
  public let container: String?
  /// Mean clock of the cores in MHz.
  public let cpuClock: Reading<Double>
  /// Of all processors' time: waiting for the disk, and taken by the hypervisor for others.
  public let cpuWait: Reading<Double>
  public let cpuSteal: Reading<Double>
  /// Of `residentMemory`, pages of mapped files: the model.
  public let mappedMemory: Reading<Int64>
  /// Of the device under the state.
  public let diskRead: Reading<Double>
  public let diskWritten: Reading<Double>

  public init(
    cpu: Reading<Double>, cores: Reading<[Double]>, cpuTemperature: Reading<Double>,
    cpuPower: Reading<Double>,
    load: Reading<[Double]>, memoryUsed: Reading<Int64>, memoryTotal: Reading<Int64>,
    swapUsed: Reading<Int64>, residentMemory: Reading<Int64>, cpuPressure: Reading<Double>,
    memoryPressure: Reading<Double>, ioPressure: Reading<Double>, diskFree: Reading<Int64>,
    networkIn: Reading<Double>, networkOut: Reading<Double>, gpus: Reading<[GPUSnapshot]>, container: String?,
    cpuClock: Reading<Double> = .unavailable("not measured"),
    cpuWait: Reading<Double> = .unavailable("not measured"),
    cpuSteal: Reading<Double> = .unavailable("not measured"),
    mappedMemory: Reading<Int64> = .unavailable("not measured"),
    diskRead: Reading<Double> = .unavailable("not measured"),
    diskWritten: Reading<Double> = .unavailable("not measured")
  ) {
    self.cpuClock = cpuClock
    self.cpuWait = cpuWait
    self.cpuSteal = cpuSteal
    self.mappedMemory = mappedMemory
    self.diskRead = diskRead
    self.diskWritten = diskWritten
    self.cpu = cpu
    self.cores = cores
    self.cpuTemperature = cpuTemperature
    self.cpuPower = cpuPower
    self.load = load
    self.memoryUsed = memoryUsed
    self.memoryTotal = memoryTotal
    self.swapUsed = swapUsed
    self.residentMemory = residentMemory
    self.cpuPressure = cpuPressure
    self.memoryPressure = memoryPressure
    self.ioPressure = ioPressure
    self.diskFree = diskFree
    self.networkIn = networkIn
    self.networkOut = networkOut
    self.gpus = gpus
    self.container = container
  }
}

public struct GPUSnapshot: Codable, Sendable, Equatable {
  public let name: String
  public let utilization: Reading<Double>
  public let memoryUsed: Reading<Int64>
  public let memoryTotal: Reading<Int64>
  public let temperature: Reading<Double>
  public let power: Reading<Double>
  public let powerLimit: Reading<Double>
  /// Core clock in MHz.
  public let clock: Reading<Double>
  /// Why it runs slower than it could, in words; nil when nothing holds it back.
  public let throttle: String?
  public let processes: Reading<[String]>
  /// Where the driver begins to slow it down.
  public let slowdownTemperature: Reading<Double>
  /// MHz.
  public let memoryClock: Reading<Double>
  /// Memory errors (ECC) since the driver was loaded.
  public let correctedErrors: Reading<Int64>
  public let uncorrectedErrors: Reading<Int64>
  /// Bytes/s over PCIe, from the GPU's side.
  public let received: Reading<Double>
  public let sent: Reading<Double>

  public init(
    name: String, utilization: Reading<Double>, memoryUsed: Reading<Int64>, memoryTotal: Reading<Int64>,
    temperature: Reading<Double>, power: Reading<Double>, powerLimit: Reading<Double>, clock: Reading<Double>,
    throttle: String?, processes: Reading<[String]>,
    slowdownTemperature: Reading<Double> = .unavailable("not measured"),
    memoryClock: Reading<Double> = .unavailable("not measured"),
    correctedErrors: Reading<Int64> = .unavailable("not measured"),
    uncorrectedErrors: Reading<Int64> = .unavailable("not measured"),
    received: Reading<Double> = .unavailable("not measured"),
    sent: Reading<Double> = .unavailable("not measured")
  ) {
    self.slowdownTemperature = slowdownTemperature
    self.memoryClock = memoryClock
    self.correctedErrors = correctedErrors
    self.uncorrectedErrors = uncorrectedErrors
    self.received = received
    self.sent = sent
    self.name = name
    self.utilization = utilization
    self.memoryUsed = memoryUsed
    self.memoryTotal = memoryTotal
    self.temperature = temperature
    self.power = power
    self.powerLimit = powerLimit
    self.clock = clock
    self.throttle = throttle
    self.processes = processes
  }
}

/// How fast the engine is. Rates are tokens/s over the last second, latencies milliseconds over the last 5 minutes.
public struct ThroughputSnapshot: Codable, Sendable, Equatable {
  public let decode: Reading<Double>
  public let prefill: Reading<Double>
  public let firstTokenP50: Reading<Double>
  public let firstTokenP99: Reading<Double>
  public let betweenTokensP50: Reading<Double>
  public let betweenTokensP99: Reading<Double>
  /// Share of KV blocks in use by jobs, 0 to 1.
  public let kvInUse: Reading<Double>
  /// Share of KV blocks that hold reusable prefixes of nobody's running job, 0 to 1.
  public let kvCached: Reading<Double>
  public let batchSize: Int
  /// Share of prompt tokens found in the prefix cache since the start, 0 to 1.
  public let cacheHits: Reading<Double>
  public let tokensGenerated: Int
  public let tokensPrefilled: Int
  public let jobsDone: Int
  public let preemptions: Int

  public init(
    decode: Reading<Double>, prefill: Reading<Double>, firstTokenP50: Reading<Double>,
    firstTokenP99: Reading<Double>, betweenTokensP50: Reading<Double>, betweenTokensP99: Reading<Double>,
    kvInUse: Reading<Double>, kvCached: Reading<Double>, batchSize: Int, cacheHits: Reading<Double>,
    tokensGenerated: Int, tokensPrefilled: Int, jobsDone: Int, preemptions: Int
  ) {
    self.decode = decode
    self.prefill = prefill
    self.firstTokenP50 = firstTokenP50
    self.firstTokenP99 = firstTokenP99
    self.betweenTokensP50 = betweenTokensP50
    self.betweenTokensP99 = betweenTokensP99
    self.kvInUse = kvInUse
    self.kvCached = kvCached
    self.batchSize = batchSize
    self.cacheHits = cacheHits
    self.tokensGenerated = tokensGenerated
    self.tokensPrefilled = tokensPrefilled
    self.jobsDone = jobsDone
    self.preemptions = preemptions
  }
}

/// States of a receipt as an operator sees them; never one that was not checked.
public enum ReceiptState: String, Codable, Sendable, Equatable, CaseIterable {
  case logged, signed, witnessed
}

public enum AuditState: Codable, Sendable, Equatable {
  case unaudited
  case running
  /// Re-executed here: identical.
  case audited
  /// Re-executed here: where it first differs.
  case failed(String)
}

public struct ReceiptRow: Codable, Sendable, Equatable, Identifiable {
  public let id: String
  /// Place in the log, from 0.
  public let index: UInt64
  public let job: String
  public let client: String
  public let model: String
  public let time: Microseconds
  public let promptTokens: Int
  public let outputTokens: Int
  public let amount: MicroUnits?
  public let state: ReceiptState
  public let audit: AuditState

  public init(
    id: String, index: UInt64, job: String, client: String, model: String, time: Microseconds,
    promptTokens: Int, outputTokens: Int, amount: MicroUnits?, state: ReceiptState, audit: AuditState
  ) {
    self.id = id
    self.index = index
    self.job = job
    self.client = client
    self.model = model
    self.time = time
    self.promptTokens = promptTokens
    self.outputTokens = outputTokens
    self.amount = amount
    self.state = state
    self.audit = audit
  }
}

public struct ReceiptsSnapshot: Codable, Sendable, Equatable {
  /// Receipts in the log; unavailable says why there is no log.
  public let logged: Reading<Int>
  public let signed: Int
  public let witnessed: Int
  public let audited: Int
  public let failed: Int
  /// Time of the last signed checkpoint.
  public let lastCheckpoint: Reading<Microseconds>
  /// Receipts a minute over the last five minutes.
  public let perMinute: Reading<Double>
  /// Fingerprint of the node's key, for example `SHA256:…`.
  public let keyFingerprint: Reading<String>
  /// The newest, newest first; at most 100.
  public let recent: [ReceiptRow]

  public init(
    logged: Reading<Int>, signed: Int, witnessed: Int, audited: Int, failed: Int,
    lastCheckpoint: Reading<Microseconds>, perMinute: Reading<Double>, keyFingerprint: Reading<String>,
    recent: [ReceiptRow]
  ) {
    self.logged = logged
    self.signed = signed
    self.witnessed = witnessed
    self.audited = audited
    self.failed = failed
    self.lastCheckpoint = lastCheckpoint
    self.perMinute = perMinute
    self.keyFingerprint = keyFingerprint
    self.recent = recent
  }
}

public struct EarningsSnapshot: Codable, Sendable, Equatable {
  /// Posted today (local day); unavailable says why nothing is accounted.
  public let today: Reading<MicroUnits>
  /// Today less the electricity used.
  public let todayNet: Reading<MicroUnits>
  /// Rate over the last hour.
  public let perHour: Reading<MicroUnits>
  /// Projection of the day at that rate; a projection, not earnings.
  public let projectedDay: Reading<MicroUnits>
  /// Posted a day, oldest first, today last; 30 entries when known.
  public let days: [MicroUnits]
  /// Posted and not yet settled, over all clients.
  public let unsettled: Reading<MicroUnits>
  public let verified: Reading<MicroUnits>
  public let settled: Reading<MicroUnits>
  /// Energy used by the node today, in joules.
  public let energyToday: Reading<Double>
  public let clients: [ClientEarnings]
  /// Electricity of today.
  public let costToday: Reading<MicroUnits>
  /// Electricity of each of `days`; nil where no power was read or no price was known.
  public let costs: [MicroUnits?]
  /// `perHour` less an hour's electricity at the power and price of now.
  public let netPerHour: Reading<MicroUnits>
  /// Today's net for a million tokens, prompts and answers together.
  public let netPerMillion: Reading<MicroUnits>

  public init(
    today: Reading<MicroUnits>, todayNet: Reading<MicroUnits>, perHour: Reading<MicroUnits>,
    projectedDay: Reading<MicroUnits>, days: [MicroUnits], unsettled: Reading<MicroUnits>,
    verified: Reading<MicroUnits>, settled: Reading<MicroUnits>, energyToday: Reading<Double>,
    clients: [ClientEarnings], costToday: Reading<MicroUnits> = .warmingUp, costs: [MicroUnits?] = [],
    netPerHour: Reading<MicroUnits> = .warmingUp, netPerMillion: Reading<MicroUnits> = .warmingUp
  ) {
    self.today = today
    self.todayNet = todayNet
    self.perHour = perHour
    self.projectedDay = projectedDay
    self.days = days
    self.unsettled = unsettled
    self.verified = verified
    self.settled = settled
    self.energyToday = energyToday
    self.clients = clients
    self.costToday = costToday
    self.costs = costs
    self.netPerHour = netPerHour
    self.netPerMillion = netPerMillion
  }
}

public struct ClientEarnings: Codable, Sendable, Equatable {
  public let client: String
  public let today: MicroUnits
  public let total: MicroUnits
  public let unsettled: MicroUnits
  public let jobs: Int
  public let tokens: Int

  public init(
    client: String, today: MicroUnits, total: MicroUnits, unsettled: MicroUnits, jobs: Int, tokens: Int
  ) {
    self.client = client
    self.today = today
    self.total = total
    self.unsettled = unsettled
    self.jobs = jobs
    self.tokens = tokens
  }
}

public enum LogLevel: String, Codable, Sendable, Equatable, CaseIterable {
  case info, act, warning, error
}

public struct LogLine: Codable, Sendable, Equatable {
  /// Grows by one with each line of this process.
  public let sequence: UInt64
  public let time: Microseconds
  public let level: LogLevel
  /// Who did it, for acts: an operator's name.
  public let who: String?
  public let text: String

  public init(sequence: UInt64, time: Microseconds, level: LogLevel, who: String?, text: String) {
    self.sequence = sequence
    self.time = time
    self.level = level
    self.who = who
    self.text = text
  }
}

/// Samples at 1 s for graphs, oldest first, the newest at the time of the snapshot that comes with it.
/// A dashboard asks once, when it attaches, and goes on from snapshots.
public struct NodeHistory: Codable, Sendable, Equatable {
  public let time: Microseconds
  public let decode: [Double?]
  public let prefill: [Double?]
  public let cpu: [Double?]
  public let memory: [Double?]
  public let kvInUse: [Double?]
  public let batchSize: [Double?]
  /// One array a GPU.
  public let gpu: [[Double?]]
  /// Means of whole minutes, at most a day of them, the newest ended last.
  public let decodeDay: [Double?]
  public let cpuDay: [Double?]

  public init(
    time: Microseconds, decode: [Double?], prefill: [Double?], cpu: [Double?], memory: [Double?],
    kvInUse: [Double?], batchSize: [Double?], gpu: [[Double?]], decodeDay: [Double?] = [],
    cpuDay: [Double?] = []
  ) {
    self.decodeDay = decodeDay
    self.cpuDay = cpuDay
    self.time = time
    self.decode = decode
    self.prefill = prefill
    self.cpu = cpu
    self.memory = memory
    self.kvInUse = kvInUse
    self.batchSize = batchSize
    self.gpu = gpu
  }
}

/// All about one job. The prompt is there only after `NodeCommand.reveal`, and that look is in the log.
public struct JobDetail: Codable, Sendable, Equatable {
  public struct Moment: Codable, Sendable, Equatable {
    public let time: Microseconds
    public let what: String

    public init(time: Microseconds, what: String) {
      self.time = time
      self.what = what
    }
  }

  public let row: JobRow
  /// Oldest first: submitted, approved by whom, started, preempted, first token, ended.
  public let timeline: [Moment]
  /// Sampler settings, limits and offer, name and value, in display order.
  public let settings: [[String]]
  /// nil until revealed.
  public let prompt: String?
  /// The answer so far; nil until revealed.
  public let answer: String?

  public init(row: JobRow, timeline: [Moment], settings: [[String]], prompt: String?, answer: String?) {
    self.row = row
    self.timeline = timeline
    self.settings = settings
    self.prompt = prompt
    self.answer = answer
  }
}

/// All about one receipt: names and values in display order, hashes in hex.
public struct ReceiptDetail: Codable, Sendable, Equatable {
  public let row: ReceiptRow
  public let fields: [[String]]
  public let line: String

  public init(row: ReceiptRow, fields: [[String]], line: String) {
    self.row = row
    self.fields = fields
    self.line = line
  }
}
