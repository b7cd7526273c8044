// NodeState+Statements.swift: what the books say about days and about one client. Start at
// earningsTable.
import Accounting
import Control

extension NodeState {
  /// What was posted since a day, by day, client and model.
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

  /// The statement of a client for some days, by default until today; nil for an unknown client.
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
      case .settled(_, _, _, let day), .deposited(_, _, _, let day), .corrected(_, _, _, let day): day
      }
    }
    let first = since ?? (cells.map(\.day) + moved).min() ?? now.day
    // A clock that was set back leaves days after today: they belong to the statement.
    let last = max(first, until ?? max(now.day, (cells.map(\.day) + moved).max() ?? now.day))
    return Statement(
      ledger: ledger, client: client, days: first...last, node: node, currency: configuration.currency)
  }
}
