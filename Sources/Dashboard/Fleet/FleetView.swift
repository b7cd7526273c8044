// FleetView.swift: a fleet as a grid: the table of nodes, the list of approvals, one key line.
// Pure: the same model gives the same grid. Start at view(_: FleetModel).
import Control
import Terminal

package func view(_ model: FleetModel) -> Grid {
  var canvas = Canvas(size: model.size, theme: model.theme, glyphs: model.glyphs)
  let body = max(2, model.size.height - 2)
  // The table gets as many rows as its nodes need, and leaves at least a third to the approvals.
  let table = min(model.nodes.count + 3, max(4, body * 2 / 3))
  canvas.drawFleetHeader(model)
  canvas.drawFleetNodes(model, Rect(x: 0, y: 1, width: model.size.width, height: table))
  canvas.drawFleetWaits(
    model, Rect(x: 0, y: 1 + table, width: model.size.width, height: max(0, body - table)))
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
    if waiting > 0 { parts.append(("  \(glyphs.pending) \(grouped(waiting)) waiting", pending.with(.bold))) }
    run(parts, 0, 0, limit: model.size.width)
  }

  private static let columns: [(title: String, width: Int)] = [
    ("STATE", 12), ("CPU", 5), ("GPU", 5), ("TOK/S", 7), ("RUN", 4), ("QUEUE", 6), ("WAIT", 5), ("TODAY", 9),
  ]

  /// How many columns fit beside a host of at least 12.
  private func fleetColumns(_ width: Int) -> [(title: String, width: Int)] {
    var chosen = Self.columns
    while chosen.count > 2, 14 + chosen.reduce(0, { $0 + $1.width + 1 }) > width {
      // The least important columns are dropped first: GPU, then CPU, then the running jobs.
      let order = ["GPU", "CPU", "RUN", "TODAY", "QUEUE", "TOK/S"]
      guard let victim = order.first(where: { name in chosen.contains { $0.title == name } }) else { break }
      chosen.removeAll { $0.title == victim }
    }
    return chosen
  }

  fileprivate mutating func drawFleetNodes(_ model: FleetModel, _ rect: Rect) {
    let inner = frame(
      rect, number: FleetModel.List.nodes.rawValue, title: "nodes", isFocused: model.focus == .nodes)
    guard inner.height > 0, inner.width > 10 else { return }
    let columns = fleetColumns(inner.width)
    let used = columns.reduce(0) { $0 + $1.width + 1 }
    let hostWidth = max(8, min(24, inner.width - used - 1))
    var x = inner.x + 1
    fit("HOST", x, inner.y, label, width: hostWidth)
    x += hostWidth + 1
    for column in columns {
      if column.title == "STATE" {
        fit(column.title, x, inner.y, label, width: column.width)
      } else {
        putRight(column.title, x + column.width, inner.y, label)
      }
      x += column.width + 1
    }
    let noteX = x
    let rows = inner.height - 1
    let first = max(0, min(model.selectedNode - rows + 1, model.nodes.count - rows))
    for place in 0..<max(0, rows) where first + place < model.nodes.count {
      let index = first + place
      let y = inner.y + 1 + place
      let node = model.nodes[index]
      let isSelected = index == model.selectedNode && model.focus == .nodes
      if isSelected {
        grid.fill(Rect(x: inner.x, y: y, width: inner.width, height: 1), " ", style: selection)
      }
      let state = FleetState(node, at: model.now)
      let isOld = if case .live = state { false } else { true }
      func shade(_ style: Style) -> Style { isSelected ? selection : isOld ? faint : style }
      fit(node.host, inner.x + 1, y, shade(text), width: hostWidth)
      var x = inner.x + 2 + hostWidth
      for column in columns {
        let (words, style) = fleetCell(column.title, node, state, model)
        if column.title == "STATE" {
          fit(words, x, y, isSelected ? selection : style, width: column.width)
        } else {
          putRight(words, x + column.width, y, shade(style), width: column.width)
        }
        x += column.width + 1
      }
      let (note, style) = fleetNote(node, state, model.now)
      fit(note, noteX, y, isSelected ? selection : style, width: inner.right - noteX)
    }
  }

  private func fleetCell(
    _ title: String, _ node: FleetNode, _ state: FleetState, _ model: FleetModel
  ) -> (String, Style) {
    if title == "STATE" { return fleetState(node, state) }
    guard let snapshot = node.snapshot else { return ("-", faint) }
    switch title {
    case "CPU": return brief(snapshot.compute.cpu) { "\(percent($0)) %" }
    case "GPU":
      guard let gpus = snapshot.compute.gpus.current, !gpus.isEmpty else { return ("-", faint) }
      let shares = gpus.compactMap(\.utilization.current)
      guard !shares.isEmpty else { return ("-", faint) }
      return ("\(percent(shares.reduce(0, +) / Double(shares.count))) %", text)
    case "TOK/S": return brief(snapshot.throughput.decode) { rate($0) }
    case "RUN": return (grouped(snapshot.node.running), text)
    case "QUEUE": return (grouped(snapshot.node.queued), text)
    case "WAIT":
      let count = snapshot.node.waitingApproval
      return (grouped(count), count > 0 ? pending.with(.bold) : text)
    case "TODAY": return brief(snapshot.earnings.today) { money($0) }
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
  private func fleetNote(_ node: FleetNode, _ state: FleetState, _ now: Instant) -> (String, Style) {
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
      return (summary.whyIdle ?? summary.model ?? "", faint)
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
      foot: "a approve \(glyphs.separator) x reject")
    guard inner.height > 0, inner.width > 10 else { return }
    if waits.isEmpty {
      fit("nothing waits", inner.x + 1, inner.y, faint, width: inner.width - 2)
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
      let right = inner.right - 1
      putRight(left, right, y, shade(text))
      run(
        [
          ("\(glyphs.pending) ", shade(pending)),
          (fitted(node.host, columns: 16, ellipsis: Character(glyphs.ellipsis)) + "  ", shade(text)),
          (String(wait.row.id.prefix(8)) + "  ", shade(label)),
          (fitted(wait.row.client, columns: 20, ellipsis: Character(glyphs.ellipsis)) + "  ", shade(text)),
          ("\(grouped(wait.row.outputLimit)) tok max  \(offer)", shade(label)),
        ], inner.x + 1, y, limit: right - displayWidth(left) - 2)
    }
  }

  fileprivate mutating func drawFleetFooter(_ model: FleetModel) {
    let y = model.size.height - 1
    let width = model.size.width
    switch model.mode {
    case .reason(let node, let job):
      let prompt = " reject \(job.prefix(8)) of \(model.nodes[node].host), reason: "
      let x = fit(prompt, 0, y, warn, width: width)
      fit(
        model.reason.text.isEmpty ? "(Enter: \(cannedReasons[0]))" : model.reason.text, x, y, text,
        width: width - x)
      grid.cursor = Grid.Point(
        x: min(width - 1, x + displayWidth(model.reason.beforeCursor)), y: y)
    case .normal, .help:
      if let status = model.status {
        fit(" \(status.text)", 0, y, status.isError ? error : ok, width: width)
      } else {
        fit(
          " j/k move  Tab other list  Enter attach  a approve  x reject  ? help  q leave", 0, y, label,
          width: width)
      }
    }
  }

  fileprivate mutating func drawFleetHelp(_ model: FleetModel) {
    let lines = [
      "j k, arrows    move in the list", "Tab, 1 2       nodes, approvals of all nodes",
      "Enter          that node's own dashboard; q comes back here",
      "a              approve the job under the cursor",
      "x              reject it, with a reason", "C-l            paint again",
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
