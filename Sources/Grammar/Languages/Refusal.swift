// Refusal.swift: why a grammar is refused before any token, and how much work it may cost to find
// out. Start at GrammarError, which is what callers see.

/// Why a schema, a grammar, an expression or a list of choices is refused, and where.
package struct GrammarError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A place in the text that a client sent.
  package enum Place: Sendable, Equatable {
    /// A JSON pointer (RFC 6901) into the schema. Empty for the whole schema.
    case pointer(String)
    /// Both from 1. Columns count Unicode scalars.
    case position(line: Int, column: Int)
    /// The number of a choice, from 1.
    case choice(Int)
    case whole
  }

  package let place: Place
  /// What was found and what is wanted, without the place.
  package let message: String
  /// The name of the schema that it is about, where there are several.
  package var of: String?

  package var description: String {
    switch place {
    case .pointer(""): "\(message), at the schema's root"
    case .pointer(let pointer): "\(message), at \(pointer)"
    case .position(let line, let column): "\(message), at line \(line), column \(column)"
    case .choice(let number): "\(message), in choice \(number)"
    case .whole: message
    }
  }
}

/// A refusal by a part that does not know the place: whoever calls it adds that.
struct Refusal: Error, Equatable {
  let message: String

  func at(_ place: GrammarError.Place) -> GrammarError { GrammarError(place: place, message: message) }
}

/// What one compilation may cost. Steps are counted, not timed, so that every machine refuses the
/// same texts.
struct Budget {
  /// Edges looked at and states made. A step takes about 10 ns.
  private var steps: Int
  /// States of all automata that are alive together. A state takes about 100 bytes.
  private var states: Int

  static let whole = Budget(steps: 4_000_000, states: 200_000)

  mutating func step(_ count: Int = 1) throws(Refusal) {
    steps -= count
    guard steps >= 0 else { throw Refusal(message: "it takes too many steps to compile") }
  }

  mutating func state(_ count: Int = 1) throws(Refusal) {
    states -= count
    guard states >= 0 else { throw Refusal(message: "it needs too many states") }
    try step(count)
  }
}
