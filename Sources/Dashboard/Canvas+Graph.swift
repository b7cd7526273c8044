// Canvas+Graph.swift: draws the past in braille, eighth blocks, shades or ASCII, depending on the
// terminal. The samples are in GraphHistory.swift. Start at graph.
import Control
import Terminal

extension Canvas {
  /// Draws the newest buckets into `rect`, bottom up. A bucket without a value leaves a gap; a zero
  /// is drawn as a line at the bottom.
  mutating func graph(
    _ series: GraphHistory.Series, closed: Int, _ rect: Rect, top: Double, gradient: Theme.Gradient,
    style: GraphStyle
  ) {
    guard rect.width > 0, rect.height > 0 else { return }
    let perCell = glyphs.level == .unicode ? 2 : 1
    let values = columnsOf(
      series, closed: closed, count: rect.width * perCell, style: style, perCell: perCell)
    plot(values, rect, top: top, gradient: gradient)
  }

  /// Marks the cursor's column in a graph of the newest buckets, and the row under it if it is of
  /// the graph.
  mutating func graphCursor(_ model: DashboardModel, _ rect: Rect) {
    guard let cursor = model.graphCursor, rect.width > 0 else { return }
    let perCell = glyphs.level == .unicode ? 2 : 1
    let count = rect.width * perCell
    let column: Int
    switch model.graphStyle {
    case .scroll: column = cursor - pageStart(closed: model.history.closed, count: count, perCell: perCell)
    case .sweep: column = model.history.closed - cursor > count ? -1 : cursor % count
    }
    guard (0..<count).contains(column) else { return }
    for row in rect.y..<rect.bottom {
      let x = rect.x + column / perCell
      sign(Unicode.Scalar(grid[x, row].scalar) ?? " ", x, row, selection)
    }
  }

  /// What the cursor reads: how long ago, and each value by its name.
  mutating func cursorWords(_ model: DashboardModel, _ values: [(String, String?)]) -> [(String, Style)] {
    guard let age = model.cursorAge else { return [] }
    return [("  \(span(age)) ago", key)]
      + values.flatMap { [(" \($0.0) ", label), ($0.1 ?? "unknown", $0.1 == nil ? faint : text)] }
  }

  /// The last day by minutes, over the whole width, with the newest at the right.
  mutating func dayGraph(
    _ series: GraphHistory.Series, minutes: Int, _ rect: Rect, top: Double, gradient: Theme.Gradient
  ) {
    guard rect.width > 0, rect.height > 0 else { return }
    let count = rect.width * (glyphs.level == .unicode ? 2 : 1)
    // Minutes per column. Columns begin at multiples of it, so that their values do not change
    // while they move along.
    let group = (1440 + count - 1) / count
    var values = [Double?](repeating: nil, count: count)
    let oldest = minutes - series.buckets.count
    let newest = minutes > 0 ? (minutes - 1) / group : 0
    for column in 0..<count {
      let first = (newest - (count - 1 - column)) * group - oldest
      let range = max(0, first)..<max(0, min(series.buckets.count, first + group))
      if range.lowerBound >= range.upperBound { continue }
      let known = series.buckets[range].compactMap { $0 }
      if !known.isEmpty { values[column] = known.reduce(0, +) / Double(known.count) }
    }
    plot(values, rect, top: top, gradient: gradient)
  }

  /// Under a graph of the newest buckets: how long ago its columns were. A sweeping graph has no
  /// one direction, and so no axis.
  mutating func timeAxis(_ closed: Int, _ x: Int, _ y: Int, width: Int, style: GraphStyle) {
    guard width >= 20, style == .scroll else { return }
    let perCell = glyphs.level == .unicode ? 2 : 1
    let now = (closed - pageStart(closed: closed, count: width * perCell, perCell: perCell)) / perCell
    let cellSeconds = GraphHistory.bucketSeconds * Int64(perCell)
    axis(
      x, y, width: width, now: min(width, now), secondsPerCell: Double(cellSeconds),
      steps: [60, 120, 300, 600, 1_800])
  }

  /// The same under a day by minutes.
  mutating func dayAxis(_ x: Int, _ y: Int, width: Int) {
    guard width >= 20 else { return }
    let count = width * (glyphs.level == .unicode ? 2 : 1)
    let group = (1440 + count - 1) / count
    let perCell = glyphs.level == .unicode ? 2 : 1
    axis(
      x, y, width: width, now: width, secondsPerCell: Double(group * perCell * 60),
      steps: [3_600, 7_200, 10_800, 21_600])
  }

  /// Labels at whole steps before the column `now`, as close as they fit.
  private mutating func axis(
    _ x: Int, _ y: Int, width: Int, now: Int, secondsPerCell: Double, steps: [Int]
  ) {
    guard let step = steps.first(where: { Double($0) / secondsPerCell >= 9 }) ?? steps.last else { return }
    for tick in 1...48 {
      let seconds = step * tick
      let column = now - Int((Double(seconds) / secondsPerCell).rounded())
      let words = "-" + (seconds % 3_600 == 0 ? "\(seconds / 3_600)h" : "\(seconds / 60)m")
      // The label ends under its column.
      if column - words.utf8.count + 1 < 0 { break }
      putRight(words, x + column + 1, y, faint)
    }
    if now + 1 <= width, now >= 3 {
      putRight("now", x + now + 1, y, faint)
    } else if now >= 3 {
      putRight("now", x + width, y, faint)
    }
  }

  /// One value per column: braille has two columns per cell, the others one.
  private mutating func plot(_ values: [Double?], _ rect: Rect, top: Double, gradient: Theme.Gradient) {
    let scale = top > 0 && top.isFinite ? top : 1
    let floor = self.style(
      theme.meterBackground, theme.meterBackground == theme.foreground ? .dim : [])
    func share(_ column: Int) -> Double? { values[column].map { min(1, max(0, $0 / scale)) } }
    for cell in 0..<rect.width {
      for row in 0..<rect.height {
        // Counted from the bottom.
        let level = rect.height - 1 - row
        let sign: Unicode.Scalar?
        var strongest = 0.0
        switch glyphs.level {
        case .unicode:
          let (left, right) = (share(cell * 2), share(cell * 2 + 1))
          strongest = max(left ?? 0, right ?? 0)
          sign = braille(left, right, level: level, height: rect.height)
        case .block:
          strongest = share(cell) ?? 0
          sign = eighths(share(cell), level: level, height: rect.height)
        case .console:
          strongest = share(cell) ?? 0
          sign = shade(share(cell), level: level, height: rect.height, " ░▒▓█")
        case .ascii:
          strongest = share(cell) ?? 0
          sign = shade(share(cell), level: level, height: rect.height, " .:=#")
        }
        guard let sign, sign != " ", sign != "\u{2800}" else {
          // Where nothing was measured, a dotted floor marks the missing values.
          if level == 0, glyphs.level == .unicode {
            self.sign("\u{2840}", rect.x + cell, rect.y + row, floor)
          }
          continue
        }
        // The colour depends on the height, so that a row has one colour and needs no colour
        // change.
        let height = rect.height == 1 ? strongest : (Double(level) + 0.5) / Double(rect.height)
        self.sign(
          sign, rect.x + cell, rect.y + row,
          self.style(gradient.color(at: rect.height == 1 ? quantized(height) : height)))
      }
    }
  }

  /// In a graph of one row, three colours are enough.
  private func quantized(_ share: Double) -> Double { share < 0.5 ? 0 : share < 0.85 ? 0.5 : 1 }

  /// The values of `count` columns, oldest at the left.
  ///
  /// A graph that moves a column with every sample changes all its cells every time, and every cell
  /// costs bytes. So `scroll` turns pages: the newest value is added at the right of the last one,
  /// and when the width is used up, the picture moves by an eighth of it.
  private func columnsOf(
    _ series: GraphHistory.Series, closed: Int, count: Int, style: GraphStyle, perCell: Int
  ) -> [Double?] {
    var result = [Double?](repeating: nil, count: count)
    guard count > 0 else { return result }
    /// Number of the oldest stored bucket.
    let oldest = closed - series.buckets.count
    switch style {
    case .scroll:
      let first = pageStart(closed: closed, count: count, perCell: perCell)
      for column in 0..<count where series.buckets.indices.contains(first + column - oldest) {
        result[column] = series.buckets[first + column - oldest]
      }
    case .sweep:
      for (back, value) in series.buckets.suffix(count).reversed().enumerated() {
        let place = closed - 1 - back
        result[((place % count) + count) % count] = value
      }
      // The columns just ahead of the newest value are left empty, as a gap.
      for ahead in 0..<min(count, perCell) { result[((closed + ahead) % count + count) % count] = nil }
    }
    return result
  }

  /// Number of the bucket in the first column.
  private func pageStart(closed: Int, count: Int, perCell: Int) -> Int {
    let missing = closed - count
    if missing <= 0 { return 0 }
    let step = max(1, count / 8 / perCell) * perCell
    return (missing + step - 1) / step * step
  }

  private func braille(_ left: Double?, _ right: Double?, level: Int, height: Int) -> Unicode.Scalar? {
    let leftDots: [UInt32] = [0x40, 0x04, 0x02, 0x01]
    let rightDots: [UInt32] = [0x80, 0x20, 0x10, 0x08]
    var dots: UInt32 = 0
    for (value, masks) in [(left, leftDots), (right, rightDots)] {
      guard let value else { continue }
      // A measured zero still has one dot at the bottom.
      let filled = max(1, Int((value * Double(height * 4)).rounded())) - level * 4
      for dot in 0..<4 where filled > dot { dots |= masks[dot] }
    }
    return Unicode.Scalar(0x2800 + dots)
  }

  private func eighths(_ value: Double?, level: Int, height: Int) -> Unicode.Scalar? {
    guard let value else { return nil }
    let filled = max(1, Int((value * Double(height * 8)).rounded())) - level * 8
    if filled <= 0 { return nil }
    return Unicode.Scalar(0x2580 + UInt32(min(8, filled)))
  }

  private func shade(_ value: Double?, level: Int, height: Int, _ signs: String) -> Unicode.Scalar? {
    guard let value else { return nil }
    let steps = Array(signs.unicodeScalars)
    let filled = max(1, Int((value * Double(height * 4)).rounded())) - level * 4
    if filled <= 0 { return nil }
    return steps[min(4, filled)]
  }

  /// The smallest of 1, 2, 5, 10, ... that bounds the newest `count` values: a scale that seldom
  /// changes.
  func niceTop(_ series: GraphHistory.Series, width: Int, now: Double?) -> Double {
    let count = glyphs.level == .unicode ? width * 2 : width
    let most = max(
      now ?? 0, series.buckets.suffix(max(1, count)).compactMap { $0 }.max() ?? 0)
    guard most.isFinite, most > 0 else { return 1 }
    var step = 1.0
    while step < most && step < 1e15 {
      for factor in [1.0, 2, 5] where step * factor >= most { return step * factor }
      step *= 10
    }
    return step
  }
}
