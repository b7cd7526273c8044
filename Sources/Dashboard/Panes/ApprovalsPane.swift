// ApprovalsPane.swift: the jobs that wait for the operator: what they offer, what they would earn
// and how long they have waited. Columns appear as the pane grows. Start at Pane.approvals.
import Control
import Terminal

extension Pane {
  package static let approvals: Pane = Pane(
    "approvals",
    hints: [
      (.approve, "approve"), (.reject, "reject"), (.approveAll, "all"), (.open, "detail"), (.tag, "tag"),
      (.filter, "filter"),
    ],
    list: approvalsList,
    open: { $0.openJob() },
    plain: plainApprovals,
    draw: { canvas, model, snapshot, rect in canvas.drawApprovals(model, snapshot, rect) })
}

private let approvalsColumns: [PaneColumn<ApprovalRow>] = [
  .order("deadline"),
  PaneColumn("client") { row, _ in .text(row.client) },
  PaneColumn("tokens") { row, _ in .number(-Double(row.outputLimit)) },
  PaneColumn("offer") { row, _ in row.offered.map { .number(-Double($0)) } ?? .missing },
  PaneColumn("earns") { row, _ in row.wouldEarn.latest.map { .number(-Double($0)) } ?? .missing },
]

private let approvalsList = PaneList(
  of: "job",
  columns: approvalsColumns,
  gone: ("waits no longer", "wait no longer"),
  rows: { _, snapshot in snapshot.approvals },
  id: { $0.id },
  words: { "\($0.id) \($0.client) \($0.model) \($0.policy) \($0.isKnown ? "known" : "unknown")" },
  text: { model, id in model.job(id).map(jobText) },
  head: { $0.height >= 4 ? 1 : 0 })

private func plainApprovals(_ snapshot: NodeSnapshot?) -> PlainWords {
  let rows = snapshot?.approvals ?? []
  let time = snapshot?.time ?? 0
  var words = PlainWords(lines: rows.isEmpty ? ["nothing waits for you"] : [], choices: rows.map(\.id))
  for (index, row) in rows.enumerated() {
    let offer = row.offered.map { "offers \(price($0)) a million" } ?? "offers nothing"
    words.lines.append(
      "\(index + 1): \(row.client)\(row.isKnown ? "" : ", unknown"), at most \(plural(row.outputLimit, "token")), \(offer), "
        + "\(row.policy), \(countdown(elapsed(time, row.deadline))) left")
  }
  return words
}

extension Canvas {
  fileprivate mutating func drawApprovals(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    guard let list = model.lists[.approvals] else { return }
    let isFocused = model.focus == .approvals
    var note = filterNote(list.filter, isEditing: model.mode == .filter && isFocused)
    if !list.tags.isEmpty { note.append(("\(glyphs.tag) \(list.tags.count)  ", key)) }
    let count = snapshot.approvals.count
    note.append((count == 0 ? "none" : "\(grouped(count)) waiting", count == 0 ? faint : pending.with(.bold)))
    let place = position(list, model, .approvals)
    let foot =
      rect.width >= 70 && count > 0 && !model.isReadOnly
      ? (place.isEmpty ? "" : place + "  ")
        + "a approve \(glyphs.separator) x reject \(glyphs.separator) A X all" : place
    let inner = frame(rect, .approvals, model, note: note, foot: foot)
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
    func name(_ column: String, _ title: String) -> (String, Style) {
      heading(title, column, list, .approvals)
    }
    func right(_ end: Int, _ word: (String, Style)) { if end > 0 { putRight(word.0, end, y, word.1) } }
    put("JOB", inner.x + 3, y, faint)
    let client = name("client", "CLIENT")
    fit(client.0, columns.client, y, client.1, width: columns.clientWidth)
    right(columns.promptEnd, ("PROMPT", faint))
    right(columns.limitEnd, name("tokens", "AT MOST"))
    right(columns.offerEnd, name("offer", columns.earnsEnd > 0 ? "OFFER/M" : "OFFER OR EARNS"))
    right(columns.earnsEnd, name("earns", "EARNS"))
    if columns.policy > 0 { fit("POLICY", columns.policy, y, faint, width: columns.policyWidth) }
    right(columns.leftEnd, name("deadline", "LEFT"))
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
    // The job's duration can be estimated once a job has run here.
    let takes = row.wouldTake.latest.map { " in " + ("~" + age($0)).right(4) } ?? ""
    let earns = row.asked == nil && row.offered == nil ? "free" : brief(row.wouldEarn) { "+" + money($0) }.0
    let under = style(self.style(theme.warn))
    if columns.earnsEnd > 0 {
      // The offer for a million tokens, what the job would earn here, and how long it would take.
      let asks = isUnder ? "\(offer) of \(price(row.asked ?? 0))" : row.offered == nil ? "-" : offer
      putRight(asks, columns.offerEnd, y, isUnder ? under : plain, width: columns.offerWidth)
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

/// Columns of the approvals for a width: where each starts or ends, 0 if it is not shown.
private struct ApprovalColumns {
  var client = 0
  var clientWidth = 0
  var promptEnd = 0
  var limitEnd = 0
  var offerEnd = 0
  var offerWidth = 0
  /// 0: the offer's column says what is wrong with the offer, or otherwise what the job would earn.
  var earnsEnd = 0
  var policy = 0
  var policyWidth = 0
  var leftEnd = 0

  /// Without a heading the figures carry their own words.
  let hasHead: Bool

  init(_ inner: Rect, digits: Int, hasHead: Bool) {
    self.hasHead = hasHead
    let width = inner.width
    var edge = RightEdge(of: inner)
    leftEnd = edge.take(hasHead || width < 60 ? 5 : 9)
    client = inner.x + 3 + digits + 2
    if width >= 108 {
      // The reason gets the width that the others leave.
      policyWidth = min(70, width - 90 - (width >= 140 ? 6 : 0))
      policy = edge.right - policyWidth
      edge.right = policy - 2
    }
    if width >= 96 {
      earnsEnd = edge.take(16)
      // `100.000 of 200.000`
      offerWidth = 18
    } else if width >= 70 {
      // `offers 10.000, asks 20.000`
      offerWidth = 27
    } else if width >= 50 {
      offerWidth = 16
    }
    if offerWidth > 0 { offerEnd = edge.take(offerWidth) }
    if width >= 46 { limitEnd = edge.take(hasHead ? 7 : 9) }
    if width >= 80 { promptEnd = edge.take(6) }
    clientWidth = max(0, edge.right - client)
  }
}
