// Pattern.swift: regular expressions over Unicode scalars as trees. Notations/ExpressionReader.swift
// makes them of text, Schemas/NumberTexts.swift of bounds. Start at Pattern.

/// A regular expression.
indirect enum Pattern: Sendable {
  case empty
  case set(ScalarSet)
  case sequence([Pattern])
  case alternatives([Pattern])
  case repeated(Pattern, least: Int, most: Int?)
  /// Only before the first scalar of the text.
  case start
  /// Only after the last.
  case end

  static func text(_ text: String) -> Pattern {
    .sequence(text.unicodeScalars.map { .set(ScalarSet($0)) })
  }

  static func optional(_ pattern: Pattern) -> Pattern { .repeated(pattern, least: 0, most: 1) }

  /// Adds this to an automaton from a state; returns the state after it.
  func build(
    _ nfa: inout NFA, from state: Int32, _ budget: inout Budget
  ) throws(Refusal) -> Int32 {
    switch self {
    case .empty: return state
    case .set(let set):
      let next = try nfa.newState(&budget)
      for range in set.ranges { nfa.addEdge(state, range.lowerBound, range.upperBound, next) }
      return next
    case .sequence(let parts):
      var last = state
      for part in parts { last = try part.build(&nfa, from: last, &budget) }
      return last
    case .alternatives(let branches):
      let end = try nfa.newState(&budget)
      for branch in branches {
        let first = try nfa.newState(&budget)
        nfa.addEmpty(state, first)
        nfa.addEmpty(try branch.build(&nfa, from: first, &budget), end)
      }
      return end
    case .repeated(let body, let least, let most):
      var last = state
      for _ in 0..<least {
        try budget.step()
        last = try body.build(&nfa, from: last, &budget)
      }
      let end = try nfa.newState(&budget)
      if let most {
        for _ in least..<max(most, least) {
          nfa.addEmpty(last, end)
          // A state of its own keeps the loops of a body away from the way around it.
          let first = try nfa.newState(&budget)
          nfa.addEmpty(last, first)
          last = try body.build(&nfa, from: first, &budget)
        }
        nfa.addEmpty(last, end)
      } else {
        let loop = try nfa.newState(&budget)
        nfa.addEmpty(last, loop)
        nfa.addEmpty(try body.build(&nfa, from: loop, &budget), loop)
        nfa.addEmpty(loop, end)
      }
      return end
    case .start:
      let next = try nfa.newState(&budget)
      nfa.addAtStart(state, next)
      return next
    case .end:
      let next = try nfa.newState(&budget)
      nfa.addAtEnd(state, next)
      return next
    }
  }
}
