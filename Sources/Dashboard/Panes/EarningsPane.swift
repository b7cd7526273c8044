// EarningsPane.swift: what the node earned today and before, and what each client owes.
// Start at Pane.earnings.
import Control
import Terminal

extension Pane {
  package static let earnings: Pane = Pane(
    "earnings",
    hints: [(.nextPane, "next pane"), (.zoom, "zoom"), (.theme, "theme")],
    list: earningsList,
    plain: plainEarnings,
    draw: { canvas, model, snapshot, rect in canvas.drawEarnings(model, snapshot, rect) })
}

private let earningsColumns: [PaneColumn<(id: String, client: ClientEarnings)>] = [
  .order("order"),
  PaneColumn("client") { row, _ in .text(row.client.client) },
  PaneColumn("today") { row, _ in .number(-Double(row.client.today)) },
  PaneColumn("total") { row, _ in .number(-Double(row.client.total)) },
  PaneColumn("unsettled") { row, _ in .number(-Double(row.client.unsettled)) },
]

private let earningsList = PaneList(
  of: "client",
  columns: earningsColumns,
  rows: { _, snapshot in earningsRows(snapshot.earnings) },
  id: { $0.id },
  words: { $0.client.client },
  text: { model, id in
    model.snapshot.flatMap { earningsRows($0.earnings).first { $0.id == id }?.client }.map { row in
      [
        row.client, "today \(sumMoney(row.today))", "total \(sumMoney(row.total))",
        "unsettled \(sumMoney(row.unsettled))", plural(row.jobs, "job"),
      ].joined(separator: "  ")
    }
  },
  idText: { String($0.drop { $0 != " " }.dropFirst()) },
  head: { $0.height >= 7 ? 5 : $0.height })

private func plainEarnings(_ snapshot: NodeSnapshot?) -> PlainWords {
  guard let snapshot else { return PlainWords(lines: ["no figures yet"]) }
  switch snapshot.earnings.today {
  case .value(let today), .stale(let today, _):
    return PlainWords(lines: ["today \(money(today)) \(snapshot.node.currency)"])
  case .warmingUp: return PlainWords(lines: ["earnings: warming up"])
  case .unavailable(let reason): return PlainWords(lines: ["earnings: unavailable, \(reason)"])
  }
}

/// A client's row is identified by its name and its index among rows of that name, in case a node
/// sends two.
private func earningsRows(_ earnings: EarningsSnapshot) -> [(id: String, client: ClientEarnings)] {
  var seen: [String: Int] = [:]
  return earnings.clients.map { row in
    defer { seen[row.client, default: 0] += 1 }
    return ("\(seen[row.client, default: 0]) \(row.client)", row)
  }
}

extension Canvas {
  fileprivate mutating func drawEarnings(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    let earnings = model.calm?.earnings ?? snapshot.earnings
    let time = model.calm?.time ?? snapshot.time
    let list = model.lists[.earnings] ?? ListState()
    let isFocused = model.focus == .earnings
    let inner = frame(
      rect, .earnings, model, note: [(fitted(snapshot.node.currency, columns: 8), label)])
    let isWide = inner.width >= 44
    let pad = isWide ? 1 : 0
    let (x, right) = (inner.x + pad, inner.right - pad)
    guard earnings.today.latest != nil else {
      run([words(earnings.today, at: time, money)], x, inner.y, limit: right)
      return
    }
    var y = inner.y
    func line(_ parts: [(String, Style)]) {
      if y < inner.bottom { run(parts, x, y, limit: right) }
      y += 1
    }
    let labelWidth = isWide ? 10 : 7
    func name(_ text: String) -> (String, Style) {
      (text + String(repeating: " ", count: max(1, labelWidth - text.utf8.count)), label)
    }
    let (today, todayStyle) = brief(earnings.today, money)
    var first = [name("today"), (today, todayStyle == text ? strong : todayStyle)]
    if inner.width >= 22 { first += [("  net ", label), brief(earnings.todayNet, money)] }
    if isWide {
      first += [
        ("   an hour ", label), brief(earnings.perHour, money), ("   day at this rate ", label),
        brief(earnings.projectedDay, money),
      ]
    }
    line(first)
    if y < inner.bottom {
      let days = Array(earnings.days.suffix(isWide ? 30 : 7))
      let sum = days.suffix(7).reduce(0.0) { $0 + Double($1) / 1e6 }
      let end = run([name("7 days"), (decimal(sum, 2), text), ("  ", label)], x, y, limit: right)
      spark(days.map { Double($0) }, end, y, limit: right)
      if isWide && days.count > 7 && end + days.count + 12 < right {
        put("  \(days.count) days", end + days.count, y, faint)
      }
      y += 1
    }
    if isWide {
      line(
        [
          name("unsettled"), brief(earnings.unsettled, money), ("   verified ", label),
          brief(earnings.verified, money), ("   settled ", label), brief(earnings.settled, money),
        ])
      line(
        [name("energy"), words(earnings.energyToday, at: time) { decimal($0 / 3.6e6, 3) + " kWh today" }])
    } else {
      line([name("owed"), brief(earnings.unsettled, money)])
      line([name("an hour"), brief(earnings.perHour, money)])
      line([name("settled"), brief(earnings.settled, money)])
    }
    let area = model.listArea(.earnings, inner)
    guard area.height > 0, area.y > y else { return }
    put("  CLIENT", inner.x, area.y - 1, faint)
    putRight("UNSETTLED", right, area.y - 1, faint)
    if isWide {
      putRight("TOTAL", right - 12, area.y - 1, faint)
      putRight("TODAY", right - 24, area.y - 1, faint)
    }
    if inner.width >= 72 { putRight("JOBS", right - 36, area.y - 1, faint) }
    let clients = Dictionary(
      earningsRows(snapshot.earnings).map { ($0.id, $0.client) }, uniquingKeysWith: { first, _ in first })
    for (row, line) in list.lines(height: area.height).enumerated() {
      guard case .row(let id) = line, let client = clients[id] else { continue }
      let isSelected = isFocused && list.selected == id
      let rowRect = Rect(x: area.x, y: area.y + row, width: area.width, height: 1)
      if isSelected { grid.fill(rowRect, " ", style: selection) }
      let plain = isSelected ? selection : text
      let soft = isSelected ? selection : label
      if list.tags.contains(id) { sign(glyphs.tag, rowRect.x, rowRect.y, isSelected ? selection : key) }
      putRight(sumMoney(client.unsettled), right, rowRect.y, plain)
      var end = right - 12
      if isWide {
        putRight(sumMoney(client.total), right - 12, rowRect.y, soft)
        putRight(sumMoney(client.today), right - 24, rowRect.y, soft)
        end = right - 34
      }
      if inner.width >= 72 {
        putRight(grouped(client.jobs), right - 36, rowRect.y, soft)
        end = right - 44
      }
      fit(client.client, rowRect.x + 2, rowRect.y, plain, width: end - rowRect.x - 2)
    }
  }

  /// One column per value; the greatest value is the tallest.
  private mutating func spark(_ values: [Double], _ x: Int, _ y: Int, limit right: Int) {
    let room = max(0, right - x)
    let shown = values.suffix(room)
    let top = max(shown.max() ?? 0, 0.000001)
    for (index, value) in shown.enumerated() {
      let share = min(1, max(0, value / top))
      let sign: Unicode.Scalar
      switch glyphs.level {
      case .unicode, .block: sign = Unicode.Scalar(0x2581 + UInt32(share * 7)) ?? "_"
      case .console: sign = Array("·░▒▓█".unicodeScalars)[Int(share * 4)]
      case .ascii: sign = Array("_.:=#".unicodeScalars)[Int(share * 4)]
      }
      // A day without earnings is drawn as a floor, not as a bar.
      self.sign(
        sign, x + index, y,
        value > 0
          ? style(theme.decode.color(at: share))
          : style(theme.meterBackground, theme.meterBackground == theme.foreground ? .dim : []))
    }
  }
}
