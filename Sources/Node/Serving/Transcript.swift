// Transcript.swift: the content of one job: its prompt, the tokens so far, their text, and its
// destination. The only place in Node that holds what a client wrote. Deciding is in NodeState.
// Start at take(_:).
import Accounting
import Grammar
import Inference
import Receipts
import Scheduling
import Synchronization

/// Chains the names of KV blocks over a prompt: SHA-256 over the previous name and the block's 16
/// tokens, cut to 128 bits. The chain begins with a secret of this process, the client and the
/// model, so no client can name another's blocks.
struct BlockKeyChain: Sendable {
  private var last: SHA256Digest

  init(secret: SHA256Digest, client: String, modelDigest: SHA256Digest) {
    var hash = SHA256()
    hash.update(secret)
    hash.update(modelDigest)
    hash.update(client.utf8)
    last = hash.finish()
  }

  /// The key of the next block.
  mutating func next(_ tokens: ArraySlice<Int32>) -> BlockKey {
    var hash = SHA256()
    hash.update(last)
    tokens.map { UInt32(bitPattern: $0).littleEndian }.withUnsafeBytes { hash.update($0) }
    last = hash.finish()
    return last.withBytes { bytes in
      BlockKey(
        high: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
        low: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }
  }
}

/// The result of one emitted token.
struct TakenToken: Sendable {
  let kind: Scheduling.StepResult.Kind
  let keys: [BlockKey]
}

/// The content of one job. Mutated by the engine's thread only; others read it under its lock.
final class Transcript: Sendable {
  let id: JobID
  let client: String
  let prompt: [Int32]
  /// The rendered prompt, for an operator who wants to see it.
  let promptText: String
  let sampling: SamplingRequest
  private let constraint: HeldConstraint?
  let outputLimit: Int
  /// What only the receipt needs of the request.
  let terms: Terms
  /// The job gives the vector of its prompt, and no text.
  let vector: VectorTerms?
  /// Set for audits: the receipt's tokens and windows, which must be reproduced.
  let audit: AuditTarget?
  private let tokenizer: Tokenizer
  private let inner: Mutex<Inner>
  private let sink: AnswerSink
  private let outbox = Mutex(Outbox())

  /// Events on their way to the sink, which may itself cause the job's end. So the sink is called
  /// without a lock, by one thread at a time, and events that arrive meanwhile wait for that
  /// thread.
  private struct Outbox {
    var waiting: [AnswerEvent] = []
    var isDelivering = false
    var hasEnded = false
  }

  /// How the job may end, and who chose its seed.
  struct Terms: Sendable {
    var stops: [String] = []
    var ignoresEnd = false
    /// What the text had to be.
    var constraint: ConstraintSource?
    /// How the prompt was made; nil if the client sent it as text or as ids.
    var rendering: Receipts.Receipt.Rendering?
    /// The client named no limit; this one is what the context leaves.
    var isContextBound = false
    var seedBy = Receipts.Receipt.Chooser.node
    /// What the client wants in the commitments.
    var nonce: SHA256Digest?
  }

  /// How the vector is made, and how many of its numbers are given out.
  struct VectorTerms: Sendable {
    let pooler: Pooler
    let dimensions: Int
  }

  /// Fresh for every job; only its client gets them.
  let nonces: Nonces
  /// The node's part of the nonces, if the client gave the other.
  let nonceShare: Nonces?

  struct AuditTarget: Sendable {
    let id: String
    let receipt: Receipts.Receipt
    /// Number of tokens of the original prompt; `prompt` holds prompt and output except the last
    /// token.
    let promptCount: Int
    let output: [Int32]
  }

  private struct Inner {
    /// Of a vector the bits of its numbers.
    var output: [Int32] = []
    var pooler: Pooler?
    var text: AnswerText
    /// Tokens that probably follow the output.
    var guess: [Int32] = []
    /// How far guesses are trusted: a wrong one costs a part, every right token earns some.
    var trust = 4
    /// One per token of the output.
    var digests: [SHA256Digest] = []
    var chain: BlockKeyChain
    /// How many blocks have a key.
    var keyed = 0
    var answer = ""
    var logprobs = PendingLogprobs()
    var watcher: (@Sendable (String) -> Void)?
    /// For an audit: the sampler's choice, and the hidden state it was made from, by position in
    /// the output.
    var replayed: [(token: UInt32, digest: SHA256Digest?)] = []
  }

  /// - shown: special tokens that leave text
  init(
    id: JobID, client: String, prompt: [Int32], promptText: String, sampling: SamplingRequest,
    constraint: HeldConstraint? = nil, outputLimit: Int,
    stops: StopMatcher, terms: Terms = Terms(), tokenizer: Tokenizer, chain: BlockKeyChain,
    vector: VectorTerms? = nil, audit: AuditTarget? = nil, shown: Set<Int32> = [], sink: @escaping AnswerSink
  ) {
    self.id = id
    self.client = client
    self.prompt = prompt
    self.promptText = promptText
    self.sampling = sampling
    self.constraint = constraint
    self.outputLimit = outputLimit
    self.terms = terms
    let own = Nonces.random()
    nonces = terms.nonce.map { own.bound(to: $0) } ?? own
    nonceShare = terms.nonce == nil ? nil : own
    self.sink = sink
    self.vector = vector
    self.audit = audit
    self.tokenizer = tokenizer
    let text = AnswerText(
      tokenizer: tokenizer, stops: stops, ignoresEnd: terms.ignoresEnd, limit: outputLimit, shown: shown)
    inner = Mutex(Inner(pooler: vector?.pooler, text: text, chain: chain))
  }

  // MARK: vectors

  /// Which hidden states of a chunk the vector needs; nil if the job generates text.
  func pooledOutput(at position: Int, isLast: Bool) -> StepItem.Output? {
    vector?.pooler.output(at: position, isLast: isLast)
  }

  /// Takes a chunk's hidden states.
  /// - Returns: all of the text's so far
  func pool(_ states: [Float], width: Int, position: Int) -> Pooler? {
    inner.withLock { content in
      content.pooler?.take(states, width: width, position: position)
      return content.pooler
    }
  }

  /// Takes the vector, which is the output.
  func take(vector numbers: [Float]) {
    inner.withLock { $0.output = numbers.map { Int32(bitPattern: $0.bitPattern) } }
  }

  /// The keys of the prompt's full blocks. Called once, before the job is submitted.
  func promptKeys() -> [BlockKey] {
    // What a vector has no part in need not be computed; of others every position is needed.
    if let vector, !vector.pooler.reusesBeginnings { return [] }
    return inner.withLock { content in
      var keys: [BlockKey] = []
      for block in 0..<(prompt.count / Limits.blockSize) {
        keys.append(content.chain.next(prompt[(block * Limits.blockSize)..<((block + 1) * Limits.blockSize)]))
      }
      content.keyed = keys.count
      return keys
    }
  }

  /// The tokens at some positions: first of the prompt, then of the output.
  func tokens(_ positions: Range<Int>) -> [Int32] {
    if positions.upperBound <= prompt.count { return Array(prompt[positions]) }
    return inner.withLock { content in
      let known = prompt.count + content.output.count
      return positions.map { position in
        if position < prompt.count { return prompt[position] }
        return position < known ? content.output[position - prompt.count] : content.guess[position - known]
      }
    }
  }

  /// The first tokens of what was guessed.
  func guessed(_ count: Int) -> ArraySlice<Int32> { inner.withLock { $0.guess.prefix(count) } }

  /// What the sampler needs to know.
  func context() -> SamplingContext {
    guard let audit else {
      var context = SamplingContext(sampling, promptCount: prompt.count, constraint: constraint)
      if context.usesTranscript {
        context.transcript = prompt + inner.withLock { $0.output + $0.guess }
      }
      return context
    }
    var context = SamplingContext(sampling, promptCount: audit.promptCount, constraint: constraint)
    if context.usesTranscript { context.transcript = prompt + audit.output.suffix(1) }
    return context
  }

  /// Takes a chosen token: extends the text, checks for its end, and sends what is ready to the
  /// client.
  func take(_ sampled: SampledToken, digest: SHA256Digest?) -> TakenToken {
    // Ordered with the end: the output that the client gets then matches the text that it gets.
    let (taken, text, watcher) = outbox.withLock { outbox in
      let (taken, text, logprobs, watcher) = grow(sampled, digest)
      if !outbox.hasEnded, !text.isEmpty || !logprobs.isEmpty { outbox.waiting.append(.text(text, logprobs)) }
      return (taken, text, watcher)
    }
    deliver()
    if !text.isEmpty { watcher?(text) }
    return taken
  }

  /// Takes the choices of a step that computed a guess too: each is one that the sampler would have
  /// made alone, as long as the guesses before it were right.
  func take(
    _ choices: [SampledToken], _ digests: [SHA256Digest], guessed: ArraySlice<Int32>
  ) -> (kind: Scheduling.StepResult.Kind, keys: [BlockKey], count: Int, guess: Int)? {
    guard let first = choices.first else { return nil }
    var taken = take(first, digest: digests.first)
    var keys = taken.keys
    var count = 1
    for (guess, sampled) in zip(guessed, choices.dropFirst()) {
      guard taken.kind == .token, choices[count - 1].token == guess else { break }
      taken = take(sampled, digest: digests.indices.contains(count) ? digests[count] : nil)
      keys += taken.keys
      count += 1
    }
    if !guessed.isEmpty {
      inner.withLock { $0.trust = min(8, count == 1 ? $0.trust - 2 : $0.trust + count - 1) }
    }
    return (taken.kind, keys, count, taken.kind == .token ? look() : 0)
  }

  /// Whether the next token can be chosen now. `wake` is called when that may have changed.
  func readiness(_ wake: @escaping @Sendable () -> Void) -> HeldConstraint.Readiness {
    guard let constraint, audit == nil else { return .ready }
    return constraint.readiness(after: output[...], wake)
  }

  /// Guesses what follows; returns how many tokens.
  private func look() -> Int {
    guard let constraint else { return 0 }
    let (output, trust) = inner.withLock { ($0.output, $0.trust) }
    // An end may come at any place.
    let most = min(Self.mostGuessed, outputLimit - output.count - 1)
    let guess = constraint.guess(after: output[...], most: trust > 0 ? most : 0)
    inner.withLock { $0.guess = guess }
    return guess.count
  }

  private static let mostGuessed = 16

  /// An event that is neither text nor an end.
  func tell(_ event: AnswerEvent) {
    outbox.withLock { $0.waiting.append(event) }
    deliver()
  }

  /// The last event, made from all tokens whose text the client gets.
  func end(_ event: (_ output: [Int32]) -> AnswerEvent) {
    outbox.withLock { outbox in
      outbox.hasEnded = true
      outbox.waiting.append(event(output))
    }
    deliver()
  }

  private func deliver() {
    let isMine = outbox.withLock { outbox in
      defer { outbox.isDelivering = true }
      return !outbox.isDelivering
    }
    guard isMine else { return }
    while let event = outbox.withLock({ outbox -> AnswerEvent? in
      guard outbox.waiting.isEmpty else { return outbox.waiting.removeFirst() }
      outbox.isDelivering = false
      return nil
    }) {
      sink(event)
    }
  }

  private typealias Grown = (TakenToken, String, [TextLogprob], (@Sendable (String) -> Void)?)

  private func grow(_ sampled: SampledToken, _ digest: SHA256Digest?) -> Grown {
    inner.withLock { content -> Grown in
      content.output.append(sampled.token)
      content.guess = []
      if let digest { content.digests.append(digest) }
      if sampled.logprob != nil {
        content.logprobs.add(
          TextLogprob(sampled, at: content.text.offset(of: sampled.token), tokenizer: tokenizer))
      }
      let text = content.text.append(sampled.token)
      content.answer += text
      let logprobs = content.logprobs.take(
        text: text, isLast: content.text.end != nil,
        endsWithNoText: tokenizer.isEndOfGeneration(sampled.token) && !terms.ignoresEnd)
      let kind: Scheduling.StepResult.Kind =
        switch content.text.end {
        case nil: .token
        case .endToken, .stopString: .lastToken(.stop)
        case .limit: .lastToken(.length)
        }
      return (TakenToken(kind: kind, keys: newKeys(&content)), text, logprobs, content.watcher)
    }
  }

  private func newKeys(_ content: inout Inner) -> [BlockKey] {
    var keys: [BlockKey] = []
    while (content.keyed + 1) * Limits.blockSize <= prompt.count + content.output.count {
      let first = content.keyed * Limits.blockSize
      let tokens = (first..<first + Limits.blockSize).map {
        $0 < prompt.count ? prompt[$0] : content.output[$0 - prompt.count]
      }
      keys.append(content.chain.next(tokens[...]))
      content.keyed += 1
    }
    return keys
  }

  private static func windows(_ digests: some Sequence<SHA256Digest>) -> [SHA256Digest] {
    var hashes = WindowHashes()
    for digest in digests { hashes.append(digest) }
    return hashes.windows
  }

  /// For an audit: takes a part of the re-execution. Parts arrive in order; after a preemption by
  /// recompute they start over, and earlier results are reproduced.
  /// - firstPosition: the position of the first result; position p chooses token p + 1 -
  ///   promptCount of the output
  func replay(_ choices: [SampledToken], _ digests: [SHA256Digest], firstPosition: Int) {
    guard let audit else { return }
    inner.withLock { content in
      for (offset, choice) in choices.enumerated() {
        let place = firstPosition + offset + 1 - audit.promptCount
        guard audit.output.indices.contains(place) else { continue }
        if place < content.replayed.count { content.replayed.removeLast(content.replayed.count - place) }
        content.replayed.append(
          (UInt32(bitPattern: choice.token), digests.indices.contains(offset) ? digests[offset] : nil))
      }
    }
  }

  /// For an audit: where it first differs from its receipt; nil if it is identical to the bit.
  func difference(facts: EngineFacts) -> Reexecution.Difference? {
    guard let audit else { return nil }
    let found = inner.withLock { content in
      if vector != nil {
        return Reexecution(
          model: facts.modelDigest, numerics: facts.profile, windows: [],
          tokens: content.output.map { UInt32(bitPattern: $0) }, finish: nil)
      }
      return Reexecution(
        model: facts.modelDigest, numerics: facts.profile,
        windows: Self.windows(content.replayed.compactMap(\.digest)), tokens: content.replayed.map(\.token),
        finish: nil)
    }
    return found.firstDifference(
      from: audit.receipt, output: audit.output.map { UInt32(bitPattern: $0) })
  }

  /// The receipt of this content, with the facts of its end.
  func receipt(_ seal: Seal, facts: EngineFacts, node: String, currency: String) -> Receipts.Receipt {
    // A job that was cancelled during a step has one more token than it is charged for: the receipt
    // ends before it.
    let (output, windows, end) = inner.withLock { content in
      (
        vector == nil ? Array(content.output.prefix(seal.completionTokens)) : content.output,
        Self.windows(content.digests.prefix(seal.completionTokens)), content.text.end
      )
    }
    var receipt = Receipts.Receipt()
    receipt.node = node
    receipt.job = id.rawValue
    receipt.client = seal.client
    receipt.model = facts.model
    receipt.modelSHA256 = facts.modelDigest
    receipt.numerics = facts.profile
    // A job that was cancelled during prefill commits to, and is charged for, the tokens that were
    // read.
    receipt.promptCommitment = Commitment.to(
      tokens: prompt.prefix(seal.promptTokens).map { UInt32(bitPattern: $0) }, nonce: nonces.prompt)
    receipt.outputCommitment = Commitment.to(
      tokens: output.map { UInt32(bitPattern: $0) }, nonce: nonces.output)
    receipt.promptTokens = seal.promptTokens
    receipt.cachedTokens = seal.cachedTokens
    receipt.completionTokens = seal.completionTokens
    receipt.maxTokens = seal.outputLimit
    receipt.sampler = Receipts.Receipt.Sampler(sampling)
    receipt.logitBias = Commitment.to(
      biases: sampling.logitBias.map { (UInt32(bitPattern: $0.token), $0.bias) }, nonce: nonces.prompt)
    receipt.stopStrings = Commitment.to(stopStrings: terms.stops, nonce: nonces.prompt)
    receipt.ignoresEnd = terms.ignoresEnd
    receipt.bind(
      terms.constraint.map { Receipts.Transcript.Constraint($0) }, terms.rendering, nonce: nonces.prompt)
    if let vector, !output.isEmpty {
      receipt.embed(pooling: vector.pooler.pooling.rawValue, dimensions: vector.dimensions)
    }
    receipt.seedBy = terms.seedBy
    receipt.finish =
      switch (seal.finish, end) {
      case (.stop, .stopString): .stopString
      case (.length, _) where terms.isContextBound: .context
      case (let finish, _): finish
      }
    receipt.submitted = seal.submitted
    receipt.started = seal.started
    receipt.firstToken = seal.firstToken
    receipt.ended = seal.ended
    receipt.currency = currency
    receipt.price = Receipts.Receipt.Price(
      prompt: seal.price.prompt.micro, cached: seal.price.cached.micro,
      completion: seal.price.completion.micro,
      minimum: seal.price.minimum.micro)
    receipt.amount = seal.amount.micro
    receipt.day = seal.day
    receipt.windows = windows
    return receipt
  }

  /// An end with what its client needs to open the receipt.
  func opening(_ end: AnswerEnd, _ output: [Int32]) -> AnswerEnd {
    var end = end
    if end.receipt != nil {
      end.nonce = nonces.hex
      end.nonceShare = nonceShare?.hex
    }
    if vector != nil {
      end.vector = output.map { Float(bitPattern: UInt32(bitPattern: $0)) }
      return end
    }
    end.tokens = Array(output.prefix(end.usage.completion))
    end.unreceipted = Array(output.dropFirst(end.usage.completion))
    end.biases = sampling.logitBias
    end.stops = terms.stops
    end.constraint = terms.constraint
    end.ignoresEnd = terms.ignoresEnd
    return end
  }

  /// The tokens from number `start` on.
  func output(from start: Int) -> [Int32] { inner.withLock { Array($0.output.dropFirst(start)) } }

  var output: [Int32] { inner.withLock { $0.output } }
  var answer: String { inner.withLock { $0.answer } }
  var outputAndAnswer: ([Int32], String) { inner.withLock { ($0.output, $0.answer) } }

  /// From now on text is also sent to an operator's screen; nil ends that.
  func watch(_ watcher: (@Sendable (String) -> Void)?) { inner.withLock { $0.watcher = watcher } }
}

/// The contents of all jobs that have not been forgotten.
final class Transcripts: Sendable {
  private let byJob = Mutex<[JobID: Transcript]>([:])

  func add(_ transcript: Transcript) { byJob.withLock { $0[transcript.id] = transcript } }
  func find(_ id: JobID) -> Transcript? { byJob.withLock { $0[id] } }

  /// Sends an event of a job; its content completes the last one.
  func answer(_ id: JobID, _ event: AnswerEvent) {
    guard let transcript = find(id) else { return }
    switch event {
    case .admitted, .started, .text: transcript.tell(event)
    case .finished(let end): transcript.end { .finished(transcript.opening(end, $0)) }
    case .cut(let end, let refusal): transcript.end { .cut(transcript.opening(end, $0), refusal) }
    case .refused: transcript.end { _ in event }
    }
  }

  @discardableResult func remove(_ id: JobID) -> Transcript? { byJob.withLock { $0.removeValue(forKey: id) } }
}
