// NFA.swift: nondeterministic finite automata over ranges of symbols, and their determinisation by
// subsets. Symbols are Unicode scalars in a Language, and bytes and calls in the rules of an
// Automaton. Start at NFA.determinized.

/// An edge on every symbol from `low` to `high`.
struct SymbolEdge: Hashable, Sendable {
  var low: UInt32
  var high: UInt32
  var target: Int32
}

/// A nondeterministic automaton while it is built. State 0 is the start.
struct NFA {
  private(set) var edges: [[SymbolEdge]] = []
  private var empty: [[Int32]] = []
  /// Empty edges that only hold before the first symbol (`^`), and after the last (`$`).
  private var atStart: [Int32: [Int32]] = [:]
  private var atEnd: [Int32: [Int32]] = [:]
  var final: Int32 = 0

  init() {
    edges.append([])
    empty.append([])
  }

  var count: Int { edges.count }

  mutating func newState(_ budget: inout Budget) throws(Refusal) -> Int32 {
    try budget.state()
    edges.append([])
    empty.append([])
    return Int32(edges.count - 1)
  }

  mutating func addEdge(_ from: Int32, _ low: UInt32, _ high: UInt32, _ to: Int32) {
    edges[Int(from)].append(SymbolEdge(low: low, high: high, target: to))
  }

  mutating func addEmpty(_ from: Int32, _ to: Int32) { empty[Int(from)].append(to) }
  mutating func addAtStart(_ from: Int32, _ to: Int32) { atStart[from, default: []].append(to) }
  mutating func addAtEnd(_ from: Int32, _ to: Int32) { atEnd[from, default: []].append(to) }

  /// Changes the edges on a first symbol from `state`, of states that are `first` or later.
  mutating func changeFirstEdges(
    of state: Int32, from first: Int32, _ change: (inout SymbolEdge) -> Void
  ) {
    var marks = Marks(count)
    for reached in closure([state], &marks, beforeFirst: true) where reached >= first {
      for index in edges[Int(reached)].indices { change(&edges[Int(reached)][index]) }
    }
  }

  /// Which states a search has reached; cleared by counting on.
  private struct Marks {
    private var marks: [UInt32]
    private var current: UInt32 = 0

    init(_ count: Int) { marks = Array(repeating: 0, count: count) }

    mutating func clear() { current += 1 }

    mutating func insert(_ state: Int32) -> Bool {
      if marks[Int(state)] == current { return false }
      marks[Int(state)] = current
      return true
    }
  }

  /// The states that empty edges join to `states`.
  private func closure(
    _ states: [Int32], _ marks: inout Marks, beforeFirst: Bool, afterLast: Bool = false
  ) -> [Int32] {
    marks.clear()
    var reached: [Int32] = []
    for state in states where marks.insert(state) { reached.append(state) }
    var next = 0
    while next < reached.count {
      let state = reached[next]
      next += 1
      for target in empty[Int(state)] where marks.insert(target) { reached.append(target) }
      if beforeFirst, let targets = atStart[state] {
        for target in targets where marks.insert(target) { reached.append(target) }
      }
      if afterLast, let targets = atEnd[state] {
        for target in targets where marks.insert(target) { reached.append(target) }
      }
    }
    return reached
  }

  /// The states of a set that tell it from others, in order: those with symbols, or on the way to the
  /// end.
  private func kernel(_ states: [Int32]) -> [Int32] {
    states.filter { !edges[Int($0)].isEmpty || $0 == final || atEnd[$0] != nil }.sorted()
  }

  /// A deterministic automaton with the same texts. A state that cannot lead to the end is left
  /// out.
  func determinized(_ budget: inout Budget) throws(Refusal) -> DFA {
    var result = DFA()
    var marks = Marks(count)
    var index: [[Int32]: Int32] = [:]
    var waiting: [(state: Int32, members: [Int32])] = []
    let start = closure([0], &marks, beforeFirst: true)
    try budget.state()
    try budget.step(start.count)
    result.addState(accepts: accepts(start, &marks, beforeFirst: true))
    waiting.append((0, kernel(start)))
    while let (state, members) = waiting.popLast() {
      let all = members.flatMap { edges[Int($0)] }
      try budget.step(members.count + all.count)
      for (low, high, targets) in try Self.partition(all, &budget) {
        let reached = closure(targets, &marks, beforeFirst: false)
        try budget.step(reached.count)
        let key = kernel(reached)
        let target: Int32
        if let known = index[key] {
          target = known
        } else {
          try budget.state()
          target = result.addState(accepts: accepts(key, &marks, beforeFirst: false))
          index[key] = target
          waiting.append((target, key))
        }
        result.addEdge(state, low, high, target)
      }
    }
    return result.trimmed()
  }

  private func accepts(_ states: [Int32], _ marks: inout Marks, beforeFirst: Bool) -> Bool {
    if states.contains(final) { return true }
    if atEnd.isEmpty { return false }
    return closure(states, &marks, beforeFirst: beforeFirst, afterLast: true).contains(final)
  }

  /// The ranges of symbols that lead to the same targets, in order.
  private static func partition(
    _ edges: [SymbolEdge], _ budget: inout Budget
  ) throws(Refusal) -> [(UInt32, UInt32, [Int32])] {
    if edges.count == 1 { return [(edges[0].low, edges[0].high, [edges[0].target])] }
    var cuts: [UInt32] = []
    for edge in edges {
      cuts.append(edge.low)
      cuts.append(edge.high + 1)
    }
    cuts = Array(Set(cuts)).sorted()
    let sorted = edges.sorted { $0.low < $1.low }
    var parts: [(UInt32, UInt32, [Int32])] = []
    var open: [SymbolEdge] = []
    var next = 0
    for (low, after) in zip(cuts, cuts.dropFirst()) {
      open.removeAll { $0.high < low }
      while next < sorted.count, sorted[next].low <= low {
        open.append(sorted[next])
        next += 1
      }
      try budget.step(open.count)
      if open.isEmpty { continue }
      let targets = open.count == 1 ? [open[0].target] : Array(Set(open.map(\.target))).sorted()
      if let last = parts.last, last.1 + 1 == low, last.2 == targets {
        parts[parts.count - 1].1 = after - 1
      } else {
        parts.append((low, after - 1, targets))
      }
    }
    return parts
  }
}
