// ChatPane.swift: a conversation with the node's own model, wrapped, newest at the bottom. Its keys
// are in DashboardModel+Keys.swift. Start at Pane.chat.
import Control
import Terminal

extension Pane {
  package static let chat: Pane = Pane(
    "chat", words: "chat: type at once", opensAtOnce: true,
    hints: [(.talk, "type"), (.copyRow, "copy answer"), (.up, "scroll"), (.right, "thoughts")],
    scroll: PaneScroll(position: \DashboardModel.chat.scroll) { _ in 100_000 },
    open: { model in
      model.mode = .chat
      return []
    },
    copy: { $0.copyAnswer() },
    draw: { canvas, model, _, rect in canvas.drawChat(model, rect) })
}

extension DashboardModel {
  /// Copies the answer that is being written, or else the last one.
  fileprivate mutating func copyAnswer() -> [Effect] {
    let answer =
      chat.answer.isEmpty ? chat.messages.last { $0.role == .assistant }?.content ?? "" : chat.answer
    if answer.isEmpty {
      say("there is no answer to copy")
      return []
    }
    say("copied the answer")
    return [.copy(answer)]
  }
}

extension Canvas {
  fileprivate mutating func drawChat(_ model: DashboardModel, _ rect: Rect) {
    let chat = model.chat
    let isTyping = model.mode == .chat
    var note: [(String, Style)] = []
    switch chat.phase {
    case .idle: if let speed = chat.rate { note = [("\(rate(speed)) t/s", label)] }
    case .waiting: note = [("waiting", pending)]
    case .answering: note = [("answering", ok)]
    }
    if chat.shelf.count > 1 {
      note = [("\(chat.place + 1)/\(chat.shelf.count)", label)] + (note.isEmpty ? [] : [("  ", label)]) + note
    }
    if chat.editedFrom != nil { note = [("editing", pending)] }
    let inner = frame(
      rect, .chat, model, note: note, foot: isTyping || model.isReadOnly ? "" : "i to type")
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
        model.isReadOnly ? "this dashboard only looks" : "ask the model something: press i", area.x,
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
      // The cursor's place is the end of the text before it, wrapped the same way.
      let before = wrapped(chat.editor.beforeCursor, width: area.width - 2)
      let total = wrapped(chat.editor.text, width: area.width - 2).count
      let row = before.count - 1 - (total - inputRows.count)
      let column = displayWidth(before.last ?? "")
      grid.cursor = Grid.Point(
        x: min(area.right - 1, area.x + 2 + column),
        y: max(area.y, min(area.bottom - 1, area.bottom - inputRows.count + max(0, row))))
    }
  }

  /// The last rows of the conversation: at least `enough` of them, if there are so many.
  private func chatRows(_ chat: ChatState, width: Int, enough: Int) -> [(String, Style)] {
    var rows: [(String, Style)] = []
    // Thoughts are folded to a line unless asked for, and while nothing else is there their end is shown.
    func shown(_ thought: String) -> String {
      let words = chat.words(of: thought)
      let head = "(thought: \(words) \(words == 1 ? "word" : "words"))"
      return chat.showsThoughts ? head + "\n" + thought : head
    }
    var parts: [(ChatRequest.Message.Role, String)] = []
    for (index, message) in chat.messages.enumerated() {
      if let thought = chat.thoughts[index] { parts.append((.system, shown(thought))) }
      parts.append((message.role, message.content))
    }
    if chat.phase != .idle {
      if !chat.thought.isEmpty {
        let isThinking = chat.answer.isEmpty && !chat.showsThoughts
        let end = wrapped(String(chat.thought.suffix(4 * width)), width: width).suffix(2)
        parts.append((.system, isThinking ? end.joined(separator: "\n") : shown(chat.thought)))
      }
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
}
