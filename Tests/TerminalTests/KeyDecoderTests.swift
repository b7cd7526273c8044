// KeyDecoderTests.swift: bytes that terminals send, and the keys they are.
import Terminal
import Testing

@Suite struct KeyDecoderTests {
  private func decode(_ text: String) -> [String] {
    var decoder = KeyDecoder()
    return (decoder.feed(text.utf8) + decoder.timeout()).map(name)
  }

  private func name(_ input: Input) -> String {
    switch input {
    case .key(let key): key.name
    case .paste(let text): "paste:" + text
    case .mouse(let mouse): "\(mouse.event) \(mouse.x),\(mouse.y)"
    }
  }

  @Test(arguments: [
    ("a", "a"), ("é", "é"), ("漢", "漢"), (" ", "Space"), ("\r", "Enter"), ("\n", "Enter"), ("\t", "Tab"),
    ("\u{7F}", "Backspace"), ("\u{08}", "Backspace"), ("\u{0C}", "C-l"), ("\u{03}", "C-c"), ("\u{1B}", "Esc"),
    ("\u{1B}x", "M-x"), ("\u{1B}\r", "M-Enter"), ("\u{1B}[A", "Up"), ("\u{1B}OA", "Up"),
    ("\u{1B}[1;5C", "C-Right"),
    ("\u{1B}[1;3D", "M-Left"), ("\u{1B}[Z", "S-Tab"), ("\u{1B}[H", "Home"), ("\u{1B}[1~", "Home"),
    ("\u{1B}[7~", "Home"),
    ("\u{1B}[F", "End"), ("\u{1B}[4~", "End"), ("\u{1B}[5~", "PgUp"), ("\u{1B}[6~", "PgDn"),
    ("\u{1B}[3~", "Delete"),
    ("\u{1B}[2~", "Insert"), ("\u{1B}OP", "F1"), ("\u{1B}[11~", "F1"), ("\u{1B}[[A", "F1"),
    ("\u{1B}[15~", "F5"),
    ("\u{1B}[18~", "F7"), ("\u{1B}[19~", "F8"), ("\u{1B}[20~", "F9"), ("\u{1B}[24~", "F12"),
    ("\u{1B}[1;2P", "S-F1"),
    ("\u{1B}OM", "Enter"), ("\u{1B}\u{1B}[A", "M-Up"),
  ]) func keysOfManyTerminals(bytes: String, expected: String) {
    #expect(decode(bytes) == [expected])
  }

  @Test(arguments: [
    "\u{1B}[99~", "\u{1B}[?1;2c", "\u{1B}[>41;388;0c", "\u{1B}[200;3;4;5x", "\u{1B}[I", "\u{1B}[O",
    "\u{1B}]10;rgb:a/b/c\u{07}",
    "\u{1B}]11;rgb:dd/dd/dd\u{1B}\\", "\u{1B}P>|term(1)\u{1B}\\", "\u{1B}[27;5;65~", "\u{1B}[97;5u",
    "\u{1B}[12;40R", "\u{1B}_abq\u{1B}\\",
    "\u{1B}[Mabc", "\u{1B}[<35;3;4M", "\u{1B}OZ",
  ]) func unknownSequencesAreSwallowedWhole(bytes: String) {
    #expect(decode(bytes + "j") == ["j"])
  }

  @Test func aLoneEscapeWaitsForItsRest() {
    var decoder = KeyDecoder()
    #expect(decoder.feed([0x1B]).isEmpty)
    #expect(decoder.isWaiting)
    #expect(decoder.feed("[A".utf8) == [.key(Key(.up))])
    #expect(!decoder.isWaiting)
    #expect(decoder.feed([0x1B]).isEmpty)
    #expect(decoder.timeout() == [.key(Key(.escape))])
    #expect(decoder.feed("\u{1B}[".utf8).isEmpty)
    #expect(decoder.timeout().isEmpty)
  }

  @Test func aPasteIsNeverKeys() {
    #expect(decode("\u{1B}[200~D\rA\u{1B}[A q\u{1B}[201~j") == ["paste:D\rA\u{1B}[A q", "j"])
  }

  @Test func anEndlessPasteIsCutAndItsEndIsFound() {
    var decoder = KeyDecoder()
    _ = decoder.feed("\u{1B}[200~".utf8)
    let chunk = [UInt8](repeating: 0x78, count: 100_000)
    for _ in 0..<30 { #expect(decoder.feed(chunk).isEmpty) }
    let inputs = decoder.feed("\u{1B}[201~q".utf8)
    #expect(inputs.count == 2)
    if case .paste(let text) = inputs.first { #expect(text.utf8.count == KeyDecoder.pasteLimit) }
    #expect(inputs.last == .key(Key("q")))
  }

  @Test func mouseReportsOfXterm() {
    #expect(
      decode("\u{1B}[<0;5;3M\u{1B}[<0;5;3m\u{1B}[<64;1;1M\u{1B}[<65;1;1M") == [
        "press 4,2", "release 4,2", "wheelUp 0,0", "wheelDown 0,0",
      ])
  }

  @Test func namesReadBack() {
    for name in ["a", "C-l", "M-Enter", "S-Tab", "F9", "PgUp", "Space", "-", "C--", "?", "]"] {
      #expect(Key(name: name)?.name == name)
    }
    for name in ["", "F0", "F99", "Nope", "ab", "\u{1B}"] { #expect(Key(name: name) == nil) }
  }

  @Test func randomBytesNeverTrapAndNeverLeaveAStringOpenForKeys() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var generator = Generator(seed: seed)
    for _ in 0..<(isHeavy ? 200_000 : 5_000) {
      var decoder = KeyDecoder()
      let bytes = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
        Bool.random(using: &generator)
          ? UInt8.random(in: 0...255, using: &generator)
          : [0x1B, 0x5B, 0x4F, 0x3B, 0x31, 0x7E, 0x5D, 0x07][Int.random(in: 0..<8, using: &generator)]
      }
      _ = decoder.feed(bytes)
      _ = decoder.timeout()
      _ = decoder.feed("\u{1B}[201~".utf8)
      let after = decoder.feed("j".utf8)
      if after != [.key(Key("j"))] { Issue.record("after \(bytes): \(after), seed \(seed)") }
    }
  }
}
