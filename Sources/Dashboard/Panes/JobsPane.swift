// JobsPane.swift: the queue as a table. Columns appear as the pane grows, and the contents of a
// column never move. Jobs that wait for the operator are in ApprovalsPane.swift. Start at
// Pane.jobs.
import Control
import Terminal

extension Pane {
  package static let jobs: Pane = Pane(
    "jobs",
    hints: [
      (.open, "detail"), (.hold, "hold"), (.raise, "priority"), (.cancel, "cancel"), (.filter, "filter"),
      (.hideEnded, "ended"), (.talk, "chat"),
    ],
    list: jobsList,
    open: { $0.openJob() },
    plain: plainJobs,
    draw: { canvas, model, snapshot, rect in canvas.drawJobs(model, snapshot, rect) })
}

private let jobsColumns: [PaneColumn<JobRow>] = [
  .order("order"),
  PaneColumn("job") { row, _ in .text(row.id) },
  PaneColumn("client") { row, _ in .text(row.client) },
  PaneColumn("priority") { row, _ in .number(-Double(row.priority)) },
  PaneColumn("prompt") { row, _ in .number(-Double(row.promptTokens)) },
  PaneColumn("output") { row, _ in .number(-Double(row.outputTokens)) },
  PaneColumn("rate") { row, _ in row.tokensPerSecond.map { .number(-$0) } ?? .missing },
  PaneColumn("age") { row, snapshot in .number(-Double(elapsed(row.submitted, snapshot.time))) },
  PaneColumn("owed") { row, _ in row.price.map { .number(-Double($0)) } ?? .missing },
]

private let jobsList = PaneList(
  of: "job",
  columns: jobsColumns,
  isCalm: true,
  hasEnds: true,
  // A job that waits for the operator is listed in approvals only. If a node sends two rows with
  // one id, the first counts, here as everywhere.
  rows: { model, snapshot in
    snapshot.jobs.indices.filter {
      snapshot.jobs[$0].state != .pending && model.jobIndex[snapshot.jobs[$0].id] == $0
    }.map { snapshot.jobs[$0] }
  },
  id: { $0.id },
  words: { "\($0.id) \($0.client) \($0.model) \($0.state.rawValue) \($0.stateDetail ?? "")" },
  section: { $0.state == .running ? .running : $0.state.hasEnded ? .ended : .open },
  text: { model, id in model.job(id).map(jobText) },
  receipt: { model, id in model.job(id)?.receipt },
  waitingElsewhere: { model, layout in
    layout.rect(of: .approvals) == nil ? model.snapshot?.approvals.count ?? 0 : 0
  },
  head: { $0.height >= 3 ? 1 : 0 })

private func plainJobs(_ snapshot: NodeSnapshot?) -> PlainWords {
  // Jobs that wait for the operator are reported by approvals only.
  let jobs = snapshot?.jobs.filter { !$0.state.hasEnded && $0.state != .pending } ?? []
  var words = PlainWords(lines: jobs.isEmpty ? ["no jobs"] : [], choices: jobs.map(\.id))
  for (index, job) in jobs.enumerated() {
    words.lines.append(
      "\(index + 1): \(jobSentence(job)), \(job.outputTokens) of \(plural(job.outputLimit, "token"))")
  }
  let waiting = snapshot?.approvals.count ?? 0
  if waiting > 0 {
    words.lines.append(
      "\(plural(waiting, "job")) waiting for you: approvals says \(waiting == 1 ? "it" : "them")")
  }
  return words
}

/// A job as words separated by blanks, for a spreadsheet or a message.
func jobText(_ row: JobRow) -> String {
  [
    row.id, row.state.rawValue, row.client, row.model, "priority \(row.priority)",
    "\(row.promptTokens) prompt",
    "\(row.outputTokens) output", row.price.map { money($0) } ?? "free",
  ].joined(separator: "  ")
}

/// The client as the column shows it: jobs that are no client's say what they are.
private func clientWords(_ job: JobRow) -> String {
  switch job.origin {
  case .client, .demo: job.client
  case .chat: "\(job.client) (chat)"
  case .audit: "\(job.client) (audit)"
  }
}

/// A job in a plain dashboard's words.
func jobSentence(_ job: JobRow) -> String {
  var words =
    "job \(job.id.prefix(8)) of \(job.client): \(job.state == .pending ? "waits for you" : job.state.rawValue)"
  if let detail = job.stateDetail { words += ", \(detail)" }
  if job.state == .done { words += ", \(plural(job.outputTokens, "token"))" }
  return words
}

/// Columns of the jobs table for a width: where each starts or ends, 0 if it is not shown. Each has
/// the room that its contents need; what is left is the progress's.
private struct JobColumns {
  var client = 0
  var clientWidth = 0
  var model = 0
  var modelWidth = 0
  var priority = 0
  var promptEnd = 0
  var progress = 0
  var barWidth = 0
  var countEnd = 0
  var rateEnd = 0
  var firstEnd = 0
  var ageEnd = 0
  var owedEnd = 0
  var receiptEnd = 0

  /// - names: the widest client's name
  /// - models: the widest model's name; nil if all jobs have the header's model
  init(_ inner: Rect, digits: Int, names: Int, models: Int?) {
    let width = inner.width
    var edge = RightEdge(of: inner)
    if width >= 160 { receiptEnd = edge.take(8) }
    if width >= 62 { owedEnd = edge.take(9) }
    if width >= 48 { ageEnd = edge.take(4) }
    if width >= 36 { rateEnd = edge.take(5) }
    if width >= 104 { firstEnd = edge.take(6) }
    countEnd = edge.take(width >= 44 ? 6 : 5)
    let end = edge.right + 2
    client = inner.x + 3 + digits + 2
    let numbers = width >= 70 ? 11 : 0
    // The least that a bar is worth, beside which a long name is cut.
    let bar = width >= 100 ? 16 : width >= 70 ? 10 : width >= 54 ? 8 : 5
    let room = max(0, end - client - numbers - bar - 2)
    clientWidth = min(room, max(8, min(28, names)))
    var left = client + clientWidth + 2
    if width >= 110, let models, room - clientWidth - 2 >= 12 {
      modelWidth = min(room - clientWidth - 2, min(30, models))
      model = left
      left += modelWidth + 2
    }
    if numbers > 0 {
      priority = left
      promptEnd = left + 9
      left += numbers
    }
    progress = left
    barWidth = max(0, end - progress)
  }
}

extension Canvas {
  fileprivate mutating func drawJobs(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    guard let list = model.lists[.jobs] else { return }
    let isFocused = model.focus == .jobs
    let node = snapshot.node
    var note: [(String, Style)] = filterNote(list.filter, isEditing: model.mode == .filter && isFocused)
    if !list.tags.isEmpty { note.append(("\(glyphs.tag) \(list.tags.count)  ", key)) }
    // Counted from the rows, so that the numbers agree with them.
    let running = snapshot.jobs.count { $0.state == .running }
    let held = snapshot.jobs.count { $0.state == .held }
    note.append(("\(grouped(running)) run", running > 0 ? ok : faint))
    note.append(
      (" \(glyphs.separator) \(grouped(snapshot.jobs.count { $0.state == .queued })) queued", label))
    if held > 0 && rect.width >= 60 { note.append((" \(glyphs.separator) \(grouped(held)) held", label)) }
    let inner = frame(
      rect, .jobs, model, note: note, foot: position(list, model, .jobs))
    let area = model.listArea(.jobs, inner)
    // If all jobs use one model, it is in the header already.
    let others = snapshot.jobs.contains { $0.model != node.model }
    let columns = JobColumns(
      inner, digits: model.idDigits,
      names: snapshot.jobs.map { displayWidth(clientWords($0)) }.max() ?? 0,
      models: others ? snapshot.jobs.map { displayWidth($0.model) }.max() : nil)
    if area.y > inner.y { drawJobsHead(columns, inner, list, model) }
    if list.lineCount == 0 {
      let isFiltered = !list.filter.isEmpty && snapshot.jobs.contains { $0.state != .pending }
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
        let way = model.options.keyMap.hint(.pane(.approvals)).map {
          ": \($0) shows \(count == 1 ? "it" : "them")"
        }
        fit(
          "\(grouped(count)) \(count == 1 ? "waits" : "wait") for you\(way ?? "")", rect.x + 3, rect.y,
          pending, width: rect.width - 4)
      case .gap: break
      case .ended(let count, let isHidden):
        let key = isHidden ? model.options.keyMap.hint(.hideEnded) : nil
        drawRule(" \(grouped(count)) ended\(key.map { "; \($0) shows them" } ?? "") ", rect)
      }
    }
  }

  private func emptyJobs(_ node: NodeSummary) -> String {
    if node.waitingApproval > 0 {
      return
        "no jobs: \(plural(node.waitingApproval, "job")) wait\(node.waitingApproval == 1 ? "s" : "") for you"
    }
    guard let address = node.address, node.state == .serving else { return "no jobs" }
    return "no jobs yet: ask at \(address)/v1 with any bearer token"
  }

  private mutating func drawJobsHead(
    _ columns: JobColumns, _ inner: Rect, _ list: ListState, _ model: DashboardModel
  ) {
    let y = inner.y
    func left(_ x: Int, _ column: String?, _ title: String, _ width: Int) {
      let (text, style) = heading(title, column, list, .jobs)
      if x > 0 && width > 0 { fit(text, x, y, style, width: width) }
    }
    func right(_ end: Int, _ column: String?, _ title: String) {
      let (text, style) = heading(title, column, list, .jobs)
      if end > 0 { putRight(text, end, y, style) }
    }
    left(inner.x + 3, "job", "JOB", model.idDigits + 1)
    left(columns.client, "client", "CLIENT", columns.clientWidth)
    left(columns.model, nil, "MODEL", columns.modelWidth)
    left(columns.priority, "priority", "P", 2)
    right(columns.promptEnd, "prompt", "PROMPT")
    left(columns.progress, nil, "PROGRESS", columns.barWidth)
    right(columns.countEnd, "output", "OUT")
    right(columns.rateEnd, "rate", "TOK/S")
    right(columns.firstEnd, nil, "FIRST")
    right(columns.ageEnd, "age", "AGE")
    right(columns.owedEnd, "owed", "OWED")
    right(columns.receiptEnd, nil, "RECEIPT")
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
    fit(clientWords(job), columns.client, y, plain, width: columns.clientWidth)
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
    if columns.receiptEnd > 0, let receipt = job.receipt {
      putRight(String(receipt.prefix(8)), columns.receiptEnd, y, soft)
    }
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
}
