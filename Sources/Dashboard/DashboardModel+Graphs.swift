// DashboardModel+Graphs.swift: the cursor that reads the values of a graph. It stays with its bucket
// while the graph moves on, until the bucket is too old to be known. Start at moveGraphCursor.
import Control

extension DashboardModel {
  /// Left is earlier; the first press begins at the newest bucket.
  mutating func moveGraphCursor(_ action: Action) {
    let newest = history.closed - 1
    guard newest >= 0 else { return }
    let step: Int
    switch action {
    case .left: step = -1
    case .right: step = 1
    case .pageUp, .halfUp: step = -20
    case .pageDown, .halfDown: step = 20
    case .top: step = -GraphHistory.capacity
    case .bottom: step = GraphHistory.capacity
    default: return
    }
    isZoomed = true
    let oldest = max(0, newest - history.cpu.buckets.count + 1)
    graphCursor = min(newest, max(oldest, (graphCursor ?? newest + (step < 0 ? 1 : 0)) + step))
  }

  mutating func leaveGraphCursor() -> Bool {
    defer { graphCursor = nil }
    return graphCursor != nil
  }

  /// The value of a series under the cursor.
  func underCursor(_ series: GraphHistory.Series) -> Double? {
    guard let graphCursor else { return nil }
    let place = graphCursor - (history.closed - series.buckets.count)
    return series.buckets.indices.contains(place) ? series.buckets[place] : nil
  }

  /// How long ago the cursor's bucket ended, in microseconds.
  var cursorAge: Microseconds? {
    graphCursor.map { Int64(max(0, history.closed - 1 - $0)) * GraphHistory.bucketSeconds * 1_000_000 }
  }
}
