// Experts.swift: feed-forward networks of which every token goes through a few, and the
// weighted sum of what they give (N1 item 12; Shazeer et al. 2017). Not here: which ones
// (Route.swift).

package struct Experts: OperationContents {
  package let from: Row
  /// Which experts, and their weights, as `Route` writes them.
  package let choices: Row
  package let into: Row
  /// How many a token goes through.
  package let chosen: Int
  package let up: ExpertMatrices
  package let down: ExpertMatrices
  /// (experts, rows of the product) each.
  package let upBias: Vector?
  package let downBias: Vector?
  package let hidden: Hidden
  package let weighting: Weighting

  /// What stands between an expert's first products and its last.
  package enum Hidden: Hashable, Sendable, BitwiseCopyable {
    /// The activation of a second product of the same input, times the first.
    case gated(ExpertMatrices, plus: Vector?, Gate.Activation)
    /// The activation of the first product.
    case plain(Activate.Activation)
  }

  /// What a choice's weight multiplies.
  package enum Weighting: Sendable, BitwiseCopyable {
    /// What the expert gives, its bias included.
    case output
    /// What the expert is given.
    case input
  }

  package var count: Int { up.count }
  /// Numbers between an expert's two products.
  package var width: Int { up.rows }
  /// Numbers of the row that an expert multiplies.
  package var columns: Int { up.columns }
  package var gate: ExpertMatrices? {
    guard case .gated(let matrices, _, _) = hidden else { return nil }
    return matrices
  }
  private var gateBias: Vector? {
    guard case .gated(_, let bias, _) = hidden else { return nil }
    return bias
  }
  /// Matrices that multiply the input.
  package var opening: [ExpertMatrices] { (gate.map { [$0] } ?? []) + [up] }

  package var reads: [Access] { [Access(from, columns), Access(choices, 2 * chosen)] }
  package var writes: Access { Access(into, down.rows) }
  package var cost: ProductCost {
    let matrices = (opening + [down]).map { ProductCost($0[0]) }
    return ProductCost(
      bytes: chosen * matrices.reduce(0) { $0 + $1.bytes },
      operations: chosen * matrices.reduce(0) { $0 + $1.operations },
      longestInput: matrices.reduce(0) { max($0, $1.longestInput) })
  }

  /// Why the parts don't fit each other; nil if they do.
  var fault: String? {
    if from == into || choices == into { return "experts overwrite their input" }
    if (opening + [down]).contains(where: { $0.count != count }) { return "experts differ in number" }
    if opening.contains(where: { $0.columns != columns || $0.rows != width }) || width != down.columns {
      return "experts whose products do not fit each other"
    }
    for (bias, rows) in [(gateBias, width), (upBias, width), (downBias, down.rows)] {
      if let bias, bias.count != count * rows { return "a bias is not as long as its rows" }
    }
    return nil
  }

  private var activation: String {
    switch hidden {
    case .gated(_, _, let activation): "\(activation)"
    case .plain(let activation): "\(activation)"
    }
  }

  package func text(_ name: (Int) -> String) -> String {
    let biases = [gateBias, upBias, downBias].compactMap { $0.map { name($0.tensor) } }
    return "\(into.name) = \(chosen) experts of \(count), by \(choices.name), on \(from.name)"
      + (weighting == .input ? " times its weight" : "")
      + ": \(activation), " + (opening + [down]).map { $0.text(name) }.joined(separator: ", ")
      + (biases.isEmpty ? "" : ", plus \(biases.joined(separator: ", "))")
  }
}

/// One matrix of each expert: a tensor of the file with three extents, or rows of one.
package struct ExpertMatrices: Hashable, Sendable, BitwiseCopyable {
  /// All experts' rows, one expert after the other.
  package let all: Matrix
  package let count: Int
  /// Which of an expert's rows are meant, a multiple of 16 like their number.
  package let first: Int
  package let rows: Int

  package var columns: Int { all.columns }

  /// The matrix of one expert.
  package subscript(_ expert: Int) -> Matrix {
    let tile = (expert * (all.rows / count) + first) / 16
    return Matrix(
      tensor: all.tensor, type: all.type, rows: rows, columns: all.columns,
      offset: all.offset + tile * all.tileBytes)
  }

  func text(_ name: (Int) -> String) -> String {
    "\(name(all.tensor)) \(all.type.name) \(columns)x\(rows)"
      + (rows * count == all.rows ? "" : " from row \(first)")
  }
}

extension Operation {
  package static func experts(
    _ choices: Row, chosen: Int, on row: Row, _ hidden: Experts.Hidden, up: ExpertMatrices,
    plus upBias: Vector? = nil, down: ExpertMatrices, plus downBias: Vector? = nil,
    weighting: Experts.Weighting = .output, into: Row
  ) -> Operation {
    .experts(
      Experts(
        from: row, choices: choices, into: into, chosen: chosen, up: up, down: down, upBias: upBias,
        downBias: downBias, hidden: hidden, weighting: weighting))
  }
}
