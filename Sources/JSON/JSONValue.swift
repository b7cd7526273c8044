// JSONValue.swift: a JSON document as a tree that keeps order and exact integers. JSONText parses
// it, JSONWriter prints it, JSONFields reads fields from it within their ranges.

/// One JSON value. Integers that fit are exact; every other number is a finite Double.
package enum JSONValue: Sendable {
  package typealias Member = (key: String, value: JSONValue)

  case null
  case bool(Bool)
  case int(Int64)
  /// An integer above Int64.max.
  case unsigned(UInt64)
  /// An integer that has more than 64 bits, as its digits with the sign: only where
  /// `JSONText.Limits.integers` is `.exact`.
  case big(String)
  case double(Double)
  case string(String)
  case array([JSONValue])
  /// In the order of the text.
  case object([Member])
}

extension JSONValue: Equatable {
  /// Objects are equal when they have the same members in the same order. The depth of a parsed
  /// value is bounded, and so is this recursion.
  package static func == (one: JSONValue, other: JSONValue) -> Bool {
    switch (one, other) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.int(let a), .int(let b)): a == b
    case (.unsigned(let a), .unsigned(let b)): a == b
    case (.big(let a), .big(let b)): a == b
    case (.double(let a), .double(let b)): a == b
    case (.string(let a), .string(let b)): a == b
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)):
      a.count == b.count && zip(a, b).allSatisfy { $0.key == $1.key && $0.value == $1.value }
    default: false
    }
  }
}

extension JSONValue {
  /// An exact integer of either kind.
  package init(_ number: some BinaryInteger) {
    if let small = Int64(exactly: number) {
      self = .int(small)
    } else if let large = UInt64(exactly: number) {
      self = .unsigned(large)
    } else {
      self = .double(Double(number))
    }
  }

  /// The member of that name; nil if there is none, or if this is not an object. If the key is
  /// repeated, which only a reader that allows it lets through, the last one counts.
  package subscript(key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.key == key }?.value
  }

  package var string: String? {
    if case .string(let text) = self { return text }
    return nil
  }

  package var array: [JSONValue]? {
    if case .array(let elements) = self { return elements }
    return nil
  }

  package var members: [Member]? {
    if case .object(let members) = self { return members }
    return nil
  }

  package var bool: Bool? {
    if case .bool(let value) = self { return value }
    return nil
  }

  /// The value as an Int: an integer that fits, or a Double that is whole and at most 2^53 from
  /// zero.
  package var integer: Int? {
    switch self {
    case .int(let value): Int(exactly: value)
    case .double(let value) where abs(value) <= 9_007_199_254_740_992: Int(exactly: value)
    case .null, .bool, .unsigned, .big, .double, .string, .array, .object: nil
    }
  }

  /// Any number, rounded to a Double.
  package var number: Double? {
    switch self {
    case .int(let value): Double(value)
    case .unsigned(let value): Double(value)
    case .big(let digits): Double(digits).flatMap { $0.isFinite ? $0 : nil }
    case .double(let value): value
    case .null, .bool, .string, .array, .object: nil
    }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int64) { self = .int(value) }
  package init(floatLiteral value: Double) { self = .double(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(nilLiteral: ()) { self = .null }
  package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  /// Keeps the order as written.
  package init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(elements.map { (key: $0.0, value: $0.1) })
  }
}
