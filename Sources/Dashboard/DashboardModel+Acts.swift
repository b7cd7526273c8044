// DashboardModel+Acts.swift: the actions that move about, open and copy, and which key runs which
// action. Acts on jobs, receipts and the node are in DashboardModel+Targets.swift. Start at
// perform.
import Control
import Terminal

extension DashboardModel {
  mutating func perform(_ target: KeyTarget) -> [Effect] {
    switch target {
    case .action(let action): return perform(action)
    case .pane(let pane):
      streak = nil
      return go(to: pane)
    }
  }

  private mutating func go(to pane: Pane) -> [Effect] {
    if pane.opensAtOnce, let open = pane.open { return focus(on: pane) + open(&self) }
    if pane == focus && detail == nil { isZoomed.toggle() }
    return focus(on: pane)
  }

  mutating func perform(_ action: Action) -> [Effect] {
    if action.isAct {
      if isReadOnly && action != .tag && action != .reveal {
        say("read-only: this dashboard only looks", isError: true)
        return []
      }
      if now.steady < guardUntil {
        say("the row changed just now: \(action.rawValue) was not done")
        return []
      }
      if detail == nil, let list = lists[focus], list.selected != nil, !listIsShown || !list.isCursorShown {
        showList()
        say("the selected row was off the screen: here it is")
        return []
      }
      // The cursor stays on the row that the act was for.
      if detail == nil && action != .pause { lists[focus]?.touch() }
    }
    if !action.isRelative { streak = nil }
    switch action {
    case .left where focus == .chat && detail == nil: chat.showsThoughts = false
    case .right where focus == .chat && detail == nil: chat.showsThoughts = true
    case .down, .up, .pageDown, .pageUp, .halfDown, .halfUp, .top, .bottom, .left, .right: return move(action)
    case .nextPane: return focus(on: focus.neighbour(1))
    case .previousPane: return focus(on: focus.neighbour(-1))
    case .talk: return go(to: .chat)
    case .zoom: isZoomed = true
    case .unzoom: isZoomed = false
    case .open: return open()
    case .back: return back()
    case .filter:
      guard let filter = filterOfFocus else {
        say("\(focus.name) has no list to filter")
        return []
      }
      field = LineEditor()
      field.set(filter.text)
      mode = .filter
    case .nextMatch, .previousMatch:
      if filterOfFocus?.isEmpty != false { say("no filter: / sets one") }
      return move(action == .nextMatch ? .down : .up)
    case .sortLeft, .sortRight, .sortInvert: sort(action)
    case .tag:
      lists[focus]?.toggleTag()
      return move(.down)
    case .untagAll:
      let count = lists[focus]?.tags.count ?? 0
      lists[focus]?.untagAll()
      if count > 0 { say("untagged \(plural(count, "row"))") }
    case .approve: return approve()
    case .reject: return reject()
    case .approveAll: return decideAll(isApproval: true)
    case .rejectAll: return decideAll(isApproval: false)
    case .approveClient: return approveClient()
    case .hold: return hold()
    case .pause:
      let isPaused = askedPause?.isPaused ?? ((newest ?? snapshot)?.node.state == .paused)
      return act(isPaused ? .resume : .pause, saying: nil)
    case .raise, .lower: return shiftPriority(by: action == .raise ? 1 : -1)
    case .earlier, .later: return place(by: action == .earlier ? -1 : 1)
    case .cancel: return cancel()
    case .verify: return verify()
    case .reveal: return reveal()
    case .undo: return undo()
    case .follow:
      isFollowing.toggle()
      lists[focus]?.touch()
      say(isFollowing ? "the view follows the selection" : "the view stays where it is")
      if isFollowing { revealSelection() }
    case .freeze: return freeze()
    case .hideEnded: hideEnded()
    case .clearEnded: clearEnded()
    case .copy, .copyRow: return copy(action)
    case .command: openCommandLine("")
    case .help:
      field = LineEditor()
      mode = .palette(index: 0)
    case .mouse:
      hasMouse.toggle()
      say(hasMouse ? "mouse on: hold Shift to select text" : "mouse off")
      return [.mouse(hasMouse)]
    case .theme:
      let place = options.themes.firstIndex { $0.name == theme.name } ?? -1
      if !options.themes.isEmpty { theme = options.themes[(place + 1) % options.themes.count] }
      say("theme \(theme.name)")
    case .repaint: return [.repaint]
    case .suspend: return [.suspend]
    case .leave: return [.leave]
    }
    return []
  }

  /// Whether the focused pane is large enough to show rows of its list.
  private var listIsShown: Bool {
    guard let rect = layout.rect(of: focus) else { return false }
    return listArea(focus, rect.inset(1, 1)).height > 0
  }

  private mutating func showList() {
    if !listIsShown { isZoomed = true }
    revealSelection()
  }

  // MARK: moving

  private mutating func move(_ action: Action) -> [Effect] {
    if detail != nil {
      detailScroll = max(0, min(100_000, detailScroll + detailStep(action)))
      return []
    }
    if lists[focus] != nil {
      let page = max(1, listHeight(focus) - 1)
      switch action {
      case .down: lists[focus]?.move(by: 1)
      case .up: lists[focus]?.move(by: -1)
      case .pageDown: lists[focus]?.move(by: page)
      case .pageUp: lists[focus]?.move(by: -page)
      case .halfDown: lists[focus]?.move(by: max(1, page / 2))
      case .halfUp: lists[focus]?.move(by: -max(1, page / 2))
      case .top: lists[focus]?.moveToTop()
      case .bottom: lists[focus]?.moveToBottom()
      default: return []
      }
      revealSelection()
      rest()
      return askOlder()
    } else if let move = focus.move {
      move(&self, action)
    } else if let scroll = focus.scroll {
      self[keyPath: scroll.position] = max(
        0, min(scroll.most(self), self[keyPath: scroll.position] - detailStep(action)))
    }
    return []
  }

  private func detailStep(_ action: Action) -> Int {
    let page = max(1, size.height - 6)
    switch action {
    case .down, .right: return 1
    case .up, .left: return -1
    case .pageDown: return page
    case .pageUp: return -page
    case .halfDown: return max(1, page / 2)
    case .halfUp: return -max(1, page / 2)
    case .bottom: return 100_000
    case .top: return -100_000
    default: return 0
    }
  }

  private mutating func focus(on pane: Pane) -> [Effect] {
    let commands = detail == nil ? [] : closeDetail()
    if pane == .jobs && focus != .jobs { restartSelection() }
    focus = pane
    if mode == .chat { mode = .normal }
    revealSelection()
    return commands
  }

  /// An operator who returns to the queue after the job under the cursor has ended starts at its
  /// top.
  private mutating func restartSelection() {
    guard let list = lists[.jobs], list.tags.isEmpty, let id = list.selected, job(id)?.state.hasEnded == true
    else { return }
    lists[.jobs]?.moveToTop()
    if lists[.jobs]?.selected != id { guardActs() }
  }

  private mutating func open() -> [Effect] {
    if detail != nil { return [] }
    if let open = focus.open { return open(&self) }
    isZoomed = true
    return []
  }

  /// The detail of the job under the cursor.
  mutating func openJob() -> [Effect] {
    guard let id = lists[focus]?.selected else {
      say("nothing is selected")
      return []
    }
    lists[focus]?.touch()
    detail = .job(id: id, detail: nil, answer: "", isRevealed: false)
    detailScroll = 0
    return [send(.inspect(job: id))]
  }

  /// Opens the detail of the receipt under the cursor; in a pane too small for its list, the first
  /// press opens the list.
  mutating func openReceipt() -> [Effect] {
    if !listIsShown {
      showList()
      return []
    }
    guard let id = lists[focus]?.selected else {
      say("nothing is selected")
      return []
    }
    lists[focus]?.touch()
    detail = .receipt(id: id, detail: nil)
    detailScroll = 0
    return [send(.receipt(id: id))]
  }

  /// Esc goes one step out and never acts.
  private mutating func back() -> [Effect] {
    if detail != nil { return closeDetail() }
    if showsDebug {
      showsDebug = false
    } else if let filter = filterOfFocus, !filter.isEmpty {
      setFilterOfFocus("")
    } else if let scroll = focus.scroll, self[keyPath: scroll.position] > 0 {
      self[keyPath: scroll.position] = 0
    } else if focus.back?(&self) == true {
      return []
    } else if isFrozen {
      return freeze()
    } else {
      isZoomed = false
    }
    return []
  }

  private mutating func closeDetail() -> [Effect] {
    defer {
      detail = nil
      detailScroll = 0
    }
    if case .job(let id, _, _, true) = detail { return [send(.conceal(job: id))] }
    return []
  }

  private mutating func sort(_ action: Action) {
    guard let columns = focus.list?.columns, var list = lists[focus] else {
      say("\(focus.name) has no list to sort")
      return
    }
    switch action {
    case .sortLeft: list.sortColumn = (list.sortColumn + columns.count - 1) % columns.count
    case .sortRight: list.sortColumn = (list.sortColumn + 1) % columns.count
    default: list.isInverted.toggle()
    }
    lists[focus] = list
    showSorted()
  }

  /// The focused list was told another order.
  mutating func showSorted() {
    guard let columns = focus.list?.columns, let list = lists[focus] else { return }
    lists[focus]?.restUntil = 0
    lists[focus]?.arrangedAt = 0
    say("\(focus.name) by \(columns[list.sortColumn])\(list.isInverted ? ", inverted" : "")")
    arrangeLists()
    revealSelection()
    // The operator caused this change, so acts need no guard.
    guardUntil = 0
  }

  private mutating func freeze() -> [Effect] {
    isFrozen.toggle()
    if isFrozen {
      say("the view is frozen; the node is not. Z goes on")
      return []
    }
    say("the view goes on")
    return newest.map { show($0) } ?? []
  }

  // MARK: what ended

  private mutating func hideEnded() {
    guard lists[focus] != nil, focus.list?.hasEnds == true else {
      say("nothing ends in \(focus.name)")
      return
    }
    lists[focus]?.hidesEnded.toggle()
    rearranged()
    let count = lists[focus]?.endedCount ?? 0
    say(
      lists[focus]?.hidesEnded == true
        ? "\(plural(count, focus.list?.noun ?? "row")) that ended hidden" : "what ended is shown")
  }

  /// A screen's own matter: the node keeps its list, and the journal everything.
  private mutating func clearEnded() {
    guard let snapshot, let rows = focus.list, rows.hasEnds, var list = lists[focus] else {
      say("nothing ends in \(focus.name)")
      return
    }
    let count = list.endedCount
    if count > 0 {
      list.clearEnded(rows.rows(self, snapshot, list).filter { list.filter.matches($0.haystack) })
      say("cleared \(plural(count, rows.noun)) that ended; once more brings them back")
    } else if !list.cleared.isEmpty {
      say("\(plural(list.cleared.count, rows.noun)) that ended came back")
      list.restoreCleared()
    } else {
      say("nothing has ended")
    }
    lists[focus] = list
    rearranged()
  }

  /// The operator changed what the list shows.
  private mutating func rearranged() {
    lists[focus]?.restUntil = 0
    lists[focus]?.arrangedAt = 0
    arrangeLists()
    revealSelection()
    guardUntil = 0
  }

  private mutating func reveal() -> [Effect] {
    guard case .job(let id, let found, _, let isRevealed) = detail else {
      say("open a job with Enter first: its text is shown in its detail")
      return []
    }
    if link != .connected {
      say("no line to the node: nothing was done", isError: true)
      return []
    }
    if isRevealed {
      let hidden = found.map {
        JobDetail(row: $0.row, timeline: $0.timeline, settings: $0.settings, prompt: nil, answer: nil)
      }
      detail = .job(id: id, detail: hidden, answer: "", isRevealed: false)
      return [send(.conceal(job: id))]
    }
    detail = .job(id: id, detail: found, answer: "", isRevealed: true)
    say("this look is in the log")
    return [send(.reveal(job: id))]
  }

  private mutating func copy(_ action: Action) -> [Effect] {
    if case .log(let line) = detail {
      say("copied the line")
      return [.copy(logText(line))]
    }
    if detail == nil, let copy = focus.copy { return copy(&self) }
    if action == .copyRow, case .job(_, _, let answer, true) = detail, !answer.isEmpty {
      say("copied the answer")
      return [.copy(answer)]
    }
    // A copy changes nothing, so the tags stay for the next act.
    let tagged = detail == nil ? lists[focus]?.tagged ?? [] : []
    let rows = tagged.isEmpty ? selected.map { [$0] } ?? [] : tagged
    if rows.isEmpty {
      say("nothing is selected")
      return []
    }
    let list = (detail?.pane ?? focus).list
    let texts = rows.map { id in
      action == .copyRow ? list?.text(self, id) ?? id : list?.idText(id) ?? id
    }
    if !tagged.isEmpty {
      say("copied \(action == .copy ? "the ids of " : "")\(plural(rows.count, "tagged row"))")
    } else {
      say(action == .copy ? "copied \(displaySafe(texts[0]))" : "copied the row")
    }
    return [.copy(texts.joined(separator: "\n"))]
  }
}
