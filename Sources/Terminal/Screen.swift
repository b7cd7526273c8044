// Screen.swift: what is sent to a screen besides its grid, and what it reports back.
// The screen itself is in CursesScreen.swift. Start at ScreenSignal.

package enum ScreenSignal: Hashable, Sendable {
  case bell
  /// The window's title; made displaySafe.
  case title(String)
  /// A message of the desktop, by OSC 9 and OSC 777; terminals that know neither pass them over.
  case notify(title: String, body: String)
  /// The clipboard, by OSC 52; cut at 74,994 bytes, the most that xterm takes.
  case copy(String)
  /// Whether the terminal reports clicks and the wheel.
  case mouse(Bool)
}

package enum ScreenRead: Equatable, Sendable {
  case inputs([Input])
  /// The terminal is gone; no more input will arrive.
  case hangup
}

package enum Presented: Equatable, Sendable {
  case shown
  /// The terminal has not accepted the last frame yet; present the newest one once it has.
  case stalled
  /// The terminal is gone.
  case hangup
}

extension ScreenSignal {
  /// The largest OSC 52 payload that xterm accepts.
  package static let copyLimit = 74_994

  private static func field(_ text: String, _ most: Int) -> String {
    String(displaySafe(text).replacing(";", with: ",").prefix(most))
  }

  var safe: ScreenSignal {
    switch self {
    case .bell, .mouse: self
    case .notify(let title, let body):
      // A semicolon ends a field.
      .notify(title: Self.field(title, 60), body: Self.field(body, 200))
    case .title(let text): .title(String(displaySafe(text).prefix(200)))
    case .copy(let text): .copy(clipboardSafe(text))
    }
  }
}

/// A clipboard keeps line breaks; every other control becomes its picture, so that pasting into a
/// shell is harmless.
package func clipboardSafe(_ text: String) -> String {
  let lines = displaySafeLines(text).joined(separator: "\n")
  if lines.utf8.count <= ScreenSignal.copyLimit { return lines }
  return String(decoding: lines.utf8.prefix(ScreenSignal.copyLimit), as: UTF8.self)
}
