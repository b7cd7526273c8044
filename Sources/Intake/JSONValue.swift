// JSONValue.swift: a JSON document as a tree that keeps order and exact integers. JSONText parses it,
// JSONWriter prints it, JSONFields reads numbers and names out of it under their ranges.

/// One JSON value. Integers that fit are exact; every other number is a finite Double.
public enum JSONValue: Sendable {
  public typealias Member = (key: String, value: JSONValue)

  case null
  case bool(Bool)
  case int(Int64)
  /// An integer above Int64.max.
  case unsigned(UInt64)
  case double(Double)
  case string(String)
  case array([JSONValue])
  /// In the order of the text.
  case object([Member])
}

extension JSONValue: Equatable {
  /// Objects are equal when they have the same members in the same order. The depth of a parsed value is bounded,
  /// and so is this recursion.
  public static func == (one: JSONValue, other: JSONValue) -> Bool {
    switch (one, other) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.int(let a), .int(let b)): a == b
    case (.unsigned(let a), .unsigned(let b)): a == b
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
  public init(_ number: some BinaryInteger) {
    if let small = Int64(exactly: number) {
      self = .int(small)
    } else if let large = UInt64(exactly: number) {
      self = .unsigned(large)
    } else {
      self = .double(Double(number))
    }
  }

  /// The member of that name; nil when there is none, or when this is no object.
  public subscript(key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key == key }?.value
  }

  public var string: String? {
    if case .string(let text) = self { return text }
    return nil
  }

  public var array: [JSONValue]? {
    if case .array(let elements) = self { return elements }
    return nil
  }

  public var members: [Member]? {
    if case .object(let members) = self { return members }
    return nil
  }

  public var bool: Bool? {
    if case .bool(let value) = self { return value }
    return nil
  }

  /// The value as an Int: an integer that fits, or a Double that is whole and at most 2^53 from zero.
  public var integer: Int? {
    switch self {
    case .int(let value): Int(exactly: value)
    case .double(let value) where abs(value) <= 9_007_199_254_740_992: Int(exactly: value)
    case .null, .bool, .unsigned, .double, .string, .array, .object: nil
    }
  }

  /// Any number, rounded to a Double.
  public var number: Double? {
    switch self {
    case .int(let value): Double(value)
    case .unsigned(let value): Double(value)
    case .double(let value): value
    case .null, .bool, .string, .array, .object: nil
    }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(nilLiteral: ()) { self = .null }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  /// Keeps the order as written.
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(elements.map { (key: $0.0, value: $0.1) })
  }
}
