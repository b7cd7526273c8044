// Rotate.swift: rotary position embedding of a row's heads, in place (N1 item 5; Su et al. 2021).

package struct Rotate: OperationContents {
  package let row: Row
  package let heads: Int
  package let size: Int
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

  package init(pairs: Int, base: Double, scale: Double = 1, factors: Vector? = nil) {
    self.pairs = pairs
    self.base = base
    self.scale = scale
    self.factors = factors
  }

  func text(_ name: (Int) -> String) -> String {
    "base \(base)" + (scale == 1 ? "" : ", positions / \(scale)")
      + (factors.map { ", frequencies / \(name($0.tensor))" } ?? "") + ", \(2 * pairs)"
  }
}

extension Operation {
  package static func rotate(
    _ row: Row, heads: Int, of size: Int, _ pairing: Rotate.Pairing, _ angles: RotaryAngles
  ) -> Operation {
    .rotate(Rotate(row: row, heads: heads, size: size, pairing: pairing, angles: angles))
  }
}
