// View+Meters.swift: what the machine does, how fast the engine is.
// Small panes answer in three lines; large ones add cores, GPUs, pressure, totals. Missing values say why.
// Start at drawCompute and drawThroughput.
import Node
import Terminal

extension Canvas {
  private func degrees(_ value: Double) -> String { integer(value) + String(glyphs.degree) }
  private func watts(_ value: Double) -> String { integer(value) + "W" }

  /// A label, a graph, and figures at the right end, all in one row.
  private mutating func meter(
    _ name: String, _ series: GraphHistory.Series, top: Double, gradient: Theme.Gradient,
    figures: [(String, Style)],
    _ rect: Rect, labelWidth: Int, _ model: DashboardModel
  ) {
    fit(name, rect.x, rect.y, label, width: labelWidth)
    let width = figures.reduce(0) { $0 + displayWidth($1.0) }
    let graphWidth = rect.width - labelWidth - 1 - width - 1
    if graphWidth >= 2 {
      graph(
        series, closed: model.history.closed,
        Rect(x: rect.x + labelWidth + 1, y: rect.y, width: graphWidth, height: 1), top: top,
        gradient: gradient,
        style: model.graphStyle)
    }
    run(figures, max(rect.x + labelWidth + 1, rect.right - width), rect.y, limit: rect.right)
  }

  mutating func drawCompute(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    let compute = snapshot.compute
    var note: [(String, Style)] = []
    if let container = compute.container, rect.width >= 60 { note = [(container, label)] }
    let inner = frame(rect, number: 3, title: "compute", isFocused: model.focus == .compute, note: note)
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
    rows.append { canvas, row in canvas.memoryRow(compute, row, labelWidth: 3) }
    if compute.gpus.latest?.isEmpty != false {
      rows.append { canvas, row in
        let (words, style) = canvas.words(compute.gpus, at: time) { $0.isEmpty ? "none" : "" }
        canvas.run([("gpu ", canvas.label), (words, style)], row.x, row.y, limit: row.right)
      }
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

  private mutating func drawComputeLarge(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ inner: Rect) {
    let compute = snapshot.compute
    let time = snapshot.time
    let area = inner.inset(1, 0)
    var y = area.y
    let gpus = compute.gpus.latest ?? []
    // Rows below the graph: memory, one or two a GPU, two of odds and ends.
    let gpuRows = gpus.isEmpty ? 1 : gpus.count * 2
    let coresKnown = compute.cores.latest ?? []
    // One sign a core, or with room a bar each.
    let coreColumns = max(1, area.width / 22)
    let barRows = (coresKnown.count + coreColumns - 1) / coreColumns
    let hasBars = area.height >= 20 && barRows > 0 && barRows <= area.height / 2
    let coreRow = coresKnown.isEmpty ? 0 : hasBars ? barRows : 1
    let below = 1 + gpuRows + 2 + coreRow
    let graphHeight = max(1, min(hasBars ? 24 : 12, area.height - 1 - below))

    var head: [(String, Style)] = [("cpu  ", label), words(compute.cpu, at: time) { percent($0) + " %" }]
    if let value = compute.cpuTemperature.latest {
      head.append(("  " + degrees(value), temperatureStyle(value)))
    }
    if let value = compute.cpuPower.latest { head.append(("  " + integer(value) + " W", text)) }
    var x = run(head, area.x, y, limit: area.right)
    if let load = compute.load.latest, !load.isEmpty {
      let words = load.prefix(3).map { decimal($0, 2) }.joined(separator: " ")
      if x + words.utf8.count + 8 < area.right { putRight("load \(words)", area.right, y, label) }
    }
    y += 1
    graph(
      model.history.cpu, closed: model.history.closed,
      Rect(x: area.x, y: y, width: area.width, height: graphHeight),
      top: 1, gradient: theme.load, style: model.graphStyle)
    y += graphHeight
    if hasBars {
      for (index, share) in coresKnown.enumerated() where y + index / coreColumns < area.bottom {
        let cell = Rect(
          x: area.x + (index % coreColumns) * area.width / coreColumns, y: y + index / coreColumns,
          width: area.width / coreColumns - 2, height: 1)
        put("\(index)".right(3), cell.x, cell.y, label)
        bar(share, cell.x + 4, cell.y, width: cell.width - 9, style(theme.load.color(at: share)))
        putRight(percent(share) + "%", cell.right, cell.y, text)
      }
      y += barRows
    } else if coreRow > 0, y < area.bottom {
      put("cores", area.x, y, label)
      x = area.x + 6
      let room = area.right - x
      for (index, share) in coresKnown.prefix(room).enumerated() {
        sign(coreSign(share), x + index, y, style(theme.load.color(at: share)))
      }
      if room - coresKnown.count > 8 { putRight("\(coresKnown.count) cores", area.right, y, label) }
      y += 1
    }
    if y < area.bottom {
      memoryRow(compute, Rect(x: area.x, y: y, width: area.width, height: 1), labelWidth: 5)
      y += 1
    }
    if gpus.isEmpty, y < area.bottom {
      run(
        [("gpu   ", label), words(compute.gpus, at: time) { $0.isEmpty ? "none" : "" }], area.x, y,
        limit: area.right)
      y += 1
    }
    for (index, gpu) in gpus.enumerated() where y < area.bottom {
      drawGPU(
        gpu, index, model, time, Rect(x: area.x, y: y, width: area.width, height: min(2, area.bottom - y)))
      y += 2
    }
    if y < area.bottom {
      let parts: [(String, Reading<Double>)] = [
        ("cpu", compute.cpuPressure), ("memory", compute.memoryPressure), ("i/o", compute.ioPressure),
      ]
      var line: [(String, Style)] = [("waits ", label)]
      if parts.allSatisfy({ $0.1.latest == nil }) {
        line.append(words(compute.cpuPressure, at: time) { percent($0) })
      } else {
        for (name, reading) in parts {
          let (value, style) = brief(reading) { percent($0) + " %" }
          line += [("\(name) ", label), (value + "   ", style)]
        }
      }
      if let resident = compute.residentMemory.latest {
        line += [("hotpot ", label), (bytes(resident), text)]
      }
      run(line, area.x, y, limit: area.right)
      y += 1
    }
    if y < area.bottom {
      var line: [(String, Style)] = [
        ("disk  ", label), words(compute.diskFree, at: time) { bytes($0) + " free" },
      ]
      line += [
        ("   net ", label), (String(glyphs.down), label),
        brief(compute.networkIn) {
          bytes(Int64(clamping: Int(max(0, min(1e15, $0.isFinite ? $0 : 0))))) + "/s "
        },
      ]
      line += [
        (String(glyphs.up), label),
        brief(compute.networkOut) {
          bytes(Int64(clamping: Int(max(0, min(1e15, $0.isFinite ? $0 : 0))))) + "/s"
        },
      ]
      if let swap = compute.swapUsed.latest { line += [("   swap ", label), (bytes(swap), text)] }
      run(line, area.x, y, limit: area.right)
    }
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
    if let value = gpu.temperature.latest { line.append(("  " + degrees(value), temperatureStyle(value))) }
    if let value = gpu.power.latest {
      line.append(
        ("  " + integer(value) + (gpu.powerLimit.latest.map { "/" + integer($0) } ?? "") + " W", text))
    }
    if let value = gpu.clock.latest { line.append(("  \(integer(value)) MHz", label)) }
    if let why = gpu.throttle { line.append(("  \(glyphs.attention) \(why)", style(theme.warn))) }
    run(line, rect.x, rect.y, limit: rect.right)
    guard rect.height > 1 else { return }
    let y = rect.y + 1
    let half = max(8, rect.width / 2 - 8)
    if index < model.history.gpus.count {
      graph(
        model.history.gpus[index], closed: model.history.closed,
        Rect(x: rect.x + 6, y: y, width: half, height: 1), top: 1,
        gradient: theme.load, style: model.graphStyle)
    }
    var tail: [(String, Style)] = []
    if let used = gpu.memoryUsed.latest, let total = gpu.memoryTotal.latest {
      tail = [("memory ", label), (bytes(used), text), ("/\(bytes(total))", label)]
    }
    if case .value(let names) = gpu.processes, !names.isEmpty {
      tail.append(("  " + names.prefix(3).joined(separator: ", "), label))
    }
    run(tail, rect.x + 6 + half + 2, y, limit: rect.right)
  }

  // MARK: throughput

  mutating func drawThroughput(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    let throughput = snapshot.throughput
    let note: [(String, Style)] =
      rect.width >= 44 ? [("batch ", label), (grouped(throughput.batchSize), text)] : []
    let inner = frame(rect, number: 4, title: "throughput", isFocused: model.focus == .throughput, note: note)
    if inner.height >= 6 && inner.width >= 44 {
      drawThroughputLarge(model, snapshot, inner.inset(1, 0))
      return
    }
    func line(_ index: Int) -> Rect { Rect(x: inner.x, y: inner.y + index, width: inner.width, height: 1) }
    let unit = inner.width >= 24 ? " t/s" : ""
    meter(
      "decode", model.history.decode,
      top: niceTop(model.history.decode, width: inner.width, now: throughput.decode.latest),
      gradient: theme.decode, figures: [brief(throughput.decode) { rate($0).right(5) }, (unit, label)],
      line(0),
      labelWidth: 7, model)
    if inner.height > 1 {
      meter(
        "prefill", model.history.prefill,
        top: niceTop(model.history.prefill, width: inner.width, now: throughput.prefill.latest),
        gradient: theme.prefill,
        figures: [brief(throughput.prefill) { rate($0).right(5) }, (unit, label)], line(1), labelWidth: 7,
        model)
    }
    if inner.height > 2 {
      let first = latency(throughput.firstTokenP50, throughput.firstTokenP99)
      let kv = brief(throughput.kvInUse) { percent($0) + "%" }
      let x = run([("first ", label), first, ("ms", label)], inner.x, inner.y + 2, limit: inner.right)
      let width = 3 + displayWidth(kv.0)
      if inner.right - width > x {
        run([("kv ", label), kv], inner.right - width, inner.y + 2, limit: inner.right)
      }
    }
    if inner.height > 3 {
      run(
        [
          ("token ", label), latency(throughput.betweenTokensP50, throughput.betweenTokensP99), ("ms", label),
        ], inner.x,
        inner.y + 3, limit: inner.right)
    }
  }

  /// `84/310`: the median and the 99th percentile.
  private func latency(_ p50: Reading<Double>, _ p99: Reading<Double>) -> (String, Style) {
    let (middle, style) = brief(p50, milliseconds)
    if p50.latest == nil { return (middle, style) }
    return ("\(middle)/\(brief(p99, milliseconds).0)", style)
  }

  private mutating func drawThroughputLarge(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ area: Rect) {
    let throughput = snapshot.throughput
    let time = snapshot.time
    let rows = area.height >= 9 ? 4 : 3
    let graphs = area.height - rows
    let decodeHeight = max(1, (graphs + 1) / 2)
    let prefillHeight = max(1, graphs - decodeHeight)
    var y = area.y
    let figureWidth = 15
    let graphWidth = area.width - 9 - figureWidth
    for (name, series, reading, gradient, height) in [
      ("decode", model.history.decode, throughput.decode, theme.decode, decodeHeight),
      ("prefill", model.history.prefill, throughput.prefill, theme.prefill, prefillHeight),
    ] {
      put(name, area.x, y + height - 1, label)
      let top = niceTop(series, width: graphWidth, now: reading.latest)
      if height > 1 { putRight(compact(top), area.x + 7, y, faint) }
      graph(
        series, closed: model.history.closed, Rect(x: area.x + 8, y: y, width: graphWidth, height: height),
        top: top,
        gradient: gradient, style: model.graphStyle)
      let (value, style) = brief(reading, rate)
      putRight(value, area.right - 9, y + height - 1, style == text ? strong : style)
      putRight("tokens/s", area.right, y + height - 1, label)
      y += height
    }
    func pair(
      _ name: String, _ p50: Reading<Double>, _ p99: Reading<Double>, _ row: Int
    ) {
      let value = p50.latest == nil ? words(p50, at: time, milliseconds) : latency(p50, p99)
      run(
        [(name, label), value, (p50.latest == nil ? "" : " ms", label)], area.x, row,
        limit: area.right)
    }
    let half = area.x + area.width / 2 + 2
    pair("first token  p50/p99  ", throughput.firstTokenP50, throughput.firstTokenP99, y)
    run(
      [
        ("batch ", label), (grouped(throughput.batchSize), text), ("   jobs done ", label),
        (grouped(throughput.jobsDone), text),
      ], half, y, limit: area.right)
    y += 1
    pair("each token   p50/p99  ", throughput.betweenTokensP50, throughput.betweenTokensP99, y)
    run(
      [
        ("cache hits ", label), brief(throughput.cacheHits) { percent($0) + " %" }, ("   preempted ", label),
        (grouped(throughput.preemptions), text),
      ],
      half, y, limit: area.right)
    y += 1
    if y < area.bottom {
      put("kv", area.x, y, label)
      if let share = throughput.kvInUse.latest {
        bar(
          share, area.x + 8, y, width: max(4, min(24, area.width / 3)), style(theme.memory.color(at: share)))
        let x = area.x + 8 + max(4, min(24, area.width / 3)) + 1
        run(
          [
            ("\(percent(share)) % in use   ", text), brief(throughput.kvCached) { percent($0) + " %" },
            (" reusable", label),
          ], x, y,
          limit: area.right)
      } else {
        run([words(throughput.kvInUse, at: time) { percent($0) }], area.x + 8, y, limit: area.right)
      }
      y += 1
    }
    if y < area.bottom {
      run(
        [
          ("since the start  ", label), (compact(throughput.tokensGenerated), text), (" generated   ", label),
          (compact(throughput.tokensPrefilled), text), (" prefilled", label),
        ], area.x, y, limit: area.right)
    }
  }
}
