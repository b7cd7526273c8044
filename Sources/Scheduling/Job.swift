// Job.swift: what is asked of the node, in the scheduler's terms: counts, never content.
// Leaves out prompts, prices' meaning and wall-clock time: Node keeps those. Start at `Job`.

/// A span or an instant of a monotonic clock, in microseconds. The scheduler compares instants only with each other.
public typealias Microseconds = Int64

/// A job's number, opaque to the scheduler. Node never gives one number to two jobs that are alive together.
public struct JobID: RawRepresentable, Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
  public let rawValue: UInt64

  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }

  public static func < (a: JobID, b: JobID) -> Bool { a.rawValue < b.rawValue }
  public var description: String { String(rawValue) }
}

/// Who asks. Shares, limits and cached prefixes are kept per client and never cross.
public struct ClientID: RawRepresentable, Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
  public let rawValue: String

  public init(rawValue: String) { self.rawValue = rawValue }
  public init(_ rawValue: String) { self.rawValue = rawValue }

  public static func < (a: ClientID, b: ClientID) -> Bool { a.rawValue < b.rawValue }
  public var description: String { rawValue }
}

/// Names the content of one full KV block: a hash chained over every token up to the block's end.
/// Node makes it and mixes in client and model; 128 bits, so that two contents never share one by accident.
/// The scheduler looks a key up under its client only, so that even an equal key of another client is not found.
public struct BlockKey: Hashable, Codable, Sendable {
  public let high: UInt64
  public let low: UInt64

  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }
}

/// Where a job comes from.
public enum Origin: String, Codable, Sendable, CaseIterable {
  /// A client's request.
  case network
  /// The operator's own chat.
  case `operator`
  /// A re-execution of an old receipt: runs only while nothing else is queued or running.
  case audit
}

/// Whose places a job waits in. No pool takes a place of another's: names are free to make up, so that what strangers
/// may have is bounded for all of them together.
public enum Pool: Int, Codable, Sendable, CaseIterable {
  /// The node's own: the operator's jobs, audits.
  case own
  /// Clients that the operator knows.
  case clients
  case strangers
}

/// One job as submitted.
public struct Job: Hashable, Codable, Sendable {
  public var id: JobID
  public var client: ClientID
  public var model: String
  public var origin: Origin
  /// The client has made its name up: its jobs wait and run within the strangers' share (`Limits`).
  public var isStranger: Bool
  /// Tokens of the rendered prompt, 1 or more.
  public var promptTokens: Int
  /// The most tokens it may generate, 1 or more.
  public var maxOutputTokens: Int
  /// 0 (last) to 9 (first).
  public var priority: Int
  /// How long after its submission the answer is still wanted; it expires then, in whatever state. nil: for ever.
  public var timeLimit: Microseconds?
  /// What the client offers, in the unit of the policy's price rules. The scheduler only shows it.
  public var price: Int64?
  /// Keys of the prompt's full blocks in order: `promptTokens / 16` of them, or fewer if the rest is not to be shared.
  public var prefix: [BlockKey]

  public init(
    id: JobID, client: ClientID, model: String, origin: Origin = .network, promptTokens: Int,
    maxOutputTokens: Int, priority: Int = 5, timeLimit: Microseconds? = nil, price: Int64? = nil,
    prefix: [BlockKey] = [], isStranger: Bool = false
  ) {
    self.id = id
    self.client = client
    self.model = model
    self.origin = origin
    self.isStranger = isStranger
    self.promptTokens = promptTokens
    self.maxOutputTokens = maxOutputTokens
    self.priority = priority
    self.timeLimit = timeLimit
    self.price = price
    self.prefix = prefix
  }
}

extension Job {
  public var pool: Pool { origin != .network ? .own : isStranger ? .strangers : .clients }
}

/// The states of a job, by the names that every interface uses. The scheduler holds jobs in the first four;
/// a job reaches one of the others by an `Effect.ended` and is then forgotten here.
public enum JobState: String, Codable, Sendable, CaseIterable {
  case pending, queued, running, held
  case done, rejected, cancelled, expired, failed, interrupted
}

/// Why a generation ended well.
public enum FinishReason: String, Codable, Sendable {
  /// A stop token or a stop string.
  case stop
  /// `maxOutputTokens` were generated.
  case length
}

/// Who ended a job early.
public enum Canceller: String, Codable, Sendable {
  /// The client went away or asked for it.
  case client
  case `operator`
  /// The node stops: the job counts as interrupted, not as cancelled.
  case shutdown
}

/// What ran out when a job expired.
public enum Expiry: String, Codable, Sendable {
  /// Nobody decided about a pending job in time.
  case approval
  /// The job's own `timeLimit`.
  case timeLimit
}

/// How a job left the scheduler.
public enum Outcome: Hashable, Codable, Sendable {
  case done(FinishReason)
  case rejected(reason: String)
  case cancelled(Canceller)
  case expired(Expiry)
  case failed(reason: String)

  public var state: JobState {
    switch self {
    case .done: .done
    case .rejected: .rejected
    case .cancelled(.shutdown): .interrupted
    case .cancelled: .cancelled
    case .expired: .expired
    case .failed: .failed
    }
  }
}

/// The last word on a job: what it used, for the receipt and the ledger.
public struct Ended: Hashable, Codable, Sendable {
  public let job: JobID
  public let client: ClientID
  public let outcome: Outcome
  /// Prompt positions that hold results: computed for it, or found in the cache.
  public let prefilledTokens: Int
  /// Of those, the ones found in the cache when it first started.
  public let cachedTokens: Int
  public let generatedTokens: Int
  /// From submission to its first start, or to its end if it never ran.
  public let waited: Microseconds
  /// From its first start to its end, pauses and holds included; 0 if it never ran.
  public let ran: Microseconds
}

/// How a sequence that had to leave the batch keeps its KV blocks.
public enum Preemption: String, Codable, Sendable, CaseIterable {
  /// They stay where they are.
  case keep
  /// They are copied to host memory.
  case swap
  /// They are given up, and computed again later to the same bits.
  case recompute
}

/// What an event did to a job, for the log, the client's connection, the journal and the ledger.
public enum Effect: Hashable, Codable, Sendable {
  /// A pending job was approved.
  case approved(JobID)
  /// It is in the batch for the first time, `cachedTokens` of its prompt already known.
  case started(JobID, cachedTokens: Int)
  /// It is in the batch again.
  case resumed(JobID)
  /// It left the batch and waits in the queue.
  case preempted(JobID, Preemption)
  /// A job that is held or queued lost its place in device memory to one that runs.
  case evicted(JobID, Preemption)
  case held(JobID)
  case released(JobID)
  case reprioritized(JobID, priority: Int)
  case moved(JobID)
  case ended(Ended)
  case nodePaused
  case nodeResumed
  case drainBegan
  case drainCalledOff
}
