// LogPane.swift: what happened on the node and who did it, newest at the bottom. The cursor is on
// the newest line until it is moved up; then it stays with its line, which is shown whole. Enter
// shows a line with its date. Start at Pane.log.
import Control
import Terminal

extension Pane {
  package static let log: Pane = Pane(
    "log",
    hints: [(.up, "older"), (.open, "whole line"), (.filter, "filter"), (.copyRow, "copy"), (.zoom, "zoom")],
    filter: \DashboardModel.logFilter,
    move: { $0.moveLog($1) },
    open: { $0.openLogLine() },
    back: { $0.leaveLogLine() },
    copy: { $0.copyLogLine() },
    plain: { snapshot in
      PlainWords(lines: (snapshot?.log ?? []).suffix(20).map { "\($0.level.rawValue): \($0.text)" })
    },
    draw: { canvas, model, _, rect in canvas.drawLog(model, rect) })
}

/// A line with its number since the dashboard began, which stays while older ones are dropped.
struct NumberedLine: Equatable, Sendable {
  let number: Int
  let line: LogLine
}

extension DashboardModel {
  /// Log lines that pass the filter, oldest first.
  var visibleLog: [NumberedLine] {
    log.enumerated().lazy.map { NumberedLine(number: logDropped + $0, line: $1) }.filter {
      logFilter.isEmpty || logFilter.matches(logWords($0.line).lowercased())
    }
  }

  /// What a filter reads.
  private func logWords(_ line: LogLine) -> String {
    "\(line.level.rawValue) \(line.who ?? "") \(line.text)"
  }

  /// The line under the cursor: the newest one while it was not moved.
  private func logPlace(_ lines: [NumberedLine]) -> Int? {
    guard let number = logCursor else { return lines.indices.last }
    return lines.lastIndex { $0.number <= number } ?? lines.indices.first
  }

  private var logLine: LogLine? {
    let lines = visibleLog
    return logPlace(lines).map { lines[$0].line }
  }

  fileprivate mutating func moveLog(_ action: Action) {
    let lines = visibleLog
    guard let place = logPlace(lines) else { return }
    let page = max(1, (layout.rect(of: .log)?.height ?? size.height) - 3)
    let next: Int
    switch action {
    case .up, .left: next = place - 1
    case .down, .right: next = place + 1
    case .pageUp: next = place - page
    case .pageDown: next = place + page
    case .halfUp: next = place - max(1, page / 2)
    case .halfDown: next = place + max(1, page / 2)
    case .top: next = 0
    default: next = lines.count - 1
    }
    // On the last line the cursor goes on with the log.
    logCursor = next >= lines.count - 1 ? nil : lines[max(0, next)].number
  }

  fileprivate mutating func openLogLine() -> [Effect] {
    guard let line = logLine else {
      say("nothing is selected")
      return []
    }
    detail = .log(line)
    detailScroll = 0
    return []
  }

  /// Whether there was a line to leave.
  fileprivate mutating func leaveLogLine() -> Bool {
    defer { logCursor = nil }
    return logCursor != nil
  }

  /// The whole line with its date.
  fileprivate mutating func copyLogLine() -> [Effect] {
    guard let line = logLine else {
      say("nothing is selected")
      return []
    }
    say("copied the line")
    return [.copy(logText(line))]
  }

  func logText(_ line: LogLine) -> String {
    let time = clock(line.time, offset: options.utcOffset, withSeconds: true)
    return
      "\(date(line.time, offset: options.utcOffset)) \(time) \(line.level.rawValue)\(line.who.map { " \($0)" } ?? ""): \(line.text)"
  }
}

extension Canvas {
  private func logSign(_ level: LogLevel) -> (Unicode.Scalar, Style) {
    switch level {
    case .info: (glyphs.queued, label)
    case .act: (glyphs.running, key)
    case .warning: (glyphs.attention, style(theme.warn))
    case .error: (glyphs.failed, error)
    }
  }

  fileprivate mutating func drawLog(_ model: DashboardModel, _ rect: Rect) {
    let isFocused = model.focus == .log
    var note = filterNote(model.logFilter, isEditing: model.mode == .filter && isFocused)
    let lines = model.visibleLog
    let selected = model.logCursor.flatMap { number in lines.lastIndex { $0.number <= number } }
    if let selected, selected < lines.count - 1 {
      note.append(("\(plural(lines.count - 1 - selected, "line")) back", style(theme.warn)))
    }
    let inner = frame(rect, .log, model, note: note)
    if lines.isEmpty {
      fit(
        model.log.isEmpty ? "nothing yet" : "no line matches", inner.x + 1,
        inner.y + max(0, inner.height - 1) / 2, faint, width: inner.width - 2)
    }
    let offset = model.options.utcOffset
    var rows: [LogRow] = []
    // From the line under the cursor upwards: it stands at the bottom unless newer ones have room.
    let cursor = selected ?? lines.count - 1
    let last = min(lines.count - 1, max(cursor, min(lines.count - 1, inner.height - 1)))
    var place = last
    while place >= 0, rows.count < inner.height {
      let line = lines[place].line
      let isWhole = model.isZoomed || isFocused && place == cursor && model.logCursor != nil
      rows = logRows(line, inner.width, isSelected: isFocused && place == cursor, isWhole: isWhole) + rows
      let day = date(line.time, offset: offset)
      if place > 0, line.time > 0, lines[place - 1].line.time > 0,
        date(lines[place - 1].line.time, offset: offset) != day
      {
        rows = [LogRow(day: day)] + rows
      }
      place -= 1
    }
    // A line under the cursor that is higher than the pane begins at its top.
    for (index, row) in rows.suffix(inner.height).enumerated() {
      draw(row, Rect(x: inner.x, y: inner.y + index, width: inner.width, height: 1), offset)
    }
  }

  /// One row of the pane: a line, the rest of one, or a day.
  private struct LogRow {
    var line: LogLine?
    var text = ""
    var isSelected = false
    var day: String?

    init(day: String) { self.day = day }
    init(_ line: LogLine?, _ text: String, isSelected: Bool) {
      (self.line, self.text, self.isSelected) = (line, text, isSelected)
    }
  }

  private func logIndent(_ width: Int) -> Int { width >= 40 ? 12 : 3 }

  private func logRows(_ line: LogLine, _ width: Int, isSelected: Bool, isWhole: Bool) -> [LogRow] {
    let words = (line.who.map { "\(fitted($0, columns: 16)): " } ?? "") + line.text
    let room = max(8, width - logIndent(width) - 1)
    let pieces = isWhole ? wrapped(words, width: room) : [words]
    return pieces.enumerated().map { LogRow($0 == 0 ? line : nil, $1, isSelected: isSelected) }
  }

  private mutating func draw(_ row: LogRow, _ rect: Rect, _ offset: Int) {
    if let day = row.day {
      let end = fit("\(day) ", rect.x + 1, rect.y, label, width: rect.width - 2)
      grid.fill(
        Rect(x: end, y: rect.y, width: max(0, rect.right - 1 - end), height: 1), glyphs.horizontal,
        style: faint)
      return
    }
    func shade(_ style: Style) -> Style { row.isSelected ? selection : style }
    if row.isSelected { grid.fill(rect, " ", style: selection) }
    let x = rect.x + logIndent(rect.width)
    var text = row.text
    if let line = row.line {
      let (mark, style) = logSign(line.level)
      if rect.width >= 40 {
        put(clock(line.time, offset: offset, withSeconds: true), rect.x + 1, rect.y, shade(faint))
      }
      sign(mark, x - 2, rect.y, shade(style))
      if let who = line.who.map({ "\(fitted($0, columns: 16)): " }), text.hasPrefix(who) {
        put(who, x, rect.y, shade(label))
        text.removeFirst(who.count)
        fit(
          text, x + displayWidth(who), rect.y, shade(self.text), width: rect.right - 1 - x - displayWidth(who)
        )
        return
      }
      fit(text, x, rect.y, shade(line.level == .error ? error : self.text), width: rect.right - 1 - x)
      return
    }
    fit(text, x, rect.y, shade(self.text), width: rect.right - 1 - x)
  }

  /// One line over the whole screen.
  mutating func drawLogLine(_ line: LogLine, _ model: DashboardModel, _ rect: Rect) {
    let (mark, style) = logSign(line.level)
    let inner = frame(
      rect, number: nil, title: "line of the log", isFocused: true,
      note: [("\(mark) \(line.level.rawValue)", style)])
    let area = inner.inset(1, 0)
    let offset = model.options.utcOffset
    var rows: [(String, Style)] = [
      ("\(date(line.time, offset: offset)) \(clock(line.time, offset: offset, withSeconds: true))", label)
    ]
    if let who = line.who { rows.append(("by \(who)", label)) }
    rows.append(("", text))
    rows += wrapped(line.text, width: area.width).map { ($0, text) }
    for (index, row) in rows.dropFirst(min(model.detailScroll, max(0, rows.count - area.height)))
      .prefix(area.height).enumerated()
    {
      put(row.0, area.x, area.y + index, row.1, limit: area.width)
    }
  }
}
