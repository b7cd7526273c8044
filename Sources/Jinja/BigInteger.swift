// BigInteger.swift: whole numbers beyond 64 bits, which Python has and tools' schemas use
// (18446744073709551615). Schoolbook arithmetic suffices: a template's numbers have at most as many
// digits as Python prints. Start at init(_:radix:) and divided(by:).

/// A whole number of any size, as sign and magnitude.
package struct BigInteger: Sendable, Hashable {
  let isNegative: Bool
  /// Limbs in base 2^32, the lowest first, without trailing zeros; zero has none.
  let limbs: [UInt32]

  /// The most bits that a number may have: Python refuses to print more than 4300 digits.
  static let mostBits = 14_284

  init(isNegative: Bool, limbs: [UInt32]) {
    var limbs = limbs
    while limbs.last == 0 { limbs.removeLast() }
    self.limbs = limbs
    self.isNegative = isNegative && !limbs.isEmpty
  }

  init(_ value: Int) {
    let magnitude = value.magnitude
    self.init(
      isNegative: value < 0,
      limbs: [UInt32(truncatingIfNeeded: magnitude), UInt32(truncatingIfNeeded: magnitude >> 32)])
  }

  /// Reads digits of base 2 to 36, at most as many as a number may have; nil for anything else.
  init?(_ digits: some Sequence<UInt8>, radix: Int = 10, isNegative: Bool = false) {
    var limbs: [UInt32] = []
    var count = 0
    for byte in digits {
      let digit: Int
      switch byte {
      case 0x30...0x39: digit = Int(byte) - 0x30
      case 0x41...0x5A: digit = Int(byte) - 0x41 + 10
      case 0x61...0x7A: digit = Int(byte) - 0x61 + 10
      default: return nil
      }
      guard digit < radix, limbs.count * 32 <= Self.mostBits else { return nil }
      Self.multiplyAdd(&limbs, UInt32(radix), UInt32(digit))
      count += 1
    }
    guard count > 0 else { return nil }
    self.init(isNegative: isNegative, limbs: limbs)
  }

  /// The whole part of a finite number.
  init?(_ value: Double) {
    guard value.isFinite else { return nil }
    let whole = value.rounded(.towardZero)
    guard whole != 0 else {
      self.init(0)
      return
    }
    let shift = Int(whole.exponent) - 52
    let significand = whole.significandBitPattern | 1 << 52
    if shift <= 0 {
      self.init(isNegative: whole < 0, limbs: BigInteger(Int(significand >> UInt64(-shift))).limbs)
    } else {
      self.init(isNegative: whole < 0, limbs: BigInteger(Int(significand)).shifted(by: shift).limbs)
    }
  }

  private static func multiplyAdd(_ limbs: inout [UInt32], _ factor: UInt32, _ summand: UInt32) {
    var carry = UInt64(summand)
    for place in limbs.indices {
      let sum = UInt64(limbs[place]) * UInt64(factor) + carry
      limbs[place] = UInt32(truncatingIfNeeded: sum)
      carry = sum >> 32
    }
    if carry > 0 { limbs.append(UInt32(carry)) }
  }

  /// Divides in place and returns the remainder.
  private static func divide(_ limbs: inout [UInt32], by divisor: UInt32) -> UInt32 {
    var rest: UInt64 = 0
    for place in limbs.indices.reversed() {
      let part = rest << 32 | UInt64(limbs[place])
      limbs[place] = UInt32(part / UInt64(divisor))
      rest = part % UInt64(divisor)
    }
    while limbs.last == 0 { limbs.removeLast() }
    return UInt32(rest)
  }

  var isZero: Bool { limbs.isEmpty }
  var isEven: Bool { (limbs.first ?? 0) & 1 == 0 }
  var bitCount: Int { limbs.last.map { limbs.count * 32 - $0.leadingZeroBitCount } ?? 0 }

  /// The value, if it fits.
  var int: Int? {
    guard limbs.count <= 2 else { return nil }
    let magnitude = UInt64(limbs.first ?? 0) | UInt64(limbs.count > 1 ? limbs[1] : 0) << 32
    if isNegative { return magnitude <= 1 << 63 ? Int(truncatingIfNeeded: 0 &- magnitude) : nil }
    return Int(exactly: magnitude)
  }

  /// The nearest double, ties to even; nil if the number is too large.
  var double: Double? { Self.double(limbs, isNegative: isNegative, exponent: 0, hasRest: false) }

  /// `limbs` times 2^exponent, plus a little if there is a remainder.
  private static func double(_ limbs: [UInt32], isNegative: Bool, exponent: Int, hasRest: Bool) -> Double? {
    let whole = BigInteger(isNegative: false, limbs: limbs)
    let drop = max(whole.bitCount - 64, 0)
    var top: UInt64 = 0
    var rest = hasRest
    for place in stride(from: whole.bitCount - 1, through: 0, by: -1) {
      let bit = whole.limbs[place >> 5] >> UInt32(place & 31) & 1
      if place >= drop { top = top << 1 | UInt64(bit) } else if bit == 1 { rest = true }
    }
    // With 64 bits kept, a remainder matters only if they end in exactly half of a double's last
    // place.
    if rest, top.leadingZeroBitCount == 0 { top |= 1 }
    let value = Double(sign: .plus, exponent: drop + exponent, significand: Double(top))
    guard value.isFinite else { return nil }
    return isNegative ? -value : value
  }

  func text(radix: UInt32 = 10) -> String {
    var rest = limbs
    var digits: [UInt8] = []
    while !rest.isEmpty {
      let digit = UInt8(Self.divide(&rest, by: radix))
      digits.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
    }
    if digits.isEmpty { digits = [0x30] }
    return (isNegative ? "-" : "") + String(decoding: digits.reversed(), as: UTF8.self)
  }
}

extension BigInteger {
  static prefix func - (value: BigInteger) -> BigInteger {
    BigInteger(isNegative: !value.isNegative, limbs: value.limbs)
  }

  static func + (a: BigInteger, b: BigInteger) -> BigInteger {
    if a.isNegative == b.isNegative {
      return BigInteger(isNegative: a.isNegative, limbs: sum(a.limbs, b.limbs))
    }
    return isSmaller(a.limbs, b.limbs)
      ? BigInteger(isNegative: b.isNegative, limbs: difference(b.limbs, a.limbs))
      : BigInteger(isNegative: a.isNegative, limbs: difference(a.limbs, b.limbs))
  }

  static func - (a: BigInteger, b: BigInteger) -> BigInteger { a + -b }

  static func * (a: BigInteger, b: BigInteger) -> BigInteger {
    var limbs = [UInt32](repeating: 0, count: a.limbs.count + b.limbs.count)
    for (i, x) in a.limbs.enumerated() {
      var carry: UInt64 = 0
      for (j, y) in b.limbs.enumerated() {
        let sum = UInt64(x) * UInt64(y) + UInt64(limbs[i + j]) + carry
        limbs[i + j] = UInt32(truncatingIfNeeded: sum)
        carry = sum >> 32
      }
      limbs[i + b.limbs.count] = UInt32(carry)
    }
    return BigInteger(isNegative: a.isNegative != b.isNegative, limbs: limbs)
  }

  static func < (a: BigInteger, b: BigInteger) -> Bool {
    if a.isNegative != b.isNegative { return a.isNegative }
    return a.isNegative ? isSmaller(b.limbs, a.limbs) : isSmaller(a.limbs, b.limbs)
  }

  /// Python's `//` and `%`: the quotient is rounded down. The divisor is not zero.
  func divided(by divisor: BigInteger) -> (quotient: BigInteger, rest: BigInteger) {
    let (plain, left) = magnitudes(by: divisor)
    var quotient = BigInteger(isNegative: isNegative != divisor.isNegative, limbs: plain)
    var rest = BigInteger(isNegative: isNegative, limbs: left)
    if !rest.isZero, rest.isNegative != divisor.isNegative {
      quotient = quotient - BigInteger(1)
      rest = rest + divisor
    }
    return (quotient, rest)
  }

  /// Python's `/`, rounded once; nil if the result is too large. The divisor is not zero.
  func ratio(by divisor: BigInteger) -> Double? {
    let shift = max(0, 66 - (bitCount - divisor.bitCount))
    let (quotient, rest) = shifted(by: shift).magnitudes(by: divisor)
    return Self.double(
      quotient, isNegative: isNegative != divisor.isNegative, exponent: -shift,
      hasRest: rest.contains { $0 != 0 })
  }

  func shifted(by bits: Int) -> BigInteger {
    let words = bits >> 5
    let small = UInt64(bits & 31)
    var limbs = [UInt32](repeating: 0, count: words)
    var carry: UInt64 = 0
    for limb in self.limbs {
      let sum = UInt64(limb) << small | carry
      limbs.append(UInt32(truncatingIfNeeded: sum))
      carry = sum >> 32
    }
    limbs.append(UInt32(carry))
    return BigInteger(isNegative: isNegative, limbs: limbs)
  }

  /// Division of the magnitudes, bit by bit: the numbers are small.
  private func magnitudes(by divisor: BigInteger) -> (quotient: [UInt32], rest: [UInt32]) {
    if divisor.limbs.count == 1 {
      var quotient = limbs
      let rest = Self.divide(&quotient, by: divisor.limbs[0])
      return (quotient, rest == 0 ? [] : [rest])
    }
    var quotient = [UInt32](repeating: 0, count: limbs.count)
    var rest: [UInt32] = []
    for place in stride(from: bitCount - 1, through: 0, by: -1) {
      Self.multiplyAdd(&rest, 2, limbs[place >> 5] >> UInt32(place & 31) & 1)
      if !Self.isSmaller(rest, divisor.limbs) {
        rest = Self.difference(rest, divisor.limbs)
        quotient[place >> 5] |= 1 << UInt32(place & 31)
      }
    }
    return (quotient, rest)
  }

  private static func sum(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
    var limbs: [UInt32] = []
    var carry: UInt64 = 0
    for place in 0..<max(a.count, b.count) {
      carry += UInt64(place < a.count ? a[place] : 0) + UInt64(place < b.count ? b[place] : 0)
      limbs.append(UInt32(truncatingIfNeeded: carry))
      carry >>= 32
    }
    limbs.append(UInt32(carry))
    return limbs
  }

  /// `a` is not smaller than `b`.
  private static func difference(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
    var limbs: [UInt32] = []
    var borrow: Int64 = 0
    for place in a.indices {
      let value = Int64(a[place]) - Int64(place < b.count ? b[place] : 0) + borrow
      limbs.append(UInt32(truncatingIfNeeded: value))
      borrow = value < 0 ? -1 : 0
    }
    while limbs.last == 0 { limbs.removeLast() }
    return limbs
  }

  private static func isSmaller(_ a: [UInt32], _ b: [UInt32]) -> Bool {
    if a.count != b.count { return a.count < b.count }
    for place in a.indices.reversed() where a[place] != b[place] { return a[place] < b[place] }
    return false
  }
}
