// Gate.swift: an activation of one row times another, in place of the first (N1 items 8 and 9;
// Shazeer 2020).

package struct Gate: OperationContents {
  package let gate: Row
  package let up: Row
  /// The first of the other row's numbers.
  package let start: Int
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
    /// 1 / (1 + exp(-x))
    case sigmoid
    /// x itself
    case plain
  }

  package var reads: [Access] { [Access(gate, width), Access(up, start + width)] }
  package var writes: Access { Access(gate, width) }

  package func text(_ name: (Int) -> String) -> String {
    let other = up.name + (start == 0 ? "" : "[\(start) ..< \(start + width)]")
    return activation == .plain
      ? "\(gate.name) *= \(other)" : "\(gate.name) = \(activation)(\(gate.name)) * \(other)"
  }
}

extension Operation {
  package static func gate(
    _ gate: Row, _ activation: Gate.Activation, times up: Row, from start: Int = 0, width: Int
  ) -> Operation {
    .gate(Gate(gate: gate, up: up, start: start, width: width, activation: activation))
  }
}
