// DashboardModel+Lists.swift: the lists of all panes: their order, their visible rows, their
// filter. The contents of rows are in Panes/, a single list in ListState.swift. Start at
// arrangeLists.
import Control
import Terminal

extension DashboardModel {
  /// Applies new rows, or a new filter or order, to every list.
  mutating func arrangeLists() {
    guard let snapshot else { return }
    for pane in Pane.all {
      guard let rows = pane.list, var list = lists[pane] else { continue }
      let isCalm = rows.isCalm && list.arrangedAt > 0 && now.steady < list.arrangedAt &+ 30_000_000
      let rest: ListRest = now.steady < list.restUntil ? .moving : isCalm ? .calm : .none
      let changed = list.rearrange(rows.rows(self, snapshot, list), rest)
      if rest == .none { list.arrangedAt = now.steady }
      lists[pane] = list
      // A detail is bound to its own id, so changes of the list below do not affect it.
      if changed && pane == focus && detail == nil { guardActs() }
    }
    showLists()
  }

  /// Determines the visible rows of each list, after anything that may have changed the rows or the
  /// size of their panes.
  mutating func showLists() {
    let layout = layout
    for pane in Pane.all {
      guard let rows = pane.list, var list = lists[pane] else { continue }
      list.waitingElsewhere = rows.waitingElsewhere(self, layout)
      let isOwnAct =
        now.steady < list.followsUntil && list.selected.map { list.section(of: $0) != .ended } ?? false
      list.show(height: listHeight(pane), isFocused: pane == focus, follows: isFollowing || isOwnAct)
      lists[pane] = list
    }
  }

  mutating func guardActs() { guardUntil = now.steady &+ 300_000 }

  /// Nil if the pane has nothing to filter.
  var filterOfFocus: Filter? { focus.filter.map { self[keyPath: $0] } ?? lists[focus]?.filter }

  mutating func setFilterOfFocus(_ text: String) {
    if let filter = focus.filter {
      self[keyPath: filter].text = text
      if let scroll = focus.scroll { self[keyPath: scroll.position] = 0 }
      _ = focus.back?(&self)
    } else {
      lists[focus]?.filter.text = text
      lists[focus]?.restUntil = 0
      lists[focus]?.arrangedAt = 0
    }
    arrangeLists()
    revealSelection()
    // The operator caused this change, so acts need no guard.
    guardUntil = 0
  }

  mutating func revealSelection() {
    let height = listHeight(focus)
    lists[focus]?.reveal(height)
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
