// SequenceState.swift: what operations keep of a sequence between steps, and the kinds of places in
// which it is kept.

/// What one operation of a layer keeps of a sequence between steps.
package enum SequenceState: Hashable, Sendable, BitwiseCopyable {
  /// A key and a value of `size` numbers for each of `heads`, for every position, or for the last
  /// `window` ones if given.
  case keysAndValues(heads: Int, size: Int, window: Int?)
  /// The last `count` inputs of a convolution, f32, the oldest first.
  case columns(channels: Int, count: Int)
  /// A recurrent state: `count` matrices of f32, row after row.
  case matrices(count: Int, rows: Int, columns: Int)

  /// Bytes of one position: 16 bits a number, and a scale for each key and each value; 0 where what
  /// is kept does not grow.
  package var bytesPerPosition: Int {
    switch self {
    case .keysAndValues(let heads, let size, _): 2 * heads * (2 * size + 4)
    case .columns, .matrices: 0
    }
  }

  /// Bytes of a whole sequence, where these do not depend on its length; otherwise 0.
  package var bytesPerSequence: Int {
    switch self {
    case .keysAndValues: 0
    case .columns(let channels, let count): 4 * channels * count
    case .matrices(let count, let rows, let columns): 4 * count * rows * columns
    }
  }

  /// The kind of place in which it is kept.
  package var kind: StateKind {
    switch self {
    case .keysAndValues(_, _, let window): window.map { .window($0) } ?? .all
    case .columns, .matrices: .slot
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
  /// One block holds what is kept of a whole sequence, as it is after one position. It cannot be
  /// cut back to an earlier position, so prefixes and guesses need blocks of their own.
  case slot
}
