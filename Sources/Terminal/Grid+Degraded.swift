// Grid+Degraded.swift: a grid as a less capable terminal can show it.
// Both back ends apply it to the grids they get. Start at degraded.

/// What a terminal can show.
package struct Capabilities: Hashable, Sendable {
  package var colors: ColorLevel
  package var glyphs: GlyphLevel

  package init(colors: ColorLevel, glyphs: GlyphLevel) {
    self.colors = colors
    self.glyphs = glyphs
  }
}

extension Grid {
  /// Colours mapped to the nearest there are; without colours, a separate background becomes
  /// reverse video, so that a selection stays visible. At the ASCII level every scalar beyond seven
  /// bits is folded, column for column.
  package func degraded(to capabilities: Capabilities) -> Grid {
    var limiter = ColorLimiter(capabilities.colors)
    return degraded(to: capabilities, limiter: &limiter)
  }

  package func degraded(to capabilities: Capabilities, limiter: inout ColorLimiter) -> Grid {
    if capabilities.colors == .truecolor && capabilities.glyphs != .ascii { return self }
    var result = self
    let base = self[0, 0].style.background
    let isMono = capabilities.colors == .mono
    let isEight = capabilities.colors == .eight
    let isASCII = capabilities.glyphs == .ascii
    result.mapCells { cell in
      var style = cell.style
      if isMono {
        if style.background != base && style.background != .terminal { style.attributes.formUnion(.reverse) }
      } else if isEight, case .palette(let index) = style.foreground.kind, (9..<16).contains(index) {
        // With eight colours, bold stands for the bright variants; bright black would be black on
        // black.
        style.attributes.formUnion(.bold)
      } else if isEight, style.foreground == .palette(8) {
        style.foreground = .terminal
        style.attributes.formUnion(.dim)
      }
      style.foreground = limiter.limit(style.foreground)
      style.background = limiter.limit(style.background)
      if !isMono && style.foreground == style.background && style.foreground != .terminal {
        style.foreground = .terminal
      }
      cell.style = style
      if isASCII {
        cell.firstMark = 0
        cell.secondMark = 0
        if cell.scalar == 0 {
          cell.scalar = 0x20
        } else if cell.scalar > 0x7E {
          cell.scalar = asciiFold(cell.scalar).value
        }
      }
    }
    return result
  }
}
