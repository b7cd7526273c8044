// TokenConstraint.swift: what a sampler must know of a constraint on the text, such as a grammar:
// which tokens may come next. How that is found out is outside of this target.

/// A constraint on the tokens of one sequence. Called on the engine's threads, at any positions and
/// in any order; equal outputs must give equal sets on every machine.
public protocol TokenConstraint: Sendable {
  /// The ids that may follow an output: bit i of word w is the id 64 w + i. It covers the
  /// vocabulary. Nil if nothing may follow: the sequence then fails. After an output that breaks the
  /// constraint, which only a guess or an edited answer has, every id may follow: where it first
  /// breaks is what counts.
  func allowed(after output: ArraySlice<Int32>) -> [UInt64]?
}
