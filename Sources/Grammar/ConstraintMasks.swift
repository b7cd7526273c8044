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

  /// Adds the tokens that may come next in a state of this constraint.
  package func add(allowedIn state: ConstraintState, to mask: inout TokenMask) {
    masks.withLock { $0.add(state.items, state.stacks, to: &mask) }
  }
}
