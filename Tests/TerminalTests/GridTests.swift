// GridTests.swift: what a grid keeps of what is put into it, and how it prints.
import Terminal
import Testing

@Suite struct GridTests {
  @Test func textIsCutAtTheEdgeAndAtItsLimit() {
    var grid = Grid(size: Size(8, 2))
    #expect(grid.put("abcdefghij", x: 5, y: 0, style: .plain) == 8)
    #expect(grid.put("abcdef", x: 0, y: 1, style: .plain, limit: 3) == 3)
    #expect(grid.text == "     abc\nabc\n")
    #expect(grid.put("x", x: 0, y: 9, style: .plain) == 0)
    #expect(grid.put("left", x: -2, y: 0, style: .plain) == 2)
    #expect(grid.rowText(0) == "ft   abc")
  }

  @Test func aWideGlyphIsWholeOrAbsent() {
    var grid = Grid(size: Size(5, 1))
    #expect(grid.put("漢字漢", x: 0, y: 0, style: .plain) == 4)
    #expect(grid.text == "漢字\n")
    grid.put("x", x: 1, y: 0, style: .plain)
    #expect(grid.text == " x字\n")
    grid.put("y", x: 2, y: 0, style: .plain)
    #expect(grid.text == " xy\n")
    grid.put("漢", x: 1, y: 0, style: .plain)
    #expect(grid.text == " 漢\n")
  }

  @Test func marksStandOnTheirCell() {
    var grid = Grid(size: Size(5, 1))
    grid.put("e\u{301}\u{302}\u{303}x", x: 0, y: 0, style: .plain)
    #expect(grid.text == "e\u{301}\u{302}x\n")
  }

  @Test func styledTextNamesEveryStyle() {
    var grid = Grid(size: Size(8, 1))
    grid.put("ho", x: 0, y: 0, style: Style(.palette(2), .bold))
    grid.put("t", x: 2, y: 0, style: Style(.rgb(1, 2, 3), on: .palette(4)))
    grid.cursor = Grid.Point(x: 3, y: 0)
    #expect(
      grid.styledText == """
        8x1 cursor 3,0
        |hot|
        styles
        |aabccccc|
        a color2 on default bold
        b #010203 on color4
        c default on default

        """)
  }

  @Test func asciiFoldsColumnForColumn() {
    var grid = Grid(size: Size(14, 1))
    grid.put("╭é漢✓…⣿█€›", x: 0, y: 0, style: .plain)
    let ascii = grid.degraded(to: Capabilities(colors: .mono, glyphs: .ascii))
    #expect(ascii.text == "+e? +~:#E>\n")
    #expect(ascii.text.utf8.allSatisfy { $0 < 0x7F })
  }

  @Test func aSelectionStaysVisibleWithoutColours() {
    var grid = Grid(size: Size(4, 1))
    grid.put("ab", x: 1, y: 0, style: Style(.palette(15), on: .palette(4)))
    let mono = grid.degraded(to: Capabilities(colors: .mono, glyphs: .unicode))
    #expect(mono[1, 0].style == Style(.terminal, .reverse))
    #expect(mono[0, 0].style == .plain)
  }

  @Test func ourOwnSignsAreOneColumnWideAtEveryLevel() {
    for level in GlyphLevel.allCases {
      let glyphs = Glyphs(level)
      let signs = [
        glyphs.horizontal, glyphs.vertical, glyphs.topLeft, glyphs.topRight, glyphs.bottomLeft,
        glyphs.bottomRight,
        glyphs.running, glyphs.queued, glyphs.held, glyphs.pending, glyphs.done, glyphs.failed,
        glyphs.stopped,
        glyphs.serving, glyphs.idle, glyphs.attention, glyphs.tag, glyphs.cursor, glyphs.ellipsis,
        glyphs.separator,
        glyphs.atMost, glyphs.degree, glyphs.arrow, glyphs.up, glyphs.down, glyphs.track, glyphs.full,
      ]
      for sign in signs {
        #expect(displayWidth(String(sign)) == 1)
        if level == .ascii { #expect(sign.isASCII, "\(sign)") }
      }
    }
  }
}
