// Grid.swift: a screen as a value: rows of cells, each one glyph and its style.
// Text is added only through `put`, which applies displaySafe's rules, so a grid never holds a
// control. Not here: colours that a terminal lacks (Grid+Degraded.swift), the text form
// (Grid+Text.swift). Start at put.

/// One column of one row. A wide glyph takes two cells: itself, and a `continuation` to its right.
package struct Cell: Hashable, Sendable {
  /// 0 in a continuation, 0x20 in a blank cell.
  package var scalar: UInt32
  package var firstMark: UInt32
  package var secondMark: UInt32
  package var style: Style

  package init(scalar: UInt32, style: Style) {
    self.scalar = scalar
    self.firstMark = 0
    self.secondMark = 0
    self.style = style
  }

  package static let blank = Cell(scalar: 0x20, style: .plain)

  package var isContinuation: Bool { scalar == 0 }
}

package struct Size: Hashable, Sendable {
  package let width: Int
  package let height: Int

  /// Bounded to 1...1000 columns and 1...500 rows, whatever size a terminal claims.
  package init(_ width: Int, _ height: Int) {
    self.width = min(1000, max(1, width))
    self.height = min(500, max(1, height))
  }
}

package struct Rect: Hashable, Sendable {
  package let x, y, width, height: Int

  package init(x: Int, y: Int, width: Int, height: Int) {
    self.x = x
    self.y = y
    self.width = max(0, width)
    self.height = max(0, height)
  }

  package var right: Int { x + width }
  package var bottom: Int { y + height }

  package func inset(_ columns: Int, _ rows: Int) -> Rect {
    Rect(x: x + columns, y: y + rows, width: width - 2 * columns, height: height - 2 * rows)
  }
}

package struct Grid: Hashable, Sendable {
  package let size: Size
  package private(set) var cells: [Cell]
  /// Where the terminal's cursor is shown; nil hides it.
  package var cursor: Point?

  package struct Point: Hashable, Sendable {
    package let x, y: Int
    package init(x: Int, y: Int) {
      self.x = x
      self.y = y
    }
  }

  package init(size: Size, style: Style = .plain) {
    self.size = size
    self.cells = Array(repeating: Cell(scalar: 0x20, style: style), count: size.width * size.height)
  }

  package var width: Int { size.width }
  package var height: Int { size.height }

  package subscript(x: Int, y: Int) -> Cell {
    guard x >= 0, x < size.width, y >= 0, y < size.height else { return .blank }
    return cells[y * size.width + x]
  }

  /// Writes untrusted text from (x, y) to the right, cut at `limit` columns and at the grid's edge;
  /// a wide glyph that does not fit completely is omitted. Returns the column after the text.
  @discardableResult
  package mutating func put(
    _ text: some StringProtocol, x: Int, y: Int, style: Style, limit: Int = .max
  ) -> Int {
    guard y >= 0, y < size.height, limit > 0 else { return x }
    let end = limit > size.width ? size.width : min(size.width, x + limit)
    var column = x
    var scanner = DisplayScanner()
    for scalar in text.unicodeScalars {
      switch scanner.next(scalar) {
      case .glyph(let width):
        if column + width > end { return column }
        set(scalar.value, width: width, x: column, y: y, style: style)
        column += width
      case .replacement(let other):
        if column + 1 > end { return column }
        set(other.value, width: 1, x: column, y: y, style: style)
        column += 1
      case .space(let width):
        if column + width > end { return column }
        for _ in 0..<width {
          set(0x20, width: 1, x: column, y: y, style: style)
          column += 1
        }
      case .mark:
        // A mark at the start has no glyph of this text to attach to.
        if column > x { addMark(scalar.value, before: column, y: y) }
      case .nothing: break
      }
    }
    return column
  }

  /// Writes one of our own signs. Scalars that are not one column wide are drawn as U+FFFD.
  package mutating func put(_ sign: Unicode.Scalar, x: Int, y: Int, style: Style) {
    guard x >= 0, x < size.width, y >= 0, y < size.height else { return }
    switch DisplayForm(of: sign) {
    case .glyph(1): set(sign.value, width: 1, x: x, y: y, style: style)
    case .space: set(0x20, width: 1, x: x, y: y, style: style)
    case .glyph, .mark, .nothing, .replacement:
      set(replacementCharacter.value, width: 1, x: x, y: y, style: style)
    }
  }

  /// Repeats a sign over a rectangle; the part outside the grid is cut.
  package mutating func fill(_ rect: Rect, _ sign: Unicode.Scalar = " ", style: Style) {
    for y in max(0, rect.y)..<max(max(0, rect.y), min(size.height, rect.bottom)) {
      for x in max(0, rect.x)..<max(max(0, rect.x), min(size.width, rect.right)) {
        put(sign, x: x, y: y, style: style)
      }
    }
  }

  private mutating func set(_ value: UInt32, width: Int, x: Int, y: Int, style: Style) {
    guard x >= 0, x + width <= size.width else { return }
    let index = y * size.width + x
    clearHalves(at: index, x: x)
    cells[index] = Cell(scalar: value, style: style)
    if width == 2 {
      clearHalves(at: index + 1, x: x + 1)
      cells[index] = Cell(scalar: value, style: style)
      cells[index + 1] = Cell(scalar: 0, style: style)
    }
  }

  /// A wide glyph that loses one half loses the other too.
  private mutating func clearHalves(at index: Int, x: Int) {
    if cells[index].isContinuation && x > 0 {
      cells[index - 1].scalar = 0x20
      cells[index - 1].firstMark = 0
      cells[index - 1].secondMark = 0
    }
    if x + 1 < size.width && cells[index + 1].isContinuation { cells[index + 1].scalar = 0x20 }
  }

  private mutating func addMark(_ value: UInt32, before column: Int, y: Int) {
    var x = column - 1
    guard x >= 0, x < size.width else { return }
    if cells[y * size.width + x].isContinuation && x > 0 { x -= 1 }
    let index = y * size.width + x
    if cells[index].firstMark == 0 {
      cells[index].firstMark = value
    } else if cells[index].secondMark == 0 {
      cells[index].secondMark = value
    }
  }

  /// For `degraded`: replaces every cell; the closure must keep widths.
  package mutating func mapCells(_ change: (inout Cell) -> Void) {
    for index in cells.indices { change(&cells[index]) }
  }
}
