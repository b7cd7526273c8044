// Gate.swift: an activation of one row times another, in place of the first (N1 items 8 and 9;
// Shazeer 2020).

package struct Gate: OperationContents {
  package let gate: Row
  package let up: Row
  package let width: Int
  package let activation: Activation

  package enum Activation: Sendable, BitwiseCopyable {
    /// x / (1 + exp(-x))
    case silu
    /// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016)
    case gelu
    /// x' / (1 + exp(-1.702 x')) (y' + 1), x' at most 7 and y', which is the other row's number,
    /// between -7 and 7 (OpenAI 2025, gpt-oss)
    case clampedSwish
  }

  package var reads: [Access] { [Access(gate, width), Access(up, width)] }
  package var writes: Access { Access(gate, width) }

  package func text(_ name: (Int) -> String) -> String {
    "\(gate.name) = \(activation)(\(gate.name)) * \(up.name)"
  }
}

extension Operation {
  package static func gate(_ gate: Row, _ activation: Gate.Activation, times up: Row, width: Int) -> Operation
  {
    .gate(Gate(gate: gate, up: up, width: width, activation: activation))
  }
}
