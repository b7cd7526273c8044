// Filters+Numbers.swift: the filters that return numbers, and how Python parses and rounds numbers.

import Foundation

extension Interpreter {
  private func requireDefined(_ value: Value, _ name: String) throws(TemplateError) {
    if case .undefined(let missing) = value {
      throw failure("'\(missing)' is undefined, '\(name)' wants a number")
    }
  }

  func float(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    try requireDefined(value, "float")
    let fallback = arguments.value(0, "default") ?? .double(0)
    switch value {
    case .text(let text): return PythonNumber.double(text).map { .double($0) } ?? fallback
    case .big:
      guard let number = number(value) else { throw failure("a number is too large for a float") }
      return .double(number)
    default: return number(value).map { .double($0) } ?? fallback
    }
  }

  func absolute(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    try requireDefined(value, "abs")
    if case .double(let number) = value { return .double(abs(number)) }
    guard let whole = integer(value) else { throw failure("'abs' wants a number, found \(value.kind)") }
    return .whole(whole.isNegative ? -whole : whole)
  }

  /// Python's `int(value, base)`; if that fails, `int(float(value))`, so that "42.23" is 42;
  /// otherwise the default.
  func int(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    try requireDefined(value, "int")
    let fallback = arguments.value(0, "default") ?? .int(0)
    switch value {
    case .double(let number):
      guard !number.isInfinite else { throw failure("an infinite number is no whole number") }
      return BigInteger(number).map { .whole($0) } ?? fallback
    case .text(let text):
      try step(text.count * text.count >> 8)
      if let base = wholeNumber(arguments.value(1, "base") ?? .int(10)),
        let number = PythonNumber.whole(text, base: base)
      {
        return .whole(number)
      }
      return PythonNumber.double(text).flatMap { BigInteger($0) }.map { .whole($0) } ?? fallback
    default: return integer(value).map { .whole($0) } ?? fallback
    }
  }

  /// Python's `round(value, precision)`, or `math.ceil` and `math.floor` at that decimal place.
  func round(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    try requireDefined(value, "round")
    let method = try arguments.text(1, "method", self) ?? Text("common")
    let given = arguments.value(0, "precision") ?? .int(0)
    if method.spells("common") {
      if given.isNone {
        if case .double(let number) = value {
          guard let whole = BigInteger(number.rounded(.toNearestOrEven)) else {
            throw failure("\(number) cannot be rounded to a whole number")
          }
          return .whole(whole)
        }
        guard let whole = integer(value) else { throw failure("'round' wants a number, found \(value.kind)") }
        return .whole(whole)
      }
      guard let places = integer(given) else {
        throw failure("'round' wants whole places, found \(given.kind)")
      }
      let precision = places.int.map { min(max($0, -5_000), 5_000) } ?? (places.isNegative ? -5_000 : 5_000)
      if case .double(let number) = value {
        let result = PythonNumber.rounded(number, places: precision)
        guard result.isFinite || !number.isFinite else { throw failure("a rounded number is too large") }
        return .double(result)
      }
      guard let whole = integer(value) else { throw failure("'round' wants a number, found \(value.kind)") }
      return .whole(try rounded(whole, places: precision))
    }
    guard method.spells("ceil") || method.spells("floor") else {
      throw failure("'round' wants common, ceil or floor, found '\(method.string.prefix(40))'")
    }
    let scale = try apply(.power, .int(10), given)
    let scaled = try apply(.multiply, value, scale)
    let whole: Value
    if case .double(let number) = scaled {
      guard let rounded = BigInteger(number.rounded(method.spells("ceil") ? .up : .down)) else {
        throw failure("\(number) cannot be rounded to a whole number")
      }
      whole = .whole(rounded)
    } else {
      guard integer(scaled) != nil else { throw failure("'round' wants a number, found \(value.kind)") }
      whole = scaled
    }
    return try apply(.divide, whole, scale)
  }

  /// Rounds a whole number to tens, hundreds and so on; halves to even.
  private func rounded(_ value: BigInteger, places: Int) throws(TemplateError) -> BigInteger {
    guard places < 0 else { return value }
    // Rounding away more places than there are digits leaves 0.
    guard -places <= value.bitCount / 3 + 2 else { return BigInteger(0) }
    guard
      let unit = BigInteger([0x31] + [UInt8](repeating: 0x30, count: -places))
    else { throw failure("'round' cannot round to \(places) places") }
    try step(value.bitCount)
    let (quotient, rest) = value.divided(by: unit)
    let twice = rest + rest
    let goesUp = twice == unit ? !quotient.isEven : unit < twice
    return (goesUp ? quotient + BigInteger(1) : quotient) * unit
  }

  func fileSize(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    try requireDefined(value, "filesizeformat")
    let isBinary = arguments.isTrue(0, "binary")
    let given: Double?
    if case .text(let text) = value { given = PythonNumber.double(text) } else { given = number(value) }
    guard let bytes = given else { throw failure("'filesizeformat' wants a number, found \(value.kind)") }
    let base: Double = isBinary ? 1024 : 1000
    if bytes == 1 { return .text(Text("1 Byte")) }
    if bytes < base {
      guard let whole = BigInteger(bytes) else {
        throw failure("'filesizeformat' wants a finite number")
      }
      return .text(Text(whole.text() + " Bytes"))
    }
    let letters = ["k", "M", "G", "T", "P", "E", "Z", "Y"]
    var unit = base
    var letter = "Y"
    for candidate in letters {
      unit *= base
      letter = candidate
      if bytes < unit { break }
    }
    if isBinary, letter == "k" { letter = "K" }
    let size = base * bytes / unit
    let text = size.isNaN ? "nan" : size.isInfinite ? "inf" : String(format: "%.1f", size)
    return .text(Text(text + " " + letter + (isBinary ? "iB" : "B")))
  }
}

/// Numbers as Python parses them.
extension PythonNumber {
  /// The text without white space around it, all its digits ASCII; nil if it has characters that
  /// numbers cannot have.
  private static func plain(_ text: Text) -> [UInt8]? {
    var bytes: [UInt8] = []
    for unit in text.stripped(leading: true, trailing: true).units {
      guard let scalar = Unicode.Scalar(unit & ~Text.userMark) else { return nil }
      if scalar.isASCII {
        bytes.append(UInt8(truncatingIfNeeded: scalar.value))
      } else if scalar.properties.numericType == .decimal, let digit = scalar.properties.numericValue {
        bytes.append(0x30 + UInt8(digit))
      } else {
        return nil
      }
    }
    return bytes
  }

  /// Removes single underscores between digits; nil if an underscore is anywhere else.
  private static func withoutUnderscores(_ bytes: some Collection<UInt8>) -> [UInt8]? {
    var plain: [UInt8] = []
    var wasDigit = false
    for byte in bytes {
      if byte == 0x5F {
        guard wasDigit else { return nil }
        wasDigit = false
      } else {
        plain.append(byte)
        wasDigit = true
      }
    }
    return wasDigit ? plain : nil
  }

  /// Python's `int(text, base)`.
  static func whole(_ text: Text, base: Int) -> BigInteger? {
    guard base == 0 || (2...36).contains(base), var bytes = plain(text)?[...], let first = bytes.first else {
      return nil
    }
    let isNegative = first == 0x2D
    if isNegative || first == 0x2B { bytes.removeFirst() }
    var base = base
    if bytes.first == 0x30, bytes.count > 1, let letter = bytes.dropFirst().first {
      let prefixes: [UInt8: Int] = [0x78: 16, 0x6F: 8, 0x62: 2]
      if let own = prefixes[letter | 0x20], base == own || base == 0 {
        base = own
        bytes = bytes.dropFirst(2)
        if bytes.first == 0x5F { bytes.removeFirst() }
      }
    }
    if base == 0 {
      base = 10
      // A number other than 0 must not begin with 0.
      if bytes.first == 0x30, bytes.contains(where: { $0 != 0x30 && $0 != 0x5F }) { return nil }
    }
    guard let digits = withoutUnderscores(bytes), digits.count <= 4300 || base & (base - 1) == 0 else {
      return nil
    }
    return BigInteger(digits, radix: base, isNegative: isNegative)
  }

  /// Python's `float(text)`.
  static func double(_ text: Text) -> Double? {
    guard let bytes = plain(text), !bytes.isEmpty, bytes.count < 10_000 else { return nil }
    var index = 0
    func digits() -> [UInt8]? {
      var found: [UInt8] = []
      var wasDigit = false
      while index < bytes.count {
        let byte = bytes[index]
        if byte >= 0x30, byte <= 0x39 {
          found.append(byte)
          wasDigit = true
        } else if byte == 0x5F, wasDigit, index + 1 < bytes.count, bytes[index + 1] >= 0x30,
          bytes[index + 1] <= 0x39
        {
          wasDigit = false
        } else {
          break
        }
        index += 1
      }
      return found.isEmpty ? nil : found
    }
    let isNegative = bytes[0] == 0x2D
    if isNegative || bytes[0] == 0x2B { index = 1 }
    switch String(decoding: bytes[index...], as: UTF8.self).lowercased() {
    case "inf", "infinity": return isNegative ? -.infinity : .infinity
    case "nan": return .nan
    default: break
    }
    let whole = digits()
    var spelled = whole ?? [0x30]
    var hasFraction = false
    if index < bytes.count, bytes[index] == 0x2E {
      index += 1
      if let fraction = digits() {
        hasFraction = true
        spelled += [0x2E] + fraction
      }
    }
    guard whole != nil || hasFraction else { return nil }
    if index < bytes.count, bytes[index] | 0x20 == 0x65 {
      index += 1
      spelled.append(0x65)
      if index < bytes.count, bytes[index] == 0x2D || bytes[index] == 0x2B {
        spelled.append(bytes[index])
        index += 1
      }
      guard let exponent = digits() else { return nil }
      spelled += exponent
    }
    guard index == bytes.count else { return nil }
    let value = strtod(String(decoding: spelled, as: UTF8.self), nil)
    return isNegative ? -value : value
  }

  /// Python's `round(value, places)` for a float: the exact value is rounded, ties to even, then
  /// read back.
  static func rounded(_ value: Double, places: Int) -> Double {
    guard value.isFinite, places <= 323 else { return value }
    guard places >= -308 else { return copysign(0, value) }
    if places >= 0 {
      // C's printf rounds the exact value, as CPython's own conversion does.
      return strtod(String(format: "%.\(places)f", value), nil)
    }
    let whole = abs(value).rounded(.towardZero)
    var digits = Array(String(format: "%.0f", whole).utf8)
    let dropped = -places
    while digits.count <= dropped { digits.insert(0x30, at: 0) }
    let tail = digits[(digits.count - dropped)...]
    var head = Array(digits[..<(digits.count - dropped)])
    let isAbove = tail.dropFirst().contains { $0 != 0x30 } || whole != abs(value)
    let last = (head.last ?? 0x30) & 1
    let first = tail.first ?? 0x30
    if first > 0x35 || first == 0x35 && (isAbove || last == 1) {
      var place = head.count - 1
      while place >= 0, head[place] == 0x39 {
        head[place] = 0x30
        place -= 1
      }
      if place >= 0 { head[place] += 1 } else { head.insert(0x31, at: 0) }
    }
    let text = String(decoding: head + [UInt8](repeating: 0x30, count: dropped), as: UTF8.self)
    return copysign(strtod(text, nil), value)
  }
}
