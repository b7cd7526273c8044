// Record+Books.swift: payments, corrections and electricity; what jobs cost is in their receipts.
// Start at Settlement.

/// A client paid.
package struct Settlement: JournalRecord {
  static let word = "settlement"
  static let keeping = Keeping.standing
  package var client = ""
  /// Micro-units.
  package var amount: Int64 = 0
  package var currency = ""
  /// The payment's own reference.
  package var reference = ""
  /// Days since 1970-01-01 in the node's time zone.
  package var day: Int32 = 0

  init() {}
  package init(client: String, amount: Int64, currency: String, reference: String, day: Int32) {
    (self.client, self.amount, self.currency) = (client, amount, currency)
    (self.reference, self.day) = (reference, day)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.amount("amount", &amount)
    try line.text("currency", &currency, max: 16)
    try line.text("reference", &reference, max: 512)
    try line.day("day", &day)
  }
}

/// A client paid ahead.
package struct Deposit: JournalRecord {
  static let word = "deposit"
  static let keeping = Keeping.standing
  package var client = ""
  /// Micro-units.
  package var amount: Int64 = 0
  package var currency = ""
  /// The payment's own reference.
  package var reference = ""
  /// Days since 1970-01-01 in the node's time zone.
  package var day: Int32 = 0

  init() {}
  package init(client: String, amount: Int64, currency: String, reference: String, day: Int32) {
    (self.client, self.amount, self.currency) = (client, amount, currency)
    (self.reference, self.day) = (reference, day)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.amount("amount", &amount)
    try line.text("currency", &currency, max: 16)
    try line.text("reference", &reference, max: 512)
    try line.day("day", &day)
  }
}

/// A client's debt was corrected; a negative amount is a credit.
package struct Correction: JournalRecord {
  static let word = "correction"
  static let keeping = Keeping.standing
  package var client = ""
  /// Micro-units.
  package var amount: Int64 = 0
  package var reason = ""
  /// Days since 1970-01-01 in the node's time zone.
  package var day: Int32 = 0

  init() {}
  package init(client: String, amount: Int64, reason: String, day: Int32) {
    (self.client, self.amount, self.reason, self.day) = (client, amount, reason, day)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.amount("amount", &amount)
    try line.text("reason", &reason, max: 1024)
    try line.day("day", &day)
  }
}

/// A reservation was released.
package struct TransferVoided: JournalRecord {
  static let word = "transfer_voided"
  static let keeping = Keeping.nothing
  package var job: UInt64 = 0
  package var client = ""
  /// Micro-units.
  package var amount: Int64 = 0
  package var reason = ""

  init() {}
  package init(job: UInt64, client: String, amount: Int64, reason: String) {
    (self.job, self.client, self.amount, self.reason) = (job, client, amount, reason)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.id("job", &job)
    try line.text("client", &client, max: 256)
    try line.amount("amount", &amount)
    try line.text("reason", &reason, max: 1024)
  }
}

/// Electricity that the machine used in an hour of a day, or in part of it: when a node stops, its
/// hour ends.
package struct EnergyUsed: JournalRecord {
  static let word = "energy"
  static let keeping = Keeping.standing
  /// Days since 1970-01-01 in the node's time zone.
  package var day: Int32 = 0
  /// Hour of that day, 0 to 23.
  package var hour = 0
  package var millijoules = 0
  /// Whether a price of electricity was known; if not, `cost` is 0.
  package var isPriced = false
  /// Micro-units, by the tariff that held in that hour.
  package var cost: Int64 = 0

  init() {}
  package init(day: Int32, hour: Int, millijoules: Int, cost: Int64?) {
    (self.day, self.hour, self.millijoules) = (day, hour, millijoules)
    (isPriced, self.cost) = (cost != nil, cost ?? 0)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.day("day", &day)
    try line.count("hour", &hour, max: 23)
    try line.count("millijoules", &millijoules)
    try line.flag("priced", &isPriced)
    try line.amount("cost", &cost)
  }
}
