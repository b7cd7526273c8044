// FleetView.swift: a fleet as a grid: the table of nodes, the approvals, the jobs, one key line.
// Pure: the same model gives the same grid. Start at view(_: FleetModel).
import Control
import Terminal

package func view(_ model: FleetModel) -> Grid {
  var canvas = Canvas(size: model.size, theme: model.theme, glyphs: model.glyphs)
  let body = max(2, model.size.height - 2)
  // The table gets as many rows as its nodes need, and leaves at least a third to the other lists.
  let table = min(max(1, model.shownNodes.count) + 3, max(4, body * 2 / 3))
  let rest = max(0, body - table)
  let width = model.size.width
  canvas.drawFleetHeader(model)
  canvas.drawFleetNodes(model, Rect(x: 0, y: 1, width: width, height: table))
  if rest >= 16 {
    // Both lists, the approvals with what they need and at most half.
    let upper = min(rest / 2, max(4, model.waits.count + 2))
    canvas.drawFleetWaits(model, Rect(x: 0, y: 1 + table, width: width, height: upper))
    canvas.drawFleetJobs(model, Rect(x: 0, y: 1 + table + upper, width: width, height: rest - upper))
  } else if model.lower == .jobs {
    canvas.drawFleetJobs(model, Rect(x: 0, y: 1 + table, width: width, height: rest))
  } else {
    canvas.drawFleetWaits(model, Rect(x: 0, y: 1 + table, width: width, height: rest))
  }
  canvas.drawFleetFooter(model)
  if model.mode == .help { canvas.drawFleetHelp(model) }
  return canvas.grid
}

/// A node's state in a word and a sign.
enum FleetState: Equatable {
  case connecting
  case live(ServingState, isIdle: Bool)
  /// Its last figures are shown, but they are old.
  case stale
  case gone

  init(_ node: FleetNode, at now: Instant) {
    guard let snapshot = node.snapshot else {
      switch node.link {
      case .connecting, .connected: self = .connecting
      case .lost, .ended: self = .gone
      }
      return
    }
    let silence = node.seen.map { elapsed($0.steady, now.steady) } ?? .max
    guard node.link == .connected, silence < 10_000_000 else {
      self = .stale
      return
    }
    self = .live(snapshot.node.state, isIdle: snapshot.node.whyIdle != nil)
  }
}

extension Canvas {
  fileprivate mutating func drawFleetHeader(_ model: FleetModel) {
    let live = model.nodes.filter { if case .live = FleetState($0, at: model.now) { true } else { false } }
    let rate = live.compactMap { $0.snapshot?.throughput.decode.current }.reduce(0, +)
    let waiting = model.waits.count
    var parts: [(String, Style)] = [
      (" hotpot fleet", strong), ("  \(live.count) of \(plural(model.nodes.count, "node"))", text),
      ("  \(Dashboard.rate(rate)) tok/s", label),
    ]
    for sum in model.sums {
      parts.append(("  today \(money(sum.today)) \(sum.currency)", text))
      parts.append((" owed \(money(sum.owed))", label))
    }
    if let shared = model.sharedWaiting {
      parts.append(("  \(grouped(shared))", shared > 0 ? strong : label))
      parts.append((" in the shared queue", label))
    }
    if waiting > 0 { parts.append(("  \(glyphs.pending) \(grouped(waiting)) waiting", pending.with(.bold))) }
    run(parts, 0, 0, limit: model.size.width)
  }

  private static let columns: [(title: String, width: Int)] = [
    ("STATE", 12), ("MODEL", 16), ("VERSION", 7), ("UP", 6), ("CPU", 5), ("GPU", 5), ("TOK/S", 7), ("RUN", 4),
    ("QUEUE", 6), ("WAIT", 5), ("FAILED", 6), ("TODAY", 13), ("OWED", 13),
  ]

  /// How many columns fit beside a name of at least 12, and on a wide screen beside a note.
  private func fleetColumns(_ width: Int) -> [(title: String, width: Int)] {
    var chosen = Self.columns
    let room = width - (width >= 100 ? 30 : 0)
    while chosen.count > 2, 14 + chosen.reduce(0, { $0 + $1.width + 1 }) > room {
      // The least important columns are dropped first.
      let order = [
        "VERSION", "UP", "GPU", "OWED", "MODEL", "CPU", "FAILED", "RUN", "TODAY", "QUEUE", "TOK/S",
      ]
      guard let victim = order.first(where: { name in chosen.contains { $0.title == name } }) else { break }
      chosen.removeAll { $0.title == victim }
    }
    return chosen
  }

  fileprivate mutating func drawFleetNodes(_ model: FleetModel, _ rect: Rect) {
    let shown = model.shownNodes
    var note: [(String, Style)] = []
    if !model.tags.isEmpty { note.append(("\(grouped(model.tags.count)) tagged  ", pending)) }
    if !model.filter.isEmpty {
      note.append(("/\(model.filter.text)  ", key))
      note.append(("\(shown.count) of \(model.nodes.count)", label))
    }
    let inner = frame(
      rect, number: FleetModel.List.nodes.rawValue, title: "nodes", isFocused: model.focus == .nodes,
      note: note)
    guard inner.height > 0, inner.width > 10 else { return }
    let columns = fleetColumns(inner.width)
    let used = columns.reduce(0) { $0 + $1.width + 1 }
    let hostWidth = max(8, min(24, inner.width - used - 1))
    var x = inner.x + 1
    func heading(_ title: String) -> (String, Style) {
      guard title == model.sortColumn else { return (title, label) }
      return (title + String(model.isInverted ? glyphs.up : glyphs.down), key)
    }
    let (name, nameStyle) = heading("NODE")
    fit(name, x, inner.y, nameStyle, width: hostWidth)
    x += hostWidth + 1
    for column in columns {
      let (words, style) = heading(column.title)
      if Self.isText(column.title) {
        fit(words, x, inner.y, style, width: column.width)
      } else {
        putRight(words, x + column.width, inner.y, style)
      }
      x += column.width + 1
    }
    let noteX = x
    let rows = inner.height - 1
    if shown.isEmpty, rows > 0 {
      fit("no node matches", inner.x + 1, inner.y + 1, faint, width: inner.width - 2)
    }
    let selectedPlace = shown.firstIndex(of: model.selectedNode) ?? 0
    let first = max(0, min(selectedPlace - rows + 1, shown.count - rows))
    for place in 0..<max(0, rows) where first + place < shown.count {
      let index = shown[first + place]
      let y = inner.y + 1 + place
      let node = model.nodes[index]
      let isSelected = index == model.selectedNode && model.focus == .nodes
      if isSelected {
        grid.fill(Rect(x: inner.x, y: y, width: inner.width, height: 1), " ", style: selection)
      }
      let state = FleetState(node, at: model.now)
      let isOld = if case .live = state { false } else { true }
      func shade(_ style: Style) -> Style { isSelected ? selection : isOld ? faint : style }
      if model.tags.contains(index) { sign(glyphs.tag, inner.x, y, isSelected ? selection : pending) }
      fit(node.name, inner.x + 1, y, shade(text), width: hostWidth)
      var x = inner.x + 2 + hostWidth
      for column in columns {
        let (words, style) = fleetCell(column.title, node, state, model)
        if Self.isText(column.title) {
          let shaded = column.title == "STATE" && !isSelected ? style : shade(style)
          fit(words, x, y, shaded, width: column.width)
        } else {
          putRight(words, x + column.width, y, shade(style), width: column.width)
        }
        x += column.width + 1
      }
      let (note, style) = fleetNote(node, state, columns.contains { $0.title == "MODEL" }, model.now)
      fit(note, noteX, y, isSelected ? selection : style, width: inner.right - noteX)
    }
  }

  private static func isText(_ column: String) -> Bool { ["STATE", "MODEL", "VERSION"].contains(column) }

  private func fleetCell(
    _ title: String, _ node: FleetNode, _ state: FleetState, _ model: FleetModel
  ) -> (String, Style) {
    if title == "STATE" { return fleetState(node, state) }
    guard let snapshot = node.snapshot else { return ("-", faint) }
    switch title {
    case "CPU": return brief(snapshot.compute.cpu) { "\(percent($0)) %" }
    case "MODEL": return (snapshot.node.model ?? "-", label)
    case "VERSION": return (snapshot.node.version, label)
    case "UP": return (age(elapsed(snapshot.node.started, snapshot.time)), label)
    case "GPU": return model.gpuShare(snapshot).map { ("\(percent($0)) %", text) } ?? ("-", faint)
    case "FAILED":
      let failed = snapshot.receipts.failed
      return (grouped(failed), failed > 0 ? error : text)
    case "OWED": return brief(snapshot.earnings.unsettled) { "\(money($0)) \(snapshot.node.currency)" }
    case "TOK/S": return brief(snapshot.throughput.decode) { rate($0) }
    case "RUN": return (grouped(snapshot.node.running), text)
    case "QUEUE": return (grouped(snapshot.node.queued), text)
    case "WAIT":
      let count = snapshot.node.waitingApproval
      return (grouped(count), count > 0 ? pending.with(.bold) : text)
    case "TODAY": return brief(snapshot.earnings.today) { "\(money($0)) \(snapshot.node.currency)" }
    default: return ("", text)
    }
  }

  private func fleetState(_ node: FleetNode, _ state: FleetState) -> (String, Style) {
    switch state {
    case .connecting: return ("\(glyphs.idle) connecting", faint)
    case .gone: return ("\(glyphs.failed) no line", error)
    case .stale: return ("\(glyphs.attention) stale", error)
    case .live(.serving, let isIdle):
      if node.snapshot.map({ isRefusing($0.node) }) ?? false {
        return ("\(glyphs.attention) refusing", error)
      }
      return isIdle ? ("\(glyphs.idle) idle", label) : ("\(glyphs.serving) serving", ok)
    case .live:
      return ("\(glyphs.attention) \(node.snapshot.map { stateWord($0.node) } ?? "")", warn)
    }
  }

  /// Why there is no connection, how old the figures are, or the first alarm.
  /// - tellsModel: whether a column has the model
  private func fleetNote(
    _ node: FleetNode, _ state: FleetState, _ tellsModel: Bool, _ now: Instant
  ) -> (String, Style) {
    switch state {
    case .connecting: return ("", faint)
    case .gone: return (linkReason(node.link), faint)
    case .stale:
      let since = node.seen.map { "for \(age(elapsed($0.steady, now.steady)))" } ?? ""
      let reason = linkReason(node.link)
      return ("\(since)\(reason.isEmpty ? "" : ": \(reason)")", error)
    case .live:
      guard let summary = node.snapshot?.node else { return ("", faint) }
      if let alarm = summary.alarms.first { return ("\(glyphs.attention) \(alarm)", error) }
      return (summary.whyIdle ?? (tellsModel ? "" : summary.model ?? ""), faint)
    }
  }

  private func linkReason(_ link: LinkState) -> String {
    switch link {
    case .connecting, .connected: ""
    case .lost(_, let reason), .ended(let reason): reason
    }
  }

  fileprivate mutating func drawFleetWaits(_ model: FleetModel, _ rect: Rect) {
    let waits = model.waits
    let inner = frame(
      rect, number: FleetModel.List.approvals.rawValue, title: "approvals of all nodes",
      isFocused: model.focus == .approvals,
      note: [("\(grouped(waits.count)) waiting", waits.isEmpty ? faint : pending)],
      foot: "a approve \(glyphs.separator) x reject \(glyphs.separator) A all")
    guard inner.height > 0, inner.width > 10 else { return }
    if waits.isEmpty {
      fit(
        model.filter.isEmpty ? "nothing waits" : "nothing that waits matches", inner.x + 1, inner.y, faint,
        width: inner.width - 2)
      return
    }
    let selected = model.waitIndex ?? 0
    let first = max(0, min(selected - inner.height + 1, waits.count - inner.height))
    for place in 0..<inner.height where first + place < waits.count {
      let wait = waits[first + place]
      let node = model.nodes[wait.node]
      let y = inner.y + place
      let isSelected = first + place == selected && model.focus == .approvals
      if isSelected {
        grid.fill(Rect(x: inner.x, y: y, width: inner.width, height: 1), " ", style: selection)
      }
      func shade(_ style: Style) -> Style { isSelected ? selection : style }
      let time = node.snapshot?.time ?? 0
      let passed = node.seen.map { elapsed($0.steady, model.now.steady) } ?? 0
      let left =
        "\(countdown(elapsed(time.addingReportingOverflow(passed).partialValue, wait.row.deadline))) left"
      let offer =
        wait.row.offered.map { "offers \(price($0))/M" } ?? (wait.row.asked == nil ? "free" : "no offer")
      let earns =
        wait.row.wouldEarn.current.map { "  earns \(money($0)) \(node.snapshot?.node.currency ?? "")" } ?? ""
      let right = inner.right - 1
      putRight(left, right, y, shade(text))
      run(
        [
          (
            model.taggedWaits.contains(FleetModel.Place(node: wait.node, id: wait.row.id))
              ? "\(glyphs.tag) " : "\(glyphs.pending) ", shade(pending)
          ),
          (fitted(node.name, columns: 16, ellipsis: Character(glyphs.ellipsis)) + "  ", shade(text)),
          (String(wait.row.id.prefix(8)) + "  ", shade(label)),
          (fitted(wait.row.client, columns: 20, ellipsis: Character(glyphs.ellipsis)) + "  ", shade(text)),
          ("\(grouped(wait.row.outputLimit)) tok max  \(offer)", shade(label)),
          (earns, shade(text)), ("  \(wait.row.policy)", shade(faint)),
        ], inner.x + 1, y, limit: right - displayWidth(left) - 2)
    }
  }

  /// What runs, is held or queued, node by node.
  fileprivate mutating func drawFleetJobs(_ model: FleetModel, _ rect: Rect) {
    let jobs = model.jobs
    let running = jobs.count { $0.row.state == .running }
    let inner = frame(
      rect, number: FleetModel.List.jobs.rawValue, title: "jobs of all nodes",
      isFocused: model.focus == .jobs,
      note: [("\(grouped(running)) run \(glyphs.separator) \(grouped(jobs.count - running)) wait", label)],
      foot: "D cancel")
    guard inner.height > 0, inner.width > 10 else { return }
    if jobs.isEmpty {
      fit(
        model.filter.isEmpty ? "nothing runs or is queued" : "no job matches", inner.x + 1, inner.y, faint,
        width: inner.width - 2)
      return
    }
    let selected = model.jobIndex ?? 0
    let first = max(0, min(selected - inner.height + 1, jobs.count - inner.height))
    for place in 0..<inner.height where first + place < jobs.count {
      let job = jobs[first + place]
      let node = model.nodes[job.node]
      let y = inner.y + place
      let isSelected = first + place == selected && model.focus == .jobs
      if isSelected {
        grid.fill(Rect(x: inner.x, y: y, width: inner.width, height: 1), " ", style: selection)
      }
      func shade(_ style: Style) -> Style { isSelected ? selection : style }
      let time = node.snapshot?.time ?? job.row.submitted
      let speed = job.row.tokensPerSecond.map { "\(rate($0)) t/s  " } ?? ""
      let right = "\(speed)\(age(elapsed(job.row.submitted, time)))"
      putRight(right, inner.right - 1, y, shade(text))
      let isRunning = job.row.state == .running
      let tokens = "\(grouped(job.row.outputTokens))/\(grouped(job.row.outputLimit)) tok"
      run(
        [
          ("\(isRunning ? glyphs.serving : glyphs.idle) ", shade(isRunning ? ok : label)),
          (fitted(node.name, columns: 16, ellipsis: Character(glyphs.ellipsis)) + "  ", shade(text)),
          (String(job.row.id.prefix(8)) + "  ", shade(label)),
          (fitted(job.row.client, columns: 20, ellipsis: Character(glyphs.ellipsis)) + "  ", shade(text)),
          ("P \(job.row.priority)  \(tokens)", shade(label)),
          (isRunning ? "" : "  \(job.row.state.rawValue)", shade(faint)),
          (leaseWords(model.lease(job.node, job.row.id)), shade(label)),
          (job.row.stateDetail.map { "  \($0)" } ?? "", shade(faint)),
        ], inner.x + 1, y, limit: inner.right - 2 - displayWidth(right) - 1)
    }
  }

  private func leaseWords(_ lease: SharedQueueSnapshot.Lease?) -> String {
    lease.map { $0.delivery == 1 ? "  leased" : "  leased, given out \(grouped($0.delivery)) times" } ?? ""
  }

  fileprivate mutating func drawFleetFooter(_ model: FleetModel) {
    let y = model.size.height - 1
    let width = model.size.width
    switch model.mode {
    case .reason(let jobs):
      let first = jobs.first.map { "\($0.id.prefix(8)) of \(model.nodes[$0.node].name)" } ?? ""
      typed(
        " reject \(jobs.count == 1 ? first : "\(jobs.count) jobs"), reason: ",
        hint: "(Enter: \(cannedReasons[0]))", model)
    case .message(let targets):
      let first = targets.first.map { model.nodes[$0].name } ?? ""
      typed(" say in the log of \(targets.count == 1 ? first : "\(targets.count) nodes"): ", hint: "", model)
    case .filter: typed(" filter: ", hint: "a node, model, client or state; ! inverts", model)
    case .confirm(let question, _): fit(" \(question) y n", 0, y, warn, width: width)
    case .normal, .help:
      if let status = model.status {
        fit(" \(status.text)", 0, y, status.isError ? error : ok, width: width)
      } else {
        let acts =
          switch model.focus {
          case .nodes: "Space tag  P pause  d drain  m message  < > sort"
          case .approvals: "Space tag  a approve  x reject  A all"
          case .jobs: "D cancel"
          }
        fit(" Enter attach  \(acts)  / filter  Tab list  ? help  q leave", 0, y, label, width: width)
      }
    }
  }

  /// A field on the last line.
  private mutating func typed(_ prompt: String, hint: String, _ model: FleetModel) {
    let y = model.size.height - 1
    let width = model.size.width
    let x = fit(prompt, 0, y, warn, width: width)
    let isEmpty = model.field.isEmpty
    fit(isEmpty ? hint : model.field.text, x, y, isEmpty ? faint : text, width: width - x)
    grid.cursor = Grid.Point(x: min(width - 1, x + displayWidth(model.field.beforeCursor)), y: y)
  }

  fileprivate mutating func drawFleetHelp(_ model: FleetModel) {
    let lines = [
      "j k, arrows    move in the list", "Tab, 1 2 3     nodes, approvals, jobs of all nodes",
      "Enter          that node's own dashboard; q comes back here",
      "/  Esc         filter all lists by words, ! first inverts; all again",
      "< > I          sort the nodes by a column, invert",
      "Space U        tag nodes or approvals, untag; acts are for the tagged",
      "P  d           nodes: pause or resume, drain or admit again",
      "m              a message into their logs",
      "a x A          approve, reject with a reason, approve all that are listed",
      "D              cancel the job under the cursor", "C-l            paint again",
      "q              leave: all nodes serve on", "",
      "A node without a line keeps its last figures, marked as stale.",
    ]
    let width = min(model.size.width, (lines.map(displayWidth).max() ?? 0) + 4)
    let height = min(model.size.height, lines.count + 2)
    let rect = Rect(
      x: (model.size.width - width) / 2, y: max(0, (model.size.height - height) / 2), width: width,
      height: height)
    grid.fill(rect, " ", style: text)
    let inner = frame(rect, number: nil, title: " help", isFocused: true)
    for (index, line) in lines.prefix(inner.height).enumerated() {
      fit(line, inner.x + 1, inner.y + index, text, width: inner.width - 1)
    }
  }
}
