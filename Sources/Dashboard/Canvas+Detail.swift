// Canvas+Detail.swift: everything about one job or one receipt, over the whole screen. Prompt and
// answer stay hidden until the operator reveals them, and each reveal is logged. Start at
// drawDetail.
import Control
import Terminal

extension Canvas {
  mutating func drawDetail(_ model: DashboardModel, _ rect: Rect) {
    switch model.detail {
    case .job(let id, let detail, let answer, let isRevealed):
      drawJobDetail(id, detail, answer, isRevealed: isRevealed, model, rect)
    case .receipt(let id, let detail): drawReceiptDetail(id, detail, model, rect)
    case .log(let line): drawLogLine(line, model, rect)
    case .client(let name): drawClientDetail(name, model, rect)
    case nil: break
    }
  }

  private typealias Line = [(String, Style)]

  private func named(_ name: String, _ value: String, _ style: Style, columns: Int = 14) -> Line {
    [(name + String(repeating: " ", count: max(1, columns - displayWidth(name))), label), (value, style)]
  }

  private mutating func drawJobDetail(
    _ id: String, _ detail: JobDetail?, _ answer: String, isRevealed: Bool, _ model: DashboardModel,
    _ rect: Rect
  ) {
    guard let snapshot = model.snapshot else { return }
    let row = model.job(id) ?? detail?.row
    var note: [(String, Style)] = []
    if let row {
      let (mark, style) = jobSign(row.state)
      note = [("\(mark) \(row.state.rawValue)", style)]
      if row.state == .running {
        note.append(("  \(grouped(row.outputTokens))/\(grouped(row.outputLimit)) tokens", label))
        if let speed = row.tokensPerSecond { note.append(("  \(rate(speed))/s", label)) }
      }
    }
    let inner = frame(
      rect, number: nil, title: "job \(displaySafe(id.prefix(40)))", isFocused: true, note: note)
    let area = inner.inset(1, 0)
    guard area.width > 4, area.height > 0 else { return }
    // Two columns if they fit, otherwise one after the other.
    let isWide = area.width >= 76
    var lines: [Line] = []
    if let row { lines += facts(row, snapshot, model.approval(id), model) }
    if let row { lines += electricity(row, snapshot, width: isWide ? area.width / 2 - 2 : area.width) }
    for pair in detail?.settings ?? [] where pair.count == 2 {
      lines.append(named(displaySafe(pair[0]), pair[1], text))
    }
    var moments: [Line] = []
    if let detail {
      var last: Microseconds?
      for moment in detail.timeline {
        let gap = last.map { "+" + span(elapsed($0, moment.time)) } ?? ""
        moments.append([
          (clock(moment.time, offset: model.options.utcOffset, withSeconds: true) + " ", faint),
          (gap.right(9) + "  ", label),
          (moment.what, text),
        ])
        last = moment.time
      }
    } else {
      moments.append([("asking the node\(glyphs.ellipsis)", faint)])
    }

    var below: [Line] = []
    if isRevealed {
      if let prompt = detail?.prompt {
        below.append([("prompt", key)])
        below += wrapped(prompt, width: area.width - 2).map { [("  " + $0, text)] }
      }
      let isWritten = row?.state == .running || row?.state == .queued
      below.append([("answer", key), (isWritten ? "  streams as it is written" : "", faint)])
      let shown = answer.isEmpty ? String(glyphs.ellipsis) : answer
      below += wrapped(shown, width: area.width - 2).map { [("  " + $0, text)] }
    } else {
      let name = model.options.keyMap.hint(.reveal) ?? ":reveal"
      below.append([
        ("prompt and answer are hidden: ", faint), (name, key),
        (" shows them, and the log says that you looked", faint),
      ])
    }

    var all: [(left: Line, right: Line)] = []
    if isWide {
      for index in 0..<max(lines.count, moments.count) {
        all.append((index < lines.count ? lines[index] : [], index < moments.count ? moments[index] : []))
      }
    } else {
      all = lines.map { ($0, []) } + [([], [])] + moments.map { ($0, []) }
    }
    all.append(([], []))
    all += below.map { ($0, []) }
    let isLive = isRevealed && row?.state.hasEnded == false
    drawLines(all, area, model, rect, sticksToEnd: isLive)
  }

  private mutating func drawLines(
    _ all: [(left: [(String, Style)], right: [(String, Style)])], _ area: Rect, _ model: DashboardModel,
    _ rect: Rect,
    sticksToEnd: Bool = false
  ) {
    let most = max(0, all.count - area.height)
    // While an answer streams its end is shown, until the operator scrolls.
    let top = sticksToEnd && model.detailScroll == 0 ? most : min(model.detailScroll, most)
    let half = area.x + area.width / 2
    for (index, line) in all.dropFirst(top).prefix(area.height).enumerated() {
      run(line.left, area.x, area.y + index, limit: line.right.isEmpty ? area.right : half - 2)
      run(line.right, half, area.y + index, limit: area.right)
    }
    if most > 0 {
      putRight(" \(top + 1)-\(top + area.height) of \(all.count) ", rect.right - 2, rect.bottom - 1, faint)
    }
  }

  private func facts(
    _ row: JobRow, _ snapshot: NodeSnapshot, _ approval: ApprovalRow?, _ model: DashboardModel
  ) -> [Line] {
    let currency = displaySafe(snapshot.node.currency.prefix(8))
    var lines: [Line] = []
    let origin = row.origin == .client ? "" : " (\(row.origin.rawValue))"
    lines.append(
      named("client", row.client + origin, approval?.isKnown == false ? style(theme.warn) : strong))
    lines.append(named("model", row.model, text))
    var state = row.state.rawValue
    if let why = row.stateDetail { state += ": \(why)" }
    lines.append(named("state", state, row.state == .failed ? error : text))
    if let approval {
      let time = snapshot.time
      lines.append(named("decide within", countdown(elapsed(time, approval.deadline)), warn))
      lines.append(named("policy", approval.policy, text))
      let offer = approval.offered.map { "\(price($0)) a million" } ?? "nothing"
      let asked = approval.asked.map { ", this node asks \(price($0))" } ?? ""
      lines.append(
        named(
          "offers", offer + asked, (approval.offered ?? 0) < (approval.asked ?? 0) ? style(theme.warn) : text)
      )
      if let charged = approval.charged, charged != approval.asked {
        lines.append(named("would charge", "\(price(charged)) a million, if you approve", text))
      }
      let earn = words(approval.wouldEarn, at: time) { "at most \(money($0)) \(currency)" }
      lines.append(named("would earn", earn.0, earn.1))
      let cost = words(approval.wouldCost, at: time) { "\(money($0)) \(currency) of electricity" }
      lines.append(named("would cost", cost.0, cost.1))
      let take = words(approval.wouldTake, at: time) { "about \(span($0))" }
      lines.append(named("would take", take.0, take.1))
    }
    lines.append(named("priority", "\(row.priority)", text))
    let cached = row.cachedTokens > 0 ? ", \(grouped(row.cachedTokens)) from cache" : ""
    lines.append(
      named("prompt", "\(plural(row.promptTokens, "token")), \(grouped(row.promptDone)) read\(cached)", text))
    lines.append(
      named("output", "\(grouped(row.outputTokens)) of at most \(plural(row.outputLimit, "token"))", text))
    if let speed = row.tokensPerSecond { lines.append(named("rate", "\(rate(speed)) tokens/s", text)) }
    if let admitted = row.admitted, admitted > row.submitted {
      lines.append(named("approved", "after \(span(elapsed(row.submitted, admitted)))", text))
    }
    if let first = row.firstToken {
      lines.append(
        named("first token", "after \(span(elapsed(row.admitted ?? row.submitted, first)))", text))
    }
    lines.append(named("age", span(elapsed(row.submitted, row.ended ?? snapshot.time)), text))
    if let owed = row.price {
      lines.append(named(row.priceIsBound ? "owes at most" : "owes", "\(money(owed)) \(currency)", text))
    }
    if let receipt = row.receipt { lines.append(named("receipt", receipt, text)) }
    return lines
  }

  /// The job's electricity and its cost; a reason may be longer than its column.
  private func electricity(_ row: JobRow, _ snapshot: NodeSnapshot, width: Int) -> [Line] {
    guard let used = row.energy else { return [] }
    var (value, look) = words(used, at: snapshot.time) { energy($0) }
    if case .value = used, let cost = row.energyCost {
      let currency = displaySafe(snapshot.node.currency.prefix(8))
      switch cost {
      case .value(let amount), .stale(let amount, _): value += ", \(exactMoney(amount)) \(currency)"
      case .unavailable(let reason): value += ", \(reason)"
      case .warmingUp: break
      }
    }
    return wrapped(value, width: width - 14).enumerated().map {
      named($0 == 0 ? "electricity" : "", $1, look)
    }
  }

  private mutating func drawReceiptDetail(
    _ id: String, _ detail: ReceiptDetail?, _ model: DashboardModel, _ rect: Rect
  ) {
    let inner = frame(rect, number: nil, title: "receipt \(displaySafe(id.prefix(40)))", isFocused: true)
    let area = inner.inset(1, 0)
    guard area.width > 4, area.height > 0 else { return }
    var lines: [Line] = []
    // Wide enough for "completion tokens".
    let columns = 18
    func add(_ name: String, _ value: String, _ style: Style) {
      let rows = wrapped(value, width: max(8, area.width - columns - 1))
      lines.append(named(fitted(name, columns: columns - 1), rows.first ?? "", style, columns: columns))
      for row in rows.dropFirst() { lines.append(named("", row, style, columns: columns)) }
    }
    if let row = model.snapshot?.receipts.recent.first(where: { $0.id == id }) ?? detail?.row {
      add("state", row.state.rawValue, text)
      let failed: Bool
      switch row.audit {
      case .failed, .notRun: failed = true
      case .unaudited, .running, .audited: failed = false
      }
      add("audit", auditWords(row.audit), failed ? error : text)
      if detail == nil {
        add("job", row.job, text)
        add("client", row.client, text)
      }
    }
    if let detail {
      for pair in detail.fields where pair.count == 2 { add(pair[0], pair[1], text) }
      lines.append([])
      lines.append([("as it stands in the log", key)])
      lines += wrapped(detail.line, width: area.width - 2).map { [("  " + $0, label)] }
    } else {
      lines.append([("asking the node\(glyphs.ellipsis)", faint)])
    }
    drawLines(lines.map { ($0, []) }, area, model, rect)
  }
}
