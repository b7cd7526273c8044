// Accounts.swift: what the books say about clients and days, as rows, and how limits are changed.
// Not here: the books (Accounting, Node), the lines that carry these rows (ControlProtocol.swift).
// Start at ClientRow and EarningsTable.

/// One client as `hotpot clients` lists it.
package struct ClientRow: Codable, Sendable, Equatable {
  package let name: String
  package let added: Microseconds
  package let revoked: Microseconds?
  package let budget: MicroUnits?
  package let posted: MicroUnits
  package let reserved: MicroUnits
  package let settled: MicroUnits
  package let jobs: Int
  package let tokens: Int
  /// nil: all models.
  package let models: [String]?
  package let tokensPerJob: Int?
  package let jobsAtOnce: Int?
  package let tokensPerDay: Int?
  /// The highest priority that it may ask for; nil: what all clients may.
  package let priority: Int?
  /// Fingerprint of the SSH key that it signs vouchers with.
  package let key: String?
  /// How much it promised to pay, in total.
  package let voucher: MicroUnits?

  package init(
    name: String, added: Microseconds, revoked: Microseconds?, budget: MicroUnits?, posted: MicroUnits,
    reserved: MicroUnits, settled: MicroUnits, jobs: Int, tokens: Int, models: [String]?, tokensPerJob: Int?,
    jobsAtOnce: Int?, tokensPerDay: Int?, priority: Int?, key: String?, voucher: MicroUnits?
  ) {
    self.name = name
    self.added = added
    self.revoked = revoked
    self.budget = budget
    self.posted = posted
    self.reserved = reserved
    self.settled = settled
    self.jobs = jobs
    self.tokens = tokens
    self.models = models
    self.tokensPerJob = tokensPerJob
    self.jobsAtOnce = jobsAtOnce
    self.tokensPerDay = tokensPerDay
    self.priority = priority
    self.key = key
    self.voucher = voucher
  }
}

/// The sums over a day's jobs of one client with one model.
package struct EarningsRow: Codable, Sendable, Equatable {
  /// `2026-11-23`, in the node's time zone.
  package let date: String
  package let client: String
  package let model: String
  package let jobs: Int
  package let promptTokens: Int
  package let cachedTokens: Int
  package let completionTokens: Int
  package let amount: MicroUnits

  package init(
    date: String, client: String, model: String, jobs: Int, promptTokens: Int, cachedTokens: Int,
    completionTokens: Int, amount: MicroUnits
  ) {
    self.date = date
    self.client = client
    self.model = model
    self.jobs = jobs
    self.promptTokens = promptTokens
    self.cachedTokens = cachedTokens
    self.completionTokens = completionTokens
    self.amount = amount
  }
}

/// A day's earnings and electricity.
package struct EarningsDay: Codable, Sendable, Equatable {
  /// `2026-11-23`, in the node's time zone.
  package let date: String
  package let amount: MicroUnits
  /// Joules that the machine used while the node ran; nil if no power was measured.
  package let joules: Double?
  /// What they cost; nil if part of them had no price.
  package let cost: MicroUnits?

  /// nil if the cost is unknown.
  package var net: MicroUnits? { cost.map { amount - $0 } }

  package init(date: String, amount: MicroUnits, joules: Double?, cost: MicroUnits?) {
    (self.date, self.amount, self.joules, self.cost) = (date, amount, joules, cost)
  }
}

package struct EarningsTable: Codable, Sendable, Equatable {
  package let currency: String
  /// Jobs of a demo are never counted, so its table is empty.
  package let isDemo: Bool
  /// By day, client and model.
  package let rows: [EarningsRow]
  /// Days with earnings or electricity, in order.
  package let days: [EarningsDay]

  package init(currency: String, isDemo: Bool, rows: [EarningsRow], days: [EarningsDay] = []) {
    self.currency = currency
    self.isDemo = isDemo
    self.rows = rows
    self.days = days
  }
}

/// The format of a statement.
package enum StatementForm: String, Codable, Sendable, CaseIterable {
  /// The text that is signed.
  case text
  /// For spreadsheets (RFC 4180), unsigned.
  case csv
  /// For programs: the same rows, with the text and its signature.
  case json
}

/// Changes of a client's limits, as texts: `none` removes a limit, nil leaves it unchanged.
package struct LimitChanges: Codable, Sendable, Equatable {
  /// Names separated by commas.
  package var models: String?
  package var tokensPerJob: String?
  package var jobs: String?
  package var tokensPerDay: String?
  /// 0 to 9: the highest that the client may ask for.
  package var priority: String?
  package var budget: String?

  package init(
    models: String? = nil, tokensPerJob: String? = nil, jobs: String? = nil, tokensPerDay: String? = nil,
    priority: String? = nil, budget: String? = nil
  ) {
    self.models = models
    self.tokensPerJob = tokensPerJob
    self.jobs = jobs
    self.tokensPerDay = tokensPerDay
    self.priority = priority
    self.budget = budget
  }
}
