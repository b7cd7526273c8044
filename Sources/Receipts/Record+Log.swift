// Record+Log.swift: what happened to the log: signed, witnessed, re-executed. Start at
// CheckpointSigned.

/// The node's key signed a checkpoint over the first `size` receipts.
package struct CheckpointSigned: JournalRecord {
  static let word = "checkpoint_signed"
  static let keeping = Keeping.checkpoints
  package var size = 0
  package var root = SHA256Digest.zero
  /// SHA-256 of the checkpoint's text.
  package var sha256 = SHA256Digest.zero

  init() {}
  package init(size: Int, root: SHA256Digest, sha256: SHA256Digest) {
    (self.size, self.root, self.sha256) = (size, root, sha256)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.count("size", &size)
    try line.digest("root", &root)
    try line.digest("sha256", &sha256)
  }
}

/// Someone else's key cosigned a checkpoint over the first `size` receipts.
package struct CheckpointWitnessed: JournalRecord {
  static let word = "checkpoint_witnessed"
  static let keeping = Keeping.checkpoints
  package var size = 0
  package var root = SHA256Digest.zero
  /// Fingerprint of the witness' key.
  package var witness = ""

  init() {}
  package init(size: Int, root: SHA256Digest, witness: String) {
    (self.size, self.root, self.witness) = (size, root, witness)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.count("size", &size)
    try line.digest("root", &root)
    try line.text("witness", &witness, max: 128)
  }
}

/// One of the node's own receipts was re-executed.
package struct Audit: JournalRecord {
  static let word = "audit"
  static let keeping = Keeping.audits
  package enum Outcome: String, Sendable, CaseIterable, LineChoice {
    case identical
    /// What differs first; for `window` and `token`, `position` says where (the window's first
    /// token, the token).
    case model, numerics, window, token, finish, counts
    /// It could not be run: this says nothing about the receipt.
    case notRun = "not_run"
  }
  /// The receipt's number in the log.
  package var receipt = 0
  package var outcome = Outcome.identical
  package var position = 0

  init() {}
  package init(receipt: Int, outcome: Outcome, position: Int = 0) {
    (self.receipt, self.outcome, self.position) = (receipt, outcome, position)
  }

  /// What differs, as far as the journal says it.
  package var words: String {
    let window = position / WindowHashes.tokensPerWindow
    return switch outcome {
    case .token: "window \(window), token \(position)"
    case .window: "window \(window), tokens from \(position) on: the hidden states differ"
    case .model, .numerics, .finish, .counts: "the \(outcome.rawValue) differs"
    case .identical, .notRun: outcome.rawValue
    }
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.count("receipt", &receipt)
    try line.choice("outcome", &outcome)
    try line.count("position", &position)
  }
}

// MARK: - Lines
