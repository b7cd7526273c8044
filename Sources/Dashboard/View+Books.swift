// View+Books.swift: what was proven, and what it earned.
// Start at drawReceipts and drawEarnings.
import Node
import Terminal

extension Canvas {
  mutating func drawReceipts(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
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
    let inner = frame(rect, number: 5, title: "receipts", isFocused: isFocused, note: note)
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
      // The time of day stands still; an age would be another text every second.
      putRight(clock(receipt.time, offset: offset, withSeconds: true), right, y, soft)
      right -= 10
    }
    if rect.width >= 40 { fit(receipt.client, rect.x + 12, y, plain, width: right - 1 - rect.x - 12) }
  }

  // MARK: earnings

  mutating func drawEarnings(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    let earnings = model.calm?.earnings ?? snapshot.earnings
    let time = model.calm?.time ?? snapshot.time
    let list = model.lists[.earnings] ?? ListState()
    let isFocused = model.focus == .earnings
    let inner = frame(
      rect, number: 6, title: "earnings", isFocused: isFocused,
      note: [(fitted(snapshot.node.currency, columns: 8), label)])
    let isWide = inner.width >= 44
    let pad = isWide ? 1 : 0
    let (x, right) = (inner.x + pad, inner.right - pad)
    guard earnings.today.latest != nil else {
      run([words(earnings.today, at: time, money)], x, inner.y, limit: right)
      return
    }
    var y = inner.y
    func line(_ parts: [(String, Style)]) {
      if y < inner.bottom { run(parts, x, y, limit: right) }
      y += 1
    }
    let labelWidth = isWide ? 10 : 7
    func name(_ text: String) -> (String, Style) {
      (text + String(repeating: " ", count: max(1, labelWidth - text.utf8.count)), label)
    }
    let (today, todayStyle) = brief(earnings.today, money)
    var first = [name("today"), (today, todayStyle == text ? strong : todayStyle)]
    if inner.width >= 22 { first += [("  net ", label), brief(earnings.todayNet, money)] }
    if isWide {
      first += [
        ("   an hour ", label), brief(earnings.perHour, money), ("   day at this rate ", label),
        brief(earnings.projectedDay, money),
      ]
    }
    line(first)
    if y < inner.bottom {
      let days = Array(earnings.days.suffix(isWide ? 30 : 7))
      let sum = days.suffix(7).reduce(0.0) { $0 + Double($1) / 1e6 }
      let end = run([name("7 days"), (decimal(sum, 2), text), ("  ", label)], x, y, limit: right)
      spark(days.map { Double($0) }, end, y, limit: right)
      if isWide && days.count > 7 && end + days.count + 12 < right {
        put("  \(days.count) days", end + days.count, y, faint)
      }
      y += 1
    }
    if isWide {
      line(
        [
          name("unsettled"), brief(earnings.unsettled, money), ("   verified ", label),
          brief(earnings.verified, money), ("   settled ", label), brief(earnings.settled, money),
        ])
      line(
        [name("energy"), words(earnings.energyToday, at: time) { decimal($0 / 3.6e6, 3) + " kWh today" }])
    } else {
      line([name("owed"), brief(earnings.unsettled, money)])
      line([name("an hour"), brief(earnings.perHour, money)])
      line([name("settled"), brief(earnings.settled, money)])
    }
    let area = model.listArea(.earnings, inner)
    guard area.height > 0, area.y > y else { return }
    put("  CLIENT", inner.x, area.y - 1, faint)
    putRight("UNSETTLED", right, area.y - 1, faint)
    if isWide {
      putRight("TOTAL", right - 12, area.y - 1, faint)
      putRight("TODAY", right - 24, area.y - 1, faint)
    }
    if inner.width >= 72 { putRight("JOBS", right - 36, area.y - 1, faint) }
    let clients = Dictionary(
      zip(earningsIDs(snapshot.earnings), snapshot.earnings.clients), uniquingKeysWith: { first, _ in first })
    for (row, line) in list.lines(height: area.height).enumerated() {
      guard case .row(let id) = line, let client = clients[id] else { continue }
      let isSelected = isFocused && list.selected == id
      let rowRect = Rect(x: area.x, y: area.y + row, width: area.width, height: 1)
      if isSelected { grid.fill(rowRect, " ", style: selection) }
      let plain = isSelected ? selection : text
      let soft = isSelected ? selection : label
      if list.tags.contains(id) { sign(glyphs.tag, rowRect.x, rowRect.y, isSelected ? selection : key) }
      putRight(sumMoney(client.unsettled), right, rowRect.y, plain)
      var end = right - 12
      if isWide {
        putRight(sumMoney(client.total), right - 12, rowRect.y, soft)
        putRight(sumMoney(client.today), right - 24, rowRect.y, soft)
        end = right - 34
      }
      if inner.width >= 72 {
        putRight(grouped(client.jobs), right - 36, rowRect.y, soft)
        end = right - 44
      }
      fit(client.client, rowRect.x + 2, rowRect.y, plain, width: end - rowRect.x - 2)
    }
  }

  /// One column a value, the tallest is the greatest.
  private mutating func spark(_ values: [Double], _ x: Int, _ y: Int, limit right: Int) {
    let room = max(0, right - x)
    let shown = values.suffix(room)
    let top = max(shown.max() ?? 0, 0.000001)
    for (index, value) in shown.enumerated() {
      let share = min(1, max(0, value / top))
      let sign: Unicode.Scalar
      switch glyphs.level {
      case .unicode, .block: sign = Unicode.Scalar(0x2581 + UInt32(share * 7)) ?? "_"
      case .console: sign = Array("·░▒▓█".unicodeScalars)[Int(share * 4)]
      case .ascii: sign = Array("_.:=#".unicodeScalars)[Int(share * 4)]
      }
      // A day without earnings is a floor, not a bar.
      self.sign(
        sign, x + index, y,
        value > 0
          ? style(theme.decode.color(at: share))
          : style(theme.meterBackground, theme.meterBackground == theme.foreground ? .dim : []))
    }
  }
}
