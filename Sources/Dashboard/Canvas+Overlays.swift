// Canvas+Overlays.swift: what is open over the panes: the palette, the reasons, the first screen,
// the debug figures. The palette is kept small, so that it appears within 100 ms at 9,600 bytes a
// second. Start at drawOverlay.
import Control
import Terminal

extension Canvas {
  mutating func drawOverlay(_ model: DashboardModel) {
    switch model.mode {
    case .palette(let index): drawPalette(model, index)
    case .reason(_, _, let index, _): drawReasons(model, index)
    case .token(let name, let token): drawToken(name, token, model)
    case .who: drawWho(model)
    case .normal, .filter, .command, .confirm, .shutdownHow, .shutdownName, .chat: break
    }
    if model.showsDebug { drawDebug(model) }
  }

  private mutating func box(_ width: Int, _ height: Int, title: String, bottom: Int, _ model: DashboardModel)
    -> Rect
  {
    let (wide, high) = (min(width, model.size.width), min(height, max(3, model.size.height - 1)))
    let rect = Rect(
      x: max(0, (model.size.width - wide) / 2), y: max(0, bottom - high), width: wide, height: high)
    grid.fill(rect, " ", style: text)
    return frame(rect, number: nil, title: title, isFocused: true)
  }

  private mutating func drawPalette(_ model: DashboardModel, _ index: Int) {
    let entries = model.paletteEntries(model.field.text)
    // It opens small, so that it is there within 100 ms at 9,600 bytes a second, and takes the room
    // that the screen has with the first key.
    let isOpening = index == 0 && model.field.isEmpty
    let width = isOpening ? 52 : min(84, max(52, model.size.width * 2 / 3))
    let most = isOpening ? 13 : max(13, model.size.height * 4 / 5)
    let height = min(entries.count + 3, most, model.size.height - 1)
    let bottom = min(model.size.height - 1, max(height, (model.size.height + height) / 2))
    let inner = box(width, height, title: "help", bottom: bottom, model)
    if !entries.isEmpty {
      putRight(
        " \(min(index, entries.count - 1) + 1) of \(entries.count) ", inner.right - 1, inner.bottom, faint)
    }
    let keysWidth = 12
    run([("? ", key), (model.field.text, strong)], inner.x + 1, inner.y, limit: inner.right)
    grid.cursor = Grid.Point(
      x: min(inner.right - 1, inner.x + 3 + displayWidth(displaySafe(model.field.beforeCursor))), y: inner.y)
    let rows = max(0, inner.height - 1)
    let top = max(0, min(index - rows / 2, entries.count - rows))
    if entries.isEmpty { fit("nothing matches", inner.x + 1, inner.y + 1, faint, width: inner.width - 2) }
    for (row, entry) in entries.dropFirst(top).prefix(rows).enumerated() {
      let y = inner.y + 1 + row
      let isSelected = top + row == index
      let line = Rect(x: inner.x, y: y, width: inner.width, height: 1)
      if isSelected { grid.fill(line, " ", style: selection) }
      let keyWidth = max(keysWidth, displayWidth(entry.keys))
      fit(entry.keys, inner.x + 1, y, isSelected ? selection : key, width: keyWidth)
      fit(
        entry.words, inner.x + keyWidth + 2, y, isSelected ? selection : text,
        width: inner.right - inner.x - keyWidth - 3)
    }
  }

  private mutating func drawReasons(_ model: DashboardModel, _ index: Int) {
    let inner = box(
      56, cannedReasons.count + 3, title: "why?  it is told to the client", bottom: model.size.height - 1,
      model)
    for (row, reason) in cannedReasons.enumerated() where row < inner.height {
      let line = Rect(x: inner.x, y: inner.y + row, width: inner.width, height: 1)
      let isChosen = row == index && model.field.isEmpty
      if isChosen { grid.fill(line, " ", style: selection) }
      put("\(row + 1)", inner.x + 1, line.y, isChosen ? selection : key)
      fit(reason, inner.x + 3, line.y, isChosen ? selection : text, width: inner.width - 4)
    }
    if inner.height > cannedReasons.count {
      run(
        [("Enter", key), (" rejects  ", label), ("Esc", key), (" does not  or type a reason", label)],
        inner.x + 1, inner.bottom - 1, limit: inner.right)
    }
  }

  private mutating func drawToken(_ name: String, _ token: String, _ model: DashboardModel) {
    let rows = wrapped(token, width: min(72, model.size.width - 4))
    let inner = box(
      76, rows.count + 5, title: "the token of \(fitted(name, columns: 30))",
      bottom: min(model.size.height - 1, model.size.height / 2 + 4), model)
    for (row, line) in rows.enumerated() {
      put(line, inner.x + 1, inner.y + row, strong, limit: inner.width - 2)
    }
    fit(
      "It is shown this once; the node keeps its SHA-256 only.", inner.x + 1, inner.y + rows.count + 1, text,
      width: inner.width - 2)
    run(
      [("y", key), (" copies it  ", label), ("Enter", key), (" closes this", label)], inner.x + 1,
      inner.y + rows.count + 2, limit: inner.right)
  }

  private mutating func drawWho(_ model: DashboardModel) {
    let attached = model.snapshot?.attached
    let most = max(0, model.size.height - 7)
    let rows = (attached ?? []).prefix(most)
    let inner = box(
      56, rows.count + 5, title: "who is here",
      bottom: min(model.size.height - 1, (model.size.height + rows.count) / 2 + 3), model)
    let role = model.role.map { ", \($0.rawValue)" } ?? ""
    let name = model.operatorName.isEmpty ? "not told by the node" : model.operatorName
    run(
      [
        ("you are ", label), (fitted(name, columns: 30), strong), (role, text),
        (model.options.isReadOnly ? ", read-only" : "", label),
      ], inner.x + 1, inner.y, limit: inner.right)
    if attached == nil {
      fit(
        "a node of an earlier release: it does not tell who is attached", inner.x + 1, inner.y + 1, faint,
        width: inner.width - 2)
    }
    for (row, screen) in rows.enumerated() {
      let y = inner.y + 1 + row
      sign(glyphs.idle, inner.x + 1, y, ok)
      fit(screen.name, inner.x + 3, y, text, width: 24)
      put(screen.role.rawValue, inner.x + 29, y, label)
      let since = age(elapsed(screen.since, model.snapshot?.time ?? screen.since))
      putRight("for \(since)", inner.right - 1, y, label)
    }
    run([("Esc", key), (" closes this", label)], inner.x + 1, inner.bottom - 1, limit: inner.right)
  }

  private mutating func drawDebug(_ model: DashboardModel) {
    let figures = model.debug
    let silent = model.snapshotAt.map { elapsed($0.steady, model.now.steady) } ?? 0
    let lines =
      [
        "frame \(grouped(figures.frameMicroseconds)) us, \(grouped(figures.frameBytes)) B",
        "written \(grouped(figures.totalBytes)) B",
        "snapshot \(model.snapshot?.sequence ?? 0), \(grouped(Int(silent / 1000))) ms old",
        "size \(model.size.width)x\(model.size.height), \(model.glyphs.level.rawValue), \(model.theme.name)",
      ] + figures.events.suffix(4)
    let wide = min(44, model.size.width)
    let rect = Rect(
      x: model.size.width - wide, y: 1, width: wide, height: min(model.size.height - 1, lines.count + 2))
    grid.fill(rect, " ", style: text)
    let inner = frame(rect, number: nil, title: "debug", isFocused: false)
    for (row, line) in lines.prefix(inner.height).enumerated() {
      fit(line, inner.x + 1, inner.y + row, label, width: inner.width - 2)
    }
  }

  // MARK: first run

  /// Draws the pot, and returns the row below it.
  private mutating func drawPot(_ x: Int, _ y: Int) -> Int {
    let side = String(glyphs.vertical)
    let edge = String(repeating: Character(glyphs.horizontal), count: 11)
    put("   ( ( (", x, y, faint)
    put("    ) ) )", x, y + 1, faint)
    put(edge + String(repeating: Character(glyphs.horizontal), count: 2), x, y + 2, key)
    run([(" " + side, key), ("  hotpot  ", strong), (side, key)], x, y + 3, limit: x + 14)
    put(
      " " + String(glyphs.bottomLeft) + edge.dropLast() + String(glyphs.bottomRight), x, y + 4, key)
    return y + 6
  }

  /// There is no model on this machine yet: offers to fetch the default one, and shows the
  /// progress.
  mutating func drawFirstRun(_ model: DashboardModel, _ layout: Layout) {
    let body = Rect(
      x: 0, y: 1, width: model.size.width, height: max(0, model.size.height - 1 - layout.footer.height))
    let inner = frame(body, number: nil, title: "welcome", isFocused: true)
    let area = inner.inset(inner.width >= 60 ? 3 : 1, inner.height >= 12 ? 1 : 0)
    var y = area.y
    func line(_ parts: [(String, Style)]) {
      if y < area.bottom { run(parts, area.x, y, limit: area.right) }
      y += 1
    }
    if area.height >= 16 { y = drawPot(area.x, y) }
    line([("This node has no model yet.", strong)])
    line([])
    if let pull = model.pull {
      line(
        [(pull.model, text), ("  \(pull.phase.rawValue)", pull.phase == .failed ? error : pending)])
      if pull.phase != .failed {
        let width = max(4, min(50, area.width - 8))
        if let total = pull.total, total > 0 {
          let share = Double(pull.bytes) / Double(total)
          if y < area.bottom {
            bar(share, area.x, y, width: width, key)
            put(" \(percent(share)) %", area.x + width, y, text)
          }
          y += 1
          line([("\(bytes(pull.bytes)) of \(bytes(total))", label)])
        } else {
          line([("\(bytes(pull.bytes)) so far", label)])
        }
      }
      if let detail = pull.detail { line([(detail, pull.phase == .failed ? error : label)]) }
      line([])
      if pull.phase == .failed {
        line([(":pull", key), (" tries again", text)])
      } else {
        line([(":cancel-pull", key), (" stops it", text)])
      }
    } else {
      line([("y", key), ("  fetches ", text), (model.options.defaultModelWords, strong)])
      line([(":pull NAME", key), ("  fetches another", text)])
      line([("q", key), ("  leaves; nothing was changed on this machine", text)])
    }
    line([])
    for alarm in model.snapshot?.node.alarms ?? [] { line([("\(glyphs.attention) \(alarm)", error)]) }
    for entry in model.visibleLog.suffix(max(0, area.bottom - y)) {
      line([(entry.line.text, faint)])
    }
  }
}
