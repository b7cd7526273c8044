// JSONReader.swift: the single pass over a JSON text. Open containers are frames on an explicit
// stack, so hostile nesting costs a comparison and not the thread's stack.

struct JSONReader {
  private struct Frame {
    var isObject: Bool
    var elements: [JSONValue] = []
    var members: [JSONValue.Member] = []
    var key = ""
    /// Where this object's keys begin in `keys`.
    var firstKey: Int
  }

  private struct Key {
    var hash: Int
    var token: Token
  }

  /// A string in the text, without its quotation marks.
  private struct Token {
    var start: Int
    var end: Int
    var hasEscapes: Bool
  }

  private let bytes: [UInt8]
  private let limits: JSONText.Limits
  private let builds: Bool
  private var at = 0
  private var stack: [Frame] = []
  private var keys: [Key] = []
  private var valueCount = 0

  init(_ bytes: [UInt8], limits: JSONText.Limits, builds: Bool) {
    self.bytes = bytes
    self.limits = limits
    self.builds = builds
  }

  mutating func read() throws(JSONError) -> JSONValue {
    guard bytes.count <= limits.bytes else { throw error(.tooLong(limit: limits.bytes), limits.bytes) }
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { throw error(.byteOrderMark, 0) }
    skipSpace()
    while true {
      // A value begins here, or a container opens and its first value follows.
      guard var value = try begin() else { continue }
      // Add the value to the open container, which may then be complete itself.
      while true {
        guard let isObject = stack.last?.isObject else {
          skipSpace()
          guard at == bytes.count else { throw error(.trailingText, at) }
          return value
        }
        attach(value)
        skipSpace()
        let close = isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")
        let next = try peek()
        if next == UInt8(ascii: ",") {
          at += 1
          skipSpace()
          if isObject { try readKey() }
          break
        }
        guard next == close else {
          throw error(.unexpected(next, wanted: isObject ? "',' or '}'" : "',' or ']'"), at)
        }
        at += 1
        value = try pop()
      }
    }
  }

  private mutating func begin() throws(JSONError) -> JSONValue? {
    valueCount += 1
    guard valueCount <= limits.values else { throw error(.tooManyValues(limit: limits.values), at) }
    let first = try peek()
    switch first {
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      let isObject = first == UInt8(ascii: "{")
      guard stack.count < limits.depth else { throw error(.tooDeep(limit: limits.depth), at) }
      at += 1
      stack.append(Frame(isObject: isObject, firstKey: keys.count))
      skipSpace()
      if try peek() == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
        at += 1
        return try pop()
      }
      if isObject { try readKey() }
      return nil
    case UInt8(ascii: "\""):
      let token = try readString()
      return builds ? .string(text(token)) : .null
    case UInt8(ascii: "t"): return try literal("true", .bool(true))
    case UInt8(ascii: "f"): return try literal("false", .bool(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    case UInt8(ascii: "-"), 0x30...0x39: return try readNumber()
    default: throw error(.unexpected(first, wanted: "a value"), at)
    }
  }

  private mutating func attach(_ value: JSONValue) {
    guard builds, let top = stack.indices.last else { return }
    if stack[top].isObject {
      stack[top].members.append((key: stack[top].key, value: value))
    } else {
      stack[top].elements.append(value)
    }
  }

  private mutating func pop() throws(JSONError) -> JSONValue {
    guard let frame = stack.popLast() else { throw error(.trailingText, at) }
    if frame.isObject, limits.duplicateKeys == .refused { try checkKeys(from: frame.firstKey) }
    keys.removeSubrange(frame.firstKey...)
    return frame.isObject ? .object(frame.members) : .array(frame.elements)
  }

  // MARK: Keys

  private mutating func readKey() throws(JSONError) {
    let first = try peek()
    guard first == UInt8(ascii: "\"") else { throw error(.unexpected(first, wanted: "a key in quotes"), at) }
    let token = try readString()
    if limits.duplicateKeys == .refused {
      // The standard hasher is seeded for each process, so no outsider can provoke collisions.
      var hasher = Hasher()
      if token.hasEscapes {
        unescaped(token).withUnsafeBytes { hasher.combine(bytes: $0) }
      } else {
        bytes[token.start..<token.end].withUnsafeBytes { hasher.combine(bytes: $0) }
      }
      keys.append(Key(hash: hasher.finalize(), token: token))
    }
    if builds, let top = stack.indices.last { stack[top].key = text(token) }
    skipSpace()
    let colon = try peek()
    guard colon == UInt8(ascii: ":") else { throw error(.unexpected(colon, wanted: "':'"), at) }
    at += 1
    skipSpace()
  }

  private mutating func checkKeys(from first: Int) throws(JSONError) {
    guard keys.count - first > 1 else { return }
    keys[first...].sort { ($0.hash, $0.token.start) < ($1.hash, $1.token.start) }
    for index in (first + 1)..<keys.count where keys[index].hash == keys[index - 1].hash {
      let (one, other) = (keys[index - 1].token, keys[index].token)
      if unescaped(one) == unescaped(other) {
        throw error(.duplicateKey(text(other)), other.start - 1)
      }
    }
  }

  // MARK: Strings

  private mutating func readString() throws(JSONError) -> Token {
    at += 1
    let start = at
    var hasEscapes = false
    while true {
      // Nearly all bytes of nearly all texts are plain.
      var index = at
      while index < bytes.count, isPlain(bytes[index]) { index += 1 }
      at = index
      let byte = try peek()
      switch byte {
      case UInt8(ascii: "\""):
        at += 1
        return Token(start: start, end: at - 1, hasEscapes: hasEscapes)
      case UInt8(ascii: "\\"):
        hasEscapes = true
        try readEscape()
      case 0..<0x20: throw error(.controlInString(byte), at)
      case 0x20..<0x80: at += 1
      default: try readMultibyte(byte)
      }
    }
  }

  private func isPlain(_ byte: UInt8) -> Bool {
    byte >= 0x20 && byte < 0x80 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
  }

  /// Source: RFC 3629, 4: overlong forms, surrogates and values above U+10FFFF are refused.
  private mutating func readMultibyte(_ lead: UInt8) throws(JSONError) {
    let length: Int
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch lead {
    case 0xC2...0xDF: length = 2
    case 0xE0...0xEF:
      length = 3
      if lead == 0xE0 { second = 0xA0...0xBF }
      if lead == 0xED { second = 0x80...0x9F }
    case 0xF0...0xF4:
      length = 4
      if lead == 0xF0 { second = 0x90...0xBF }
      if lead == 0xF4 { second = 0x80...0x8F }
    default: throw error(.invalidUTF8, at)
    }
    guard bytes.count - at >= length, second.contains(bytes[at + 1]),
      bytes[(at + 2)..<(at + length)].allSatisfy({ (0x80...0xBF).contains($0) })
    else { throw error(.invalidUTF8, at) }
    at += length
  }

  private mutating func readEscape() throws(JSONError) {
    let start = at
    at += 1
    switch try peek() {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      at += 1
    case UInt8(ascii: "u"):
      guard let unit = codeUnit(at + 1) else { throw error(.invalidEscape, start) }
      at += 5
      if UTF16.isTrailSurrogate(unit) { throw error(.loneSurrogate, start) }
      if UTF16.isLeadSurrogate(unit) {
        guard bytes.count - at >= 6, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u"),
          let low = codeUnit(at + 2), UTF16.isTrailSurrogate(low)
        else { throw error(.loneSurrogate, start) }
        at += 6
      }
    default: throw error(.invalidEscape, start)
    }
  }

  private func codeUnit(_ start: Int) -> UInt16? {
    guard bytes.count - start >= 4 else { return nil }
    var unit: UInt16 = 0
    for byte in bytes[start..<(start + 4)] {
      guard let digit = hexValue(byte) else { return nil }
      unit = unit << 4 | UInt16(digit)
    }
    return unit
  }

  /// The bytes that a checked token stands for.
  private func unescaped(_ token: Token) -> [UInt8] {
    guard token.hasEscapes else { return Array(bytes[token.start..<token.end]) }
    var out: [UInt8] = []
    out.reserveCapacity(token.end - token.start)
    var index = token.start
    while index < token.end {
      let byte = bytes[index]
      guard byte == UInt8(ascii: "\\"), index + 1 < token.end else {
        out.append(byte)
        index += 1
        continue
      }
      index += 2
      switch bytes[index - 1] {
      case UInt8(ascii: "b"): out.append(0x08)
      case UInt8(ascii: "f"): out.append(0x0C)
      case UInt8(ascii: "n"): out.append(0x0A)
      case UInt8(ascii: "r"): out.append(0x0D)
      case UInt8(ascii: "t"): out.append(0x09)
      case UInt8(ascii: "u"):
        guard let unit = codeUnit(index) else { continue }
        index += 4
        var value = UInt32(unit)
        if UTF16.isLeadSurrogate(unit), let low = codeUnit(index + 2) {
          value = 0x10000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(low) & 0x3FF)
          index += 6
        }
        if let scalar = Unicode.Scalar(value) { out.append(contentsOf: UTF8.encode(scalar) ?? .init()) }
      case let plain: out.append(plain)
      }
    }
    return out
  }

  private func text(_ token: Token) -> String {
    token.hasEscapes
      ? String(decoding: unescaped(token), as: UTF8.self)
      : String(decoding: bytes[token.start..<token.end], as: UTF8.self)
  }

  // MARK: Numbers and literals

  private mutating func readNumber() throws(JSONError) -> JSONValue {
    let start = at
    var isWhole = true
    if bytes[at] == UInt8(ascii: "-") { at += 1 }
    let firstDigit = at
    try readDigits(start)
    if bytes[firstDigit] == UInt8(ascii: "0"), at - firstDigit > 1 { throw error(.invalidNumber, start) }
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      isWhole = false
      at += 1
      try readDigits(start)
    }
    if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
      isWhole = false
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
      try readDigits(start)
    }
    guard at - start <= limits.numberLength else {
      throw error(.numberTooLong(limit: limits.numberLength), start)
    }
    // Any 18 digits fit. "-0" has a sign that an integer can't keep.
    if isWhole, at - firstDigit <= 18 {
      let value = bytes[firstDigit..<at].reduce(Int64(0)) { $0 &* 10 &+ Int64($1 &- 0x30) }
      if value > 0 || firstDigit == start { return .int(firstDigit == start ? value : -value) }
    }
    let digits = String(decoding: bytes[start..<at], as: UTF8.self)
    if isWhole, digits != "-0" {
      if let value = Int64(digits) { return .int(value) }
      if let value = UInt64(digits) { return .unsigned(value) }
      if limits.integers == .exact { return .big(digits) }
    }
    guard let value = Double(digits), value.isFinite else { throw error(.numberOutOfRange, start) }
    return .double(value)
  }

  private mutating func readDigits(_ start: Int) throws(JSONError) {
    let first = at
    while at < bytes.count, (0x30...0x39).contains(bytes[at]) { at += 1 }
    guard at > first else { throw error(.invalidNumber, start) }
  }

  private mutating func literal(_ word: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
    guard bytes[at...].starts(with: word.utf8) else {
      throw error(.unexpected(bytes[at], wanted: "a value"), at)
    }
    at += word.utf8.count
    return value
  }

  // MARK: Positions

  private mutating func skipSpace() {
    while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x0A || bytes[at] == 0x0D || bytes[at] == 0x09 {
      at += 1
    }
  }

  private func peek() throws(JSONError) -> UInt8 {
    guard at < bytes.count else { throw error(.endOfText, at) }
    return bytes[at]
  }

  private func error(_ reason: JSONError.Reason, _ offset: Int) -> JSONError {
    let before = bytes.prefix(offset)
    let line = 1 + before.count { $0 == 0x0A }
    let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
    return JSONError(reason: reason, offset: offset, line: line, column: offset - lineStart + 1)
  }
}

private func hexValue(_ byte: UInt8) -> UInt8? {
  switch byte {
  case 0x30...0x39: byte - 0x30
  case 0x41...0x46: byte - 0x41 + 10
  case 0x61...0x66: byte - 0x61 + 10
  default: nil
  }
}
