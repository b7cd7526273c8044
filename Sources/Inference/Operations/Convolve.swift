// Convolve.swift: each number of a row summed with those at its place in the rows of the positions
// before, each times its tap, in place (N1 item 13): a causal depthwise convolution.

package struct Convolve: OperationContents {
  package let row: Row
  package let channels: Int
  /// Positions that a sum has, its own included.
  package let taps: Int
  /// (channels, taps), the present last.
  package let weights: Vector
  package let bias: Vector?
  /// Whether silu follows.
  package let activates: Bool

  package var reads: [Access] { [writes] }
  package var writes: Access { Access(row, channels) }
  package var state: SequenceState? { .columns(channels: channels, count: taps - 1) }

  package func text(_ name: (Int) -> String) -> String {
    let sum =
      "convolve \(row.name) by \(name(weights.tensor))" + (bias.map { ", plus \(name($0.tensor))" } ?? "")
    return "\(row.name) = " + (activates ? "silu(\(sum))" : sum) + ", \(taps) taps"
  }
}

extension Operation {
  package static func convolve(
    _ row: Row, by weights: Vector, plus bias: Vector? = nil, channels: Int, taps: Int, activates: Bool
  ) -> Operation {
    .convolve(
      Convolve(
        row: row, channels: channels, taps: taps, weights: weights, bias: bias, activates: activates))
  }
}
