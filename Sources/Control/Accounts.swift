// Accounts.swift: what the books say of clients and days, as rows, and how limits are changed.
// Leaves out the books (Accounting, Node) and the lines that carry these (ControlProtocol.swift).
// Start at ClientRow and EarningsTable.

/// One client as `hotpot clients` lists it.
public struct ClientRow: Codable, Sendable, Equatable {
  public let name: String
  public let added: Microseconds
  public let revoked: Microseconds?
  public let budget: MicroUnits?
  public let posted: MicroUnits
  public let reserved: MicroUnits
  public let settled: MicroUnits
  public let jobs: Int
  public let tokens: Int
  /// nil: all models.
  public let models: [String]?
  public let tokensPerJob: Int?
  public let jobsAtOnce: Int?
  public let tokensPerDay: Int?
  /// Fingerprint of the SSH key that it signs vouchers with.
  public let key: String?
  /// What it promised to pay, in all.
  public let voucher: MicroUnits?

  package init(
    name: String, added: Microseconds, revoked: Microseconds?, budget: MicroUnits?, posted: MicroUnits,
    reserved: MicroUnits, settled: MicroUnits, jobs: Int, tokens: Int, models: [String]?, tokensPerJob: Int?,
    jobsAtOnce: Int?, tokensPerDay: Int?, key: String?, voucher: MicroUnits?
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
    self.key = key
    self.voucher = voucher
  }
}

/// What a day's jobs of one client with one model came to.
public struct EarningsRow: Codable, Sendable, Equatable {
  /// `2026-11-23`, in the node's time zone.
  public let date: String
  public let client: String
  public let model: String
  public let jobs: Int
  public let promptTokens: Int
  public let cachedTokens: Int
  public let completionTokens: Int
  public let amount: MicroUnits

  public init(
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
public struct EarningsDay: Codable, Sendable, Equatable {
  /// `2026-11-23`, in the node's time zone.
  public let date: String
  public let amount: MicroUnits
  /// Joules that the machine used while the node ran; nil where no power was read.
  public let joules: Double?
  /// What they cost; nil where a part of them had no price.
  public let cost: MicroUnits?

  /// nil where the cost is not known.
  public var net: MicroUnits? { cost.map { amount - $0 } }

  public init(date: String, amount: MicroUnits, joules: Double?, cost: MicroUnits?) {
    (self.date, self.amount, self.joules, self.cost) = (date, amount, joules, cost)
  }
}

public struct EarningsTable: Codable, Sendable, Equatable {
  public let currency: String
  /// Jobs of a demo are never counted: its table is empty.
  public let isDemo: Bool
  /// By day, client and model.
  public let rows: [EarningsRow]
  /// Days with earnings or electricity, in order.
  public let days: [EarningsDay]

  public init(currency: String, isDemo: Bool, rows: [EarningsRow], days: [EarningsDay] = []) {
    self.currency = currency
    self.isDemo = isDemo
    self.rows = rows
    self.days = days
  }
}

/// How a statement is wanted.
public enum StatementForm: String, Codable, Sendable, CaseIterable {
  /// What is signed.
  case text
  /// For spreadsheets (RFC 4180), unsigned.
  case csv
  /// For programs: the same rows, with the text and its signature beside them.
  case json
}

/// Changes of a client's limits, as texts: `none` takes a limit away, nil leaves it as it is.
public struct LimitChanges: Codable, Sendable, Equatable {
  /// Names with commas between them.
  public var models: String?
  public var tokensPerJob: String?
  public var jobs: String?
  public var tokensPerDay: String?
  public var budget: String?

  public init(
    models: String? = nil, tokensPerJob: String? = nil, jobs: String? = nil, tokensPerDay: String? = nil,
    budget: String? = nil
  ) {
    self.models = models
    self.tokensPerJob = tokensPerJob
    self.jobs = jobs
    self.tokensPerDay = tokensPerDay
    self.budget = budget
  }
}
