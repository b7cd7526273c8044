// Policy+Coverage.swift: which rules of a policy no job can reach, because an earlier one takes all
// that they would match. It errs to one side: a rule that it names is never reached, but it does not
// name every such rule (two earlier ones may cover it together). Start at unreachable.

extension Policy {
  /// Numbers from 1: of a rule that decides about no job, and of the earlier one that takes them.
  public var unreachable: [(rule: Int, behind: Int)] {
    rules.indices.compactMap { later in
      rules[..<later].firstIndex { $0.covers(rules[later]) }.map { (later + 1, $0 + 1) }
    }
  }
}

extension Policy.Rule {
  /// Whether it matches every job that the other matches.
  func covers(_ other: Policy.Rule) -> Bool {
    if let client, !client.covers(other.client) { return false }
    if let model, !(other.model.map { pattern(model, covers: $0) } ?? (model == "*")) { return false }
    if let tokensAbove, (other.tokensAbove ?? -1) < tokensAbove { return false }
    if let priceBelow, (other.priceBelow ?? .max) > priceBelow { return false }
    if let queueAbove, (other.queueAbove ?? -1) < queueAbove { return false }
    if let hours, !(0..<24).allSatisfy({ hours.contains($0) || !(other.hours?.contains($0) ?? true) }) {
      return false
    }
    return true
  }
}

extension Policy.ClientPattern {
  /// Strangers are called `unknown-` and something; no known client is.
  private static let strangers = "unknown-"

  fileprivate func covers(_ other: Policy.ClientPattern?) -> Bool {
    switch (self, other) {
    case (.named("*"), _), (.known, .known), (.unknown, .unknown): true
    case (.named(let one), .named(let two)): pattern(one, covers: two)
    case (.known, .named(let name)):
      !Self.strangers.hasPrefix(literal(name)) && !literal(name).hasPrefix(Self.strangers)
    case (.unknown, .named(let name)): literal(name).hasPrefix(Self.strangers)
    case (.known, .unknown), (.unknown, .known), (.named, .known), (.named, .unknown), (_, nil): false
    }
  }
}

/// The part in front of the first sign that stands for others.
private func literal(_ pattern: String) -> String { String(pattern.prefix { $0 != "*" && $0 != "?" }) }

/// Whether every name that the second pattern matches is matched by the first.
private func pattern(_ one: String, covers two: String) -> Bool {
  if one == two || one == "*" { return true }
  if literal(two) == two { return glob(one, matches: two) }
  return one.hasSuffix("*") && literal(one) == one.dropLast() && literal(two).hasPrefix(literal(one))
}
