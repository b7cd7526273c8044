// Accounts.swift: what operators and clients ask of the books: earnings, statements, limits, keys, vouchers.
// Signing and verifying is stock ssh-keygen's, outside any lock. Leaves out the deciding (NodeState, Accounting) and the
// lines (ControlProtocol). Start at earningsTable.
import Accounting
import Control
import Foundation
import Receipts

/// A statement for programs. Amounts are decimal texts, exact.
struct StatementPage: Encodable {
  struct Row: Encodable {
    let date: String
    let kind: String
    let name: String
    let jobs: Int
    let promptTokens: Int
    let cachedTokens: Int
    let completionTokens: Int
    let amount: String
  }

  let node: String
  let client: String
  let currency: String
  let from: String
  let to: String
  let rows: [Row]
  let unsettled: String
  /// The signed text and its signature, armored.
  let text: String
  let signature: String

  init(_ statement: Statement, signature: String) {
    node = statement.node
    client = statement.client
    currency = statement.currency
    from = Statement.date(statement.days.lowerBound)
    to = Statement.date(statement.days.upperBound)
    rows = statement.rows.map {
      Row(
        date: Statement.date($0.day), kind: $0.kind, name: $0.name, jobs: $0.totals.jobs,
        promptTokens: $0.totals.promptTokens, cachedTokens: $0.totals.cachedTokens,
        completionTokens: $0.totals.completionTokens, amount: $0.amount.description)
    }
    unsettled = statement.unsettled.description
    text = statement.text
    self.signature = signature
  }
}

extension LimitChanges {
  /// The limits as they are after the changes.
  package func applied(to limits: ClientLimits) throws(AdministrationError) -> ClientLimits {
    guard self != LimitChanges() else { throw AdministrationError("no limit was given") }
    var limits = limits
    if let models { limits.models = try Self.models(models) }
    if let tokensPerJob { limits.tokensPerJob = try Self.count(tokensPerJob, "tokens per job") }
    if let jobs { limits.jobsAtOnce = try Self.count(jobs, "jobs at once") }
    if let tokensPerDay { limits.tokensPerDay = try Self.count(tokensPerDay, "tokens per day") }
    if let budget {
      do throws(AccountingError) {
        limits.budget = budget == "none" ? nil : try Amount(parsing: budget)
        if let amount = limits.budget, amount < .zero { throw .negative("the budget") }
        // What a line of the journal holds exactly.
        if let amount = limits.budget, amount > NodeConfiguration.largestAmount {
          throw .overflow("the budget")
        }
      } catch {
        throw AdministrationError("\(error)")
      }
    }
    return limits
  }

  private static func count(_ text: String, _ what: String) throws(AdministrationError) -> Int? {
    if text == "none" { return nil }
    guard let number = Int(text), (1...(1 << 40)).contains(number) else {
      throw AdministrationError(
        "\(what) is '\(text.prefix(40))', wanted a whole number from 1 to \(1 << 40) or 'none'")
    }
    return number
  }

  private static func models(_ text: String) throws(AdministrationError) -> [String]? {
    if text == "none" { return nil }
    let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    let areNames = names.allSatisfy { name in
      (1...200).contains(name.utf8.count) && name.unicodeScalars.allSatisfy { $0.value > 0x20 }
    }
    guard areNames, text.utf8.count <= 8192 else {
      throw AdministrationError(
        "models is '\(text.prefix(80))', wanted names with commas between them, or 'none' for all models")
    }
    return names
  }
}

/// Days as people write them.
package enum CalendarDay {
  /// `2026-11-23` as days since 1970-01-01; nil for anything else, also for the 30th of February.
  /// Source: Hinnant, "chrono-compatible low-level date algorithms".
  package static func parse(_ text: String) -> Day? {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard text.utf8.count == 10, parts.count == 3, let year = Int(parts[0]), let month = Int(parts[1]),
      let day = Int(parts[2]), (1...9999).contains(year), (1...12).contains(month), (1...31).contains(day)
    else { return nil }
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    let found = Day(era * 146_097 + dayOfEra - 719_468)
    return Statement.date(found) == text ? found : nil
  }
}

extension NodeState {
  /// What was posted, by day, client and model, from a day on.
  package func earningsTable(since: Day?) -> EarningsTable {
    let cells = ledger.cells(LedgerQuery(days: since.map { $0...Day.max }))
    let days = Set(cells.map(\.day)).union(energy.recordedDays.filter { $0 >= since ?? Day.min }).sorted()
    return EarningsTable(
      currency: configuration.currency, isDemo: isDemo,
      rows: cells.map {
        EarningsRow(
          date: Statement.date($0.day), client: $0.client, model: $0.model, jobs: $0.totals.jobs,
          promptTokens: $0.totals.promptTokens, cachedTokens: $0.totals.cachedTokens,
          completionTokens: $0.totals.completionTokens, amount: $0.totals.amount.micro)
      },
      days: days.map {
        let used = energy.used(on: $0)
        return EarningsDay(
          date: Statement.date($0), amount: ledger.total(LedgerQuery(days: $0...$0)).amount.micro,
          joules: used?.joules, cost: used?.cost?.micro)
      })
  }

  /// The statement of a client for some days, until today if nothing else is said; nil for one that nothing is known of.
  /// - node: the fingerprint of this node's key.
  package func statement(
    of client: String, since: Day?, until: Day? = nil, node: String, at now: Moment
  ) -> Statement? {
    let cells = ledger.cells(LedgerQuery(client: client))
    let payments = ledger.payments(of: client)
    guard clients.entry(named: client) != nil || !cells.isEmpty || !payments.isEmpty else { return nil }
    let moved = payments.compactMap { transfer -> Day? in
      switch transfer {
      case .posted: nil
      case .settled(_, _, _, let day), .corrected(_, _, _, let day): day
      }
    }
    let first = since ?? (cells.map(\.day) + moved).min() ?? now.day
    // A clock that was set back leaves days after today: they belong to the statement.
    let last = max(first, until ?? max(now.day, (cells.map(\.day) + moved).max() ?? now.day))
    return Statement(
      ledger: ledger, client: client, days: first...last, node: node, currency: configuration.currency)
  }
}

extension NodeService {
  private static func day(_ text: String?) throws(AdministrationError) -> Day? {
    guard let text else { return nil }
    guard let day = CalendarDay.parse(text) else {
      throw AdministrationError("'\(text.prefix(40))' is no day, wanted one such as 2026-11-23")
    }
    return day
  }

  package func earningsTable(since: String?) -> Result<EarningsTable, AdministrationError> {
    do throws(AdministrationError) {
      let day = try Self.day(since)
      return .success(state.withLock { $0.earningsTable(since: day) })
    } catch {
      return .failure(error)
    }
  }

  /// - Returns: text and signature by the node's key; of CSV, which is for spreadsheets, and of JSON, which holds both, the
  ///   text alone.
  package func statement(
    of client: String, since: String?, until: String? = nil, form: StatementForm, by who: Operator
  ) -> Result<(text: String, signature: String?), AdministrationError> {
    guard let key = notary?.key else {
      return .failure(
        AdministrationError("the node has no key, so it can sign nothing: is ssh-keygen there?"))
    }
    let statement: Statement?
    do throws(AdministrationError) {
      let (first, last) = (try Self.day(since), try Self.day(until))
      if let first, let last, first > last {
        throw AdministrationError("the statement would end on \(until ?? "") before it begins")
      }
      statement = state.withLock {
        $0.statement(of: client, since: first, until: last, node: key.fingerprint, at: Self.now())
      }
    } catch {
      return .failure(error)
    }
    guard let statement else {
      return .failure(AdministrationError("there is no client '\(client.prefix(80))'"))
    }
    if form == .csv { return .success((statement.csv, nil)) }
    do throws(SignatureError) {
      let signature = try SSHKeygen().sign(
        Array(statement.text.utf8), key: options.stateDirectory + "/key", namespace: Statement.namespace)
      note(.act, who: who.name, "signed a statement for \(client)")
      guard form == .json else { return .success((statement.text, signature)) }
      let page = ControlProtocol.line(StatementPage(statement, signature: signature))
      return .success((String(decoding: page, as: UTF8.self) + "\n", nil))
    } catch {
      return .failure(AdministrationError("the statement cannot be signed: \(error)"))
    }
  }

  package func setLimits(_ name: String, _ changes: LimitChanges, by who: Operator) -> Result<
    String, AdministrationError
  > {
    guard state.withLock({ $0.clients.isActive(name) }) else {
      return .failure(AdministrationError("there is no active client '\(name.prefix(80))'"))
    }
    let limits: ClientLimits
    do throws(AdministrationError) {
      limits = try changes.applied(to: state.withLock { $0.clientLimits[name] } ?? ClientLimits())
    } catch {
      return .failure(error)
    }
    if let problem = write(.clientLimits(limits.change(of: name))) { return .failure(problem) }
    send(.limitsSet(client: name, limits))
    let words = "\(name) has \(limits.words)"
    note(.act, who: who.name, words)
    return .success(words)
  }

  /// - key: the text of a `.pub` file; empty takes the key away.
  package func setKey(_ name: String, _ key: String, by who: Operator) -> Result<String, AdministrationError>
  {
    guard state.withLock({ $0.clients.isActive(name) }) else {
      return .failure(AdministrationError("there is no active client '\(name.prefix(80))'"))
    }
    var parsed: SSHPublicKey?
    if !key.isEmpty {
      guard key.utf8.count <= 16_384, let found = SSHPublicKey(parsing: key), found.text.utf8.count <= 8192
      else {
        return .failure(AdministrationError("that is no SSH public key; wanted the text of a .pub file"))
      }
      parsed = found
    }
    if let problem = write(.clientKey(ClientKeyChanged(client: name, key: parsed?.text ?? ""))) {
      return .failure(problem)
    }
    send(.clientKeySet(client: name, key: parsed?.text))
    let words = parsed.map { "\(name) signs with \($0.fingerprint)" } ?? "\(name) has no key"
    note(.act, who: who.name, words)
    return .success(words)
  }

  private func write(_ record: Record) -> AdministrationError? {
    do throws(JournalError) {
      _ = try journal.append([record], at: Self.now().wall)
      return nil
    } catch {
      return AdministrationError("\(error)")
    }
  }

  // MARK: vouchers

  /// A signed promise to pay. Runs ssh-keygen: not for a thread that others wait on.
  package func takeVoucher(
    _ text: String, signature: String, from client: String
  ) -> Result<Voucher, AdministrationError> {
    func refuse(_ words: String) -> Result<Voucher, AdministrationError> {
      .failure(AdministrationError(words))
    }
    guard !options.isDemo else { return refuse("this is a demo: nothing is owed here") }
    guard let node = notary?.key.fingerprint else { return refuse("the node has no key to promise to") }
    let known = state.withLock { ($0.clients.isActive(client), $0.clientKeys[client], $0.vouchers) }
    guard known.0 else { return refuse("there is no active client '\(client.prefix(80))'") }
    guard let key = known.1 else {
      return refuse("no SSH key of '\(client)' is known; 'hotpot clients key \(client) FILE.pub' tells it")
    }
    guard signature.utf8.count <= 16_384 else { return refuse("the signature is longer than 16,384 bytes") }
    let voucher: Voucher
    do throws(AccountingError) {
      voucher = try Voucher(parsing: text)
      // What would be refused anyway costs no process.
      var book = known.2
      try book.accept(voucher, node: node, client: client, currency: options.configuration.currency)
    } catch {
      return refuse("\(error)")
    }
    do throws(SignatureError) {
      try SSHKeygen().verify(
        Array(text.utf8), signature: signature, namespace: Voucher.namespace,
        allowedSigners: "\(client) namespaces=\"\(Voucher.namespace)\" \(key)\n", time: Self.now().wall)
    } catch {
      return refuse("the voucher is not signed as it should be: \(error)")
    }
    let accepted: Result<VoucherAccepted, AccountingError> = decide { state, now, effects in
      do throws(AccountingError) {
        return .success(
          try state.accept(
            voucher, signature: signature, key: key, node: node, from: client, at: now, &effects))
      } catch {
        return .failure(error)
      }
    }
    switch accepted {
    case .failure(let error): return refuse("\(error)")
    case .success(let proof):
      if let problem = write(.voucher(proof)) { return .failure(problem) }
      return .success(voucher)
    }
  }

  /// The best voucher of a client, as it came: proof of its debt.
  package func voucherProof(of client: String) -> Result<VoucherAccepted, AdministrationError> {
    guard let proof = state.withLock({ $0.voucherProofs[client] }) else {
      return .failure(AdministrationError("there is no voucher of '\(client.prefix(80))'"))
    }
    return .success(proof)
  }
}
