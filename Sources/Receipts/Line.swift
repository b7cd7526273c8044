// Line.swift: canonical JSON lines, written and scanned by one description of their fields.
// One object per line, keys in a fixed order, no white space, no floats, one spelling for each
// value: the bytes of a line can therefore be hashed and signed. Not here: which records exist
// (Record.swift), how a line is sealed (LineSeal.swift), base64 (Base64.swift). Start at LineCoder.
import CDigest
import Glibc

/// Why a line was refused: what was expected, and at which byte.
package struct LineError: Error, Hashable, Sendable, CustomStringConvertible {
  package let offset: Int
  package let wanted: String

  package init(offset: Int, wanted: String) {
    self.offset = offset
    self.wanted = wanted
  }

  package var description: String { "byte \(offset): wanted \(wanted)" }
}

/// The bytes that structure a line, outside its texts.
extension UInt8 {
  static var newline: UInt8 { 0x0A }
  static var space: UInt8 { 0x20 }
  static var quote: UInt8 { 0x22 }
  static var comma: UInt8 { 0x2C }
  static var minus: UInt8 { 0x2D }
  static var zero: UInt8 { 0x30 }
  static var nine: UInt8 { 0x39 }
  static var colon: UInt8 { 0x3A }
  static var backslash: UInt8 { 0x5C }
  static var openBrace: UInt8 { 0x7B }
  static var delete: UInt8 { 0x7F }
}

/// The longest line, newline included.
package let maximumLineBytes = 65_536

/// The largest integer that every JSON reader represents exactly.
let largestExactInteger: Int64 = 1 << 53 - 1

/// Visits the fields of a line in their order. Two conformers: `LineWriter` formats the values,
/// `LineScanner` parses them; as one description serves both, what is written is what is read.
///
/// Spelling: integers in decimal without leading zeros, within ±(2^53 - 1); text in UTF-8, with
/// `\"`, `\\` and, for U+0000 to U+001F and U+007F, `\u00xx` in lower case as the only escapes;
/// digests in lower-case hexadecimal.
protocol LineCoder {
  mutating func integer(_ key: StaticString, _ value: inout Int64, _ range: ClosedRange<Int64>)
    throws(LineError)
  mutating func text(_ key: StaticString, _ value: inout String, max: Int) throws(LineError)
  mutating func flag(_ key: StaticString, _ value: inout Bool) throws(LineError)
  /// 16 lower-case hexadecimal digits.
  mutating func id(_ key: StaticString, _ value: inout UInt64) throws(LineError)
  /// A decimal number as a string, for values that may exceed 2^53.
  mutating func big(_ key: StaticString, _ value: inout UInt64) throws(LineError)
  /// The bits of an IEEE binary32 as 8 lower-case hexadecimal digits: exact, and finite.
  mutating func bits(_ key: StaticString, _ value: inout Float) throws(LineError)
  mutating func digest(_ key: StaticString, _ value: inout SHA256Digest) throws(LineError)
  /// The concatenated digests, in base64 (RFC 4648, 4).
  mutating func digests(_ key: StaticString, _ value: inout [SHA256Digest], max: Int) throws(LineError)
  mutating func choice<T: LineChoice>(_ key: StaticString, _ value: inout T) throws(LineError)
  /// The version, for records that began without one: the absence of the key means 1.
  mutating func version(_ value: inout Int, upTo newest: Int) throws(LineError)
  /// An error that says what was expected here.
  func refusal(_ wanted: String) -> LineError
}

/// An enumeration that a line spells as its raw value: lower-case letters, digits and `_` only.
protocol LineChoice: RawRepresentable, CaseIterable, Sendable where RawValue == String {}

extension LineCoder {
  @inline(__always)
  mutating func count(_ key: StaticString, _ value: inout Int, max: Int = Int(largestExactInteger))
    throws(LineError)
  {
    var wide = Int64(value)
    try integer(key, &wide, 0...Int64(max))
    value = Int(wide)
  }

  @inline(__always)
  mutating func time(_ key: StaticString, _ value: inout Int64) throws(LineError) {
    try integer(key, &value, 0...largestExactInteger)
  }

  @inline(__always)
  mutating func amount(_ key: StaticString, _ value: inout Int64) throws(LineError) {
    try integer(key, &value, -largestExactInteger...largestExactInteger)
  }
}

/// A payload: its fields, in order.
protocol LineFields {
  init()
  mutating func visit(_ line: inout some LineCoder) throws(LineError)
}

// MARK: - Writing

struct LineWriter: LineCoder {
  private(set) var bytes: [UInt8] = []

  init(capacity: Int = 1024) { bytes.reserveCapacity(capacity) }

  mutating func raw(_ text: StaticString) {
    bytes.append(contentsOf: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  private mutating func key(_ key: StaticString) {
    bytes.append(bytes.isEmpty ? .openBrace : .comma)
    bytes.append(.quote)
    raw(key)
    raw("\":")
  }

  private func refusal(_ key: StaticString, _ wanted: String) -> LineError {
    LineError(offset: bytes.count, wanted: "\(wanted) for '\(key)'")
  }

  func refusal(_ wanted: String) -> LineError { LineError(offset: bytes.count, wanted: wanted) }

  mutating func version(_ value: inout Int, upTo newest: Int) throws(LineError) {
    guard (1...newest).contains(value) else { throw refusal("v", "1 to \(newest), not \(value),") }
    if value > 1 { try count("v", &value) }
  }

  mutating func integer(_ key: StaticString, _ value: inout Int64, _ range: ClosedRange<Int64>)
    throws(LineError)
  {
    guard range.contains(value) else {
      throw refusal(key, "\(range.lowerBound) to \(range.upperBound), not \(value),")
    }
    self.key(key)
    decimal(value.magnitude, isNegative: value < 0)
  }

  private mutating func decimal(_ magnitude: UInt64, isNegative: Bool) {
    if isNegative { bytes.append(.minus) }
    var rest = magnitude
    let start = bytes.count
    repeat {
      bytes.append(.zero + UInt8(truncatingIfNeeded: rest % 10))
      rest /= 10
    } while rest > 0
    bytes[start...].reverse()
  }

  mutating func text(_ key: StaticString, _ value: inout String, max: Int) throws(LineError) {
    guard value.utf8.count <= max else {
      throw refusal(key, "at most \(max) bytes, not \(value.utf8.count),")
    }
    self.key(key)
    string(value)
  }

  /// A text between quotation marks.
  mutating func string(_ value: String) {
    bytes.append(.quote)
    for byte in value.utf8 {
      switch byte {
      case .quote, .backslash:
        bytes.append(.backslash)
        bytes.append(byte)
      case 0x00...0x1F, .delete:
        raw("\\u00")
        bytes.append(Hex.digits[Int(byte >> 4)])
        bytes.append(Hex.digits[Int(byte & 15)])
      default: bytes.append(byte)
      }
    }
    bytes.append(.quote)
  }

  mutating func flag(_ key: StaticString, _ value: inout Bool) throws(LineError) {
    self.key(key)
    raw(value ? "true" : "false")
  }

  mutating func id(_ key: StaticString, _ value: inout UInt64) throws(LineError) {
    self.key(key)
    hexadecimal(value, digits: 16)
  }

  mutating func big(_ key: StaticString, _ value: inout UInt64) throws(LineError) {
    self.key(key)
    bytes.append(.quote)
    decimal(value, isNegative: false)
    bytes.append(.quote)
  }

  mutating func bits(_ key: StaticString, _ value: inout Float) throws(LineError) {
    guard value.isFinite else { throw refusal(key, "a finite number") }
    self.key(key)
    hexadecimal(UInt64(value.bitPattern), digits: 8)
  }

  private mutating func hexadecimal(_ value: UInt64, digits: Int) {
    bytes.append(.quote)
    for i in stride(from: digits - 1, through: 0, by: -1) {
      bytes.append(Hex.digits[Int(truncatingIfNeeded: value >> UInt64(4 * i)) & 15])
    }
    bytes.append(.quote)
  }

  mutating func digest(_ key: StaticString, _ value: inout SHA256Digest) throws(LineError) {
    self.key(key)
    bytes.append(.quote)
    value.withBytes { raw in
      for byte in raw {
        bytes.append(Hex.digits[Int(byte >> 4)])
        bytes.append(Hex.digits[Int(byte & 15)])
      }
    }
    bytes.append(.quote)
  }

  mutating func digests(_ key: StaticString, _ value: inout [SHA256Digest], max: Int) throws(LineError) {
    guard value.count <= max else { throw refusal(key, "at most \(max) digests, not \(value.count),") }
    self.key(key)
    bytes.append(.quote)
    var all: [UInt8] = []
    all.reserveCapacity(32 * value.count)
    for digest in value { digest.withBytes { all.append(contentsOf: $0) } }
    Base64.append(all, to: &bytes)
    bytes.append(.quote)
  }

  mutating func choice<T: LineChoice>(_ key: StaticString, _ value: inout T) throws(LineError) {
    self.key(key)
    bytes.append(.quote)
    bytes.append(contentsOf: value.rawValue.utf8)
    bytes.append(.quote)
  }

  /// Ends the object without a seal (transcripts, rollups).
  mutating func close() {
    if bytes.isEmpty { bytes.append(.openBrace) }
    raw("}\n")
  }

  /// Ends a journal line: `,"h":"` and the first 16 hexadecimal digits of the SHA-256 of all bytes
  /// before it.
  /// - Returns: the SHA-256 of the whole line, newline included.
  @discardableResult
  mutating func seal() -> SHA256Digest {
    var hash = SHA256()
    hash.update(bytes)
    let end = bytes.count
    raw(",\"h\":")
    hexadecimal(hash.finish().w0, digits: 16)
    raw("}\n")
    hash.update(bytes[end...])
    return hash.finish()
  }
}

// MARK: - Scanning

/// Reads the fields of one line in order and refuses every non-canonical spelling. Every access is
/// checked.
struct LineScanner: LineCoder {
  let bytes: UnsafeRawBufferPointer
  private(set) var at = 0
  private var isFirst = true

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  func refusal(_ wanted: String) -> LineError { LineError(offset: at, wanted: wanted) }

  mutating func version(_ value: inout Int, upTo newest: Int) throws(LineError) {
    guard starts(with: ",\"v\":") else {
      value = 1
      return
    }
    try count("v", &value)
    guard (2...newest).contains(value) else {
      throw refusal("a version of 2 to \(newest), which this build knows, not \(value), for 'v'")
    }
  }

  private func peek(_ i: Int) -> UInt8? { i >= 0 && i < bytes.count ? bytes[i] : nil }

  /// Inlined, like the other steps of a field: its bytes are then known at compile time and
  /// compared as words.
  @inline(__always)
  func starts(with text: StaticString, at start: Int? = nil) -> Bool {
    let start = start ?? at
    let count = text.utf8CodeUnitCount
    guard bytes.count - start >= count else { return false }
    let wanted = UnsafeRawBufferPointer(start: text.utf8Start, count: count)
    var i = 0
    while count - i >= 8 {
      guard same(start, wanted, i, as: UInt64.self) else { return false }
      i += 8
    }
    if count - i >= 4 {
      guard same(start, wanted, i, as: UInt32.self) else { return false }
      i += 4
    }
    if count - i >= 2 {
      guard same(start, wanted, i, as: UInt16.self) else { return false }
      i += 2
    }
    return i == count || same(start, wanted, i, as: UInt8.self)
  }

  @inline(__always)
  private func same<T: FixedWidthInteger & BitwiseCopyable>(
    _ start: Int, _ wanted: UnsafeRawBufferPointer, _ i: Int, as type: T.Type
  ) -> Bool {
    bytes.loadUnaligned(fromByteOffset: start + i, as: T.self)
      == wanted.loadUnaligned(fromByteOffset: i, as: T.self)
  }

  mutating func literal(_ text: StaticString) throws(LineError) {
    guard starts(with: text) else { throw refusal("'\(text)'") }
    at += text.utf8CodeUnitCount
  }

  @inline(__always)
  private mutating func byte(_ byte: UInt8) throws(LineError) {
    guard at < bytes.count, bytes[at] == byte else { throw unexpected(byte) }
    at += 1
  }

  @inline(never)
  private func unexpected(_ byte: UInt8) -> LineError { refusal("'\(Character(UnicodeScalar(byte)))'") }

  @inline(__always)
  private mutating func key(_ key: StaticString) throws(LineError) {
    let end = at + key.utf8CodeUnitCount + 2
    guard starts(with: isFirst ? "{\"" : ",\""), starts(with: key, at: at + 2), starts(with: "\":", at: end)
    else {
      throw wrongKey(key)
    }
    isFirst = false
    at = end + 2
  }

  /// Finds the mismatch byte by byte and reports it.
  @inline(never)
  private mutating func wrongKey(_ key: StaticString) -> LineError {
    do throws(LineError) {
      try byte(isFirst ? .openBrace : .comma)
      try byte(.quote)
      guard starts(with: key) else { return refusal("the key '\(key)'") }
      at += key.utf8CodeUnitCount
      try byte(.quote)
      try byte(.colon)
    } catch { return error }
    return refusal("the key '\(key)'")
  }

  @inline(__always)
  mutating func integer(_ key: StaticString, _ value: inout Int64, _ range: ClosedRange<Int64>)
    throws(LineError)
  {
    try self.key(key)
    value = try integer(within: range, for: key)
  }

  @inline(never)
  private mutating func integer(within range: ClosedRange<Int64>, for key: StaticString) throws(LineError)
    -> Int64
  {
    let start = at
    let isNegative = peek(at) == UInt8.minus
    if isNegative { at += 1 }
    let magnitude = try decimal()
    guard let plain = Int64(exactly: magnitude), !(isNegative && plain == 0),
      range.contains(isNegative ? -plain : plain)
    else {
      throw LineError(offset: start, wanted: "\(range.lowerBound) to \(range.upperBound) for '\(key)'")
    }
    return isNegative ? -plain : plain
  }

  mutating func decimal() throws(LineError) -> UInt64 {
    let start = at
    var value: UInt64 = 0
    // Nearly every number ends within these sixteen bytes.
    if bytes.count - at >= 16, let base = bytes.baseAddress {
      let number = hp_decimal16(base + at)
      value = number.value
      at += number.digits
    }
    while let digit = peek(at), (.zero ... .nine).contains(digit) {
      let (scaled, o1) = value.multipliedReportingOverflow(by: 10)
      let (sum, o2) = scaled.addingReportingOverflow(UInt64(digit - .zero))
      guard !o1, !o2 else { throw LineError(offset: start, wanted: "a number below 2^64") }
      value = sum
      at += 1
    }
    guard at > start else { throw refusal("a digit") }
    guard at == start + 1 || peek(start) != UInt8.zero else {
      throw LineError(offset: start, wanted: "a number without leading zeros")
    }
    return value
  }

  @inline(__always)
  mutating func text(_ key: StaticString, _ value: inout String, max: Int) throws(LineError) {
    try self.key(key)
    try string(into: &value, max: max)
  }

  /// Keeps the old string if the new text is equal: a node's fingerprint is in every receipt, so it
  /// is allocated only once.
  @inline(never)
  private mutating func string(into value: inout String, max: Int) throws(LineError) {
    guard let plain = plain() else {
      value = try escaped(max: max)
      return
    }
    guard plain.count <= max else { throw LineError(offset: at + 1, wanted: "at most \(max) bytes of text") }
    at += plain.count + 2
    // A Swift string of up to 15 bytes needs no allocation.
    if plain.count <= 15 || !LineScanner.same(value, plain) { value = String(decoding: plain, as: UTF8.self) }
  }

  private static func same(_ text: String, _ bytes: UnsafeRawBufferPointer) -> Bool {
    text.utf8.withContiguousStorageIfAvailable { known in
      guard known.count == bytes.count, let a = known.baseAddress, let b = bytes.baseAddress else {
        return false
      }
      return memcmp(a, b, bytes.count) == 0
    } ?? false
  }

  /// The next quoted text, if it is ASCII without an escape: the common case.
  private func plain() -> UnsafeRawBufferPointer? {
    guard peek(at) == UInt8.quote, let base = bytes.baseAddress else { return nil }
    let count = hp_plain_bytes(base + at + 1, bytes.count - at - 1)
    guard peek(at + 1 + count) == UInt8.quote else { return nil }
    return UnsafeRawBufferPointer(rebasing: bytes[at + 1..<at + 1 + count])
  }

  mutating func string(max: Int) throws(LineError) -> String {
    var text = ""
    try string(into: &text, max: max)
    return text
  }

  private mutating func escaped(max: Int) throws(LineError) -> String {
    try byte(.quote)
    var plain: [UInt8] = []
    while let b = peek(at), b != .quote {
      if b == .backslash {
        switch peek(at + 1) {
        case .quote, .backslash:
          plain.append(bytes[at + 1])
          at += 2
        default:
          at += 1
          try literal("u00")
          guard let h = peek(at).flatMap(Hex.value), let l = peek(at + 1).flatMap(Hex.value) else {
            throw refusal("two hexadecimal digits")
          }
          let control = h << 4 | l
          guard control < .space || control == .delete else {
            throw refusal("the escape of a control character")
          }
          plain.append(control)
          at += 2
        }
      } else {
        guard b >= .space, b != .delete else { throw refusal("no bare control character") }
        plain.append(b)
        at += 1
      }
      guard plain.count <= max else { throw refusal("at most \(max) bytes of text") }
    }
    try byte(.quote)
    guard let text = String(validating: plain, as: UTF8.self) else { throw refusal("text in UTF-8") }
    return text
  }

  @inline(__always)
  mutating func flag(_ key: StaticString, _ value: inout Bool) throws(LineError) {
    try self.key(key)
    if starts(with: "true") {
      value = true
      at += 4
    } else {
      try literal("false")
      value = false
    }
  }

  /// - digits: 8 or 16, or fewer
  private mutating func hexadecimal(digits: Int) throws(LineError) -> UInt64 {
    var value: UInt64 = 0
    var left = digits
    while left >= 8, bytes.count - at >= 8,
      let eight = Hex.value(ofEight: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
    {
      value = value << 32 | eight
      at += 8
      left -= 8
    }
    for _ in 0..<left {
      guard let digit = peek(at).flatMap(Hex.value) else {
        throw refusal("a hexadecimal digit in lower case")
      }
      value = value << 4 | UInt64(digit)
      at += 1
    }
    return value
  }

  @inline(__always)
  mutating func id(_ key: StaticString, _ value: inout UInt64) throws(LineError) {
    try self.key(key)
    value = try quotedHexadecimal(digits: 16)
  }

  @inline(never)
  private mutating func quotedHexadecimal(digits: Int) throws(LineError) -> UInt64 {
    try byte(.quote)
    let value = try hexadecimal(digits: digits)
    try byte(.quote)
    return value
  }

  @inline(__always)
  mutating func big(_ key: StaticString, _ value: inout UInt64) throws(LineError) {
    try self.key(key)
    try byte(.quote)
    value = try decimal()
    try byte(.quote)
  }

  @inline(__always)
  mutating func bits(_ key: StaticString, _ value: inout Float) throws(LineError) {
    try self.key(key)
    let pattern = try quotedHexadecimal(digits: 8)
    value = Float(bitPattern: UInt32(truncatingIfNeeded: pattern))
    guard value.isFinite else { throw refusal("a finite number for '\(key)'") }
  }

  @inline(__always)
  mutating func digest(_ key: StaticString, _ value: inout SHA256Digest) throws(LineError) {
    try self.key(key)
    value = try digest()
  }

  @inline(never)
  private mutating func digest() throws(LineError) -> SHA256Digest {
    try byte(.quote)
    if bytes.count - at >= 64, let base = bytes.baseAddress {
      let words = hp_hex64(base + at)
      if words.is_valid {
        at += 64
        try byte(.quote)
        return SHA256Digest(words.w0, words.w1, words.w2, words.w3)
      }
    }
    // Reports which character isn't a hex digit.
    for _ in 0..<4 { _ = try hexadecimal(digits: 16) }
    throw refusal("64 hexadecimal digits in lower case")
  }

  @inline(__always)
  mutating func digests(_ key: StaticString, _ value: inout [SHA256Digest], max: Int) throws(LineError) {
    try self.key(key)
    try digests(into: &value, max: max, for: key)
  }

  @inline(never)
  private mutating func digests(
    into value: inout [SHA256Digest], max: Int, for key: StaticString
  ) throws(LineError) {
    try byte(.quote)
    let start = at
    var end = at
    if let base = bytes.baseAddress { end += hp_plain_bytes(base + at, bytes.count - at) }
    let text = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
    let isValid = withUnsafeTemporaryAllocation(byteCount: text.count / 4 * 3 + 3, alignment: 8) { raw in
      guard let count = Base64.parse(text, into: raw), count % 32 == 0, count / 32 <= max else {
        return false
      }
      // Reuses the old array's memory for as many digests as it had.
      if value.count > count / 32 { value.removeLast(value.count - count / 32) }
      for i in 0..<count / 32 {
        let digest = SHA256Digest(loading: UnsafeRawBufferPointer(rebasing: raw[32 * i..<32 * i + 32]))
        if i < value.count { value[i] = digest } else { value.append(digest) }
      }
      return true
    }
    guard isValid else { throw refusal("at most \(max) digests of 32 bytes in base64 for '\(key)'") }
    at = end
    try byte(.quote)
  }

  @inline(__always)
  mutating func choice<T: LineChoice>(_ key: StaticString, _ value: inout T) throws(LineError) {
    try self.key(key)
    let start = at
    // The expected value is found without a search.
    if matches(value.rawValue) { return }
    let name = try string(max: 64)
    guard let found = T(rawValue: name) else {
      throw LineError(
        offset: start, wanted: "one of \(T.allCases.map(\.rawValue).joined(separator: ", ")) for '\(key)'")
    }
    value = found
  }

  /// Advances past `text` and its quotation marks if they come next.
  private mutating func matches(_ text: String) -> Bool {
    var text = text
    let end = text.withUTF8 { text in
      let end = at + 1 + text.count
      guard end < bytes.count, bytes[at] == .quote, bytes[end] == .quote, let here = bytes.baseAddress,
        let wanted = text.baseAddress
      else { return 0 }
      return memcmp(here + at + 1, wanted, text.count) == 0 ? end + 1 : 0
    }
    guard end > 0 else { return false }
    at = end
    return true
  }

  /// The end of a line without a seal.
  mutating func close() throws(LineError) {
    if isFirst { try byte(.openBrace) }
    try literal("}\n")
    guard at == bytes.count else { throw refusal("the end of the line") }
  }

  /// The end of a journal line, whose `h` is not checked yet.
  mutating func seal() throws(LineError) -> LineSeal {
    let body = at
    var claimed: UInt64 = 0
    try id("h", &claimed)
    try literal("}\n")
    guard at == bytes.count else { throw refusal("the end of the line") }
    return LineSeal(body: body, claimed: claimed)
  }
}
