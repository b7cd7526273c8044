// DashboardModel+Keys.swift: how keys, pastes and clicks are handled, depending on what is open. A
// text field takes all printable keys; a paste is text or nothing, never keys. Start at take.
import Control
import Terminal

extension DashboardModel {
  mutating func take(_ input: Input) -> [Effect] {
    switch input {
    case .paste(let text): return paste(text)
    case .mouse(let mouse): return hasMouse ? take(mouse) : []
    case .key(let key): return take(key)
    }
  }

  private mutating func paste(_ text: String) -> [Effect] {
    switch mode {
    case .chat: chat.editor.insert(text, isMultiline: true)
    case .filter:
      field.insert(text, isMultiline: false)
      setFilterOfFocus(field.text)
    case .command, .reason, .shutdownName:
      field.insert(text, isMultiline: false)
      tryTheme()
    case .palette:
      field.insert(text, isMultiline: false)
      mode = .palette(index: 0)
    case .normal, .confirm, .shutdownHow, .token, .who:
      say("pasted text is not keys: open the chat with i, or a field, first")
    }
    return []
  }

  private mutating func take(_ key: Key) -> [Effect] {
    if key == Key(.character("l"), .control) { return [.repaint] }
    if key == Key(.character("z"), .control), options.keyMap.targets[key] == .action(.suspend) {
      return [.suspend]
    }
    switch mode {
    case .normal: return takeNormal(key)
    case .chat: return takeChat(key)
    case .filter: return takeFilter(key)
    case .command: return takeCommand(key)
    case .palette(let index): return takePalette(key, index)
    case .confirm(let confirmation): return takeConfirm(key, confirmation)
    case .reason(let jobs, let what, let index, let tags): return takeReason(key, jobs, what, index, tags)
    case .token(_, let token): return takeToken(key, token)
    case .who:
      if key.code == .enter || isCancel(key) || key == Key("q") { mode = .normal }
      return []
    case .shutdownHow: return takeShutdownHow(key)
    case .shutdownName(let drain): return takeShutdownName(key, drain: drain)
    }
  }

  private func isStop(_ key: Key) -> Bool { key == Key(.character("c"), .control) }
  private func isCancel(_ key: Key) -> Bool { key == Key(.escape) || isStop(key) }

  private mutating func takeNormal(_ key: Key) -> [Effect] {
    if isStop(key) {
      if focus == .chat, chat.phase != .idle { return [send(.stopChat)] }
      say("the node serves on: q leaves the dashboard, :shutdown stops the node")
      return []
    }
    // The first screen offers the default model, and nothing else on it can be copied.
    if isFirstRun, pull == nil, detail == nil, key == Key("y") {
      return act(.pull(model: options.defaultModel), saying: "fetching \(options.defaultModel)")
    }
    guard let target = options.keyMap.targets[key] else {
      say("\(key.name) is not bound; ? lists the keys")
      return []
    }
    return perform(target)
  }

  private mutating func takeChat(_ key: Key) -> [Effect] {
    if isStop(key) {
      if chat.phase == .idle {
        say("there is no answer to stop; Esc leaves the field")
        return []
      }
      return [send(.stopChat)]
    }
    switch (key.code, key.modifiers) {
    case (.escape, _):
      mode = .normal
      if chat.editedFrom != nil {
        chat.editedFrom = nil
        chat.editor.set("")
      }
    case (.character("n"), .control): return turnChat(by: 1)
    case (.character("p"), .control): return turnChat(by: -1)
    case (.character("r"), .control): return regenerate()
    case (.character("o"), .control): return editQuestion()
    case (.enter, []): return sendChat()
    case (.enter, .meta): chat.editor.insert("\n", isMultiline: true)
    case (.tab, []):
      mode = .normal
      return perform(.nextPane)
    case (.tab, .shift):
      mode = .normal
      return perform(.previousPane)
    case (.up, []): chat.editor.recall(older: true)
    case (.down, []): chat.editor.recall(older: false)
    case (.pageUp, []): chat.scroll += 5
    case (.pageDown, []): chat.scroll = max(0, chat.scroll - 5)
    default:
      _ = chat.editor.key(key)
    }
    return []
  }

  private mutating func sendChat() -> [Effect] {
    if chat.phase != .idle {
      say("one answer at a time: C-c stops this one", isError: true)
      return []
    }
    let text = chat.editor.text
    if text.allSatisfy(\.isWhitespace) { return [] }
    if isReadOnly {
      say("read-only: this dashboard only looks", isError: true)
      return []
    }
    if link != .connected {
      say("no line to the node: not sent", isError: true)
      return []
    }
    _ = chat.editor.take()
    if let place = chat.editedFrom { chat.cut(from: place) }
    chat.messages.append(.init(role: .user, content: text))
    return askModel()
  }

  /// Has the model answer what the conversation ends with.
  mutating func askModel() -> [Effect] {
    chat.answer = ""
    chat.note = nil
    chat.scroll = 0
    chat.phase = .waiting
    let system = chat.system.isEmpty ? [] : [ChatRequest.Message(role: .system, content: chat.system)]
    return [
      send(
        .chat(
          ChatRequest(
            messages: system + chat.messages, temperature: chat.temperature, maxTokens: chat.maxTokens,
            seed: nil)))
    ] + keepChats()
  }

  private mutating func takeFilter(_ key: Key) -> [Effect] {
    switch key.code {
    case .escape:
      mode = .normal
      setFilterOfFocus("")
    case .enter: mode = .normal
    case .up: return perform(.up)
    case .down: return perform(.down)
    default:
      if isStop(key) {
        mode = .normal
        setFilterOfFocus("")
      } else if field.key(key) {
        setFilterOfFocus(field.text)
      }
    }
    return []
  }

  private mutating func takeCommand(_ key: Key) -> [Effect] {
    if isCancel(key) || (key == Key(.backspace) && field.isEmpty) {
      mode = .normal
      leaveTheme()
      return []
    }
    switch key.code {
    case .enter:
      let line = field.take()
      commandHistory = field
      mode = .normal
      leaveTheme()
      return run(line)
    case .up: field.recall(older: true)
    case .down: field.recall(older: false)
    case .tab: completeCommand()
    default: _ = field.key(key)
    }
    tryTheme()
    return []
  }

  private mutating func takePalette(_ key: Key, _ index: Int) -> [Effect] {
    if isCancel(key) {
      mode = .normal
      return []
    }
    let entries = paletteEntries(field.text)
    switch key.code {
    case .up: mode = .palette(index: max(0, index - 1))
    case .down: mode = .palette(index: max(0, min(entries.count - 1, index + 1)))
    case .pageUp: mode = .palette(index: max(0, index - 8))
    case .pageDown: mode = .palette(index: max(0, min(entries.count - 1, index + 8)))
    case .enter:
      mode = .normal
      guard entries.indices.contains(index) else { return [] }
      switch entries[index].target {
      case .key(let target): return perform(target)
      case .command(let command):
        if command.wantsWords {
          openCommandLine(command.name + " ")
          return []
        }
        return command.run(&self, "")
      }
    default:
      if field.key(key) { mode = .palette(index: 0) }
    }
    return []
  }

  private mutating func takeConfirm(_ key: Key, _ confirmation: Confirmation) -> [Effect] {
    if key == Key("y") {
      mode = .normal
      return act(confirmation.command, saying: nil, tags: confirmation.tags)
    }
    if key == Key("n") || isCancel(key) || key == Key("q") {
      mode = .normal
      say("nothing was done")
    }
    return []
  }

  private mutating func takeReason(
    _ key: Key, _ jobs: [String], _ what: String, _ index: Int, _ tags: TagUse?
  ) -> [Effect] {
    if isCancel(key) {
      mode = .normal
      say("nothing was done")
      return []
    }
    switch key.code {
    case .up: mode = .reason(jobs: jobs, what: what, index: max(0, index - 1), tags: tags)
    case .down:
      mode = .reason(jobs: jobs, what: what, index: min(cannedReasons.count - 1, index + 1), tags: tags)
    case .character(let digit)
    where field.isEmpty && key.modifiers.isEmpty && ("1"..."9").contains(digit)
      && Int(digit.value) - 0x31 < cannedReasons.count:
      mode = .reason(jobs: jobs, what: what, index: Int(digit.value) - 0x31, tags: tags)
    case .enter:
      let typed = field.take()
      let reason =
        typed.allSatisfy(\.isWhitespace) ? cannedReasons[min(index, cannedReasons.count - 1)] : typed
      mode = .normal
      return act(.reject(jobs: jobs, reason: reason), saying: nil, tags: tags)
    default: _ = field.key(key)
    }
    return []
  }

  /// It stays until it is dismissed: whoever looks away does not lose it.
  private mutating func takeToken(_ key: Key, _ token: String) -> [Effect] {
    if key == Key("y") {
      say("copied the token")
      return [.copy(token)]
    }
    if key.code == .enter || isCancel(key) { mode = .normal }
    return []
  }

  private mutating func takeShutdownHow(_ key: Key) -> [Effect] {
    if key == Key("d") || key == Key("n") {
      field = LineEditor()
      mode = .shutdownName(drain: key == Key("d"))
    } else if isCancel(key) || key == Key("q") {
      mode = .normal
      say("nothing was done")
    }
    return []
  }

  private mutating func takeShutdownName(_ key: Key, drain: Bool) -> [Effect] {
    if isCancel(key) {
      mode = .normal
      say("nothing was done")
    } else if key.code == .enter {
      mode = .normal
      let typed = field.take()
      if typed == snapshot?.node.name, !typed.isEmpty {
        return act(.shutdown(drain: drain), saying: drain ? "the node drains, then stops" : "the node stops")
      }
      say("'\(displaySafe(typed.prefix(30)))' is not the node's name: it serves on", isError: true)
    } else {
      _ = field.key(key)
    }
    return []
  }

  private mutating func take(_ mouse: Mouse) -> [Effect] {
    guard mode == .normal, detail == nil else { return [] }
    streak = nil
    guard let (pane, rect) = layout.panes.first(where: { $0.rect.contains(mouse.x, mouse.y) }) else {
      return []
    }
    switch mouse.event {
    case .release: return []
    case .wheelUp:
      focus = pane
      return perform(.up)
    case .wheelDown:
      focus = pane
      return perform(.down)
    case .press:
      focus = pane
      let area = listArea(pane, rect.inset(1, 1))
      if area.contains(mouse.x, mouse.y), lists[pane] != nil {
        lists[pane]?.selectLine(mouse.y - area.y, height: area.height)
        rest()
        return openIfTwice(pane, mouse.y - area.y, height: area.height)
      }
      clicked = nil
      if mouse.y < area.y, let column = column(at: mouse.x, mouse.y, pane, rect) { sort(pane, by: column) }
    }
    return []
  }

  /// A second click on a row within 400 ms opens its detail.
  private mutating func openIfTwice(_ pane: Pane, _ line: Int, height: Int) -> [Effect] {
    let shown = Array(lists[pane]?.lines(height: height) ?? [])
    guard shown.indices.contains(line), case .row(let id) = shown[line] else {
      clicked = nil
      return []
    }
    if let before = clicked, before.pane == pane, before.id == id, elapsed(before.at, now.steady) <= 400_000 {
      clicked = nil
      return perform(.open)
    }
    clicked = (pane, id, now.steady)
    return []
  }

  /// The column whose heading is drawn there.
  private func column(at x: Int, _ y: Int, _ pane: Pane, _ rect: Rect) -> Int? {
    var canvas = Canvas(size: size, theme: theme, glyphs: glyphs)
    canvas.draw(pane, rect, self)
    let row = (0..<canvas.grid.width).map { canvas.grid[$0, y].scalar }
    let found = canvas.headings.first { heading in
      let text = heading.text.unicodeScalars.map(\.value)
      // Beside a heading is close enough.
      return (x - text.count...x + 1).contains { start in
        start > 0 && start + text.count < row.count && Array(row[start..<start + text.count]) == text
          && row[start - 1] == 0x20 && row[start + text.count] == 0x20
      }
    }
    return found.flatMap { pane.list?.columns.firstIndex(of: $0.name) }
  }

  /// By the column; again, the other way round.
  private mutating func sort(_ pane: Pane, by column: Int) {
    guard var list = lists[pane] else { return }
    list.isInverted = list.sortColumn == column && !list.isInverted
    list.sortColumn = column
    lists[pane] = list
    showSorted()
  }

  /// Suspends sorting while the operator moves.
  mutating func rest() {
    lists[focus]?.restUntil = now.steady &+ 3_000_000
    guardUntil = 0
  }

  mutating func openCommandLine(_ text: String) {
    field = commandHistory
    field.set(text)
    mode = .command
  }
}

extension Rect {
  func contains(_ column: Int, _ row: Int) -> Bool {
    column >= x && column < right && row >= y && row < bottom
  }
}
