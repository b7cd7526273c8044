// Automaton.swift: a compiled grammar: one deterministic automaton over bytes for each rule, whose
// edges may also call a rule. With the stacks of Configurations.swift it recognises every
// context-free grammar without left recursion. RuleCompiler.swift makes it. Start at Automaton.

/// A compiled grammar. From each state some text leads to the end of its rule, so that whatever was
/// begun can be completed.
struct Automaton: Sendable {
  struct ByteEdge: Sendable {
    var low: UInt8
    var high: UInt8
    /// Whether this begins one more counted part.
    var isCounted: Bool
    var target: UInt32
  }

  struct Call: Sendable {
    var rule: UInt32
    var isCounted: Bool
    var target: UInt32
  }

  struct Rule: Sendable {
    var start: UInt32
    /// How many counted parts it must have at least before it may end, and may have at most.
    var least: UInt32
    var most: UInt32
    /// Whether it matches the empty text.
    var isNullable: Bool
    /// A rule that another one calls before any byte has a higher rank than that one.
    var rank: Int32
  }

  struct State: Sendable {
    var bytes: Range<Int32>
    var calls: Range<Int32>
    var rule: UInt32
    /// Whether its rule may end here.
    var isAccepting: Bool
  }

  var states: [State] = []
  var byteEdges: [ByteEdge] = []
  var calls: [Call] = []
  var rules: [Rule] = []

  /// The first rule is the whole text.
  static let root = 0
}
