// View+Text.swift: the conversation and the log: text of strangers, wrapped, newest at the bottom.
// Start at drawChat and drawLog.
import Node
import Terminal

/// `text` in rows of at most `width` columns, broken at blanks where there are any.
func wrapped(_ text: String, width: Int) -> [String] {
  let width = max(1, width)
  var rows: [String] = []
  for line in displaySafeLines(text) {
    var row = ""
    var columns = 0
    for word in line.split(separator: " ", omittingEmptySubsequences: false) {
      var rest = String(word)
      var wide = displayWidth(rest)
      if columns > 0 || !row.isEmpty {
        if columns + 1 + wide <= width {
          row += " " + rest
          columns += 1 + wide
          continue
        }
        rows.append(row)
        row = ""
        columns = 0
      }
      // A word longer than a row is cut.
      while wide > width {
        var cut = ""
        var cutWidth = 0
        while let first = rest.first {
          let step = displayWidth(String(first))
          if cutWidth + step > width && !cut.isEmpty { break }
          cut.append(first)
          cutWidth += step
          rest.removeFirst()
          if cutWidth >= width { break }
        }
        rows.append(cut)
        wide = displayWidth(rest)
      }
      row = rest
      columns = wide
    }
    rows.append(row)
  }
  return rows
}

extension Canvas {
  mutating func drawChat(_ model: DashboardModel, _ rect: Rect) {
    let chat = model.chat
    let isFocused = model.focus == .chat
    let isTyping = model.mode == .chat
    var note: [(String, Style)] = []
    switch chat.phase {
    case .idle: if let speed = chat.rate { note = [("\(rate(speed)) t/s", label)] }
    case .waiting: note = [("waiting", pending)]
    case .answering: note = [("answering", ok)]
    }
    let inner = frame(
      rect, number: 7, title: "chat", isFocused: isFocused, note: note,
      foot: isTyping || model.options.isReadOnly ? "" : "i to type")
    let area = inner.inset(inner.width >= 30 ? 1 : 0, 0)
    guard area.height > 0, area.width > 2 else { return }
    var inputRows: [String] = []
    if isTyping || !chat.editor.isEmpty {
      inputRows = wrapped(chat.editor.text, width: area.width - 2)
      inputRows = Array(inputRows.suffix(max(1, area.height / 2)))
    }
    let height = area.height - inputRows.count
    let rows = chatRows(chat, width: area.width, enough: height + chat.scroll)
    let end = max(min(rows.count, height), rows.count - chat.scroll)
    let shown = rows[max(0, end - height)..<max(0, end)]
    if rows.isEmpty && inputRows.isEmpty {
      fit(
        model.options.isReadOnly ? "this dashboard only looks" : "ask the model something: press i", area.x,
        area.y + max(0, area.height - 1) / 2, faint,
        width: area.width)
    }
    for (index, row) in shown.enumerated() { put(row.0, area.x, area.y + index, row.1, limit: area.width) }
    for (index, row) in inputRows.enumerated() {
      let y = area.bottom - inputRows.count + index
      put(index == 0 ? "> " : "  ", area.x, y, key)
      put(row, area.x + 2, y, text, limit: area.width - 2)
    }
    if isTyping {
      // The cursor's place: the text before it, wrapped the same way.
      let before = wrapped(chat.editor.beforeCursor, width: area.width - 2)
      let total = wrapped(chat.editor.text, width: area.width - 2).count
      let row = before.count - 1 - (total - inputRows.count)
      let column = displayWidth(before.last ?? "")
      grid.cursor = Grid.Point(
        x: min(area.right - 1, area.x + 2 + column),
        y: max(area.y, min(area.bottom - 1, area.bottom - inputRows.count + max(0, row))))
    }
  }

  /// The last rows of the conversation, at least `enough` of them if there are as many.
  private func chatRows(_ chat: ChatState, width: Int, enough: Int) -> [(String, Style)] {
    var rows: [(String, Style)] = []
    var parts: [(ChatRequest.Message.Role, String)] = chat.messages.map { ($0.role, $0.content) }
    if chat.phase != .idle {
      parts.append((.assistant, chat.answer.isEmpty ? String(glyphs.ellipsis) : chat.answer))
    }
    if let note = chat.note { parts.append((.system, note)) }
    for (role, content) in parts.reversed() {
      var block: [(String, Style)]
      switch role {
      case .user:
        block = wrapped(content, width: width - 2).enumerated().map { (($0 == 0 ? "> " : "  ") + $1, strong) }
      case .assistant: block = wrapped(content, width: width).map { ($0, text) }
      case .system: block = wrapped(content, width: width).map { ($0, faint) }
      }
      rows = block + rows
      if rows.count > enough { break }
    }
    return rows
  }

  mutating func drawLog(_ model: DashboardModel, _ rect: Rect) {
    let isFocused = model.focus == .log
    var note = filterNote(model.logFilter, isEditing: model.mode == .filter && isFocused)
    if model.logScroll > 0 { note.append(("\(model.logScroll) back", style(theme.warn))) }
    let inner = frame(rect, number: 8, title: "log", isFocused: isFocused, note: note)
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
