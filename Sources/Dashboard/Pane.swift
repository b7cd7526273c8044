// Pane.swift: one pane of the dashboard as a row of a table: its name, its rows, its keys, its
// drawing and its text on a plain dashboard. The panes themselves are in Panes/, one file each, in
// the order of Panes/Panes.swift; their places are in Layout.swift. Start at Pane.
import Control
import Terminal

/// Panes are compared by identity: each is a row of `Pane.all`.
package final class Pane: Sendable {
  /// Its title, the name of its key in a keymap, and its word on a plain dashboard.
  package let name: String
  private let ownKey: String?
  /// What its key does, for the palette and the manual.
  let words: String
  /// Whether focusing it also opens it as Enter does; otherwise its key pressed again zooms it.
  let opensAtOnce: Bool
  /// The actions shown in the key line at the bottom.
  let hints: [(action: Action, words: String)]
  let list: PaneList?
  /// For a pane without rows.
  let scroll: PaneScroll?
  /// For a pane without rows; a list has its own filter.
  let filter: (WritableKeyPath<DashboardModel, Filter> & Sendable)?
  /// How the cursor moves in a pane that is no list, and does not only scroll.
  let move: (@Sendable (inout DashboardModel, Action) -> Void)?
  /// What Esc leaves in such a pane; false if there was nothing.
  let back: (@Sendable (inout DashboardModel) -> Bool)?
  /// What Enter does; nil zooms.
  let open: (@Sendable (inout DashboardModel) -> [Effect])?
  /// What `copy` does; nil copies the rows.
  let copy: (@Sendable (inout DashboardModel) -> [Effect])?
  let draw: @Sendable (inout Canvas, DashboardModel, NodeSnapshot, Rect) -> Void
  /// Nil if a plain dashboard has no text for it.
  let plain: (@Sendable (NodeSnapshot?) -> PlainWords)?

  init(
    _ name: String, key: String? = nil, words: String? = nil, opensAtOnce: Bool = false,
    hints: [(Action, String)],
    list: PaneList? = nil, scroll: PaneScroll? = nil,
    filter: (WritableKeyPath<DashboardModel, Filter> & Sendable)? = nil,
    move: (@Sendable (inout DashboardModel, Action) -> Void)? = nil,
    open: (@Sendable (inout DashboardModel) -> [Effect])? = nil,
    back: (@Sendable (inout DashboardModel) -> Bool)? = nil,
    copy: (@Sendable (inout DashboardModel) -> [Effect])? = nil,
    plain: (@Sendable (NodeSnapshot?) -> PlainWords)? = nil,
    draw: @escaping @Sendable (inout Canvas, DashboardModel, NodeSnapshot, Rect) -> Void
  ) {
    self.name = name
    ownKey = key
    self.words = words ?? "\(name); again: zoom"
    self.opensAtOnce = opensAtOnce
    self.hints = hints.map { (action: $0, words: $1) }
    (self.list, self.scroll, self.filter) = (list, scroll, filter)
    (self.move, self.back) = (move, back)
    (self.open, self.copy, self.plain, self.draw) = (open, copy, plain, draw)
  }

  /// Counted from 1 in the order of the table.
  package var number: Int { index + 1 }

  /// The digit of its number, 0 for the tenth; a later one has a letter, or a key of the keymap alone.
  package var key: String? { ownKey ?? digit.map { "\($0)" } }

  /// As its frame has it.
  var digit: Int? { number <= 10 ? number % 10 : nil }

  private var index: Int { Pane.all.firstIndex(of: self) ?? 0 }

  /// The pane `step` places further on, wrapping around the end.
  func neighbour(_ step: Int) -> Pane {
    let count = Pane.all.count
    return Pane.all[((index + step) % count + count) % count]
  }
}

extension Pane: Hashable {
  package static func == (left: Pane, right: Pane) -> Bool { left === right }
  package func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// How far a pane is scrolled back from its end, in lines.
struct PaneScroll: Sendable {
  let position: WritableKeyPath<DashboardModel, Int> & Sendable
  let most: @Sendable (DashboardModel) -> Int
}

/// What a plain dashboard prints for a pane.
struct PlainWords: Sendable {
  var lines: [String]
  /// The ids of the printed jobs, by their numbers from 1 on; nil leaves the numbers unchanged.
  var choices: [String]?
}

/// A column that a list can be sorted by.
struct PaneColumn<Row>: Sendable {
  let name: String
  let value: @Sendable (Row, NodeSnapshot) -> SortValue

  init(_ name: String, _ value: @escaping @Sendable (Row, NodeSnapshot) -> SortValue) {
    (self.name, self.value) = (name, value)
  }

  /// The node's own order.
  static func order(_ name: String) -> PaneColumn { PaneColumn(name) { _, _ in .missing } }
}

/// The list of a pane: its rows, the columns that sort them, and what an act finds in them.
struct PaneList: Sendable {
  /// The columns that sort the list; the first is the node's own order.
  let columns: [String]
  /// What a row is called in messages.
  let noun: String
  /// How a message says that one or several tagged rows no longer exist.
  let gone: (one: String, many: String)
  /// Whether rows keep their places for a while: an order that changes with every ended job is
  /// restless, and every row that moves costs bytes.
  let isCalm: Bool
  /// Whether rows end: they then have a section of their own, which can be hidden and cleared.
  let hasEnds: Bool
  /// The number of rows inside the pane above the list.
  let head: @Sendable (_ inner: Rect) -> Int
  let rows: @Sendable (DashboardModel, NodeSnapshot, ListState) -> [ListRow]
  /// The number of rows that wait for the operator and are shown nowhere else; a line shows it.
  let waitingElsewhere: @Sendable (DashboardModel, Layout) -> Int
  /// A row as text for a message or a spreadsheet; nil if it no longer exists.
  let text: @Sendable (DashboardModel, String) -> String?
  /// What `copy` copies as the row's id.
  let idText: @Sendable (String) -> String
  /// The id of the receipt that the row is or has.
  let receipt: @Sendable (DashboardModel, String) -> String?

  /// - id, words, section: of a row; a filter searches `words`
  init<Row>(
    of noun: String, columns: [PaneColumn<Row>], gone: (one: String, many: String) = ("is gone", "are gone"),
    isCalm: Bool = false, hasEnds: Bool = false,
    rows: @escaping @Sendable (DashboardModel, NodeSnapshot) -> [Row],
    id: @escaping @Sendable (Row) -> String,
    words: @escaping @Sendable (Row) -> String,
    section: @escaping @Sendable (Row) -> ListSection = { _ in .open },
    text: @escaping @Sendable (DashboardModel, String) -> String?,
    idText: @escaping @Sendable (String) -> String = { $0 },
    receipt: @escaping @Sendable (DashboardModel, String) -> String? = { _, _ in nil },
    waitingElsewhere: @escaping @Sendable (DashboardModel, Layout) -> Int = { _, _ in 0 },
    head: @escaping @Sendable (_ inner: Rect) -> Int
  ) {
    self.columns = columns.map(\.name)
    (self.noun, self.gone, self.isCalm, self.hasEnds) = (noun, gone, isCalm, hasEnds)
    (self.text, self.idText, self.receipt) = (text, idText, receipt)
    (self.waitingElsewhere, self.head) = (waitingElsewhere, head)
    self.rows = { model, snapshot, list in
      let column = columns.indices.contains(list.sortColumn) ? columns[list.sortColumn] : nil
      return rows(model, snapshot).map { row in
        ListRow(
          id: id(row), haystack: list.filter.isEmpty ? "" : words(row).lowercased(),
          sortValue: column?.value(row, snapshot) ?? .missing, section: section(row))
      }
    }
  }
}
