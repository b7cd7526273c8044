// TemplateJSON.swift: JSON in and out of templates. The reader is strict (RFC 8259), keeps the order of keys, takes the
// last of a doubled key and is bounded in depth; the writer spells as Python's json.dumps does, for that is what the
// models were trained on.

import Foundation

/// Bytes that are no JSON text: what was found, and at which byte.
public struct JSONTextError: Error, Sendable, Equatable, CustomStringConvertible {
  public let byte: Int
  public let what: String
  public var description: String { "not JSON: \(what) at byte \(byte)" }
}

extension TemplateValue {
  /// Reads one JSON text, UTF-8, nested 128 levels at most.
  public init(json bytes: [UInt8]) throws(JSONTextError) {
    var reader = JSONTextReader(bytes: bytes)
    self = try reader.readAll()
  }
}

private struct JSONTextReader {
  let bytes: [UInt8]
  var at = 0
  static let deepest = 128

  init(bytes: [UInt8]) {
    self.bytes = bytes
  }

  private var byte: UInt8? { at < bytes.count ? bytes[at] : nil }

  private func failure(_ what: String) -> JSONTextError { JSONTextError(byte: at, what: what) }

  private func unexpected(wanted: String) -> JSONTextError {
    guard let byte else { return failure("the text ends, wanted \(wanted)") }
    let shown = byte > 0x20 && byte < 0x7F ? "'\(Unicode.Scalar(byte))'" : "byte \(byte)"
    return failure("found \(shown), wanted \(wanted)")
  }

  mutating func readAll() throws(JSONTextError) -> TemplateValue {
    let value = try read(depth: 0)
    skipSpace()
    guard at == bytes.count else { throw unexpected(wanted: "the end") }
    return value
  }

  private mutating func skipSpace() {
    while let byte, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { at += 1 }
  }

  private mutating func skip(_ wanted: UInt8) -> Bool {
    guard byte == wanted else { return false }
    at += 1
    return true
  }

  private mutating func read(depth: Int) throws(JSONTextError) -> TemplateValue {
    guard depth < Self.deepest else { throw failure("nested deeper than \(Self.deepest)") }
    skipSpace()
    switch byte {
    case UInt8(ascii: "{"): return try readObject(depth: depth)
    case UInt8(ascii: "["): return try readList(depth: depth)
    case UInt8(ascii: "\""): return .string(try readString())
    case UInt8(ascii: "t"): return try readWord("true", .bool(true))
    case UInt8(ascii: "f"): return try readWord("false", .bool(false))
    case UInt8(ascii: "n"): return try readWord("null", .none)
    case UInt8(ascii: "-"): return try readNumber()
    case let digit? where (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit): return try readNumber()
    default: throw unexpected(wanted: "a value")
    }
  }

  private mutating func readWord(_ word: StaticString, _ value: TemplateValue) throws(JSONTextError)
    -> TemplateValue
  {
    let length = word.utf8CodeUnitCount
    let matches = word.withUTF8Buffer {
      at + length <= bytes.count && bytes[at..<(at + length)].elementsEqual($0)
    }
    guard matches else { throw unexpected(wanted: "true, false or null") }
    at += length
    return value
  }

  private mutating func readList(depth: Int) throws(JSONTextError) -> TemplateValue {
    at += 1
    var items: [TemplateValue] = []
    skipSpace()
    if skip(UInt8(ascii: "]")) { return .list([]) }
    while true {
      items.append(try read(depth: depth + 1))
      skipSpace()
      if skip(UInt8(ascii: "]")) { return .list(items) }
      guard skip(UInt8(ascii: ",")) else { throw unexpected(wanted: "',' or ']'") }
    }
  }

  private mutating func readObject(depth: Int) throws(JSONTextError) -> TemplateValue {
    at += 1
    var members: [TemplateMember] = []
    var places: [String: Int] = [:]
    skipSpace()
    if skip(UInt8(ascii: "}")) { return .object([]) }
    while true {
      skipSpace()
      guard byte == UInt8(ascii: "\"") else { throw unexpected(wanted: "a key in quotes") }
      let name = try readString()
      skipSpace()
      guard skip(UInt8(ascii: ":")) else { throw unexpected(wanted: "':'") }
      let value = try read(depth: depth + 1)
      if let place = places[name] {
        members[place].value = value
      } else {
        places[name] = members.count
        members.append(TemplateMember(name, value))
      }
      skipSpace()
      if skip(UInt8(ascii: "}")) { return .object(members) }
      guard skip(UInt8(ascii: ",")) else { throw unexpected(wanted: "',' or '}'") }
    }
  }

  private mutating func readNumber() throws(JSONTextError) -> TemplateValue {
    let start = at
    func isDigit(_ byte: UInt8?) -> Bool { byte.map { $0 >= 0x30 && $0 <= 0x39 } ?? false }
    _ = skip(UInt8(ascii: "-"))
    guard isDigit(byte) else { throw unexpected(wanted: "a digit") }
    if !skip(UInt8(ascii: "0")) { while isDigit(byte) { at += 1 } }
    var isWhole = true
    if skip(UInt8(ascii: ".")) {
      isWhole = false
      guard isDigit(byte) else { throw unexpected(wanted: "a digit") }
      while isDigit(byte) { at += 1 }
    }
    if byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") {
      isWhole = false
      at += 1
      if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { at += 1 }
      guard isDigit(byte) else { throw unexpected(wanted: "a digit") }
      while isDigit(byte) { at += 1 }
    }
    let digits = String(decoding: bytes[start..<at], as: UTF8.self)
    if isWhole {
      if let value = Int(digits) { return .int(value) }
      let isNegative = digits.hasPrefix("-")
      guard let value = TemplateInteger(digits.utf8.dropFirst(isNegative ? 1 : 0), isNegative: isNegative)
      else {
        throw failure("a whole number of more than 4300 digits")
      }
      return .big(value)
    }
    guard let value = Double(digits), value.isFinite else { throw failure("a number that no double holds") }
    return .double(value)
  }

  private mutating func readString() throws(JSONTextError) -> String {
    at += 1
    var result: [UInt8] = []
    while let byte {
      switch byte {
      case UInt8(ascii: "\""):
        at += 1
        guard let text = String(validating: result, as: UTF8.self) else {
          throw failure("a string that is not UTF-8")
        }
        return text
      case 0..<0x20: throw failure("a control character in a string")
      case UInt8(ascii: "\\"):
        at += 1
        try readEscape(into: &result)
      default:
        result.append(byte)
        at += 1
      }
    }
    throw failure("a string is not closed")
  }

  private mutating func readEscape(into result: inout [UInt8]) throws(JSONTextError) {
    guard let byte else { throw failure("a string is not closed") }
    at += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(byte)
    case UInt8(ascii: "b"): result.append(0x08)
    case UInt8(ascii: "f"): result.append(0x0C)
    case UInt8(ascii: "n"): result.append(0x0A)
    case UInt8(ascii: "r"): result.append(0x0D)
    case UInt8(ascii: "t"): result.append(0x09)
    case UInt8(ascii: "u"):
      var value = UInt32(try readHex())
      if value >= 0xD800, value < 0xDC00, skip(UInt8(ascii: "\\")) {
        guard skip(UInt8(ascii: "u")) else { throw failure("half a surrogate pair") }
        let low = UInt32(try readHex())
        guard low >= 0xDC00, low < 0xE000 else { throw failure("half a surrogate pair") }
        value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(value) else { throw failure("half a surrogate pair") }
      result += UTF8.encode(scalar).map(Array.init) ?? []
    default: throw failure("an escape that JSON lacks")
    }
  }

  private mutating func readHex() throws(JSONTextError) -> UInt16 {
    var value: UInt16 = 0
    for _ in 0..<4 {
      guard let byte, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw unexpected(wanted: "four hexadecimal digits")
      }
      value = value << 4 | UInt16(digit)
      at += 1
    }
    return value
  }
}

// MARK: - Out

extension TemplateInterpreter {
  /// A value that a caller gave, for a template to read.
  func inner(of value: TemplateValue, isUsers: Bool) throws(TemplateError) -> Inner {
    switch value {
    case .none: return .none
    case .bool(let value): return .bool(value)
    case .int(let value): return .int(value)
    case .big(let value): return .big(value)
    case .double(let value): return .double(value)
    case .string(let text): return .text(isUsers ? TemplateText(user: text) : TemplateText(text))
    case .list(let values):
      return try deeper { () throws(TemplateError) in
        var items: [Inner] = []
        for value in values { items.append(try inner(of: value, isUsers: isUsers)) }
        return try makeList(items)
      }
    case .object(let members):
      return try deeper { () throws(TemplateError) in
        let dictionary = TemplateDictionary()
        for member in members {
          let key: Inner = .text(isUsers ? TemplateText(user: member.name) : TemplateText(member.name))
          try set(dictionary, key, try inner(of: member.value, isUsers: isUsers))
        }
        return .dictionary(dictionary)
      }
    }
  }

  /// `tojson(ensure_ascii, indent, separators, sort_keys)` as json.dumps spells it, with ensure_ascii off.
  func json(of value: Inner, _ arguments: TemplateArguments) throws(TemplateError) -> TemplateText {
    var style = JSONStyle()
    style.ensuresASCII = arguments.isTrue(0, "ensure_ascii")
    style.sortsKeys = arguments.isTrue(3, "sort_keys")
    switch arguments.value(1, "indent") {
    case nil, .some(.none): break
    case .text(let indent)?: style.indent = indent
    case let indent?:
      guard let width = wholeNumber(indent), width <= 64 else {
        throw failure("'tojson' wants an indent of at most 64, found \(indent.kind)")
      }
      style.indent = TemplateText(String(repeating: " ", count: max(width, 0)))
    }
    if style.indent != nil { style.itemSeparator = TemplateText(",") }
    if let separators = arguments.value(2, "separators"), !separators.isNone {
      let pair = try elements(of: separators, doing: "separate by")
      guard pair.count == 2, case .text(let item) = pair[0], case .text(let key) = pair[1] else {
        throw failure("'tojson' wants two separators that are texts")
      }
      style.itemSeparator = item
      style.keySeparator = key
    }
    var units: [UInt32] = []
    try write(value, style, level: 0, to: &units)
    return TemplateText(units: units)
  }

  private struct JSONStyle {
    var indent: TemplateText?
    var itemSeparator = TemplateText(", ")
    var keySeparator = TemplateText(": ")
    var ensuresASCII = false
    var sortsKeys = false
  }

  private func breakLine(_ style: JSONStyle, level: Int, to units: inout [UInt32]) throws(TemplateError) {
    guard let indent = style.indent else { return }
    try spend(indent.count * level + 1)
    units.append(0x0A)
    for _ in 0..<level { units += indent.units }
  }

  private func write(
    _ value: Inner, _ style: JSONStyle, level: Int, to units: inout [UInt32]
  ) throws(TemplateError) {
    try step()
    switch value {
    case .none: units += TemplateText("null").units
    case .bool(let value): units += TemplateText(value ? "true" : "false").units
    case .int, .big: units += try text(of: value).units
    case .double(let value): units += TemplateText(spelling(of: value)).units
    case .text(let text): try write(text, style, to: &units)
    case .list(let list) where list.kind == .list || list.isTuple:
      guard !list.items.isEmpty else {
        units += TemplateText("[]").units
        return
      }
      try writeNested("[", "]", list.items.count, style, level, &units) {
        (place, units) throws(TemplateError) in
        try write(list.items[place], style, level: level + 1, to: &units)
      }
    case .dictionary(let dictionary):
      guard dictionary.count > 0 else {
        units += TemplateText("{}").units
        return
      }
      let keys = try keyTexts(dictionary)
      let places =
        style.sortsKeys ? try places(of: dictionary.keys, descending: false) : Array(0..<dictionary.count)
      try writeNested("{", "}", dictionary.count, style, level, &units) {
        (place, units) throws(TemplateError) in
        try write(keys[places[place]], style, to: &units)
        units += style.keySeparator.units
        try write(dictionary.values[places[place]], style, level: level + 1, to: &units)
      }
    case .undefined(let name): throw failure("'\(name)' is undefined and has no JSON")
    default: throw failure("\(value.kind) has no JSON")
    }
  }

  private func keyTexts(_ dictionary: TemplateDictionary) throws(TemplateError) -> [TemplateText] {
    var texts: [TemplateText] = []
    for key in dictionary.keys {
      switch key {
      case .text(let text): texts.append(text)
      case .bool(let value): texts.append(TemplateText(value ? "true" : "false"))
      case .none: texts.append(TemplateText("null"))
      case .double(let value): texts.append(TemplateText(spelling(of: value)))
      case .int, .big: texts.append(try text(of: key))
      default: throw failure("\(key.kind) cannot be a key in JSON")
      }
    }
    return texts
  }

  private func writeNested(
    _ open: String, _ close: String, _ count: Int, _ style: JSONStyle, _ level: Int, _ units: inout [UInt32],
    _ item: (Int, inout [UInt32]) throws(TemplateError) -> Void
  ) throws(TemplateError) {
    try deeper { () throws(TemplateError) in
      units += TemplateText(open).units
      for place in 0..<count {
        if place > 0 { units += style.itemSeparator.units }
        try spend(4)
        try breakLine(style, level: level + 1, to: &units)
        try item(place, &units)
      }
      try breakLine(style, level: level, to: &units)
      units += TemplateText(close).units
    }
  }

  private func spelling(of value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
    return TemplateNumber.spelling(of: value)
  }

  private func write(_ text: TemplateText, _ style: JSONStyle, to units: inout [UInt32]) throws(TemplateError)
  {
    try spend(text.count + 2)
    units.append(0x22)
    for unit in text.units {
      let mark = unit & TemplateText.userMark
      let plain = unit & ~TemplateText.userMark
      switch plain {
      case 0x22, 0x5C: units += [0x5C | mark, unit]
      case 0x0A: units += [0x5C | mark, 0x6E | mark]
      case 0x0D: units += [0x5C | mark, 0x72 | mark]
      case 0x09: units += [0x5C | mark, 0x74 | mark]
      case 0x08: units += [0x5C | mark, 0x62 | mark]
      case 0x0C: units += [0x5C | mark, 0x66 | mark]
      case 0..<0x20: escape(UInt16(plain), mark, to: &units)
      case 0x7F... where style.ensuresASCII:
        guard let scalar = Unicode.Scalar(plain) else { continue }
        for half in UTF16.encode(scalar).map(Array.init) ?? [] { escape(half, mark, to: &units) }
      default: units.append(unit)
      }
    }
    units.append(0x22)
  }

  private func escape(_ half: UInt16, _ mark: UInt32, to units: inout [UInt32]) {
    let digits = String(half, radix: 16)
    let spelled = "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    units += spelled.unicodeScalars.map { $0.value | mark }
  }
}
