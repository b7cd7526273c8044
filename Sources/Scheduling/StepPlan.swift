// StepPlan.swift: one step's work as the engine gets it, and what the engine reports back.
// Start at `StepPlan`.

/// One step. The engine performs `operations` in order and computes all `entries` as one batch;
/// then Node calls `Scheduler.stepped`. Until then the scheduler hands out none of the blocks named
/// here.
public struct StepPlan: Hashable, Codable, Sendable {
  /// Passed to `stepped`; 0 when there is nothing to do.
  public let number: UInt64
  public let operations: [KVOperation]
  public let entries: [StepEntry]
  /// What planning itself did to jobs: started, preempted, expired and so on, in order.
  public let effects: [Effect]

  /// Nothing to do, and `stepped` must not be called. `Scheduler.whyIdle` says why.
  public var isEmpty: Bool { number == 0 }
  public var tokenCount: Int { entries.reduce(0) { $0 + $1.count } }
}

/// A range of consecutive positions of one sequence.
public struct StepEntry: Hashable, Codable, Sendable {
  public let job: JobID
  /// The first position to compute. Position p is prompt token p, or generated token p -
  /// promptTokens.
  public let start: Int
  /// Positions to compute, 1 or more, guessed ones included.
  public let count: Int
  /// The sequence's block table: position p lies in `blocks[p / 16]`, row p % 16. Covers start +
  /// count positions.
  public let blocks: [BlockID]
  /// The same for each of `Limits.windows`, with -1 for blocks that have fallen out of it; nil if
  /// there are no windows.
  public let windows: [[BlockID]]?
  /// Where the sequence's recurrent state is; nil if the model has none.
  public let state: StateSlots?
  /// Whether the next token is sampled from the last position's logits.
  public let emits: Bool
  /// How many tokens it has generated so far: the index of the one that this entry emits.
  public let outputIndex: Int
  /// How many of the last positions hold tokens that nobody has chosen yet, but which probably
  /// follow (`StepResult.guess`). The entry emits a token for every position as long as the guess
  /// was right. nil: none.
  public let guessed: Int?

  /// Positions whose tokens are known.
  public var known: Int { count - (guessed ?? 0) }
}

/// The slots of one entry's recurrent state.
public struct StateSlots: Hashable, Codable, Sendable {
  /// Holds the state before the entry's first position, and may be shared; nil: there is none yet.
  public let from: BlockID?
  /// Holds the state after its last position; may be `from`.
  public let into: BlockID

  public init(from: BlockID?, into: BlockID) {
    self.from = from
    self.into = into
  }
}

/// Copies between device and host memory, done before the step's entries, in order. Blocks that are
/// merely freed need no operation. None are ever copied within the device, because only full blocks
/// are shared.
public enum KVOperation: Hashable, Codable, Sendable {
  /// Copy each `blocks[i]` of the device to `host[i]`; both belong to a window if one is named.
  case swapOut(JobID, blocks: [BlockID], host: [BlockID], window: Int? = nil)
  /// Copy each `host[i]` to `blocks[i]` of the device.
  case swapIn(JobID, host: [BlockID], blocks: [BlockID], window: Int? = nil)
  /// Copy the recurrent state in `slot` of the device to `host`, or back.
  case saveState(JobID, slot: BlockID, host: BlockID)
  case restoreState(JobID, host: BlockID, slot: BlockID)
}

/// The result of one entry of a step. An entry that emits must have one; for one that doesn't, no
/// result means success.
public struct StepResult: Hashable, Codable, Sendable {
  public enum Kind: Hashable, Codable, Sendable {
    /// One more token; the sequence goes on (until `maxOutputTokens`).
    case token
    /// One more token, and it was the last.
    case lastToken(FinishReason)
    /// The end without a further token: a stop token that does not count as output.
    case end(FinishReason)
    case failed(reason: String)
    /// The entry was not computed: what it needs is not at hand yet. It comes again.
    case later
  }

  public let job: JobID
  public let kind: Kind
  /// Keys of blocks whose 16 tokens have become known, continuing those given before (the prompt's
  /// first) without a gap: the n-th key given for a job names its n-th block. They may come late,
  /// or never.
  public let keys: [BlockKey]
  /// Tokens that the entry emitted, the last one of `kind` among them; at most one more than were
  /// guessed. nil: one.
  public let count: Int?
  /// How many tokens probably follow, so that the next step may compute them beside the last one.
  /// nil: none.
  public let guess: Int?

  public init(job: JobID, _ kind: Kind, keys: [BlockKey] = [], count: Int? = nil, guess: Int? = nil) {
    self.job = job
    self.kind = kind
    self.keys = keys
    self.count = count
    self.guess = guess
  }

  /// Tokens that the entry emitted.
  public var tokens: Int {
    switch kind {
    case .token, .lastToken: count ?? 1
    case .end, .failed, .later: 0
    }
  }
}

/// `stepped` was called for a step that is not in progress. It is the caller's fault; nothing was
/// changed.
public struct StepError: Error, Hashable, Sendable, CustomStringConvertible {
  public let found: UInt64
  public let wanted: UInt64?

  package init(found: UInt64, wanted: UInt64?) {
    self.found = found
    self.wanted = wanted
  }

  public var description: String {
    guard let wanted else { return "step \(found) was reported, but none is under way" }
    return "step \(found) was reported, but step \(wanted) is under way"
  }
}
