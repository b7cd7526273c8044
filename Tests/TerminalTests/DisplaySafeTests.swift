// DisplaySafeTests.swift: untrusted text: what is shown of it, and how wide.
import Dice
import Terminal
import TestSettings
import Testing

@Suite struct DisplaySafeTests {
  private func check(_ text: String, _ expected: String, width: Int) {
    #expect(displaySafe(text) == expected)
    #expect(displayWidth(text) == width, "\(text.debugDescription)")
    var grid = Grid(size: Size(60, 1))
    let end = grid.put(text, x: 0, y: 0, style: .plain)
    #expect(end == width, "put of \(text.debugDescription)")
  }

  @Test func controlsBecomePictures() {
    check("bad\u{1B}[2Jname", "bad␛[2Jname", width: 11)
    check("a\r\nb\tc\u{0}", "a␍␊b␉c␀", width: 7)
    check("\u{7F}\u{9B}31m", "␡\u{FFFD}31m", width: 5)
  }

  @Test func whatReordersIsReplacedAndWhatHidesVanishes() {
    check("a\u{202E}b\u{2069}", "a\u{FFFD}b\u{FFFD}", width: 4)
    check("pay\u{200B}pal\u{FEFF}\u{AD}", "paypal", width: 6)
  }

  @Test func emojiTakeTheWidthThatEveryTerminalGivesThem() {
    check("👩‍👩‍👧", "👩", width: 2)
    check("👍🏽", "👍", width: 2)
    check("❤️", "❤", width: 1)
    check("🇩🇪", "DE", width: 2)
    check("1\u{FE0F}\u{20E3}", "1", width: 1)
  }

  @Test func wideAndCombining() {
    check("漢字", "漢字", width: 4)
    check("한", "한", width: 2)
    check("\u{1112}\u{1161}\u{11AB}", "\u{1112}\u{1161}\u{11AB}", width: 2)
    check("e\u{301}\u{302}\u{303}", "e\u{301}\u{302}", width: 1)
    check("\u{301}x", "x", width: 1)
    check("\u{3000}x\u{A0}", "  x ", width: 4)
    check("क्\u{200D}ष", "क्ष", width: 2)
  }

  @Test func linesEndAtEveryKindOfNewline() {
    #expect(displaySafeLines("a\nb\r\nc\rd\u{2028}e") == ["a", "b", "c", "d", "e"])
    #expect(displaySafeLines("a\tb\n漢\tc") == ["a   b", "漢  c"])
    #expect(displaySafeLines("") == [""])
  }

  @Test func fittedNeverExceedsItsColumns() {
    #expect(fitted("aria-research", columns: 8) == "aria-re…")
    #expect(fitted("漢字漢字", columns: 5) == "漢字…")
    #expect(fitted("漢字漢字", columns: 4) == "漢…")
    #expect(fitted("abc", columns: 3) == "abc")
    #expect(fitted("abc", columns: 0) == "")
  }

  @Test func hostileTextIsSafeAndAsWideAsItSays() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<(isHeavy ? 1_000_000 : 20_000) {
      let text = hostileText(&generator)
      let safe = displaySafe(text)
      for scalar in safe.unicodeScalars {
        let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
        let isFormat = scalar.properties.generalCategory == .format
        if isControl || isFormat { Issue.record("U+\(String(scalar.value, radix: 16)) shown, seed \(seed)") }
      }
      if displayWidth(safe) != displayWidth(text) || displaySafe(safe) != safe {
        Issue.record("\(text.debugDescription) is not stable, seed \(seed)")
      }
      let columns = Int.random(in: 0...20, using: &generator)
      if displayWidth(fitted(text, columns: columns)) > columns {
        Issue.record("\(text.debugDescription) exceeds \(columns), seed \(seed)")
      }
    }
  }
}
