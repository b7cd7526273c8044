// ThroughputPane.swift: how fast the engine is: tokens a second, latencies, the cache and totals. A
// small pane has three lines; a large one has graphs and the day. Missing values state the reason.
// Start at Pane.throughput.
import Control
import Terminal

extension Pane {
  package static let throughput: Pane = Pane(
    "throughput",
    hints: [(.nextPane, "next pane"), (.zoom, "zoom"), (.left, "read the graph"), (.theme, "theme")],
    move: { $0.moveGraphCursor($1) }, back: { $0.leaveGraphCursor() },
    draw: { canvas, model, snapshot, rect in canvas.drawThroughput(model, snapshot, rect) })
}

extension Canvas {
  fileprivate mutating func drawThroughput(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    let throughput = snapshot.throughput
    let calm = model.calm?.throughput ?? throughput
    let read = cursorWords(
      model,
      [
        ("decode", model.underCursor(model.history.decode).map(rate)),
        ("prefill", model.underCursor(model.history.prefill).map(rate)),
      ])
    let note: [(String, Style)] =
      rect.width < 44
      ? []
      : !read.isEmpty && model.focus == .throughput
        ? read
        : [("batch ", label), (grouped(throughput.batchSize), text)]
          + (rect.width >= 60 ? [("  last \(reach(rect.width - 4 - 24))", faint)] : [])
    let inner = frame(rect, .throughput, model, note: note)
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
      let first = latency(calm.firstTokenP50, calm.firstTokenP99)
      let kv = brief(calm.kvInUse) { percent($0) + "%" }
      let x = run([("first   ", label)] + first, inner.x, inner.y + 2, limit: inner.right)
      let width = 3 + displayWidth(kv.0)
      if inner.right - width > x {
        run([("kv ", label), kv], inner.right - width, inner.y + 2, limit: inner.right)
      }
    }
    if inner.height > 3 {
      run(
        [("token   ", label)] + latency(calm.betweenTokensP50, calm.betweenTokensP99), inner.x,
        inner.y + 3, limit: inner.right)
    }
  }

  /// `84/310` and ` ms`: the median and the 99th percentile, or why there are none.
  private func latency(_ p50: Reading<Double>, _ p99: Reading<Double>) -> [(String, Style)] {
    guard let middle = p50.latest else { return [brief(p50, milliseconds)] }
    let (words, unit) = latencyPair(middle, p99.latest)
    return [(words, text), (" " + unit, label)]
  }

  private mutating func drawThroughputLarge(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ area: Rect) {
    let throughput = snapshot.throughput
    let calm = model.calm?.throughput ?? throughput
    let time = snapshot.time
    let rows = area.height >= 9 ? 4 : 3
    let isTall = area.height >= 24
    let graphs = area.height - rows - (isTall ? 6 : 0)
    let decodeHeight = isTall ? graphs * 2 / 5 : max(1, (graphs * 3 + 2) / 5)
    let prefillHeight = isTall ? graphs * 3 / 10 : max(1, graphs - decodeHeight)
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
      graphCursor(model, Rect(x: area.x + 8, y: y, width: graphWidth, height: height))
      let (value, style) = brief(reading, rate)
      putRight(value, area.right - 9, y + height - 1, style == text ? strong : style)
      putRight("tokens/s", area.right, y + height - 1, label)
      y += height
    }
    if isTall {
      timeAxis(model.history.closed, area.x + 8, y, width: graphWidth, style: model.graphStyle)
      y += 1
      let height = max(1, graphs - decodeHeight - prefillHeight)
      put("decode", area.x, y + 1, label)
      putRight("last 24 hours", area.right, y + 1, faint)
      let most = model.history.decodeDay.buckets.compactMap { $0 }.max() ?? 0
      dayGraph(
        model.history.decodeDay, minutes: model.history.minutes,
        Rect(x: area.x + 8, y: y + 2, width: area.width - 8, height: height), top: max(1, most),
        gradient: theme.decode)
      dayAxis(area.x + 8, y + 2 + height, width: area.width - 8)
      y += height + 4
    }
    func pair(
      _ name: String, _ p50: Reading<Double>, _ p99: Reading<Double>, _ row: Int
    ) {
      let value = p50.latest == nil ? [words(p50, at: time, milliseconds)] : latency(p50, p99)
      run([(name, label)] + value, area.x, row, limit: area.right)
    }
    let half = area.x + area.width / 2 + 2
    pair("first token  p50/p99  ", calm.firstTokenP50, calm.firstTokenP99, y)
    run(
      [
        ("jobs done ", label), (grouped(calm.jobsDone), text),
      ], half, y, limit: area.right)
    y += 1
    pair("each token   p50/p99  ", calm.betweenTokensP50, calm.betweenTokensP99, y)
    run(
      [
        ("cache hits ", label), brief(calm.cacheHits) { percent($0) + " %" }, ("   preempted ", label),
        (grouped(calm.preemptions), text),
      ],
      half, y, limit: area.right)
    y += 1
    if y < area.bottom {
      put("kv", area.x, y, label)
      if let share = calm.kvInUse.latest {
        bar(
          share, area.x + 8, y, width: max(4, min(24, area.width / 3)), style(theme.memory.color(at: share)))
        let x = area.x + 8 + max(4, min(24, area.width / 3)) + 1
        run(
          [
            ("\(percent(share).right(3)) % in use ", text),
            brief(calm.kvCached) { percent($0).right(3) + " %" },
            (" reusable", label),
            (calm.kvPositions.map { ", of \(grouped($0)) positions" } ?? "", label),
          ], x, y,
          limit: area.right)
      } else {
        run([words(calm.kvInUse, at: time) { percent($0) }], area.x + 8, y, limit: area.right)
      }
      y += 1
    }
    if y < area.bottom {
      run(
        [
          ("since the start  ", label), (compact(calm.tokensGenerated), text), (" generated   ", label),
          (compact(calm.tokensPrefilled), text), (" prefilled", label),
        ], area.x, y, limit: area.right)
    }
  }
}
