// ScalarSet.swift: sets of Unicode scalars as sorted ranges, and the classes that expressions name.
// Surrogates are no scalars and in no set.

/// A set of Unicode scalars.
struct ScalarSet: Hashable, Sendable {
  /// Sorted, disjoint, and not adjacent.
  private(set) var ranges: [ClosedRange<UInt32>] = []

  static let lastScalar: UInt32 = 0x10FFFF
  static let all = ScalarSet([0...lastScalar])
  static let empty = ScalarSet([])
  static let digits = ScalarSet([0x30...0x39])
  static let hexadecimal = ScalarSet([0x30...0x39, 0x41...0x46, 0x61...0x66])
  static let words = ScalarSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
  /// Space, tab, line feed, vertical tab, form feed, carriage return.
  static let spaces = ScalarSet([0x09...0x0D, 0x20...0x20])
  /// What a point in an expression matches: neither Python's nor ECMAScript's ends of lines.
  static let point = ScalarSet([0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029]).inverted

  init(_ ranges: [ClosedRange<UInt32>]) {
    var sorted: [ClosedRange<UInt32>] = []
    for range in ranges {
      // The surrogates are cut out.
      if range.lowerBound < 0xD800 { sorted.append(range.lowerBound...min(range.upperBound, 0xD7FF)) }
      if range.upperBound > 0xDFFF { sorted.append(max(range.lowerBound, 0xE000)...range.upperBound) }
    }
    sorted.sort { $0.lowerBound < $1.lowerBound }
    for range in sorted {
      if let last = self.ranges.last, range.lowerBound <= last.upperBound &+ 1 {
        self.ranges[self.ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        self.ranges.append(range)
      }
    }
  }

  init(_ scalar: Unicode.Scalar) { self.init([scalar.value...scalar.value]) }

  func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }

  var inverted: ScalarSet {
    var rest: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in ranges {
      if range.lowerBound > next { rest.append(next...(range.lowerBound - 1)) }
      next = range.upperBound + 1
    }
    if next <= Self.lastScalar { rest.append(next...Self.lastScalar) }
    return ScalarSet(rest)
  }

  func subtracting(_ other: ScalarSet) -> ScalarSet { inverted.union(other).inverted }

  // MARK: Classes that dialects of expressions read differently

  // In Python `\d`, `\w` and `\s` match every script's digits, letters and spaces; in ECMAScript
  // only ASCII ones, and some more spaces. A constraint must hold under both readings, so that a
  // class here has what both match, and its negation what both leave out.

  static let notDigits = digits.union(Scripts.shared.digits).inverted
  static let notWords = words.union(Scripts.shared.words).inverted
  static let notSpaces = spaces.union(
    ScalarSet([
      0x1C...0x1F, 0x85...0x85, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029,
      0x202F...0x202F, 0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF,
    ])
  ).inverted

  /// Digits, and letters with numbers, of all scripts.
  private struct Scripts {
    let digits: ScalarSet
    let words: ScalarSet

    static let shared = Scripts()

    private init() {
      var digits: [ClosedRange<UInt32>] = []
      var words: [ClosedRange<UInt32>] = []
      // No letter or number is beyond the third plane's ideographs.
      for value in UInt32(0)..<0x3_3480 {
        guard let scalar = Unicode.Scalar(value) else { continue }
        switch scalar.properties.generalCategory {
        case .decimalNumber:
          digits.append(value...value)
          words.append(value...value)
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter,
          .letterNumber, .otherNumber:
          words.append(value...value)
        default: break
        }
      }
      self.digits = ScalarSet(digits)
      self.words = ScalarSet(words)
    }
  }
}
