// Record+Life.swift: what the journal holds about the node itself, about jobs without a receipt and
// about operators' acts.
// Start at NodeStarted.

/// A node began to write this journal.
package struct NodeStarted: JournalRecord {
  static let word = "node_started"
  static let keeping = Keeping.nothing
  package var version = ""
  /// Fingerprint of the key that signs checkpoints.
  package var key = ""
  package var numerics = ""
  package var currency = ""

  init() {}
  package init(version: String, key: String, numerics: String, currency: String) {
    (self.version, self.key, self.numerics, self.currency) = (version, key, numerics, currency)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("version", &version, max: 128)
    try line.text("key", &key, max: 128)
    try line.text("numerics", &numerics, max: 64)
    try line.text("currency", &currency, max: 16)
  }
}

/// A node shut down in order.
package struct NodeStopped: JournalRecord {
  static let word = "node_stopped"
  static let keeping = Keeping.nothing
  package var reason = ""

  init() {}
  package init(reason: String) { self.reason = reason }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("reason", &reason, max: 1024)
  }
}

/// An invalid tail was moved aside: bytes that were never acknowledged, as after a power cut.
package struct Recovered: JournalRecord {
  static let word = "recovered"
  static let keeping = Keeping.nothing
  package var segment = 0
  /// Where in the segment the tail began.
  package var offset = 0
  package var bytes = 0
  /// The file beside the segments that keeps the bytes.
  package var file = ""
  package var sha256 = SHA256Digest.zero

  init() {}
  package init(segment: Int, offset: Int, bytes: Int, file: String, sha256: SHA256Digest) {
    (self.segment, self.offset, self.bytes, self.file, self.sha256) = (segment, offset, bytes, file, sha256)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.count("segment", &segment)
    try line.count("offset", &offset)
    try line.count("bytes", &bytes)
    try line.text("file", &file, max: 256)
    try line.digest("sha256", &sha256)
  }
}

/// A job was admitted; until it ends by a receipt or `jobEnded`, a restart finds it open.
package struct JobAccepted: JournalRecord {
  static let word = "job_accepted"
  static let keeping = Keeping.jobs
  package var job: UInt64 = 0
  package var client = ""
  package var model = ""
  package var promptTokens = 0
  package var maxTokens = 0
  /// Worst-case price, micro-units.
  package var reserved: Int64 = 0
  /// Its request is in the spool, so it runs again after a crash. Otherwise it counts as
  /// interrupted.
  package var isSpooled = false

  init() {}
  package init(
    job: UInt64, client: String, model: String, promptTokens: Int, maxTokens: Int, reserved: Int64,
    isSpooled: Bool
  ) {
    (self.job, self.client, self.model) = (job, client, model)
    (self.promptTokens, self.maxTokens) = (promptTokens, maxTokens)
    (self.reserved, self.isSpooled) = (reserved, isSpooled)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.id("job", &job)
    try line.text("client", &client, max: 256)
    try line.text("model", &model, max: 512)
    try line.count("prompt_tokens", &promptTokens, max: Int(UInt32.max))
    try line.count("max_tokens", &maxTokens, max: Int(UInt32.max))
    try line.amount("reserved", &reserved)
    try line.flag("spooled", &isSpooled)
  }
}

/// A job ended without a receipt.
package struct JobEnded: JournalRecord {
  static let word = "job_ended"
  static let keeping = Keeping.jobs
  package enum Outcome: String, Sendable, CaseIterable, LineChoice {
    case rejected, cancelled, expired, failed, interrupted
  }
  package var job: UInt64 = 0
  package var client = ""
  package var outcome = Outcome.interrupted
  package var reason = ""

  init() {}
  package init(job: UInt64, client: String, outcome: Outcome, reason: String) {
    (self.job, self.client, self.outcome, self.reason) = (job, client, outcome, reason)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.id("job", &job)
    try line.text("client", &client, max: 256)
    try line.choice("outcome", &outcome)
    try line.text("reason", &reason, max: 1024)
  }
}

/// Something an operator did.
package struct OperatorAct: JournalRecord {
  static let word = "operator_act"
  static let keeping = Keeping.nothing
  package enum Act: String, Sendable, CaseIterable, LineChoice {
    case approve, reject, hold, release, priority, move, cancel, pause, resume, drain, undrain, shutdown
    case reveal, verify, pull, load, repair
  }
  package var act = Act.approve
  /// Who: a local user's name, or where the control connection came from.
  package var who = ""
  /// A job's id, a receipt's id or a name; empty when the act concerns the whole node.
  package var target = ""
  package var reason = ""

  init() {}
  package init(act: Act, who: String, target: String, reason: String) {
    (self.act, self.who, self.target, self.reason) = (act, who, target, reason)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.choice("act", &act)
    try line.text("who", &who, max: 256)
    try line.text("target", &target, max: 512)
    try line.text("reason", &reason, max: 1024)
  }
}

/// The rules for admission or prices changed.
package struct PolicyChanged: JournalRecord {
  static let word = "policy_changed"
  static let keeping = Keeping.standing
  package var who = ""
  /// SHA-256 of the bytes of the policy that is valid from now on.
  package var sha256 = SHA256Digest.zero
  package var summary = ""

  init() {}
  package init(who: String, sha256: SHA256Digest, summary: String) {
    (self.who, self.sha256, self.summary) = (who, sha256, summary)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("who", &who, max: 256)
    try line.digest("sha256", &sha256)
    try line.text("summary", &summary, max: 4096)
  }
}
