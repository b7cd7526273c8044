// NodeState+Restore.swift: restores the state from the journal: clients, books, receipts. Start at
// restore.
import Accounting
import Control
import Receipts
import Scheduling

extension NodeState {
  /// A receipt that no signed checkpoint covers.
  package struct UnsignedReceipt: Sendable {
    let receipt: Receipts.Receipt
    /// Whether its amount still awaits verification by a signature; one that failed an audit is
    /// counted as failed instead.
    let counts: Bool

    package init(receipt: Receipts.Receipt, counts: Bool) {
      self.receipt = receipt
      self.counts = counts
    }
  }

  /// Restores what earlier runs wrote. Called once, before the first event.
  /// - recent: the newest receipts, oldest first.
  /// - unsigned: receipts that no signed checkpoint covers, oldest first.
  /// - failed: receipts that are signed and failed an audit.
  /// - Returns: what was inconsistent, in words; empty when all is well.
  package mutating func restore(
    from catalog: Catalog, recent: [LoggedReceipt], unsigned: [UnsignedReceipt] = [],
    failed: [Receipts.Receipt] = [], at now: Moment
  ) -> [String] {
    var problems: [String] = []
    func attempt(_ body: () throws(AccountingError) -> Void) {
      do throws(AccountingError) { try body() } catch { problems.append("the books: \(error)") }
    }
    let counts = catalog.counts
    // The operator's own jobs earn nothing.
    let cells = catalog.rows().filter { !Self.isOwn($0.key.client) }
      .map {
        Ledger.Cell(
          day: $0.key.day, client: $0.key.client, model: $0.key.model,
          totals: Totals(
            jobs: $0.totals.receipts, promptTokens: $0.totals.promptTokens,
            cachedTokens: $0.totals.cachedTokens,
            completionTokens: $0.totals.completionTokens, amount: Amount(micro: $0.totals.amount)))
      }
    attempt { () throws(AccountingError) in
      try ledger.open(
        cells, next: ReceiptIndex(UInt64(clamping: counts.logged)),
        unsigned: unsigned.filter { !Self.isOwn($0.receipt.client) }.map {
          (
            ReceiptIndex(UInt64(clamping: $0.receipt.index)),
            $0.counts ? Amount(micro: $0.receipt.amount) : .zero
          )
        },
        failed: Amount(micro: failed.reduce(0) { $0 &+ (Self.isOwn($1.client) ? 0 : $1.amount) }))
    }
    // Daily limits stay valid over a restart.
    for cell in cells where abs(Int(cell.day) - Int(now.day)) <= 1 {
      tokensUsed[cell.day, default: [:]][cell.client, default: 0] +=
        cell.totals.promptTokens + cell.totals.completionTokens
    }
    for entry in catalog.standing {
      switch entry.record {
      case .clientAdded(let added):
        clients.add(name: added.client, tokenDigest: added.tokenSHA256, at: entry.envelope.time)
      case .clientRevoked(let revoked): clients.revoke(name: revoked.client, at: entry.envelope.time)
      case .budgetChanged(let change):
        var limits = clientLimits[change.client] ?? ClientLimits()
        limits.budget = change.period == .none ? nil : Amount(micro: change.limit)
        clientLimits[change.client] = limits
      case .clientLimits(let change):
        var limits = ClientLimits(change)
        limits.priority = clientLimits[change.client]?.priority
        clientLimits[change.client] = limits
      case .clientPriority(let change):
        clientLimits[change.client, default: ClientLimits()].priority =
          change.most < 0 ? nil : Int(change.most)
      case .clientKey(let change): clientKeys[change.client] = change.key.isEmpty ? nil : change.key
      case .voucher(let accepted):
        attempt { () throws(AccountingError) in try reopen(accepted) }
      case .settlement(let payment):
        attempt { () throws(AccountingError) in
          try ledger.apply(
            .settled(
              client: payment.client, amount: Amount(micro: payment.amount), reference: payment.reference,
              day: payment.day))
        }
      case .deposit(let payment):
        attempt { () throws(AccountingError) in
          try ledger.apply(
            .deposited(
              client: payment.client, amount: Amount(micro: payment.amount), reference: payment.reference,
              day: payment.day))
        }
      case .correction(let correction):
        attempt { () throws(AccountingError) in
          try ledger.apply(
            .corrected(
              client: correction.client, amount: Amount(micro: correction.amount), reason: correction.reason,
              day: correction.day))
        }
      case .energy(let hour):
        energy.restore(
          EnergyBook.Hour(
            day: hour.day, hour: hour.hour, millijoules: Int64(hour.millijoules),
            cost: hour.isPriced ? Amount(micro: hour.cost) : nil))
      case .nodeStarted, .nodeStopped, .recovered, .jobAccepted, .jobEnded, .receipt, .operatorAct,
        .policyChanged,
        .transferVoided, .checkpointSigned, .checkpointWitnessed, .audit:
        break
      }
    }
    receipts.open(
      logged: counts.logged, signed: counts.signed, witnessed: counts.witnessed, audited: counts.audited,
      failed: counts.failed, auditsNotRun: counts.notRun, lastCheckpoint: counts.lastSigned,
      recent: recent.map { logged in
        let receipt = logged.receipt
        return ReceiptRow(
          id: logged.id, index: UInt64(clamping: receipt.index), job: JobID(receipt.job).hex,
          client: receipt.client,
          model: receipt.model, time: receipt.ended, promptTokens: receipt.promptTokens,
          outputTokens: receipt.completionTokens, amount: receipt.amount,
          state: Self.state(logged.status.seal),
          audit: Self.audit(logged.status.reexecution))
      })
    return problems
  }

  /// Whether the name is one that the node gives its own jobs, not a client's.
  private static func isOwn(_ name: String) -> Bool { ClientDirectory.ownNames.contains(name) }

  static func state(_ seal: ReceiptStatus.Seal) -> ReceiptState {
    switch seal {
    case .logged: .logged
    case .signed: .signed
    case .witnessed: .witnessed
    }
  }

  static func audit(_ result: ReceiptStatus.Reexecution) -> AuditState {
    switch result {
    case .unaudited: .unaudited
    case .notRun: .notRun("before the node's last start; its log of then says why")
    case .identical: .audited
    case .failed(let audit): .failed(audit.words)
    }
  }
}
