// JSONFields.swift: reads a request's JSON object field by field, each number within a range. A
// null field counts as absent, because that is what OpenAI's clients mean by it.

/// A field whose value a request may not have.
package struct JSONFieldError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The field with its path, such as "messages[2].content".
  package let field: String
  /// What was found and what was wanted, such as "'max_tokens' is 1.5, wanted an integer from 1 to
  /// 4096".
  package let message: String
  package let kind: Kind

  package enum Kind: Sendable, Equatable {
    /// The field is known, but its value is not allowed; or it is missing.
    case invalid
    /// The field, or what it requests, is not supported here.
    case unsupported
  }

  package init(field: String, message: String, kind: Kind = .invalid) {
    self.field = field
    self.message = message
    self.kind = kind
  }

  package static func unsupported(_ field: String, _ message: String) -> JSONFieldError {
    JSONFieldError(field: field, message: message, kind: .unsupported)
  }

  package var description: String { message }
}

/// The members of one JSON object, read by name. It records which were read, so that `unread` can
/// name the rest.
package struct JSONFields: Sendable {
  /// The object's path in the request: empty for the outermost.
  package let path: String
  private let members: [JSONValue.Member]
  private var isRead: [Bool]

  /// Throws, naming `path`, if the value is not an object.
  package init(_ value: JSONValue, path: String = "") throws(JSONFieldError) {
    guard case .object(let members) = value else {
      let name = path.isEmpty ? "the request" : "'\(path)'"
      throw JSONFieldError(field: path, message: "\(name) is \(Self.show(value)), wanted an object")
    }
    self.path = path
    self.members = members
    isRead = Array(repeating: false, count: members.count)
  }

  /// The paths of the fields that were never read and are not null, in order.
  package var unread: [String] {
    zip(members, isRead).compactMap { member, isRead in
      if case .null = member.value { return nil }
      return isRead ? nil : fullName(member.key)
    }
  }

  /// The field's path from the outermost object.
  package func fullName(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

  /// The field's value; nil if absent or null.
  package mutating func value(_ name: String) -> JSONValue? {
    guard let index = members.firstIndex(where: { $0.key == name }) else { return nil }
    isRead[index] = true
    if case .null = members[index].value { return nil }
    return members[index].value
  }

  /// Returns what another accessor found; throws if it was nil, because the field is required.
  package func require<Value>(_ name: String, _ found: Value?) throws(JSONFieldError) -> Value {
    guard let found else {
      throw JSONFieldError(field: fullName(name), message: "'\(fullName(name))' is missing")
    }
    return found
  }

  package mutating func integer(
    _ name: String, _ range: ClosedRange<Int>
  ) throws(JSONFieldError) -> Int? {
    guard let value = value(name) else { return nil }
    guard let integer = value.integer, range.contains(integer) else {
      throw wrong(name, value, "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return integer
  }

  package mutating func number(
    _ name: String, _ range: ClosedRange<Double>
  ) throws(JSONFieldError) -> Double? {
    guard let value = value(name) else { return nil }
    guard let number = value.number, range.contains(number) else {
      throw wrong(name, value, "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  package mutating func string(_ name: String, maxBytes: Int = .max) throws(JSONFieldError) -> String? {
    guard let value = value(name) else { return nil }
    guard case .string(let text) = value else { throw wrong(name, value, "a string") }
    guard text.utf8.count <= maxBytes else {
      throw JSONFieldError(
        field: fullName(name),
        message: "'\(fullName(name))' has \(text.utf8.count) bytes, wanted at most \(maxBytes)")
    }
    return text
  }

  /// One of the given words.
  package mutating func word(_ name: String, _ words: [String]) throws(JSONFieldError) -> String? {
    guard let value = value(name) else { return nil }
    guard case .string(let text) = value, words.contains(text) else {
      throw wrong(name, value, "one of " + words.map { "'\($0)'" }.joined(separator: ", "))
    }
    return text
  }

  package mutating func bool(_ name: String) throws(JSONFieldError) -> Bool? {
    guard let value = value(name) else { return nil }
    guard case .bool(let flag) = value else { throw wrong(name, value, "true or false") }
    return flag
  }

  package mutating func array(
    _ name: String, count: ClosedRange<Int> = 0...Int.max
  ) throws(JSONFieldError) -> [JSONValue]? {
    guard let value = value(name) else { return nil }
    guard case .array(let elements) = value else { throw wrong(name, value, "an array") }
    guard count.contains(elements.count) else {
      throw JSONFieldError(
        field: fullName(name),
        message: "'\(fullName(name))' has \(elements.count) elements, wanted \(count.lowerBound) to "
          + "\(count.upperBound)")
    }
    return elements
  }

  package mutating func object(_ name: String) throws(JSONFieldError) -> JSONFields? {
    guard let value = value(name) else { return nil }
    return try JSONFields(value, path: fullName(name))
  }

  /// The error for a field whose value is not what was wanted.
  package func wrong(_ name: String, _ value: JSONValue, _ wanted: String) -> JSONFieldError {
    JSONFieldError(
      field: fullName(name), message: "'\(fullName(name))' is \(Self.show(value)), wanted \(wanted)")
  }

  /// A value as a message shows it: short, and on one line.
  package static func show(_ value: JSONValue) -> String {
    switch value {
    case .array: "an array"
    case .object: "an object"
    case .string(let text): "\"\(shortened(text))\""
    case .null, .bool, .int, .unsigned, .big, .double:
      String(decoding: JSONWriter.bytes(value), as: UTF8.self)
    }
  }
}
