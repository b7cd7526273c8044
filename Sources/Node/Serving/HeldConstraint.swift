// HeldConstraint.swift: constraints on answers, compiled and over a model's vocabulary: kept for the
// requests that come again with the same one, and each with the state of one sequence, as the engine
// asks for it. Compiling and masks are in Grammar. Start at Constraints.hold.
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

  private struct Inner {
    var vocabulary: Vocabulary?
    /// The one that was used last is the last.
    var kept: [ConstraintMasks] = []
  }

  /// Compiled constraints, and the bytes of masks that each may keep: some 200 of a large vocabulary.
  private static let mostKept = 16
  private static let mostMaskBytes = 8 << 20

  /// - vocabularySize: rows of the model's logits; the tokenizer may know fewer.
  init(_ tokenizer: Tokenizer, vocabularySize: Int) {
    self.tokenizer = tokenizer
    self.vocabularySize = vocabularySize
  }

  /// The constraint for one sequence. Compiles on the calling thread, which must not be the
  /// engine's.
  func hold(_ source: ConstraintSource) throws(GrammarError) -> HeldConstraint {
    let digest = source.digest
    let (known, made) = inner.withLock { inner -> (ConstraintMasks?, Vocabulary?) in
      guard let index = inner.kept.firstIndex(where: { $0.constraint.digest == digest }) else {
        return (nil, inner.vocabulary)
      }
      let masks = inner.kept.remove(at: index)
      inner.kept.append(masks)
      return (masks, inner.vocabulary)
    }
    if let known, let made { return HeldConstraint(known, tokenizer, ends: made.ends) }
    let constraint = try Constraint(source)
    // Two first requests may make it twice; both are the same.
    let vocabulary = made ?? vocabulary()
    let masks = ConstraintMasks(constraint, vocabulary.trie, mostBytes: Self.mostMaskBytes)
    inner.withLock { inner in
      inner.vocabulary = vocabulary
      inner.kept.append(masks)
      if inner.kept.count > Self.mostKept { inner.kept.removeFirst() }
    }
    return HeldConstraint(masks, tokenizer, ends: vocabulary.ends)
  }

  private func vocabulary() -> Vocabulary {
    let trie = TokenTrie(
      (0..<vocabularySize).map { id in
        let token = Int32(id)
        guard tokenizer.contains(token), !tokenizer.isSpecial(token), !tokenizer.isEndOfGeneration(token)
        else {
          return nil
        }
        return tokenizer.bytes(of: token)
      })
    return Vocabulary(
      trie: trie, ends: (0..<vocabularySize).filter { tokenizer.isEndOfGeneration(Int32($0)) })
  }
}

/// One sequence under a constraint.
final class HeldConstraint: TokenConstraint {
  private let masks: ConstraintMasks
  private let tokenizer: Tokenizer
  private let ends: [Int]
  private let progress: Mutex<Progress>

  /// The states along the longest output that was asked for. A replay asks for its positions in the
  /// order of several threads.
  private struct Progress {
    var output: [Int32] = []
    /// After 0, 16, 32, ... tokens of it.
    var states: [ConstraintState]
    /// After all of it.
    var last: ConstraintState
  }

  private static let stride = 16

  /// - ends: the ids that end an answer
  init(_ masks: ConstraintMasks, _ tokenizer: Tokenizer, ends: [Int]) {
    self.masks = masks
    self.tokenizer = tokenizer
    self.ends = ends
    let start = ConstraintState(masks.constraint)
    progress = Mutex(Progress(states: [start], last: start))
  }

  func allowed(after output: ArraySlice<Int32>) -> [UInt64]? {
    let state = state(after: output)
    var mask = TokenMask(size: masks.trie.vocabularySize)
    guard state.isAlive else { return mask.words.map { _ in .max } }
    state.allowed(masks, into: &mask)
    if state.isComplete { for token in ends { mask.insert(token) } }
    return mask.isEmpty ? nil : mask.words
  }

  private func state(after output: ArraySlice<Int32>) -> ConstraintState {
    progress.withLock { progress in
      let shared = Self.shared(progress.output, output)
      // The next token of the sequence, which is what a step asks about.
      let isNext = shared == progress.output.count
      if shared < progress.output.count, shared < output.count {
        // Another way from here on.
        progress.output.removeSubrange(shared...)
        progress.states.removeSubrange((shared / Self.stride + 1)...)
      }
      let first = min(shared / Self.stride, progress.states.count - 1)
      var state = isNext ? progress.last : progress.states[first]
      let known = isNext ? shared : first * Self.stride
      for (index, token) in zip(known..., output[(output.startIndex + known)...]) {
        state.advance(tokenizer.isEndOfGeneration(token) ? [] : tokenizer.bytes(of: token))
        if index >= progress.output.count { progress.output.append(token) }
        if (index + 1) % Self.stride == 0, (index + 1) / Self.stride == progress.states.count {
          progress.states.append(state)
        }
      }
      if output.count == progress.output.count { progress.last = state }
      return state
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
