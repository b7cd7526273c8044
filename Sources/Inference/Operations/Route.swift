// Route.swift: which experts a token goes to, and the weight of each (N1 item 12; Shazeer et al.
// 2017; Fedus et al. 2022). Not here: what the experts compute (Experts.swift).

package struct Route: OperationContents {
  /// One number for each expert.
  package let logits: Row
  /// The numbers of the chosen experts, then their weights: 2 * `chosen` floats. The order is that
  /// of the choice.
  package let into: Row
  package let experts: Int
  package let chosen: Int
  package let gating: Gating
  /// Added for the choice, and not to the weights (Wang et al. 2024).
  package let bias: Vector?
  /// Experts are chosen within the best groups alone (DeepSeek-AI 2024, "node-limited routing").
  package let groups: Groups?
  /// Whether the chosen weights are divided by their sum.
  package let isNormalised: Bool
  /// Multiplies the weights.
  package let scale: Float
  /// One number for each expert, which multiplies its weight at the end.
  package let factors: Vector?

  /// How logits become weights.
  package enum Gating: Sendable, BitwiseCopyable {
    /// softmax over all experts
    case softmax
    /// 1 / (1 + exp(-x)), of each
    case sigmoid
    /// softmax over the chosen ones
    case softmaxOfChosen
  }

  /// Consecutive experts of equal number form a group.
  package struct Groups: Hashable, Sendable, BitwiseCopyable {
    package let count: Int
    package let chosen: Int

    package init(count: Int, chosen: Int) {
      self.count = count
      self.chosen = chosen
    }
  }

  package var reads: [Access] { [Access(logits, experts)] }
  package var writes: Access { Access(into, 2 * chosen) }

  /// Why the numbers don't fit each other; nil if they do.
  var fault: String? {
    if !(1...1_024).contains(experts) { return "\(experts) experts, wanted 1 to 1024" }
    if !(1...experts).contains(chosen) { return "\(chosen) of \(experts) experts are chosen" }
    for vector in [bias, factors] {
      if let vector, vector.count != experts { return "\(vector.count) numbers for \(experts) experts" }
    }
    guard let groups else { return nil }
    guard groups.count > 0, experts % groups.count == 0, (1...groups.count).contains(groups.chosen),
      chosen <= experts / groups.count * groups.chosen
    else { return "\(chosen) of \(experts) experts in \(groups.chosen) of \(groups.count) groups" }
    return nil
  }

  package func text(_ name: (Int) -> String) -> String {
    "\(into.name) = route \(logits.name), \(chosen) of \(experts) experts, \(gating)"
      + (groups.map { ", in \($0.chosen) of \($0.count) groups" } ?? "")
      + (bias.map { ", chosen plus \(name($0.tensor))" } ?? "") + (isNormalised ? ", normalised" : "")
      + (scale == 1 ? "" : ", times \(scale)") + (factors.map { ", times \(name($0.tensor))" } ?? "")
  }
}

extension Operation {
  package static func route(
    _ logits: Row, experts: Int, chosen: Int, _ gating: Route.Gating, bias: Vector? = nil,
    groups: Route.Groups? = nil, isNormalised: Bool = false, scale: Double = 1, factors: Vector? = nil,
    into: Row
  ) -> Operation {
    .route(
      Route(
        logits: logits, into: into, experts: experts, chosen: chosen, gating: gating, bias: bias,
        groups: groups, isNormalised: isNormalised, scale: Float(scale), factors: factors))
  }
}
