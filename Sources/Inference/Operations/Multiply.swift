// Multiply.swift: a row times a matrix, plus a bias if there is one (N1 items 2 and 3).

package struct Multiply: OperationContents {
  package let from: Row
  package let into: Row
  package let weights: Matrix
  package let bias: Vector?

  package var matrix: Matrix? { weights }
  package var reads: [Access] { [Access(from, weights.columns)] }
  package var writes: Access { Access(into, weights.rows) }

  package func text(_ name: (Int) -> String) -> String {
    "\(into.name) = multiply \(from.name) by \(weights.text(name))"
      + (bias.map { ", plus \(name($0.tensor))" } ?? "")
  }
}

extension Operation {
  package static func multiply(_ from: Row, by weights: Matrix, plus bias: Vector? = nil, into: Row)
    -> Operation
  {
    .multiply(Multiply(from: from, into: into, weights: weights, bias: bias))
  }
}
