// RuleCompiler.swift: compiles the rules of a grammar into an Automaton: which rules have a text at
// all, an automaton for each that the root reaches, which match the empty text, and in which order
// they call each other before any byte. Start at RuleCompiler.compile.

struct RuleCompiler {
  private let rules: Rules
  private let isProductive: [Bool]
  private var budget: Budget

  /// Symbols of rules: bytes, bytes that count, and calls: twice the rule, odd if the call counts.
  private enum Symbol {
    static let counted: UInt32 = 256
    static let calls: UInt32 = 512
  }

  /// The automaton of `root`. Throws if a rule calls itself before any byte, or for the budget.
  /// `root` must be productive.
  static func compile(
    _ rules: Rules, root: Int, productive: [Bool], _ budget: Budget
  ) throws(Refusal) -> Automaton {
    var compiler = RuleCompiler(rules: rules, isProductive: productive, budget: budget)
    return try compiler.compile(root)
  }

  private init(rules: Rules, isProductive: [Bool], budget: Budget) {
    self.rules = rules
    self.isProductive = isProductive
    self.budget = budget
  }

  private mutating func compile(_ root: Int) throws(Refusal) -> Automaton {
    var automaton = Automaton()
    var order = [root]
    var place = [root: UInt32(0)]
    var next = 0
    while next < order.count {
      let rule = rules[order[next]]
      let dfa = try dfa(of: rule.body)
      let first = UInt32(automaton.states.count)
      for (state, edges) in dfa.edges.enumerated() {
        let firstByte = Int32(automaton.byteEdges.count)
        let firstCall = Int32(automaton.calls.count)
        for edge in edges {
          let target = first + UInt32(edge.target)
          for (base, isCounted) in [(UInt32(0), false), (Symbol.counted, true)] {
            let low = max(edge.low, base)
            let high = min(edge.high, base + 255)
            guard low <= high else { continue }
            automaton.byteEdges.append(
              Automaton.ByteEdge(
                low: UInt8(low - base), high: UInt8(high - base), isCounted: isCounted, target: target))
          }
          guard edge.high >= Symbol.calls else { continue }
          for symbol in max(edge.low, Symbol.calls)...edge.high {
            let called = Int(symbol - Symbol.calls) / 2
            if place[called] == nil {
              place[called] = UInt32(order.count)
              order.append(called)
            }
            automaton.calls.append(
              Automaton.Call(rule: place[called] ?? 0, isCounted: symbol % 2 == 1, target: target))
          }
        }
        automaton.states.append(
          Automaton.State(
            bytes: firstByte..<Int32(automaton.byteEdges.count),
            calls: firstCall..<Int32(automaton.calls.count),
            rule: UInt32(next), isAccepting: dfa.accepting[state]))
      }
      automaton.rules.append(
        Automaton.Rule(start: first, least: rule.least, most: rule.most, isNullable: false, rank: 0))
      next += 1
    }
    findNullable(&automaton)
    try rank(&automaton, names: order)
    return automaton
  }

  // MARK: One rule

  private mutating func dfa(of body: Expression) throws(Refusal) -> DFA {
    var nfa = NFA()
    nfa.final = try add(body, to: &nfa, from: 0)
    return try nfa.determinized(&budget)
  }

  /// Adds an expression behind a state; returns the state after it.
  private mutating func add(
    _ expression: Expression, to nfa: inout NFA, from state: Int32
  ) throws(Refusal) -> Int32 {
    switch expression {
    case .empty: return state
    case .bytes(let bytes):
      var last = state
      for byte in bytes {
        let next = try nfa.newState(&budget)
        nfa.addEdge(last, UInt32(byte), UInt32(byte), next)
        last = next
      }
      return last
    case .scalars(let set):
      let end = try nfa.newState(&budget)
      var shared: [Suffix: Int32] = [:]
      for range in set.ranges {
        for sequence in UTF8Ranges.sequences(range.lowerBound, range.upperBound) {
          try add(sequence[...], to: &nfa, from: state, end: end, &shared)
        }
      }
      return end
    case .language(let language, let spelling):
      return try add(language, spelling, to: &nfa, from: state)
    case .call(let rule):
      let end = try nfa.newState(&budget)
      if isProductive[rule] {
        let symbol = Symbol.calls + 2 * UInt32(rule)
        nfa.addEdge(state, symbol, symbol, end)
      }
      return end
    case .sequence(let parts):
      var last = state
      for part in parts { last = try add(part, to: &nfa, from: last) }
      return last
    case .alternatives(let branches):
      let end = try nfa.newState(&budget)
      for branch in branches {
        let first = try nfa.newState(&budget)
        nfa.addEmpty(state, first)
        nfa.addEmpty(try add(branch, to: &nfa, from: first), end)
      }
      return end
    case .repeated(let body, let least, let most):
      return try addRepeated(body, least, most, to: &nfa, from: state)
    case .counted(let body):
      let first = try nfa.newState(&budget)
      nfa.addEmpty(state, first)
      let end = try add(body, to: &nfa, from: first)
      nfa.changeFirstEdges(of: first, from: first) { edge in
        let distance = edge.low < Symbol.calls ? Symbol.counted : 1
        edge.low += distance
        edge.high += distance
      }
      return end
    case .members(let members): return try add(members, to: &nfa, from: state)
    }
  }

  private mutating func addRepeated(
    _ body: Expression, _ least: Int, _ most: Int?, to nfa: inout NFA, from state: Int32
  ) throws(Refusal) -> Int32 {
    var last = state
    for _ in 0..<least {
      try budget.step()
      last = try add(body, to: &nfa, from: last)
    }
    let end = try nfa.newState(&budget)
    guard let most else {
      let loop = try nfa.newState(&budget)
      nfa.addEmpty(last, loop)
      nfa.addEmpty(try add(body, to: &nfa, from: loop), loop)
      nfa.addEmpty(loop, end)
      return end
    }
    for _ in least..<max(most, least) {
      nfa.addEmpty(last, end)
      // A state of its own keeps the loops of a body away from the way around it.
      let first = try nfa.newState(&budget)
      nfa.addEmpty(last, first)
      last = try add(body, to: &nfa, from: first)
    }
    nfa.addEmpty(last, end)
    return end
  }

  // MARK: Languages of characters

  /// What is left of a character's bytes before a state: equal rests share their states.
  private struct Suffix: Hashable {
    var bytes: ArraySlice<ClosedRange<UInt8>>
    var end: Int32
  }

  private mutating func add(
    _ bytes: ArraySlice<ClosedRange<UInt8>>, to nfa: inout NFA, from state: Int32, end: Int32,
    _ shared: inout [Suffix: Int32]
  ) throws(Refusal) {
    var state = state
    var rest = bytes
    while let range = rest.popFirst() {
      if rest.isEmpty {
        nfa.addEdge(state, UInt32(range.lowerBound), UInt32(range.upperBound), end)
        return
      }
      let suffix = Suffix(bytes: rest, end: end)
      if let known = shared[suffix] {
        nfa.addEdge(state, UInt32(range.lowerBound), UInt32(range.upperBound), known)
        return
      }
      let next = try nfa.newState(&budget)
      shared[suffix] = next
      nfa.addEdge(state, UInt32(range.lowerBound), UInt32(range.upperBound), next)
      state = next
    }
  }

  private mutating func add(
    _ language: DFA, _ spelling: Expression.Spelling, to nfa: inout NFA, from state: Int32
  ) throws(Refusal) -> Int32 {
    let end = try nfa.newState(&budget)
    var shared: [Suffix: Int32] = [:]
    var states: [Int32] = []
    for isAccepting in language.accepting {
      let own = try nfa.newState(&budget)
      states.append(own)
      if isAccepting { nfa.addEmpty(own, end) }
    }
    nfa.addEmpty(state, states[0])
    for (index, edges) in language.edges.enumerated() {
      for edge in edges {
        let target = states[Int(edge.target)]
        for range in ScalarSet([edge.low...edge.high]).ranges {
          let sequences =
            spelling == .json
            ? JSONSpelling.sequences(range)
            : UTF8Ranges.sequences(range.lowerBound, range.upperBound)
          for sequence in sequences {
            try budget.step()
            try add(sequence[...], to: &nfa, from: states[index], end: target, &shared)
          }
        }
      }
    }
    return end
  }

  // MARK: Members of an object

  private mutating func add(
    _ object: Expression.Members, to nfa: inout NFA, from state: Int32
  ) throws(Refusal) -> Int32 {
    // How many members there were matters up to this number: none or some, or the bounds.
    let last = max(1, object.least, object.most ?? 0)
    let isCounted = object.most != nil || object.least > 1
    var here: [Int32?] = Array(repeating: nil, count: last + 1)
    here[0] = state
    for member in object.members {
      var after: [Int32?] = Array(repeating: nil, count: last + 1)
      for (count, state) in here.enumerated() {
        guard let state else { continue }
        try budget.step()
        if !member.isRequired { try join(state, to: count, of: &after, &nfa) }
        guard count < object.most ?? .max else { continue }
        let first = try nfa.newState(&budget)
        nfa.addEmpty(count == 0 ? state : try add(object.comma, to: &nfa, from: state), first)
        // Without counts a member has one copy, which both ways in share.
        let isShared = !isCounted && count == 0
        if isShared, let other = here[1] {
          nfa.addEmpty(try add(object.comma, to: &nfa, from: other), first)
          if !member.isRequired { try join(other, to: 1, of: &after, &nfa) }
        }
        try join(try add(member.text, to: &nfa, from: first), to: min(count + 1, last), of: &after, &nfa)
        if isShared { break }
      }
      here = after
    }
    let end = try nfa.newState(&budget)
    for count in 0...last {
      guard var state = here[count] else { continue }
      if let free = object.free, count < object.most ?? .max {
        // The free members begin at a state of their own, since some of them return to it.
        let first = try nfa.newState(&budget)
        nfa.addEmpty(state, first)
        state = first
        let begun = count == 0 ? first : try add(object.comma, to: &nfa, from: first)
        let ended = try add(free, to: &nfa, from: begun)
        if count == last {
          nfa.addEmpty(ended, first)
        } else {
          try join(ended, to: count + 1, of: &here, &nfa)
        }
      }
      if count >= object.least { nfa.addEmpty(state, end) }
    }
    return end
  }

  /// Joins a state to the one that stands for a count, which is made on first use.
  private mutating func join(
    _ state: Int32, to count: Int, of states: inout [Int32?], _ nfa: inout NFA
  ) throws(Refusal) {
    if let known = states[count] {
      nfa.addEmpty(state, known)
    } else {
      let new = try nfa.newState(&budget)
      states[count] = new
      nfa.addEmpty(state, new)
    }
  }

  // MARK: The whole grammar

  /// Which rules have a text at all.
  static func productive(_ rules: Rules, _ budget: inout Budget) throws(Refusal) -> [Bool] {
    var known = Array(repeating: false, count: rules.count)
    var changes = true
    while changes {
      changes = false
      // A rule mostly calls later ones.
      for rule in (0..<rules.count).reversed() where !known[rule] {
        if try isProductive(rules[rule].body, known, &budget) {
          known[rule] = true
          changes = true
        }
      }
    }
    return known
  }

  private static func isProductive(
    _ expression: Expression, _ known: [Bool], _ budget: inout Budget
  ) throws(Refusal) -> Bool {
    try budget.step()
    switch expression {
    case .empty, .bytes: return true
    case .scalars(let set): return !set.ranges.isEmpty
    case .language(let language, _): return !language.isEmpty
    case .call(let rule): return known[rule]
    case .counted(let body): return try isProductive(body, known, &budget)
    case .repeated(let body, let least, _): return least == 0 ? true : try isProductive(body, known, &budget)
    case .sequence(let parts):
      for part in parts where try !isProductive(part, known, &budget) { return false }
      return true
    case .alternatives(let branches):
      for branch in branches where try isProductive(branch, known, &budget) { return true }
      return false
    case .members(let object):
      var possible = 0
      for member in object.members {
        if try isProductive(member.text, known, &budget) {
          possible += 1
        } else if member.isRequired {
          return false
        }
      }
      if let free = object.free, try isProductive(free, known, &budget) { possible = .max }
      return object.least <= possible && object.members.count { $0.isRequired } <= object.most ?? .max
    }
  }

  private func findNullable(_ automaton: inout Automaton) {
    var changes = true
    while changes {
      changes = false
      for rule in automaton.rules.indices.reversed() where !automaton.rules[rule].isNullable {
        if automaton.rules[rule].least == 0,
          firstStates(of: rule, automaton).contains(where: { automaton.states[$0].isAccepting })
        {
          automaton.rules[rule].isNullable = true
          changes = true
        }
      }
    }
  }

  /// The states of a rule that calls of empty texts lead to from its start.
  private func firstStates(of rule: Int, _ automaton: Automaton) -> [Int] {
    var reached = [Int(automaton.rules[rule].start)]
    var next = 0
    while next < reached.count {
      for index in automaton.states[reached[next]].calls {
        let call = automaton.calls[Int(index)]
        if automaton.rules[Int(call.rule)].isNullable, !reached.contains(Int(call.target)) {
          reached.append(Int(call.target))
        }
      }
      next += 1
    }
    return reached
  }

  /// Orders the rules so that whoever calls another one before any byte comes first.
  private func rank(_ automaton: inout Automaton, names: [Int]) throws(Refusal) {
    let callees = automaton.rules.indices.map { rule in
      Set(
        firstStates(of: rule, automaton).flatMap { state in
          automaton.states[state].calls.map { Int(automaton.calls[Int($0)].rule) }
        })
    }
    var callers = Array(repeating: 0, count: callees.count)
    for list in callees { for callee in list { callers[callee] += 1 } }
    var waiting = callers.indices.filter { callers[$0] == 0 }
    var rank: Int32 = 0
    while let rule = waiting.popLast() {
      automaton.rules[rule].rank = rank
      rank += 1
      callers[rule] = -1
      for callee in callees[rule] {
        callers[callee] -= 1
        if callers[callee] == 0 { waiting.append(callee) }
      }
    }
    if let rule = callers.indices.first(where: { callers[$0] > 0 }) {
      throw Refusal(
        message: "the rule '\(rules[names[rule]].name)' calls itself before any character (left recursion)")
    }
  }
}
