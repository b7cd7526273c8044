// Cap.swift: a row's numbers squeezed between two bounds, in place: c * tanh(x / c) (N1 item 8;
// Bello et al. 2016, "logit clipping").

package struct Cap: OperationContents {
  package let row: Row
  package let width: Int
  package let bound: Float

  package var reads: [Access] { [writes] }
  package var writes: Access { Access(row, width) }

  package func text(_ name: (Int) -> String) -> String { "cap \(row.name) at \(bound)" }
}

extension Operation {
  package static func cap(_ row: Row, at bound: Double, width: Int) -> Operation {
    .cap(Cap(row: row, width: width, bound: Float(bound)))
  }
}
