// NumberTexts.swift: the texts of numbers within bounds, as automata: canonical decimals without an
// exponent, compared digit by digit. Start at NumberTexts.language.

/// Which numbers a schema allows.
struct NumberBounds {
  struct Bound {
    var value: Decimal
    var isExclusive: Bool
  }

  var low: Bound?
  var high: Bound?
  var multiples: [Multiple] = []
  var isWhole = false

  var isUnbounded: Bool { low == nil && high == nil && multiples.isEmpty }

  mutating func raise(_ bound: Bound) {
    if let low, bound.value < low.value || bound.value == low.value && !bound.isExclusive { return }
    low = bound
  }

  mutating func lower(_ bound: Bound) {
    if let high, high.value < bound.value || bound.value == high.value && !bound.isExclusive { return }
    high = bound
  }

  func contains(_ number: Decimal) -> Bool {
    if let low, number < low.value || low.isExclusive && number == low.value { return false }
    if let high, high.value < number || high.isExclusive && number == high.value { return false }
    return (!isWhole || number.isWhole) && multiples.allSatisfy { number.isMultiple(of: $0) }
  }
}

enum NumberTexts {
  /// The numbers within bounds, from zero up and, without their sign, below zero. A text with more
  /// digits behind the point than a double can tell apart at the bounds is left out, since a checker
  /// might round it over a bound.
  static func languages(
    _ bounds: NumberBounds, _ budget: inout Budget
  ) throws(Refusal) -> (above: DFA?, below: DFA?) {
    let limits = [bounds.low, bounds.high].compactMap { $0?.value }
    let mostWhole = limits.map(\.whole.count).max() ?? 0
    let mostFraction = max(limits.map(\.fraction.count).max() ?? 0, 15 - mostWhole)
    var numeral = try DFA(
      bounds.isWhole || mostFraction <= 0
        ? integer : .sequence([integer, .optional(fraction(most: mostFraction))]),
      &budget)
    for multiple in bounds.multiples {
      numeral = try numeral.intersection(multiples(multiple, &budget), &budget)
    }
    var above: DFA? = numeral
    var below: DFA? = try numeral.intersection(try DFA(atLeast(.zero, true), &budget), &budget)
    if let high = bounds.high {
      if high.value.isNegative || high.isExclusive && high.value.isZero {
        above = nil
      } else {
        above = try above?.intersection(try DFA(atMost(high.value, high.isExclusive), &budget), &budget)
      }
      if high.value.isNegative {
        below = try below?.intersection(
          try DFA(atLeast(high.value.magnitude, high.isExclusive), &budget), &budget)
      }
    }
    if let low = bounds.low {
      if low.value.isNegative {
        below = try below?.intersection(
          try DFA(atMost(low.value.magnitude, low.isExclusive), &budget), &budget)
      } else {
        below = nil
        above = try above?.intersection(try DFA(atLeast(low.value, low.isExclusive), &budget), &budget)
      }
    }
    return (above, below)
  }

  // MARK: Numerals without a sign

  private static func digit(_ low: UInt8, _ high: UInt8) -> Pattern {
    low <= high ? .set(ScalarSet([UInt32(low) + 0x30...UInt32(high) + 0x30])) : .alternatives([])
  }

  private static let anyDigit = digit(0, 9)
  private static let digits = Pattern.repeated(anyDigit, least: 0, most: nil)
  static let integer = Pattern.alternatives([.text("0"), .sequence([digit(1, 9), digits])])
  private static let anyFraction = Pattern.optional(
    .sequence([.text("."), .repeated(anyDigit, least: 1, most: nil)]))

  private static func fraction(most: Int) -> Pattern {
    .sequence([.text("."), .repeated(anyDigit, least: 1, most: most)])
  }

  private static func spelled(_ digits: some Sequence<UInt8>) -> Pattern {
    .sequence(digits.map { digit($0, $0) })
  }

  /// Canonical numerals that are at least a number that is not negative.
  private static func atLeast(_ bound: Decimal, _ isExclusive: Bool) -> Pattern {
    let whole = bound.whole.isEmpty ? [0] : bound.whole
    var branches: [Pattern] = [
      .sequence([digit(1, 9), .repeated(anyDigit, least: whole.count, most: nil), anyFraction])
    ]
    for (index, own) in whole.enumerated() {
      branches.append(
        .sequence([
          spelled(whole[..<index]), digit(own + 1, 9),
          .repeated(anyDigit, least: whole.count - index - 1, most: whole.count - index - 1), anyFraction,
        ]))
    }
    let above = Pattern.sequence([digits, digit(1, 9), digits])
    if bound.fraction.isEmpty {
      branches.append(
        .sequence([spelled(whole), isExclusive ? .sequence([.text("."), above]) : anyFraction]))
    } else {
      let start = Pattern.sequence([spelled(whole), .text(".")])
      for (index, own) in bound.fraction.enumerated() {
        branches.append(.sequence([start, spelled(bound.fraction[..<index]), digit(own + 1, 9), digits]))
      }
      branches.append(.sequence([start, spelled(bound.fraction), isExclusive ? above : digits]))
    }
    return .alternatives(branches)
  }

  /// Canonical numerals that are at most a number that is not negative.
  private static func atMost(_ bound: Decimal, _ isExclusive: Bool) -> Pattern {
    let whole = bound.whole.isEmpty ? [0] : bound.whole
    var branches: [Pattern] = []
    if whole.count > 1 {
      branches.append(
        .sequence([
          .alternatives([
            .text("0"), .sequence([digit(1, 9), .repeated(anyDigit, least: 0, most: whole.count - 2)]),
          ]),
          anyFraction,
        ]))
    }
    for (index, own) in whole.enumerated() where own > 0 {
      branches.append(
        .sequence([
          spelled(whole[..<index]), digit(index == 0 && whole.count > 1 ? 1 : 0, own - 1),
          .repeated(anyDigit, least: whole.count - index - 1, most: whole.count - index - 1), anyFraction,
        ]))
    }
    let zeros = Pattern.repeated(.text("0"), least: 0, most: nil)
    if bound.fraction.isEmpty {
      if !isExclusive {
        branches.append(.sequence([spelled(whole), .optional(.sequence([.text("."), .text("0"), zeros]))]))
      }
    } else {
      branches.append(spelled(whole))
      let start = Pattern.sequence([spelled(whole), .text(".")])
      for (index, own) in bound.fraction.enumerated() {
        if own > 0 {
          branches.append(.sequence([start, spelled(bound.fraction[..<index]), digit(0, own - 1), digits]))
        }
        if index > 0 { branches.append(.sequence([start, spelled(bound.fraction[..<index])])) }
      }
      if !isExclusive { branches.append(.sequence([start, spelled(bound.fraction), zeros])) }
    }
    return .alternatives(branches)
  }

  /// Numerals of the multiples, with at most as many digits behind the point as the divisor has.
  private static func multiples(_ multiple: Multiple, _ budget: inout Budget) throws(Refusal) -> DFA {
    var dfa = DFA()
    let (value, scale) = (multiple.value, multiple.scale)
    try budget.state((scale + 2) * value)
    // State `places * value + rest` is after that many digits behind the point; those past the last
    // place are right behind the point.
    for places in 0...scale {
      var power = 1
      for _ in places..<scale { power = power * 10 % value }
      for rest in 0..<value { dfa.addState(accepts: rest * power % value == 0) }
    }
    for _ in 0..<value { dfa.addState(accepts: false) }
    for places in 0...(scale + 1) {
      for rest in 0..<value {
        let state = Int32(places * value + rest)
        if places == 0, scale > 0 {
          dfa.addEdge(state, 0x2E, 0x2E, Int32((scale + 1) * value + rest))
        }
        guard places == 0 || places < scale || places > scale && scale > 0 else { continue }
        let next = places == 0 ? 0 : places > scale ? 1 : places + 1
        for digit in 0..<10 {
          let target = next * value + (rest * 10 + digit) % value
          dfa.addEdge(state, UInt32(0x30 + digit), UInt32(0x30 + digit), Int32(target))
        }
      }
    }
    return dfa
  }
}
