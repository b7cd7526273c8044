// LocalMasks.swift: which tokens a place in a rule allows, whoever called the rule. What a token does
// within a rule does not depend on the stack; where it ends the rule inside of a token, the rest of
// the token is looked up at the place of return. So that few walks over the vocabulary serve a whole
// text, and all texts of a grammar. Start at LocalMasks.mask.

/// What one place in a rule allows from some nodes of the vocabulary's tree.
struct LocalMask: Sendable {
  /// Tokens that stay within the rule, or end exactly with it.
  enum Tokens: Sendable {
    case few([Int32])
    case many(TokenMask)
  }

  var tokens: Tokens
  /// The set of nodes, by its number, whose bytes may end the rule; 0 for none.
  var ends: Int

  func add(to mask: inout TokenMask) {
    switch tokens {
    case .few(let ids): for id in ids { mask.insert(Int(id)) }
    case .many(let tokens): mask.formUnion(tokens)
    }
  }
}

/// The masks of one grammar over one vocabulary, made on demand and kept within a bound of memory.
/// What was kept only changes the time that an answer takes.
struct LocalMasks {
  /// A place in a rule, as far as tokens of the vocabulary can tell it from others, and the nodes
  /// that they start at.
  private struct Key: Hashable {
    var state: UInt32
    /// Counted parts that the rule needs yet, and may still have.
    var needed: UInt32
    var left: UInt32
    var nodes: Int
  }

  private let automaton: Automaton
  private let trie: TokenTrie
  private var walker: Walker
  private var masks: [Key: LocalMask] = [:]
  /// Sets of nodes by number. Number 0 is the empty set, 1 the root alone.
  private var sets: [[Int32]] = [[], [0]]
  private var setNumbers: [[Int32]: Int] = [[]: 0, [0]: 1]
  private var keptBytes = 0
  private let mostBytes: Int

  static let rootNodes = 1

  init(_ automaton: Automaton, _ trie: TokenTrie, mostBytes: Int) {
    self.automaton = automaton
    self.trie = trie
    self.mostBytes = mostBytes
    walker = Walker(automaton)
  }

  /// What `add` does, from what is kept alone: false where something would have to be walked.
  func known(_ items: [Item], _ stacks: Stacks, into mask: inout TokenMask) -> Bool {
    var waiting = items.map { (item: $0, nodes: Self.rootNodes) }
    var seen: Set<[Int]> = []
    while let (item, nodes) = waiting.popLast() {
      let found = [Int(item.state), Int(item.count), Int(item.frame), nodes]
      guard seen.insert(found).inserted else { continue }
      guard let local = masks[key(of: item, nodes)] else { return false }
      local.add(to: &mask)
      guard local.ends != 0, item.frame != Stacks.bottom else { continue }
      for place in stacks.returns(of: item.frame) { waiting.append((place, local.ends)) }
    }
    return true
  }

  /// Adds the tokens that `items` allow, over `stacks`.
  /// - isWanted: asked now and then
  /// - Returns: false if it was given up
  mutating func add(
    _ items: [Item], _ stacks: Stacks, to mask: inout TokenMask, isWanted: () -> Bool
  ) -> Bool {
    // A flush in between would change the numbers of sets.
    if keptBytes > mostBytes { flush() }
    var waiting = items.map { (item: $0, nodes: Self.rootNodes) }
    var seen: Set<[Int]> = []
    while let (item, nodes) = waiting.popLast() {
      let found = [Int(item.state), Int(item.count), Int(item.frame), nodes]
      guard seen.insert(found).inserted else { continue }
      guard let local = self.mask(item, nodes: nodes, isWanted) else { return false }
      local.add(to: &mask)
      guard local.ends != 0, item.frame != Stacks.bottom else { continue }
      for place in stacks.returns(of: item.frame) { waiting.append((place, local.ends)) }
    }
    return true
  }

  private func key(of item: Item, _ nodes: Int) -> Key {
    let rule = automaton.rules[Int(automaton.states[Int(item.state)].rule)]
    // No token begins more parts than it has bytes.
    let enough = UInt32(trie.longest + 1)
    return Key(
      state: item.state, needed: min(rule.least > item.count ? rule.least - item.count : 0, enough),
      left: min(rule.most - item.count, enough), nodes: nodes)
  }

  private mutating func mask(_ item: Item, nodes: Int, _ isWanted: () -> Bool) -> LocalMask? {
    let key = key(of: item, nodes)
    if let known = masks[key] { return known }
    guard
      let (tokens, ends) = walker.walk(item.state, item.count, from: sets[nodes], trie, isWanted: isWanted)
    else { return nil }
    let made: LocalMask
    let number = number(of: ends)
    if tokens.count * 32 < trie.vocabularySize {
      made = LocalMask(tokens: .few(tokens), ends: number)
      keptBytes += tokens.count * 4 + 128
    } else {
      var mask = TokenMask(size: trie.vocabularySize)
      for id in tokens { mask.insert(Int(id)) }
      made = LocalMask(tokens: .many(mask), ends: number)
      keptBytes += trie.vocabularySize / 8 + 128
    }
    masks[key] = made
    return made
  }

  private mutating func number(of nodes: [Int32]) -> Int {
    if let known = setNumbers[nodes] { return known }
    sets.append(nodes)
    setNumbers[nodes] = sets.count - 1
    keptBytes += nodes.count * 8 + 128
    return sets.count - 1
  }

  private mutating func flush() {
    self = LocalMasks(automaton, trie, mostBytes: mostBytes)
  }
}

/// Walks over the vocabulary's tree within one rule. It keeps the transitions that it has taken as a
/// table, so that a walk mostly looks up.
private struct Walker {
  private struct Place {
    /// With their closure.
    var items: [Item]
    /// Whether the rule may end here.
    var mayEnd: Bool
  }

  private let automaton: Automaton
  private var stacks = Stacks()
  private var places: [Place] = []
  private var numbers: [[Item]: Int32] = [:]
  /// For each place the next one by byte.
  private var table: [Int32] = []

  private static let dead: Int32 = -1
  private static let unknown: Int32 = -2
  /// Each takes 1 KiB of table.
  private static let mostPlaces = 4_096
  private static let stepsBetweenQuestions = 256

  init(_ automaton: Automaton) { self.automaton = automaton }

  /// The tokens below `nodes` that a rule allows from a state, and the nodes that may end the rule.
  /// Nil if it was given up.
  mutating func walk(
    _ state: UInt32, _ count: UInt32, from nodes: [Int32], _ trie: TokenTrie, isWanted: () -> Bool
  ) -> (tokens: [Int32], ends: [Int32])? {
    var tokens: [Int32] = []
    var ends: [Int32] = []
    // By depth, the place that the bytes lead to.
    var path: [Int32] = Array(repeating: Self.dead, count: trie.longest + 1)
    let start = [Item(state: state, count: count, frame: Stacks.bottom)]
    if places.count > Self.mostPlaces || stacks.count > 16 * Self.mostPlaces { clear() }
    var steps = 0
    for node in nodes {
      let depth = Int(trie.depths[Int(node)])
      path[depth] = number(of: start)
      if places[Int(path[depth])].mayEnd { ends.append(node) }
      var next = Int(node) + 1
      let end = Int(trie.ends[Int(node)])
      while next < end {
        steps += 1
        if steps % Self.stepsBetweenQuestions == 0, !isWanted() { return nil }
        let level = Int(trie.depths[next])
        let place = step(&path, depth..<level, trie.bytes[next])
        path[level] = place
        if place == Self.dead {
          next = Int(trie.ends[next])
          continue
        }
        for index in trie.firstToken[next]..<trie.firstToken[next + 1] {
          tokens.append(trie.tokens[Int(index)])
        }
        if places[Int(place)].mayEnd { ends.append(Int32(next)) }
        next += 1
      }
    }
    // A node may be below another one.
    if zip(ends, ends.dropFirst()).contains(where: { $0 >= $1 }) { ends = Array(Set(ends)).sorted() }
    return (tokens, ends)
  }

  /// The place after a byte from the last place of a path.
  private mutating func step(_ path: inout [Int32], _ levels: Range<Int>, _ byte: UInt8) -> Int32 {
    let from = path[levels.upperBound - 1]
    let known = table[Int(from) << 8 + Int(byte)]
    if known != Self.unknown { return known }
    let items = automaton.step(places[Int(from)].items, byte)
    guard !items.isEmpty else {
      table[Int(from) << 8 + Int(byte)] = Self.dead
      return Self.dead
    }
    if places.count > Self.mostPlaces { forget(allBut: &path, levels) }
    let place = number(of: items)
    table[Int(path[levels.upperBound - 1]) << 8 + Int(byte)] = place
    return place
  }

  private mutating func number(of items: [Item]) -> Int32 {
    if let known = numbers[items] { return known }
    let closure = automaton.closure(items, &stacks)
    places.append(Place(items: closure.items, mayEnd: closure.isComplete))
    table.append(contentsOf: repeatElement(Self.unknown, count: 256))
    let number = Int32(places.count - 1)
    numbers[items] = number
    return number
  }

  private mutating func clear() { self = Walker(automaton) }

  /// Starts the table again with the places of a path.
  private mutating func forget(allBut path: inout [Int32], _ levels: Range<Int>) {
    let kept = levels.map { places[Int(path[$0])] }
    // The stacks stay as they are: the kept items name their frames.
    places = []
    numbers = [:]
    table = []
    for (level, place) in zip(levels, kept) {
      places.append(place)
      table.append(contentsOf: repeatElement(Self.unknown, count: 256))
      path[level] = Int32(places.count - 1)
    }
  }
}
