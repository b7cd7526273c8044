// Norm.swift: a row, or each head of it, divided by its root mean square (RMSNorm, Zhang and Sennrich
// 2019), or by its deviation once its mean is taken away (LayerNorm, Ba et al. 2016); N1 item 4.

package struct Norm: OperationContents {
  package let from: Row
  package let into: Row
  /// Multiplies what is normalised; nil: nothing does.
  package let weight: Vector?
  /// Is added at the end; nil: nothing is.
  package let bias: Vector?
  /// Parts of the row that are normalised separately: 1, or the number of heads.
  package let parts: Int
  /// Numbers of each part.
  package let size: Int
  /// Whether the mean is taken away first.
  package let isCentred: Bool
  package let epsilon: Float

  package var width: Int { parts * size }
  package var reads: [Access] { [Access(from, width)] }
  package var writes: Access { Access(into, width) }

  /// Whether the weight is as long as the row; otherwise as a part, and all parts share it.
  package var isWhole: Bool { weight.map { parts > 1 && $0.count == parts * size } ?? false }

  /// Why weights and parts don't fit each other; nil if they do.
  var fault: String? {
    let wanted = isWhole ? width : size
    return [weight, bias].contains { $0.map { $0.count != wanted } ?? false } || size < 1
      ? "a norm's weights are not as long as what they multiply" : nil
  }

  package func text(_ name: (Int) -> String) -> String {
    "\(into.name) = \(isCentred ? "layer norm" : "norm") \(from.name)"
      + (weight.map { " by \(name($0.tensor))" } ?? "") + (bias.map { ", plus \(name($0.tensor))" } ?? "")
      + (parts > 1 ? ", \(parts) \(isWhole ? "groups" : "heads")" : "")
  }
}

extension Operation {
  /// RMSNorm with weights.
  package static func norm(
    _ from: Row, by weight: Vector, parts: Int = 1, epsilon: Float, into: Row
  ) -> Operation {
    .norm(
      Norm(
        from: from, into: into, weight: weight, bias: nil, parts: parts, size: weight.count,
        isCentred: false, epsilon: epsilon))
  }

  /// RMSNorm without weights, of parts of `size` numbers.
  package static func norm(
    _ from: Row, parts: Int = 1, of size: Int, epsilon: Float, into: Row
  ) -> Operation {
    .norm(
      Norm(
        from: from, into: into, weight: nil, bias: nil, parts: parts, size: size, isCentred: false,
        epsilon: epsilon))
  }

  /// LayerNorm.
  package static func layerNorm(
    _ from: Row, by weight: Vector, plus bias: Vector?, epsilon: Float, into: Row
  ) -> Operation {
    .norm(
      Norm(
        from: from, into: into, weight: weight, bias: bias, parts: 1, size: weight.count, isCentred: true,
        epsilon: epsilon))
  }

  /// RMSNorm of each of `groups` parts by its own part of the weight.
  package static func norm(
    _ from: Row, by weight: Vector, each groups: Int, epsilon: Float, into: Row
  ) -> Operation {
    .norm(
      Norm(
        from: from, into: into, weight: weight, bias: nil, parts: groups, size: weight.count / groups,
        isCentred: false, epsilon: epsilon))
  }
}
