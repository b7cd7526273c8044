// Attend.swift: stores a token's key and value, and attends to those that it sees (N1 items 6 and
// 7; Vaswani et al. 2017, 3.2; grouped heads: Ainslie et al. 2023).

package struct Attend: OperationContents {
  package let query: Row
  package let key: Row
  package let value: Row
  package let into: Row
  package let heads: Int
  /// Heads of keys and values, each shared by `group` query heads.
  package let kvHeads: Int
  package let size: Int
  /// Multiplies the scores.
  package let scale: Float
  /// How many last positions a token sees, its own included; nil: all. Both ways: half of so many
  /// before its own and half behind it.
  package let window: Int?
  /// A token sees positions from the last multiple of this on; nil: all (Meta 2025, Llama 4).
  package let chunk: Int?
  /// c in c * tanh(score / c); nil: none.
  package let cap: Float?
  /// Whether a token also sees what comes behind it (Devlin et al. 2019). The whole text then has to
  /// be in one step, since every key has a part in every token.
  package let isBothWays: Bool
  /// One number for each head that its softmax counts as a score without a value (Xiao et al. 2024,
  /// "attention sinks").
  package let sinks: Vector?
  /// The state, by its index in `Program.states`, whose keys and values are read, while none are
  /// stored; nil: the operation stores and reads its own.
  package let source: Int?

  package var group: Int { heads / kvHeads }
  package var queryLength: Int { heads * size }
  package var keyLength: Int { kvHeads * size }
  package var reads: [Access] {
    let query = Access(query, queryLength)
    return source == nil ? [query, Access(key, keyLength), Access(value, keyLength)] : [query]
  }
  package var writes: Access { Access(into, queryLength) }
  /// Where the keys and values are that it reads.
  package var kept: SequenceState {
    .keysAndValues(heads: kvHeads, size: size, window: isBothWays ? nil : window ?? chunk)
  }
  package var state: SequenceState? { source == nil ? kept : nil }

  /// The positions that a token sees both ways, in a text of `end` positions.
  package func seen(at position: Int, of end: Int) -> Range<Int> {
    guard let window else { return 0..<end }
    return max(0, position - window / 2)..<min(end, position + window / 2 + 1)
  }

  package func text(_ name: (Int) -> String) -> String {
    "\(into.name) = attend \(query.name) to "
      + (source.map { "what attention \($0) keeps" } ?? "\(key.name), \(value.name)")
      + ", \(heads) heads on \(kvHeads) of \(size)"
      + ", scale \(scale)" + (isBothWays ? ", both ways" : "") + (window.map { ", window \($0)" } ?? "")
      + (chunk.map { ", chunks of \($0)" } ?? "") + (cap.map { ", cap \($0)" } ?? "")
      + (sinks.map { ", sinks \(name($0.tensor))" } ?? "")
  }
}

extension Operation {
  package static func attend(
    _ query: Row, to key: Row, _ value: Row, heads: Int, on kvHeads: Int, of size: Int, scale: Float,
    window: Int? = nil, chunk: Int? = nil, cap: Float? = nil, isBothWays: Bool = false, sinks: Vector? = nil,
    state source: Int? = nil, into: Row
  ) -> Operation {
    .attend(
      Attend(
        query: query, key: key, value: value, into: into, heads: heads, kvHeads: kvHeads, size: size,
        scale: scale, window: window, chunk: chunk, cap: cap, isBothWays: isBothWays, sinks: sinks,
        source: source))
  }
}
