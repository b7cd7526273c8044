// ComputePane.swift: the machine's load: processors, memory, GPUs, pressure, disk and network. A
// small pane has three lines; a large one adds cores, the day, pressure and totals. Missing values
// state the reason. Start at Pane.compute.
import Control
import Terminal

extension Pane {
  package static let compute: Pane = Pane(
    "compute",
    hints: [(.nextPane, "next pane"), (.zoom, "zoom"), (.left, "read the graph"), (.theme, "theme")],
    move: { $0.moveGraphCursor($1) }, back: { $0.leaveGraphCursor() },
    draw: { canvas, model, snapshot, rect in canvas.drawCompute(model, snapshot, rect) })
}

extension Canvas {
  private func degrees(_ value: Double) -> String { integer(value) + String(glyphs.degree) }
  private func watts(_ value: Double) -> String { integer(value) + "W" }

  fileprivate mutating func drawCompute(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    let compute = snapshot.compute
    var note: [(String, Style)] = []
    if let container = compute.container, rect.width >= 60 { note = [(container, label)] }
    if rect.width >= 60 {
      note.append(("\(note.isEmpty ? "" : "  ")last \(reach(rect.width - 4))", faint))
    }
    if model.focus == .compute, model.graphCursor != nil, rect.width >= 60 {
      note = cursorWords(
        model,
        [
          ("cpu", model.underCursor(model.history.cpu).map { percent($0) + " %" }),
          ("memory", model.underCursor(model.history.memory).map { percent($0) + " %" }),
        ])
    }
    let inner = frame(rect, .compute, model, note: note)
    if inner.height >= 7 && inner.width >= 44 {
      drawComputeLarge(model, snapshot, inner)
    } else {
      drawComputeSmall(model, compute, snapshot.time, inner)
    }
  }

  private func cpuFigures(_ compute: ComputeSnapshot) -> [(String, Style)] {
    let (share, style) = brief(compute.cpu) { percent($0).right(3) + "%" }
    var result = [(share, style)]
    if let value = compute.cpuTemperature.latest {
      result.append((" " + degrees(value).right(3), temperatureStyle(value)))
    }
    if let value = compute.cpuPower.latest { result.append((" " + watts(value).right(4), text)) }
    return result
  }

  private func temperatureStyle(_ value: Double) -> Style {
    value >= 90 ? error : value >= 80 ? style(theme.warn) : text
  }

  private mutating func drawComputeSmall(
    _ model: DashboardModel, _ compute: ComputeSnapshot, _ time: Microseconds, _ inner: Rect
  ) {
    var rows: [(inout Canvas, Rect) -> Void] = []
    rows.append { canvas, row in
      canvas.meter(
        "cpu", model.history.cpu, top: 1, gradient: canvas.theme.load, figures: canvas.cpuFigures(compute),
        row,
        labelWidth: 3, model)
    }
    for (index, gpu) in (compute.gpus.latest ?? []).prefix(max(0, inner.height - 2)).enumerated() {
      rows.append { canvas, row in
        var figures = [canvas.brief(gpu.utilization) { percent($0).right(3) + "%" }]
        if let value = gpu.temperature.latest {
          figures.append((" " + canvas.degrees(value).right(3), canvas.temperatureStyle(value)))
        }
        if let value = gpu.power.latest { figures.append((" " + canvas.watts(value).right(4), canvas.text)) }
        let series = index < model.history.gpus.count ? model.history.gpus[index] : GraphHistory.Series()
        canvas.meter(
          "gpu", series, top: 1, gradient: canvas.theme.load, figures: figures, row, labelWidth: 3, model)
      }
    }
    let calm = model.calm?.compute ?? compute
    rows.append { canvas, row in canvas.memoryRow(calm, row, labelWidth: 3) }
    if compute.gpus.latest?.isEmpty != false {
      rows.append { canvas, row in
        canvas.run([("gpu ", canvas.label), canvas.noGPU(compute, time)], row.x, row.y, limit: row.right)
      }
    }
    rows.append { canvas, row in
      let waits = canvas.brief(calm.cpuPressure) { percent($0) + " %" }
      var line: [(String, Style)] = []
      if let load = calm.load.latest, !load.isEmpty {
        line = [
          ("load ", canvas.label),
          (load.prefix(3).map { decimal($0, 2) }.joined(separator: " ") + "  ", canvas.text),
        ]
      }
      canvas.run(line + [("waits ", canvas.label), waits], row.x, row.y, limit: row.right)
    }
    for (index, draw) in rows.prefix(inner.height).enumerated() {
      draw(&self, Rect(x: inner.x, y: inner.y + index, width: inner.width, height: 1))
    }
  }

  private mutating func memoryRow(_ compute: ComputeSnapshot, _ row: Rect, labelWidth: Int) {
    fit("mem", row.x, row.y, label, width: labelWidth)
    let figures: [(String, Style)]
    if let used = compute.memoryUsed.latest, let total = compute.memoryTotal.latest {
      let (a, b) = (bytes(used), bytes(total))
      figures = [(a.last == b.last ? String(a.dropLast()) : a, text), ("/\(b)", label)]
    } else {
      figures = [brief(compute.memoryUsed, bytes)]
    }
    let width = figures.reduce(0) { $0 + displayWidth($1.0) }
    let barWidth = row.width - labelWidth - width - 2
    if let share = memoryShare(compute), barWidth > 2 {
      bar(share, row.x + labelWidth + 1, row.y, width: barWidth, style(theme.memory.color(at: share)))
    }
    run(figures, row.right - width, row.y, limit: row.right)
  }

  /// Why there is no GPU, in a few words; `hotpot doctor` tells more.
  private func noGPU(_ compute: ComputeSnapshot, _ time: Microseconds) -> (String, Style) {
    if case .unavailable(let reason) = compute.gpus {
      let words = String(reason.prefix { $0 != "(" }).trimmingSuffix { $0 == " " }
      return (words == "no GPU found" ? "none found" : words, faint)
    }
    return words(compute.gpus, at: time) { $0.isEmpty ? "none" : "" }
  }

  private mutating func drawComputeLarge(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ inner: Rect) {
    let compute = snapshot.compute
    let calm = model.calm?.compute ?? compute
    let time = snapshot.time
    let area = inner.inset(1, 0)
    var y = area.y
    let gpus = compute.gpus.latest ?? []
    let cores = compute.cores.latest ?? []
    // A few cores share the first row, many get a row of their own, and each has a bar if it fits.
    let coreColumns = max(1, area.width / 22)
    let barRows = (cores.count + coreColumns - 1) / coreColumns
    let hasBars = area.height >= 20 && barRows > 0 && barRows <= area.height / 2
    let isInline = !hasBars && cores.count <= area.width / 4
    let coreRows = hasBars ? barRows : isInline || cores.isEmpty ? 0 : 1
    // Memory, one or two rows per GPU, pressure, disk.
    let gpuRows = gpus.isEmpty ? 0 : min(gpus.count * 2, max(1, area.height - 6 - coreRows))
    let isTall = area.height - coreRows - gpuRows >= 22
    let room = max(1, area.height - 4 - coreRows - gpuRows - (isTall ? 4 : 0))
    let graphHeight = isTall ? room * 2 / 5 : room

    var head: [(String, Style)] = [
      ("cpu   ", label), words(compute.cpu, at: time) { percent($0).right(3) + " %" },
    ]
    if let value = compute.cpuTemperature.latest {
      head.append(("  " + degrees(value), temperatureStyle(value)))
    }
    if let value = compute.cpuPower.latest { head.append(("  " + integer(value) + " W", text)) }
    if let value = compute.cpuClock.latest { head.append(("  " + decimal(value / 1000, 1) + " GHz", label)) }
    for (name, reading) in [("steal", compute.cpuSteal), ("disk wait", compute.cpuWait)] {
      // Lost time is shown only when it is large enough to matter.
      if let share = reading.latest, share >= 0.02 {
        head.append(("  \(name) \(percent(share)) %", style(theme.warn)))
      }
    }
    if isInline && !cores.isEmpty { head.append(("  ", label)) }
    var x = run(head, area.x, y, limit: area.right)
    if isInline { x = coreSigns(cores, x, y, limit: area.right - 24) }
    if let load = calm.load.latest, !load.isEmpty {
      let words = load.prefix(3).map { decimal($0, 2) }.joined(separator: " ")
      if x + words.utf8.count + 8 < area.right {
        run([("load ", label), (words, text)], area.right - words.utf8.count - 5, y, limit: area.right)
      }
    }
    y += 1
    graph(
      model.history.cpu, closed: model.history.closed,
      Rect(x: area.x, y: y, width: area.width, height: graphHeight),
      top: 1, gradient: theme.load, style: model.graphStyle)
    graphCursor(model, Rect(x: area.x, y: y, width: area.width, height: graphHeight))
    y += graphHeight
    if hasBars {
      for (index, share) in cores.enumerated() where y + index / coreColumns < area.bottom {
        let cell = Rect(
          x: area.x + (index % coreColumns) * area.width / coreColumns, y: y + index / coreColumns,
          width: area.width / coreColumns - 2, height: 1)
        put("\(index)".right(3), cell.x, cell.y, label)
        bar(share, cell.x + 4, cell.y, width: cell.width - 9, style(theme.load.color(at: share)))
        putRight(percent(share) + "%", cell.right, cell.y, text)
      }
      y += barRows
    } else if coreRows > 0, y < area.bottom {
      put("cores", area.x, y, label)
      _ = coreSigns(cores, area.x + 6, y, limit: area.right)
      y += 1
    }
    if isTall { y = drawPast(model, compute, area, y, rows: room - graphHeight) }
    if y < area.bottom {
      memoryRow(calm, Rect(x: area.x, y: y, width: area.width, height: 1), labelWidth: 5)
      y += 1
    }
    for (index, gpu) in gpus.enumerated() where y < area.bottom && index * 2 < gpuRows {
      drawGPU(
        gpu, index, model, time, Rect(x: area.x, y: y, width: area.width, height: min(2, area.bottom - y)))
      y += 2
    }
    if y < area.bottom {
      drawWaits(calm, time, area, y)
      y += 1
    }
    if y < area.bottom { drawTraffic(calm, time, area, y, hasGPU: !gpus.isEmpty) }
  }

  /// Memory over the same period as the processors, and the day.
  private mutating func drawPast(
    _ model: DashboardModel, _ compute: ComputeSnapshot, _ area: Rect, _ top: Int, rows: Int
  ) -> Int {
    var y = top
    let half = max(1, rows / 3)
    put("memory", area.x, y + 1, label)
    putRight("last \(reach(area.width))", area.right, y + 1, faint)
    y += 2
    graph(
      model.history.memory, closed: model.history.closed,
      Rect(x: area.x, y: y, width: area.width, height: half), top: 1, gradient: theme.memory,
      style: model.graphStyle)
    graphCursor(model, Rect(x: area.x, y: y, width: area.width, height: half))
    y += half
    put("cpu", area.x, y + 1, label)
    putRight("last 24 hours", area.right, y + 1, faint)
    y += 2
    dayGraph(
      model.history.cpuDay, minutes: model.history.minutes,
      Rect(x: area.x, y: y, width: area.width, height: max(1, rows - half)), top: 1, gradient: theme.load)
    return y + max(1, rows - half)
  }

  private mutating func coreSigns(_ cores: [Double], _ x: Int, _ y: Int, limit right: Int) -> Int {
    let shown = cores.prefix(max(0, right - x))
    for (index, share) in shown.enumerated() {
      sign(coreSign(share), x + index, y, style(theme.load.color(at: share)))
    }
    return put(
      " \(plural(cores.count, "core"))", x + shown.count, y, label, limit: max(0, right - x - shown.count))
  }

  private mutating func drawWaits(_ compute: ComputeSnapshot, _ time: Microseconds, _ area: Rect, _ y: Int) {
    var line: [(String, Style)] = [("waits ", label)]
    let parts = [
      ("cpu", compute.cpuPressure), ("memory", compute.memoryPressure), ("i/o", compute.ioPressure),
    ]
    if parts.allSatisfy({ $0.1.latest == nil }) {
      line.append(words(compute.cpuPressure, at: time) { percent($0) })
    } else {
      for (name, reading) in parts {
        let (value, style) = brief(reading) { percent($0).right(4) + " %" }
        line += [("\(name)", label), (value + "   ", style)]
      }
    }
    if let resident = compute.residentMemory.latest {
      line.append(("hotpot ", label))
      if let own = compute.ownCPU {
        let (share, style) = brief(own) { percent($0) + " % cpu, " }
        line.append((share, style))
      }
      line.append((bytes(resident), text))
      if let mapped = compute.mappedMemory.latest { line.append((", \(bytes(mapped)) mapped", label)) }
    }
    run(line, area.x, y, limit: area.right)
  }

  private mutating func drawTraffic(
    _ compute: ComputeSnapshot, _ time: Microseconds, _ area: Rect, _ y: Int, hasGPU: Bool
  ) {
    let (down, up) = (String(glyphs.down), String(glyphs.up))
    var line: [(String, Style)] = [
      ("disk  ", label), words(compute.diskFree, at: time) { bytes($0) + " free" },
    ]
    if area.width >= 90 {
      line += [
        ("  \(down)", label), brief(compute.diskRead, byteRate), (" \(up)", label),
        brief(compute.diskWritten, byteRate),
      ]
    }
    line += [
      ("   net \(down)", label), brief(compute.networkIn) { byteRate($0).right(7) }, (" \(up)", label),
      brief(compute.networkOut) { byteRate($0).right(7) },
    ]
    if let swap = compute.swapUsed.latest, swap > 0 || area.width >= 90 {
      line += [("   swap ", label), (bytes(swap), text)]
    }
    if !hasGPU { line += [("   gpu ", label), noGPU(compute, time)] }
    run(line, area.x, y, limit: area.right)
  }

  private func coreSign(_ share: Double) -> Unicode.Scalar {
    let value = min(1, max(0, share.isFinite ? share : 0))
    switch glyphs.level {
    case .unicode, .block: return Unicode.Scalar(0x2581 + UInt32(value * 7)) ?? "_"
    case .console: return Array("·░▒▓█".unicodeScalars)[Int(value * 4)]
    case .ascii: return Array("_.:=#".unicodeScalars)[Int(value * 4)]
    }
  }

  private mutating func drawGPU(
    _ gpu: GPUSnapshot, _ index: Int, _ model: DashboardModel, _ time: Microseconds, _ rect: Rect
  ) {
    var line: [(String, Style)] = [("gpu\(index)  ", label), (fitted(gpu.name, columns: 24), text)]
    line += [("  ", label), words(gpu.utilization, at: time) { percent($0) + " %" }]
    if let value = gpu.temperature.latest {
      // Near the driver's own limit, if the driver reports one.
      let limit = gpu.slowdownTemperature.latest ?? 90
      let look = value >= limit ? error : value >= limit - 8 ? style(theme.warn) : text
      line.append(("  " + degrees(value), look))
    }
    if let value = gpu.power.latest {
      line.append(
        ("  " + integer(value) + (gpu.powerLimit.latest.map { "/" + integer($0) } ?? "") + " W", text))
    }
    if let value = gpu.clock.latest { line.append(("  \(integer(value)) MHz", label)) }
    if rect.width >= 90, let value = gpu.memoryClock.latest {
      line.append(("  memory \(integer(value)) MHz", label))
    }
    if let why = gpu.throttle { line.append(("  \(glyphs.attention) \(why)", style(theme.warn))) }
    run(line, rect.x, rect.y, limit: rect.right)
    guard rect.height > 1 else { return }
    let y = rect.y + 1
    let half = max(8, rect.width / 2 - 12)
    if index < model.history.gpus.count {
      graph(
        model.history.gpus[index], closed: model.history.closed,
        Rect(x: rect.x + 6, y: y, width: half, height: 1), top: 1,
        gradient: theme.load, style: model.graphStyle)
    }
    var tail: [(String, Style)] = []
    if let used = gpu.memoryUsed.latest, let total = gpu.memoryTotal.latest {
      tail = [(bytes(used), text), ("/\(bytes(total))", label)]
    }
    if let lost = gpu.uncorrectedErrors.latest, let corrected = gpu.correctedErrors.latest {
      tail.append(
        (
          "  ecc \(grouped(Int(clamping: corrected)))/\(grouped(Int(clamping: lost)))",
          lost > 0 ? error : label
        ))
    }
    if let received = gpu.received.latest, let sent = gpu.sent.latest {
      tail.append(("  pcie \(glyphs.down)\(byteRate(received)) \(glyphs.up)\(byteRate(sent))", label))
    }
    if case .value(let names) = gpu.processes, !names.isEmpty {
      tail.append(("  " + names.prefix(3).joined(separator: ", "), label))
    }
    run(tail, rect.x + 6 + half + 2, y, limit: rect.right)
  }
}
