// WrittenValues.swift: arguments that are written as Python's keyword arguments, or in Gemma's own
// notation. Both are read when they are whole. Recursion is bounded by Enclosed.maximumDepth, which
// counted their brackets before.

import JSON

/// Reads `(name=value, ...)` or `{name:value,...}`; nil if the text is something else.
struct WrittenValues {
  private let bytes: [UInt8]
  private let quoting: Quoting
  private var at = 0

  init(_ bytes: [UInt8], _ quoting: Quoting) {
    self.bytes = bytes
    self.quoting = quoting
  }

  /// Python's arguments of a call, with the parentheses.
  static func python(_ bytes: [UInt8]) -> [JSONValue.Member]? {
    var reader = WrittenValues(bytes, .python)
    return reader.members(open: UInt8(ascii: "("), between: UInt8(ascii: "="), close: UInt8(ascii: ")"))
  }

  /// Gemma's arguments, with the braces.
  static func gemma(_ bytes: [UInt8]) -> [JSONValue.Member]? {
    var reader = WrittenValues(bytes, .gemma)
    return reader.members(open: UInt8(ascii: "{"), between: UInt8(ascii: ":"), close: UInt8(ascii: "}"))
  }

  private mutating func members(open: UInt8, between: UInt8, close: UInt8) -> [JSONValue.Member]? {
    guard take(open) else { return nil }
    var members: [JSONValue.Member] = []
    if take(close) { return members }
    while true {
      guard let name = key(), take(between), let value = value() else { return nil }
      members.append((key: name, value: value))
      if take(close) { return uniqued(members) }
      guard take(UInt8(ascii: ",")) else { return nil }
      // A comma may stand before the closing bracket, as in Python.
      if quoting == .python, take(close) { return uniqued(members) }
    }
  }

  private mutating func key() -> String? {
    skipSpace()
    if let text = string() { return text }
    let start = at
    while at < bytes.count, isNameByte(bytes[at]), bytes[at] != UInt8(ascii: ":") { at += 1 }
    return at > start ? String(decoding: bytes[start..<at], as: UTF8.self) : nil
  }

  private mutating func value() -> JSONValue? {
    skipSpace()
    guard at < bytes.count else { return nil }
    if let text = string() { return .string(text) }
    switch bytes[at] {
    case UInt8(ascii: "["): return elements(UInt8(ascii: "["), UInt8(ascii: "]"))
    case UInt8(ascii: "(") where quoting == .python: return elements(UInt8(ascii: "("), UInt8(ascii: ")"))
    case UInt8(ascii: "{"):
      return members(open: UInt8(ascii: "{"), between: UInt8(ascii: ":"), close: UInt8(ascii: "}"))
        .map { .object($0) }
    default: return word()
    }
  }

  private mutating func elements(_ open: UInt8, _ close: UInt8) -> JSONValue? {
    guard take(open) else { return nil }
    var elements: [JSONValue] = []
    if take(close) { return .array(elements) }
    while true {
      guard let value = value() else { return nil }
      elements.append(value)
      if take(close) { return .array(elements) }
      guard take(UInt8(ascii: ",")) else { return nil }
      if quoting == .python, take(close) { return .array(elements) }
    }
  }

  private mutating func word() -> JSONValue? {
    let start = at
    while at < bytes.count, isNameByte(bytes[at]) { at += 1 }
    let word = Array(bytes[start..<at])
    if quoting == .python {
      switch String(decoding: word, as: UTF8.self) {
      case "True": return .bool(true)
      case "False": return .bool(false)
      case "None": return .null
      default: break
      }
    }
    return parseJSON(word)
  }

  /// A quoted string; nil, and nothing is read, if none begins here.
  private mutating func string() -> String? {
    guard at < bytes.count else { return nil }
    if quoting == .gemma {
      let quote = Quoting.gemmaQuote.bytes
      guard bytes[at...].starts(with: quote) else { return nil }
      let start = at + quote.count
      var end = start
      while end < bytes.count {
        if bytes[end] == quote[0], bytes[end...].starts(with: quote) {
          at = end + quote.count
          return String(decoding: bytes[start..<end], as: UTF8.self)
        }
        end += 1
      }
      return nil
    }
    let quote = bytes[at]
    guard quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else { return nil }
    var text: [UInt8] = []
    var place = at + 1
    while place < bytes.count {
      let byte = bytes[place]
      place += 1
      if byte == quote {
        at = place
        return String(decoding: text, as: UTF8.self)
      }
      guard byte == UInt8(ascii: "\\"), place < bytes.count else {
        text.append(byte)
        continue
      }
      let escape = bytes[place]
      place += 1
      switch escape {
      case UInt8(ascii: "n"): text.append(0x0A)
      case UInt8(ascii: "t"): text.append(0x09)
      case UInt8(ascii: "r"): text.append(0x0D)
      case UInt8(ascii: "b"): text.append(0x08)
      case UInt8(ascii: "f"): text.append(0x0C)
      case UInt8(ascii: "\n"): break
      case UInt8(ascii: "u"), UInt8(ascii: "U"), UInt8(ascii: "x"):
        let digits = escape == UInt8(ascii: "x") ? 2 : escape == UInt8(ascii: "u") ? 4 : 8
        guard var value = hex(place, digits) else { return nil }
        place += digits
        if UTF16.isLeadSurrogate(UInt16(truncatingIfNeeded: value)), value < 0x1_0000,
          place + 6 <= bytes.count,
          bytes[place] == UInt8(ascii: "\\"), bytes[place + 1] == UInt8(ascii: "u"),
          let low = hex(place + 2, 4), UTF16.isTrailSurrogate(UInt16(truncatingIfNeeded: low))
        {
          value = 0x1_0000 + (value - 0xD800) << 10 + (low & 0x3FF)
          place += 6
        }
        guard let scalar = Unicode.Scalar(value) else { return nil }
        text.append(contentsOf: String(Character(scalar)).utf8)
      case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "/"): text.append(escape)
      // As in Python, any other backslash is itself.
      default: text.append(contentsOf: [byte, escape])
      }
    }
    return nil
  }

  private func hex(_ start: Int, _ count: Int) -> UInt32? {
    guard start + count <= bytes.count else { return nil }
    let digits = bytes[start..<(start + count)]
    guard digits.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) else { return nil }
    return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    skipSpace()
    guard at < bytes.count, bytes[at] == byte else { return false }
    at += 1
    return true
  }

  private mutating func skipSpace() {
    while at < bytes.count, isSpace(bytes[at]) { at += 1 }
  }
}

/// The members with each key once: of a repeated one the last counts, at the place of the first.
func uniqued(_ members: [JSONValue.Member]) -> [JSONValue.Member] {
  var places: [String: Int] = [:]
  var unique: [JSONValue.Member] = []
  for member in members {
    if let place = places[member.key] {
      unique[place].value = member.value
    } else {
      places[member.key] = unique.count
      unique.append(member)
    }
  }
  return unique
}
