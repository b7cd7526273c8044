// Record+Clients.swift: who may send requests, within which limits, and what they promised. Start
// at ClientAdded.

/// A client may send requests from now on.
package struct ClientAdded: JournalRecord {
  static let word = "client_added"
  static let keeping = Keeping.standing
  package var client = ""
  /// SHA-256 of its bearer token, which is random; the token itself is stored nowhere.
  package var tokenSHA256 = SHA256Digest.zero

  init() {}
  package init(client: String, tokenSHA256: SHA256Digest) {
    (self.client, self.tokenSHA256) = (client, tokenSHA256)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.digest("token_sha256", &tokenSHA256)
  }
}

/// A client may no longer send requests.
package struct ClientRevoked: JournalRecord {
  static let word = "client_revoked"
  static let keeping = Keeping.standing
  package var client = ""
  package var reason = ""

  init() {}
  package init(client: String, reason: String) { (self.client, self.reason) = (client, reason) }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.text("reason", &reason, max: 1024)
  }
}

/// How much a client may owe or spend.
package struct BudgetChanged: JournalRecord {
  static let word = "budget_changed"
  static let keeping = Keeping.standing
  package enum Period: String, Sendable, CaseIterable, LineChoice { case day, month, total, none }
  package var client = ""
  /// Micro-units.
  package var limit: Int64 = 0
  /// `none` lifts the budget.
  package var period = Period.none

  init() {}
  package init(client: String, limit: Int64, period: Period) {
    (self.client, self.limit, self.period) = (client, limit, period)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.amount("limit", &limit)
    try line.choice("period", &period)
  }
}

/// All limits of a client, replacing the previous ones. `BudgetChanged` is its older form, for the
/// budget alone.
package struct ClientLimitsChanged: JournalRecord {
  static let word = "client_limits"
  static let keeping = Keeping.standing
  package var client = ""
  /// Names separated by newlines; empty allows every model.
  package var models = ""
  /// 0 means no limit, in all three.
  package var tokensPerJob = 0
  package var jobs = 0
  package var tokensPerDay = 0
  /// Whether there is a budget; if not, `budget` is 0.
  package var hasBudget = false
  /// Micro-units.
  package var budget: Int64 = 0

  init() {}
  package init(
    client: String, models: [String], tokensPerJob: Int, jobs: Int, tokensPerDay: Int, budget: Int64?
  ) {
    self.client = client
    self.models = models.joined(separator: "\n")
    (self.tokensPerJob, self.jobs, self.tokensPerDay) = (tokensPerJob, jobs, tokensPerDay)
    (self.hasBudget, self.budget) = (budget != nil, budget ?? 0)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.text("models", &models, max: 8192)
    try line.count("tokens_per_job", &tokensPerJob)
    try line.count("jobs", &jobs)
    try line.count("tokens_per_day", &tokensPerDay)
    try line.flag("has_budget", &hasBudget)
    try line.amount("budget", &budget)
  }
}

/// The highest priority that a client may ask for. `ClientLimitsChanged` leaves it as it is.
package struct ClientPriorityChanged: JournalRecord {
  static let word = "client_priority"
  static let keeping = Keeping.standing
  package var client = ""
  /// 0 to 9; -1 for what all clients may ask for.
  package var most: Int64 = -1

  init() {}
  package init(client: String, most: Int?) {
    self.client = client
    self.most = most.map { Int64($0) } ?? -1
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.integer("most", &most, -1...9)
  }
}

/// The SSH key that a client signs its vouchers with.
package struct ClientKeyChanged: JournalRecord {
  static let word = "client_key"
  static let keeping = Keeping.standing
  package var client = ""
  /// `type base64`, as in a `.pub` file, without its comment; empty removes the key.
  package var key = ""

  init() {}
  package init(client: String, key: String) { (self.client, self.key) = (client, key) }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.text("key", &key, max: 8192)
  }
}

/// A client's signed promise to pay, as received: together with the key it proves the debt.
package struct VoucherAccepted: JournalRecord {
  static let word = "voucher"
  static let keeping = Keeping.standing
  package var client = ""
  /// The text that was signed.
  package var text = ""
  /// The detached signature, armored.
  package var signature = ""
  /// The key that it verifies with, `type base64`.
  package var key = ""

  init() {}
  package init(client: String, text: String, signature: String, key: String) {
    (self.client, self.text, self.signature, self.key) = (client, text, signature, key)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.text("text", &text, max: 1024)
    try line.text("signature", &signature, max: 16_384)
    try line.text("key", &key, max: 8192)
  }
}
