// Key.swift: one key as a name that people write: `a`, `C-l`, `M-Enter`, `S-Tab`, `F9`, `PgUp`.
// The bytes that terminals send for keys are in KeyDecoder.swift. Start at Key.init(name:).

package struct Key: Hashable, Sendable {
  package enum Code: Hashable, Sendable {
    /// A printable scalar, with shift already applied.
    case character(Unicode.Scalar)
    case enter, escape, tab, backspace, delete, insert
    case up, down, left, right, home, end, pageUp, pageDown
    /// 1 to 24.
    case function(Int)
  }

  package struct Modifiers: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let shift = Modifiers(rawValue: 1)
    package static let meta = Modifiers(rawValue: 2)
    package static let control = Modifiers(rawValue: 4)
  }

  package let code: Code
  package let modifiers: Modifiers

  package init(_ code: Code, _ modifiers: Modifiers = []) {
    self.code = code
    self.modifiers = modifiers
  }

  package init(_ character: Unicode.Scalar) { self.init(.character(character)) }
}

private let namedCodes: [(name: String, code: Key.Code)] = [
  ("Enter", .enter), ("Esc", .escape), ("Tab", .tab), ("Backspace", .backspace), ("Delete", .delete),
  ("Insert", .insert), ("Up", .up), ("Down", .down), ("Left", .left), ("Right", .right), ("Home", .home),
  ("End", .end), ("PgUp", .pageUp), ("PgDn", .pageDown), ("Space", .character(" ")),
]

extension Key: CustomStringConvertible {
  package var description: String { name }

  package var name: String {
    var prefix = ""
    if modifiers.contains(.control) { prefix += "C-" }
    if modifiers.contains(.meta) { prefix += "M-" }
    if modifiers.contains(.shift) { prefix += "S-" }
    if let named = namedCodes.first(where: { $0.code == code }) { return prefix + named.name }
    switch code {
    case .character(let scalar): return prefix + String(scalar)
    case .function(let number): return prefix + "F\(number)"
    case .enter, .escape, .tab, .backspace, .delete, .insert, .up, .down, .left, .right, .home, .end, .pageUp,
      .pageDown:
      return prefix
    }
  }

  /// The key with this name; nil if there is none.
  package init?(name: String) {
    var rest = Substring(name)
    var modifiers: Modifiers = []
    while rest.utf8.count > 2 {
      if rest.hasPrefix("C-") {
        modifiers.formUnion(.control)
      } else if rest.hasPrefix("M-") {
        modifiers.formUnion(.meta)
      } else if rest.hasPrefix("S-") {
        modifiers.formUnion(.shift)
      } else {
        break
      }
      rest = rest.dropFirst(2)
    }
    if let named = namedCodes.first(where: { $0.name == rest }) {
      self.init(named.code, modifiers)
    } else if rest.hasPrefix("F"), let number = Int(rest.dropFirst()), (1...24).contains(number) {
      self.init(.function(number), modifiers)
    } else if rest.unicodeScalars.count == 1, let scalar = rest.unicodeScalars.first,
      case .glyph = DisplayForm(of: scalar)
    {
      self.init(.character(scalar), modifiers)
    } else {
      return nil
    }
  }
}

/// What a terminal sends.
package enum Input: Hashable, Sendable {
  case key(Key)
  /// Pasted text, never keys; cut at `KeyDecoder.pasteLimit` bytes.
  case paste(String)
  case mouse(Mouse)
}

package struct Mouse: Hashable, Sendable {
  package enum Event: Hashable, Sendable { case press, release, wheelUp, wheelDown }
  package let event: Event
  /// Counted from 0, 0 at the top left.
  package let x, y: Int

  package init(_ event: Event, x: Int, y: Int) {
    self.event = event
    self.x = x
    self.y = y
  }
}
