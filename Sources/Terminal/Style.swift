// Style.swift: what a cell looks like: two colours and a few attributes.
// Which colours a terminal has is in ColorSpace.swift, what they mean in Theme.swift. Start at
// Style.

/// A colour as a program requests it; four bytes.
///
/// The upper byte says which kind it is: the terminal's own default, an entry of its palette, or 24
/// bits RGB.
package struct Color: Hashable, Sendable {
  package let bits: UInt32

  private init(bits: UInt32) { self.bits = bits }

  /// The terminal's default foreground or background.
  package static let terminal = Color(bits: 0)

  /// - index: 0 to 15 the palette that the user's terminal defines, 16 to 255 xterm's cube and
  ///   greys.
  package static func palette(_ index: UInt8) -> Color { Color(bits: 1 << 24 | UInt32(index)) }

  package static func rgb(_ red: UInt8, _ green: UInt8, _ blue: UInt8) -> Color {
    Color(bits: 2 << 24 | UInt32(red) << 16 | UInt32(green) << 8 | UInt32(blue))
  }

  package enum Kind: Equatable, Sendable {
    case terminal
    case palette(UInt8)
    case rgb(red: UInt8, green: UInt8, blue: UInt8)
  }

  package var kind: Kind {
    switch bits >> 24 {
    case 1: .palette(UInt8(truncatingIfNeeded: bits))
    case 2:
      .rgb(
        red: UInt8(truncatingIfNeeded: bits >> 16), green: UInt8(truncatingIfNeeded: bits >> 8),
        blue: UInt8(truncatingIfNeeded: bits))
    default: .terminal
    }
  }
}

extension Color: CustomStringConvertible {
  /// `default`, `color4` or `#rrggbb`, as theme files write it.
  package var description: String {
    switch kind {
    case .terminal: "default"
    case .palette(let index): "color\(index)"
    case .rgb: "#" + hex(Int(bits & 0xff_ffff), digits: 6)
    }
  }
}

package func hex(_ value: Int, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}

package struct Attributes: OptionSet, Hashable, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  package static let bold = Attributes(rawValue: 1)
  package static let dim = Attributes(rawValue: 2)
  package static let italic = Attributes(rawValue: 4)
  package static let underline = Attributes(rawValue: 8)
  package static let reverse = Attributes(rawValue: 16)
}

package struct Style: Hashable, Sendable {
  package var foreground: Color
  package var background: Color
  package var attributes: Attributes

  package init(
    _ foreground: Color = .terminal, on background: Color = .terminal, _ attributes: Attributes = []
  ) {
    self.foreground = foreground
    self.background = background
    self.attributes = attributes
  }

  package static let plain = Style()

  package func with(_ more: Attributes) -> Style {
    Style(foreground, on: background, attributes.union(more))
  }

  package func on(_ background: Color) -> Style { Style(foreground, on: background, attributes) }
}

extension Style: CustomStringConvertible {
  /// For example `color2 on default bold`.
  package var description: String {
    var words = ["\(foreground) on \(background)"]
    for (flag, name) in [
      (Attributes.bold, "bold"), (.dim, "dim"), (.italic, "italic"), (.underline, "underline"),
      (.reverse, "reverse"),
    ] where attributes.contains(flag) {
      words.append(name)
    }
    return words.joined(separator: " ")
  }
}
