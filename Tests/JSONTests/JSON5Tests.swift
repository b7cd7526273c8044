// JSON5Tests.swift: JSON5 by its specification (json5.org), and the places of values.

import Dice
import JSON
import TestSettings
import Testing

@Suite struct JSON5Tests {
  @Test(
    arguments: [
      ("{}", [:]), ("[]", []), ("[1,]", [1]), ("{a: 1, 'b': 2, \"c\": 3,}", ["a": 1, "b": 2, "c": 3]),
      ("{$a_1: null, _: true, größe: false}", ["$a_1": nil, "_": true, "größe": false]),
      ("[+1, -2, .5, 5., -.5e1, 1e2, 0x1F, -0xa]", [1, -2, 0.5, 5.0, -5.0, 100.0, 31, -10]),
      ("[9223372036854775807, 18446744073709551615]", [9_223_372_036_854_775_807, .unsigned(.max)]),
      ("// first\n[/* a\n * b */ 1 // last\n]\n// end", [1]),
      ("'a\"b'", "a\"b"), ("\"it's\"", "it's"), ("'\\'\\\"\\\\\\/'", "'\"\\/"),
      ("'\\b\\f\\n\\r\\t\\v\\0\\q'", "\u{8}\u{C}\n\r\t\u{B}\0q"),
      ("'\\x41\\u00e9\\ud83d\\ude00'", "Aé😀"), ("'a\\\nb\\\r\nc\\\rd'", "abcd"),
      ("'a\u{2028}b'", "a\u{2028}b"), ("\u{FEFF}\u{A0}\u{B}1\u{2029}", 1), ("1\r\n// x\r", 1),
    ] as [(String, JSONValue)])
  func `JSON5 is read as its specification says`(text: String, value: JSONValue) throws {
    #expect(try JSON5(text).value == value)
  }

  @Test(arguments: [
    ("", 1, 1, "found the end of the file, wanted a value"),
    ("{a: 1\n b: 2}", 2, 2, "found 'b', wanted ',' or '}'"),
    ("{a 1}", 1, 4, "found '1', wanted ':' after the key"),
    ("[1 2]", 1, 4, "found '2', wanted ',' or ']'"), ("[,]", 1, 2, "found ',', wanted a value"),
    ("{,}", 1, 2, "found ',', wanted a key"), ("{} x", 1, 4, "found 'x', wanted the end of the file"),
    ("\n[tru]", 2, 2, "found 'tru', wanted a value"), ("010", 1, 1, "found '010', wanted a value"),
    ("[.]", 1, 2, "found '.', wanted a value"), ("+-1", 1, 1, "found '+', wanted a value"),
    ("0x", 1, 1, "found '0x', wanted a value"), ("0x+1", 1, 1, "found '0x', wanted a value"),
    ("1e+", 1, 1, "found '1e+', wanted a value"), ("1e", 1, 1, "found '1e', wanted a value"),
    ("1.2.3", 1, 1, "found '1.2.3', wanted a value"),
    ("Infinity", 1, 1, "found 'Infinity', wanted a value"), ("NaN", 1, 1, "found 'NaN', wanted a value"),
    ("1e999", 1, 1, "found '1e999', wanted a value"),
    ("{a: 1,\n  'a': 2}", 2, 3, "the key 'a' for the second time in this object"),
    ("[\n'a\n']", 2, 1, "the text that begins here does not end on its line"),
    ("/* a", 1, 1, "the comment that begins here does not end"),
    ("'\\ud83d'", 1, 2, "an escape of half a surrogate pair"),
    ("'\\xZ1'", 1, 2, "an escape with fewer than 2 hexadecimal digits"),
    ("'\\1'", 1, 2, "the escape '\\1', which JSON5 does not have"),
    ("'\\01'", 1, 2, "the escape '\\01', which JSON5 does not have"),
    (String(repeating: "[", count: 65), 1, 65, "more than 64 levels deep"),
  ])
  func `what is no JSON5 is refused with its place`(text: String, line: Int, column: Int, words: String) {
    #expect {
      try JSON5(text)
    } throws: {
      guard let error = $0 as? JSON5Error else { return false }
      return error.place == JSON5Error.Place(line: line, column: column) && error.words == words
    }
  }

  @Test func `every value has its place, and what is missing has its object's`() throws {
    let document = try JSON5("{\n  a: [1,\n {b: 2}],\n c: 3 }")
    #expect(document.place(of: ["a"]) == .init(line: 2, column: 3))
    #expect(document.place(of: ["a", "2", "b"]) == .init(line: 3, column: 3))
    #expect(document.place(of: ["a", "2", "x"]) == .init(line: 3, column: 2))
    #expect(document.place(of: ["c"]) == .init(line: 4, column: 2))
    #expect(document.place(of: ["x"]) == nil)
  }

  /// Pieces of JSON5 in a random order. Foundation's reader is no second opinion here: it ends the
  /// program over some of them.
  @Test func `what is read can be written as JSON and read again, and nothing ends the program`() throws {
    let pieces = [
      "{", "}", "[", "]", ",", ":", "a", "b1", "'", "\"", "1", "0", ".", "-", "+", "e", "0x", "F", "//", "\n",
      "/*", "*/", "null", "true", "\\", "\\x41", "\\u00e9", " ", "'c'", "12.5", "{a:1}", "[1,2]",
    ]
    var generator = SeededGenerator(seed: 7)
    var counts = [0, 0]
    for _ in 0..<(isHeavy ? 1_000_000 : 50_000) {
      let text = (0..<Int.random(in: 1...8, using: &generator)).map { _ in
        pieces[Int.random(in: 0..<pieces.count, using: &generator)]
      }.joined()
      do {
        let value = try JSON5(text).value
        counts[0] += 1
        #expect(try JSONText.parse(JSONWriter.bytes(value)) == value, "\(text.debugDescription)")
      } catch let error as JSON5Error {
        counts[1] += 1
        #expect(error.place.line > 0 && !error.words.isEmpty, "\(text.debugDescription)")
      }
    }
    #expect(counts[0] > 1_000 && counts[1] > 1_000)
  }
}
