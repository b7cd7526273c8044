// Snapshot.swift: everything a screen or a script shows of a node, at one moment.
// Values only, in the screen's own terms: rows sorted, rates computed, missing values with their reason.
// Leaves out how they come about (NodeState) and how they travel (Connection). Start at NodeSnapshot; its parts are in
// Snapshot+Jobs.swift, Snapshot+Machine.swift and Snapshot+Books.swift.
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
  /// Display order: running, queued in the order they would run, held, pending, then ended, newest
  /// first.
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
  /// Numerics profile as in receipts, for example `N1/A15/KVi16`.
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
