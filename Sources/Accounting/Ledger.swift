// Ledger.swift: who owes the node what, in double entry, as a fold over the journal's transfers. It
// is a value and uses no clock or file. Transfers are immutable; corrections are transfers. Prices
// are in Price.swift, a client's limits in Limits.swift. Start at reserve, post, void; read with
// total(_:).

/// A posted amount exists only for a receipt; this is the receipt's index in the log.
package struct ReceiptIndex: Hashable, Sendable, Comparable {
  package let value: UInt64
  package init(_ value: UInt64) { self.value = value }
  package static func < (a: ReceiptIndex, b: ReceiptIndex) -> Bool { a.value < b.value }
}

/// Days since 1970-01-01 in the node's own time zone.
package typealias Day = Int32

/// One immutable movement between two accounts. Reservations are kept in memory only: after a crash
/// none is open.
package enum Transfer: Sendable, Equatable {
  /// From `owed by client` to `earned`, for one receipt.
  case posted(Posting)
  /// From `paid by client` to `owed by client`.
  case settled(client: String, amount: Amount, reference: String, day: Day)
  /// The same before anything is owed: what the client owes later is paid from it.
  case deposited(client: String, amount: Amount, reference: String, day: Day)
  /// From or to `owed by client`, with its reason; negative gives back.
  case corrected(client: String, amount: Amount, reason: String, day: Day)
}

/// What a receipt adds to the books.
package struct Posting: Sendable, Equatable {
  package let receipt: ReceiptIndex
  package let client: String
  package let model: String
  package let day: Day
  package let usage: Usage
  package let amount: Amount

  package init(
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
package struct Totals: Sendable, Equatable {
  package var jobs = 0
  package var promptTokens = 0
  package var cachedTokens = 0
  package var completionTokens = 0
  package var amount = Amount.zero

  package init() {}

  package init(jobs: Int, promptTokens: Int, cachedTokens: Int, completionTokens: Int, amount: Amount) {
    self.jobs = jobs
    self.promptTokens = promptTokens
    self.cachedTokens = cachedTokens
    self.completionTokens = completionTokens
    self.amount = amount
  }

  func adding(_ other: Totals) throws(AccountingError) -> Totals {
    func sum(_ a: Int, _ b: Int) throws(AccountingError) -> Int {
      let (value, overflow) = a.addingReportingOverflow(b)
      guard !overflow else { throw .overflow("a number of tokens") }
      return value
    }
    return Totals(
      jobs: try sum(jobs, other.jobs), promptTokens: try sum(promptTokens, other.promptTokens),
      cachedTokens: try sum(cachedTokens, other.cachedTokens),
      completionTokens: try sum(completionTokens, other.completionTokens),
      amount: try amount.adding(other.amount))
  }

  /// Adds parts of a sum that did not overflow.
  fileprivate mutating func add(part other: Totals) {
    jobs += other.jobs
    promptTokens += other.promptTokens
    cachedTokens += other.cachedTokens
    completionTokens += other.completionTokens
    amount = Amount(micro: amount.micro + other.amount.micro)
  }
}

/// What one client owes and has paid.
package struct Account: Sendable, Equatable {
  /// Worst-case prices of running and waiting jobs.
  package fileprivate(set) var reserved = Amount.zero
  /// Everything that was ever posted or corrected.
  package fileprivate(set) var posted = Amount.zero
  /// Everything that was ever paid, deposits too.
  package fileprivate(set) var settled = Amount.zero
  /// What of it was paid ahead.
  package fileprivate(set) var deposited = Amount.zero

  package init() {}

  /// Posted and not yet paid; negative is what is left of deposits.
  package var unsettled: Amount { Amount(micro: posted.micro - settled.micro) }
}

/// Days, clients and models to sum over; nil matches all.
package struct LedgerQuery: Sendable {
  package var days: ClosedRange<Day>?
  package var client: String?
  package var model: String?

  package init(days: ClosedRange<Day>? = nil, client: String? = nil, model: String? = nil) {
    self.days = days
    self.client = client
    self.model = model
  }
}

/// The books of one node.
package struct Ledger: Sendable {
  private struct Reservation: Sendable, Equatable {
    let client: String
    let amount: Amount
  }

  /// Sums of one day, client and model.
  package struct Cell: Sendable, Equatable {
    package let day: Day
    package let client: String
    package let model: String
    package var totals: Totals

    package init(day: Day, client: String, model: String, totals: Totals) {
      self.day = day
      self.client = client
      self.model = model
      self.totals = totals
    }
  }

  /// The key of a sum: a client, a model, both or, with neither, everything.
  private struct Place: Hashable, Sendable {
    let client: String?
    let model: String?
  }

  /// The sums for one key by day, and over all days.
  private struct Sums: Sendable {
    var days: [Day: Totals] = [:]
    var all = Totals()
  }

  private var accounts: [String: Account] = [:]
  private var reservations: [UInt64: Reservation] = [:]
  /// Each posting is summed four times, so that any query is one look-up per day that it covers.
  private var sums: [Place: Sums] = [:]
  private var references: Set<String> = []
  private var payments: [Transfer] = []
  /// Postings above the last signed checkpoint, in the order of their receipts.
  private var unverified: [(receipt: ReceiptIndex, amount: Amount)] = []
  private var nextReceipt = ReceiptIndex(0)
  package var total: Totals { total(LedgerQuery()) }
  /// Posted under a signed checkpoint, without what an audit found wrong.
  package private(set) var verified = Amount.zero

  package init() {}

  // MARK: reading

  package func account(of client: String) -> Account { accounts[client] ?? Account() }

  /// Every client with a movement, in the order of their names.
  package var clients: [String] { accounts.keys.sorted() }

  /// Sums over everything that matches: one look-up per day, or one for all days.
  package func total(_ query: LedgerQuery) -> Totals {
    guard let sums = sums[Place(client: query.client, model: query.model)] else { return Totals() }
    guard let asked = query.days else { return sums.all }
    var total = Totals()
    if asked.count <= sums.days.count {
      for day in asked { if let part = sums.days[day] { total.add(part: part) } }
    } else {
      for (day, part) in sums.days where asked.contains(day) { total.add(part: part) }
    }
    return total
  }

  /// The matching cells by day, client and model.
  package func cells(_ query: LedgerQuery = LedgerQuery()) -> [Cell] {
    var found: [Cell] = []
    for (place, sums) in sums {
      guard let client = place.client, let model = place.model, client == query.client ?? client,
        model == query.model ?? model
      else { continue }
      for (day, totals) in sums.days where query.days?.contains(day) ?? true {
        found.append(Cell(day: day, client: client, model: model, totals: totals))
      }
    }
    return found.sorted { ($0.day, $0.client, $0.model) < ($1.day, $1.client, $1.model) }
  }

  /// Payments and corrections of a client, oldest first.
  package func payments(of client: String, days: ClosedRange<Day>? = nil) -> [Transfer] {
    payments.filter { transfer in
      switch transfer {
      case .posted: false
      case .settled(let name, _, _, let day), .deposited(let name, _, _, let day),
        .corrected(let name, _, _, let day):
        name == client && (days?.contains(day) ?? true)
      }
    }
  }

  // MARK: jobs

  /// Reserves the worst-case price of a job.
  package mutating func reserve(job: UInt64, client: String, amount: Amount) throws(AccountingError) {
    guard amount >= .zero else { throw .negative("a reservation") }
    guard reservations[job] == nil else { throw .reservedTwice(job) }
    var account = account(of: client)
    account.reserved = try account.reserved.adding(amount)
    accounts[client] = account
    reservations[job] = Reservation(client: client, amount: amount)
  }

  package func reservation(of job: UInt64) -> Amount? { reservations[job]?.amount }

  /// Releases the whole of a reservation.
  package mutating func void(job: UInt64) throws(AccountingError) {
    guard let reservation = reservations.removeValue(forKey: job) else { throw .noReservation(job) }
    release(reservation)
  }

  private mutating func release(_ reservation: Reservation) {
    var account = account(of: reservation.client)
    account.reserved = Amount(micro: account.reserved.micro - reservation.amount.micro)
    // An invented name without any work is forgotten, because there is no end of such names.
    let isEmpty = account == Account() && sums[Place(client: reservation.client, model: nil)] == nil
    accounts[reservation.client] = isEmpty ? nil : account
  }

  /// Turns a reservation into the amount on the receipt, and releases the rest.
  package mutating func post(job: UInt64, _ posting: Posting) throws(AccountingError) {
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

  /// Applies one transfer of the journal. On an error nothing has changed.
  package mutating func apply(_ transfer: Transfer) throws(AccountingError) {
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
    case .deposited(let client, let amount, let reference, _):
      guard amount > .zero else { throw .negative("a payment") }
      guard !references.contains(reference) else { throw .settledTwice(reference) }
      var account = account(of: client)
      account.settled = try account.settled.adding(amount)
      account.deposited = try account.deposited.adding(amount)
      accounts[client] = account
      references.insert(reference)
      payments.append(transfer)
    case .corrected(let client, let amount, _, _):
      var account = account(of: client)
      let posted = try account.posted.adding(amount)
      guard try posted >= account.settled.subtracting(account.deposited) else {
        throw .negative("what \(client) owes after the correction")
      }
      account.posted = posted
      accounts[client] = account
      payments.append(transfer)
    }
  }

  /// Adds the sums of earlier receipts at once, as a rollup of the journal holds them; all these
  /// receipts are below `next`.
  /// - unsigned: those of them that no signed checkpoint covers yet, in the order of their
  ///   receipts.
  /// - failed: the amount of signed receipts that an audit found wrong.
  package mutating func open(
    _ cells: [Cell], next: ReceiptIndex, unsigned: [(receipt: ReceiptIndex, amount: Amount)] = [],
    failed: Amount = .zero
  ) throws(AccountingError) {
    for cell in cells { try add(cell.totals, day: cell.day, client: cell.client, model: cell.model) }
    unverified = unsigned
    var rest = total.amount
    for one in unsigned { rest = try rest.subtracting(one.amount) }
    // Never more than was checked, whatever the parts add up to.
    verified = max(.zero, try rest.subtracting(failed))
    nextReceipt = max(nextReceipt, next)
  }

  private mutating func add(_ totals: Totals, day: Day, client: String, model: String) throws(AccountingError)
  {
    var account = account(of: client)
    account.posted = try account.posted.adding(totals.amount)
    let places = [
      Place(client: nil, model: nil), Place(client: client, model: nil), Place(client: nil, model: model),
      Place(client: client, model: model),
    ]
    var changed: [(Totals, Totals)] = []
    for place in places {
      let old = sums[place]
      changed.append(
        (try (old?.all ?? Totals()).adding(totals), try (old?.days[day] ?? Totals()).adding(totals)))
    }
    // Nothing fails from here on.
    accounts[client] = account
    for (place, sum) in zip(places, changed) {
      sums[place, default: Sums()].all = sum.0
      sums[place, default: Sums()].days[day] = sum.1
    }
  }

  // MARK: verification

  /// Receipts below `size` are covered by a signed checkpoint.
  package mutating func markSigned(below size: UInt64) {
    let count = unverified.prefix { $0.receipt.value < size }.count
    for entry in unverified.prefix(count) {
      verified = Amount(micro: verified.micro + entry.amount.micro)
    }
    unverified.removeFirst(count)
  }

  /// An audit found this receipt wrong: it no longer counts as verified.
  package mutating func markFailed(_ receipt: ReceiptIndex, amount: Amount) {
    if let index = unverified.firstIndex(where: { $0.receipt == receipt }) {
      unverified[index].amount = .zero
    } else {
      verified = Amount(micro: verified.micro - min(amount.micro, verified.micro))
    }
  }

  // MARK: invariants

  /// The violated rules of double entry; empty if the books are right.
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
    var aheadBy: [String: Int64] = [:]
    for transfer in payments {
      switch transfer {
      case .settled(let client, let amount, _, _): paidBy[client, default: 0] += amount.micro
      case .deposited(let client, let amount, _, _):
        paidBy[client, default: 0] += amount.micro
        aheadBy[client, default: 0] += amount.micro
      case .posted, .corrected: break
      }
    }
    for (client, account) in accounts {
      if account.reserved.micro != reservedBy[client, default: 0] { found.append("\(client): reserved") }
      if account.posted.micro != postedBy[client, default: 0] { found.append("\(client): posted") }
      if account.settled.micro != paidBy[client, default: 0] { found.append("\(client): settled") }
      if account.deposited.micro != aheadBy[client, default: 0] { found.append("\(client): deposited") }
      if account.unsettled.micro < -account.deposited.micro {
        found.append("\(client): less is owed than was paid ahead")
      }
    }
    // The four sums of each posting agree.
    var byPlace: [Place: Totals] = [:]
    for cell in cells() {
      for place in [
        Place(client: nil, model: nil), Place(client: cell.client, model: nil),
        Place(client: nil, model: cell.model), Place(client: cell.client, model: cell.model),
      ] { byPlace[place, default: Totals()].add(part: cell.totals) }
    }
    for (place, sums) in sums where sums.all != byPlace[place] {
      found.append("sums of \(place.client ?? "all"), \(place.model ?? "all")")
    }
    return found
  }
}
