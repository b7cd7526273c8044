// Record.swift: what the scheduler knows of one job, one client and one line.
// Start at `Record`.

/// A line: the jobs of one client that wait with one priority. Lines compete; within a line, jobs
/// stand in order.
struct LineKey: Hashable, Sendable {
  let client: Int
  let priority: Int
  let audit: Bool
}

/// A job's place: which line, and where in it. Moving a job gives it a place next to another's,
/// line and all, and makes the two a group: when the first of a group starts, the others are next.
/// So a moved job is served when the other would have been; its tokens still count for its own
/// client.
struct Standing: Hashable, Sendable {
  var line: LineKey
  /// A sequence that has run before stands before those that have not.
  var fresh: Bool
  /// Its time limit, or its queueing plus `patience`, whichever comes first: so nothing is
  /// overtaken for ever.
  var due: Microseconds
  /// Unique; in order of queueing until moved.
  var place: Int64
  /// Jobs that were moved next to one another; 0: none.
  var group: Int64 = 0

  static func precedes(_ a: Standing, _ b: Standing) -> Bool {
    if a.fresh != b.fresh { return b.fresh }
    if a.due != b.due { return a.due < b.due }
    return a.place < b.place
  }
}

struct Line: Sendable {
  let key: LineKey
  /// Records, in order of standing.
  var jobs: [Int]
}

/// All lines of one priority. They age together, so that ageing lets a priority through and leaves
/// the turns within it alone.
struct Level: Sendable {
  var lines = 0
  /// Serving time of its last start, or since it has lines.
  var since: Microseconds = 0
  /// The tokens charged to everybody when it was first seen fully aged.
  var chargedWhenAged: Int64?
}

/// What waits in one pool.
struct Waiting: Hashable, Sendable {
  /// Pending, queued or held.
  var jobs = 0
  var tokens = 0
  /// Of the jobs, those that wait for the operator.
  var pending = 0
}

struct Client: Sendable {
  let id: ClientID
  let isStranger: Bool
  /// Never used twice, unlike the index: what is cached for a forgotten client is never found
  /// again.
  let serial: UInt64
  /// Weighted tokens (Sheng et al. 2024, "virtual token counter").
  var counter: Int64
  /// Records of this client, and records that stand in one of its lines.
  var references: Int
  /// Lines with jobs in them, audits apart.
  var lines: Int
  /// Jobs that are pending, queued or held.
  var waiting: Int
}

/// The blocks that a sequence has of one window: those from `first` on. Blocks before it are given
/// up, or were never needed.
struct WindowTable: Hashable, Sendable {
  var first = 0
  var blocks: [BlockID] = []
  /// In host memory, from `hostFirst` on.
  var host: [BlockID] = []
  var hostFirst = 0

  /// The block at that place of the sequence.
  func block(_ at: Int) -> BlockID? { at >= first && at - first < blocks.count ? blocks[at - first] : nil }
}

/// One job that is alive.
struct Record: Sendable {
  let job: Job
  /// Never used twice, unlike the record's index and perhaps the job's number.
  let serial: UInt64
  let client: Int
  var alive = true
  var state: JobState
  var priority: Int
  var standing: Standing
  /// Where it would stand if nobody had moved it.
  var own: Standing

  let submittedAt: Microseconds
  let deadline: Microseconds
  var approvalDeadline: Microseconds
  var startedAt: Microseconds?
  /// The class and order in which it joined the batch: who goes first, and who leaves last.
  var startClass = 0
  var startOrder: Int64 = 0
  /// Its prompt has been counted for its client.
  var charged = false

  var generated = 0
  /// Positions whose results are in its blocks, on the device or the host.
  var computed = 0
  /// The most that `computed` has been.
  var reached = 0
  var cached = 0
  var keys: [BlockKey]
  var blocks: [BlockID] = []
  var host: [BlockID] = []
  /// By window of the limits.
  var windows: [WindowTable] = []
  /// Leading blocks whose content was made known.
  var published = 0

  /// Positions whose tokens are known.
  var known: Int { job.promptTokens + generated }
  var remaining: Int { known - computed }
  var isAudit: Bool { job.origin == .audit }
  var isStranger: Bool { job.pool == .strangers }
  var isParked: Bool { state != .running && !blocks.isEmpty }
}
