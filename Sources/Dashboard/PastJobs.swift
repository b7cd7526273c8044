// PastJobs.swift: the jobs that ended, as far as the node was asked for them. They are drawn by
// Panes/HistoryPane.swift. Start at take and question.
import Control

/// What the node has told of its journal.
struct PastJobs: Equatable, Sendable {
  /// The newest first.
  private(set) var rows: [PastJob] = []
  /// Until then no answer is waited for.
  private var quietUntil: Microseconds = 0
  /// Whether the node has answered at all.
  private(set) var isKnown = false
  /// An answer came that was not full: there is nothing older.
  private(set) var isWhole = false

  static let page = 200
  /// The most that a screen keeps.
  static let most = 10_000

  mutating func take(_ new: [PastJob]) {
    isKnown = true
    if new.count < Self.page && new.last?.ended ?? 0 <= rows.last?.ended ?? .max { isWhole = true }
    let ids = Set(new.map(\.id))
    rows = (rows.filter { !ids.contains($0.id) } + new).enumerated().sorted {
      ($1.element.ended, $0.offset) < ($0.element.ended, $1.offset)
    }.prefix(Self.most).map(\.element)
  }

  /// What to ask the node now; nil if it was asked a moment ago, or there is nothing older.
  mutating func question(older: Bool, at now: Microseconds) -> PastQuery? {
    guard now >= quietUntil, !older || !isWhole else { return nil }
    quietUntil = now &+ (older ? 1_000_000 : 10_000_000)
    return PastQuery(before: older ? rows.last?.ended : nil, limit: Self.page)
  }

  /// Another node, or the same after a break: the next question is asked at once.
  mutating func renew() { quietUntil = 0 }
}
