// JSON5Tests.swift: JSON5 by its specification (json5.org), against Foundation's reader where both
// have an answer, and the places of values.

import Foundation
import JSON
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

  /// Pieces of JSON5 in a random order: where Foundation reads a text and finds finite numbers and no
  /// key twice, both read the same; nothing ends the program.
  @Test func `what is read is what Foundation reads`() throws {
    let pieces = [
      "{", "}", "[", "]", ",", ":", "a", "b1", "'", "\"", "1", "0", ".", "-", "+", "e", "0x", "F", "//", "\n",
      "/*", "*/", "null", "true", "\\", "\\x41", "\\u00e9", " ", "'c'", "12.5", "{a:1}", "[1,2]",
    ]
    var generator = SystemRandomNumberGenerator()
    let decoder = JSONDecoder()
    decoder.allowsJSON5 = true
    var both = 0
    for _ in 0..<20_000 {
      let text = (0..<Int.random(in: 1...8, using: &generator)).map { _ in
        pieces.randomElement(using: &generator) ?? ""
      }.joined()
      guard let value = try? JSON5(text).value else { continue }  // a refusal is an answer here
      // Foundation ends the program over `1e+`, and keeps the end of a line that goes on.
      guard !["e+", "e-", "\\\n"].contains(where: text.contains) else { continue }
      guard let theirs = try? decoder.decode(Plain.self, from: Data(text.utf8)) else { continue }
      both += 1
      #expect(theirs.value == plain(value), "\(text.debugDescription)")
    }
    #expect(both > 500)
  }

  /// A value with doubles alone and keys in order.
  private func plain(_ value: JSONValue) -> JSONValue {
    switch value {
    case .array(let elements): .array(elements.map(plain))
    case .object(let members):
      .object(members.map { ($0.key, plain($0.value)) }.sorted { $0.0 < $1.0 })
    default: value.number.map { .double($0) } ?? value
    }
  }

  private struct Plain: Decodable {
    let value: JSONValue

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if container.decodeNil() {
        value = .null
      } else if let flag = try? container.decode(Bool.self) {  // A failed guess at the type is no error.
        value = .bool(flag)
      } else if let number = try? container.decode(Double.self) {
        value = .double(number)
      } else if let text = try? container.decode(String.self) {
        value = .string(text)
      } else if let list = try? container.decode([Plain].self) {
        value = .array(list.map(\.value))
      } else {
        let members = try container.decode([String: Plain].self)
        value = .object(members.map { ($0.key, $0.value.value) }.sorted { $0.0 < $1.0 })
      }
    }
  }
}
