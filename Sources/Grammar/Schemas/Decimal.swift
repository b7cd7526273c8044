// Decimal.swift: numbers of a schema as exact decimals, so that a bound is compared by its digits and
// not by what a Double makes of it. Start at Decimal.init.

import JSON

/// An exact decimal number.
struct Decimal: Equatable {
  /// False for zero.
  let isNegative: Bool
  /// Digits before the point, values 0 to 9, without leading zeros; empty below 1.
  let whole: [UInt8]
  /// Digits after the point, without trailing zeros.
  let fraction: [UInt8]

  static let zero = Decimal(isNegative: false, whole: [], fraction: [])

  private init(isNegative: Bool, whole: [UInt8], fraction: [UInt8]) {
    let whole = Array(whole.drop { $0 == 0 })
    var fraction = fraction
    while fraction.last == 0 { fraction.removeLast() }
    self.whole = whole
    self.fraction = fraction
    self.isNegative = isNegative && !(whole.isEmpty && fraction.isEmpty)
  }

  /// The number of a JSON value, of a double its shortest decimal; nil if it is no number.
  init?(_ value: JSONValue) {
    switch value {
    case .int(let number): self.init(text: String(number))
    case .unsigned(let number): self.init(text: String(number))
    case .big(let digits): self.init(text: digits)
    case .double(let number): self.init(text: "\(number)")
    case .null, .bool, .string, .array, .object: return nil
    }
  }

  /// A number as JSON spells it, with at most 400 digits on each side of the point.
  private init?(text: String) {
    var rest = Array(text.utf8)[...]
    let isNegative = rest.first == UInt8(ascii: "-")
    if isNegative { rest.removeFirst() }
    let mantissa = rest.prefix { $0 != UInt8(ascii: "e") && $0 != UInt8(ascii: "E") }
    let parts = mantissa.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    let exponentText = String(decoding: rest.dropFirst(mantissa.count + 1), as: UTF8.self)
    let exponent = exponentText.isEmpty ? 0 : Int(exponentText)
    guard let exponent, abs(exponent) <= 400, (1...2).contains(parts.count) else { return nil }
    let digits = parts.joined().map { $0 &- 0x30 }
    guard !digits.isEmpty, digits.allSatisfy({ $0 < 10 }) else { return nil }
    let point = parts[0].count + exponent
    var whole = Array(digits.prefix(max(0, point)))
    var fraction = Array(digits.dropFirst(max(0, point)))
    if point > digits.count { whole += Array(repeating: 0, count: point - digits.count) }
    if point < 0 { fraction = Array(repeating: 0, count: -point) + fraction }
    self.init(isNegative: isNegative, whole: whole, fraction: fraction)
  }

  var isZero: Bool { whole.isEmpty && fraction.isEmpty }
  var isWhole: Bool { fraction.isEmpty }
  var negated: Decimal { Decimal(isNegative: !isNegative, whole: whole, fraction: fraction) }
  var magnitude: Decimal { Decimal(isNegative: false, whole: whole, fraction: fraction) }

  static func < (one: Decimal, other: Decimal) -> Bool {
    if one.isNegative != other.isNegative { return one.isNegative }
    return one.isNegative ? other.isCloserToZero(than: one) : one.isCloserToZero(than: other)
  }

  private func isCloserToZero(than other: Decimal) -> Bool {
    if whole.count != other.whole.count { return whole.count < other.whole.count }
    if whole != other.whole { return whole.lexicographicallyPrecedes(other.whole) }
    return fraction.lexicographicallyPrecedes(other.fraction)
  }

  /// The digits without a point, and how many of them are behind it.
  var scaled: (digits: [UInt8], scale: Int) { (whole + fraction, fraction.count) }

  /// Whether this is a whole multiple of another number.
  func isMultiple(of other: Multiple) -> Bool {
    guard fraction.count <= other.scale else { return false }
    var rest = 0
    for digit in whole + fraction + Array(repeating: 0, count: other.scale - fraction.count) {
      rest = (rest * 10 + Int(digit)) % other.value
    }
    return rest == 0
  }
}

/// A `multipleOf`: `value` times ten to the power of minus `scale`.
struct Multiple: Equatable {
  let value: Int
  let scale: Int

  private static let largest = 100_000

  /// Only powers of two divide the parts below one: of others, such as 0.01, checkers that compute
  /// with doubles and exact ones disagree about which numbers are multiples.
  init(_ number: Decimal) throws(Refusal) {
    guard !number.isNegative, !number.isZero else {
      throw Refusal(message: "'multipleOf' is not above zero")
    }
    let (digits, scale) = number.scaled
    var value = 0
    for digit in digits {
      value = value * 10 + Int(digit)
      guard value <= Self.largest else {
        throw Refusal(
          message: "'multipleOf' has more digits than the \(Self.largest) states that are supported")
      }
    }
    // value / 10^scale is a fraction over a power of two when 5^scale divides the value.
    var rest = value
    for _ in 0..<scale {
      guard rest % 5 == 0 else {
        throw Refusal(
          message: "'multipleOf' is no multiple of a power of two below one, which is not supported")
      }
      rest /= 5
    }
    self.value = value
    self.scale = scale
  }
}
