// Action.swift: everything an operator can do, each with its name, its words and its keys. The
// palette, the key line, the keymap file and the manual are all made from this table. The panes
// that keys go to are in Panes/. Start at Action.table.
import Terminal

package enum Action: String, CaseIterable, Hashable, Sendable {
  case down, up, top, bottom
  case pageDown = "page-down"
  case pageUp = "page-up"
  case halfDown = "half-down"
  case halfUp = "half-up"
  case left, right
  case nextPane = "next-pane"
  case previousPane = "previous-pane"
  case zoom
  case unzoom
  case open, back
  case filter
  case nextMatch = "next-match"
  case previousMatch = "previous-match"
  case sortLeft = "sort-left"
  case sortRight = "sort-right"
  case sortInvert = "sort-invert"
  case tag
  case untagAll = "untag-all"
  case approve, reject
  case approveAll = "approve-all"
  case approveClient = "approve-client"
  case rejectAll = "reject-all"
  case hold
  case pause
  case raise, lower
  case earlier, later
  case cancel, verify, reveal, undo
  case follow, freeze
  case hideEnded = "hide-ended"
  case clearEnded = "clear-ended"
  case copy
  case copyRow = "copy-row"
  case talk
  case command, help
  case mouse, theme, repaint, suspend, leave
}

/// What a key does.
package enum KeyTarget: Hashable, Sendable {
  case action(Action)
  case pane(Pane)

  /// The name in keymaps and on the command line.
  package var name: String {
    switch self {
    case .action(let action): action.rawValue
    case .pane(let pane): pane.name
    }
  }

  init?(name: String) {
    if let action = Action(rawValue: name) {
      self = .action(action)
    } else if let pane = Pane.all.first(where: { $0.name == name }) {
      self = .pane(pane)
    } else {
      return nil
    }
  }
}

/// One row of the key table.
package struct KeyEntry: Sendable {
  package let target: KeyTarget
  /// Names of keys, the one that screens show first.
  package let keys: [String]
  /// What it does, in a few words.
  package let words: String

  init(_ action: Action, _ keys: [String], _ words: String) {
    (self.target, self.keys, self.words) = (.action(action), keys, words)
  }

  /// The digit of the pane's number, 0 for the tenth; from the eleventh on a pane has no key unless
  /// the keymap gives it one.
  init(_ pane: Pane) {
    (target, keys, words) = (.pane(pane), pane.number <= 10 ? ["\(pane.number % 10)"] : [], pane.words)
  }
}

extension Action {
  /// In the order of the manual.
  package static let table = movesAndFocus + Pane.all.map { KeyEntry($0) } + others

  private static let movesAndFocus = [
    KeyEntry(.down, ["j", "Down"], "move down"),
    KeyEntry(.up, ["k", "Up"], "move up"),
    KeyEntry(.left, ["Left"], "scroll left, previous page of a detail"),
    KeyEntry(.right, ["Right"], "scroll right, next page of a detail"),
    KeyEntry(.top, ["g", "Home"], "first row"),
    KeyEntry(.bottom, ["G", "End"], "last row"),
    KeyEntry(.pageUp, ["PgUp"], "page up"),
    KeyEntry(.pageDown, ["PgDn"], "page down"),
    KeyEntry(.halfUp, ["C-u"], "half a page up"),
    KeyEntry(.halfDown, ["C-d"], "half a page down"),
    KeyEntry(.nextPane, ["Tab"], "next pane"),
    KeyEntry(.previousPane, ["S-Tab"], "previous pane"),
  ]

  private static let others = [
    KeyEntry(.zoom, ["+"], "zoom the pane"),
    KeyEntry(.unzoom, ["_"], "all panes again"),
    KeyEntry(.open, ["Enter"], "detail of the row"),
    KeyEntry(.back, ["Esc"], "back; never destructive"),
    KeyEntry(.filter, ["/"], "filter live; ! first inverts"),
    KeyEntry(.nextMatch, ["n"], "next match of the filter"),
    KeyEntry(.previousMatch, ["N"], "previous match of the filter"),
    KeyEntry(.sortLeft, ["<"], "sort by the column before"),
    KeyEntry(.sortRight, [">"], "sort by the next column"),
    KeyEntry(.sortInvert, ["I"], "invert the order"),
    KeyEntry(.tag, ["Space"], "tag; acts then apply to the tagged"),
    KeyEntry(.untagAll, ["U"], "untag all"),
    KeyEntry(.approve, ["a"], "approve"),
    KeyEntry(.reject, ["x"], "reject with a reason"),
    KeyEntry(.approveAll, ["A"], "approve all that match the filter"),
    KeyEntry(.approveClient, ["C"], "approve all of this client"),
    KeyEntry(.rejectAll, ["X"], "reject all that match the filter"),
    KeyEntry(.hold, ["p"], "hold or release"),
    KeyEntry(.pause, ["P"], "pause or resume the node"),
    KeyEntry(.raise, ["]", "F7"], "priority up"),
    KeyEntry(.lower, ["[", "F8"], "priority down"),
    KeyEntry(.earlier, ["K"], "earlier in the queue"),
    KeyEntry(.later, ["J"], "later in the queue"),
    KeyEntry(.cancel, ["D", "F9"], "cancel"),
    KeyEntry(.verify, ["v"], "verify the receipt by re-execution"),
    KeyEntry(.reveal, ["r"], "in a detail: show prompt and answer (logged)"),
    KeyEntry(.undo, ["u"], "undo the last act, where it can be"),
    KeyEntry(.follow, ["F"], "follow the selection"),
    KeyEntry(.freeze, ["Z"], "freeze the view"),
    KeyEntry(.hideEnded, ["e"], "hide or show what ended"),
    KeyEntry(.clearEnded, ["E"], "clear what ended; again: bring it back"),
    KeyEntry(.copy, ["y"], "copy the id"),
    KeyEntry(.copyRow, ["Y"], "copy the row or the answer"),
    KeyEntry(.talk, ["i"], "chat: Enter sends, M-Enter newline, C-c stops"),
    KeyEntry(.command, [":"], "command line"),
    KeyEntry(.help, ["?", "F1"], "this help; type to search, Enter runs"),
    KeyEntry(.mouse, ["M"], "mouse on or off"),
    KeyEntry(.theme, ["T"], "next theme"),
    KeyEntry(.repaint, ["C-l"], "repaint"),
    KeyEntry(.suspend, ["C-z"], "back to the shell; fg returns"),
    KeyEntry(.leave, ["q"], "leave; the node serves on"),
  ]

  /// Whether the action acts on jobs, receipts or the node. Such actions are ignored for a moment
  /// after the row under the cursor changed.
  var isAct: Bool {
    switch self {
    case .approve, .reject, .approveAll, .approveClient, .rejectAll, .hold, .pause, .raise, .lower, .earlier,
      .later, .cancel,
      .verify, .tag, .reveal:
      true
    case .down, .up, .top, .bottom, .pageDown, .pageUp, .halfDown, .halfUp, .left, .right, .nextPane,
      .previousPane, .zoom,
      .unzoom, .open, .back, .filter,
      .nextMatch,
      .previousMatch, .sortLeft, .sortRight, .sortInvert, .untagAll, .undo, .follow, .freeze, .hideEnded,
      .clearEnded, .copy, .copyRow,
      .talk,
      .command, .help, .mouse, .theme, .repaint, .suspend, .leave:
      false
    }
  }
}
