// View.swift: draws a model as a grid: the header, the panes, the key line, and what is open over
// them. It is pure: the same model and size give the same grid. Start at view.
import Control
import Terminal

/// Draws the model at its size.
package func view(_ model: DashboardModel) -> Grid {
  var canvas = Canvas(size: model.size, theme: model.theme, glyphs: model.glyphs)
  let layout = model.layout
  if model.detail != nil {
    let body = Rect(
      x: 0, y: 1, width: model.size.width, height: max(0, model.size.height - 1 - layout.footer.height))
    canvas.drawDetail(model, body)
  } else if model.isFirstRun {
    canvas.drawFirstRun(model, layout)
  } else {
    for (pane, rect) in layout.panes { canvas.draw(pane, rect, model) }
  }
  canvas.drawHeader(model, layout.header)
  if layout.footer.height > 0 { canvas.drawFooter(model, layout.footer) }
  canvas.drawOverlay(model)
  return canvas.grid
}

/// Draws the model at another size, for tests and pictures.
package func view(_ model: DashboardModel, _ size: Size) -> Grid {
  var resized = model
  _ = resized.update(.resized(size), at: model.now)
  return view(resized)
}

extension Canvas {
  mutating func draw(_ pane: Pane, _ rect: Rect, _ model: DashboardModel) {
    guard let snapshot = model.snapshot else {
      let inner = frame(rect, pane, model)
      if pane == model.focus { drawLink(model, inner) }
      return
    }
    pane.draw(&self, model, snapshot, rect)
  }

  private mutating func drawLink(_ model: DashboardModel, _ inner: Rect) {
    let words: String
    switch model.link {
    case .connecting: words = "connecting to the node\(glyphs.ellipsis)"
    case .connected: words = "connected; its first figures are on their way\(glyphs.ellipsis)"
    case .lost(_, let reason): words = "no line to the node: \(reason); trying again\(glyphs.ellipsis)"
    case .ended(let reason): words = "the node ended: \(reason); q leaves"
    }
    fit(words, inner.x + 1, inner.y + inner.height / 2, faint, width: inner.width - 2)
  }

  // MARK: header

  /// One line that answers: which node, is it serving, and if not, why.
  mutating func drawHeader(_ model: DashboardModel, _ rect: Rect) {
    let width = rect.width
    guard let snapshot = model.snapshot else {
      run([(" hotpot ", strong), (linkWords(model.link), warn)], 0, 0, limit: width)
      return
    }
    let node = snapshot.node
    var right = width - 1
    func place(_ text: String, _ style: Style) {
      let columns = displayWidth(text)
      if right - columns < width / 2 { return }
      put(text, right - columns, 0, style)
      right -= columns + 2
    }
    if width >= 40 {
      place(clock(snapshot.time, offset: model.options.utcOffset, withSeconds: false), text)
    }
    if node.waitingApproval > 0 {
      let words = width >= 60 ? " waiting" : ""
      place("\(glyphs.pending) \(grouped(node.waitingApproval))\(words)", pending.with(.bold))
    }
    if model.isFrozen { place("frozen", warn) }
    if width >= 100, let attached = snapshot.attached, attached.count > 1 {
      place("\(grouped(attached.count)) attached", label)
    }
    if let queue = snapshot.sharedQueue {
      if queue.unreachedSince != nil, width >= 80 {
        place("shared queue not reached", warn)
      } else if width >= 100, let waiting = queue.waiting {
        place("\(grouped(waiting)) in the shared queue", label)
      }
    }
    if let role = model.role, role != .owner, width >= 80 {
      place("\(fitted(model.operatorName, columns: 12)), \(role.rawValue)", label)
    } else if model.isReadOnly && width >= 60 {
      place("read-only", label)
    }

    var parts: [(String, Style)] = []
    if width >= 60 { parts.append((" hotpot", strong)) }
    parts.append((" \(fitted(node.name, columns: 20, ellipsis: Character(glyphs.ellipsis)))  ", text))
    parts += statePhrase(model, node, snapshot.time)
    var x = run(parts, 0, 0, limit: right - 1)
    // What is said already is not said again.
    if let alarm = node.alarms.first(where: { !isRefusing(node) || $0 != node.whyIdle }) {
      x = run([("  \(glyphs.attention) \(alarm)", error)], x, 0, limit: right - 1)
    } else if node.whyIdle == nil || width >= 120 {
      var rest: [String] = []
      if let name = node.model { rest.append(name) }
      rest.append("up \(uptime(elapsed(node.started, snapshot.time)))")
      if width >= 120 {
        rest.append(node.isa)
        if let address = node.address { rest.append(address) }
      }
      for part in rest where x + 2 + displayWidth(part) <= right - 1 { x = put("  \(part)", x, 0, label) }
    }
  }

  private func linkWords(_ link: LinkState) -> String {
    switch link {
    case .connecting: "connecting"
    case .connected: "connected"
    case .lost(_, let reason): "no line: \(reason)"
    case .ended(let reason): "ended: \(reason)"
    }
  }

  /// The state as a glyph and words, followed by the one reason why nothing runs.
  private func statePhrase(_ model: DashboardModel, _ node: NodeSummary, _ time: Microseconds) -> [(
    String, Style
  )] {
    switch model.link {
    case .lost(_, let reason):
      let since = model.snapshotAt.map { " \(age(elapsed($0.steady, model.now.steady)))" } ?? ""
      return [("\(glyphs.attention) no line\(since): \(reason)", error)]
    case .ended(let reason): return [("\(glyphs.stopped) ended: \(reason)", error)]
    case .connecting, .connected: break
    }
    if let last = model.snapshotAt, elapsed(last.steady, model.now.steady) > 4_000_000 {
      return [("\(glyphs.attention) silent for \(age(elapsed(last.steady, model.now.steady)))", error)]
    }
    let word = stateWord(node)
    switch node.state {
    case .serving:
      // Having nothing to do is no warning; turning everything away is.
      if let why = node.whyIdle {
        return isRefusing(node)
          ? [("\(glyphs.attention) refusing", error), (": \(why)", text)]
          : [("\(glyphs.idle) idle", ok), (": \(why)", label)]
      }
      return [("\(glyphs.serving) serving", ok.with(.bold))]
    case .loading:
      let share = node.loading.map { " \(percent($0)) %" } ?? ""
      return [("\(glyphs.idle) loading\(share)", pending.with(.bold))]
    case .noModel, .paused, .draining, .readOnly, .failed, .stopping:
      let sign =
        node.state == .paused ? glyphs.held : node.state == .draining ? glyphs.down : glyphs.attention
      var parts = [("\(sign) \(word)", warn)]
      // The first screen shows the rest.
      if let why = node.whyIdle, why.lowercased() != word, !model.isFirstRun {
        parts.append((": \(why)", text))
      } else if node.state == .draining {
        let left = model.snapshot?.jobs.count { $0.state == .running || $0.state == .queued } ?? 0
        if left > 0 { parts.append((": \(plural(left, "job")) left", text)) }
      }
      return parts
    }
  }

  // MARK: footer

  mutating func drawFooter(_ model: DashboardModel, _ rect: Rect) {
    let (y, width) = (rect.y, rect.width)
    switch model.mode {
    case .filter: field("/", model.field, y, hint: "live; ! inverts; Enter keeps, Esc clears", width)
    case .command: field(":", model.field, y, hint: "Tab completes, Enter runs, Esc leaves", width)
    case .confirm(let confirmation):
      let keys = "  y yes  n no "
      run(
        [
          (" \(glyphs.attention) ", warn),
          (
            fitted(
              confirmation.question, columns: max(8, width - 4 - displayWidth(keys)),
              ellipsis: Character(glyphs.ellipsis)), strong
          ), ("  y", key), (" yes  ", text), ("n", key), (" no", text),
        ],
        0, y, limit: width)
    case .reason(_, let what, _, _): field("reject \(what): ", model.field, y, hint: "", width)
    case .shutdownHow:
      // With numbers: how many jobs would end with the node, and how many it waits for.
      let jobs = model.snapshot?.jobs ?? []
      let finish = jobs.count { $0.state == .running || $0.state == .queued }
      let end = jobs.count { $0.state == .pending || $0.state == .held }
      let drained = [
        finish > 0 ? "\(grouped(finish)) finish" : nil, end > 0 ? "\(grouped(end)) that wait end" : nil,
      ]
      .compactMap { $0 }.joined(separator: ", ")
      let now = finish + end > 0 ? " now: \(grouped(finish + end)) end  " : " now  "
      run(
        [
          (" \(glyphs.attention) ", warn), ("stop the node? ", strong), ("d", key),
          (drained.isEmpty ? " drain first  " : " drain: \(drained)  ", text), ("n", key), (now, text),
          ("Esc", key), (" no", text),
        ], 0, y, limit: width)
    case .shutdownName(let drain):
      field(
        "type the node's name to stop it\(drain ? " after draining" : " now"): ", model.field, y, hint: "",
        width)
    case .normal, .palette, .chat, .token, .who:
      if let status = model.status {
        fit(
          " \(status.isError ? "\(glyphs.attention) " : "")\(status.text)", 0, y,
          status.isError ? error : text, width: width)
      } else {
        drawHints(model, y, width)
      }
    }
  }

  /// A line being typed, with its cursor; the hint is dropped if the text needs the width.
  private mutating func field(_ prompt: String, _ editor: LineEditor, _ y: Int, hint: String, _ width: Int) {
    var x = put(" ", 0, y, text)
    x = fit(prompt, x, y, key, width: max(1, width * 2 / 3))
    let room = max(1, width - x - 1)
    // A long text shows its end, with the cursor.
    var before = displaySafe(editor.beforeCursor)
    while displayWidth(before) >= room { before.removeFirst() }
    let after = displaySafe(editor.text.dropFirst(editor.beforeCursor.count))
    let cursorX = put(before, x, y, text)
    let end = put(after, cursorX, y, text, limit: max(0, width - cursorX))
    grid.cursor = Grid.Point(x: min(width - 1, cursorX), y: y)
    if !hint.isEmpty, end + displayWidth(hint) + 4 < width { putRight(hint, width - 1, y, faint) }
  }

  private mutating func drawHints(_ model: DashboardModel, _ y: Int, _ width: Int) {
    var x = 1
    func columns(_ action: Action, _ words: String) -> Int {
      guard let name = model.options.keyMap.hint(action) else { return 0 }
      return displayWidth(name) + 1 + displayWidth(words) + 2
    }
    func hint(_ action: Action, _ words: String, limit: Int) {
      guard let name = model.options.keyMap.hint(action) else { return }
      // The last two blanks need not fit.
      if x + columns(action, words) - 2 > limit { return }
      x = put(name, x, y, key)
      x = put(" \(words)  ", x, y, label)
    }
    if model.mode == .chat {
      x = run(
        [
          ("Enter", key), (" send  ", label), ("M-Enter", key), (" newline  ", label), ("C-c", key),
          (" stop  ", label), ("Esc", key), (" leave the field", label),
        ],
        x, y, limit: width)
      return
    }
    // Help and the way out are there at any width.
    let end = Self.endHints
    let limit = width - end.reduce(0) { $0 + columns($1.0, $1.1) }
    // A read-only operator sees no acts.
    for (action, words) in hints(model)
    where !model.isReadOnly || !(action.isAct || action == .talk) {
      hint(action, words, limit: limit)
    }
    for (action, words) in end { hint(action, words, limit: width) }
  }

  private static let endHints: [(Action, String)] = [(.help, "help"), (.leave, "leave")]

  private func hints(_ model: DashboardModel) -> [(Action, String)] {
    if let detail = model.detail {
      switch detail {
      case .job(let id, _, _, let isRevealed):
        let state = model.job(id)?.state
        var acts: [(Action, String)] = [(.back, "back")]
        if state == .pending { acts += [(.approve, "approve"), (.reject, "reject")] }
        if state?.hasEnded == false { acts += [(.hold, "hold"), (.cancel, "cancel")] }
        if state == .done { acts.append((.verify, "verify")) }
        return acts + [(.reveal, isRevealed ? "hide text" : "show text"), (.copy, "copy id")]
      case .receipt: return [(.back, "back"), (.verify, "verify"), (.copy, "copy id")]
      case .client:
        return [
          (.back, "back"), (.approve, "adopt or limit"), (.cancel, "revoke"),
          (.approveClient, "approve its jobs"),
        ]
      case .log: return [(.back, "back"), (.copyRow, "copy"), (.down, "scroll")]
      }
    }
    if model.isFirstRun { return [(.command, "command"), (.theme, "theme")] }
    return model.focus.hints
  }
}
