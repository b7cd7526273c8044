// KeyDecoderTests.swift: bytes that terminals send, and the keys they are.
import Dice
import Terminal
import TestSettings
import Testing

@Suite struct KeyDecoderTests {
  private func decode(_ text: String) -> [String] {
    inputs([(text.utf8.map { $0 }, 0)]).map(name)
  }

  /// What the pieces are to a program that waits as `due` says; each comes so many milliseconds after the one before.
  private func inputs(_ pieces: [([UInt8], gap: Int64)]) -> [Input] {
    var decoder = KeyDecoder()
    var time: Int64 = 7_000_000_000
    var result: [Input] = []
    for (bytes, gap) in pieces {
      time += gap * 1_000
      while let due = decoder.due, due < time { result += decoder.expire(at: due) }
      result += decoder.feed(bytes, at: time)
    }
    while let due = decoder.due { result += decoder.expire(at: due) }
    return result
  }

  private func name(_ input: Input) -> String {
    switch input {
    case .key(let key): key.name
    case .paste(let text): "paste:" + text
    case .mouse(let mouse): "\(mouse.event) \(mouse.x),\(mouse.y)"
    }
  }

  /// Bytes of keys, and their names.
  private static let keys: [(bytes: String, name: String)] = [
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
    ("\u{1B}[1;2P", "S-F1"), ("\u{1B}[1;9A", "M-Up"),
    ("\u{1B}OM", "Enter"), ("\u{1B}\u{1B}[A", "M-Up"),
  ]

  @Test(arguments: keys) func keysOfManyTerminals(bytes: String, expected: String) {
    #expect(decode(bytes) == [expected])
  }

  /// What terminals send that is no key: answers to questions, focus, mice, keys of other protocols.
  private static let others: [String] = [
    "\u{1B}[99~", "\u{1B}[?1;2c", "\u{1B}[>41;388;0c", "\u{1B}[200;3;4;5x", "\u{1B}[I", "\u{1B}[O",
    "\u{1B}]10;rgb:a/b/c\u{07}",
    "\u{1B}]11;rgb:dd/dd/dd\u{1B}\\", "\u{1B}P>|term(1)\u{1B}\\", "\u{1B}[27;5;65~", "\u{1B}[97;5u",
    "\u{1B}[12;40R", "\u{1B}_abq\u{1B}\\",
    "\u{1B}[Mabc", "\u{1B}[<35;3;4M", "\u{1B}OZ", "\u{1B}[1;40R",
    "\u{1B}P1$r0m\u{1B}\\", "\u{1B}[?62;22;52c", "\u{1B}[97;1:3u", "\u{1B}[1;1:3A", "\u{1B}_Gi=1;OK\u{1B}\\",
  ]

  @Test(arguments: others) func unknownSequencesAreSwallowedWhole(bytes: String) {
    #expect(decode(bytes + "j") == ["j"])
  }

  @Test func aLoneEscapeWaitsForItsRestAShortTime() {
    var decoder = KeyDecoder()
    #expect(decoder.feed([0x1B], at: 0).isEmpty)
    #expect(decoder.due == KeyDecoder.escapeTime)
    #expect(decoder.expire(at: KeyDecoder.escapeTime - 1).isEmpty)
    #expect(decoder.feed("[A".utf8, at: KeyDecoder.escapeTime - 1) == [.key(Key(.up))])
    #expect(decoder.due == nil)
    #expect(decoder.feed([0x1B], at: 1_000_000).isEmpty)
    #expect(decoder.expire(at: 1_100_000) == [.key(Key(.escape))])
    #expect(inputs([([0x1B, 0x1B], 0)]) == [.key(Key(.escape)), .key(Key(.escape))])
    #expect(inputs([([0x1B, 0x1B, 0x1B], 0)]) == Array(repeating: .key(Key(.escape)), count: 3))
  }

  /// Gaps of a slow line, in milliseconds.
  private static let gaps: [Int64] = [0, 20, 60, 400, 1_200]
  private let escape = Input.key(Key(.escape))

  /// The rows of both tables, and pastes.
  private static var sequences: [[UInt8]] {
    (keys.map(\.bytes) + others + ["\u{1B}[200~P\rq\u{1B}[201~", "\u{1B}[<0;5;3M", "é", "漢", "🙂"]).map {
      Array($0.utf8)
    }
  }

  /// In the order of their bytes, ESC and what may be pressed after it: two keys for all who see them apart.
  private func isTwoKeys(_ bytes: [UInt8], splitAt place: Int) -> Bool {
    bytes.first == 0x1B && place == 1 && bytes.count > 1
      && ![0x5B, 0x4F, 0x5D, 0x50, 0x5F].contains(bytes[1])
  }

  @Test func aSequenceInTwoPiecesDoesWhatTheWholeDoesOrNothing() {
    for bytes in Self.sequences where bytes.count > 1 {
      let whole = inputs([(bytes, 0)])
      for place in 1..<bytes.count {
        for gap in Self.gaps {
          let found = inputs([
            (Array(bytes[..<place]), 0), (Array(bytes[place...]), gap), (Array("j".utf8), 3_000),
          ])
          let isKnown: Bool
          if gap * 1_000 < KeyDecoder.escapeTime {
            isKnown = found == whole + [.key(Key("j"))]
          } else if isTwoKeys(bytes, splitAt: place) {
            isKnown = found == [escape] + inputs([(Array(bytes[1...]), 0), (Array("j".utf8), 3_000)])
          } else {
            // A lone ESC is Esc by then; a paste is one all the same.
            let late = bytes.starts(with: "\u{1B}[200~".utf8) ? whole : []
            let rest =
              place == 1 && bytes[0] == 0x1B
              ? [escape] + late : bytes.starts(with: [0x1B, 0x1B]) && place == 2 ? [escape, escape] : whole
            isKnown = found == rest + [.key(Key("j"))]
          }
          #expect(isKnown, "\(bytes) split at \(place), \(gap) ms: \(found.map(name))")
        }
      }
    }
  }

  @Test func aSequenceInThreePiecesDoesWhatTheWholeDoesOrNothing() {
    for bytes in Self.sequences where bytes.count > 2 {
      let whole = inputs([(bytes, 0)])
      for first in 1..<(bytes.count - 1) where !isTwoKeys(bytes, splitAt: first) {
        for second in (first + 1)..<bytes.count {
          for before in Self.gaps {
            for after in Self.gaps {
              // `]`, `P` and `_` alone, long after Esc and long before anything else, were pressed.
              if first == 1, second == 2, before > 100, after > 100, [0x5D, 0x50, 0x5F].contains(bytes[1]) {
                continue
              }
              let found = inputs([
                (Array(bytes[..<first]), 0), (Array(bytes[first..<second]), before),
                (Array(bytes[second...]), after),
              ])
              let keys = found.filter { $0 != escape }
              #expect(
                keys.isEmpty || keys == whole,
                "\(bytes) split at \(first), \(second), \(before) and \(after) ms: \(found.map(name))")
            }
          }
        }
      }
    }
  }

  @Test func aSequenceByteByByteOnTheSlowestLineIsNoOtherKey() {
    for bytes in Self.sequences where bytes.count > 1 && !isTwoKeys(bytes, splitAt: 1) {
      for gap in [Int64(0), 60, 400, 1_200, 1_900] {
        if gap > 100, [0x5D, 0x50, 0x5F].contains(bytes[1]) { continue }
        let found = inputs(bytes.map { ([$0], gap) }).filter { $0 != escape }
        #expect(found.isEmpty || found == inputs([(bytes, 0)]), "\(bytes), \(gap) ms: \(found.map(name))")
      }
    }
  }

  @Test func whatComesAfterALongPauseIsAKeyAgain() {
    for start in ["\u{1B}[", "\u{1B}[1;", "\u{1B}O", "\u{1B}]11;rgb", "\u{1B}P>", "\u{1B}[M", "\u{1B}[["] {
      #expect(inputs([(Array(start.utf8), 0), (Array("jk".utf8), 3_000)]).map(name) != ["j", "k"])
      #expect(inputs([(Array(start.utf8), 0), (Array("jk".utf8), 5_001)]).map(name) == ["j", "k"])
    }
    #expect(
      inputs([(Array("\u{1B}[200~lost".utf8), 0), (Array("j".utf8), 61_000)]).map(name) == [
        "paste:lost", "j",
      ])
  }

  @Test func keysAfterEscAct() {
    for key in ["j", "P", "D", "y", "\r", "X", "q"] {
      for gap in [Int64(150), 300, 2_500] {
        #expect(inputs([([0x1B], 0), (Array(key.utf8), gap)]).count == 2, "\(key), \(gap) ms")
      }
    }
    // Only the first one can be the rest of a sequence.
    #expect(
      inputs([([0x1B], 0), (Array("j".utf8), 300), (Array("[".utf8), 300)]).map(name) == ["Esc", "j", "["])
    #expect(inputs([([0x1B], 0), (Array("[".utf8), 2_100)]).map(name) == ["Esc", "["])
  }

  @Test func escLeavesASequenceThatWasBegunByMistake() {
    for start in [
      "\u{1B}[1;", "\u{1B}O", "\u{1B}]11;rgb", "\u{1B}P", "\u{1B}[[", "\u{1B}[M", "\u{1B}[Ma", "\u{E6}",
    ] {
      #expect(
        inputs([(Array((start + "\u{1B}[Aj").utf8), 0)]).map(name).suffix(2) == ["Up", "j"], "\(start)")
      #expect(inputs([(Array((start + "\u{1B}").utf8), 0), (Array("j".utf8), 500)]).map(name).last == "j")
    }
  }

  @Test func aPasteIsNeverKeys() {
    #expect(decode("\u{1B}[200~D\rA\u{1B}[A q\u{1B}[201~j") == ["paste:D\rA\u{1B}[A q", "j"])
  }

  @Test func anEndlessPasteIsCutAndItsEndIsFound() {
    var decoder = KeyDecoder()
    _ = decoder.feed("\u{1B}[200~".utf8, at: 0)
    let chunk = [UInt8](repeating: 0x78, count: 100_000)
    for _ in 0..<30 { #expect(decoder.feed(chunk, at: 0).isEmpty) }
    let inputs = decoder.feed("\u{1B}[201~q".utf8, at: 0)
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
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<(isHeavy ? 200_000 : 5_000) {
      var decoder = KeyDecoder()
      let bytes = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
        Bool.random(using: &generator)
          ? UInt8.random(in: 0...255, using: &generator)
          : [0x1B, 0x5B, 0x4F, 0x3B, 0x31, 0x7E, 0x5D, 0x07][Int.random(in: 0..<8, using: &generator)]
      }
      _ = decoder.feed(bytes, at: 0)
      _ = decoder.expire(at: KeyDecoder.escapeTime)
      // A paste is over at its mark; all else after a pause.
      _ = decoder.feed("\u{1B}[201~".utf8, at: KeyDecoder.escapeTime)
      let after = decoder.feed("j".utf8, at: KeyDecoder.escapeTime + KeyDecoder.lateness + 1)
      if after != [.key(Key("j"))] { Issue.record("after \(bytes): \(after), seed \(seed)") }
    }
  }
}
