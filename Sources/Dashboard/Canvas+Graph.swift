// Canvas+Graph.swift: the past as a picture: braille, blocks of eighths, shades or ASCII, by what the terminal has.
// Leaves out the samples (GraphHistory.swift). Start at graph.
import Node
import Terminal

extension Canvas {
  /// Draws the newest buckets into `rect`, bottom up. A bucket without a value leaves a gap, which is not a zero:
  /// zeros have a line at the bottom.
  mutating func graph(
    _ series: GraphHistory.Series, closed: Int, _ rect: Rect, top: Double, gradient: Theme.Gradient,
    style: GraphStyle
  ) {
    guard rect.width > 0, rect.height > 0 else { return }
    let perCell = glyphs.level == .unicode ? 2 : 1
    let columns = rect.width * perCell
    let values = columnsOf(series, closed: closed, count: columns, style: style, perCell: perCell)
    let scale = top > 0 && top.isFinite ? top : 1
    func share(_ column: Int) -> Double? { values[column].map { min(1, max(0, $0 / scale)) } }
    for cell in 0..<rect.width {
      for row in 0..<rect.height {
        // From the bottom.
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
        guard let sign, sign != " ", sign != "\u{2800}" else { continue }
        // Colour by height, so that a row keeps its colour and costs no change of it.
        let height = rect.height == 1 ? strongest : (Double(level) + 0.5) / Double(rect.height)
        self.sign(
          sign, rect.x + cell, rect.y + row,
          self.style(gradient.color(at: rect.height == 1 ? quantized(height) : height)))
      }
    }
  }

  /// In a graph of one row, three colours are enough.
  private func quantized(_ share: Double) -> Double { share < 0.5 ? 0 : share < 0.85 ? 0.5 : 1 }

  private func columnsOf(
    _ series: GraphHistory.Series, closed: Int, count: Int, style: GraphStyle, perCell: Int
  ) -> [Double?] {
    let group = groupSize(columns: count)
    let recent = grouped(series, closed: closed, count: count, by: group)
    let closed = closed / group
    switch style {
    case .scroll:
      return Array(repeating: nil, count: count - recent.count) + recent
    case .sweep:
      var result = [Double?](repeating: nil, count: count)
      for (back, value) in recent.reversed().enumerated() {
        let place = closed - 1 - back
        result[((place % count) + count) % count] = value
      }
      // A gap runs before the newest.
      for ahead in 0..<min(count, perCell) { result[((closed + ahead) % count + count) % count] = nil }
      return result
    }
  }

  /// A wide graph moves in longer steps: when it moves, most of its cells change, and every cell costs bytes.
  private func groupSize(columns: Int) -> Int { columns > 50 ? 3 : 1 }

  /// The newest `count` means of `group` buckets each. Groups end where `closed` is a multiple of their size, so
  /// that they do not change while they move along.
  private func grouped(_ series: GraphHistory.Series, closed: Int, count: Int, by group: Int) -> [Double?] {
    if group == 1 { return Array(series.buckets.suffix(count)) }
    let whole = series.buckets.dropLast(((closed % group) + group) % group)
    var result: [Double?] = []
    var end = whole.endIndex
    while end - whole.startIndex >= group && result.count < count {
      let known = whole[(end - group)..<end].compactMap { $0 }
      result.append(known.isEmpty ? nil : known.reduce(0, +) / Double(known.count))
      end -= group
    }
    return result.reversed()
  }

  private func braille(_ left: Double?, _ right: Double?, level: Int, height: Int) -> Unicode.Scalar? {
    let leftDots: [UInt32] = [0x40, 0x04, 0x02, 0x01]
    let rightDots: [UInt32] = [0x80, 0x20, 0x10, 0x08]
    var dots: UInt32 = 0
    for (value, masks) in [(left, leftDots), (right, rightDots)] {
      guard let value else { continue }
      // Even a zero has one dot at the bottom: it was measured.
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

  /// The smallest of 1, 2, 5, 10, ... that the newest `count` values stay under: a scale that seldom changes.
  func niceTop(_ series: GraphHistory.Series, width: Int, now: Double?) -> Double {
    let count = glyphs.level == .unicode ? width * 2 : width
    let most = max(
      now ?? 0, series.buckets.suffix(max(1, count) * groupSize(columns: count)).compactMap { $0 }.max() ?? 0)
    guard most.isFinite, most > 0 else { return 1 }
    var step = 1.0
    while step < most && step < 1e15 {
      for factor in [1.0, 2, 5] where step * factor >= most { return step * factor }
      step *= 10
    }
    return step
  }
}
