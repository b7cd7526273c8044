// Canvas+Lists.swift: what the lists of panes share: the sign of a job's state, headings, notes.
// The rows are in Panes/. Start at heading.
import Control
import Terminal

/// Columns of figures, placed one after the other from the right edge of a pane, two blanks apart.
struct RightEdge {
  /// Where the next one ends.
  var right: Int

  init(of inner: Rect) { right = inner.right - 1 }

  /// Where a column of that width ends.
  mutating func take(_ columns: Int) -> Int {
    defer { right -= columns + 2 }
    return right
  }
}

extension Canvas {
  /// A column's heading; the column that the list is sorted by has an arrow.
  /// - column: its name in the pane's list; nil if the list cannot be sorted by it
  mutating func heading(_ title: String, _ column: String?, _ list: ListState, _ pane: Pane) -> (
    String, Style
  ) {
    let columns = pane.list?.columns ?? []
    guard let column, let place = columns.firstIndex(of: column) else { return (title, faint) }
    let isSorted = place == list.sortColumn
    let text = isSorted ? title + String(list.isInverted ? glyphs.up : glyphs.down) : title
    headings.append(Heading(name: column, text: text))
    return (text, isSorted ? key : faint)
  }

  func filterNote(_ filter: Filter, isEditing: Bool) -> [(String, Style)] {
    filter.isEmpty && !isEditing ? [] : [("/\(fitted(filter.text, columns: 16))  ", key)]
  }

  /// `12-20 of 53`, when not all rows are on the screen.
  func position(_ list: ListState, _ model: DashboardModel, _ pane: Pane) -> String {
    guard let shown = list.position(height: model.listHeight(pane)) else { return "" }
    return "\(shown.first)-\(shown.last) of \(grouped(list.order.count))"
  }

  /// A rule across a list with its words: the rows below it are of another kind.
  mutating func drawRule(_ words: String, _ rect: Rect) {
    grid.fill(
      Rect(x: rect.x + 1, y: rect.y, width: max(0, rect.width - 2), height: 1), glyphs.horizontal,
      style: faint)
    fit(words, rect.x + 2, rect.y, faint, width: rect.width - 4)
  }

  func jobSign(_ state: JobState) -> (Unicode.Scalar, Style) {
    switch state {
    case .pending: (glyphs.pending, pending.with(.bold))
    case .queued: (glyphs.queued, label)
    case .running: (glyphs.running, ok)
    case .held: (glyphs.held, style(theme.warn))
    case .done: (glyphs.done, faint)
    case .rejected, .cancelled, .expired: (glyphs.stopped, faint)
    case .failed, .interrupted: (glyphs.failed, error)
    }
  }

  func numberColumn(_ value: Int, _ width: Int) -> String {
    let text = grouped(value)
    return text.utf8.count <= width ? text : compact(value)
  }
}
