// SequenceState.swift: what operations keep of a sequence between steps, and the kinds of places in
// which it is kept.

/// What one operation of a layer keeps of a sequence between steps.
package enum SequenceState: Hashable, Sendable, BitwiseCopyable {
  /// A key and a value of `size` numbers for each of `heads`, for every position, or for the last
  /// `window` ones if given.
  case keysAndValues(heads: Int, size: Int, window: Int?)

  /// Bytes of one position: 16 bits a number, and a scale for each key and each value.
  package var bytesPerPosition: Int {
    switch self {
    case .keysAndValues(let heads, let size, _): 2 * heads * (2 * size + 4)
    }
  }

  /// The kind of place in which it is kept.
  package var kind: StateKind {
    switch self {
    case .keysAndValues(_, _, let window): window.map { .window($0) } ?? .all
    }
  }
}

/// States that are kept and freed together: a block of one kind holds 16 positions of all states of
/// that kind, so for each kind a sequence has one table of blocks, and the scheduler one pool.
public enum StateKind: Hashable, Sendable {
  /// Every position, for as long as the sequence lives.
  case all
  /// This many last positions, the current one included; blocks before them may be freed.
  case window(Int)
}
