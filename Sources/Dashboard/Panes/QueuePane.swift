// QueuePane.swift: the queue that the node shares with others: where it is, what waits there by class,
// and what this node has of it. Start at Pane.queue.
import Control
import Terminal

extension Pane {
  package static let queue: Pane = Pane(
    "queue", key: "Q", words: "queue: the one that machines share; again: zoom",
    hints: [(.nextPane, "next pane"), (.zoom, "zoom")],
    plain: plainQueue,
    draw: { canvas, model, snapshot, rect in canvas.drawQueue(model, snapshot, rect) })
}

private let noQueue = "this node shares no queue: 'queue.servers' names one, see hotpot-config(5)"

private func plainQueue(_ snapshot: NodeSnapshot?) -> PlainWords {
  guard let snapshot else { return PlainWords(lines: ["no figures yet"]) }
  guard let queue = snapshot.sharedQueue else { return PlainWords(lines: [noQueue]) }
  var lines = [
    queue.unreachedSince == nil
      ? "\(queue.stream) at \(queue.server ?? "?")" : "\(queue.stream) is not reached: \(queue.trouble ?? "")"
  ]
  for depth in queue.depths ?? [] {
    lines.append(
      "\(depth.name): \(depth.waiting) waiting, \(depth.leased) leased, \(depth.redelivered) given out again")
  }
  lines.append("\(queue.leases.count) leased here")
  if let passed = queue.passedOn { lines.append("\(passed) passed on") }
  return PlainWords(lines: lines)
}

extension Canvas {
  fileprivate mutating func drawQueue(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    guard let queue = snapshot.sharedQueue else {
      let inner = frame(rect, .queue, model)
      fit(noQueue, inner.x + 1, inner.y, faint, width: inner.width - 2)
      return
    }
    let isWide = rect.width >= 60
    let inner = frame(
      rect, .queue, model,
      note: isWide
        ? [("\(queue.stream)  ", label), (queue.version.map { "nats-server \($0)" } ?? "", faint)] : [])
    let (x, right) = (inner.x + 1, inner.right - 1)
    var y = inner.y
    func line(_ parts: [(String, Style)]) {
      if y < inner.bottom { run(parts, x, y, limit: right) }
      y += 1
    }
    if let since = queue.unreachedSince {
      line([
        ("\(glyphs.attention) not reached", error), (" \(age(elapsed(since, snapshot.time)))", label),
        ("  \(queue.trouble ?? "no server answers")", text),
      ])
    } else {
      line([("\(glyphs.serving) ", ok), (queue.server ?? "", text)])
    }
    var here: [(String, Style)] = [(grouped(queue.leases.count), strong), (" leased here", label)]
    if let passed = queue.passedOn, let all = queue.passedOnInAll {
      here += [
        ("   passed on ", label), (grouped(passed), strong), (" now, ", label), (grouped(all), text),
        (" in all", label),
      ]
    }
    line(here)
    drawDepths(queue, x, &y, right: right, inner)
    drawLeases(queue, snapshot, x, y, right: right, inner)
  }

  private mutating func drawDepths(
    _ queue: SharedQueueSnapshot, _ x: Int, _ y: inout Int, right: Int, _ inner: Rect
  ) {
    guard let depths = queue.depths else {
      if y < inner.bottom { put("what waits there was not told yet", x, y, faint, limit: right) }
      y += 1
      return
    }
    let columns = ["WAITING", "LEASED", "AGAIN", "ROOM"]
    func place(_ index: Int) -> Int { x + 6 + (index + 1) * 9 }
    if y < inner.bottom {
      // What is not reached tells nothing new.
      put(queue.unreachedSince == nil ? "CLASS" : "BEFORE", x, y, faint)
      for (index, name) in columns.enumerated() where place(index) <= right {
        putRight(name, place(index), y, faint)
      }
    }
    y += 1
    for depth in depths {
      guard y < inner.bottom else { return }
      put(depth.name, x, y, label)
      let figures = [
        (depth.waiting, depth.waiting > 0 ? strong : text), (depth.leased, text),
        (depth.redelivered, depth.redelivered > 0 ? warn : text), (depth.pulls, text),
      ]
      for (index, figure) in figures.enumerated() where place(index) <= right {
        putRight(grouped(figure.0), place(index), y, figure.1)
      }
      let bar = place(3) + 3
      if right - bar >= 10, depth.waiting > 0 {
        let most = max(1, depths.map(\.waiting).max() ?? 1)
        let width = max(1, (right - bar) * depth.waiting / most)
        put(String(repeating: String(glyphs.horizontal), count: width), bar, y, key, limit: right)
      }
      y += 1
    }
  }

  private mutating func drawLeases(
    _ queue: SharedQueueSnapshot, _ snapshot: NodeSnapshot, _ x: Int, _ top: Int, right: Int, _ inner: Rect
  ) {
    var y = top + 1
    guard !queue.leases.isEmpty, y + 1 < inner.bottom else { return }
    put("JOB       CLIENT", x, y, faint, limit: right)
    putRight("GIVEN OUT", right, y, faint)
    y += 1
    let states = Dictionary(snapshot.jobs.map { ($0.id, $0.state.rawValue) }) { first, _ in first }
    for lease in queue.leases {
      guard y < inner.bottom else { return }
      put(String(lease.job.prefix(8)), x, y, text)
      fit(lease.client, x + 10, y, text, width: max(0, right - x - 34))
      putRight(states[lease.job] ?? "", right - 12, y, label)
      putRight(
        lease.delivery == 1 ? "once" : "\(grouped(lease.delivery)) times", right, y,
        lease.delivery == 1 ? label : warn)
      y += 1
    }
  }
}
