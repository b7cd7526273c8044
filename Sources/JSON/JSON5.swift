// JSON5.swift: parses JSON5 (json5.org) into a JSON document with the position of every value, for
// files that people write by hand: an error names the line to correct. Not supported: escapes in
// keys without quotes, and numbers that are not finite. Start at JSON5.init(_:).

import Foundation

/// Why a text is not JSON5, and where.
package struct JSON5Error: Error, Sendable, Equatable {
  /// The position in the text, both from 1. Columns count Unicode scalars.
  package struct Place: Sendable, Equatable {
    package var line: Int
    package var column: Int

    package init(line: Int, column: Int) {
      self.line = line
      self.column = column
    }
  }

  package let place: Place
  /// What was found and what was wanted, without the position.
  package let words: String
}

/// A JSON5 document: its value, and the positions of its values.
package struct JSON5: Sendable {
  package let value: JSONValue
  private let places: [[String]: JSON5Error.Place]

  /// Reads a whole text. An object with a repeated key is refused: only one of the two would count,
  /// and a reader could not tell which.
  package init(_ text: String) throws(JSON5Error) {
    var reader = JSON5Reader(text)
    value = try reader.read()
    places = reader.places
  }

  /// The position of the value at a path of keys and list indices (from 1). For a missing path, the
  /// position of the innermost object or list on the way to it; nil if that is the whole text.
  package func place(of path: [String]) -> JSON5Error.Place? {
    for length in stride(from: path.count, to: 0, by: -1) {
      if let place = places[Array(path.prefix(length))] { return place }
    }
    return nil
  }
}

private struct JSON5Reader {
  typealias Place = JSON5Error.Place

  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var here = Place(line: 1, column: 1)
  /// Keys, and list indices from 1, from the top to the value being read.
  private var path: [String] = []
  private(set) var places: [[String]: Place] = [:]
  /// Nesting of objects and lists; it bounds the recursion.
  private static let deepest = 64

  init(_ text: String) { scalars = Array(text.unicodeScalars) }

  mutating func read() throws(JSON5Error) -> JSONValue {
    let value = try value(depth: 0)
    try skipBlanks()
    if let stray = next { throw found(stray, wanted: "the end of the file") }
    return value
  }

  // MARK: Scalars

  private var next: Unicode.Scalar? { scalar(0) }

  private func scalar(_ ahead: Int) -> Unicode.Scalar? {
    position + ahead < scalars.count ? scalars[position + ahead] : nil
  }

  private mutating func advance(_ count: Int = 1) {
    for _ in 0..<count {
      guard let scalar = next else { return }
      here =
        scalar == "\n"
        ? Place(line: here.line + 1, column: 1) : Place(line: here.line, column: here.column + 1)
      position += 1
    }
  }

  private func found(_ scalar: Unicode.Scalar?, wanted: String) -> JSON5Error {
    JSON5Error(
      place: here, words: "found \(scalar.map { "'\($0)'" } ?? "the end of the file"), wanted \(wanted)")
  }

  /// White space, and comments of both kinds.
  private mutating func skipBlanks() throws(JSON5Error) {
    while let scalar = next {
      if scalar.properties.isWhitespace || scalar == "\u{FEFF}" {
        advance()
      } else if scalar == "/", self.scalar(1) == "/" {
        while let rest = next, !Self.endsLine(rest) { advance() }
      } else if scalar == "/", self.scalar(1) == "*" {
        let start = here
        advance(2)
        while !(next == "*" && self.scalar(1) == "/") {
          guard next != nil else {
            throw JSON5Error(place: start, words: "the comment that begins here does not end")
          }
          advance()
        }
        advance(2)
      } else {
        return
      }
    }
  }

  private static func endsLine(_ scalar: Unicode.Scalar) -> Bool {
    ["\n", "\r", "\u{2028}", "\u{2029}"].contains(scalar)
  }

  // MARK: Values

  private mutating func value(depth: Int) throws(JSON5Error) -> JSONValue {
    try skipBlanks()
    guard depth < Self.deepest else {
      throw JSON5Error(place: here, words: "more than \(Self.deepest) levels deep")
    }
    switch next {
    case "{": return .object(try object(depth))
    case "[": return .array(try list(depth))
    case "\"", "'": return .string(try string())
    case let scalar? where Self.isOfWord(scalar) || "+-.".unicodeScalars.contains(scalar): return try word()
    case let other: throw found(other, wanted: "a value")
    }
  }

  private mutating func object(_ depth: Int) throws(JSON5Error) -> [JSONValue.Member] {
    advance()
    var members: [JSONValue.Member] = []
    var keys: Set<String> = []
    while true {
      try skipBlanks()
      if next == "}" { break }
      let place = here
      let key = try key()
      guard keys.insert(key).inserted else {
        throw JSON5Error(
          place: place, words: "the key '\(shortened(key))' for the second time in this object")
      }
      try skipBlanks()
      guard next == ":" else { throw found(next, wanted: "':' after the key") }
      advance()
      members.append((key: key, value: try nested(key, place, depth)))
      guard try skipComma(before: "}") else { break }
    }
    advance()
    return members
  }

  private mutating func list(_ depth: Int) throws(JSON5Error) -> [JSONValue] {
    advance()
    var elements: [JSONValue] = []
    while true {
      try skipBlanks()
      if next == "]" { break }
      elements.append(try nested("\(elements.count + 1)", here, depth))
      guard try skipComma(before: "]") else { break }
    }
    advance()
    return elements
  }

  private mutating func nested(
    _ step: String, _ place: Place, _ depth: Int
  ) throws(JSON5Error) -> JSONValue {
    path.append(step)
    defer { path.removeLast() }
    places[path] = place
    return try value(depth: depth + 1)
  }

  /// Whether there was a comma here, so that more may follow.
  private mutating func skipComma(before close: Unicode.Scalar) throws(JSON5Error) -> Bool {
    try skipBlanks()
    if next == close { return false }
    guard next == "," else { throw found(next, wanted: "',' or '\(close)'") }
    advance()
    return true
  }

  // MARK: Words and numbers

  private static func isOfWord(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || scalar == "_" || scalar == "$"
  }

  private mutating func key() throws(JSON5Error) -> String {
    if next == "\"" || next == "'" { return try string() }
    let start = position
    while let scalar = next, Self.isOfWord(scalar) { advance() }
    guard position > start else { throw found(next, wanted: "a key") }
    return text(from: start)
  }

  private func text(from start: Int) -> String {
    String(String.UnicodeScalarView(scalars[start..<position]))
  }

  private mutating func word() throws(JSON5Error) -> JSONValue {
    let place = here
    let start = position
    while let scalar = next {
      // A sign within a number belongs to its exponent.
      let isSign = scalar == "+" || scalar == "-"
      let isAfterExponent = position > start && ["e", "E"].contains(scalars[position - 1])
      guard Self.isOfWord(scalar) || scalar == "." || isSign && (position == start || isAfterExponent) else {
        break
      }
      advance()
    }
    let word = text(from: start)
    switch word {
    case "null": return .null
    case "true": return .bool(true)
    case "false": return .bool(false)
    default:
      guard let number = Self.number(word) else {
        throw JSON5Error(place: place, words: "found '\(shortened(word))', wanted a value")
      }
      return number
    }
  }

  /// A number by JSON5's grammar: as in JSON, and also a `+` sign, a point at either end,
  /// hexadecimal integers.
  private static func number(_ word: String) -> JSONValue? {
    let isNegative = word.hasPrefix("-")
    let digits = word.drop { "+-".contains($0) }
    guard word.utf8.count - digits.utf8.count <= 1 else { return nil }
    if digits.hasPrefix("0x") || digits.hasPrefix("0X") {
      guard let magnitude = UInt64(digits.dropFirst(2), radix: 16), digits.utf8.dropFirst(2).first != 0x2B
      else { return nil }
      return isNegative ? Int64(exactly: magnitude).map { .int(-$0) } : JSONValue(magnitude)
    }
    let mantissa = digits.prefix { $0 != "e" && $0 != "E" }
    let parts = mantissa.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), parts.contains(where: { !$0.isEmpty }),
      parts.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
      !(parts[0].utf8.count > 1 && parts[0].hasPrefix("0"))
    else { return nil }
    if parts.count == 1, mantissa.endIndex == digits.endIndex {
      let whole = (isNegative ? "-" : "") + digits
      if let value = Int64(whole) { return .int(value) }
      if let value = UInt64(whole) { return .unsigned(value) }
    }
    // Double's own parser accepts the rest, except for a trailing point.
    var spelling = (parts[0].isEmpty ? "0" : parts[0]) + ""
    if parts.count == 2, !parts[1].isEmpty { spelling += "." + parts[1] }
    spelling += digits[mantissa.endIndex...]
    guard let value = Double((isNegative ? "-" : "") + spelling), value.isFinite else { return nil }
    return .double(value)
  }

  // MARK: Strings

  private mutating func string() throws(JSON5Error) -> String {
    let quote = next
    let start = here
    var text = String.UnicodeScalarView()
    advance()
    while let scalar = next, scalar != quote {
      // The separators U+2028 and U+2029 may occur in a string, other line ends may not.
      guard scalar != "\n", scalar != "\r" else { break }
      if scalar == "\\" {
        try escape(into: &text)
      } else {
        text.append(scalar)
        advance()
      }
    }
    guard next == quote else {
      throw JSON5Error(place: start, words: "the text that begins here does not end on its line")
    }
    advance()
    return String(text)
  }

  private mutating func escape(into text: inout String.UnicodeScalarView) throws(JSON5Error) {
    let place = here
    advance()
    guard let scalar = next else { return }
    switch scalar {
    case "x", "u":
      advance()
      let unit = try hexadecimal(scalar == "x" ? 2 : 4, place)
      if let plain = Unicode.Scalar(unit) {
        text.append(plain)
      } else if UTF16.isLeadSurrogate(UInt16(unit)), next == "\\", self.scalar(1) == "u" {
        advance(2)
        let low = try hexadecimal(4, place)
        guard UTF16.isTrailSurrogate(UInt16(low)),
          let whole = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
        else { throw JSON5Error(place: place, words: "an escape of half a surrogate pair") }
        text.append(whole)
      } else {
        throw JSON5Error(place: place, words: "an escape of half a surrogate pair")
      }
    case "\r":
      // The string continues on the next line.
      advance(self.scalar(1) == "\n" ? 2 : 1)
    case "\n", "\u{2028}", "\u{2029}": advance()
    case "1"..."9":
      throw JSON5Error(place: place, words: "the escape '\\\(scalar)', which JSON5 does not have")
    case "0":
      if let after = self.scalar(1), ("0"..."9").contains(after) {
        throw JSON5Error(place: place, words: "the escape '\\0\(after)', which JSON5 does not have")
      }
      text.append("\0")
      advance()
    default:
      let plain: [Unicode.Scalar: Unicode.Scalar] = [
        "b": "\u{8}", "f": "\u{C}", "n": "\n", "r": "\r", "t": "\t", "v": "\u{B}",
      ]
      text.append(plain[scalar] ?? scalar)
      advance()
    }
  }

  /// Exactly `count` hexadecimal digits, at most four.
  private mutating func hexadecimal(_ count: Int, _ place: Place) throws(JSON5Error) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard let scalar = next, scalar.isASCII, let digit = Character(scalar).hexDigitValue else {
        throw JSON5Error(place: place, words: "an escape with fewer than \(count) hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      advance()
    }
    return value
  }
}
