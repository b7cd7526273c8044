// Limits.swift: every bound of the scheduler, with its unit, and the check that
// refuses bounds that make no sense. Start at `Limits`.

/// The node's bounds. Bounds in tokens or blocks refer to the one KV memory of one engine.
public struct Limits: Hashable, Codable, Sendable {
  /// Positions in one KV block.
  public static let blockSize = 16
  /// What a prompt token and a generated token weigh in a client's share (Sheng et al. 2024, 3.2).
  public static let promptWeight = 1
  public static let outputWeight = 2

  /// KV blocks of the engine, 1 or more.
  public var blocks: Int
  /// KV blocks of host memory to swap to; 0: never swap.
  public var hostBlocks = 0
  /// Attention windows that some of the model's layers use, each with its own blocks. `blocks`
  /// counts those of the layers that attend to all positions.
  public var windows: [Window] = []
  /// Slots for the recurrent states of the model's sequences; nil: it has no such layers.
  public var states: States?
  /// A prompt is computed in one step, however long it is: the model reads texts both ways. nil: in
  /// chunks.
  public var wholePrompts: Bool?
  /// Positions that one sequence may have, prompt and output together.
  public var contextLength: Int
  /// Sequences in the batch.
  public var maxRunning = 8
  /// Sequences in the batch that are still prefilling, as long as they use up one step's prefill
  /// budget.
  public var maxPrefilling = 4
  /// Tokens in one step, decodes and prefill together.
  public var maxStepTokens = 512

  /// Jobs of known clients that are queued or held; the same bound applies separately to the node's
  /// own jobs.
  public var maxWaitingJobs = 1_000
  /// Total prompt tokens of all waiting jobs, for each of those two pools.
  public var maxWaitingTokens = 2_000_000
  /// Jobs of one client that are pending, queued or held.
  public var maxWaitingJobsPerClient = 500
  /// Jobs of known clients that are pending. They have a separate share, so that jobs waiting for a
  /// person keep no other job out.
  public var maxPendingJobs = 1_000
  /// Jobs of all strangers together that are pending, queued or held.
  public var maxStrangerJobs = 1_000
  /// The total of those jobs' prompts, in tokens.
  public var maxStrangerTokens = 2_000_000
  /// Jobs of one stranger that are pending, queued or held.
  public var maxJobsPerStranger = 500
  /// Sequences of strangers in the batch.
  public var maxRunningStrangers = 4_096
  /// How long a pending job waits for the operator.
  public var approvalTime: Microseconds = 600_000_000

  /// The target for the time between two tokens of a stream while prompts are being prefilled.
  public var tokenInterval: Microseconds = 200_000
  /// The same, as a multiple of the time of a step without prefill; the smaller of the two applies.
  public var stallRatio = 2.25
  /// The target for a step that only prefills: it bounds how long a cancel or an urgent job waits
  /// to be noticed.
  public var prefillInterval: Microseconds = 250_000

  /// Serving time without a start after which a priority is raised by one.
  public var ageing: Microseconds = 60_000_000
  /// Within one client and priority, a job with a nearer time limit overtakes by at most this much.
  public var patience: Microseconds = 600_000_000
  /// Cost of one block's copy between device and host.
  public var swapBlockTime: Microseconds = 50

  public init(blocks: Int, contextLength: Int) {
    self.blocks = blocks
    self.contextLength = contextLength
  }

  /// An attention window, and the number of blocks for the layers that use it. A sequence frees
  /// blocks that have fallen out of the window.
  public struct Window: Hashable, Codable, Sendable {
    /// How many of the last positions a token sees, its own included.
    public var positions: Int
    public var blocks: Int
    public var hostBlocks: Int

    public init(positions: Int, blocks: Int, hostBlocks: Int = 0) {
      self.positions = positions
      self.blocks = blocks
      self.hostBlocks = hostBlocks
    }

    /// The index of the first block that the next token sees, for a sequence with this many
    /// positions computed.
    func first(computed: Int) -> Int { max(0, computed + 1 - positions) / Limits.blockSize }

    /// The most blocks that a sequence has if it computes up to 16 tokens a step.
    var span: Int { Self.span(of: positions) }

    /// The same for a window this long; no pool may have fewer blocks.
    public static func span(of positions: Int) -> Int { Limits.blocks(for: positions) + 2 }
  }

  /// Slots that each hold what recurrent layers keep of one whole sequence. Such a state has no
  /// past, so a prefix can be reused only where one was kept: at a checkpoint.
  public struct States: Hashable, Codable, Sendable {
    /// 2 or more: a state that others share is read from one slot and written to another.
    public var slots: Int
    /// Slots of host memory to swap to.
    public var hostSlots: Int
    /// Cost of one slot's copy between device and host.
    public var swapTime: Microseconds
    /// Checkpoints lie at least this many blocks apart, and as far from the beginning: what a nearer
    /// one would save is not worth the step that ends there, nor the slot.
    public var distance: Int

    public init(slots: Int, hostSlots: Int = 0, swapTime: Microseconds = 10_000, distance: Int = 4) {
      self.slots = slots
      self.hostSlots = hostSlots
      self.swapTime = swapTime
      self.distance = distance
    }
  }

  /// Checkpoints of one job: the first, which many prompts may share, and the last ones.
  static let mostCheckpoints = 4

  /// The first bound that makes no sense, or nothing.
  func check() throws(LimitsError) {
    func want(_ field: String, _ found: Int64, in range: ClosedRange<Int64>) throws(LimitsError) {
      if !range.contains(found) { throw LimitsError(field: field, found: found, wanted: range) }
    }
    try want("blocks", Int64(blocks), in: 1...Int64(Int32.max - 1))
    try want("hostBlocks", Int64(hostBlocks), in: 0...Int64(Int32.max - 1))
    for window in windows {
      try want("windows.positions", Int64(window.positions), in: 1...(1 << 30))
      // With fewer, even a sequence alone in the batch could not continue.
      try want("windows.blocks", Int64(window.blocks), in: Int64(window.span)...Int64(Int32.max - 1))
      try want("windows.hostBlocks", Int64(window.hostBlocks), in: 0...Int64(Int32.max - 1))
    }
    if let states {
      try want("states.slots", Int64(states.slots), in: 2...65_536)
      try want("states.hostSlots", Int64(states.hostSlots), in: 0...65_536)
      try want("states.swapTime", states.swapTime, in: 0...60_000_000)
      try want("states.distance", Int64(states.distance), in: 1...1_048_576)
    }
    try want("contextLength", Int64(contextLength), in: 2...(1 << 30))
    try want("maxRunning", Int64(maxRunning), in: 1...4_096)
    try want("maxPrefilling", Int64(maxPrefilling), in: 1...4_096)
    try want("maxStepTokens", Int64(maxStepTokens), in: Int64(maxRunning + 4)...(1 << 20))
    try want("maxWaitingJobs", Int64(maxWaitingJobs), in: 1...1_000_000)
    try want("maxWaitingTokens", Int64(maxWaitingTokens), in: 1...(1 << 50))
    try want("maxWaitingJobsPerClient", Int64(maxWaitingJobsPerClient), in: 1...1_000_000)
    try want("maxPendingJobs", Int64(maxPendingJobs), in: 1...1_000_000)
    try want("maxStrangerJobs", Int64(maxStrangerJobs), in: 1...1_000_000)
    try want("maxStrangerTokens", Int64(maxStrangerTokens), in: 1...(1 << 50))
    try want("maxJobsPerStranger", Int64(maxJobsPerStranger), in: 1...1_000_000)
    try want("maxRunningStrangers", Int64(maxRunningStrangers), in: 1...4_096)
    let year: Microseconds = 366 * 86_400_000_000
    try want("approvalTime", approvalTime, in: 1...year)
    try want("tokenInterval", tokenInterval, in: 1...year)
    try want("prefillInterval", prefillInterval, in: 1...year)
    try want("ageing", ageing, in: 1...year)
    try want("patience", patience, in: 0...year)
    try want("swapBlockTime", swapBlockTime, in: 0...year)
    if !(stallRatio >= 1.1 && stallRatio <= 1_000) {
      throw LimitsError(field: "stallRatio", found: Int64(clamping: stallRatio), wanted: 2...1_000)
    }
  }

  /// Blocks that hold `positions` positions.
  static func blocks(for positions: Int) -> Int { (positions + blockSize - 1) / blockSize }
}

/// A bound that makes no sense.
public struct LimitsError: Error, Hashable, Sendable, CustomStringConvertible {
  public let field: String
  public let found: Int64
  public let wanted: ClosedRange<Int64>

  package init(field: String, found: Int64, wanted: ClosedRange<Int64>) {
    self.field = field
    self.found = found
    self.wanted = wanted
  }

  public var description: String {
    "scheduler limit '\(field)' is \(found), wanted \(wanted.lowerBound) to \(wanted.upperBound)"
  }
}

extension Int64 {
  /// The nearest whole number; NaN is 0.
  init(clamping value: Double) {
    if value.isNaN {
      self = 0
    } else if value >= 9.2e18 {
      self = .max
    } else if value <= -9.2e18 {
      self = .min
    } else {
      self = Int64(value)
    }
  }

  func plus(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other < 0 ? .min : .max) : sum
  }

  func minus(_ other: Int64) -> Int64 {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other < 0 ? .max : .min) : difference
  }
}
