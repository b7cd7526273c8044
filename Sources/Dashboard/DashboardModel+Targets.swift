// DashboardModel+Targets.swift: acts on jobs, receipts and the node: which rows they apply to, and
// what they ask first. An act binds to the ids that were shown when its key was pressed. It applies
// to the tagged rows that are on the list and can take it, otherwise to the row under the cursor,
// and it clears the tags. A destructive act asks for confirmation. A second key of the same kind
// continues from the value that the first one requested, not from a screen that lags behind. Start
// at targets and act.
import Control
import Terminal

extension Action {
  /// Whether the act changes a value by a step: pressed again at once, it applies to the same jobs.
  var isRelative: Bool {
    switch self {
    case .raise, .lower, .earlier, .later: true
    case .down, .up, .top, .bottom, .pageDown, .pageUp, .halfDown, .halfUp, .left, .right, .nextPane,
      .previousPane, .zoom,
      .unzoom, .open, .back, .filter, .nextMatch, .previousMatch, .sortLeft, .sortRight, .sortInvert, .tag,
      .untagAll, .approve,
      .reject, .approveAll, .approveClient, .rejectAll, .hold, .pause, .cancel, .verify, .reveal, .undo,
      .follow,
      .freeze,
      .hideEnded,
      .clearEnded, .copy, .copyRow, .talk, .command, .help, .mouse, .theme, .repaint, .suspend, .leave:
      false
    }
  }
}

extension DashboardModel {
  /// Sends an act, unless the node cannot be reached, and clears the tags that it used.
  mutating func act(_ command: NodeCommand, saying text: String?, tags: TagUse? = nil) -> [Effect] {
    if isReadOnly {
      say("read-only: this dashboard only looks", isError: true)
      return []
    }
    if let refusal = refusal(of: command) {
      say(refusal, isError: true)
      return []
    }
    if link != .connected {
      say("no line to the node: nothing was done", isError: true)
      return []
    }
    if let text { say(text) }
    noteUndo(of: command)
    remember(command)
    if let tags {
      replyNotes[nextTag] = (tags.leftOut.isEmpty ? "" : "; \(tags.leftOut)") + "; the tags are gone"
      lists[tags.pane]?.untagAll()
    }
    // The next snapshot must show the act's effect on the order, and its row must stay in view.
    lists[.jobs]?.arrangedAt = 0
    lists[.jobs]?.restUntil = 0
    if detail == nil { lists[focus]?.followsUntil = now.steady &+ 3_000_000 }
    return [send(command)]
  }

  /// Why the node would refuse the command from this operator.
  func refusal(of command: NodeCommand) -> String? {
    guard let role, command.leastRole > role else { return nil }
    return Role.refusal(role, wants: command.leastRole)
  }

  // MARK: what was asked last

  /// Remembers a command's effect, so that the next command of its kind continues from there.
  private mutating func remember(_ command: NodeCommand) {
    let until = now.steady &+ 10_000_000
    func note(_ ids: [String], _ change: (inout Asked) -> Void) {
      for id in ids {
        var entry = asked[id] ?? Asked(tag: nextTag, until: until)
        entry.tag = nextTag
        entry.until = until
        change(&entry)
        asked[id] = entry
      }
    }
    switch command {
    case .setPriority(let ids, let priority, _): note(ids) { $0.priority = priority }
    case .hold(let ids): note(ids) { $0.isHeld = true }
    case .release(let ids): note(ids) { $0.isHeld = false }
    case .pause: askedPause = (true, nextTag, until)
    case .resume: askedPause = (false, nextTag, until)
    case .approve, .reject, .move, .cancel, .drain, .undrain, .shutdown, .inspect, .reveal, .conceal,
      .receipt, .verify, .chat, .stopChat, .keepChats, .pull, .cancelPull, .history, .past, .reload,
      .administer:
      break
    }
  }

  /// Reverts what a refused command had requested.
  mutating func forgetAsked(tag: UInt64) {
    asked = asked.filter { $0.value.tag != tag }
    if askedPause?.tag == tag { askedPause = nil }
  }

  mutating func forgetAsked() {
    asked = [:]
    askedPause = nil
  }

  /// Forgets the requests that the snapshot already shows.
  mutating func settleAsked(_ snapshot: NodeSnapshot) {
    if let pause = askedPause,
      pause.until <= now.steady || pause.isPaused == (snapshot.node.state == .paused)
    {
      askedPause = nil
    }
    if asked.isEmpty { return }
    let rows = Dictionary(snapshot.jobs.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    asked = asked.compactMapValues { entry in
      guard entry.until > now.steady else { return nil }
      return entry
    }
    for (id, entry) in asked {
      guard let row = rows[id], !row.state.hasEnded else {
        asked[id] = nil
        continue
      }
      var left = entry
      if left.priority == row.priority { left.priority = nil }
      if left.isHeld == (row.state == .held) { left.isHeld = nil }
      asked[id] = left.priority == nil && left.isHeld == nil ? nil : left
    }
  }

  /// The newest known row of a job, even while the view is frozen.
  private func newestJob(_ id: String) -> JobRow? { newest?.jobs.first { $0.id == id } ?? job(id) }

  func priorityNow(_ id: String) -> Int? { asked[id]?.priority ?? newestJob(id)?.priority }

  func stateNow(_ id: String) -> JobState? {
    let state = newestJob(id)?.state ?? (approval(id) == nil ? nil : .pending)
    switch asked[id]?.isHeld {
    case true where state == .queued || state == .running: return .held
    case false where state == .held: return .queued
    case true, false, nil: return state
    }
  }

  // MARK: whom an act is for

  /// The jobs an act applies to, selected by their state.
  func jobTargets(where isMeant: (JobState) -> Bool) -> Targets {
    targets { id in self.stateNow(id).map(isMeant) ?? false }
  }

  private func targets(where canTake: (String) -> Bool) -> Targets {
    switch detail {
    case .job(let id, _, _, _), .receipt(let id, _): return Targets(ids: canTake(id) ? [id] : [])
    case .log, .client: return Targets(ids: [])
    case nil: break
    }
    guard let list = lists[focus] else { return Targets(ids: []) }
    if list.tags.isEmpty { return Targets(ids: list.selected.map { [$0] }?.filter(canTake) ?? []) }
    // The tagged rows on the visible list that can take the act. The others are named and never
    // block it.
    let ids = list.tagged.filter(canTake)
    return Targets(
      ids: ids,
      tags: TagUse(pane: focus, leftOut: leftOut(of: list, list.tags.subtracting(ids))))
  }

  /// `1 tagged job has ended`, or `of 3 tagged jobs 1 has ended, 2 are hidden by the filter`.
  private func leftOut(of list: ListState, _ ids: Set<String>) -> String {
    if ids.isEmpty { return "" }
    let noun = focus.list?.noun ?? "row"
    var counts: [(what: String, count: Int)] = []
    func count(_ what: String) {
      if let place = counts.firstIndex(where: { $0.what == what }) {
        counts[place].count += 1
      } else {
        counts.append((what, 1))
      }
    }
    for id in ids.sorted() {
      if let state = job(id)?.state, state.hasEnded {
        count("ended")
      } else if list.section(of: id) == nil {
        count(isListed(id) ? "hidden" : "gone")
      } else {
        count(stateNow(id)?.rawValue ?? "other")
      }
    }
    func words(_ what: String, _ count: Int) -> String {
      let (have, are) = count == 1 ? ("has", "is") : ("have", "are")
      switch what {
      case "ended": return "\(have) ended"
      case "hidden": return "\(are) hidden by the filter"
      case "gone": return (count == 1 ? focus.list?.gone.one : focus.list?.gone.many) ?? "\(are) gone"
      case "other": return "cannot take it"
      default: return "\(are) \(what)"
      }
    }
    if counts.count == 1 {
      return "\(ids.count) tagged \(noun)\(ids.count == 1 ? "" : "s") \(words(counts[0].what, ids.count))"
    }
    let parts = counts.map { "\($0.count) \(words($0.what, $0.count))" }.joined(separator: ", ")
    return "of \(ids.count) tagged \(noun)s \(parts)"
  }

  /// Whether the node lists the row for this pane, whatever the filter says.
  private func isListed(_ id: String) -> Bool {
    guard let snapshot, let rows = focus.list?.rows(self, snapshot, ListState()) else { return false }
    return rows.contains { $0.id == id }
  }

  /// The first three of them, in words.
  func names(_ ids: [String]) -> String {
    let shown = ids.prefix(3).map { id in
      let client = job(id)?.client ?? approval(id)?.client ?? ""
      return "\(short(id)) \(fitted(client, columns: 16))"
    }
    return shown.joined(separator: ", ") + (ids.count > 3 ? " and \(ids.count - 3) more" : "")
  }

  /// Refuses an act that no row can take: says what was found, what was expected and, if the tags
  /// are the cause, that they are.
  mutating func refuse(_ targets: Targets, _ verb: String, _ wanted: String) -> [Effect] {
    let untag = options.keyMap.hint(.untagAll) ?? ":untag-all"
    if let tags = targets.tags {
      say("\(tags.leftOut): only \(wanted) jobs can be \(verb); \(untag) untags", isError: true)
    } else if let selected, let state = stateNow(selected) {
      say("\(short(selected)) is \(state.rawValue): only \(wanted) jobs can be \(verb)", isError: true)
    } else {
      say("no \(wanted) job is selected here", isError: true)
    }
    return []
  }

  mutating func ask(_ question: String, _ command: NodeCommand, _ tags: TagUse? = nil) -> [Effect] {
    let more = tags.map { $0.leftOut.isEmpty ? "" : " (\($0.leftOut))" } ?? ""
    mode = .confirm(Confirmation(question: question + more, command: command, tags: tags))
    return []
  }

  // MARK: acts

  mutating func approve() -> [Effect] {
    if let name = clientToApprove {
      openCommandLine(client(name)?.isKnown == false ? "adopt " : "limit ")
      return []
    }
    let found = jobTargets { $0 == .pending }
    let jobs = found.ids
    if jobs.isEmpty { return refuse(found, "approved", "waiting") }
    if jobs.count == 1 { return act(.approve(jobs: jobs), saying: nil, tags: found.tags) }
    return ask("approve \(jobs.count) tagged jobs: \(names(jobs))?", .approve(jobs: jobs), found.tags)
  }

  mutating func reject() -> [Effect] {
    let found = jobTargets { $0 == .pending }
    let jobs = found.ids
    if jobs.isEmpty, clientToApprove != nil {
      openCommandLine("always reject ")
      return []
    }
    if jobs.isEmpty { return refuse(found, "rejected", "waiting") }
    field = LineEditor()
    let what = jobs.count == 1 ? names(jobs) : "\(jobs.count) jobs: \(names(jobs))"
    mode = .reason(jobs: jobs, what: what, index: 0, tags: found.tags)
    return []
  }

  mutating func decideAll(isApproval: Bool) -> [Effect] {
    guard detail == nil, focus == .approvals, let list = lists[focus] else {
      let way = options.keyMap.hint(.pane(.approvals)).map { ": \($0) goes there" } ?? ""
      say("what waits for you stands in approvals\(way)", isError: true)
      return []
    }
    let jobs = list.order
    if jobs.isEmpty {
      say("no job waits\(list.filter.isEmpty ? "" : " that matches '\(list.filter.text)'")", isError: true)
      return []
    }
    let scope =
      list.filter.isEmpty ? "all \(jobs.count) that wait" : "\(jobs.count) that match '\(list.filter.text)'"
    let tags = list.tags.isEmpty ? nil : TagUse(pane: .approvals, leftOut: "")
    if isApproval { return ask("approve \(scope): \(names(jobs))?", .approve(jobs: jobs), tags) }
    field = LineEditor()
    mode = .reason(jobs: jobs, what: "\(scope): \(names(jobs))", index: 0, tags: tags)
    return []
  }

  mutating func hold() -> [Effect] {
    let running = jobTargets { $0 == .queued || $0 == .running }
    if !running.ids.isEmpty { return act(.hold(jobs: running.ids), saying: nil, tags: running.tags) }
    let held = jobTargets { $0 == .held }
    if !held.ids.isEmpty { return act(.release(jobs: held.ids), saying: nil, tags: held.tags) }
    return refuse(running, "held", "queued or running")
  }

  /// The node applies the step; the priority beside it is what an earlier release of the node would
  /// set.
  mutating func shiftPriority(by step: Int) -> [Effect] {
    let found = relativeTargets { !$0.hasEnded }
    if found.ids.isEmpty { return refuse(found, "reordered", "open") }
    var commands: [Effect] = []
    var groups: [Int: [String]] = [:]
    for id in found.ids { if let priority = priorityNow(id) { groups[priority, default: []].append(id) } }
    // Jobs of one priority go in one command.
    for (priority, jobs) in groups.sorted(by: { $0.key < $1.key }) {
      let next = min(9, max(0, min(9, max(0, priority)) + step))
      if next == priority { continue }
      commands += act(
        .setPriority(jobs: jobs, priority: next, by: step), saying: nil, tags: found.tags)
    }
    if commands.isEmpty && (status == nil || status?.isError == false) { say("priority is from 0 to 9") }
    keepStreak(found, commands)
    return commands
  }

  mutating func place(by step: Int) -> [Effect] {
    let found = relativeTargets { $0 == .queued }
    if found.ids.isEmpty { return refuse(found, "moved", "queued") }
    // When moving down the last row goes first, so that the rows keep their relative order.
    let ordered = step < 0 ? found.ids : found.ids.reversed()
    let commands = ordered.flatMap { act(.move(job: $0, by: step), saying: nil, tags: found.tags) }
    keepStreak(found, commands)
    return commands
  }

  /// The first step clears the tags; the next one, pressed at once, applies to the same jobs.
  private func relativeTargets(where isMeant: (JobState) -> Bool) -> Targets {
    guard let streak, now.steady < streak.until else { return jobTargets(where: isMeant) }
    return Targets(
      ids: streak.targets.ids.filter { stateNow($0).map(isMeant) ?? false }, tags: streak.targets.tags)
  }

  private mutating func keepStreak(_ targets: Targets, _ commands: [Effect]) {
    guard targets.tags != nil, !commands.isEmpty else { return }
    streak = ActStreak(targets: targets, until: now.steady &+ 3_000_000)
  }

  /// The client under the cursor of clients, or of its detail.
  private var clientToApprove: String? {
    if case .client(let name) = detail { return name }
    return detail == nil && focus == .clients ? lists[.clients]?.selected : nil
  }

  mutating func cancel() -> [Effect] {
    if clientToApprove != nil { return revokeClient() }
    let found = jobTargets { !$0.hasEnded }
    if found.ids.isEmpty { return refuse(found, "cancelled", "open") }
    return ask(
      "cancel \(plural(found.ids.count, "job")): \(names(found.ids))?", .cancel(jobs: found.ids), found.tags)
  }

  mutating func verify() -> [Effect] {
    let receipt = (detail?.pane ?? focus).list?.receipt ?? { _, _ in nil }
    let found = targets { receipt(self, $0) != nil }
    if found.ids.isEmpty {
      if found.tags != nil { return refuse(found, "verified", "done") }
      say("there is no receipt here: choose one in receipts, or a job that is done", isError: true)
      return []
    }
    let receipts = found.ids.compactMap { receipt(self, $0) }
    return receipts.flatMap {
      act(.verify(receipt: $0), saying: "re-executing \(plural(receipts.count, "receipt"))", tags: found.tags)
    }
  }
}
