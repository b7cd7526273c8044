// Record.swift: what the scheduler knows about one job, one client and one line.
// Start at `Record`.

/// A line: the jobs of one client that wait with one priority. Lines compete; within a line, jobs
/// stand in order.
struct LineKey: Hashable, Sendable {
  let client: Int
  let priority: Int
  let audit: Bool
}

/// A job's place: which line, and where in it. Moving a job puts it next to another one, in the
/// other's line, and makes the two a group: when the first of a group starts, the others are next.
/// So a moved job is served when the other would have been, but its tokens are still charged to its
/// own client.
struct Standing: Hashable, Sendable {
  var line: LineKey
  /// Sequences that have already run come before those that have not.
  var fresh: Bool
  /// Its time limit, or the time it was queued plus `patience`, whichever comes first, so that no
  /// job is overtaken forever.
  var due: Microseconds
  /// Unique; in the order of queueing until the job is moved.
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

/// All lines of one priority. They age together: ageing lets a priority through without changing
/// the turns within it.
struct Level: Sendable {
  var lines = 0
  /// Serving time when it last started a job, or when it first had lines.
  var since: Microseconds = 0
  /// Tokens charged to all clients by the time it was first seen fully aged.
  var chargedWhenAged: Int64?
}

/// Counts of the waiting jobs in one pool.
struct Waiting: Hashable, Sendable {
  /// Pending, queued or held.
  var jobs = 0
  var tokens = 0
  /// How many of the jobs wait for the operator.
  var pending = 0
}

struct Client: Sendable {
  let id: ClientID
  let isStranger: Bool
  /// Never reused, unlike the index, so that blocks cached for a forgotten client are never found
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

/// The blocks that a sequence has for one window, from `first` on. Earlier blocks have been freed,
/// or were never needed.
struct WindowTable: Hashable, Sendable {
  var first = 0
  var blocks: [BlockID] = []
  /// In host memory, from `hostFirst` on.
  var host: [BlockID] = []
  var hostFirst = 0

  /// The block at that index in the sequence.
  func block(_ at: Int) -> BlockID? { at >= first && at - first < blocks.count ? blocks[at - first] : nil }
}

/// One job that is alive.
struct Record: Sendable {
  let job: Job
  /// Never reused, unlike the record's index and perhaps the job's number.
  let serial: UInt64
  let client: Int
  var alive = true
  var state: JobState
  var priority: Int
  var standing: Standing
  /// Its place if nobody had moved it.
  var own: Standing

  let submittedAt: Microseconds
  let deadline: Microseconds
  var approvalDeadline: Microseconds
  var startedAt: Microseconds?
  /// The class and order in which it joined the batch. It decides who gets memory first and who is
  /// preempted last.
  var startClass = 0
  var startOrder: Int64 = 0
  /// Whether its prompt has been charged to its client.
  var charged = false

  var generated = 0
  /// Tokens that probably follow.
  var guess = 0
  /// Positions whose results are in its blocks, on the device or the host.
  var computed = 0
  /// The most that `computed` has been.
  var reached = 0
  var cached = 0
  var keys: [BlockKey]
  var blocks: [BlockID] = []
  var host: [BlockID] = []
  /// Indexed by window of the limits.
  var windows: [WindowTable] = []
  /// The slot of the recurrent state after the computed positions, which others may share or find,
  /// and the slot that the next step leaves it in if that must be another.
  var slot: BlockID?
  var nextSlot: BlockID?
  var slotHost: BlockID?
  /// How many blocks lie before each checkpoint, ascending.
  var checkpoints: [Int] = []
  /// Leading blocks whose content has been registered in the pool.
  var published = 0

  /// Positions whose tokens are known.
  var known: Int { job.promptTokens + generated }
  var remaining: Int { known - computed }
  var isAudit: Bool { job.origin == .audit }
  var isStranger: Bool { job.pool == .strangers }
  var isParked: Bool { state != .running && !blocks.isEmpty }
}
