// Action.swift: everything an operator can do, each with its name, its words and its keys.
// The palette, the key line, the keymap file and the manual are all made from this table. Start at Action.table.
import Terminal

public enum Pane: Int, CaseIterable, Hashable, Sendable {
  case jobs = 1, approvals, compute, throughput, receipts, earnings, chat, log

  public var title: String {
    switch self {
    case .jobs: "jobs"
    case .approvals: "approvals"
    case .compute: "compute"
    case .throughput: "throughput"
    case .receipts: "receipts"
    case .earnings: "earnings"
    case .chat: "chat"
    case .log: "log"
    }
  }
}

public enum Action: String, CaseIterable, Hashable, Sendable {
  case down, up, top, bottom
  case pageDown = "page-down"
  case pageUp = "page-up"
  case left, right
  case nextPane = "next-pane"
  case previousPane = "previous-pane"
  case jobs, approvals, compute, throughput, receipts, earnings, chat, log
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
  case rejectAll = "reject-all"
  case hold
  case pause
  case raise, lower
  case earlier, later
  case cancel, verify, reveal
  case follow, freeze
  case copy
  case copyRow = "copy-row"
  case talk
  case command, help
  case mouse, theme, repaint, leave
}

/// One row of the key table.
public struct ActionEntry: Sendable {
  public let action: Action
  /// Names of keys, the one that screens show first.
  public let keys: [String]
  /// What it does, in a few words.
  public let words: String
}

extension Action {
  /// In the order of the manual.
  public static let table: [ActionEntry] = [
    ActionEntry(action: .down, keys: ["j", "Down"], words: "move down"),
    ActionEntry(action: .up, keys: ["k", "Up"], words: "move up"),
    ActionEntry(action: .left, keys: ["Left"], words: "scroll left, previous page of a detail"),
    ActionEntry(action: .right, keys: ["Right"], words: "scroll right, next page of a detail"),
    ActionEntry(action: .top, keys: ["g", "Home"], words: "first row"),
    ActionEntry(action: .bottom, keys: ["G", "End"], words: "last row"),
    ActionEntry(action: .pageUp, keys: ["PgUp"], words: "page up"),
    ActionEntry(action: .pageDown, keys: ["PgDn"], words: "page down"),
    ActionEntry(action: .nextPane, keys: ["Tab"], words: "next pane"),
    ActionEntry(action: .previousPane, keys: ["S-Tab"], words: "previous pane"),
    ActionEntry(action: .jobs, keys: ["1"], words: "jobs; again: zoom"),
    ActionEntry(action: .approvals, keys: ["2"], words: "approvals; again: zoom"),
    ActionEntry(action: .compute, keys: ["3"], words: "compute; again: zoom"),
    ActionEntry(action: .throughput, keys: ["4"], words: "throughput; again: zoom"),
    ActionEntry(action: .receipts, keys: ["5"], words: "receipts; again: zoom"),
    ActionEntry(action: .earnings, keys: ["6"], words: "earnings; again: zoom"),
    ActionEntry(action: .chat, keys: ["7"], words: "chat: type at once"),
    ActionEntry(action: .log, keys: ["8"], words: "log; again: zoom"),
    ActionEntry(action: .zoom, keys: ["+"], words: "zoom the pane"),
    ActionEntry(action: .unzoom, keys: ["_"], words: "all panes again"),
    ActionEntry(action: .open, keys: ["Enter"], words: "detail of the row"),
    ActionEntry(action: .back, keys: ["Esc"], words: "back; never destructive"),
    ActionEntry(action: .filter, keys: ["/"], words: "filter live; ! first inverts"),
    ActionEntry(action: .nextMatch, keys: ["n"], words: "next match of the filter"),
    ActionEntry(action: .previousMatch, keys: ["N"], words: "previous match of the filter"),
    ActionEntry(action: .sortLeft, keys: ["<"], words: "sort by the column before"),
    ActionEntry(action: .sortRight, keys: [">"], words: "sort by the next column"),
    ActionEntry(action: .sortInvert, keys: ["I"], words: "invert the order"),
    ActionEntry(action: .tag, keys: ["Space"], words: "tag; acts then apply to the tagged"),
    ActionEntry(action: .untagAll, keys: ["U"], words: "untag all"),
    ActionEntry(action: .approve, keys: ["a"], words: "approve"),
    ActionEntry(action: .reject, keys: ["x"], words: "reject with a reason"),
    ActionEntry(action: .approveAll, keys: ["A"], words: "approve all that match the filter"),
    ActionEntry(action: .rejectAll, keys: ["X"], words: "reject all that match the filter"),
    ActionEntry(action: .hold, keys: ["p"], words: "hold or release"),
    ActionEntry(action: .pause, keys: ["P"], words: "pause or resume the node"),
    ActionEntry(action: .raise, keys: ["]", "F7"], words: "priority up"),
    ActionEntry(action: .lower, keys: ["[", "F8"], words: "priority down"),
    ActionEntry(action: .earlier, keys: ["K"], words: "earlier in the queue"),
    ActionEntry(action: .later, keys: ["J"], words: "later in the queue"),
    ActionEntry(action: .cancel, keys: ["D", "F9"], words: "cancel"),
    ActionEntry(action: .verify, keys: ["v"], words: "verify the receipt by re-execution"),
    ActionEntry(action: .reveal, keys: ["r"], words: "in a detail: show prompt and answer (logged)"),
    ActionEntry(action: .follow, keys: ["F"], words: "follow the selection"),
    ActionEntry(action: .freeze, keys: ["Z"], words: "freeze the view"),
    ActionEntry(action: .copy, keys: ["y"], words: "copy the id"),
    ActionEntry(action: .copyRow, keys: ["Y"], words: "copy the row or the answer"),
    ActionEntry(action: .talk, keys: ["i"], words: "chat: Enter sends, M-Enter newline, C-c stops"),
    ActionEntry(action: .command, keys: [":"], words: "command line"),
    ActionEntry(action: .help, keys: ["?", "F1"], words: "this help; type to search, Enter runs"),
    ActionEntry(action: .mouse, keys: ["M"], words: "mouse on or off"),
    ActionEntry(action: .theme, keys: ["T"], words: "next theme"),
    ActionEntry(action: .repaint, keys: ["C-l"], words: "repaint"),
    ActionEntry(action: .leave, keys: ["q"], words: "leave; the node serves on"),
  ]

  public var words: String { Action.table.first { $0.action == self }?.words ?? rawValue }

  /// Acts on jobs, receipts or the node: ignored for a moment after the row under the cursor changed.
  var isAct: Bool {
    switch self {
    case .approve, .reject, .approveAll, .rejectAll, .hold, .pause, .raise, .lower, .earlier, .later, .cancel,
      .verify, .tag, .reveal:
      true
    case .down, .up, .top, .bottom, .pageDown, .pageUp, .left, .right, .nextPane, .previousPane, .jobs,
      .approvals,
      .compute, .throughput, .receipts, .earnings, .chat, .log, .zoom, .unzoom, .open, .back, .filter,
      .nextMatch,
      .previousMatch, .sortLeft, .sortRight, .sortInvert, .untagAll, .follow, .freeze, .copy, .copyRow, .talk,
      .command, .help, .mouse, .theme, .repaint, .leave:
      false
    }
  }

  var pane: Pane? { Pane.allCases.first { $0.title == rawValue } }
}

/// Commands of the command line that are no actions: they take words.
public enum CommandName: String, CaseIterable, Hashable, Sendable {
  case drain, undrain, resume, shutdown, priority, sort, graphs, bell, pull
  case cancelPull = "cancel-pull"
  case saveScreen = "save-screen"
  case saveChat = "save-chat"
  case newChat = "new-chat"
  case system, temperature
  case maxTokens = "max-tokens"
  case stopChat = "stop-chat"
  case debug, quit

  public var usage: String {
    switch self {
    case .drain: "finish what runs, admit nothing"
    case .undrain: "admit again"
    case .resume: "go on after a pause"
    case .shutdown: "stop the node: asks how, and for its name"
    case .priority: "N: priority 0 to 9, or +N or -N, of the selected or tagged jobs"
    case .sort: "COLUMN: sort the list by it"
    case .graphs: "scroll or sweep"
    case .bell: "on or off: ring when an approval arrives"
    case .pull: "NAME: fetch a model and load it"
    case .cancelPull: "stop fetching"
    case .saveScreen: "[FILE]: write the screen as text"
    case .saveChat: "[FILE]: write the conversation as text"
    case .newChat: "forget the conversation"
    case .system: "TEXT: the chat's system prompt"
    case .temperature: "T: the chat's temperature, 0 is greedy"
    case .maxTokens: "N: the longest answer of the chat"
    case .stopChat: "stop the answer"
    case .debug: "show or hide the debug overlay"
    case .quit: "leave; the node serves on"
    }
  }
}
