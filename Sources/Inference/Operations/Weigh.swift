// Weigh.swift: a row times the sigmoid of one number, in place: how much of a shared expert a token
// takes (N1 item 12; Yang et al. 2024).

package struct Weigh: OperationContents {
  package let row: Row
  package let width: Int
  /// One number.
  package let share: Row

  package var reads: [Access] { [writes, Access(share, 1)] }
  package var writes: Access { Access(row, width) }

  package func text(_ name: (Int) -> String) -> String { "\(row.name) *= sigmoid(\(share.name))" }
}

extension Operation {
  package static func weigh(_ row: Row, bySigmoidOf share: Row, width: Int) -> Operation {
    .weigh(Weigh(row: row, width: width, share: share))
  }
}
