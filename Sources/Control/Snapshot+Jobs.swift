// Snapshot+Jobs.swift: jobs as rows, jobs that wait for the operator, and the details of one job.
// Start at JobRow.
import Scheduling
import Telemetry

/// The states of a job, by the names that every interface uses.
package typealias JobState = Scheduling.JobState

extension JobState {
  /// Nothing more will happen to the job.
  package var hasEnded: Bool {
    switch self {
    case .pending, .queued, .running, .held: false
    case .done, .rejected, .cancelled, .expired, .failed, .interrupted: true
    }
  }
}

/// Where a job came from: only those of clients count as earnings.
package enum JobOrigin: String, Codable, Sendable, Equatable, CaseIterable {
  /// A client over the network.
  case client
  /// The operator's own chat.
  case chat
  /// A demo client of `hotpot demo`.
  case demo
  /// Re-execution of one of the node's own receipts.
  case audit
}

/// One job as a row. Ids are 16 lower-case hex digits; screens show the shortest unique prefix of
/// at least 4.
package struct JobRow: Codable, Sendable, Equatable, Identifiable {
  package let id: String
  package let state: JobState
  /// What it is waiting for, or why it ended: for example `paused`, `prefill`, `rejected: too
  /// long`.
  package let stateDetail: String?
  package let client: String
  package let origin: JobOrigin
  package let model: String
  /// 0 (last) to 9 (first).
  package let priority: Int
  package let promptTokens: Int
  /// Prompt tokens whose KV is computed or was cached.
  package let promptDone: Int
  /// How many of those were found in the prefix cache.
  package let cachedTokens: Int
  package let outputTokens: Int
  /// The most it may generate.
  package let outputLimit: Int
  /// Decode rate over the last second, tokens/s; nil while it does not decode.
  package let tokensPerSecond: Double?
  package let submitted: Microseconds
  /// When the policy or the operator admitted it; nil before that, and from a node of an earlier
  /// release.
  package let admitted: Microseconds?
  package let started: Microseconds?
  package let firstToken: Microseconds?
  package let ended: Microseconds?
  /// What it costs so far, or at most, as `priceIsBound` says; nil when nothing is charged.
  package let price: MicroUnits?
  package let priceIsBound: Bool
  /// The receipt's id once there is one.
  package let receipt: String?
  /// Joules of processor and GPUs, divided by tokens among the jobs that computed at the same time.
  /// The value is final one second after the job's end. nil for a job that has not been in the
  /// batch, and from a node of an earlier release.
  package let energy: Reading<Double>?
  /// What they cost; nil if unknown.
  package let energyCost: Reading<MicroUnits>?

  package init(
    id: String, state: JobState, stateDetail: String?, client: String, origin: JobOrigin, model: String,
    priority: Int, promptTokens: Int, promptDone: Int, cachedTokens: Int, outputTokens: Int, outputLimit: Int,
    tokensPerSecond: Double?, submitted: Microseconds, started: Microseconds?, firstToken: Microseconds?,
    ended: Microseconds?, price: MicroUnits?, priceIsBound: Bool, receipt: String?,
    admitted: Microseconds? = nil, energy: Reading<Double>? = nil, energyCost: Reading<MicroUnits>? = nil
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
    self.admitted = admitted
    self.firstToken = firstToken
    self.ended = ended
    self.price = price
    self.priceIsBound = priceIsBound
    self.receipt = receipt
    self.energy = energy
    self.energyCost = energyCost
  }
}

/// A job that waits for the operator, with what they need to decide.
package struct ApprovalRow: Codable, Sendable, Equatable, Identifiable {
  package let id: String
  package let client: String
  /// The client is in the node's list of clients.
  package let isKnown: Bool
  package let model: String
  package let promptTokens: Int
  package let outputLimit: Int
  /// What the client offers per million completion tokens; nil if it offers nothing.
  package let offered: MicroUnits?
  /// What the node asks per million completion tokens; nil if the node has no price.
  package let asked: MicroUnits?
  /// What it will be charged per million completion tokens if approved: the lower of the two. nil
  /// if it is free, and from a node of an earlier release.
  package let charged: MicroUnits?
  /// When it expires if nobody decides.
  package let deadline: Microseconds
  package let submitted: Microseconds
  /// What the policy says and why, for example `rule 3 asks: unknown client`.
  package let policy: String
  /// What it would earn at most.
  package let wouldEarn: Reading<MicroUnits>
  /// What its electricity would cost.
  package let wouldCost: Reading<MicroUnits>
  /// How long it would take here, in microseconds, from now to its end.
  package let wouldTake: Reading<Microseconds>

  package init(
    id: String, client: String, isKnown: Bool, model: String, promptTokens: Int, outputLimit: Int,
    offered: MicroUnits?, asked: MicroUnits?, deadline: Microseconds, submitted: Microseconds, policy: String,
    wouldEarn: Reading<MicroUnits>, wouldCost: Reading<MicroUnits>, wouldTake: Reading<Microseconds>,
    charged: MicroUnits? = nil
  ) {
    self.id = id
    self.client = client
    self.isKnown = isKnown
    self.model = model
    self.promptTokens = promptTokens
    self.outputLimit = outputLimit
    self.offered = offered
    self.asked = asked
    self.charged = charged
    self.deadline = deadline
    self.submitted = submitted
    self.policy = policy
    self.wouldEarn = wouldEarn
    self.wouldCost = wouldCost
    self.wouldTake = wouldTake
  }
}

/// All about one job. The prompt is included only after `NodeCommand.reveal`, which is logged.
package struct JobDetail: Codable, Sendable, Equatable {
  package struct Moment: Codable, Sendable, Equatable {
    package let time: Microseconds
    package let what: String

    package init(time: Microseconds, what: String) {
      self.time = time
      self.what = what
    }
  }

  package let row: JobRow
  /// Oldest first: submitted, approved by whom, started, preempted, first token, ended.
  package let timeline: [Moment]
  /// Sampler settings, limits and offer, name and value, in display order.
  package let settings: [[String]]
  /// nil until revealed.
  package let prompt: String?
  /// The answer so far; nil until revealed.
  package let answer: String?

  package init(row: JobRow, timeline: [Moment], settings: [[String]], prompt: String?, answer: String?) {
    self.row = row
    self.timeline = timeline
    self.settings = settings
    self.prompt = prompt
    self.answer = answer
  }
}
