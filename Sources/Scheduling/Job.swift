// Job.swift: a request to the node in the scheduler's terms: counts, never content.
// Not here: prompts, the meaning of prices, and wall-clock time (all in Node). Start at `Job`.

/// A span or an instant of a monotonic clock, in microseconds. The scheduler compares instants only
/// with each other.
public typealias Microseconds = Int64

/// A job's number, opaque to the scheduler. Node never gives one number to two jobs that are alive
/// together.
public struct JobID: RawRepresentable, Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
  public let rawValue: UInt64

  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }

  public static func < (a: JobID, b: JobID) -> Bool { a.rawValue < b.rawValue }
  public var description: String { String(rawValue) }
}

/// The client that a job belongs to. Shares, limits and cached prefixes are kept per client and are
/// never shared between clients.
public struct ClientID: RawRepresentable, Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
  public let rawValue: String

  public init(rawValue: String) { self.rawValue = rawValue }
  public init(_ rawValue: String) { self.rawValue = rawValue }

  public static func < (a: ClientID, b: ClientID) -> Bool { a.rawValue < b.rawValue }
  public var description: String { rawValue }
}

/// Names the content of one full KV block: a hash chained over every token up to the block's end.
/// Node computes it and includes the client and the model in the hash. It has 128 bits, so that two
/// contents never collide by accident. The scheduler looks a key up under its client only, so an
/// equal key of another client is never found.
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
  /// A re-execution of an old receipt: it runs only while nothing else is queued or running.
  case audit
}

/// The pool whose places a job waits in. No pool uses another pool's places. Anybody can make up
/// names, so strangers are bounded all together.
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
  /// The client is a stranger (it made up its name): its jobs wait and run within the strangers'
  /// share (`Limits`).
  public var isStranger: Bool
  /// Tokens of the rendered prompt, 1 or more.
  public var promptTokens: Int
  /// The most tokens it may generate, 1 or more.
  public var maxOutputTokens: Int
  /// 0 (last) to 9 (first).
  public var priority: Int
  /// How long after submission the answer is still wanted. The job then expires, whatever its
  /// state. nil: never.
  public var timeLimit: Microseconds?
  /// The price that the client offers, in the unit of the policy's price rules. The scheduler only
  /// displays it.
  public var price: Int64?
  /// Keys of the prompt's full blocks in order: `promptTokens / 16` of them, or fewer if the rest
  /// must not be shared.
  public var prefix: [BlockKey]
  /// Positions of the prompt where messages end, ascending: where prompts to come may part from this
  /// one. nil: not known.
  public var borders: [Int]?

  public init(
    id: JobID, client: ClientID, model: String, origin: Origin = .network, promptTokens: Int,
    maxOutputTokens: Int, priority: Int = 5, timeLimit: Microseconds? = nil, price: Int64? = nil,
    prefix: [BlockKey] = [], borders: [Int]? = nil, isStranger: Bool = false
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
    self.borders = borders
  }
}

extension Job {
  public var pool: Pool { origin != .network ? .own : isStranger ? .strangers : .clients }
}

/// The states of a job, by the names that every interface uses. The scheduler holds jobs in the
/// first four; an `Effect.ended` moves a job to one of the others, and the scheduler then forgets
/// it.
public enum JobState: String, Codable, Sendable, CaseIterable {
  case pending, queued, running, held
  case done, rejected, cancelled, expired, failed, interrupted
}

/// Why a generation finished normally.
public enum FinishReason: String, Codable, Sendable {
  /// A stop token or a stop string.
  case stop
  /// `maxOutputTokens` were generated.
  case length
}

/// Who ended a job early.
public enum Canceller: String, Codable, Sendable {
  /// The client disconnected or cancelled.
  case client
  case `operator`
  /// The node is stopping: the job counts as interrupted, not as cancelled.
  case shutdown
}

/// What ran out when a job expired.
public enum Expiry: String, Codable, Sendable {
  /// The operator did not decide about a pending job in time.
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
  /// How many of those were found in the cache when it first started.
  public let cachedTokens: Int
  public let generatedTokens: Int
  /// From submission to its first start, or to its end if it never ran.
  public let waited: Microseconds
  /// From its first start to its end, pauses and holds included; 0 if it never ran.
  public let ran: Microseconds
}

/// What happens to the KV blocks of a sequence that has to leave the batch.
public enum Preemption: String, Codable, Sendable, CaseIterable {
  /// They stay where they are.
  case keep
  /// They are copied to host memory.
  case swap
  /// They are freed, and recomputed later to the same bits.
  case recompute
}

/// What happened to a job; read by the log, the client's connection, the journal and the ledger.
public enum Effect: Hashable, Codable, Sendable {
  /// A pending job was approved.
  case approved(JobID)
  /// It is in the batch for the first time, `cachedTokens` of its prompt already known.
  case started(JobID, cachedTokens: Int)
  /// It is in the batch again.
  case resumed(JobID)
  /// It left the batch and waits in the queue.
  case preempted(JobID, Preemption)
  /// A held or queued job lost its device memory to a running one.
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
