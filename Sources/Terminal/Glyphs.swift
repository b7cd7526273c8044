// Glyphs.swift: what a terminal can draw, and our own signs in each of those alphabets.
// Text from elsewhere is folded by Grid.degraded. Start at GlyphLevel and its signs.
import Foundation

/// Which alphabet a terminal can draw, best first.
package enum GlyphLevel: String, CaseIterable, Sendable {
  /// UTF-8, with braille for graphs and rounded boxes.
  case unicode
  /// UTF-8, blocks of eighths for graphs, square boxes: for fonts without braille.
  case block
  /// UTF-8, only what the kernel's own font has (code page 437): shades for graphs.
  case console
  /// Seven bits.
  case ascii
}

/// Our own signs. Every one is a single column wide at every level.
package struct Glyphs: Sendable {
  package let level: GlyphLevel
  package let horizontal, vertical: Unicode.Scalar
  package let topLeft, topRight, bottomLeft, bottomRight: Unicode.Scalar
  /// States: each has a different shape, so that none depends on its colour.
  package let running, queued, held, pending, done, failed, stopped: Unicode.Scalar
  package let serving, idle, attention: Unicode.Scalar
  package let tag, cursor, ellipsis, separator, atMost, degree, arrow, up, down: Unicode.Scalar
  /// A bar is made of squares with gaps between them, so that rows of bars do not visually merge.
  package let track: Unicode.Scalar
  package let full: Unicode.Scalar

  package init(_ level: GlyphLevel) {
    self.level = level
    let isASCII = level == .ascii
    func pick(_ best: Unicode.Scalar, console: Unicode.Scalar, ascii: Unicode.Scalar) -> Unicode.Scalar {
      switch level {
      case .unicode, .block: best
      case .console: console
      case .ascii: ascii
      }
    }
    horizontal = isASCII ? "-" : "─"
    vertical = isASCII ? "|" : "│"
    let isRounded = level == .unicode
    topLeft = isASCII ? "+" : isRounded ? "╭" : "┌"
    topRight = isASCII ? "+" : isRounded ? "╮" : "┐"
    bottomLeft = isASCII ? "+" : isRounded ? "╰" : "└"
    bottomRight = isASCII ? "+" : isRounded ? "╯" : "┘"
    running = pick("▶", console: "►", ascii: ">")
    queued = pick("·", console: "·", ascii: ".")
    held = pick("‖", console: "║", ascii: "=")
    pending = "?"
    done = pick("✓", console: "√", ascii: "+")
    failed = pick("✗", console: "×", ascii: "x")
    stopped = pick("■", console: "■", ascii: "#")
    serving = pick("●", console: "●", ascii: "*")
    idle = pick("○", console: "○", ascii: "o")
    attention = pick("▲", console: "▲", ascii: "!")
    tag = pick("◆", console: "♦", ascii: "#")
    cursor = pick("▌", console: "▌", ascii: ">")
    ellipsis = pick("…", console: "~", ascii: "~")
    separator = isASCII ? "-" : "·"
    atMost = isASCII ? "<" : "≤"
    degree = isASCII ? "C" : "°"
    arrow = pick("→", console: "→", ascii: ">")
    up = pick("▴", console: "▲", ascii: "^")
    down = pick("▾", console: "▼", ascii: "v")
    track = isASCII ? "." : "·"
    full = isASCII ? "#" : "■"
  }
}

/// ASCII for one scalar of a text or a drawing; `?` if there is none.
package func asciiFold(_ value: UInt32) -> Unicode.Scalar {
  if let known = foldedSigns[value] { return known }
  if (0xC0...0x24F).contains(value) || (0x1E00...0x1EFF).contains(value), let scalar = Unicode.Scalar(value) {
    let decomposed = String(scalar).decomposedStringWithCanonicalMapping
    if let first = decomposed.unicodeScalars.first, first.isASCII { return first }
  }
  if (0x2580...0x259F).contains(value) { return "#" }
  if (0x2800...0x28FF).contains(value) { return value == 0x2800 ? " " : ":" }
  if (0x2400...0x2421).contains(value) { return "^" }
  return "?"
}

private let foldedSigns: [UInt32: Unicode.Scalar] = [
  0xA0: " ", 0xA9: "c", 0xAB: "<", 0xAD: "-", 0xAE: "r", 0xB0: "o", 0xB1: "+", 0xB5: "u", 0xB7: ".",
  0xBB: ">",
  0xC6: "A", 0xD0: "D", 0xD7: "x", 0xD8: "O", 0xDE: "T", 0xDF: "s", 0xE6: "a", 0xF0: "d", 0xF7: "/",
  0xF8: "o", 0xFE: "t", 0x110: "D", 0x111: "d", 0x131: "i", 0x141: "L", 0x142: "l", 0x152: "O", 0x153: "o",
  0x2010: "-", 0x2011: "-", 0x2012: "-", 0x2013: "-", 0x2014: "-", 0x2016: "=", 0x2018: "'", 0x2019: "'",
  0x201A: ",", 0x201C: "\"", 0x201D: "\"", 0x201E: "\"", 0x2020: "+", 0x2022: "*", 0x2026: "~", 0x2032: "'",
  0x2033: "\"", 0x2039: "<", 0x203A: ">", 0x20AC: "E", 0x2190: "<", 0x2191: "^", 0x2192: ">", 0x2193: "v",
  0x2212: "-", 0x2248: "~", 0x2260: "#", 0x2264: "<", 0x2265: ">", 0x2500: "-", 0x2502: "|", 0x250C: "+",
  0x2510: "+", 0x2514: "+", 0x2518: "+", 0x251C: "+", 0x2524: "+", 0x252C: "+", 0x2534: "+", 0x253C: "+",
  0x256D: "+", 0x256E: "+", 0x256F: "+", 0x2570: "+", 0x25A0: "#", 0x25B2: "^", 0x25B6: ">", 0x25BC: "v",
  0x25CB: "o", 0x25CF: "*", 0x2713: "+", 0x2717: "x",
]
