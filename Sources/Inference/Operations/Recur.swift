// Recur.swift: one step of the recurrent state of each head, which is a matrix, and what a query
// reads from it (N1 item 13). The gated delta rule (Yang et al. 2024, "Gated Delta Networks") writes
// what a key does not yet give; Mamba-2 (Dao and Gu 2024, "Transformers are SSMs") writes the value.

package struct Recur: OperationContents {
  package let query: Row
  package let key: Row
  package let value: Row
  /// One number a head: how long the step is.
  package let step: Row
  package let into: Row
  package let rule: Rule
  /// One number a head: times the step it is the logarithm of what remains of the state.
  package let rates: Vector
  package let heads: Int
  package let keyHeads: Int
  package let sharing: Sharing
  /// Numbers of a query and a key of one head.
  package let keySize: Int
  /// Numbers of a value of one head.
  package let valueSize: Int

  package enum Rule: Hashable, Sendable, BitwiseCopyable {
    /// - strength: one number a head, how much is written, before the sigmoid
    case delta(strength: Row)
    /// - skip: one number a head: times the value, it is added to what is read
    case mamba2(skip: Vector)
  }

  /// Which query and key a head reads.
  package enum Sharing: Sendable, BitwiseCopyable {
    /// Head j those of j mod keyHeads.
    case tiled
    /// Consecutive heads the same.
    case grouped
  }

  package func keyHead(of head: Int) -> Int {
    switch sharing {
    case .tiled: head % keyHeads
    case .grouped: head / (heads / keyHeads)
    }
  }

  package var reads: [Access] {
    let common = [
      Access(query, keyHeads * keySize), Access(key, keyHeads * keySize), Access(value, heads * valueSize),
      Access(step, heads),
    ]
    switch rule {
    case .delta(let strength): return common + [Access(strength, heads)]
    case .mamba2: return common
    }
  }
  package var writes: Access { Access(into, heads * valueSize) }
  package var state: SequenceState? { .matrices(count: heads, rows: valueSize, columns: keySize) }

  package func text(_ name: (Int) -> String) -> String {
    let kind =
      switch rule {
      case .delta(let strength): "delta, strength \(strength.name)"
      case .mamba2(let skip): "mamba2, skip \(name(skip.tensor))"
      }
    return "\(into.name) = recur \(query.name), \(key.name), \(value.name), step \(step.name) times "
      + "\(name(rates.tensor)), \(kind), \(heads) heads of \(valueSize) on \(keyHeads) of \(keySize), \(sharing)"
  }
}
