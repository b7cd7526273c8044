// HistoryPane.swift: the jobs that ended, from the node's journal, over its restarts. The node is
// asked when the pane comes into focus and every ten seconds while it is, and for older jobs when
// the cursor reaches the end. Start at Pane.history.
import Control
import Terminal

extension Pane {
  package static let history: Pane = Pane(
    "history", words: "history: jobs that ended, from the journal; again: zoom",
    hints: [
      (.open, "receipt"), (.filter, "filter"), (.sortRight, "sort"), (.bottom, "older"), (.copy, "copy id"),
    ],
    list: historyList,
    open: { $0.openPastReceipt() },
    draw: { canvas, model, _, rect in canvas.drawHistory(model, rect) })
}

private let historyColumns: [PaneColumn<PastJob>] = [
  .order("ended"),
  PaneColumn("day") { row, _ in .text(row.day) },
  PaneColumn("client") { row, _ in .text(row.client) },
  PaneColumn("outcome") { row, _ in .text(row.state.rawValue) },
  PaneColumn("output") { row, _ in row.outputTokens.map { .number(-Double($0)) } ?? .missing },
  PaneColumn("owed") { row, _ in row.price.map { .number(-Double($0)) } ?? .missing },
]

private let historyList = PaneList(
  of: "job",
  columns: historyColumns,
  rows: { model, _ in model.past.rows },
  id: { $0.id },
  words: { "\($0.id) \($0.client) \($0.model ?? "") \($0.state.rawValue) \($0.day) \($0.stateDetail ?? "")" },
  text: { model, id in
    model.past.rows.first { $0.id == id }.map { row in
      [
        row.id, row.day, row.state.rawValue, row.client, row.model ?? "", row.stateDetail ?? "",
        row.price.map { money($0) } ?? "free", row.receipt ?? "no receipt",
      ].joined(separator: "  ")
    }
  },
  receipt: { model, id in model.past.rows.first { $0.id == id }?.receipt },
  head: { $0.height >= 3 ? 1 : 0 })

extension DashboardModel {
  /// Asks the node for the newest of the past, while it is looked at.
  mutating func askPast() -> [Effect] {
    guard focus == .history, link == .connected, let question = past.question(older: false, at: now.steady)
    else { return [] }
    return [send(.past(question))]
  }

  /// Asks for what is older, if the cursor is on the last row.
  mutating func askOlder() -> [Effect] {
    guard focus == .history, link == .connected, let list = lists[.history], list.selected == list.order.last,
      list.sortColumn == 0, list.filter.isEmpty, let question = past.question(older: true, at: now.steady)
    else { return [] }
    return [send(.past(question))]
  }

  fileprivate mutating func openPastReceipt() -> [Effect] {
    guard let id = lists[.history]?.selected, let row = past.rows.first(where: { $0.id == id }) else {
      say("nothing is selected")
      return []
    }
    guard let receipt = row.receipt else {
      say("\(short(id)) has no receipt: \(row.stateDetail ?? row.state.rawValue)")
      return []
    }
    lists[.history]?.touch()
    detail = .receipt(id: receipt, detail: nil)
    detailScroll = 0
    return [send(.receipt(id: receipt))]
  }
}

extension Canvas {
  fileprivate mutating func drawHistory(_ model: DashboardModel, _ rect: Rect) {
    let list = model.lists[.history] ?? ListState()
    let isFocused = model.focus == .history
    var note = filterNote(list.filter, isEditing: model.mode == .filter && isFocused)
    let rows = Dictionary(model.past.rows.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    let shown = list.order.compactMap { rows[$0] }
    if !shown.isEmpty {
      let earned = shown.reduce(Int64(0)) { $0.addingReportingOverflow($1.price ?? 0).partialValue }
      note.append(("\(plural(shown.count, "job"))\(model.past.isWhole ? "" : " so far")  ", label))
      note.append((money(earned), text))
    }
    let inner = frame(rect, .history, model, note: note, foot: position(list, model, .history))
    let area = model.listArea(.history, inner)
    let columns = HistoryColumns(inner, names: shown.map { displayWidth($0.client) }.max() ?? 0)
    if area.y > inner.y { drawHistoryHead(columns, inner.y, list) }
    if list.order.isEmpty {
      let words =
        !model.past.isKnown
        ? "asking the node\(glyphs.ellipsis)"
        : model.past.rows.isEmpty ? "no job has ended yet" : "no job matches '\(list.filter.text)'"
      fit(words, area.x + 1, area.y + max(0, area.height - 1) / 2, faint, width: area.width - 2)
      return
    }
    for (row, line) in list.lines(height: area.height).enumerated() {
      guard case .row(let id) = line, let job = rows[id] else { continue }
      drawPast(
        job, model, columns, Rect(x: area.x, y: area.y + row, width: area.width, height: 1),
        isSelected: isFocused && id == list.selected, isTagged: list.tags.contains(id))
    }
  }

  private mutating func drawHistoryHead(_ columns: HistoryColumns, _ y: Int, _ list: ListState) {
    func name(_ column: String, _ title: String) -> (String, Style) {
      heading(title, column, list, .history)
    }
    let ended = name(list.sortColumn == 1 ? "day" : "ended", "ENDED")
    fit(ended.0, columns.ended, y, ended.1, width: 18)
    if columns.job > 0 { put("JOB", columns.job, y, faint) }
    let client = name("client", "CLIENT")
    fit(client.0, columns.client, y, client.1, width: columns.clientWidth)
    let outcome = name("outcome", "OUTCOME")
    fit(outcome.0, columns.outcome, y, outcome.1, width: columns.outcomeWidth)
    func right(_ end: Int, _ word: (String, Style)) { if end > 0 { putRight(word.0, end, y, word.1) } }
    right(columns.promptEnd, ("PROMPT", faint))
    right(columns.outputEnd, name("output", "OUT"))
    right(columns.tookEnd, ("TOOK", faint))
    right(columns.owedEnd, name("owed", "OWED"))
  }

  private mutating func drawPast(
    _ job: PastJob, _ model: DashboardModel, _ columns: HistoryColumns, _ rect: Rect, isSelected: Bool,
    isTagged: Bool
  ) {
    let y = rect.y
    if isSelected { grid.fill(rect, " ", style: selection) }
    func shade(_ style: Style) -> Style { isSelected ? selection : style }
    if isTagged { sign(glyphs.tag, rect.x, y, shade(key)) }
    let (mark, style) = jobSign(job.state)
    sign(mark, rect.x + 1, y, shade(style))
    let time = clock(job.ended, offset: model.options.utcOffset, withSeconds: columns.dayWidth == 10)
    let day = displaySafe(job.day.suffix(columns.dayWidth))
    put(day.isEmpty ? time : "\(day) \(time)", columns.ended, y, shade(label))
    if columns.job > 0 { put(String(job.id.prefix(8)), columns.job, y, shade(text)) }
    fit(job.client, columns.client, y, shade(text), width: columns.clientWidth)
    let words = job.stateDetail.map { $0.hasPrefix(job.state.rawValue) ? $0 : "\(job.state.rawValue): \($0)" }
    fit(
      words ?? job.state.rawValue, columns.outcome, y,
      shade(job.state == .failed || job.state == .interrupted ? error : job.state == .done ? text : label),
      width: job.outputTokens == nil && job.price == nil ? columns.outcomeRoom : columns.outcomeWidth)
    if columns.promptEnd > 0, let count = job.promptTokens {
      putRight(numberColumn(count, 6), columns.promptEnd, y, shade(label))
    }
    if columns.outputEnd > 0, let count = job.outputTokens {
      putRight(numberColumn(count, 6), columns.outputEnd, y, shade(text))
    }
    if columns.tookEnd > 0, let submitted = job.submitted {
      putRight(age(elapsed(submitted, job.ended)), columns.tookEnd, y, shade(label))
    }
    if columns.owedEnd > 0, let price = job.price {
      putRight(price == 0 ? "free" : exactMoney(price), columns.owedEnd, y, shade(text))
    }
  }
}

/// Columns of the history for a width: where each starts or ends, 0 if it is not shown.
private struct HistoryColumns {
  let ended: Int
  /// How much of the day stands before the time: all of it, month and day, or nothing.
  let dayWidth: Int
  var job = 0
  let client: Int
  let clientWidth: Int
  let outcome: Int
  let outcomeWidth: Int
  /// The same where no figures follow.
  let outcomeRoom: Int
  var promptEnd = 0
  var outputEnd = 0
  var tookEnd = 0
  var owedEnd = 0

  init(_ inner: Rect, names: Int) {
    let width = inner.width
    var edge = RightEdge(of: inner)
    if width >= 56 { owedEnd = edge.take(9) }
    if width >= 84 { tookEnd = edge.take(5) }
    if width >= 44 { outputEnd = edge.take(6) }
    if width >= 90 { promptEnd = edge.take(6) }
    ended = inner.x + 3
    dayWidth = width >= 110 ? 10 : width >= 56 ? 5 : 0
    var left = ended + (dayWidth == 10 ? 21 : dayWidth == 5 ? 13 : 7)
    if width >= 84 {
      job = left
      left += 10
    }
    client = left
    clientWidth = max(4, min(28, max(8, names), (edge.right + 2 - left) / 2))
    outcome = client + clientWidth + 2
    outcomeWidth = max(0, edge.right + 2 - outcome)
    outcomeRoom = width < 84 ? inner.right - 1 - outcome : outcomeWidth
  }
}
