// ListState.swift: one list of a pane: its filter, its order, its cursor, its view, its tags. Rows
// are in sections: ended jobs are never above live ones. The cursor is on the first row until the
// operator moves it; then it is bound to an id, never to a row number, and moves along with its
// row. The contents of rows are made by DashboardModel+Lists.swift. Start at arrange and show.
import Control
import Terminal

/// Text that rows must contain, ignoring case; a leading `!` inverts the filter.
struct Filter: Equatable, Sendable {
  var text = ""

  var isEmpty: Bool { text.isEmpty || text == "!" }

  func matches(_ haystack: String) -> Bool {
    if isEmpty { return true }
    let isInverted = text.hasPrefix("!")
    let needle = (isInverted ? String(text.dropFirst()) : text).lowercased()
    // Every word must occur.
    let found = needle.split(separator: " ").allSatisfy { haystack.contains($0) }
    return found != isInverted
  }
}

/// The value of a row in the column that sorts; a missing value comes last.
enum SortValue: Equatable, Sendable {
  case number(Double)
  case text(String)
  case missing
}

struct ListRow: Sendable {
  let id: String
  /// In lower case; empty unless a filter needs it.
  let haystack: String
  let sortValue: SortValue
  var section = ListSection.open
}

/// Whether a row is running, will run, or has ended; in their order on a list.
enum ListSection: CaseIterable, Sendable { case running, open, ended }

/// How much of the order is kept when new rows come. Rows keep their places only within their
/// section.
enum ListRest: Sendable {
  /// Nothing is kept: the order is the node's, or that of the chosen column.
  case none
  /// Rows keep their places if no row entered or left the section.
  case calm
  /// Rows keep their places, because the operator moves among them.
  case moving
}

/// One line of a list as it is drawn.
enum ListLine: Equatable, Sendable {
  case row(String)
  /// An empty line at the head of the queue: the rows below it keep their places for a while.
  case gap
  /// Jobs that wait for the operator and are listed in another pane; their number.
  case waiting(Int)
  /// The rows below have ended; their number. Hidden ones are not below.
  case ended(Int, isHidden: Bool)
}

struct ListState: Equatable, Sendable {
  /// Ids in the order they are shown.
  private(set) var order: [String] = []
  private var sections: [String: ListSection] = [:]
  /// Empty lines between the running and the queued rows.
  private var gaps = 0
  private(set) var selected: String?
  /// Whether the operator has put the cursor on a row; then it stays with that row. Before that,
  /// and after `g`, it is on whatever row is first.
  private(set) var isTouched = false
  private(set) var tags: Set<String> = []
  /// Column 0 is the node's own order.
  var sortColumn = 0
  var isInverted = false
  var filter = Filter()
  /// First line shown.
  private(set) var top = 0
  /// The first line shown before the pane changed its size: when the pane has its old size again,
  /// it shows the same lines again.
  private var home = 0
  /// Lines of the pane when it was last shown, and whether the cursor was among them.
  private var height = 0
  private(set) var isCursorShown = false
  /// Until then the view follows the cursor, because the operator's own act moves the row.
  var followsUntil: Microseconds = 0
  /// Until then sorting is suspended, because the operator moves.
  var restUntil: Microseconds = 0
  /// When the order was last computed; 0 recomputes it at once.
  var arrangedAt: Microseconds = 0
  /// Jobs that wait for the operator and are shown nowhere else; a line tells their number.
  var waitingElsewhere = 0
  /// Whether ended rows are shown as their number only.
  var hidesEnded = false
  /// Ended rows that the operator cleared: they are not even counted.
  private(set) var cleared: Set<String> = []
  /// How many ended rows are hidden.
  private var hiddenCount = 0

  var selectedIndex: Int? { selected.flatMap { order.firstIndex(of: $0) } }
  func section(of id: String) -> ListSection? { sections[id] }

  // MARK: order

  /// Applies new rows. Returns whether the row under the cursor changed although the operator did
  /// not move it.
  mutating func arrange(_ rows: [ListRow], _ rest: ListRest = .none) -> Bool {
    let before = selected
    let place = selectedIndex ?? 0
    let wasLive = place < liveCount
    var seen: Set<String> = []
    // Rows that no longer come need not be remembered as cleared.
    if !cleared.isEmpty { cleared.formIntersection(rows.map(\.id)) }
    let matching = rows.filter {
      filter.matches($0.haystack) && !cleared.contains($0.id) && seen.insert($0.id).inserted
    }
    let kept = hidesEnded ? matching.filter { $0.section != .ended } : matching
    hiddenCount = matching.count - kept.count
    let queue = order.filter { sections[$0] == .open }
    var next: [String] = []
    for section in ListSection.allCases {
      let ids = sorted(kept.filter { $0.section == section }).map(\.id)
      next += rest == .none ? ids : merged(section, ids, rest)
    }
    order = next
    sections = Dictionary(kept.map { ($0.id, $0.section) }, uniquingKeysWith: { first, _ in first })
    gaps = gaps(behind: queue, rest)
    if order.isEmpty { isTouched = false }
    if !isTouched {
      selected = order.first
    } else if selected.map({ sections[$0] == nil }) ?? true {
      // The cursor moves to the row that took the ended row's place: a live row, if it was on a
      // live one.
      let last = (wasLive && liveCount > 0 ? liveCount : order.count) - 1
      selected = order.isEmpty ? nil : order[min(place, last)]
    }
    return selected != before
  }

  private func sorted(_ rows: [ListRow]) -> [ListRow] {
    if sortColumn == 0 { return isInverted ? rows.reversed() : rows }
    let sorted = rows.enumerated().sorted { left, right in
      let order = ListState.compare(left.element.sortValue, right.element.sortValue)
      if order == 0 { return left.offset < right.offset }
      return order < 0
    }.map(\.element)
    if !isInverted { return sorted }
    return sorted.filter { $0.sortValue != .missing }.reversed() + sorted.filter { $0.sortValue == .missing }
  }

  /// The number of empty lines. A job that starts leaves the head of the queue. If all others moved
  /// up by one, every start would rewrite every row of a tall list, so up to a sixth of the lines
  /// stay empty.
  private func gaps(behind old: [String], _ rest: ListRest) -> Int {
    guard rest != .none, sortColumn == 0, !isInverted, runningCount > 0 else { return 0 }
    let new = order[runningCount..<liveCount]
    let gone = old.count - new.count
    guard gone >= 0, !new.isEmpty, old.dropFirst(gone) == new[...] else { return 0 }
    return height >= 12 && (gaps + gone) * 6 <= height ? gaps + gone : 0
  }

  /// A section whose order is kept: rows keep their places, and new ones go behind the row that
  /// they follow in `ids`.
  private func merged(_ section: ListSection, _ ids: [String], _ rest: ListRest) -> [String] {
    let here = Set(ids)
    let old = order.filter { sections[$0] == section }
    let stayed = old.filter { here.contains($0) }
    // When a row arrives the others move anyway, so the queue takes the order in which it will run.
    if rest == .calm && section == .open && stayed.count != ids.count { return ids }
    let known = Set(stayed)
    // A job that starts takes the row of one that stopped: one row changes instead of all that run.
    var starting = ids.filter { !known.contains($0) }[...]
    if section != .running || sortColumn != 0 || isInverted { starting = [] }
    var placed: [String] = []
    for id in old {
      if here.contains(id) {
        placed.append(id)
      } else if let next = starting.popFirst() {
        placed.append(next)
      }
    }
    let fixed = Set(placed)
    var behind: [String?: [String]] = [:]
    var anchor: String?
    for id in ids {
      if fixed.contains(id) { anchor = id } else { behind[anchor, default: []].append(id) }
    }
    return (behind[nil] ?? []) + placed.flatMap { [$0] + (behind[$0] ?? []) }
  }

  /// Negative if `left` comes first.
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

  // MARK: lines

  /// The number of live rows; they come first.
  var liveCount: Int { order.firstIndex { sections[$0] == .ended } ?? order.count }

  /// The number of running rows among them.
  private var runningCount: Int { order.firstIndex { sections[$0] != .running } ?? order.count }

  /// The lines between the live rows and the ended ones.
  private var between: [ListLine] {
    let ended = hidesEnded ? hiddenCount : order.count - liveCount
    return (waitingElsewhere > 0 ? [.waiting(waitingElsewhere)] : [])
      + (ended > 0 ? [.ended(ended, isHidden: hidesEnded)] : [])
  }

  var lineCount: Int { order.count + gaps + between.count }

  func line(of index: Int) -> Int {
    index < runningCount ? index : index < liveCount ? index + gaps : index + gaps + between.count
  }

  private var selectedLine: Int? { selectedIndex.map { line(of: $0) } }

  func lines(height: Int) -> ArraySlice<ListLine> {
    let (running, live) = (runningCount, liveCount)
    let all =
      order[..<running].map { ListLine.row($0) } + Array(repeating: .gap, count: gaps)
      + order[running..<live].map { ListLine.row($0) } + between + order[live...].map { ListLine.row($0) }
    return all.dropFirst(top).prefix(max(0, height))
  }

  /// Numbers of the first and the last row on the screen, counted from 1; nil if all are visible.
  func position(height: Int) -> (first: Int, last: Int)? {
    guard lineCount > height else { return nil }
    var shown = lines(height: height).compactMap { if case .row(let id) = $0 { id } else { nil } }[...]
    guard let first = shown.popFirst().flatMap({ order.firstIndex(of: $0) }) else { return nil }
    return (first + 1, first + 1 + shown.count)
  }

  // MARK: cursor

  /// - step: rows; down is positive
  mutating func move(by step: Int) {
    guard !order.isEmpty else { return }
    isTouched = true
    guard isCursorShown || height == 0 else {
      // Starts from the visible rows, not from where the cursor's row went.
      enterView(atBottom: step < 0 && step > -2)
      return
    }
    let now = selectedIndex ?? 0
    selected = order[min(order.count - 1, max(0, now + max(-100_000, min(100_000, step))))]
  }

  private mutating func enterView(atBottom: Bool) {
    let shown = lines(height: height).compactMap { if case .row(let id) = $0 { id } else { nil } }
    selected = (atBottom ? shown.last : shown.first) ?? order.first
  }

  /// Selects the first row, whichever it becomes from now on.
  mutating func moveToTop() {
    isTouched = false
    selected = order.first
  }

  mutating func moveToBottom() {
    isTouched = true
    selected = order.last
  }

  /// From now on the cursor stays with its row.
  mutating func touch() { if selected != nil { isTouched = true } }

  mutating func select(_ id: String) {
    guard sections[id] != nil else { return }
    isTouched = true
    selected = id
  }

  /// - line: a line of the pane, counted from 0; one without a row selects nothing
  mutating func selectLine(_ line: Int, height: Int) {
    let shown = Array(lines(height: height))
    guard shown.indices.contains(line), case .row(let id) = shown[line] else { return }
    select(id)
  }

  // MARK: tags

  mutating func toggleTag() {
    guard let selected else { return }
    if tags.remove(selected) == nil { tags.insert(selected) }
  }

  mutating func untagAll() { tags = [] }

  /// The tagged rows on the list, in its order, without those that the filter hides.
  var tagged: [String] { order.filter { tags.contains($0) } }

  // MARK: ended rows

  /// The number of ended rows, shown or hidden.
  var endedCount: Int { hidesEnded ? hiddenCount : order.count - liveCount }

  /// Clears the ended rows among these; the list must then be arranged again.
  mutating func clearEnded(_ rows: [ListRow]) {
    cleared.formUnion(rows.lazy.filter { $0.section == .ended }.map(\.id))
  }

  mutating func restoreCleared() { cleared = [] }

  // MARK: view

  /// Determines the lines that a pane shows. Call it after everything that may have changed them.
  /// - isFocused: an unfocused pane shows its first rows, which matter most
  /// - follows: the view follows the cursor
  mutating func show(height: Int, isFocused: Bool, follows: Bool) {
    let rows = max(1, height)
    if !isFocused || !isTouched {
      top = 0
      if isFocused { home = 0 }
    } else if follows {
      reveal(rows)
    } else if rows != self.height {
      // A cursor that was visible stays visible; one that was not is not followed.
      top = home
      if isCursorShown { scrollToCursor(rows) }
    }
    self.height = rows
    top = max(0, min(top, lineCount - rows))
    isCursorShown = isFocused && isVisible(rows)
  }

  /// Scrolls as little as necessary to show the cursor.
  mutating func reveal(_ height: Int) {
    let rows = max(1, height)
    scrollToCursor(rows)
    home = top
    isCursorShown = isVisible(rows)
  }

  private mutating func scrollToCursor(_ rows: Int) {
    if let index = selectedIndex, let line = selectedLine {
      // The last live row brings the lines below it into view.
      let last = index == liveCount - 1 ? line + between.count : line
      if last >= top + rows { top = last - rows + 1 }
      if line < top { top = line }
    }
    top = max(0, min(top, lineCount - rows))
  }

  /// Applies new rows as `arrange` does; a view that was scrolled keeps the cursor at its place on
  /// the screen.
  mutating func rearrange(_ rows: [ListRow], _ rest: ListRest) -> Bool {
    let (id, line, section) = (selected, selectedLine, selected.flatMap { sections[$0] })
    let changed = arrange(rows, rest)
    if isTouched, isCursorShown, top > 0, let id, id == selected, sections[id] == section,
      let line, let now = selectedLine
    {
      top = max(0, top + now - line)
      home = top
    }
    return changed
  }

  private func isVisible(_ rows: Int) -> Bool {
    guard let line = selectedLine else { return false }
    return line >= top && line < top + rows
  }
}
