// Unit.swift: each head of a row divided by its length, then times a number, in place (N1 item 4;
// Yang et al. 2024, "Gated Delta Networks", 3.3).

package struct Unit: OperationContents {
  package let row: Row
  package let heads: Int
  package let size: Int
  package let epsilon: Float
  package let scale: Float

  package var reads: [Access] { [writes] }
  package var writes: Access { Access(row, heads * size) }

  package func text(_ name: (Int) -> String) -> String {
    "\(row.name) = unit \(row.name), \(heads) heads of \(size)" + (scale == 1 ? "" : ", times \(scale)")
  }
}

extension Operation {
  package static func unit(
    _ row: Row, heads: Int, of size: Int, epsilon: Float, scale: Float = 1
  ) -> Operation {
    .unit(Unit(row: row, heads: heads, size: size, epsilon: epsilon, scale: scale))
  }
}
