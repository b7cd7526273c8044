// Probes.swift: what tests ask of a dashboard beside its screen. Start at Question.
import Control
import Terminal

@testable import Dashboard

/// What is asked of the operator at the moment.
enum Question: Equatable, Sendable {
  case none, confirm, reason, name
}

extension DashboardModel {
  var focusedPane: Pane { focus }

  var question: Question {
    switch mode {
    case .confirm: .confirm
    case .reason: .reason
    case .shutdownName: .name
    case .normal, .filter, .command, .palette, .shutdownHow, .chat, .token, .who: .none
    }
  }

  /// Whether the job is kept from its list by the filter.
  func hidesByFilter(_ id: String) -> Bool { lists[.jobs]?.order.contains(id) != true }

  /// Whether the cursor of the pane in focus stays with its row, because the operator has put it
  /// there.
  var isCursorPlaced: Bool { lists[focus]?.isTouched ?? false }

  /// The rows of a list that are on the screen, from top to bottom.
  func shownRows(_ pane: Pane) -> [String] {
    guard let list = lists[pane] else { return [] }
    return list.lines(height: listHeight(pane)).compactMap { if case .row(let id) = $0 { id } else { nil } }
  }

  /// All rows of a list, in its order.
  func rows(_ pane: Pane) -> [String] { lists[pane]?.order ?? [] }

  func firstLine(_ pane: Pane) -> Int { lists[pane]?.top ?? 0 }

  var tags: Set<String> { lists[focus]?.tags ?? [] }
}
