// View+Jobs.swift: the queue as a table, and the jobs that wait for the operator.
// Columns appear as the pane grows; what a column shows never moves. Start at drawJobs and drawApprovals.
import Node
import Terminal

/// Columns of the jobs table for a width: where each starts, 0 where it is left out.
private struct JobColumns {
  var client = 0
  var clientWidth = 0
  var priority = 0
  var promptEnd = 0
  var progress = 0
  var barWidth = 0
  var countEnd = 0
  var rateEnd = 0
  var firstEnd = 0
  var ageEnd = 0
  var owedEnd = 0
  var model = 0
  var modelWidth = 0
  var receipt = 0

  init(_ inner: Rect, digits: Int, showsModel: Bool) {
    let width = inner.width
    var right = inner.right - 1
    func take(_ columns: Int) -> Int {
      defer { right -= columns + 2 }
      return right
    }
    if width >= 62 { owedEnd = take(9) }
    if width >= 48 { ageEnd = take(4) }
    if width >= 36 { rateEnd = take(5) }
    if width >= 104 { firstEnd = take(6) }
    countEnd = take(width >= 44 ? 6 : 5)
    barWidth =
      width >= 130 ? 28 : width >= 100 ? (showsModel ? 16 : 24) : width >= 70 ? 12 : width >= 54 ? 8 : 5
    progress = right - barWidth + 2
    right = progress - 2
    if width >= 70 { promptEnd = take(6) }
    if width >= 70 { priority = take(1) - 1 }
    client = inner.x + 3 + digits + 2
    let room = right - client
    if width >= 116 && showsModel {
      modelWidth = min(26, room / 2)
      model = right - modelWidth
      clientWidth = room - modelWidth - 2
    } else {
      clientWidth = room
    }
    // A client's name needs no more; the rest is left between the columns.
    clientWidth = max(0, clientWidth)
  }
}

extension Canvas {
  mutating func drawJobs(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    guard let list = model.lists[.jobs] else { return }
    let isFocused = model.focus == .jobs
    let node = snapshot.node
    var note: [(String, Style)] = filterNote(list.filter, isEditing: model.mode == .filter && isFocused)
    if !list.tags.isEmpty { note.append(("\(glyphs.tag) \(list.tags.count)  ", key)) }
    // Counted from the rows, so that they agree with them.
    let running = snapshot.jobs.count { $0.state == .running }
    let held = snapshot.jobs.count { $0.state == .held }
    note.append(("\(grouped(running)) run", running > 0 ? ok : faint))
    note.append(
      (" \(glyphs.separator) \(grouped(snapshot.jobs.count { $0.state == .queued })) queued", label))
    if held > 0 && rect.width >= 60 { note.append((" \(glyphs.separator) \(grouped(held)) held", label)) }
    let inner = frame(
      rect, number: 1, title: "jobs", isFocused: isFocused, note: note, foot: position(list, model, .jobs))
    let area = model.listArea(.jobs, inner)
    // One model for all is in the header already.
    let columns = JobColumns(
      inner, digits: model.idDigits, showsModel: snapshot.jobs.contains { $0.model != node.model })
    if area.y > inner.y { drawJobsHead(columns, inner, list, model) }
    if list.lineCount == 0 {
      let isFiltered = snapshot.jobs.contains { $0.state != .pending }
      let words = isFiltered ? "no job matches '\(list.filter.text)'" : emptyJobs(node)
      fit(words, area.x + 1, area.y + max(0, area.height - 1) / 2, faint, width: area.width - 2)
      return
    }
    for (row, line) in list.lines(height: area.height).enumerated() {
      let rect = Rect(x: area.x, y: area.y + row, width: area.width, height: 1)
      switch line {
      case .row(let id):
        guard let job = model.job(id) else { continue }
        drawJob(
          job, model, snapshot.time, columns, rect, isSelected: isFocused && id == list.selected,
          isTagged: list.tags.contains(id))
      case .waiting(let count):
        sign(glyphs.pending, rect.x + 1, rect.y, pending.with(.bold))
        let way = model.options.keyMap.hint(.approvals).map { ": \($0) shows \(count == 1 ? "it" : "them")" }
        fit(
          "\(grouped(count)) \(count == 1 ? "waits" : "wait") for you\(way ?? "")", rect.x + 3, rect.y,
          pending, width: rect.width - 4)
      case .gap: break
      case .ended(let count): drawEndedTitle(count, rect)
      }
    }
  }

  /// A rule across the list: what stands below it has ended.
  private mutating func drawEndedTitle(_ count: Int, _ rect: Rect) {
    grid.fill(
      Rect(x: rect.x + 1, y: rect.y, width: max(0, rect.width - 2), height: 1), glyphs.horizontal,
      style: faint)
    fit(" \(grouped(count)) ended ", rect.x + 2, rect.y, faint, width: rect.width - 4)
  }

  private func emptyJobs(_ node: NodeSummary) -> String {
    if node.waitingApproval > 0 {
      return
        "no jobs: \(plural(node.waitingApproval, "job")) wait\(node.waitingApproval == 1 ? "s" : "") for you"
    }
    guard let address = node.address, node.state == .serving else { return "no jobs" }
    return "no jobs yet: ask at \(address)/v1 with any bearer token"
  }

  func filterNote(_ filter: Filter, isEditing: Bool) -> [(String, Style)] {
    filter.isEmpty && !isEditing ? [] : [("/\(fitted(filter.text, columns: 16))  ", key)]
  }

  /// `12-20 of 53`, when not all rows are on the screen.
  func position(_ list: ListState, _ model: DashboardModel, _ pane: Pane) -> String {
    guard let shown = list.position(height: model.listHeight(pane)) else { return "" }
    return "\(shown.first)-\(shown.last) of \(grouped(list.order.count))"
  }

  private mutating func drawJobsHead(
    _ columns: JobColumns, _ inner: Rect, _ list: ListState, _ model: DashboardModel
  ) {
    let y = inner.y
    func sorted(_ column: Int, _ name: String) -> (String, Style) {
      guard list.sortColumn == column else { return (name, faint) }
      return (name + String(list.isInverted ? glyphs.up : glyphs.down), key)
    }
    func left(_ x: Int, _ column: Int, _ name: String, _ width: Int) {
      let (text, style) = sorted(column, name)
      if x > 0 && width > 0 { fit(text, x, y, style, width: width) }
    }
    func right(_ end: Int, _ column: Int, _ name: String) {
      let (text, style) = sorted(column, name)
      if end > 0 { putRight(text, end, y, style) }
    }
    left(inner.x + 3, 1, "JOB", model.idDigits + 1)
    left(columns.client, 2, "CLIENT", columns.clientWidth)
    if columns.model > 0 { fit("MODEL", columns.model, y, faint, width: columns.modelWidth) }
    left(columns.priority, 3, "P", 2)
    right(columns.promptEnd, 4, "PROMPT")
    left(columns.progress, -1, "PROGRESS", columns.barWidth)
    right(columns.countEnd, 5, "OUT")
    right(columns.rateEnd, 6, "TOK/S")
    if columns.firstEnd > 0 { putRight("FIRST", columns.firstEnd, y, faint) }
    right(columns.ageEnd, 7, "AGE")
    right(columns.owedEnd, 8, "OWED")
  }

  func jobSign(_ state: JobState) -> (Unicode.Scalar, Style) {
    switch state {
    case .pending: (glyphs.pending, pending.with(.bold))
    case .queued: (glyphs.queued, label)
    case .running: (glyphs.running, ok)
    case .held: (glyphs.held, style(theme.warn))
    case .done: (glyphs.done, faint)
    case .rejected, .cancelled, .expired: (glyphs.stopped, faint)
    case .failed, .interrupted: (glyphs.failed, error)
    }
  }

  private mutating func drawJob(
    _ job: JobRow, _ model: DashboardModel, _ time: Microseconds, _ columns: JobColumns, _ rect: Rect,
    isSelected: Bool,
    isTagged: Bool
  ) {
    let y = rect.y
    let plain = isSelected ? selection : job.state.hasEnded ? faint : text
    let soft = plain
    if isSelected { grid.fill(rect, " ", style: selection) }
    let isFrozen = job.state == .running && model.snapshot?.node.state == .paused
    let (mark, markStyle) = jobSign(isFrozen ? .held : job.state)
    if isTagged { sign(glyphs.tag, rect.x, y, isSelected ? selection : key) }
    sign(mark, rect.x + 1, y, isSelected ? selection : markStyle)
    put(model.short(job.id), rect.x + 3, y, isSelected ? selection : job.state == .running ? strong : plain)
    let client =
      job.origin == .chat
      ? "\(job.client) (chat)" : job.origin == .audit ? "\(job.client) (audit)" : job.client
    fit(client, columns.client, y, plain, width: columns.clientWidth)
    if columns.model > 0 { fit(job.model, columns.model, y, soft, width: columns.modelWidth) }
    if columns.priority > 0 { put("\(min(99, max(-9, job.priority)))", columns.priority, y, soft) }
    if columns.promptEnd > 0 { putRight(numberColumn(job.promptTokens, 6), columns.promptEnd, y, soft) }
    drawProgress(job, columns, y, plain, soft, isSelected: isSelected)
    let calm = job.state == .running ? model.calmJob(job.id) : nil
    if columns.rateEnd > 0, job.tokensPerSecond != nil, !isFrozen,
      let tokensPerSecond = calm?.tokensPerSecond ?? job.tokensPerSecond
    {
      putRight(
        tokensPerSecond < 9.95 ? rate(tokensPerSecond) : compact(tokensPerSecond), columns.rateEnd, y, plain)
    }
    if columns.firstEnd > 0, let first = job.firstToken {
      putRight(latencyWords(elapsed(job.admitted ?? job.submitted, first)), columns.firstEnd, y, soft)
    }
    if columns.ageEnd > 0 {
      putRight(age(elapsed(job.submitted, job.ended ?? time)), columns.ageEnd, y, soft)
    }
    if columns.owedEnd > 0, let owed = calm?.price ?? job.price {
      putRight(
        owed == 0 ? "free" : (job.priceIsBound ? String(glyphs.atMost) : "") + exactMoney(owed),
        columns.owedEnd, y,
        job.priceIsBound ? soft : plain)
    }
  }

  private func numberColumn(_ value: Int, _ width: Int) -> String {
    let text = grouped(value)
    return text.utf8.count <= width ? text : compact(value)
  }

  private mutating func drawProgress(
    _ job: JobRow, _ columns: JobColumns, _ y: Int, _ plain: Style, _ soft: Style, isSelected: Bool
  ) {
    let width = columns.countEnd - columns.progress
    let countWidth = max(4, width - columns.barWidth - 1)
    func words(_ text: String, _ style: Style) {
      fit(text, columns.progress, y, style, width: width)
    }
    switch job.state {
    case .running where job.promptDone < job.promptTokens:
      let share = Double(job.promptDone) / Double(max(1, job.promptTokens))
      bar(
        share, columns.progress, y, width: columns.barWidth,
        isSelected ? selection : style(theme.reading), isSelected: isSelected)
      putRight("\(percent(share))%", columns.countEnd, y, soft)
    case .running:
      let share = Double(job.outputTokens) / Double(max(1, job.outputLimit))
      bar(
        share, columns.progress, y, width: columns.barWidth,
        isSelected ? selection : style(theme.writing), isSelected: isSelected)
      putRight(numberColumn(job.outputTokens, countWidth), columns.countEnd, y, plain)
    case .held:
      words(job.stateDetail ?? "held", isSelected ? selection : style(theme.warn))
      putRight(numberColumn(job.outputTokens, countWidth), columns.countEnd, y, soft)
    case .queued: words(job.stateDetail ?? "queued", soft)
    case .pending: words("waits for you", isSelected ? selection : pending)
    case .done:
      words("done", soft)
      putRight(numberColumn(job.outputTokens, countWidth), columns.countEnd, y, soft)
    case .rejected, .cancelled, .expired, .failed, .interrupted:
      let detail = job.stateDetail.map {
        $0.hasPrefix(job.state.rawValue) ? $0 : "\(job.state.rawValue): \($0)"
      }
      words(detail ?? job.state.rawValue, isSelected ? selection : job.state == .failed ? error : soft)
    }
  }

  // MARK: approvals

  mutating func drawApprovals(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    guard let list = model.lists[.approvals] else { return }
    let isFocused = model.focus == .approvals
    var note = filterNote(list.filter, isEditing: model.mode == .filter && isFocused)
    if !list.tags.isEmpty { note.append(("\(glyphs.tag) \(list.tags.count)  ", key)) }
    let count = snapshot.approvals.count
    note.append((count == 0 ? "none" : "\(grouped(count)) waiting", count == 0 ? faint : pending.with(.bold)))
    let place = position(list, model, .approvals)
    let foot =
      rect.width >= 70 && count > 0 && !model.options.isReadOnly
      ? (place.isEmpty ? "" : place + "  ")
        + "a approve \(glyphs.separator) x reject \(glyphs.separator) A X all" : place
    let inner = frame(rect, number: 2, title: "approvals", isFocused: isFocused, note: note, foot: foot)
    let area = model.listArea(.approvals, inner)
    let columns = ApprovalColumns(inner, digits: model.idDigits, hasHead: area.y > inner.y)
    if area.y > inner.y && !list.order.isEmpty { drawApprovalsHead(columns, inner, list) }
    if list.order.isEmpty {
      let words = snapshot.approvals.isEmpty ? "nothing waits for you" : "none matches '\(list.filter.text)'"
      fit(
        words, inner.x + 1, inner.y + max(0, inner.height - 1) / 2, faint, width: inner.width - 2)
      return
    }
    for (row, line) in list.lines(height: area.height).enumerated() {
      guard case .row(let id) = line, let approval = model.approval(id) else { continue }
      drawApproval(
        approval, model, snapshot.time, columns,
        Rect(x: area.x, y: area.y + row, width: area.width, height: 1),
        isSelected: isFocused && id == list.selected, isTagged: list.tags.contains(id))
    }
  }

  private mutating func drawApprovalsHead(_ columns: ApprovalColumns, _ inner: Rect, _ list: ListState) {
    let y = inner.y
    func name(_ column: Int, _ name: String) -> (String, Style) {
      guard list.sortColumn == column else { return (name, faint) }
      return (name + String(list.isInverted ? glyphs.up : glyphs.down), key)
    }
    func right(_ end: Int, _ word: (String, Style)) { if end > 0 { putRight(word.0, end, y, word.1) } }
    put("JOB", inner.x + 3, y, faint)
    let client = name(1, "CLIENT")
    fit(client.0, columns.client, y, client.1, width: columns.clientWidth)
    right(columns.promptEnd, ("PROMPT", faint))
    right(columns.limitEnd, name(2, "AT MOST"))
    right(columns.offerEnd, name(3, columns.earnsEnd > 0 ? "OFFER/M" : "OFFER OR EARNS"))
    right(columns.earnsEnd, name(4, "EARNS"))
    if columns.policy > 0 { fit("POLICY", columns.policy, y, faint, width: columns.policyWidth) }
    right(columns.leftEnd, name(0, "LEFT"))
  }

  private mutating func drawApproval(
    _ row: ApprovalRow, _ model: DashboardModel, _ time: Microseconds, _ columns: ApprovalColumns,
    _ rect: Rect,
    isSelected: Bool, isTagged: Bool
  ) {
    let y = rect.y
    func style(_ style: Style) -> Style { isSelected ? selection : style }
    let plain = style(text)
    if isSelected { grid.fill(rect, " ", style: selection) }
    if isTagged { sign(glyphs.tag, rect.x, y, style(key)) }
    sign(glyphs.pending, rect.x + 1, y, style(pending.with(.bold)))
    put(model.short(row.id), rect.x + 3, y, style(strong))
    fit(
      row.isKnown ? row.client : "\(row.client) (unknown)", columns.client, y,
      style(row.isKnown ? text : self.style(theme.warn)), width: columns.clientWidth)
    if columns.promptEnd > 0 { putRight(numberColumn(row.promptTokens, 6), columns.promptEnd, y, plain) }
    let unit = columns.hasHead ? "" : " tok"
    if columns.limitEnd > 0 { putRight(numberColumn(row.outputLimit, 6) + unit, columns.limitEnd, y, plain) }

    let isUnder = (row.offered ?? 0) < (row.asked ?? 0)
    let offer = row.offered.map(price) ?? "none"
    // How long it would take is known once something has run here.
    let takes = row.wouldTake.latest.map { " in " + ("~" + age($0)).right(4) } ?? ""
    let earns = row.asked == nil && row.offered == nil ? "free" : brief(row.wouldEarn) { "+" + money($0) }.0
    let under = style(self.style(theme.warn))
    if columns.earnsEnd > 0 {
      // What it offers for a million tokens, what it would bring here, and how long that would take.
      let asks = isUnder ? "\(offer) of \(price(row.asked ?? 0))" : row.offered == nil ? "-" : offer
      putRight(asks, columns.offerEnd, y, isUnder ? under : plain)
      putRight(earns + takes, columns.earnsEnd, y, plain)
    } else if columns.offerEnd > 0 {
      let words =
        isUnder
        ? row.offered == nil
          ? "no offer, asks \(price(row.asked ?? 0))" : "offers \(offer), asks \(price(row.asked ?? 0))"
        : earns + takes
      putRight(words, columns.offerEnd, y, isUnder ? under : plain, width: columns.offerWidth)
    }
    if columns.policy > 0 { fit(row.policy, columns.policy, y, style(label), width: columns.policyWidth) }
    let left = elapsed(time, row.deadline)
    let words = patience(left) + (columns.hasHead || rect.width < 60 ? "" : " left")
    putRight(words, columns.leftEnd, y, left < 60_000_000 ? style(warn) : plain)
  }
}

/// Columns of the approvals for a width: where each starts or ends, 0 where it is left out.
private struct ApprovalColumns {
  var client = 0
  var clientWidth = 0
  var promptEnd = 0
  var limitEnd = 0
  var offerEnd = 0
  var offerWidth = 0
  /// 0: the offer's column says what is wrong with it, or else what the job would bring.
  var earnsEnd = 0
  var policy = 0
  var policyWidth = 0
  var leftEnd = 0

  /// Without a head the figures carry their own words.
  let hasHead: Bool

  init(_ inner: Rect, digits: Int, hasHead: Bool) {
    self.hasHead = hasHead
    let width = inner.width
    var right = inner.right - 1
    func take(_ columns: Int) -> Int {
      defer { right -= columns + 2 }
      return right
    }
    leftEnd = take(hasHead || width < 60 ? 5 : 9)
    client = inner.x + 3 + digits + 2
    if width >= 108 {
      // Whatever the others do not need is for the reason.
      policyWidth = min(70, width - 86 - (width >= 140 ? 6 : 0))
      policy = right - policyWidth
      right = policy - 2
    }
    if width >= 96 {
      earnsEnd = take(16)
      offerWidth = 14
    } else if width >= 70 {
      offerWidth = 24
    } else if width >= 50 {
      offerWidth = 16
    }
    if offerWidth > 0 { offerEnd = take(offerWidth) }
    if width >= 46 { limitEnd = take(hasHead ? 7 : 9) }
    if width >= 80 { promptEnd = take(6) }
    clientWidth = max(0, right - client)
  }
}
