// Keywords.swift: what one schema object says itself, each keyword checked for its type, references
// and branches left to the compiler. Start at Keywords.init.

import JSON

/// The types of JSON values. An integer is a number that is whole.
struct Kinds: OptionSet {
  let rawValue: UInt8
  static let null = Kinds(rawValue: 1)
  static let boolean = Kinds(rawValue: 2)
  static let number = Kinds(rawValue: 4)
  static let string = Kinds(rawValue: 8)
  static let array = Kinds(rawValue: 16)
  static let object = Kinds(rawValue: 32)
  static let all: Kinds = [.null, .boolean, .number, .string, .array, .object]

  init(rawValue: UInt8) { self.rawValue = rawValue }

  init(_ value: JSONValue) {
    switch value {
    case .null: self = .null
    case .bool: self = .boolean
    case .int, .unsigned, .big, .double: self = .number
    case .string: self = .string
    case .array: self = .array
    case .object: self = .object
    }
  }
}

/// The keywords of one schema object that say something about the value itself.
struct Keywords {
  /// A schema within this one: where it is, and what it says.
  typealias Part = (pointer: String, value: JSONValue)

  struct Array {
    var prefix: [Part] = []
    /// What the elements after the prefix are.
    var items: Part?
  }

  struct Object {
    var properties: [(name: String, part: Part)] = []
    var patterns: [(pattern: String, part: Part)] = []
    var additional: Part?

    var isEmpty: Bool { properties.isEmpty && patterns.isEmpty && additional == nil }
  }

  var kinds: Kinds?
  var isWhole = false
  /// Types that its keywords are about.
  var mentioned: Kinds = []
  var values: [JSONValue]?
  var bounds = NumberBounds()
  var leastLength = 0
  var mostLength: Int?
  var pattern: String?
  var format: String?
  var leastItems = 0
  var mostItems: Int?
  var array = Array()
  var leastMembers = 0
  var mostMembers: Int?
  var required: [String] = []
  var object = Object()
  var names: Part?

  var reference: String?
  var allOf: [Part] = []
  var anyOf: [Part]?
  var oneOf: [Part]?
  /// Schemas that hold for an object with a member of that name.
  var dependent: [(name: String, part: Part)] = []

  /// A minimum above this is longer than any context.
  private static let longestMinimum = 1_000_000

  /// Keywords that change which values are valid and that are not held.
  private static let refused: Set<String> = [
    "not", "if", "then", "else", "contains", "minContains", "maxContains", "unevaluatedProperties",
    "unevaluatedItems", "$dynamicRef", "$recursiveRef", "extends", "disallow", "divisibleBy",
  ]

  /// Throws where a keyword has a value that it may not have, or is not supported.
  init(_ members: [JSONValue.Member], at pointer: String) throws(GrammarError) {
    for (key, value) in members {
      let place = pointer + "/" + Self.escaped(key)
      do throws(Refusal) {
        try read(key, value, place)
      } catch {
        throw error.at(.pointer(place))
      }
    }
    // Draft 4 says with a Boolean that a bound is exclusive: read() has refused it.
    if let most = mostItems, most < leastItems { throw Self.empty("minItems", "maxItems", pointer) }
    if let most = mostLength, most < leastLength { throw Self.empty("minLength", "maxLength", pointer) }
    if let most = mostMembers, most < leastMembers {
      throw Self.empty("minProperties", "maxProperties", pointer)
    }
  }

  private static func empty(_ low: String, _ high: String, _ pointer: String) -> GrammarError {
    GrammarError(place: .pointer(pointer), message: "'\(low)' is above '\(high)', so that nothing is valid")
  }

  /// A key as a step of a JSON pointer.
  static func escaped(_ key: String) -> String {
    key.replacing("~", with: "~0").replacing("/", with: "~1")
  }

  // MARK: One keyword

  private mutating func read(_ key: String, _ value: JSONValue, _ place: String) throws(Refusal) {
    switch key {
    case "type": try readType(value)
    case "enum":
      guard let list = value.array, !list.isEmpty else { throw wanted("an array of values", value) }
      keep(list)
    case "const": keep([value])
    case "minimum": bounds.raise(.init(value: try number(value), isExclusive: false))
    case "exclusiveMinimum": bounds.raise(.init(value: try number(value), isExclusive: true))
    case "maximum": bounds.lower(.init(value: try number(value), isExclusive: false))
    case "exclusiveMaximum": bounds.lower(.init(value: try number(value), isExclusive: true))
    case "multipleOf": bounds.multiples.append(try Multiple(try number(value)))
    case "minLength": leastLength = try least(value)
    case "maxLength": mostLength = try count(value)
    case "pattern": pattern = try text(value)
    case "format": format = try text(value)
    case "minItems": leastItems = try least(value)
    case "maxItems": mostItems = try count(value)
    case "items":
      if let list = value.array {
        // The tuples of draft 7 and before.
        array.prefix = list.enumerated().map { ("\(place)/\($0.offset)", $0.element) }
        for part in array.prefix { _ = try schema(part.value, part.pointer) }
      } else {
        array.items = try schema(value, place)
      }
    case "additionalItems": if array.items == nil { array.items = try schema(value, place) }
    case "prefixItems":
      guard let list = value.array else { throw wanted("an array of schemas", value) }
      array.prefix = list.enumerated().map { ("\(place)/\($0.offset)", $0.element) }
      for part in array.prefix { _ = try schema(part.value, part.pointer) }
    case "uniqueItems":
      guard let isUnique = value.bool else { throw wanted("true or false", value) }
      if isUnique { throw Refusal(message: "'uniqueItems' is not supported") }
    case "minProperties": leastMembers = try least(value)
    case "maxProperties": mostMembers = try count(value)
    case "required": required = try texts(value)
    case "properties":
      object.properties = try parts(value, place)
    case "patternProperties": object.patterns = try parts(value, place).map { ($0.name, $0.part) }
    case "additionalProperties": object.additional = try schema(value, place)
    case "propertyNames": names = try schema(value, place)
    case "dependentRequired", "dependentSchemas", "dependencies":
      guard let members = value.members else { throw wanted("an object", value) }
      for (name, condition) in members {
        let inner = place + "/" + Self.escaped(name)
        if condition.array != nil {
          dependent.append(
            (name, (inner, .object([("required", .array(try texts(condition).map { .string($0) }))]))))
        } else {
          dependent.append((name, try schema(condition, inner)))
        }
      }
    case "$ref": reference = try text(value)
    case "allOf": allOf = try list(value, place)
    case "anyOf": anyOf = try list(value, place)
    case "oneOf": oneOf = try list(value, place)
    case _ where Self.refused.contains(key): throw Refusal(message: "'\(key)' is not supported")
    default: return
    }
    mention(key)
  }

  private mutating func mention(_ key: String) {
    switch key {
    case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf": mentioned.insert(.number)
    case "minLength", "maxLength", "pattern", "format": mentioned.insert(.string)
    case "items", "prefixItems", "additionalItems", "minItems", "maxItems": mentioned.insert(.array)
    case "properties", "required", "additionalProperties", "patternProperties", "propertyNames",
      "minProperties", "maxProperties", "dependentRequired", "dependentSchemas", "dependencies":
      mentioned.insert(.object)
    default: break
    }
  }

  private mutating func keep(_ list: [JSONValue]) {
    values = values.map { list.common(with: $0) } ?? list
  }

  private mutating func readType(_ value: JSONValue) throws(Refusal) {
    let names: [JSONValue]
    switch value {
    case .string: names = [value]
    case .array(let list) where !list.isEmpty: names = list
    default: throw wanted("a type or an array of types", value)
    }
    var kinds: Kinds = []
    var isInteger = false
    for name in names {
      switch name.string {
      case "null": kinds.insert(.null)
      case "boolean": kinds.insert(.boolean)
      case "number": kinds.insert(.number)
      case "integer": isInteger = true
      case "string": kinds.insert(.string)
      case "array": kinds.insert(.array)
      case "object": kinds.insert(.object)
      default: throw wanted("a type of JSON", name)
      }
    }
    isWhole = isInteger && !kinds.contains(.number)
    if isInteger { kinds.insert(.number) }
    self.kinds = kinds
  }

  // MARK: Values of keywords

  private func wanted(_ what: String, _ value: JSONValue) -> Refusal {
    Refusal(message: "found \(value.shortText), wanted \(what)")
  }

  private func number(_ value: JSONValue) throws(Refusal) -> Decimal {
    guard let number = Decimal(value) else { throw wanted("a number", value) }
    return number
  }

  private func count(_ value: JSONValue) throws(Refusal) -> Int {
    if case .unsigned = value { return Int(UInt32.max) }
    if case .big(let digits) = value, !digits.hasPrefix("-") { return Int(UInt32.max) }
    if let number = value.number, number >= Double(UInt32.max) { return Int(UInt32.max) }
    guard let count = value.integer, count >= 0 else {
      throw wanted("a whole number that is not negative", value)
    }
    return count
  }

  private func least(_ value: JSONValue) throws(Refusal) -> Int {
    let count = try count(value)
    guard count <= Self.longestMinimum else {
      throw Refusal(
        message: "a minimum of \(count) is longer than any context, wanted at most \(Self.longestMinimum)")
    }
    return count
  }

  private func text(_ value: JSONValue) throws(Refusal) -> String {
    guard let text = value.string else { throw wanted("a string", value) }
    return text
  }

  private func texts(_ value: JSONValue) throws(Refusal) -> [String] {
    guard let list = value.array else { throw wanted("an array of strings", value) }
    var texts: [String] = []
    for element in list { texts.append(try text(element)) }
    return texts
  }

  private func schema(_ value: JSONValue, _ place: String) throws(Refusal) -> Part {
    switch value {
    case .bool, .object: return (place, value)
    default: throw wanted("a schema, which is an object, true or false", value)
    }
  }

  private func list(_ value: JSONValue, _ place: String) throws(Refusal) -> [Part] {
    guard let list = value.array, !list.isEmpty else { throw wanted("an array of schemas", value) }
    var parts: [Part] = []
    for (index, element) in list.enumerated() { parts.append(try schema(element, "\(place)/\(index)")) }
    return parts
  }

  private func parts(_ value: JSONValue, _ place: String) throws(Refusal) -> [(name: String, part: Part)] {
    guard let members = value.members else { throw wanted("an object of schemas", value) }
    var parts: [(String, Part)] = []
    for (name, element) in members {
      parts.append((name, try schema(element, place + "/" + Self.escaped(name))))
    }
    return parts
  }
}

extension [JSONValue] {
  /// The values of another list that this one has too, in the other's order.
  func common(with other: [JSONValue]) -> [JSONValue] {
    let texts = Set(compactMap(\.string))
    let rest = filter { $0.string == nil }
    return other.filter { value in
      value.string.map(texts.contains) ?? rest.contains { $0.isSameValue(as: value) }
    }
  }
}

extension JSONValue {
  /// Whether JSON Schema holds both equal: numbers by value, objects whatever their order.
  func isSameValue(as other: JSONValue) -> Bool {
    switch (self, other) {
    case (.array(let one), .array(let two)):
      return one.count == two.count && zip(one, two).allSatisfy { $0.isSameValue(as: $1) }
    case (.object(let one), .object(let two)):
      return one.count == two.count
        && one.allSatisfy { member in other[member.key].map { member.value.isSameValue(as: $0) } ?? false }
    default:
      if let one = Decimal(self), let two = Decimal(other) { return one == two }
      return self == other
    }
  }

  /// For a message.
  var shortText: String {
    switch self {
    case .array: return "an array"
    case .object: return "an object"
    default:
      let text = String(decoding: JSONWriter.bytes(self), as: UTF8.self)
      return text.count > 40 ? "\(text.prefix(40))..." : text
    }
  }
}
