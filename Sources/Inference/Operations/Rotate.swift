// Rotate.swift: rotary position embedding of a row's heads, in place (N1 item 5; Su et al. 2021).

import CKernels

package struct Rotate: OperationContents {
  package let row: Row
  package let heads: Int
  package let size: Int
  /// The element of a head at which the pairs begin.
  package let start: Int
  package let pairing: Pairing
  package let angles: RotaryAngles

  /// How the elements of a head form pairs.
  package enum Pairing: Sendable, BitwiseCopyable {
    /// (0, 1), (2, 3), ... as Llama's GGUF files store them.
    case neighbours
    /// (0, n/2), (1, n/2 + 1), ... as Qwen's do (GPT-NeoX).
    case halves
  }

  package var reads: [Access] { [writes] }
  package var writes: Access { Access(row, heads * size) }

  package func text(_ name: (Int) -> String) -> String {
    "rotate \(row.name), \(heads) heads, \(pairing), \(angles.text(name)) of \(size)"
      + (start == 0 ? "" : " from \(start)")
  }
}

/// The angles of every position: layers with equal angles share one table.
package struct RotaryAngles: Hashable, Sendable, BitwiseCopyable {
  /// How many pairs of a head, from the first, are rotated; the rest of the head is unchanged.
  package let pairs: Int
  package let base: Double
  /// Positions are divided by this.
  package let scale: Double
  /// What each pair's frequency is divided by; nil: 1.
  package let factors: Vector?
  package let yarn: YaRN?
  /// Multiplies what is rotated: queries and keys alike, so scores grow by its square.
  package let magnitude: Double

  package init(
    pairs: Int, base: Double, scale: Double = 1, factors: Vector? = nil, yarn: YaRN? = nil,
    magnitude: Double = 1
  ) {
    self.pairs = pairs
    self.base = base
    self.scale = scale
    self.factors = factors
    self.yarn = yarn
    self.magnitude = magnitude
  }

  /// What each pair's frequency is divided by: (pairs), each rounded once to 32 bits.
  /// - factors: of the file, where it has them
  package func divisors(_ factors: [Float]?) -> [Float] {
    guard let yarn else { return factors ?? [Float](repeating: 1, count: pairs) }
    return (0..<pairs).map { i in Float(Double(factors?[i] ?? 1) * yarn.divisor(of: i)) }
  }

  func text(_ name: (Int) -> String) -> String {
    "base \(base)" + (scale == 1 ? "" : ", positions / \(scale)")
      + (factors.map { ", frequencies / \(name($0.tensor))" } ?? "")
      + (yarn.map { ", YaRN \($0.factor) from \($0.low) to \($0.high)" } ?? "")
      + (magnitude == 1 ? "" : ", times \(magnitude)") + ", \(2 * pairs)"
  }
}

/// YaRN (Peng et al. 2023): pairs that turn often stay as they are, those that turn rarely are
/// stretched by the factor, those between in proportion.
package struct YaRN: Hashable, Sendable, BitwiseCopyable {
  package let factor: Double
  /// Pairs up to the first stay, those from the second on are stretched.
  package let low: Double
  package let high: Double

  /// - original: positions that the model was trained for before it was stretched
  /// - rounds: whether these two numbers are whole
  /// - fast, slow: turns within these from which on a pair stays, and up to which it is stretched
  package init(
    factor: Double, original: Int, size: Int, base: Double, fast: Double = 32, slow: Double = 1,
    rounds: Bool = true
  ) {
    func pair(turns: Double) -> Double {
      Double(size) * ck_log(Double(original) / (turns * 2 * Double.pi)) / (2 * ck_log(base))
    }
    self.factor = factor
    let (first, last) = (pair(turns: fast), pair(turns: slow))
    low = max(0, rounds ? first.rounded(.down) : first)
    high = min(Double(size - 1), rounds ? last.rounded(.up) : last)
  }

  func divisor(of pair: Int) -> Double {
    let share = min(max((Double(pair) - low) / max(0.001, high - low), 0), 1)
    return 1 / (1 - share + share / factor)
  }

  /// What queries and keys are multiplied by, where the file does not say.
  /// - weight: of the logarithm
  package func magnitude(weight: Double = 1) -> Double { 0.1 * weight * ck_log(factor) + 1 }
}

extension Operation {
  package static func rotate(
    _ row: Row, heads: Int, of size: Int, from start: Int = 0, _ pairing: Rotate.Pairing,
    _ angles: RotaryAngles
  ) -> Operation {
    .rotate(
      Rotate(row: row, heads: heads, size: size, start: start, pairing: pairing, angles: angles))
  }
}
