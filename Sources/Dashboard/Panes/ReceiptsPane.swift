// ReceiptsPane.swift: the log of receipts: how many are logged, signed, witnessed and audited, and
// the newest of them.
// Start at Pane.receipts.
import Control
import Terminal

extension Pane {
  package static let receipts: Pane = Pane(
    "receipts",
    hints: [(.open, "detail"), (.verify, "verify"), (.filter, "filter"), (.zoom, "zoom")],
    list: receiptsList,
    open: { $0.openReceipt() },
    plain: plainReceipts,
    draw: { canvas, model, snapshot, rect in canvas.drawReceipts(model, snapshot, rect) })
}

private let receiptsColumns: [PaneColumn<ReceiptRow>] = [
  .order("newest"),
  PaneColumn("client") { row, _ in .text(row.client) },
  PaneColumn("tokens") { row, _ in .number(-Double(row.outputTokens)) },
  PaneColumn("amount") { row, _ in row.amount.map { .number(-Double($0)) } ?? .missing },
  PaneColumn("state") { row, _ in .text(row.state.rawValue) },
]

private let receiptsList = PaneList(
  of: "receipt",
  columns: receiptsColumns,
  isCalm: true,
  rows: { _, snapshot in snapshot.receipts.recent },
  id: { $0.id },
  words: {
    "\($0.id) \($0.job) \($0.client) \($0.model) \($0.state.rawValue) \(auditWords($0.audit))"
  },
  text: { model, id in
    model.snapshot?.receipts.recent.first { $0.id == id }.map { row in
      [
        row.id, "index \(row.index)", row.client, row.model, plural(row.outputTokens, "token"),
        row.amount.map { money($0) } ?? "free", row.state.rawValue, auditWords(row.audit),
      ].joined(separator: "  ")
    }
  },
  receipt: { _, id in id },
  head: { inner in
    // Rows of figures and the heading before the list, or all rows if no list fits. In a wide pane
    // the counts share one row.
    let counts = inner.width >= 64 ? 1 : 2
    return inner.height >= counts + 4 ? counts + 2 : inner.height >= 4 ? counts + 1 : inner.height
  })

private func plainReceipts(_ snapshot: NodeSnapshot?) -> PlainWords {
  guard let receipts = snapshot?.receipts else { return PlainWords(lines: ["no figures yet"]) }
  switch receipts.logged {
  case .value(let count), .stale(let count, _):
    let notRun = receipts.auditsNotRun > 0 ? ", \(receipts.auditsNotRun) not run" : ""
    return PlainWords(lines: [
      "\(count) logged, \(receipts.signed) signed, \(receipts.witnessed) witnessed, "
        + "\(receipts.audited) audited, \(receipts.failed) failed\(notRun)"
    ])
  case .warmingUp: return PlainWords(lines: ["receipts: warming up"])
  case .unavailable(let reason): return PlainWords(lines: ["receipts: unavailable, \(reason)"])
  }
}

extension Canvas {
  fileprivate mutating func drawReceipts(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    let receipts = model.calm?.receipts ?? snapshot.receipts
    let time = model.calm?.time ?? snapshot.time
    let list = model.lists[.receipts] ?? ListState()
    let isFocused = model.focus == .receipts
    var note = filterNote(list.filter, isEditing: model.mode == .filter && isFocused)
    if receipts.failed > 0 {
      note.append(("\(glyphs.failed) \(grouped(receipts.failed)) failed", error))
    } else if case .value(let at) = receipts.lastCheckpoint {
      note.append(("\(glyphs.done) checkpoint \(age(elapsed(at, time)))", label))
    }
    let inner = frame(rect, .receipts, model, note: note)
    let area = model.listArea(.receipts, inner)
    let shown = area.height > 0 ? position(list, model, .receipts) : ""
    if !shown.isEmpty { putRight(" \(shown) ", rect.right - 2, rect.bottom - 1, faint) }
    guard receipts.logged.latest != nil else {
      run([words(receipts.logged, at: time) { grouped($0) }], inner.x + 1, inner.y, limit: inner.right)
      return
    }
    let x = inner.x + (inner.width >= 44 ? 1 : 0)
    let (logged, loggedStyle) = words(receipts.logged, at: time) { grouped($0) }
    let written: [(String, Style)] = [
      (logged, loggedStyle), (" logged  ", label), (grouped(receipts.signed), text), (" signed", label),
    ]
    var checked: [(String, Style)] = [
      (grouped(receipts.witnessed), text), (" witnessed  ", label), (grouped(receipts.audited), text),
      (" audited  ", label), (grouped(receipts.failed), receipts.failed > 0 ? error : text),
      (" failed", receipts.failed > 0 ? error : label),
    ]
    if receipts.auditsNotRun > 0 {
      checked += [("  ", label), (grouped(receipts.auditsNotRun), error), (" not run", error)]
    }
    var y = inner.y
    if inner.width >= 64 {
      run(written + [("  ", label)] + checked, x, y, limit: inner.right)
    } else {
      run(written, x, y, limit: inner.right)
      y += 1
      if y < inner.bottom { run(checked, x, y, limit: inner.right) }
    }
    y += 1
    guard inner.height >= 4 else { return }
    let rateEnd = run(
      [brief(receipts.perMinute) { decimal($0, 1) }, (" a minute  ", label)], x, y, limit: inner.right)
    if inner.right - rateEnd > 14 {
      run(
        [("key ", label), words(receipts.keyFingerprint, at: time) { $0 }], rateEnd, y, limit: inner.right)
    }
    if area.y > y + 1 {
      drawReceiptsHead(Rect(x: inner.x, y: area.y - 1, width: inner.width, height: 1), list)
    }
    for (row, line) in list.lines(height: area.height).enumerated() {
      guard case .row(let id) = line, let receipt = snapshot.receipts.recent.first(where: { $0.id == id })
      else { continue }
      drawReceipt(
        receipt, offset: model.options.utcOffset,
        Rect(x: area.x, y: area.y + row, width: area.width, height: 1),
        isSelected: isFocused && list.selected == id, isTagged: list.tags.contains(id))
    }
  }

  private mutating func drawReceiptsHead(_ rect: Rect, _ list: ListState) {
    put("INDEX", rect.x + 3, rect.y, faint)
    if rect.width >= 40 { put("CLIENT", rect.x + 12, rect.y, faint) }
    putRight("STATE", rect.right - 1, rect.y, faint)
    if rect.width >= 52 { putRight("OWED", rect.right - 22, rect.y, faint) }
    if rect.width >= 64 { putRight("TOKENS", rect.right - 32, rect.y, faint) }
    if rect.width >= 76 { putRight("TIME", rect.right - 41, rect.y, faint) }
  }

  private mutating func drawReceipt(
    _ receipt: ReceiptRow, offset: Int, _ rect: Rect, isSelected: Bool, isTagged: Bool
  ) {
    let y = rect.y
    if isSelected { grid.fill(rect, " ", style: selection) }
    let plain = isSelected ? selection : text
    let soft = isSelected ? selection : label
    if isTagged { sign(glyphs.tag, rect.x, y, isSelected ? selection : key) }
    let (mark, state, style): (Unicode.Scalar, String, Style)
    switch receipt.audit {
    case .failed: (mark, state, style) = (glyphs.failed, "audit failed", error)
    case .notRun: (mark, state, style) = (glyphs.failed, "audit failed to run", error)
    case .running: (mark, state, style) = (glyphs.running, "re-executing", pending)
    case .audited: (mark, state, style) = (glyphs.done, "\(receipt.state.rawValue), audited", ok)
    case .unaudited:
      (mark, state, style) = (
        receipt.state == .logged ? glyphs.queued : glyphs.done, receipt.state.rawValue, label
      )
    }
    sign(mark, rect.x + 1, y, isSelected ? selection : style)
    put(String(receipt.index), rect.x + 3, y, plain, limit: 8)
    var right = rect.right - 1
    putRight(state, right, y, isSelected ? selection : style, width: 20)
    right -= 21
    if rect.width >= 52 {
      if let amount = receipt.amount { putRight(exactMoney(amount), right, y, plain, width: 9) }
      right -= 10
    }
    if rect.width >= 64 {
      putRight(grouped(receipt.outputTokens), right, y, soft, width: 8)
      right -= 9
    }
    if rect.width >= 76 {
      // The time of day stays the same; an age would change every second.
      putRight(clock(receipt.time, offset: offset, withSeconds: true), right, y, soft)
      right -= 10
    }
    if rect.width >= 40 { fit(receipt.client, rect.x + 12, y, plain, width: right - 1 - rect.x - 12) }
  }
}
