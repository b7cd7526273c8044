// SplitKeysTests.swift: keys that a slow line brings in pieces, down to what the dashboard does with them.
import Dashboard
import Terminal
import Testing

@Suite struct SplitKeysTests {
  /// What terminals send for the keys of the table that are longer than a byte.
  private static let sequences = [
    "\u{1B}OP", "\u{1B}[11~", "\u{1B}[[A", "\u{1B}[18~", "\u{1B}[19~", "\u{1B}[20~", "\u{1B}[A", "\u{1B}[B",
    "\u{1B}[C",
    "\u{1B}[D", "\u{1B}OA", "\u{1B}OB", "\u{1B}OC", "\u{1B}OD", "\u{1B}OF", "\u{1B}OH", "\u{1B}[H",
    "\u{1B}[F",
    "\u{1B}[1~", "\u{1B}[4~", "\u{1B}[5~", "\u{1B}[6~", "\u{1B}[Z", "\u{1B}OM", "\u{1B}OQ", "\u{1B}OR",
    "\u{1B}OS",
    "\u{1B}[1;5P", "\u{1B}[<0;5;3M", "\u{1B}[M !!", "\u{1B}[I", "\u{1B}[O", "\u{1B}[?1;2c",
    "\u{1B}]11;rgb:aa/DD/dd\u{07}",
    "\u{1B}[200~P D y q\r\u{1B}[201~", "漢",
  ]

  /// The dashboard after pieces of one sequence, each so many milliseconds after the one before.
  private func after(_ pieces: [ArraySlice<UInt8>], gap: Int64, _ start: Stage) -> Stage {
    var stage = start
    var decoder = KeyDecoder()
    func take(_ inputs: [Input]) { for input in inputs { stage.take(.input(input)) } }
    for (index, piece) in pieces.enumerated() {
      if index > 0 { stage.wait(milliseconds: gap) }
      take(decoder.expire(at: stage.moment.steady))
      take(decoder.feed(piece, at: stage.moment.steady))
    }
    stage.wait(milliseconds: 10_000)
    take(decoder.expire(at: stage.moment.steady))
    return stage
  }

  private func check(_ start: Stage, _ mode: String) {
    var escaped = start
    escaped.press("Esc")
    for text in Self.sequences {
      let bytes = Array(text.utf8)
      let whole = after([bytes[...]], gap: 0, start)
      for place in 1..<bytes.count {
        for gap in [Int64(0), 20, 60, 400, 1_200] {
          let found = after([bytes[..<place], bytes[place...]], gap: gap, start)
          #expect(
            found.sent == whole.sent || found.sent == start.sent || found.sent == escaped.sent,
            "\(mode): \(bytes) split at \(place), \(gap) ms sends \(found.sent.map(words))")
        }
      }
    }
  }

  @Test func inTheLists() { check(Stage(), "lists") }

  @Test func inADetail() {
    var stage = Stage()
    stage.press("Enter")
    check(stage, "detail")
  }

  @Test func inTheChat() {
    var stage = Stage()
    stage.press("i")
    stage.type("hello")
    check(stage, "chat")
  }

  @Test func inAQuestion() {
    var stage = Stage()
    stage.press("D")
    check(stage, "question")
  }

  @Test func inTheReasonOfARejection() {
    var stage = Stage()
    stage.press("2", "x")
    check(stage, "reason")
  }

  @Test func f1OnASlowLineIsHelpAndNeverAPause() {
    for gap in [Int64(40), 400] {
      let stage = after(["\u{1B}O".utf8, "P".utf8].map { Array($0)[...] }, gap: gap, Stage())
      #expect(stage.sent.isEmpty)
      #expect(stage.screen.text.contains("help"))
    }
  }

  @Test func aCharacterInPiecesIsTyped() {
    var stage = Stage()
    stage.press("i")
    stage = after(
      ["\u{E6}", "\u{BC}\u{A2}"].map { Array($0.unicodeScalars.map { UInt8($0.value) })[...] }, gap: 20, stage
    )
    #expect(stage.screen.text.contains("漢"))
  }
}
