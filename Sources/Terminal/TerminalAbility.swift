// TerminalAbility.swift: whether a terminal interprets escape sequences at all. A terminal that
// doesn't gets only words. Judged by the environment and the terminfo database; the terminal is
// never queried. Start at refusal.
import CNCurses
import Glibc
import Synchronization

package enum TerminalAbility {
  /// Why no screen can be drawn on the terminal that TERM names; nil if one can.
  package static func refusal(_ environment: [String: String]) -> ScreenError? {
    let term = environment["TERM"] ?? ""
    if term.isEmpty || term == "dumb" { return .dumb(term) }
    switch TerminfoChoice(term: term, colors: Capabilities(environment: environment).colors) {
    case .embedded: return nil
    case .system(let name):
      switch entryMovesCursor(name) {
      case true?: return nil
      case false?: return .dumb(term)
      case nil: return isFamiliar(name) ? nil : .curses(term: term)
      }
    }
  }

  /// Whether TERM names a terminal that moves its cursor, and so interprets escape sequences.
  package static func movesCursor(_ environment: [String: String]) -> Bool { refusal(environment) == nil }

  /// What the system's entry says; nil if there is none, or only a generic one such as `unknown`.
  private static func entryMovesCursor(_ term: String) -> Bool? {
    guard term.utf8.count < 128, !term.utf8.contains(where: { $0 <= 0x20 || $0 == 0x2F }) else { return nil }
    return lock.withLock { _ in
      let before = set_curterm(nil)
      defer { set_curterm(before) }
      // 1 with an error: there is an entry, for a hardcopy terminal.
      var found: Int32 = 0
      guard setupterm(term, STDERR_FILENO, &found) == OK else { return found == 1 ? false : nil }
      defer { if let entry = set_curterm(nil) { del_curterm(entry) } }
      return cn_has_capability("cup") != 0
    }
  }

  /// Families that interpret the common sequences, even on a machine whose database lacks this
  /// terminal.
  private static func isFamiliar(_ term: String) -> Bool {
    [
      "tmux", "screen", "rxvt", "linux", "vt1", "vt2", "vt3", "vt4", "vt5", "ansi", "Eterm", "eterm", "st",
      "cygwin",
      "nsterm", "mlterm", "fbterm", "yaft", "hterm", "domterm", "kterm", "dvtm", "pcansi",
    ].contains { term.hasPrefix($0) }
  }

  /// curses keeps the current entry in a global.
  private static let lock = Mutex(())
}
