// Canvas.swift: a grid with a theme and a set of glyphs: frames, columns, bars, readings.
// View.swift and Panes/ decide what is drawn where; graphs are in Canvas+Graph.swift. Start at
// frame and run.
import Control
import Terminal

/// The heading of a column that its list can be sorted by, as it is drawn.
struct Heading: Sendable {
  let name: String
  let text: String
}

struct Canvas {
  var grid: Grid
  let theme: Theme
  let glyphs: Glyphs
  /// Of the columns that were drawn and can be sorted by.
  var headings: [Heading] = []

  init(size: Size, theme: Theme, glyphs: Glyphs) {
    grid = Grid(size: size, style: Style(theme.foreground, on: theme.background))
    self.theme = theme
    self.glyphs = glyphs
  }

  // MARK: styles

  func style(_ color: Color, _ attributes: Attributes = []) -> Style {
    Style(color, on: theme.background, attributes)
  }

  var text: Style { style(theme.foreground) }
  var strong: Style { style(theme.title, .bold) }
  /// The style of labels and missing values. Without a separate colour it is dim.
  var faint: Style { style(theme.inactive, theme.inactive == theme.foreground ? .dim : []) }
  var label: Style { style(theme.graphText == theme.foreground ? theme.inactive : theme.graphText) }
  var key: Style { style(theme.highlight, theme.highlight == theme.foreground ? .bold : []) }
  var ok: Style { style(theme.ok) }
  var warn: Style { style(theme.warn, .bold) }
  var error: Style { style(theme.error, .bold) }
  var pending: Style { style(theme.pending) }

  var selection: Style {
    theme.selectedBackground == theme.background
      ? Style(theme.foreground, on: theme.background, .reverse)
      : Style(theme.selectedForeground, on: theme.selectedBackground)
  }

  // MARK: text

  @discardableResult
  mutating func put(_ text: String, _ x: Int, _ y: Int, _ style: Style, limit: Int = .max) -> Int {
    grid.put(text, x: x, y: y, style: style, limit: limit)
  }

  /// Writes text, cut with an ellipsis if it does not fit.
  @discardableResult
  mutating func fit(_ text: String, _ x: Int, _ y: Int, _ style: Style, width: Int) -> Int {
    if width <= 0 { return x }
    return grid.put(
      fitted(text, columns: width, ellipsis: Character(glyphs.ellipsis)), x: x, y: y, style: style,
      limit: width)
  }

  /// Writes text that ends at the column before `right`.
  mutating func putRight(_ text: String, _ right: Int, _ y: Int, _ style: Style, width: Int = .max) {
    let shown =
      displayWidth(text) > width ? fitted(text, columns: width, ellipsis: Character(glyphs.ellipsis)) : text
    grid.put(shown, x: right - displayWidth(shown), y: y, style: style)
  }

  mutating func sign(_ sign: Unicode.Scalar, _ x: Int, _ y: Int, _ style: Style) {
    grid.put(sign, x: x, y: y, style: style)
  }

  /// Writes runs of text in their styles, one after the other; returns the column after them.
  @discardableResult
  mutating func run(_ parts: [(String, Style)], _ x: Int, _ y: Int, limit right: Int) -> Int {
    var column = x
    for (text, style) in parts where column < right {
      column = fit(text, column, y, style, width: right - column)
    }
    return column
  }

  // MARK: frames

  /// The frame of a pane, with its number and its name.
  mutating func frame(
    _ rect: Rect, _ pane: Pane, _ model: DashboardModel, note: [(String, Style)] = [], foot: String = ""
  ) -> Rect {
    frame(
      rect, number: pane.digit, title: pane.name, isFocused: model.focus == pane,
      note: note, foot: foot)
  }

  /// A frame with its number and name, and a note at the right of its upper edge. Returns the
  /// rectangle inside.
  mutating func frame(
    _ rect: Rect, number: Int?, title: String, isFocused: Bool, note: [(String, Style)] = [],
    foot: String = ""
  ) -> Rect {
    guard rect.width >= 2, rect.height >= 2 else { return Rect(x: rect.x, y: rect.y, width: 0, height: 0) }
    let line = isFocused ? key : style(theme.box)
    let (left, right, top, bottom) = (rect.x, rect.right - 1, rect.y, rect.bottom - 1)
    grid.fill(Rect(x: left, y: top, width: rect.width, height: 1), glyphs.horizontal, style: line)
    grid.fill(Rect(x: left, y: bottom, width: rect.width, height: 1), glyphs.horizontal, style: line)
    grid.fill(Rect(x: left, y: top, width: 1, height: rect.height), glyphs.vertical, style: line)
    grid.fill(Rect(x: right, y: top, width: 1, height: rect.height), glyphs.vertical, style: line)
    sign(glyphs.topLeft, left, top, line)
    sign(glyphs.topRight, right, top, line)
    sign(glyphs.bottomLeft, left, bottom, line)
    sign(glyphs.bottomRight, right, bottom, line)
    var x = left + 1
    if let number {
      x = put("\(number)", x, top, isFocused ? key.with(.bold) : key)
      x = put(" ", x, top, line)
    }
    x = fit(title, x, top, isFocused ? strong : text, width: max(0, right - 1 - x))
    if x < right { x = put(" ", x, top, line) }
    let width = note.reduce(0) { $0 + displayWidth($1.0) }
    if width > 0, right - 3 - width > x {
      var column = right - 2 - width
      put(" ", column - 1, top, line)
      for (text, style) in note { column = put(text, column, top, style) }
      put(" ", column, top, line)
    }
    if !foot.isEmpty, displayWidth(foot) + 6 < rect.width {
      putRight(" \(foot) ", right - 1, bottom, faint)
    }
    return rect.inset(1, 1)
  }

  // MARK: bars

  /// A bar of `width` columns, filled to `share`. Any share above 0 fills at least one column, and
  /// only a full share fills all.
  mutating func bar(
    _ share: Double, _ x: Int, _ y: Int, width: Int, _ full: Style, isSelected: Bool = false
  ) {
    guard width > 0 else { return }
    let part = min(1, max(0, share.isFinite ? share : 0))
    let filled = part >= 1 ? width : part > 0 ? max(1, min(width - 1, Int(part * Double(width)))) : 0
    let empty =
      isSelected
      ? selection : style(theme.meterBackground, theme.meterBackground == theme.foreground ? .dim : [])
    for column in 0..<width {
      sign(column < filled ? glyphs.full : glyphs.track, x + column, y, column < filled ? full : empty)
    }
  }

  // MARK: readings

  /// A reading as text: its value, `12.1G (3m old)`, `warming up`, or `unavailable`.
  func words<Value>(_ reading: Reading<Value>, at time: Microseconds, _ format: (Value) -> String) -> (
    String, Style
  ) {
    switch reading {
    case .value(let value): (format(value), text)
    case .stale(let value, let since): ("\(format(value)) (\(age(elapsed(since, time))) old)", faint)
    case .warmingUp: ("warming up", faint)
    case .unavailable(let reason): (reason.isEmpty ? "unavailable" : "unavailable: \(reason)", faint)
    }
  }

  /// A reading where only a number fits: `-` stands for a missing value.
  func brief<Value>(_ reading: Reading<Value>, _ format: (Value) -> String) -> (String, Style) {
    switch reading {
    case .value(let value): (format(value), text)
    case .stale(let value, _): (format(value) + "?", faint)
    case .warmingUp: (String(glyphs.ellipsis), faint)
    case .unavailable: ("-", faint)
    }
  }
}
