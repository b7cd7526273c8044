// HostileText.swift: text as nobody should show it, for tests that print their seed when they fail.
import Dice

/// Text as a hostile client would write it: controls, sequences, marks, bidirectional overrides, wide glyphs.
func hostileText(_ generator: inout SeededGenerator) -> String {
  let parts = [
    "\u{1B}[2J", "\u{1B}]0;owned\u{07}", "\u{1B}]52;c;cm0gLXJm\u{07}", "\u{1B}P$q\u{1B}\\", "\u{9B}31m",
    "\u{202E}", "\u{2066}",
    "\u{200B}", "\u{FEFF}", "e\u{301}\u{302}\u{303}\u{304}\u{305}", "漢字", "👩‍👩‍👧", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇩🇪", "👍🏽", "❤️", "\r\n",
    "\t",
    "\u{0}", "\u{7F}", "\u{85}", "\u{2028}", "مرحبا", "שלום", "한", "\u{1112}\u{1161}\u{11AB}", "\u{FFFE}",
    "\u{E000}", "\u{AD}",
    "क्‍ष", "\u{1F1E6}", "Ａ", "\u{3000}", "abc", " ", "\u{1B}[201~", "\u{1B}c", "\u{0E}", "\u{1B}(0",
  ]
  var text = ""
  for _ in 0..<Int.random(in: 0...8, using: &generator) {
    if Int.random(in: 0..<3, using: &generator) == 0 {
      let value = UInt32.random(in: 0...0x10FFFF, using: &generator)
      if let scalar = Unicode.Scalar(value) { text.unicodeScalars.append(scalar) }
    } else {
      text += parts[Int.random(in: 0..<parts.count, using: &generator)]
    }
  }
  return text
}
