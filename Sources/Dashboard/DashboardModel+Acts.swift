// DashboardModel+Acts.swift: actions: moving about, and acting on jobs, receipts and the node.
// An act binds to the ids that were shown when its key was pressed. What destroys asks first. Start at perform.
import Node
import Terminal

extension DashboardModel {
  mutating func perform(_ action: Action) -> [Command] {
    if action.isAct {
      if options.isReadOnly && action != .tag && action != .reveal {
        say("read-only: this dashboard only looks", isError: true)
        return []
      }
      if now.steady < guardUntil {
        say("the row changed just now: \(action.rawValue) was not done")
        return []
      }
      if detail == nil, let list = lists[focus], list.selected != nil,
        !listIsShown || !list.isVisible(height: listHeight(focus))
      {
        showList()
        say("the selected row was off the screen: here it is")
        return []
      }
    }
    switch action {
    case .down, .up, .pageDown, .pageUp, .top, .bottom, .left, .right: return move(action)
    case .nextPane: return focus(on: Pane(rawValue: focus.rawValue % 8 + 1) ?? .jobs)
    case .previousPane: return focus(on: Pane(rawValue: (focus.rawValue + 6) % 8 + 1) ?? .jobs)
    case .jobs, .approvals, .compute, .throughput, .receipts, .earnings, .log:
      guard let pane = action.pane else { return [] }
      if pane == focus && detail == nil { isZoomed.toggle() }
      return focus(on: pane)
    case .chat, .talk:
      let commands = focus(on: .chat)
      mode = .chat
      return commands
    case .zoom: isZoomed = true
    case .unzoom: isZoomed = false
    case .open: return open()
    case .back: return back()
    case .filter:
      guard let filter = filterOfFocus else {
        say("\(focus.title) has no list to filter")
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
    case .untagAll: lists[focus]?.untagAll()
    case .approve: return approve()
    case .reject: return reject()
    case .approveAll: return decideAll(isApproval: true)
    case .rejectAll: return decideAll(isApproval: false)
    case .hold: return hold()
    case .pause:
      let isPaused = snapshot?.node.state == .paused
      return act(isPaused ? .resume : .pause, saying: nil)
    case .raise, .lower: return shiftPriority(by: action == .raise ? 1 : -1)
    case .earlier, .later: return place(by: action == .earlier ? -1 : 1)
    case .cancel: return cancel()
    case .verify: return verify()
    case .reveal: return reveal()
    case .follow:
      isFollowing.toggle()
      say(isFollowing ? "the view follows the selection" : "the view stays where it is")
      if isFollowing { revealSelection() }
    case .freeze: return freeze()
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
    case .leave: return [.leave]
    }
    return []
  }

  /// Whether the pane in focus has room for rows of its list.
  private var listIsShown: Bool {
    guard let rect = layout.rect(of: focus) else { return false }
    return listArea(focus, rect.inset(1, 1)).height > 0
  }

  private mutating func showList() {
    if !listIsShown { isZoomed = true }
    revealSelection()
  }

  // MARK: moving

  private mutating func move(_ action: Action) -> [Command] {
    if detail != nil {
      detailScroll = max(0, min(100_000, detailScroll + detailStep(action)))
      return []
    }
    let page = max(1, listHeight(focus) - 1)
    switch focus {
    case .jobs, .approvals, .receipts, .earnings:
      switch action {
      case .down: lists[focus]?.move(by: 1)
      case .up: lists[focus]?.move(by: -1)
      case .pageDown: lists[focus]?.move(by: page)
      case .pageUp: lists[focus]?.move(by: -page)
      case .top: lists[focus]?.move(by: -100_000)
      case .bottom: lists[focus]?.move(by: 100_000)
      default: return []
      }
      revealSelection()
      rest()
    case .log:
      logScroll = max(0, min(visibleLog.count - 1, logScroll - detailStep(action)))
    case .chat:
      chat.scroll = max(0, min(100_000, chat.scroll - detailStep(action)))
    case .compute, .throughput: break
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
    case .bottom: return 100_000
    case .top: return -100_000
    default: return 0
    }
  }

  private mutating func focus(on pane: Pane) -> [Command] {
    let commands = detail == nil ? [] : closeDetail()
    if pane == .jobs && focus != .jobs { restartSelection() }
    focus = pane
    if mode == .chat { mode = .normal }
    revealSelection()
    return commands
  }

  /// Who comes back to the queue after the job under the cursor has ended begins at its top.
  private mutating func restartSelection() {
    guard let list = lists[.jobs], list.tags.isEmpty, let id = list.selected, job(id)?.state.hasEnded == true
    else { return }
    lists[.jobs]?.selectRow(0)
    if lists[.jobs]?.selected != id { guardActs() }
  }

  private mutating func open() -> [Command] {
    if detail != nil { return [] }
    switch focus {
    case .jobs, .approvals:
      guard let id = lists[focus]?.selected else {
        say("nothing is selected")
        return []
      }
      detail = .job(id: id, detail: nil, answer: "", isRevealed: false)
      detailScroll = 0
      return [send(.inspect(job: id))]
    case .receipts:
      if !listIsShown {
        showList()
        return []
      }
      guard let id = lists[focus]?.selected else {
        say("nothing is selected")
        return []
      }
      detail = .receipt(id: id, detail: nil)
      detailScroll = 0
      return [send(.receipt(id: id))]
    case .chat: mode = .chat
    case .compute, .throughput, .earnings, .log: isZoomed = true
    }
    return []
  }

  /// Esc: one step out, never an act.
  private mutating func back() -> [Command] {
    if detail != nil { return closeDetail() }
    if showsDebug {
      showsDebug = false
    } else if let filter = filterOfFocus, !filter.isEmpty {
      setFilterOfFocus("")
    } else if logScroll > 0 && focus == .log {
      logScroll = 0
    } else if chat.scroll > 0 && focus == .chat {
      chat.scroll = 0
    } else if isFrozen {
      return freeze()
    } else {
      isZoomed = false
    }
    return []
  }

  private mutating func closeDetail() -> [Command] {
    defer {
      detail = nil
      detailScroll = 0
    }
    if case .job(let id, _, _, true) = detail { return [send(.conceal(job: id))] }
    return []
  }

  private mutating func sort(_ action: Action) {
    let columns = focus.sortColumns
    guard !columns.isEmpty, var list = lists[focus] else {
      say("\(focus.title) has no list to sort")
      return
    }
    switch action {
    case .sortLeft: list.sortColumn = (list.sortColumn + columns.count - 1) % columns.count
    case .sortRight: list.sortColumn = (list.sortColumn + 1) % columns.count
    default: list.isInverted.toggle()
    }
    list.restUntil = 0
    list.arrangedAt = 0
    lists[focus] = list
    say("\(focus.title) by \(columns[list.sortColumn])\(list.isInverted ? ", inverted" : "")")
    arrangeLists()
    revealSelection()
    // The operator's own doing is no surprise to him.
    guardUntil = 0
  }

  private mutating func freeze() -> [Command] {
    isFrozen.toggle()
    if isFrozen {
      say("the view is frozen; the node is not. Z goes on")
      return []
    }
    say("the view goes on")
    return newest.map { show($0) } ?? []
  }

  // MARK: acting

  /// Sends an act, unless there is nobody to hear it.
  mutating func act(_ command: NodeCommand, saying text: String?) -> [Command] {
    if options.isReadOnly {
      say("read-only: this dashboard only looks", isError: true)
      return []
    }
    if link != .connected {
      say("no line to the node: nothing was done", isError: true)
      return []
    }
    if let text { say(text) }
    // What the act does to the order is to be seen with the next snapshot.
    lists[.jobs]?.arrangedAt = 0
    lists[.jobs]?.restUntil = 0
    return [send(command)]
  }

  /// The jobs an act applies to, by the state they are in on the screen.
  func jobTargets(where isMeant: (JobState) -> Bool) -> [String] {
    let ids: [String]
    switch detail {
    case .job(let id, _, _, _): ids = [id]
    case .receipt: ids = []
    case nil: ids = focus == .jobs || focus == .approvals ? lists[focus]?.targets ?? [] : []
    }
    return ids.filter { id in
      if let state = job(id)?.state { return isMeant(state) }
      return approval(id) != nil && isMeant(.pending)
    }
  }

  /// The first three of them, in words.
  func names(_ ids: [String]) -> String {
    let shown = ids.prefix(3).map { id in
      let client = job(id)?.client ?? approval(id)?.client ?? ""
      return "\(short(id)) \(fitted(client, columns: 16))"
    }
    return shown.joined(separator: ", ") + (ids.count > 3 ? " and \(ids.count - 3) more" : "")
  }

  private mutating func refuseTargets(_ verb: String, _ wanted: String) -> [Command] {
    if let selected, let state = job(selected)?.state {
      say("\(short(selected)) is \(state.rawValue): only \(wanted) jobs can be \(verb)", isError: true)
    } else {
      say("no \(wanted) job is selected here", isError: true)
    }
    return []
  }

  private mutating func ask(_ question: String, _ command: NodeCommand) -> [Command] {
    mode = .confirm(Confirmation(question: question, command: command))
    return []
  }

  private mutating func approve() -> [Command] {
    let jobs = jobTargets { $0 == .pending }
    if jobs.isEmpty { return refuseTargets("approved", "waiting") }
    if jobs.count == 1 { return act(.approve(jobs: jobs), saying: nil) }
    return ask("approve \(jobs.count) tagged jobs: \(names(jobs))?", .approve(jobs: jobs))
  }

  private mutating func reject() -> [Command] {
    let jobs = jobTargets { $0 == .pending }
    if jobs.isEmpty { return refuseTargets("rejected", "waiting") }
    field = LineEditor()
    let what = jobs.count == 1 ? names(jobs) : "\(jobs.count) jobs: \(names(jobs))"
    mode = .reason(jobs: jobs, what: what, index: 0)
    return []
  }

  private mutating func decideAll(isApproval: Bool) -> [Command] {
    guard detail == nil, focus == .approvals || focus == .jobs, let list = lists[focus] else {
      say("A and X decide in approvals and in jobs", isError: true)
      return []
    }
    let jobs = list.order.filter { id in
      if let state = job(id)?.state { return state == .pending }
      return approval(id) != nil
    }
    if jobs.isEmpty {
      say("no job waits\(list.filter.isEmpty ? "" : " that matches '\(list.filter.text)'")", isError: true)
      return []
    }
    let scope =
      list.filter.isEmpty ? "all \(jobs.count) that wait" : "\(jobs.count) that match '\(list.filter.text)'"
    if isApproval { return ask("approve \(scope): \(names(jobs))?", .approve(jobs: jobs)) }
    field = LineEditor()
    mode = .reason(jobs: jobs, what: "\(scope): \(names(jobs))", index: 0)
    return []
  }

  private mutating func hold() -> [Command] {
    let running = jobTargets { $0 == .queued || $0 == .running }
    if !running.isEmpty { return act(.hold(jobs: running), saying: nil) }
    let held = jobTargets { $0 == .held }
    if !held.isEmpty { return act(.release(jobs: held), saying: nil) }
    return refuseTargets("held", "queued or running")
  }

  private mutating func shiftPriority(by step: Int) -> [Command] {
    let jobs = jobTargets { !$0.hasEnded }
    if jobs.isEmpty { return refuseTargets("reordered", "open") }
    var commands: [Command] = []
    // Jobs of one priority go in one command.
    for priority in 0...9 {
      let group = jobs.filter { job($0)?.priority == priority }
      let next = min(9, max(0, priority + step))
      if !group.isEmpty && next != priority {
        commands += act(.setPriority(jobs: group, priority: next), saying: nil)
      }
    }
    if commands.isEmpty && status == nil { say("priority is from 0 to 9") }
    return commands
  }

  private mutating func place(by step: Int) -> [Command] {
    let jobs = jobTargets { $0 == .queued || $0 == .held }
    if jobs.isEmpty { return refuseTargets("moved", "queued") }
    // Downwards the last goes first, so that they keep their order among themselves.
    let ordered = step < 0 ? jobs : jobs.reversed()
    return ordered.flatMap { act(.move(job: $0, by: step), saying: nil) }
  }

  private mutating func cancel() -> [Command] {
    let jobs = jobTargets { !$0.hasEnded }
    if jobs.isEmpty { return refuseTargets("cancelled", "open") }
    return ask("cancel \(plural(jobs.count, "job")): \(names(jobs))?", .cancel(jobs: jobs))
  }

  private mutating func verify() -> [Command] {
    let receipts: [String]
    switch detail {
    case .receipt(let id, _): receipts = [id]
    case .job(let id, _, _, _): receipts = job(id)?.receipt.map { [$0] } ?? []
    case nil:
      switch focus {
      case .receipts: receipts = lists[.receipts]?.targets ?? []
      case .jobs: receipts = (lists[.jobs]?.targets ?? []).compactMap { job($0)?.receipt }
      case .approvals, .compute, .throughput, .earnings, .chat, .log: receipts = []
      }
    }
    if receipts.isEmpty {
      say("there is no receipt here: choose one in receipts, or a job that is done", isError: true)
      return []
    }
    return receipts.flatMap {
      act(.verify(receipt: $0), saying: "re-executing \(plural(receipts.count, "receipt"))")
    }
  }

  private mutating func reveal() -> [Command] {
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

  private mutating func copy(_ action: Action) -> [Command] {
    if focus == .chat && detail == nil {
      let answer =
        chat.answer.isEmpty ? chat.messages.last { $0.role == .assistant }?.content ?? "" : chat.answer
      if answer.isEmpty {
        say("there is no answer to copy")
        return []
      }
      say("copied the answer")
      return [.copy(answer)]
    }
    if action == .copyRow, case .job(_, _, let answer, true) = detail, !answer.isEmpty {
      say("copied the answer")
      return [.copy(answer)]
    }
    guard let selected else {
      say("nothing is selected")
      return []
    }
    if action == .copy {
      let id =
        focus == .earnings && detail == nil ? String(selected.drop { $0 != " " }.dropFirst()) : selected
      say("copied \(displaySafe(id))")
      return [.copy(id)]
    }
    say("copied the row")
    return [.copy(rowText(selected))]
  }

  /// The row as words with tabs between them, for a spreadsheet or a message.
  private func rowText(_ id: String) -> String {
    if let row = job(id) {
      return [
        row.id, row.state.rawValue, row.client, row.model, "priority \(row.priority)",
        "\(row.promptTokens) prompt",
        "\(row.outputTokens) output", row.price.map { money($0) } ?? "free",
      ].joined(separator: "  ")
    }
    if let row = snapshot?.receipts.recent.first(where: { $0.id == id }) {
      return [
        row.id, "index \(row.index)", row.client, row.model, "\(row.outputTokens) tokens",
        row.amount.map { money($0) } ?? "free", row.state.rawValue, auditWords(row.audit),
      ].joined(separator: "  ")
    }
    return id
  }
}
