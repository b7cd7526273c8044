// DashboardModel+Lists.swift: the rows of each list, what they sort by and what a filter finds in them.
// Start at arrangeLists.
import Node
import Terminal

extension Pane {
  /// Names of what the list sorts by; the first is the node's own order.
  var sortColumns: [String] {
    switch self {
    case .jobs: ["order", "job", "client", "priority", "prompt", "output", "rate", "age", "owed"]
    case .approvals: ["deadline", "client", "tokens", "offer", "earns"]
    case .receipts: ["newest", "client", "tokens", "amount", "state"]
    case .earnings: ["order", "client", "today", "total", "unsettled"]
    case .compute, .throughput, .chat, .log: []
    }
  }
}

extension DashboardModel {
  /// New rows, or a new filter or order, in every list.
  mutating func arrangeLists() {
    guard snapshot != nil else { return }
    for pane in DashboardModel.listPanes {
      guard var list = lists[pane] else { continue }
      // A queue that changes its order with every job that ends is restless, and every row of it
      // costs bytes.
      let isCalm = list.arrangedAt > 0 && now.steady < list.arrangedAt &+ 30_000_000
      let rest: ListRest =
        now.steady < list.restUntil ? .moving : (pane == .jobs || pane == .receipts) && isCalm ? .calm : .none
      let changed = list.rearrange(rows(of: pane, list), rest)
      if rest == .none { list.arrangedAt = now.steady }
      lists[pane] = list
      // A detail is bound to its own id, whatever the list below it does.
      if changed && pane == focus && detail == nil { guardActs() }
    }
    showLists()
  }

  static let listPanes = [Pane.jobs, .approvals, .receipts, .earnings]

  /// What each list shows of its rows, after anything that may have changed them or the size of
  /// their panes.
  mutating func showLists() {
    let layout = layout
    for pane in DashboardModel.listPanes {
      guard var list = lists[pane] else { continue }
      if pane == .jobs {
        list.waitingElsewhere = layout.rect(of: .approvals) == nil ? snapshot?.approvals.count ?? 0 : 0
      }
      let isOwnAct =
        now.steady < list.followsUntil && list.selected.map { list.section(of: $0) != .ended } ?? false
      list.show(height: listHeight(pane), isFocused: pane == focus, follows: isFollowing || isOwnAct)
      lists[pane] = list
    }
  }

  mutating func guardActs() { guardUntil = now.steady &+ 300_000 }

  private func rows(of pane: Pane, _ list: ListState) -> [ListRow] {
    guard let snapshot else { return [] }
    let column = list.sortColumn
    let wantsText = !list.filter.isEmpty
    switch pane {
    case .jobs:
      // A job that waits for the operator stands in approvals, and only there.
      // Should a node send two rows of one id, the first counts here as everywhere.
      return snapshot.jobs.indices.lazy.filter {
        snapshot.jobs[$0].state != .pending && self.jobIndex[snapshot.jobs[$0].id] == $0
      }.map { index in
        let row = snapshot.jobs[index]
        return ListRow(
          id: row.id,
          haystack: wantsText
            ? "\(row.id) \(row.client) \(row.model) \(row.state.rawValue) \(row.stateDetail ?? "")"
              .lowercased() : "",
          sortValue: sortValue(row, column, snapshot.time),
          section: row.state == .running ? .running : row.state.hasEnded ? .ended : .open)
      }
    case .approvals:
      return snapshot.approvals.map { row in
        ListRow(
          id: row.id,
          haystack: wantsText
            ? "\(row.id) \(row.client) \(row.model) \(row.policy) \(row.isKnown ? "known" : "unknown")"
              .lowercased() : "",
          sortValue: sortValue(row, column))
      }
    case .receipts:
      return snapshot.receipts.recent.map { row in
        ListRow(
          id: row.id,
          haystack: wantsText
            ? "\(row.id) \(row.job) \(row.client) \(row.model) \(row.state.rawValue) \(auditWords(row.audit))"
              .lowercased() : "",
          sortValue: sortValue(row, column))
      }
    case .earnings:
      return zip(earningsIDs(snapshot.earnings), snapshot.earnings.clients).map { id, row in
        ListRow(
          id: id, haystack: wantsText ? row.client.lowercased() : "", sortValue: sortValue(row, column))
      }
    case .compute, .throughput, .chat, .log: return []
    }
  }

  private func sortValue(_ row: JobRow, _ column: Int, _ time: Microseconds) -> SortValue {
    switch column {
    case 1: .text(row.id)
    case 2: .text(row.client)
    case 3: .number(-Double(row.priority))
    case 4: .number(-Double(row.promptTokens))
    case 5: .number(-Double(row.outputTokens))
    case 6: row.tokensPerSecond.map { .number(-$0) } ?? .missing
    case 7: .number(-Double(elapsed(row.submitted, time)))
    case 8: row.price.map { .number(-Double($0)) } ?? .missing
    default: .missing
    }
  }

  private func sortValue(_ row: ApprovalRow, _ column: Int) -> SortValue {
    switch column {
    case 1: .text(row.client)
    case 2: .number(-Double(row.outputLimit))
    case 3: row.offered.map { .number(-Double($0)) } ?? .missing
    case 4: row.wouldEarn.latest.map { .number(-Double($0)) } ?? .missing
    default: .missing
    }
  }

  private func sortValue(_ row: ReceiptRow, _ column: Int) -> SortValue {
    switch column {
    case 1: .text(row.client)
    case 2: .number(-Double(row.outputTokens))
    case 3: row.amount.map { .number(-Double($0)) } ?? .missing
    case 4: .text(row.state.rawValue)
    default: .missing
    }
  }

  private func sortValue(_ row: ClientEarnings, _ column: Int) -> SortValue {
    switch column {
    case 1: .text(row.client)
    case 2: .number(-Double(row.today))
    case 3: .number(-Double(row.total))
    case 4: .number(-Double(row.unsettled))
    default: .missing
    }
  }

  /// Log lines that the filter lets through, oldest first.
  var visibleLog: [LogLine] {
    if logFilter.isEmpty { return log }
    return log.filter { logFilter.matches("\($0.level.rawValue) \($0.who ?? "") \($0.text)".lowercased()) }
  }

  /// Whether the pane has a list or a log to filter.
  var filterOfFocus: Filter? { focus == .log ? logFilter : lists[focus]?.filter }

  mutating func setFilterOfFocus(_ text: String) {
    if focus == .log {
      logFilter.text = text
      logScroll = 0
    } else {
      lists[focus]?.filter.text = text
      lists[focus]?.restUntil = 0
      lists[focus]?.arrangedAt = 0
    }
    arrangeLists()
    revealSelection()
    // The operator's own doing is no surprise to them.
    guardUntil = 0
  }

  mutating func revealSelection() {
    let height = listHeight(focus)
    lists[focus]?.reveal(height)
  }
}

/// A client's row is known by its name, and by which of that name it is, should a node send two.
func earningsIDs(_ earnings: EarningsSnapshot) -> [String] {
  var seen: [String: Int] = [:]
  return earnings.clients.map { row in
    defer { seen[row.client, default: 0] += 1 }
    return "\(seen[row.client, default: 0]) \(row.client)"
  }
}

func auditWords(_ audit: AuditState) -> String {
  switch audit {
  case .unaudited: "unaudited"
  case .running: "running"
  case .audited: "audited"
  case .failed(let reason): "failed: \(reason)"
  case .notRun(let reason): "failed to run: \(reason)"
  }
}
