// LogPane.swift: what happened on the node and who did it, newest at the bottom.
// Start at Pane.log.
import Control
import Terminal

extension Pane {
  package static let log: Pane = Pane(
    "log",
    hints: [(.up, "scroll"), (.filter, "filter"), (.zoom, "zoom")],
    scroll: PaneScroll(position: \DashboardModel.logScroll) { $0.visibleLog.count - 1 },
    filter: \DashboardModel.logFilter,
    plain: { snapshot in
      PlainWords(lines: (snapshot?.log ?? []).suffix(20).map { "\($0.level.rawValue): \($0.text)" })
    },
    draw: { canvas, model, _, rect in canvas.drawLog(model, rect) })
}

extension DashboardModel {
  /// Log lines that pass the filter, oldest first.
  var visibleLog: [LogLine] {
    if logFilter.isEmpty { return log }
    return log.filter { logFilter.matches("\($0.level.rawValue) \($0.who ?? "") \($0.text)".lowercased()) }
  }
}

extension Canvas {
  fileprivate mutating func drawLog(_ model: DashboardModel, _ rect: Rect) {
    let isFocused = model.focus == .log
    var note = filterNote(model.logFilter, isEditing: model.mode == .filter && isFocused)
    if model.logScroll > 0 { note.append(("\(model.logScroll) back", style(theme.warn))) }
    let inner = frame(rect, .log, model, note: note)
    let lines = model.visibleLog
    let end = max(min(lines.count, inner.height), lines.count - model.logScroll)
    if lines.isEmpty {
      fit(
        model.log.isEmpty ? "nothing yet" : "no line matches", inner.x + 1,
        inner.y + max(0, inner.height - 1) / 2, faint, width: inner.width - 2)
    }
    for (index, line) in lines[max(0, end - inner.height)..<max(0, end)].enumerated() {
      let y = inner.y + index
      let (mark, style): (Unicode.Scalar, Style)
      switch line.level {
      case .info: (mark, style) = (glyphs.queued, label)
      case .act: (mark, style) = (glyphs.running, key)
      case .warning: (mark, style) = (glyphs.attention, self.style(theme.warn))
      case .error: (mark, style) = (glyphs.failed, error)
      }
      var x = inner.x + 1
      if inner.width >= 40 {
        x = put(clock(line.time, offset: model.options.utcOffset, withSeconds: true), x, y, faint) + 1
      }
      sign(mark, x, y, style)
      x += 2
      if let who = line.who { x = put("\(fitted(who, columns: 16)): ", x, y, label) }
      fit(line.text, x, y, line.level == .error ? error : text, width: inner.right - 1 - x)
    }
  }
}
