// Activate.swift: an activation of a row's numbers, in place, for networks without a gate (N1 item 8).

package struct Activate: OperationContents {
  package let row: Row
  package let width: Int
  package let activation: Activation

  package enum Activation: Sendable, BitwiseCopyable {
    /// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016)
    case gelu
    /// x^2 where x is above 0, otherwise 0 (So et al. 2021)
    case squaredRelu
  }

  package var reads: [Access] { [writes] }
  package var writes: Access { Access(row, width) }

  package func text(_ name: (Int) -> String) -> String { "\(row.name) = \(activation)(\(row.name))" }
}

extension Operation {
  package static func activate(_ row: Row, _ activation: Activate.Activation, width: Int) -> Operation {
    .activate(Activate(row: row, width: width, activation: activation))
  }
}
