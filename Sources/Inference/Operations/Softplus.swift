// Softplus.swift: log(1 + exp(x + bias)) of each number of a row, in place (N1 item 8; Dugas et al.
// 2001): the length of a step of a recurrent state.

package struct Softplus: OperationContents {
  package let row: Row
  package let bias: Vector

  package var reads: [Access] { [writes] }
  package var writes: Access { Access(row, bias.count) }

  package func text(_ name: (Int) -> String) -> String {
    "\(row.name) = softplus(\(row.name) + \(name(bias.tensor)))"
  }
}

extension Operation {
  package static func softplus(_ row: Row, plus bias: Vector) -> Operation {
    .softplus(Softplus(row: row, bias: bias))
  }
}
