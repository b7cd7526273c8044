// SequenceState.swift: what operations keep of a sequence between steps, and the kinds of places
// that it is kept in.

/// What one operation of a layer keeps of a sequence between steps.
package enum SequenceState: Hashable, Sendable, BitwiseCopyable {
  /// A key and a value of `size` numbers for each of `heads`, of every position; of the last
  /// `window` ones, where given.
  case keysAndValues(heads: Int, size: Int, window: Int?)

  /// Bytes of one position: 16 bits a number, and a scale for each key and each value.
  package var bytesPerPosition: Int {
    switch self {
    case .keysAndValues(let heads, let size, _): 2 * heads * (2 * size + 4)
    }
  }

  /// The kind of place that it is kept in.
  package var kind: StateKind {
    switch self {
    case .keysAndValues(_, _, let window): window.map { .window($0) } ?? .all
    }
  }
}

/// States that are kept and given up together: a block of one kind holds 16 positions of all states
/// of the kind, so a sequence has one table of blocks for each kind, and the scheduler one pool.
public enum StateKind: Hashable, Sendable {
  /// Every position, for as long as the sequence lives.
  case all
  /// So many last positions, the present one included: blocks behind them may be given up.
  case window(Int)
}
