// Accounts.swift: what operators and clients request of the books: clients, limits, keys, earnings,
// statements, payments, vouchers. Stock ssh-keygen signs and verifies, outside any lock. Not here:
// the deciding (NodeState, Accounting), the lines (Control). Start at clientRows and earningsTable.
import Accounting
import Control
import Foundation
import Receipts
import Scheduling

package final class Accounts: Sendable {
  private let runtime: Runtime
  private let signing: Signing
  private let currency: String
  private let isDemo: Bool

  init(_ runtime: Runtime, signing: Signing, currency: String, isDemo: Bool) {
    self.runtime = runtime
    self.signing = signing
    self.currency = currency
    self.isDemo = isDemo
  }

  // MARK: clients and transfers

  package func clientRows() -> [ClientRow] {
    runtime.state.withLock { state in
      state.clients.entries.map { entry in
        let account = state.ledger.account(of: entry.name)
        let totals = state.ledger.total(LedgerQuery(client: entry.name))
        let limits = state.clientLimits[entry.name]
        return ClientRow(
          name: entry.name, added: entry.added, revoked: entry.revoked,
          budget: limits?.budget?.micro, posted: account.posted.micro,
          reserved: account.reserved.micro, settled: account.settled.micro, jobs: totals.jobs,
          tokens: totals.promptTokens + totals.completionTokens, models: limits?.models,
          tokensPerJob: limits?.tokensPerJob, jobsAtOnce: limits?.jobsAtOnce,
          tokensPerDay: limits?.tokensPerDay, priority: limits?.priority,
          key: state.clientKeys[entry.name].flatMap { SSHPublicKey(parsing: $0)?.fingerprint },
          voucher: state.vouchers.voucher(of: entry.name)?.amount.micro)
      }
    }
  }

  /// - Returns: the token, which is shown once; only its SHA-256 is kept.
  package func addClient(_ name: String, by who: Operator) -> Result<String, AdministrationError> {
    guard ClientDirectory.isValid(name: name) else {
      return .failure(
        AdministrationError(
          "'\(name.prefix(80))' cannot be a client's name; wanted 1 to 64 letters, digits, '.', '_', '-' or '@'"
        ))
    }
    guard !runtime.state.withLock({ $0.clients.isActive(name) }) else {
      return .failure(
        AdministrationError("there is a client '\(name)' already; 'hotpot clients revoke' ends it"))
    }
    let token = ClientDirectory.makeToken()
    let digest = ClientDirectory.digest(of: token)
    if let problem = write(.clientAdded(ClientAdded(client: name, tokenSHA256: digest))) {
      return .failure(problem)
    }
    runtime.send(.clientAdded(name: name, digest: digest))
    runtime.note(.act, who: who.name, "added client \(name)")
    return .success(token)
  }

  /// Makes a client of a stranger, who keeps the token that it made itself.
  package func adopt(_ stranger: String, as name: String, by who: Operator) -> Result<
    Void, AdministrationError
  > {
    guard ClientDirectory.isValid(name: name) else {
      return .failure(
        AdministrationError(
          "'\(name.prefix(80))' cannot be a client's name; wanted 1 to 64 letters, digits, '.', '_', '-' or '@'"
        ))
    }
    let (isTaken, digest) = runtime.state.withLock {
      ($0.clients.isActive(name), $0.clients.digest(ofStranger: stranger))
    }
    guard !isTaken else { return .failure(AdministrationError("there is a client '\(name)' already")) }
    guard let digest else {
      return .failure(
        AdministrationError(
          "'\(stranger.prefix(80))' has sent nothing since the node's start, so its token is not known"))
    }
    if let problem = write(.clientAdded(ClientAdded(client: name, tokenSHA256: digest))) {
      return .failure(problem)
    }
    runtime.send(.clientAdded(name: name, digest: digest))
    runtime.note(.act, who: who.name, "made \(stranger) the client \(name)")
    return .success(())
  }

  package func revokeClient(_ name: String, by who: Operator) -> Result<Void, AdministrationError> {
    guard runtime.state.withLock({ $0.clients.isActive(name) }) else {
      return .failure(AdministrationError("there is no active client '\(name.prefix(80))'"))
    }
    let record = Record.clientRevoked(ClientRevoked(client: name, reason: "by \(who.name)"))
    if let problem = write(record) { return .failure(problem) }
    runtime.send(.clientRevoked(name: name))
    runtime.note(.act, who: who.name, "revoked client \(name)")
    return .success(())
  }

  /// The older request, for the budget alone; an empty text lifts it.
  func limitClient(_ name: String, budget: String?, by who: Operator) -> Result<String, AdministrationError> {
    setLimits(name, LimitChanges(budget: budget?.isEmpty == true ? "none" : budget), by: who)
  }

  package func settle(
    _ client: String, _ amount: String, _ reference: String, by who: Operator
  ) -> Result<String, AdministrationError> {
    checked(amount, reference, upTo: 120, "a payment wants a reference").flatMap { money in
      book(.settled(client: client, amount: money, reference: reference, by: who)) {
        $0.settle(client, money, reference, by: who, at: $1, &$2)
      }
    }
  }

  /// A payment before anything is owed.
  package func deposit(
    _ client: String, _ amount: String, _ reference: String, by who: Operator
  ) -> Result<String, AdministrationError> {
    checked(amount, reference, upTo: 120, "a payment wants a reference").flatMap { money in
      book(.deposited(client: client, amount: money, reference: reference, by: who)) {
        $0.deposit(client, money, reference, by: who, at: $1, &$2)
      }
    }
  }

  /// - amount: how much more the client owes; a negative amount is a credit
  package func correct(
    _ client: String, _ amount: String, _ reason: String, by who: Operator
  ) -> Result<String, AdministrationError> {
    checked(amount, reason, upTo: 200, "a correction wants a reason").flatMap { money in
      book(.corrected(client: client, amount: money, reason: reason, by: who)) {
        $0.correct(client, money, reason, by: who, at: $1, &$2)
      }
    }
  }

  /// The amount of a transfer, if it is valid and its text is one line of at most that many bytes.
  private func checked(
    _ amount: String, _ words: String, upTo bytes: Int, _ wanted: String
  ) -> Result<Amount, AdministrationError> {
    guard (1...bytes).contains(words.utf8.count), words.unicodeScalars.allSatisfy({ $0.value >= 0x20 }) else {
      return .failure(AdministrationError("\(wanted) of 1 to \(bytes) bytes"))
    }
    do throws(AccountingError) { return .success(try Amount(parsing: amount)) } catch {
      return .failure(AdministrationError("\(error)"))
    }
  }

  /// A transfer by an operator; reported as done once it is on the disk.
  /// - event: the same transfer, for the trace
  private func book(
    _ event: NodeEvent, _ act: (inout NodeState, Moment, inout [NodeEffect]) -> CommandReply
  ) -> Result<String, AdministrationError> {
    let reply = runtime.decide(as: event, act)
    do throws(JournalError) {
      // Reports when everything queued before is on the disk, or why it is not.
      try runtime.journal.append([], at: NodeClock.now().wall)
    } catch {
      runtime.send(.journalFailed("\(error)"))
      return .failure(AdministrationError("it is not in the journal: \(error)"))
    }
    switch reply {
    case .done(let words): return .success(words)
    case .refused(let words): return .failure(AdministrationError(words))
    }
  }

  // MARK: earnings, statements, limits, keys

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
      return .success(runtime.state.withLock { $0.earningsTable(since: day) })
    } catch {
      return .failure(error)
    }
  }

  /// - Returns: the text and its signature by the node's key. CSV, which is for spreadsheets, and
  ///   JSON, which contains both, come without a separate signature.
  package func statement(
    of client: String, since: String?, until: String? = nil, form: StatementForm, by who: Operator
  ) -> Result<(text: String, signature: String?), AdministrationError> {
    guard let key = signing.notary?.key else {
      return .failure(
        AdministrationError("the node has no key, so it can sign nothing: is ssh-keygen there?"))
    }
    let statement: Statement?
    do throws(AdministrationError) {
      let (first, last) = (try Self.day(since), try Self.day(until))
      if let first, let last, first > last {
        throw AdministrationError("the statement would end on \(until ?? "") before it begins")
      }
      statement = runtime.state.withLock {
        $0.statement(of: client, since: first, until: last, node: key.fingerprint, at: NodeClock.now())
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
        Array(statement.text.utf8), key: signing.keyPath, namespace: Statement.namespace)
      runtime.note(.act, who: who.name, "signed a statement for \(client)")
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
    guard runtime.state.withLock({ $0.clients.isActive(name) }) else {
      return .failure(AdministrationError("there is no active client '\(name.prefix(80))'"))
    }
    let limits: ClientLimits
    let before = runtime.state.withLock { $0.clientLimits[name] } ?? ClientLimits()
    do throws(AdministrationError) {
      limits = try changes.applied(to: before)
    } catch {
      return .failure(error)
    }
    if let problem = write(.clientLimits(limits.change(of: name))) { return .failure(problem) }
    if limits.priority != before.priority,
      let problem = write(.clientPriority(ClientPriorityChanged(client: name, most: limits.priority)))
    {
      return .failure(problem)
    }
    runtime.send(.limitsSet(client: name, limits))
    let words = "\(name) has \(limits.words)"
    runtime.note(.act, who: who.name, words)
    return .success(words)
  }

  /// - key: the text of a `.pub` file; empty removes the key.
  package func setKey(_ name: String, _ key: String, by who: Operator) -> Result<String, AdministrationError>
  {
    guard runtime.state.withLock({ $0.clients.isActive(name) }) else {
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
    runtime.send(.clientKeySet(client: name, key: parsed?.text))
    let words = parsed.map { "\(name) signs with \($0.fingerprint)" } ?? "\(name) has no key"
    runtime.note(.act, who: who.name, words)
    return .success(words)
  }

  private func write(_ record: Record) -> AdministrationError? {
    runtime.write(record).map { AdministrationError("\($0)") }
  }

  // MARK: vouchers

  /// Accepts a signed promise to pay. Runs ssh-keygen, so it is not for a thread that others wait
  /// on.
  package func takeVoucher(
    _ text: String, signature: String, from client: String
  ) -> Result<Voucher, AdministrationError> {
    func refuse(_ words: String) -> Result<Voucher, AdministrationError> {
      .failure(AdministrationError(words))
    }
    guard !isDemo else { return refuse("this is a demo: nothing is owed here") }
    guard let node = signing.notary?.key.fingerprint else {
      return refuse("the node has no key to promise to")
    }
    let known = runtime.state.withLock { ($0.clients.isActive(client), $0.clientKeys[client], $0.vouchers) }
    guard known.0 else { return refuse("there is no active client '\(client.prefix(80))'") }
    guard let key = known.1 else {
      return refuse("no SSH key of '\(client)' is known; 'hotpot clients key \(client) FILE.pub' tells it")
    }
    guard signature.utf8.count <= 16_384 else { return refuse("the signature is longer than 16,384 bytes") }
    let voucher: Voucher
    do throws(AccountingError) {
      voucher = try Voucher(parsing: text)
      // A voucher that would be refused anyway is not worth starting a process.
      var book = known.2
      try book.accept(voucher, node: node, client: client, currency: currency)
    } catch {
      return refuse("\(error)")
    }
    do throws(SignatureError) {
      try SSHKeygen().verify(
        Array(text.utf8), signature: signature, namespace: Voucher.namespace,
        allowedSigners: "\(client) namespaces=\"\(Voucher.namespace)\" \(key)\n", time: NodeClock.now().wall)
    } catch {
      return refuse("the voucher is not signed as it should be: \(error)")
    }
    let accepted: Result<VoucherAccepted, AccountingError> = runtime.decide { state, now, effects in
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

  /// The highest voucher of a client, as received: proof of its debt.
  package func voucherProof(of client: String) -> Result<VoucherAccepted, AdministrationError> {
    guard let proof = runtime.state.withLock({ $0.voucherProofs[client] }) else {
      return .failure(AdministrationError("there is no voucher of '\(client.prefix(80))'"))
    }
    return .success(proof)
  }
}
