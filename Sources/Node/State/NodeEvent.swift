// NodeEvent.swift: everything that can happen to a node, and every effect it can then request. Both
// are closed: a new kind of event is a case here, and the compiler finds the code that must handle
// it. Deciding is in NodeState, performing in NodeService. Start at NodeEvent.
import Accounting
import Control
import Receipts
import Scheduling

/// A moment on both clocks, in microseconds.
package struct Moment: Sendable, Equatable {
  /// Since 1970-01-01 00:00 UTC; may jump.
  package let wall: Microseconds
  /// Never goes back.
  package let monotonic: Microseconds
  /// Seconds by which local time is ahead of UTC.
  package let utcOffset: Int

  package init(wall: Microseconds, monotonic: Microseconds, utcOffset: Int = 0) {
    self.wall = wall
    self.monotonic = monotonic
    self.utcOffset = utcOffset
  }

  private var localSeconds: Int64 {
    Int64(utcOffset) + (wall >= 0 ? wall / 1_000_000 : (wall - 999_999) / 1_000_000)
  }

  /// Days since 1970-01-01 in local time.
  package var day: Day {
    Day(clamping: localSeconds >= 0 ? localSeconds / 86_400 : (localSeconds - 86_399) / 86_400)
  }

  /// Hour of the local day, 0 to 23.
  package var hour: Int { Int((localSeconds - Int64(day) * 86_400) / 3_600) }

  /// Seconds until the local day ends, 1 to 86,400.
  package var secondsLeft: Int { 86_400 - Int(localSeconds - Int64(day) * 86_400) }
}

/// Who acts: an operator's name as shown in the log.
package struct Operator: Codable, Sendable, Equatable {
  package let name: String
  package init(_ name: String) { self.name = name }
}

/// A requested job: counts and settings, no text and no token.
package struct JobRequest: Codable, Sendable {
  package let id: JobID
  package let identity: Identity
  package let origin: JobOrigin
  package let model: String
  package let promptTokens: Int
  /// 0 for the vector of a text: nothing is generated.
  package let outputLimit: Int
  package let priority: Int
  /// The client requested that priority explicitly.
  package let asksPriority: Bool
  /// Microseconds after which nobody needs the answer any more.
  package let timeLimit: Microseconds?
  /// Per million completion tokens.
  package let offered: Amount?
  package let prefix: [BlockKey]
  /// Where messages of the prompt end, if its model keeps recurrent states.
  package let borders: [Int]?
  /// Sampler settings and limits, name and value, for the detail view.
  package let settings: [[String]]
  /// The client does not wait on its connection: the job outlives it, and a restart.
  package let isAsynchronous: Bool
  /// For an audit: the id of the receipt that is re-executed.
  package let audits: String?
  /// Terms agreed before submission, stored on the disk with its request.
  package var terms: JobTerms?
  /// An earlier run of this node accepted it: nothing is decided again.
  package var restored: RestoredJob?

  package init(
    id: JobID, identity: Identity, origin: JobOrigin, model: String, promptTokens: Int, outputLimit: Int,
    priority: Int = 5, asksPriority: Bool = false, timeLimit: Microseconds? = nil, offered: Amount? = nil,
    prefix: [BlockKey] = [], borders: [Int]? = nil, settings: [[String]] = [], isAsynchronous: Bool = false,
    audits: String? = nil
  ) {
    self.id = id
    self.identity = identity
    self.origin = origin
    self.model = model
    self.promptTokens = promptTokens
    self.outputLimit = outputLimit
    self.priority = priority
    self.asksPriority = asksPriority
    self.timeLimit = timeLimit
    self.offered = offered
    self.prefix = prefix
    self.borders = borders
    self.settings = settings
    self.isAsynchronous = isAsynchronous
    self.audits = audits
  }
}

/// What was agreed when an asynchronous job was accepted. Stays valid over a restart, whatever the
/// configuration says by then.
package struct JobTerms: Codable, Sendable, Equatable {
  /// Per million tokens, and the least for the job.
  package let prompt: Amount
  package let cached: Amount
  package let completion: Amount
  package let minimum: Amount
  /// The policy admitted it; otherwise the operator decides.
  package let isAdmitted: Bool
  /// The policy's verdict, in words.
  package let policy: String

  package init(price: Price, isAdmitted: Bool, policy: String) {
    (prompt, cached, completion, minimum) = (price.prompt, price.cached, price.completion, price.minimum)
    self.isAdmitted = isAdmitted
    self.policy = policy
  }

  /// nil if an amount is negative, which cannot have been agreed.
  var price: Price? {
    try? Price(
      promptPerMillion: prompt, cachedPerMillion: cached, completionPerMillion: completion, minimum: minimum)
  }
}

/// The state of an accepted job when the node stopped, from the journal.
package struct RestoredJob: Codable, Sendable, Equatable {
  /// When it was accepted.
  package var submitted: Microseconds
  package var isApproved = false
  package var isHeld = false
  /// Set by an operator.
  package var priority: Int?

  package init(submitted: Microseconds) { self.submitted = submitted }
}

/// Facts about the engine, once it is ready.
package struct EngineFacts: Codable, Sendable, Equatable {
  /// Name in receipts, on screens and in `GET /v1/models`.
  package let model: String
  package let modelDigest: SHA256Digest
  package let profile: String
  package let isa: String
  package let contextLength: Int
  package let kvBlocks: Int
  /// The windows of layers with windowed attention, and their blocks; nil if all layers attend to
  /// all positions.
  package let windows: [Scheduling.Limits.Window]?
  /// Slots for recurrent states; nil if no layer keeps one.
  package let states: Scheduling.Limits.States?
  /// The model reads texts both ways, each in one step; nil if it does not.
  package let wholePrompts: Bool?

  package init(
    model: String, modelDigest: SHA256Digest, profile: String, isa: String, contextLength: Int, kvBlocks: Int,
    windows: [Scheduling.Limits.Window]? = nil, states: Scheduling.Limits.States? = nil,
    wholePrompts: Bool? = nil
  ) {
    self.model = model
    self.modelDigest = modelDigest
    self.profile = profile
    self.isa = isa
    self.contextLength = contextLength
    self.kvBlocks = kvBlocks
    self.windows = windows
    self.states = states
    self.wholePrompts = wholePrompts
  }
}

/// The facts about an ended job that its receipt needs besides its content.
package struct Seal: Sendable, Equatable {
  package let job: JobID
  package let client: String
  package let promptTokens: Int
  package let cachedTokens: Int
  package let completionTokens: Int
  package let outputLimit: Int
  package let finish: Receipt.Finish
  package let submitted: Microseconds
  package let started: Microseconds
  package let firstToken: Microseconds
  package let ended: Microseconds
  package let price: Price
  package let amount: Amount
  package let day: Day
}

package enum NodeEvent: Codable, Sendable {
  case loading(fraction: Double?)
  case noModel(String)
  case engineReady(EngineFacts)
  case engineFailed(String)
  case submitted(JobRequest)
  /// The connection of a job's client closed.
  case clientGone(JobID)
  /// `DELETE /v1/jobs/ID` by the job's own client.
  case cancelledByClient(JobID)
  case act(NodeCommand, by: Operator)
  case stepped(number: UInt64, results: [StepResult], duration: Microseconds)
  /// A receipt is on disk: its position in the log and its id.
  case receiptLogged(JobID, index: UInt64, id: String)
  /// The journal refused this job's receipt.
  case receiptRefused(JobID)
  /// The disk is nearly full, or no longer is.
  case lowSpace(Bool)
  /// The journal accepts no more records: nothing is admitted from now on.
  case journalFailed(String)
  /// The log up to this size is under a signed checkpoint of that time.
  case checkpointSigned(size: UInt64, time: Microseconds)
  /// Signing fails: receipts stay logged.
  case signingFailed(String)
  case witnessed(size: UInt64)
  /// Why a witness refuses this log; nil once it does not.
  case witnessRefuses(name: String, String?)
  case audited(receipt: String, AuditState)
  case telemetry(ComputeSnapshot, joules: Double)
  case clientAdded(name: String, digest: SHA256Digest)
  case clientRevoked(name: String)
  case limitsSet(client: String, ClientLimits)
  /// `type base64`; nil removes it.
  case clientKeySet(client: String, key: String?)
  case settled(client: String, amount: Amount, reference: String, by: Operator)
  case deposited(client: String, amount: Amount, reference: String, by: Operator)
  case corrected(client: String, amount: Amount, reason: String, by: Operator)
  /// The configuration was read again; `source` is the file's text, nil where there is none.
  case reconfigured(source: String?, ConfigurationChange, by: Operator)
  case note(LogLevel, who: String?, String)
  /// Time passes: once a second, and when `NodeState.nextDeadline` is reached.
  case tick
}

package enum NodeEffect: Sendable {
  /// Send this to the job's client.
  case answer(JobID, AnswerEvent)
  /// The job's content is no longer needed.
  case forget(JobID)
  /// What the client of an asynchronous job gets once its end is in the journal. Precedes the
  /// `seal` or the `end` immediately; a non-nil receipt is a placeholder for the coming one. It is
  /// on the disk before the end is.
  case prepare(JobID, AnswerEvent)
  /// An asynchronous job ends without a receipt: write this to the journal after the answer is on
  /// the disk.
  case end(JobEnded)
  /// Make the receipt of this job and append it to the journal; `receiptLogged` is expected.
  case seal(Seal)
  /// A record for the journal that nobody waits for.
  case record(Record)
  case log(LogLine)
  /// There may be work for the engine.
  case wakeEngine
  /// Everything has ended: stop.
  case stop
}
