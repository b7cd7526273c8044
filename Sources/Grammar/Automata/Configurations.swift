// Configurations.swift: where a text may stand in a grammar: states with the stacks of rules that
// called them. Calls of one rule at one place of the text share one frame, as in Earley's parser
// (1970) and Tomita's graph of stacks (1985), so that an ambiguous grammar costs at most a power of
// the text's length. Start at Configurations.step.

/// A state, how many counted parts its rule has begun, and the frame that its rule was called in.
struct Item: Hashable, Comparable {
  var state: UInt32
  var count: UInt32
  var frame: Int32

  static func < (one: Item, other: Item) -> Bool {
    (one.state, one.count, one.frame) < (other.state, other.count, other.frame)
  }
}

/// Stacks that share what they have in common.
struct Stacks {
  private struct Frame: Hashable {
    var rule: UInt32
    /// Where the rule may return to. Sorted.
    var returns: [Item]
  }

  private var frames: [Frame] = []
  private var index: [Frame: Int32] = [:]

  /// The frame of the rule that nothing called.
  static let bottom: Int32 = -1

  var count: Int { frames.count }

  func returns(of frame: Int32) -> [Item] { frames[Int(frame)].returns }

  /// The frame for a rule and its places of return, made on first use.
  mutating func frame(_ rule: UInt32, returningTo returns: [Item]) -> Int32 {
    let frame = Frame(rule: rule, returns: returns)
    if let known = index[frame] { return known }
    frames.append(frame)
    let number = Int32(frames.count - 1)
    index[frame] = number
    return number
  }

  /// Only the frames that the items need, which are changed to their new numbers.
  mutating func compact(_ items: inout [Item]) {
    var isNeeded = Array(repeating: false, count: frames.count)
    for item in items where item.frame >= 0 { isNeeded[Int(item.frame)] = true }
    // A frame returns into older frames only.
    for frame in frames.indices.reversed() where isNeeded[frame] {
      for place in frames[frame].returns where place.frame >= 0 { isNeeded[Int(place.frame)] = true }
    }
    var number: [Int32] = Array(repeating: Self.bottom, count: frames.count)
    var kept = Stacks()
    for frame in frames.indices where isNeeded[frame] {
      let returns = frames[frame].returns.map { place in
        Item(
          state: place.state, count: place.count,
          frame: place.frame < 0 ? place.frame : number[Int(place.frame)])
      }
      number[frame] = kept.frame(frames[frame].rule, returningTo: returns.sorted())
    }
    for position in items.indices where items[position].frame >= 0 {
      items[position].frame = number[Int(items[position].frame)]
    }
    items.sort()
    self = kept
  }
}

extension Automaton {
  /// The items that a text starts with.
  var start: [Item] { [Item(state: rules[Self.root].start, count: 0, frame: Stacks.bottom)] }

  /// Whether the rule of an item may end there.
  private func mayEnd(_ item: Item) -> Bool {
    let state = states[Int(item.state)]
    return state.isAccepting && item.count >= rules[Int(state.rule)].least
  }

  /// The place after a call; nil if the call would be one too many.
  private func place(after call: Call, of item: Item) -> Item? {
    guard call.isCounted else { return Item(state: call.target, count: item.count, frame: item.frame) }
    guard item.count < rules[Int(states[Int(item.state)].rule)].most else { return nil }
    return Item(state: call.target, count: item.count + 1, frame: item.frame)
  }

  /// The items that are at the same place of the text as `items`: after rules that may end there, and
  /// in rules that begin there. `isComplete` is whether the bottommost rule may end.
  func closure(_ items: [Item], _ stacks: inout Stacks) -> (items: [Item], isComplete: Bool) {
    var reached = Reached()
    var isComplete = false
    for item in items { reached.insert(item) }
    // Ends of rules, and calls that match the empty text.
    var next = 0
    while next < reached.items.count {
      let item = reached.items[next]
      next += 1
      if mayEnd(item) {
        if item.frame == Stacks.bottom {
          isComplete = true
        } else {
          for place in stacks.returns(of: item.frame) { reached.insert(place) }
        }
      }
      skipEmptyCalls(item, &reached)
    }
    // Calls, of rules that call others here before those. A new frame's rule may not end here: where
    // it matches the empty text, its caller has skipped it.
    var waiting: [(rule: UInt32, places: [Item])] = []
    next = 0
    while true {
      while next < reached.items.count {
        let item = reached.items[next]
        next += 1
        skipEmptyCalls(item, &reached)
        for index in states[Int(item.state)].calls {
          let call = calls[Int(index)]
          guard let place = place(after: call, of: item) else { continue }
          if let known = waiting.firstIndex(where: { $0.rule == call.rule }) {
            if !waiting[known].places.contains(place) { waiting[known].places.append(place) }
          } else {
            waiting.append((call.rule, [place]))
          }
        }
      }
      let first = waiting.indices.min {
        rules[Int(waiting[$0].rule)].rank < rules[Int(waiting[$1].rule)].rank
      }
      guard let first else { break }
      let call = waiting.remove(at: first)
      let frame = stacks.frame(call.rule, returningTo: call.places.sorted())
      reached.insert(Item(state: rules[Int(call.rule)].start, count: 0, frame: frame))
    }
    return (reached.items.filter { !states[Int($0.state)].bytes.isEmpty }, isComplete)
  }

  private func skipEmptyCalls(_ item: Item, _ reached: inout Reached) {
    for index in states[Int(item.state)].calls {
      let call = calls[Int(index)]
      if rules[Int(call.rule)].isNullable, let place = place(after: call, of: item) {
        reached.insert(place)
      }
    }
  }

  /// The items after a byte, of items that `closure` made; sorted, without their closure. Empty if no
  /// text goes on so.
  func step(_ items: [Item], _ byte: UInt8) -> [Item] {
    var result: [Item] = []
    for item in items {
      let state = states[Int(item.state)]
      for index in state.bytes {
        let edge = byteEdges[Int(index)]
        guard edge.low <= byte, byte <= edge.high else { continue }
        if edge.isCounted {
          guard item.count < rules[Int(state.rule)].most else { continue }
          result.append(Item(state: edge.target, count: item.count + 1, frame: item.frame))
        } else {
          result.append(Item(state: edge.target, count: item.count, frame: item.frame))
        }
      }
    }
    guard result.count > 1 else { return result }
    result.sort()
    var last: Item?
    result.removeAll { item in
      defer { last = item }
      return item == last
    }
    return result
  }

  /// Items in the order in which they were found, each once.
  private struct Reached {
    private(set) var items: [Item] = []
    private var known: Set<Item> = []

    mutating func insert(_ item: Item) {
      if known.isEmpty {
        if items.contains(item) { return }
        if items.count == 16 { known = Set(items) }
      }
      if !known.isEmpty, !known.insert(item).inserted { return }
      items.append(item)
    }
  }
}
