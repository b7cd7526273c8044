// Norm.swift: RMSNorm of a row, or of each head of it (N1 item 4).

package struct Norm: OperationContents {
  package let from: Row
  package let into: Row
  package let weight: Vector
  /// Parts of the row, each as long as the weight, that are normalised separately: 1, or the number
  /// of heads.
  package let parts: Int
  package let epsilon: Float

  package var width: Int { parts * weight.count }
  package var reads: [Access] { [Access(from, width)] }
  package var writes: Access { Access(into, width) }

  package func text(_ name: (Int) -> String) -> String {
    "\(into.name) = norm \(from.name) by \(name(weight.tensor))" + (parts > 1 ? ", \(parts) heads" : "")
  }
}

extension Operation {
  package static func norm(
    _ from: Row, by weight: Vector, parts: Int = 1, epsilon: Float, into: Row
  ) -> Operation {
    .norm(Norm(from: from, into: into, weight: weight, parts: parts, epsilon: epsilon))
  }
}
