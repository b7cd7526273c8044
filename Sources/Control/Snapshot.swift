// Snapshot.swift: everything a screen or a script shows of a node, at one moment.
// Values only, ready for display: rows sorted, rates computed, missing values with their reason.
// How they are computed is in Node (NodeState), how they travel in Connection.swift. Start at
// NodeSnapshot; its parts are in Snapshot+Jobs.swift, Snapshot+Machine.swift and
// Snapshot+Books.swift.
import Telemetry

/// A value with its status: current, stale, warming up, or unavailable with the reason.
package typealias Reading = Telemetry.Reading

/// Microseconds since 1970-01-01 00:00 UTC.
package typealias Microseconds = Int64

/// Millionths of one unit of the node's currency.
package typealias MicroUnits = Int64

/// One node at one moment. Written as JSON with snake_case keys by `hotpot status --json`.
package struct NodeSnapshot: Codable, Sendable, Equatable {
  /// Grows by one with each snapshot of this process.
  package let sequence: UInt64
  package let time: Microseconds
  package let node: NodeSummary
  /// Display order: running, queued in the order they would run, held, pending, then ended, newest
  /// first.
  /// Pending jobs are both in `approvals` and here, with the state `pending`.
  package let jobs: [JobRow]
  /// Jobs that wait for the operator; the one that expires first is on top.
  package let approvals: [ApprovalRow]
  package let compute: ComputeSnapshot
  package let throughput: ThroughputSnapshot
  package let receipts: ReceiptsSnapshot
  package let earnings: EarningsSnapshot
  /// The newest lines of the log, oldest first; at most 200.
  package let log: [LogLine]
  /// Clients, the last seen first, at most 200; nil from a node of an earlier release.
  package let clients: [ClientStanding]?

  /// The screens that are attached, the first one first; nil where nobody counts them.
  package var attached: [AttachedScreen]?

  /// The queue that the node shares with others; nil if it shares none.
  package var sharedQueue: SharedQueueSnapshot?

  package init(
    sequence: UInt64, time: Microseconds, node: NodeSummary, jobs: [JobRow], approvals: [ApprovalRow],
    compute: ComputeSnapshot, throughput: ThroughputSnapshot, receipts: ReceiptsSnapshot,
    earnings: EarningsSnapshot, log: [LogLine], clients: [ClientStanding]? = nil
  ) {
    self.clients = clients
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

/// An operator's screen, or a program that watches.
package struct AttachedScreen: Codable, Sendable, Equatable {
  package let name: String
  package let role: Role
  package let since: Microseconds

  package init(name: String, role: Role, since: Microseconds) {
    (self.name, self.role, self.since) = (name, role, since)
  }
}

/// What the node as a whole is doing.
package enum ServingState: String, Codable, Sendable, Equatable, CaseIterable {
  /// No model on this machine, or none named.
  case noModel = "no_model"
  case loading, serving, paused, draining
  /// The journal cannot be written: running jobs finish, nothing is admitted.
  case readOnly = "read_only"
  /// The engine stopped: only a restart helps.
  case failed
  case stopping
}

package struct NodeSummary: Codable, Sendable, Equatable {
  package let name: String
  package let version: String
  package let state: ServingState
  /// The one reason why nothing runs; nil while something does.
  package let whyIdle: String?
  /// Problems that need the operator, worst first; empty when all is well.
  package let alarms: [String]
  /// For example `SmolLM2-135M-Instruct Q4_1`; nil without a model.
  package let model: String?
  /// 0 to 1 while the model loads or is fetched.
  package let loading: Double?
  /// Numerics profile as in receipts, for example `N1/A15/KVi16`.
  package let profile: String
  /// Level of the kernels in use, for example `avx512`.
  package let isa: String
  package let started: Microseconds
  /// Where clients connect, for example `http://127.0.0.1:8114`.
  package let address: String?
  package let waitingApproval: Int
  package let queued: Int
  package let running: Int
  /// Currency of every amount in the snapshot, for example `EUR`.
  package let currency: String
  /// This is a throw-away node fed by demo clients.
  package let isDemo: Bool

  package init(
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

package enum LogLevel: String, Codable, Sendable, Equatable, CaseIterable {
  case info, act, warning, error
}

package struct LogLine: Codable, Sendable, Equatable {
  /// Grows by one with each line of this process.
  package let sequence: UInt64
  package let time: Microseconds
  package let level: LogLevel
  /// Who did it, for acts: an operator's name.
  package let who: String?
  package let text: String

  package init(sequence: UInt64, time: Microseconds, level: LogLevel, who: String?, text: String) {
    self.sequence = sequence
    self.time = time
    self.level = level
    self.who = who
    self.text = text
  }
}

/// Samples at 1 s for graphs, oldest first; the newest is from the time of the accompanying
/// snapshot. A dashboard requests it once, when it attaches, and continues from snapshots.
package struct NodeHistory: Codable, Sendable, Equatable {
  package let time: Microseconds
  package let decode: [Double?]
  package let prefill: [Double?]
  package let cpu: [Double?]
  package let memory: [Double?]
  package let kvInUse: [Double?]
  package let batchSize: [Double?]
  /// One array per GPU.
  package let gpu: [[Double?]]
  /// Means of whole minutes, at most a day of them; the last one ended most recently.
  package let decodeDay: [Double?]
  package let cpuDay: [Double?]

  package init(
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
