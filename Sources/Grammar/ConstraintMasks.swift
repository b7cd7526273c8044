// ConstraintMasks.swift: a constraint over a vocabulary: the masks that its sequences share, on
// whatever threads they run. Start at ConstraintState.allowed.

import Synchronization

/// A constraint with the vocabulary that its texts are made of.
package final class ConstraintMasks: Sendable {
  package let constraint: Constraint
  package let trie: TokenTrie
  private let masks: Mutex<LocalMasks>

  /// `mostBytes` bounds what is kept of masks, not what one mask takes.
  package init(_ constraint: Constraint, _ trie: TokenTrie, mostBytes: Int = 16 << 20) {
    self.constraint = constraint
    self.trie = trie
    masks = Mutex(LocalMasks(constraint.automaton, trie, mostBytes: mostBytes))
  }

  /// Adds the tokens that may come next in a state of this constraint. A place that is new is walked,
  /// which may take long.
  /// - isWanted: asked now and then on the way
  /// - Returns: false if it was given up
  @discardableResult
  package func add(
    allowedIn state: ConstraintState, to mask: inout TokenMask, isWanted: () -> Bool = { true }
  ) -> Bool {
    masks.withLock { $0.add(state.items, state.stacks, to: &mask, isWanted: isWanted) }
  }

  /// The same without walking or waiting: nil if a place is new, or somebody walks right now.
  package func known(allowedIn state: ConstraintState) -> TokenMask? {
    masks.withLockIfAvailable { masks in
      var mask = TokenMask(size: trie.vocabularySize)
      return masks.known(state.items, state.stacks, into: &mask) ? mask : nil
    } ?? nil
  }
}
