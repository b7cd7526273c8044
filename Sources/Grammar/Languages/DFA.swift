// DFA.swift: deterministic finite automata over ranges of symbols: what they accept, products and
// complements. Start at DFA.accepts(_:).

/// A deterministic automaton. State 0 is the start; a symbol without an edge is refused.
struct DFA: Sendable {
  /// Sorted by symbol, disjoint.
  private(set) var edges: [[SymbolEdge]] = []
  private(set) var accepting: [Bool] = []

  init() {}

  @discardableResult
  mutating func addState(accepts: Bool) -> Int32 {
    edges.append([])
    accepting.append(accepts)
    return Int32(edges.count - 1)
  }

  /// Edges of a state are added in the order of their symbols.
  mutating func addEdge(_ from: Int32, _ low: UInt32, _ high: UInt32, _ to: Int32) {
    if let last = edges[Int(from)].last, last.target == to, last.high + 1 == low {
      edges[Int(from)][edges[Int(from)].count - 1].high = high
    } else {
      edges[Int(from)].append(SymbolEdge(low: low, high: high, target: to))
    }
  }

  /// Whether no text is accepted, of a trimmed automaton.
  var isEmpty: Bool { edges[0].isEmpty && !accepting[0] }

  func accepts(_ symbols: some Sequence<UInt32>) -> Bool {
    var state = 0
    for symbol in symbols {
      guard let edge = edges[state].first(where: { $0.low <= symbol && symbol <= $0.high }) else {
        return false
      }
      state = Int(edge.target)
    }
    return accepting[state]
  }

  func accepts(_ text: String) -> Bool { accepts(text.unicodeScalars.lazy.map(\.value)) }

  /// Without the states that lead to no accepted text, and the ones that nothing leads to. The start
  /// stays.
  func trimmed() -> DFA {
    var before: [[Int32]] = Array(repeating: [], count: edges.count)
    for (state, list) in edges.enumerated() {
      for edge in list { before[Int(edge.target)].append(Int32(state)) }
    }
    var isAlive = accepting
    var waiting = accepting.indices.filter { accepting[$0] }
    while let state = waiting.popLast() {
      for earlier in before[state] where !isAlive[Int(earlier)] {
        isAlive[Int(earlier)] = true
        waiting.append(Int(earlier))
      }
    }
    return keeping { isAlive[$0] }
  }

  /// The part that the start reaches through states that are kept.
  private func keeping(_ isKept: (Int) -> Bool) -> DFA {
    var result = DFA()
    var index: [Int32] = Array(repeating: -1, count: edges.count)
    result.addState(accepts: accepting[0])
    index[0] = 0
    var order: [Int] = [0]
    var next = 0
    while next < order.count {
      let state = order[next]
      for edge in edges[state] where isKept(Int(edge.target)) {
        if index[Int(edge.target)] < 0 {
          index[Int(edge.target)] = result.addState(accepts: accepting[Int(edge.target)])
          order.append(Int(edge.target))
        }
        result.addEdge(Int32(next), edge.low, edge.high, index[Int(edge.target)])
      }
      next += 1
    }
    return result
  }

  /// What both accept.
  func intersection(_ other: DFA, _ budget: inout Budget) throws(Refusal) -> DFA {
    var result = DFA()
    var index: [[Int32]: Int32] = [[0, 0]: 0]
    var pairs: [(Int, Int)] = [(0, 0)]
    result.addState(accepts: accepting[0] && other.accepting[0])
    var next = 0
    while next < pairs.count {
      let (one, two) = pairs[next]
      var i = 0
      var j = 0
      let left = edges[one]
      let right = other.edges[two]
      try budget.step(left.count + right.count + 1)
      while i < left.count, j < right.count {
        let low = max(left[i].low, right[j].low)
        let high = min(left[i].high, right[j].high)
        if low <= high {
          let pair = [left[i].target, right[j].target]
          let target: Int32
          if let known = index[pair] {
            target = known
          } else {
            try budget.state()
            target = result.addState(
              accepts: accepting[Int(pair[0])] && other.accepting[Int(pair[1])])
            index[pair] = target
            pairs.append((Int(pair[0]), Int(pair[1])))
          }
          result.addEdge(Int32(next), low, high, target)
        }
        if left[i].high < right[j].high { i += 1 } else { j += 1 }
      }
      next += 1
    }
    return result.trimmed()
  }

  /// What this does not accept, of all texts of Unicode scalars.
  func complement(_ budget: inout Budget) throws(Refusal) -> DFA {
    var result = DFA()
    for state in edges.indices { result.addState(accepts: !accepting[state]) }
    let sink = result.addState(accepts: true)
    try budget.state(edges.count + 1)
    for (state, list) in edges.enumerated() {
      var next: UInt32 = 0
      for edge in list {
        if edge.low > next { result.addEdge(Int32(state), next, edge.low - 1, sink) }
        result.addEdge(Int32(state), edge.low, edge.high, edge.target)
        next = edge.high + 1
      }
      if next <= ScalarSet.lastScalar { result.addEdge(Int32(state), next, ScalarSet.lastScalar, sink) }
    }
    result.addEdge(sink, 0, ScalarSet.lastScalar, sink)
    return result.trimmed()
  }

  // MARK: Languages of texts

  /// The texts that a pattern matches, whole (`re.fullmatch`) or anywhere in them (`re.search`).
  init(_ pattern: Pattern, anywhere: Bool = false, _ budget: inout Budget) throws(Refusal) {
    var nfa = NFA()
    var first: Int32 = 0
    if anywhere {
      nfa.addEdge(0, 0, ScalarSet.lastScalar, 0)
      first = try nfa.newState(&budget)
      nfa.addEmpty(0, first)
    }
    nfa.final = try pattern.build(&nfa, from: first, &budget)
    if anywhere { nfa.addEdge(nfa.final, 0, ScalarSet.lastScalar, nfa.final) }
    self = try nfa.determinized(&budget)
  }

  /// Every text in which none of these stands.
  /// - start: what the text may not begin with either, after any white space
  init(without texts: [String], start: [String] = [], _ budget: inout Budget) throws(Refusal) {
    func any(_ texts: [String]) -> Pattern { .alternatives(texts.map { .text($0) }) }
    let every = ScalarSet.all
    self = try DFA(lengthFrom: 0, to: nil, &budget)
    if !texts.isEmpty {
      self = try DFA(any(texts), anywhere: true, &budget).complement(&budget)
    }
    guard !start.isEmpty else { return }
    let begun = Pattern.sequence([
      .repeated(.set(.spaces), least: 0, most: nil), any(start), .repeated(.set(every), least: 0, most: nil),
    ])
    self = try intersection(try DFA(begun, &budget).complement(&budget), &budget)
  }

  /// Exactly these texts.
  init(words: [String], _ budget: inout Budget) throws(Refusal) {
    var tree: [[UInt32: Int]] = [[:]]
    var ends: Set<Int> = []
    for word in words {
      var node = 0
      for scalar in word.unicodeScalars {
        try budget.step()
        if let next = tree[node][scalar.value] {
          node = next
        } else {
          try budget.state()
          tree.append([:])
          tree[node][scalar.value] = tree.count - 1
          node = tree.count - 1
        }
      }
      ends.insert(node)
    }
    for node in tree.indices { addState(accepts: ends.contains(node)) }
    for (node, children) in tree.enumerated() {
      for (value, child) in children.sorted(by: { $0.key < $1.key }) {
        addEdge(Int32(node), value, value, Int32(child))
      }
    }
  }

  /// Every text whose number of scalars is in the range.
  init(lengthFrom least: Int, to most: Int?, _ budget: inout Budget) throws(Refusal) {
    let last = most ?? least
    try budget.state(last + 1)
    for length in 0...last { addState(accepts: length >= least) }
    for length in 0..<last {
      addEdge(Int32(length), 0, ScalarSet.lastScalar, Int32(length + 1))
    }
    if most == nil { addEdge(Int32(last), 0, ScalarSet.lastScalar, Int32(last)) }
  }
}
