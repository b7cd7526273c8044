// ArgumentTypes.swift: what a bare text in a tag is, by the tool's schema: a string where the schema
// says string, whatever it looks like; else JSON, or Python's words for it.

import JSON

extension ToolDefinition {
  /// The value that the text stands for as that parameter.
  ///
  /// A text that doesn't fit the schema's types stays a string: the client answers the model with an
  /// error. A parameter without a schema is JSON if it reads as JSON, else a string.
  func value(_ text: String, for parameter: String) -> JSONValue {
    typedValue(text, parameters?["properties"]?[parameter], in: parameters)
  }
}

/// The names of JSON's types that a schema allows; nil if it says nothing.
func allowedTypes(_ schema: JSONValue?, in root: JSONValue?, depth: Int = 0) -> [String]? {
  guard let schema, depth < 8 else { return nil }
  if let type = schema["type"] {
    return type.string.map { [$0] } ?? type.array?.compactMap(\.string)
  }
  if let reference = schema["$ref"]?.string {
    let path = reference.split(separator: "/").dropFirst()
    guard reference.hasPrefix("#") else { return nil }
    let target = path.reduce(root) { value, name in value?[String(name)] }
    return allowedTypes(target, in: root, depth: depth + 1)
  }
  for word in ["anyOf", "oneOf"] {
    guard let choices = schema[word]?.array else { continue }
    let types = choices.prefix(64).map { allowedTypes($0, in: root, depth: depth + 1) }
    return types.contains { $0 == nil } ? nil : types.flatMap { $0 ?? [] }
  }
  if let values = schema["enum"]?.array ?? schema["const"].map({ [$0] }) {
    return values.map(typeName)
  }
  return nil
}

func typedValue(_ text: String, _ schema: JSONValue?, in root: JSONValue?) -> JSONValue {
  let types = allowedTypes(schema, in: root)
  if let types, types.allSatisfy({ $0 == "string" }) { return .string(text) }
  let trimmed = trimmingSpace(text)
  let words: [String: JSONValue] = [
    "True": .bool(true), "False": .bool(false), "None": .null, "TRUE": .bool(true), "FALSE": .bool(false),
  ]
  guard let value = words[trimmed] ?? parseJSON(Array(trimmed.utf8)) else { return .string(text) }
  guard let types else { return value }
  let name = typeName(value)
  let fits = types.contains(name) || (name == "integer" && types.contains("number"))
  // 1.0 is an integer to JSON schema.
  return fits || (types.contains("integer") && value.integer != nil) ? value : .string(text)
}

private func typeName(_ value: JSONValue) -> String {
  switch value {
  case .null: "null"
  case .bool: "boolean"
  case .int, .unsigned, .big: "integer"
  case .double: "number"
  case .string: "string"
  case .array: "array"
  case .object: "object"
  }
}

/// JSON as a model writes it: integers keep their digits, and of a repeated key the last counts. Nil
/// if it is none.
func parseJSON(_ bytes: [UInt8]) -> JSONValue? {
  var limits = JSONText.Limits()
  limits.duplicateKeys = .allowed
  limits.integers = .exact
  // A text that isn't JSON is a string or no call: the reason is of no use.
  return try? JSONText.parse(bytes, limits: limits)
}

func trimmingSpace(_ text: String) -> String {
  let bytes = Array(text.utf8)
  guard let first = bytes.firstIndex(where: { !isSpace($0) }),
    let last = bytes.lastIndex(where: { !isSpace($0) })
  else { return "" }
  return String(decoding: bytes[first...last], as: UTF8.self)
}
