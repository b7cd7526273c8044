// ListState.swift: one list of a pane: its filter, its order, its selection, its tags.
// The selection is an id, never a row number: when the order changes it goes along with its row.
// Leaves out what the rows say (DashboardModel+Lists.swift). Start at arrange.
import Node
import Terminal

/// Text that rows must contain, letters of either case; `!` first inverts.
struct Filter: Equatable, Sendable {
  var text = ""

  var isEmpty: Bool { text.isEmpty || text == "!" }

  func matches(_ haystack: String) -> Bool {
    if isEmpty { return true }
    let isInverted = text.hasPrefix("!")
    let needle = (isInverted ? String(text.dropFirst()) : text).lowercased()
    // Every word must be there.
    let found = needle.split(separator: " ").allSatisfy { haystack.contains($0) }
    return found != isInverted
  }
}

/// What a row sorts by in one column; what is missing comes last.
enum SortValue: Equatable, Sendable {
  case number(Double)
  case text(String)
  case missing
}

struct ListRow: Sendable {
  let id: String
  /// Lower case; empty unless a filter asks for it.
  let haystack: String
  let sortValue: SortValue
  var rank = RowRank.waiting
}

/// Whether a row is what the machine does now, will do, or has done.
enum RowRank: Sendable { case active, waiting, ended }

struct ListState: Equatable, Sendable {
  /// Ids in the order they are shown.
  private(set) var order: [String] = []
  private(set) var selected: String?
  private(set) var tags: Set<String> = []
  /// Column 0 is the node's own order.
  var sortColumn = 0
  var isInverted = false
  var filter = Filter()
  /// First row shown.
  var top = 0
  /// Sorting rests until then, because the operator moves.
  var restUntil: Microseconds = 0
  /// When the order was last made anew; 0 asks for it at once.
  var arrangedAt: Microseconds = 0

  var selectedIndex: Int? { selected.flatMap { order.firstIndex(of: $0) } }

  /// Takes new rows. Returns whether the row under the cursor changed though nobody moved it.
  /// - isResting: rows keep their places, new ones come last
  /// - settles: of rows that rest, those that rank behind what follows them (see `exchangeByRank`) change places with it
  mutating func arrange(_ rows: [ListRow], isResting: Bool, settles: Bool = false) -> Bool {
    let before = selected
    let place = selectedIndex ?? 0
    var kept = rows.filter { filter.matches($0.haystack) }
    if sortColumn != 0 {
      kept = kept.enumerated().sorted { left, right in
        let order = ListState.compare(left.element.sortValue, right.element.sortValue)
        if order == 0 { return left.offset < right.offset }
        return order < 0
      }.map(\.element)
      if isInverted {
        let present = kept.filter { $0.sortValue != .missing }
        kept = present.reversed() + kept.filter { $0.sortValue == .missing }
      }
    } else if isInverted {
      kept.reverse()
    }
    let ids = kept.map(\.id)
    if isResting {
      let here = Set(ids)
      let old = order.filter { here.contains($0) }
      let known = Set(old)
      order = old + ids.filter { !known.contains($0) }
      if settles && sortColumn == 0 && !isInverted { exchangeByRank(kept) }
    } else {
      order = ids
    }
    if !tags.isEmpty { tags.formIntersection(rows.map(\.id)) }
    if let selected, order.contains(selected) { return false }
    selected = order.isEmpty ? nil : order[min(place, order.count - 1)]
    return selected != before
  }

  /// A job that starts takes the row of one that has ended: two rows change, and what runs is always on top, while the
  /// queue between them stands still.
  private mutating func exchangeByRank(_ rows: [ListRow]) {
    let ranks = Dictionary(rows.map { ($0.id, $0.rank) }, uniquingKeysWith: { first, _ in first })
    var first = 0
    var last = order.count - 1
    while first < last {
      if ranks[order[first]] != .ended {
        first += 1
      } else if ranks[order[last]] != .active {
        last -= 1
      } else {
        order.swapAt(first, last)
      }
    }
  }

  /// Negative when left comes first.
  private static func compare(_ left: SortValue, _ right: SortValue) -> Int {
    switch (left, right) {
    case (.number(let a), .number(let b)): a < b ? -1 : a > b ? 1 : 0
    case (.text(let a), .text(let b)): a < b ? -1 : a > b ? 1 : 0
    case (.missing, .missing): 0
    case (.missing, _): 1
    case (_, .missing): -1
    case (.number, .text): -1
    case (.text, .number): 1
    }
  }

  mutating func move(by steps: Int) {
    guard !order.isEmpty else { return }
    let now = selectedIndex ?? 0
    selected = order[min(order.count - 1, max(0, now + max(-100_000, min(100_000, steps))))]
  }

  mutating func select(_ id: String) { if order.contains(id) { selected = id } }

  mutating func selectRow(_ index: Int) { if order.indices.contains(index) { selected = order[index] } }

  mutating func toggleTag() {
    guard let selected else { return }
    if tags.remove(selected) == nil { tags.insert(selected) }
  }

  mutating func untagAll() { tags = [] }

  /// What an act applies to: the tagged, in the order shown, else the selected.
  var targets: [String] {
    if tags.isEmpty { return selected.map { [$0] } ?? [] }
    // Tagged rows that the filter hides are not acted on: they are not on the screen.
    return order.filter { tags.contains($0) }
  }

  /// Scrolls as little as it takes to show the selection in `height` rows.
  mutating func reveal(height: Int) {
    let rows = max(1, height)
    if let index = selectedIndex {
      if index < top { top = index }
      if index >= top + rows { top = index - rows + 1 }
    }
    clamp(height: rows)
  }

  mutating func clamp(height: Int) { top = max(0, min(top, order.count - max(1, height))) }

  func isVisible(height: Int) -> Bool {
    guard let index = selectedIndex else { return false }
    return index >= top && index < top + max(1, height)
  }
}
