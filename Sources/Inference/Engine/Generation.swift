// Generation.swift: one sequence on a dedicated engine, for a terminal or a script: prompt tokens
// in, tokens out. No scheduler, no templates, no text; a node calls Engine.step itself. Start at
// run(prompt:options:onToken:).

/// A conversation's worth of keys and values, and the loop that extends it.
///
/// The sequence owns all blocks of the engine, in order, including those of windows, so an engine
/// serves one `Generation` at a time. The prefix that the next prompt shares with the tokens
/// already computed is not computed again; under N1 that changes no bit. A recurrent state has no
/// past: of such a model a prefix is reused up to a position whose state was kept, which are the
/// last one, the ends of prompts, and `Options.borders`.
public struct Generation: Sendable {
  public let engine: Engine
  /// Tokens whose keys and values are in the cache.
  public private(set) var cached: [Int32] = []
  private let blocks: [Int32]
  /// The slot of the recurrent state after the cached tokens.
  private var slot: Int32 = 0
  /// States after fewer of them, in the order in which they were kept.
  private var kept: [Kept] = []
  /// A state may be a hundred megabytes.
  private static let mostKept = 4

  private struct Kept {
    let position: Int
    let slot: Int32
  }

  public struct Options: Sendable {
    public var sampling: SamplingRequest
    /// The most tokens to generate; 0 computes only the prompt.
    public var maximumTokens: Int
    /// Tokens that end the text; they are not part of the result.
    public var endTokens: Set<Int32>
    /// Tokens of a prompt per step.
    public var chunk: Int
    /// Whether to hash the final hidden state that every generated token was chosen from.
    public var digests: Bool
    /// Tokens to guess ahead by looking up the last ones in the text so far; 0 never guesses.
    /// Changes speed, never a token.
    public var lookahead: Int
    /// What the text must be; nil allows every token.
    public var constraint: (any TokenConstraint)?
    /// Positions of the prompt after which a recurrent state may be kept for later prompts, ascending:
    /// where messages end. The last few are. Other models need none.
    public var borders: [Int] = []

    public init(
      sampling: SamplingRequest = .greedy, maximumTokens: Int, endTokens: Set<Int32> = [], chunk: Int = 512,
      digests: Bool = false, lookahead: Int = 0, constraint: (any TokenConstraint)? = nil
    ) {
      self.constraint = constraint
      self.sampling = sampling
      self.maximumTokens = maximumTokens
      self.endTokens = endTokens
      self.chunk = chunk
      self.digests = digests
      self.lookahead = lookahead
    }
  }

  public enum Finish: String, Sendable, Equatable {
    /// An end token was chosen, or `onToken` returned false.
    case stop
    /// `maximumTokens` were generated, or the context or the cache is full.
    case length
    case cancelled
  }

  public struct Outcome: Sendable {
    /// Generated tokens, an end token excluded.
    public var tokens: [SampledToken] = []
    public var finish: Finish = .length
    /// Prompt tokens, and how many of them were in the cache.
    public var promptCount = 0
    public var reusedCount = 0
    /// SHA-256 of the final hidden state that each generated token was chosen from, if requested.
    public var digests: [[UInt8]] = []
    /// From the start to the first token, and from there to the last one.
    public var prefillTime: Duration = .zero
    public var decodeTime: Duration = .zero
    /// Steps after the first token: fewer than tokens if guesses were right.
    public var decodeSteps = 0

    public var prefillRate: Double { Outcome.rate(promptCount - reusedCount, prefillTime) }
    public var decodeRate: Double { Outcome.rate(max(tokens.count - 1, 0), decodeTime) }

    private static func rate(_ count: Int, _ time: Duration) -> Double {
      let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
      return seconds > 0 ? Double(count) / seconds : 0
    }
  }

  public init(engine: Engine) {
    self.engine = engine
    blocks = Array(0..<Int32(engine.configuration.kvBlocks))
  }

  /// Positions that fit the model's context and the cache.
  public var capacity: Int {
    min(engine.model.hyperparameters.contextLength, blocks.count * Engine.blockSize)
  }

  /// Computes the prompt and generates after it.
  ///
  /// - prompt: the whole sequence, earlier turns included; 1 to `capacity` tokens.
  /// - isCancelled: asked between layers.
  /// - onLogits: called with (rows, vocabulary) logits of consecutive positions as they are
  ///   computed: of the prompt from the first position that is not in the cache, and of every
  ///   generated token (including the last one, which costs one more step).
  /// - onToken: called with each token as soon as it is chosen; false ends the generation.
  public mutating func run(
    prompt: [Int32], options: Options, isCancelled: () -> Bool = { false },
    onLogits: (([Float]) -> Void)? = nil,
    onToken: (SampledToken) -> Bool = { _ in true }
  ) throws(EngineError) -> Outcome {
    guard !prompt.isEmpty, prompt.count <= capacity else {
      throw .badConfiguration(
        field: "the prompt", found: "\(prompt.count) tokens",
        wanted: "1 to \(capacity), the room in the context")
    }
    let clock = ContinuousClock()
    let start = clock.now
    var outcome = Outcome()
    outcome.promptCount = prompt.count
    var text = prompt
    // The last token is always computed, because its logits are not kept.
    let common = zip(cached, prompt).prefix { $0 == $1 }.count
    outcome.reusedCount = min(common, prompt.count - 1)
    if keepsState { outcome.reusedCount = goBack(to: outcome.reusedCount, common: common) }
    cached.removeSubrange(outcome.reusedCount...)
    var first: ContinuousClock.Instant?
    do {
      var advance = try prefill(prompt, options, isCancelled, onLogits)
      first = clock.now
      while accept(advance, &outcome, &text, options, onToken), text.count <= capacity {
        // Tokens whose state was lost with a wrong guess are computed again before the next guess.
        let guess = onLogits == nil && text.count == cached.count + 1 ? lookUp(text, options, outcome) : []
        advance = try decode(text, guess, promptCount: prompt.count, options, isCancelled, onLogits)
        outcome.decodeSteps += 1
      }
      if let onLogits, cached.count < text.count, text.count <= capacity {
        onLogits(try compute(text, to: text.count, .all, logits: true, isCancelled).logits)
      }
    } catch {
      guard error == .cancelled else { throw error }
      outcome.finish = .cancelled
    }
    let end = clock.now
    outcome.prefillTime = (first ?? end) - start
    outcome.decodeTime = end - (first ?? end)
    return outcome
  }

  /// What a step adds to the text: consecutive tokens, each chosen given the text and the ones
  /// before it.
  private struct Advance {
    var choices: ArraySlice<SampledToken>
    var digests: ArraySlice<[UInt8]>
  }

  private var keepsState: Bool { engine.model.stateBytes > 0 }

  /// Returns to a state that was kept, at `position` or before; returns where that is. States of
  /// another text, which begin after the `common` tokens, are forgotten.
  private mutating func goBack(to position: Int, common: Int) -> Int {
    kept.removeAll { $0.position > common }
    if cached.count <= position { return cached.count }
    guard let best = kept.filter({ $0.position <= position }).max(by: { $0.position < $1.position }) else {
      return 0
    }
    slot = best.slot
    return best.position
  }

  /// Keeps the state after the cached tokens; the oldest makes room.
  private mutating func keepState() {
    guard keepsState, !kept.contains(where: { $0.position == cached.count }) else { return }
    kept.append(Kept(position: cached.count, slot: slot))
    let room = min(Self.mostKept, engine.configuration.stateSlots - 2)
    if kept.count > room { kept.removeFirst(kept.count - room) }
  }

  /// A slot that holds no state that is needed.
  private func freeSlot() -> Int32 {
    let used = Set(kept.map(\.slot) + [slot])
    return (0..<Int32(engine.configuration.stateSlots)).first { !used.contains($0) } ?? slot
  }

  /// Computes the positions of `text` from the end of the cache up to `end`.
  private mutating func compute(
    _ text: [Int32], to end: Int, _ output: StepItem.Output, digests: Bool = false, logits: Bool = false,
    _ isCancelled: () -> Bool
  ) throws(EngineError) -> StepResult {
    // The state goes on in another slot: if the step is cancelled or guessed wrongly, it is as before.
    let state = StepItem.State(from: slot, into: freeSlot())
    let item = StepItem(
      tokens: Array(text[cached.count..<end]), position: cached.count, blocks: blocks, state: state,
      output: output, digests: digests, logits: logits)
    guard let result = try engine.step([item], cancelled: isCancelled).first else { throw .cancelled }
    if let failure = result.failure { throw failure }
    cached += item.tokens
    slot = state.into
    return result
  }

  private mutating func prefill(
    _ prompt: [Int32], _ options: Options, _ isCancelled: () -> Bool, _ onLogits: (([Float]) -> Void)?
  ) throws(EngineError) -> Advance {
    // Logits of 32 positions at a time take an acceptable amount of memory.
    let limit = min(engine.configuration.maximumStepTokens, onLogits == nil ? max(options.chunk, 1) : 32)
    let borders = options.borders.filter { $0 < prompt.count }.suffix(Self.mostKept - 1)
    func border() -> Int {
      keepsState ? borders.first { $0 > cached.count } ?? prompt.count : .max
    }
    while prompt.count - cached.count > (onLogits == nil ? limit : 1) || border() < prompt.count {
      let end = min(cached.count + limit, onLogits == nil ? prompt.count : prompt.count - 1, border())
      let output: StepItem.Output = onLogits == nil ? .none : .all
      let result = try compute(prompt, to: end, output, logits: onLogits != nil, isCancelled)
      onLogits?(result.logits)
      if borders.contains(cached.count) { keepState() }
    }
    let context = SamplingContext(
      options.sampling, promptCount: prompt.count, transcript: prompt, constraint: options.constraint)
    let output: StepItem.Output = options.maximumTokens > 0 ? .last(context) : onLogits == nil ? .none : .all
    let result = try compute(
      prompt, to: prompt.count, output, digests: options.digests && options.maximumTokens > 0,
      logits: onLogits != nil, isCancelled)
    onLogits?(result.logits)
    keepState()
    return Advance(choices: result.choices[...], digests: result.digests[...])
  }

  /// One token after the text, or more if the sampler's choices equal the guess.
  private mutating func decode(
    _ text: [Int32], _ guess: [Int32], promptCount: Int, _ options: Options, _ isCancelled: () -> Bool,
    _ onLogits: (([Float]) -> Void)?
  ) throws(EngineError) -> Advance {
    let guessed = text + guess
    let (before, slotBefore) = (cached.count, slot)
    var context = SamplingContext(
      options.sampling, promptCount: promptCount, constraint: options.constraint)
    if context.usesTranscript { context.transcript = guessed }
    let result = try compute(
      guessed, to: guessed.count, .replay(context), digests: options.digests, logits: onLogits != nil,
      isCancelled)
    onLogits?(result.logits)
    // Choices for tokens that are in the text already come first.
    let known = text.count - 1 - result.firstPosition
    let choices = result.choices.dropFirst(known)
    // A choice is valid as long as the guessed tokens before it equal the chosen ones.
    var valid = 1
    for (chosen, token) in zip(choices, guess) {
      if chosen.token != token { break }
      valid += 1
    }
    if keepsState, valid <= guess.count {
      // The state has seen wrong tokens: the next step begins where this one did.
      cached.removeSubrange(before...)
      slot = slotBefore
    } else {
      cached.removeSubrange((text.count - 1 + valid)...)
    }
    return Advance(choices: choices.prefix(valid), digests: result.digests.dropFirst(known).prefix(valid))
  }

  /// Appends a step's choices to the text; returns false when the generation has ended.
  private func accept(
    _ advance: Advance, _ outcome: inout Outcome, _ text: inout [Int32], _ options: Options,
    _ onToken: (SampledToken) -> Bool
  ) -> Bool {
    guard !advance.choices.isEmpty else { return false }
    var digests = advance.digests.makeIterator()
    for choice in advance.choices {
      let digest = digests.next()
      if options.endTokens.contains(choice.token) {
        outcome.finish = .stop
        return false
      }
      text.append(choice.token)
      outcome.tokens.append(choice)
      if let digest { outcome.digests.append(digest) }
      if !onToken(choice) {
        outcome.finish = .stop
        return false
      }
      if outcome.tokens.count >= options.maximumTokens { return false }
    }
    return true
  }

  /// The tokens that followed the previous occurrence of the text's last three tokens, as many as
  /// fit. If the text ends, the guess continues with itself, as if the repetition would continue.
  private func lookUp(_ text: [Int32], _ options: Options, _ outcome: Outcome) -> [Int32] {
    let room = min(
      options.lookahead, capacity - text.count, options.maximumTokens - outcome.tokens.count - 1,
      engine.configuration.maximumStepTokens - 1)
    let length = 3
    guard room > 0, text.count > length else { return [] }
    let tail = text.suffix(length)
    var start = text.count - length - 1
    while start >= 0 {
      if text[start..<(start + length)].elementsEqual(tail) {
        var guess: [Int32] = []
        for i in 0..<room {
          let source = start + length + i
          guess.append(source < text.count ? text[source] : guess[source - text.count])
        }
        return guess
      }
      start -= 1
    }
    return []
  }
}
