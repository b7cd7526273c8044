// ColorSpace.swift: which colours a terminal has, and the nearest of them to any other colour.
// Nearest means the smallest Euclidean distance in CIELAB (CIE 1976), which is close to perceived
// distance; in RGB a dark blue would map to black and a grey to a green. Start at
// Color.limited(to:).
import Foundation

package enum ColorLevel: String, CaseIterable, Comparable, Sendable {
  case mono, eight, sixteen, indexed, truecolor

  package static func < (left: ColorLevel, right: ColorLevel) -> Bool { left.rank < right.rank }

  private var rank: Int {
    switch self {
    case .mono: 0
    case .eight: 1
    case .sixteen: 2
    case .indexed: 3
    case .truecolor: 4
    }
  }
}

extension Color {
  /// The nearest colour of that level. Palette entries 0 to 15 are the user's own: an RGB colour is
  /// never mapped to them if the 256-colour cube is available.
  package func limited(to level: ColorLevel) -> Color {
    switch kind {
    case .terminal: return self
    case .palette(let index):
      switch level {
      case .truecolor, .indexed: return self
      case .sixteen: return index < 16 ? self : nearest(xtermColor(Int(index)), among: 0..<16)
      case .eight:
        return index < 8
          ? self : index < 16 ? .palette(index - 8) : nearest(xtermColor(Int(index)), among: 0..<8)
      case .mono: return .terminal
      }
    case .rgb(let red, let green, let blue):
      let triple = (red, green, blue)
      switch level {
      case .truecolor: return self
      case .indexed: return nearest(triple, among: 16..<256)
      case .sixteen: return nearest(triple, among: 0..<16)
      case .eight: return nearest(triple, among: 0..<8)
      case .mono: return .terminal
      }
    }
  }
}

package typealias RGB = (red: UInt8, green: UInt8, blue: UInt8)

/// CIELAB under D65, from sRGB. Source: IEC 61966-2-1 and CIE 15; checked against
/// ThemeTests.labOfKnownColours.
package func lab(_ color: RGB) -> (lightness: Double, a: Double, b: Double) {
  func linear(_ channel: UInt8) -> Double {
    let value = Double(channel) / 255
    return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
  }
  let (r, g, b) = (linear(color.red), linear(color.green), linear(color.blue))
  func f(_ t: Double) -> Double { t > 216.0 / 24389 ? cbrt(t) : (24389.0 / 27 * t + 16) / 116 }
  let x = f((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047)
  let y = f(0.2126729 * r + 0.7151522 * g + 0.0721750 * b)
  let z = f((0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883)
  return (116 * y - 16, 500 * (x - y), 200 * (y - z))
}

/// Entry of xterm's palette of 256 colours.
package func xtermColor(_ index: Int) -> RGB {
  switch index {
  case 0..<16:
    let entry = xtermBase[index]
    return (UInt8(entry >> 16 & 255), UInt8(entry >> 8 & 255), UInt8(entry & 255))
  case 16..<232:
    let cube = index - 16
    func step(_ n: Int) -> UInt8 { n == 0 ? 0 : UInt8(55 + 40 * n) }
    return (step(cube / 36), step(cube / 6 % 6), step(cube % 6))
  default:
    let grey = UInt8(clamping: 8 + 10 * (index - 232))
    return (grey, grey, grey)
  }
}

private let xtermBase: [Int] = [
  0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd, 0x00cdcd, 0xe5e5e5,
  0x7f7f7f, 0xff0000, 0x00ff00, 0xffff00, 0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff,
]

private let xtermLab = (0..<256).map { lab(xtermColor($0)) }

private func nearest(_ color: RGB, among candidates: Range<Int>) -> Color {
  let wanted = lab(color)
  var best = candidates.lowerBound
  var bestDistance = Double.infinity
  for index in candidates {
    let entry = xtermLab[index]
    let (dl, da, db) = (entry.lightness - wanted.lightness, entry.a - wanted.a, entry.b - wanted.b)
    let distance = dl * dl + da * da + db * db
    if distance < bestDistance {
      bestDistance = distance
      best = index
    }
  }
  return .palette(UInt8(best))
}

/// Caches the results of `limited`: a screen has thousands of cells and a few dozen colours.
package struct ColorLimiter {
  package let level: ColorLevel
  private var known: [Color: Color] = [:]
  private var last: (Color, Color) = (.terminal, .terminal)

  package init(_ level: ColorLevel) { self.level = level }

  package mutating func limit(_ color: Color) -> Color {
    if level == .truecolor || color == .terminal { return color }
    if color == last.0 { return last.1 }
    let result: Color
    if let found = known[color] {
      result = found
    } else {
      result = color.limited(to: level)
      known[color] = result
    }
    last = (color, result)
    return result
  }
}
