// Ledger.swift: who owes the node what, in double entry, as a fold over what the journal holds.
// A value: no clock, no file. Transfers are immutable; corrections are transfers. Leaves out prices (Price.swift) and
// what a client may do (Limits.swift). Start at reserve, post, void; read with total(_:).

/// A posted amount exists only for a receipt: this is where in the log it stands.
public struct ReceiptIndex: Hashable, Sendable, Comparable {
  public let value: UInt64
  public init(_ value: UInt64) { self.value = value }
  public static func < (a: ReceiptIndex, b: ReceiptIndex) -> Bool { a.value < b.value }
}

/// Days since 1970-01-01 in the node's own time zone.
public typealias Day = Int32

/// One immutable movement between two accounts. Reservations live in memory only: after a crash none is open.
public enum Transfer: Sendable, Equatable {
  /// From `owed by client` to `earned`, for one receipt.
  case posted(Posting)
  /// From `paid by client` to `owed by client`.
  case settled(client: String, amount: Amount, reference: String, day: Day)
  /// From or to `owed by client`, with its reason; negative gives back.
  case corrected(client: String, amount: Amount, reason: String, day: Day)
}

/// What a receipt adds to the books.
public struct Posting: Sendable, Equatable {
  public let receipt: ReceiptIndex
  public let client: String
  public let model: String
  public let day: Day
  public let usage: Usage
  public let amount: Amount

  public init(
    receipt: ReceiptIndex, client: String, model: String, day: Day, usage: Usage, amount: Amount
  ) {
    self.receipt = receipt
    self.client = client
    self.model = model
    self.day = day
    self.usage = usage
    self.amount = amount
  }
}

/// Sums over postings.
public struct Totals: Sendable, Equatable {
  public var jobs = 0
  public var promptTokens = 0
  public var cachedTokens = 0
  public var completionTokens = 0
  public var amount = Amount.zero

  public init() {}

  public init(jobs: Int, promptTokens: Int, cachedTokens: Int, completionTokens: Int, amount: Amount) {
    self.jobs = jobs
    self.promptTokens = promptTokens
    self.cachedTokens = cachedTokens
    self.completionTokens = completionTokens
    self.amount = amount
  }

  func adding(_ other: Totals) throws(AccountingError) -> Totals {
    var result = self
    result.jobs += other.jobs
    result.promptTokens += other.promptTokens
    result.cachedTokens += other.cachedTokens
    result.completionTokens += other.completionTokens
    result.amount = try amount.adding(other.amount)
    return result
  }
}

/// What one client owes and has paid.
public struct Account: Sendable, Equatable {
  /// Worst-case prices of jobs that run or wait.
  public fileprivate(set) var reserved = Amount.zero
  /// All that was posted and corrected, ever.
  public fileprivate(set) var posted = Amount.zero
  public fileprivate(set) var settled = Amount.zero

  public init() {}

  /// Posted and not yet paid.
  public var unsettled: Amount { Amount(micro: posted.micro - settled.micro) }
}

/// Days, clients and models to sum over; nil is all.
public struct LedgerQuery: Sendable {
  public var days: ClosedRange<Day>?
  public var client: String?
  public var model: String?

  public init(days: ClosedRange<Day>? = nil, client: String? = nil, model: String? = nil) {
    self.days = days
    self.client = client
    self.model = model
  }
}

/// The books of one node.
public struct Ledger: Sendable {
  private struct Reservation: Sendable, Equatable {
    let client: String
    let amount: Amount
  }

  /// Sums of one day, client and model.
  public struct Cell: Sendable, Equatable {
    public let day: Day
    public let client: String
    public let model: String
    public var totals: Totals

    public init(day: Day, client: String, model: String, totals: Totals) {
      self.day = day
      self.client = client
      self.model = model
      self.totals = totals
    }
  }

  private struct Place: Hashable, Sendable {
    let client: String
    let model: String
  }

  private var accounts: [String: Account] = [:]
  private var reservations: [UInt64: Reservation] = [:]
  private var days: [Day: [Place: Totals]] = [:]
  private var references: Set<String> = []
  private var payments: [Transfer] = []
  /// Postings above the last signed checkpoint, in the order of their receipts.
  private var unverified: [(receipt: ReceiptIndex, amount: Amount)] = []
  private var nextReceipt = ReceiptIndex(0)
  public private(set) var total = Totals()
  /// Posted under a signed checkpoint, less what an audit found wrong.
  public private(set) var verified = Amount.zero

  public init() {}

  // MARK: reading

  public func account(of client: String) -> Account { accounts[client] ?? Account() }

  /// Every client with a movement, in the order of their names.
  public var clients: [String] { accounts.keys.sorted() }

  /// Sums over all cells that match, at most one dictionary look-up a day.
  public func total(_ query: LedgerQuery) -> Totals {
    cells(query).reduce(into: Totals()) { sum, cell in
      // Parts of a total that was summed without overflow cannot overflow.
      sum.jobs += cell.totals.jobs
      sum.promptTokens += cell.totals.promptTokens
      sum.cachedTokens += cell.totals.cachedTokens
      sum.completionTokens += cell.totals.completionTokens
      sum.amount = Amount(micro: sum.amount.micro + cell.totals.amount.micro)
    }
  }

  /// The matching cells by day, client and model.
  public func cells(_ query: LedgerQuery = LedgerQuery()) -> [Cell] {
    var found: [Cell] = []
    for day in days.keys.sorted() where query.days?.contains(day) ?? true {
      guard let places = days[day] else { continue }
      if let client = query.client, let model = query.model {
        if let totals = places[Place(client: client, model: model)] {
          found.append(Cell(day: day, client: client, model: model, totals: totals))
        }
        continue
      }
      let matching = places.filter {
        (query.client == nil || $0.key.client == query.client)
          && (query.model == nil || $0.key.model == query.model)
      }
      for (place, totals) in matching.sorted(by: {
        ($0.key.client, $0.key.model) < ($1.key.client, $1.key.model)
      }) {
        found.append(Cell(day: day, client: place.client, model: place.model, totals: totals))
      }
    }
    return found
  }

  /// Payments and corrections of a client, oldest first.
  public func payments(of client: String, days: ClosedRange<Day>? = nil) -> [Transfer] {
    payments.filter { transfer in
      switch transfer {
      case .posted: false
      case .settled(let name, _, _, let day), .corrected(let name, _, _, let day):
        name == client && (days?.contains(day) ?? true)
      }
    }
  }

  // MARK: jobs

  /// Sets the worst-case price of a job aside.
  public mutating func reserve(job: UInt64, client: String, amount: Amount) throws(AccountingError) {
    guard amount >= .zero else { throw .negative("a reservation") }
    guard reservations[job] == nil else { throw .reservedTwice(job) }
    var account = account(of: client)
    account.reserved = try account.reserved.adding(amount)
    accounts[client] = account
    reservations[job] = Reservation(client: client, amount: amount)
  }

  public func reservation(of job: UInt64) -> Amount? { reservations[job]?.amount }

  /// Gives a reservation back whole.
  public mutating func void(job: UInt64) throws(AccountingError) {
    guard let reservation = reservations.removeValue(forKey: job) else { throw .noReservation(job) }
    release(reservation)
  }

  private mutating func release(_ reservation: Reservation) {
    var account = account(of: reservation.client)
    account.reserved = Amount(micro: account.reserved.micro - reservation.amount.micro)
    accounts[reservation.client] = account
  }

  /// Turns a reservation into what the receipt says; the rest of it returns.
  public mutating func post(job: UInt64, _ posting: Posting) throws(AccountingError) {
    guard let reservation = reservations[job], reservation.client == posting.client else {
      throw .noReservation(job)
    }
    guard posting.amount <= reservation.amount else {
      throw .overReservation(job: job, reserved: reservation.amount, wanted: posting.amount)
    }
    try apply(.posted(posting))
    reservations[job] = nil
    release(reservation)
  }

  // MARK: the fold

  /// One transfer of the journal. On an error nothing has changed.
  public mutating func apply(_ transfer: Transfer) throws(AccountingError) {
    switch transfer {
    case .posted(let posting):
      guard posting.amount >= .zero else { throw .negative("receipt \(posting.receipt.value)") }
      guard posting.receipt >= nextReceipt else { throw .receiptTwice(posting.receipt.value) }
      let added = Totals(
        jobs: 1, promptTokens: posting.usage.prompt, cachedTokens: posting.usage.cached,
        completionTokens: posting.usage.completion, amount: posting.amount)
      try add(added, day: posting.day, client: posting.client, model: posting.model)
      unverified.append((posting.receipt, posting.amount))
      nextReceipt = ReceiptIndex(posting.receipt.value + 1)
    case .settled(let client, let amount, let reference, _):
      guard amount > .zero else { throw .negative("a payment") }
      guard !references.contains(reference) else { throw .settledTwice(reference) }
      var account = account(of: client)
      guard amount <= account.unsettled else {
        throw .overpaid(client: client, owed: account.unsettled, paid: amount)
      }
      account.settled = try account.settled.adding(amount)
      accounts[client] = account
      references.insert(reference)
      payments.append(transfer)
    case .corrected(let client, let amount, _, _):
      var account = account(of: client)
      let posted = try account.posted.adding(amount)
      guard posted >= account.settled else { throw .negative("what \(client) owes after the correction") }
      account.posted = posted
      accounts[client] = account
      payments.append(transfer)
    }
  }

  /// Sums of earlier receipts at once, as a rollup of the journal holds them; all receipts below `next`.
  public mutating func open(_ cells: [Cell], next: ReceiptIndex) throws(AccountingError) {
    for cell in cells { try add(cell.totals, day: cell.day, client: cell.client, model: cell.model) }
    verified = try verified.adding(Amount(micro: cells.reduce(0) { $0 + $1.totals.amount.micro }))
    nextReceipt = max(nextReceipt, next)
  }

  private mutating func add(_ totals: Totals, day: Day, client: String, model: String) throws(AccountingError)
  {
    var account = account(of: client)
    account.posted = try account.posted.adding(totals.amount)
    let newTotal = try total.adding(totals)
    let place = Place(client: client, model: model)
    let cell = try (days[day]?[place] ?? Totals()).adding(totals)
    total = newTotal
    accounts[client] = account
    days[day, default: [:]][place] = cell
  }

  // MARK: verification

  /// Receipts below `size` stand under a signed checkpoint.
  public mutating func markSigned(below size: UInt64) {
    let count = unverified.prefix { $0.receipt.value < size }.count
    for entry in unverified.prefix(count) {
      verified = Amount(micro: verified.micro + entry.amount.micro)
    }
    unverified.removeFirst(count)
  }

  /// An audit found this receipt wrong: it no longer counts as verified.
  public mutating func markFailed(_ receipt: ReceiptIndex, amount: Amount) {
    if let index = unverified.firstIndex(where: { $0.receipt == receipt }) {
      unverified[index].amount = .zero
    } else {
      verified = Amount(micro: verified.micro - min(amount.micro, verified.micro))
    }
  }

  // MARK: invariants

  /// What double entry promises; empty when the books are right.
  package func violations() -> [String] {
    var found: [String] = []
    var reservedBy: [String: Int64] = [:]
    for reservation in reservations.values {
      reservedBy[reservation.client, default: 0] += reservation.amount.micro
    }
    var postedBy: [String: Int64] = [:]
    for cell in cells() { postedBy[cell.client, default: 0] += cell.totals.amount.micro }
    for case .corrected(let client, let amount, _, _) in payments {
      postedBy[client, default: 0] += amount.micro
    }
    var paidBy: [String: Int64] = [:]
    for case .settled(let client, let amount, _, _) in payments { paidBy[client, default: 0] += amount.micro }
    for (client, account) in accounts {
      if account.reserved.micro != reservedBy[client, default: 0] { found.append("\(client): reserved") }
      if account.posted.micro != postedBy[client, default: 0] { found.append("\(client): posted") }
      if account.settled.micro != paidBy[client, default: 0] { found.append("\(client): settled") }
      if account.unsettled < .zero { found.append("\(client): unsettled is negative") }
    }
    if total != total(LedgerQuery()) { found.append("total") }
    return found
  }
}
