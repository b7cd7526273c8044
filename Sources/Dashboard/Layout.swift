// Layout.swift: where the panes are, by the size of the screen and what is zoomed. There are three
// shapes: one pane at a time (small), a stack of rows (80x24), two columns (wide). A pane that has
// no place in a shape is shown alone while it is in focus. Start at layout.
import Terminal

struct Layout: Equatable, Sendable {
  let header: Rect
  let footer: Rect
  let panes: [(pane: Pane, rect: Rect)]

  static func == (left: Layout, right: Layout) -> Bool {
    left.header == right.header && left.footer == right.footer
      && left.panes.map(\.pane) == right.panes.map(\.pane)
      && left.panes.map(\.rect) == right.panes.map(\.rect)
  }

  func rect(of pane: Pane) -> Rect? { panes.first { $0.pane == pane }?.rect }
}

extension DashboardModel {
  var layout: Layout {
    let (width, height) = (size.width, size.height)
    let header = Rect(x: 0, y: 0, width: width, height: 1)
    let footer = Rect(x: 0, y: height - 1, width: width, height: height > 2 ? 1 : 0)
    let body = Rect(x: 0, y: 1, width: width, height: max(0, height - 1 - footer.height))
    func alone(_ pane: Pane) -> Layout { Layout(header: header, footer: footer, panes: [(pane, body)]) }

    if isZoomed || width < 60 || height < 20 { return alone(focus) }
    let panes = width >= 140 && height >= 36 ? columns(body) : stack(body)
    if !panes.contains(where: { $0.pane == focus }) { return alone(focus) }
    return Layout(header: header, footer: footer, panes: panes)
  }

  /// The layout of 80x24, enlarged to the screen.
  private func stack(_ body: Rect) -> [(pane: Pane, rect: Rect)] {
    let spare = body.height - 22
    let meters = spare >= 20 ? 8 : spare >= 8 ? 6 : 5
    let bottom = spare >= 20 ? 10 : spare >= 6 ? 6 : 4
    let approvals = spare >= 14 ? 8 : spare >= 4 ? 6 : 4
    let log = spare >= 12 ? min(14, 6 + (spare - 12) / 3) : 0
    let jobs = body.height - meters - bottom - approvals - log
    var y = body.y
    var result: [(pane: Pane, rect: Rect)] = []
    func row(_ panes: [Pane], _ height: Int) {
      var x = body.x
      for (index, pane) in panes.enumerated() {
        let right = body.x + body.width * (index + 1) / panes.count
        result.append((pane, Rect(x: x, y: y, width: right - x, height: height)))
        x = right
      }
      y += height
    }
    row([.jobs], jobs)
    row([.approvals], approvals)
    row([.compute, .throughput, .earnings], meters)
    row([.receipts, .chat], bottom)
    if log > 0 { row([.log], log) }
    return result
  }

  /// Lists at the left, figures at the right.
  private func columns(_ body: Rect) -> [(pane: Pane, rect: Rect)] {
    let right = min(110, max(58, body.width * 2 / 5))
    let left = body.width - right
    var result: [(pane: Pane, rect: Rect)] = []
    func column(_ x: Int, _ width: Int, _ parts: [(Pane, Int)]) {
      // The first part gets the rows that the others leave.
      let rest = parts.dropFirst().reduce(0) { $0 + $1.1 }
      var y = body.y
      for (index, part) in parts.enumerated() {
        let height = index == 0 ? body.height - rest : part.1
        result.append((part.0, Rect(x: x, y: y, width: width, height: height)))
        y += height
      }
    }
    let tall = body.height
    column(0, left, [(.jobs, 0), (.approvals, max(6, tall / 6)), (.log, max(6, tall / 5))])
    column(
      left, right,
      [
        (.compute, 0), (.throughput, max(9, tall / 4)), (.earnings, max(9, tall / 6)),
        (.receipts, max(7, tall / 6)), (.chat, max(8, tall / 5)),
      ])
    // In the order of their numbers, which Tab follows.
    return result.sorted { $0.pane.number < $1.pane.number }
  }

  /// The rows of a list inside its pane's frame: below the heading and the figures.
  func listArea(_ pane: Pane, _ inner: Rect) -> Rect {
    let head = pane.list?.head(inner) ?? 0
    return Rect(x: inner.x, y: inner.y + head, width: inner.width, height: max(0, inner.height - head))
  }

  /// The number of rows of a list, at least 1.
  func listHeight(_ pane: Pane) -> Int {
    guard let rect = layout.rect(of: pane) else { return max(1, size.height - 5) }
    return max(1, listArea(pane, rect.inset(1, 1)).height)
  }
}
