// Canvas+Meter.swift: a figure with its past beside it, in one row. Graphs are in
// Canvas+Graph.swift, the figures in Panes/. Start at meter.
import Terminal

extension Canvas {
  /// A label, a graph, and right-aligned figures, all in one row.
  mutating func meter(
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

  /// How far back a graph of `width` columns reaches.
  func reach(_ width: Int) -> String {
    let samples = Int64(max(0, width) * (glyphs.level == .unicode ? 2 : 1))
    return span(samples * GraphHistory.bucketSeconds * 1_000_000)
  }
}
