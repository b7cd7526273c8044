// ConstraintState.swift: how far one text under a constraint is: a value that moves with the text's
// bytes. Start at ConstraintState.advance.

/// One text under a constraint. Copies go separate ways.
package struct ConstraintState: Sendable {
  /// The bytes so far lead to these, before their closure. Empty if no text begins so.
  private(set) var items: [Item]
  private(set) var stacks = Stacks()
  private let automaton: Automaton
  /// Frames after the last compaction.
  private var keptFrames = 0

  /// The bounds of one state. A grammar that is ambiguous beyond them, or a text that is nested deeper,
  /// cannot go on: nothing more is allowed.
  private static let mostItems = 4_096
  /// An ambiguity beyond it forces nothing that would be worth its time.
  private static let mostForcing = 64
  private static let mostFrames = 65_536

  /// The empty text.
  package init(_ constraint: Constraint) {
    automaton = constraint.automaton
    items = automaton.start
  }

  /// Whether the bytes so far begin a text that meets the constraint.
  package var isAlive: Bool { !items.isEmpty }

  /// Whether the bytes so far are a text that meets the constraint.
  package var isComplete: Bool {
    var stacks = stacks
    return automaton.closure(items, &stacks).isComplete
  }

  /// Moves by bytes of the text. False, and not alive from then on, if no text goes on so.
  @discardableResult
  package mutating func advance(_ bytes: some Sequence<UInt8>) -> Bool {
    for byte in bytes {
      items = automaton.step(automaton.closure(items, &stacks).items, byte)
      if stacks.count > 256, stacks.count > 4 * keptFrames {
        stacks.compact(&items)
        keptFrames = stacks.count
      }
      if items.count > Self.mostItems || stacks.count > Self.mostFrames { items = [] }
      if items.isEmpty { return false }
    }
    return true
  }

  /// The tokens that may come next: each begins, or completes, what the constraint can complete.
  /// `masks` must be of the same constraint. Where `isComplete`, the text may also end.
  package func allowed(_ masks: ConstraintMasks, into mask: inout TokenMask) {
    mask.removeAll()
    masks.add(allowedIn: self, to: &mask)
  }

  /// The bytes that must come next, up to `most`: the text may not end before them, and nothing else
  /// may come in their place.
  package func forced(most: Int = 256) -> [UInt8] {
    var state = self
    var bytes: [UInt8] = []
    while bytes.count < most, state.items.count <= Self.mostForcing {
      let closure = automaton.closure(state.items, &state.stacks)
      guard !closure.isComplete, let byte = automaton.onlyByte(closure.items) else { break }
      bytes.append(byte)
      state.advance(CollectionOfOne(byte))
    }
    return bytes
  }
}

extension Automaton {
  /// The byte that all that may follow begins with; nil if there are several.
  fileprivate func onlyByte(_ items: [Item]) -> UInt8? {
    var only: UInt8?
    for item in items {
      let state = states[Int(item.state)]
      for index in state.bytes {
        let edge = byteEdges[Int(index)]
        if edge.isCounted, item.count >= rules[Int(state.rule)].most { continue }
        guard edge.low == edge.high, only == nil || only == edge.low else { return nil }
        only = edge.low
      }
    }
    return only
  }
}
