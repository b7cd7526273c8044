// Scale.swift: a row times one number, in place, rounded once a number (N1 item 9).

package struct Scale: OperationContents {
  package let row: Row
  package let width: Int
  package let factor: Float

  package var reads: [Access] { [writes] }
  package var writes: Access { Access(row, width) }

  package func text(_ name: (Int) -> String) -> String { "\(row.name) *= \(factor)" }
}

extension Operation {
  package static func scale(_ row: Row, by factor: Double, width: Int) -> Operation {
    .scale(Scale(row: row, width: width, factor: Float(factor)))
  }
}
