// HeldConstraint.swift: constraints on answers, compiled and over a model's vocabulary: kept for the
// requests that come again with the same one, and each with the state of one sequence, as the engine
// asks for it. Compiling and masks are in Grammar. Start at Constraints.hold.
import Dispatch
import Glibc
import Grammar
import Inference
import Synchronization

/// The constraints of one model.
final class Constraints: Sendable {
  private let tokenizer: Tokenizer
  private let vocabularySize: Int
  private let inner = Mutex(Inner())

  /// What the tokenizer's ids are to a constraint.
  private struct Vocabulary {
    /// What each id writes into an answer. Special tokens write nothing.
    let trie: TokenTrie
    /// The ids that end an answer.
    let ends: [Int]
  }

  /// A constraint over the vocabulary with the special tokens that its texts may have.
  private struct Kept {
    let masks: ConstraintMasks
    let ends: [Int]
    let thinking: BoundedThinking?
  }

  private struct Inner {
    /// By the special tokens that are text: those of no or of one format. The one that was used last
    /// is the last, as below.
    var vocabularies: [(marks: Set<Int32>, vocabulary: Vocabulary)] = []
    var kept: [Kept] = []
  }

  /// Compiled constraints, and the bytes of masks that each may keep: some 200 of a large vocabulary.
  private static let mostKept = 16
  private static let mostMaskBytes = 8 << 20
  /// A vocabulary of 248,000 tokens is about 20 MB.
  private static let mostVocabularies = 3

  /// - vocabularySize: rows of the model's logits; the tokenizer may know fewer.
  init(_ tokenizer: Tokenizer, vocabularySize: Int) {
    self.tokenizer = tokenizer
    self.vocabularySize = vocabularySize
  }

  /// The constraint for one sequence. Compiles on the calling thread, which must not be the
  /// engine's.
  func hold(_ source: ConstraintSource) throws(GrammarError) -> HeldConstraint {
    let digest = source.digest
    let known = inner.withLock { inner -> Kept? in
      guard let index = inner.kept.firstIndex(where: { $0.masks.constraint.digest == digest }) else {
        return nil
      }
      let kept = inner.kept.remove(at: index)
      inner.kept.append(kept)
      return kept
    }
    if let known { return HeldConstraint(known.masks, tokenizer, ends: known.ends, known.thinking) }
    let constraint = try Constraint(source)
    let shape = source.shape
    let vocabulary = vocabulary(with: marks(shape?.marks ?? []))
    let kept = Kept(
      masks: ConstraintMasks(constraint, vocabulary.trie, mostBytes: Self.mostMaskBytes),
      ends: vocabulary.ends,
      thinking: shape?.thinking.flatMap { BoundedThinking($0, tokens(of: $0.close)) })
    inner.withLock { inner in
      inner.kept.append(kept)
      if inner.kept.count > Self.mostKept { inner.kept.removeFirst() }
    }
    return HeldConstraint(kept.masks, tokenizer, ends: kept.ends, kept.thinking)
  }

  private func tokens(of text: String) -> [Int32] {
    tokenizer.encode(segments: [PromptSegment(text: text, isTrusted: true)], addBOS: false)
  }

  /// The special tokens that spell these texts.
  private func marks(_ texts: [String]) -> Set<Int32> {
    Set(texts.flatMap { tokens(of: $0).filter { tokenizer.isSpecial($0) } })
  }

  /// Two first requests may make it twice; both are the same.
  private func vocabulary(with marks: Set<Int32>) -> Vocabulary {
    let known = inner.withLock { inner -> Vocabulary? in
      guard let index = inner.vocabularies.firstIndex(where: { $0.marks == marks }) else { return nil }
      let found = inner.vocabularies.remove(at: index)
      inner.vocabularies.append(found)
      return found.vocabulary
    }
    if let known { return known }
    let trie = TokenTrie(
      (0..<vocabularySize).map { id in
        let token = Int32(id)
        guard tokenizer.contains(token), !tokenizer.isEndOfGeneration(token),
          !tokenizer.isSpecial(token) || marks.contains(token)
        else {
          return nil
        }
        return tokenizer.bytes(of: token)
      })
    let made = Vocabulary(
      trie: trie, ends: (0..<vocabularySize).filter { tokenizer.isEndOfGeneration(Int32($0)) })
    inner.withLock { inner in
      inner.vocabularies.append((marks, made))
      if inner.vocabularies.count > Self.mostVocabularies { inner.vocabularies.removeFirst() }
    }
    return made
  }
}

/// One sequence under a constraint.
final class HeldConstraint: TokenConstraint {
  private let masks: ConstraintMasks
  private let tokenizer: Tokenizer
  private let ends: [Int]
  private let thinking: BoundedThinking?
  private let progress: Mutex<Progress>
  private let found = Mutex(Found())

  /// Masks that were found before the engine asks for them, by the length of the output.
  private struct Found {
    var masks: [Int: TokenMask] = [:]
    var isWalking = false
    /// The walk took too long.
    var isGivenUp = false
  }

  /// Whether the engine may ask for the mask after an output.
  enum Readiness {
    case ready
    /// It is being found; whoever asked is woken.
    case awaited
    case givenUp
  }

  /// Walks of all constraints, beside the engine.
  private static let walks = DispatchQueue(
    label: "hotpot-masks", qos: .utility, attributes: .concurrent)
  static let longestWalk = Duration.seconds(10)

  /// Where an output stands.
  private struct Place {
    var state: ConstraintState
    var thinking: BoundedThinking.Progress?
  }

  /// The states along the longest output that was asked for. A replay asks for its positions in the
  /// order of several threads.
  private struct Progress {
    var output: [Int32] = []
    /// After 0, 16, 32, ... tokens of it.
    var places: [Place]
    /// After all of it.
    var last: Place
  }

  private static let stride = 16

  /// - ends: the ids that end an answer
  /// - thinking: its bound, if it has one
  init(
    _ masks: ConstraintMasks, _ tokenizer: Tokenizer, ends: [Int], _ thinking: BoundedThinking?
  ) {
    self.masks = masks
    self.thinking = thinking
    self.tokenizer = tokenizer
    self.ends = ends
    let start = Place(state: ConstraintState(masks.constraint), thinking: thinking?.start)
    progress = Mutex(Progress(places: [start], last: start))
  }

  /// The names of schemas that could not be held and yielded.
  var loosened: [String] { masks.constraint.loosened }

  func allowed(after output: ArraySlice<Int32>) -> [UInt64]? {
    let place = place(after: output)
    let state = place.state
    var mask = TokenMask(size: masks.trie.vocabularySize)
    guard state.isAlive else { return mask.words.map { _ in .max } }
    if let thinking, let progress = place.thinking,
      let forced = thinking.forced(progress, after: output, state, tokenizer)
    {
      mask.insert(Int(forced))
      return mask.words
    }
    if let known = found.withLock({ $0.masks[output.count] }) {
      mask = known
    } else {
      state.allowed(masks, into: &mask)
    }
    if state.isComplete { for token in ends { mask.insert(token) } }
    return mask.isEmpty ? nil : mask.words
  }

  /// Whether the mask after an output is at hand. If not, it is looked for on another thread, and
  /// `wake` is called when that is done. Only for a sequence whose tokens come one after another.
  func readiness(after output: ArraySlice<Int32>, _ wake: @escaping @Sendable () -> Void) -> Readiness {
    let count = output.count
    let known = found.withLock { found -> Readiness? in
      if found.isGivenUp { return .givenUp }
      if found.masks[count] != nil { return .ready }
      return found.isWalking ? .awaited : nil
    }
    if let known { return known }
    let state = place(after: output).state
    guard state.isAlive else { return .ready }
    if let mask = masks.known(allowedIn: state) {
      found.withLock { $0.masks = [count: mask] }
      return .ready
    }
    found.withLock { $0.isWalking = true }
    Self.walks.async { [self] in
      let end = ContinuousClock.now + Self.longestWalk
      var mask = TokenMask(size: masks.trie.vocabularySize)
      let isWhole = masks.add(allowedIn: state, to: &mask) { ContinuousClock.now < end }
      found.withLock { found in
        found.isWalking = false
        found.isGivenUp = !isWhole
        if isWhole { found.masks = [count: mask] }
      }
      wake()
    }
    return .awaited
  }

  /// Tokens that probably follow an output: the bytes that must, as the tokenizer cuts them. A model may
  /// cut them otherwise, so whoever uses them asks the sampler at each. At most `most`, and only as far
  /// as their masks are at hand.
  func guess(after output: ArraySlice<Int32>, most: Int) -> [Int32] {
    // What was found for other outputs.
    found.withLock { $0.masks = [:] }
    guard most > 0 else { return [] }
    let place = place(after: output)
    // Thinking may have to end at any token.
    if let thinking = place.thinking, thinking.phase != .over { return [] }
    let bytes = place.state.forced(most: Self.mostForced)
    guard bytes.count > 1 else { return [] }
    let text = String(decoding: bytes, as: UTF8.self)
    let tokens = tokenizer.encode(segments: [PromptSegment(text: text, isTrusted: true)], addBOS: false)
    // A tokenizer may put a space in front, and the bytes may end within a character.
    var rest = bytes[...]
    var guess: [Int32] = []
    var state = place.state
    var known: [Int: TokenMask] = [:]
    known[output.count] = masks.known(allowedIn: state)
    for token in tokens.prefix(most) {
      let own = tokenizer.bytes(of: token)
      guard !own.isEmpty, rest.starts(with: own), known[output.count + guess.count] != nil else { break }
      rest = rest.dropFirst(own.count)
      state.advance(own)
      guard let mask = masks.known(allowedIn: state) else { break }
      guess.append(token)
      known[output.count + guess.count] = mask
    }
    found.withLock { $0.masks = known }
    return guess
  }

  private static let mostForced = 96

  private func place(after output: ArraySlice<Int32>) -> Place {
    progress.withLock { progress in
      let shared = Self.shared(progress.output, output)
      // The next token of the sequence, which is what a step asks about.
      let isNext = shared == progress.output.count
      if shared < progress.output.count, shared < output.count {
        // Another way from here on.
        progress.output.removeSubrange(shared...)
        progress.places.removeSubrange((shared / Self.stride + 1)...)
      }
      let first = min(shared / Self.stride, progress.places.count - 1)
      var place = isNext ? progress.last : progress.places[first]
      let known = isNext ? shared : first * Self.stride
      for (index, token) in zip(known..., output[(output.startIndex + known)...]) {
        let bytes = tokenizer.isEndOfGeneration(token) ? [] : tokenizer.bytes(of: token)
        place.state.advance(bytes)
        if let thinking, var found = place.thinking {
          thinking.advance(&found, bytes)
          place.thinking = found
        }
        if index >= progress.output.count { progress.output.append(token) }
        if (index + 1) % Self.stride == 0, (index + 1) / Self.stride == progress.places.count {
          progress.places.append(place)
        }
      }
      if output.count == progress.output.count { progress.last = place }
      return place
    }
  }

  /// How many tokens both begin with. Every step asks that of each row, so memory is compared as it is.
  private static func shared(_ known: [Int32], _ output: ArraySlice<Int32>) -> Int {
    let most = min(known.count, output.count)
    return known.withUnsafeBufferPointer { known in
      output.withUnsafeBufferPointer { output in
        guard let a = known.baseAddress, let b = output.baseAddress else { return 0 }
        if memcmp(a, b, most * MemoryLayout<Int32>.stride) == 0 { return most }
        return (0..<most).first { a[$0] != b[$0] } ?? most
      }
    }
  }
}
