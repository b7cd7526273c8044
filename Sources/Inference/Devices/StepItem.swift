// StepItem.swift: the input and the result of a step for one sequence. Words follow vLLM.

/// Some consecutive tokens of one sequence: a chunk of a prompt, one token to decode, or a text to
/// verify.
///
/// A sequence has at most one item in a step. The step writes keys and values of exactly these
/// positions, so the blocks that hold them belong to this sequence alone; blocks before them may be
/// shared. So may the slot that a recurrent state is read from.
public struct StepItem: Sendable {
  /// At least one.
  public var tokens: [Int32]
  /// Absolute position of `tokens[0]`. Keys and values of all positions before it are in the
  /// blocks.
  public var position: Int
  /// The block table: entry i holds positions 16i ..< 16i + 16; covers at least 0 ..< position +
  /// tokens.count.
  public var blocks: [Int32]
  /// The same for each of the model's windows (`Model.windows`), in their order; an entry whose
  /// positions no token of the item sees may be -1. Empty: `blocks` is the table of each.
  public var windows: [[Int32]]
  /// Where the recurrent state is; models without one ignore it.
  public var state: State?
  public var output: Output
  /// Whether to hash the final hidden state of every output position.
  public var digests: Bool
  /// Whether to return the logits of every output position, before bias and penalties.
  public var logits: Bool
  /// Whether to return the final hidden state of every output position.
  public var states: Bool

  /// Places of a recurrent state, in the engine's `stateSlots`.
  public struct State: Hashable, Sendable {
    /// Holds the state before `position`, and is not changed unless it is `into`. At position 0 it
    /// is not read.
    public var from: Int32
    /// Holds the state after the item's last token. No other item of a step may use it.
    public var into: Int32

    public init(from: Int32, into: Int32) {
      self.from = from
      self.into = into
    }

    /// Changed in place: if the step is cancelled, the state is lost.
    public init(_ slot: Int32) { self.init(from: slot, into: slot) }
  }

  /// Which positions have an output.
  public enum Output: Sendable {
    /// None: a chunk of a prompt that continues.
    case none
    /// The last one; the token after it is chosen.
    case last(SamplingContext)
    /// The last one; nothing is chosen.
    case end
    /// Every one; nothing is chosen.
    case all
    /// Verification: every position from `promptCount - 1` on (where this item has it), and for
    /// each the token that the sampler chooses after it, given the transcript up to it. If the
    /// context's transcript is read at all, it must cover the tokens of this item.
    case replay(SamplingContext)
  }

  public init(
    tokens: [Int32], position: Int, blocks: [Int32], windows: [[Int32]] = [], state: State? = nil,
    output: Output, digests: Bool = false, logits: Bool = false, states: Bool = false
  ) {
    self.tokens = tokens
    self.position = position
    self.blocks = blocks
    self.windows = windows
    self.state = state
    self.output = output
    self.digests = digests
    self.logits = logits
    self.states = states
  }

  /// The table of one of the program's kinds of place that have tables.
  package func table(_ kind: Int) -> [Int32] { kind == 0 || windows.isEmpty ? blocks : windows[kind - 1] }

  package var context: SamplingContext? {
    switch output {
    case .none, .end, .all: nil
    case .last(let context), .replay(let context): context
    }
  }

  /// Indices into `tokens` that have an output.
  package var outputs: Range<Int> {
    switch output {
    case .none: 0..<0
    case .last, .end: (tokens.count - 1)..<tokens.count
    case .all: 0..<tokens.count
    case .replay(let context): min(max(context.promptCount - 1 - position, 0), tokens.count)..<tokens.count
    }
  }
}

/// The result of a step for one item. A list that the item requested has one entry per output
/// position, in order.
public struct StepResult: Sendable {
  /// Absolute position of the first output.
  public var firstPosition: Int
  /// The token chosen after each output position.
  public var choices: [SampledToken]
  /// SHA-256 over the bits of the final hidden state (after the final norm; f32, little-endian): 32
  /// bytes each.
  public var digests: [[UInt8]]
  /// (outputs, vocabulary), row after row.
  public var logits: [Float]
  /// (outputs, embedding), row after row: final hidden states, after the final norm.
  public var states: [Float] = []
  /// Why this item failed; the lists are then empty. Other items of the step are not affected.
  public var failure: EngineError?

  package init(
    firstPosition: Int, choices: [SampledToken] = [], digests: [[UInt8]] = [], logits: [Float] = []
  ) {
    self.firstPosition = firstPosition
    self.choices = choices
    self.digests = digests
    self.logits = logits
  }

  /// The token after the last position; nil if none was requested, or on failure.
  public var token: Int32? { choices.last?.token }
}
