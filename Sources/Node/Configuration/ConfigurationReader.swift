// ConfigurationReader.swift: typed, strict reading of config.json5, with errors that name file,
// line, key and fix. JSON5 parses the text; this file only walks the tree. What the keys mean is in
// Configuration.swift.
import Foundation
import JSON

/// What is wrong with a configuration file, in words an operator can act on.
package struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
  package let file: String
  /// Counted from 1; nil if the position is unknown.
  package let line: Int?
  /// Counted from 1 in Unicode scalars; nil if the position is unknown.
  package let column: Int?
  package let problem: String
  package let hint: String?

  package var description: String {
    "\(file)\(line.map { ":\($0)" } ?? "")\(column.map { ":\($0)" } ?? ""): \(problem)"
  }
}

/// One object of the file, read key by key. `finish` refuses keys that were not read.
struct ConfigurationReader {
  let file: String
  /// Keys from the root to this object.
  let path: [String]
  private let document: JSON5
  private let members: [String: JSONValue]
  private var seen: Set<String> = []

  init(file: String, text: String) throws(ConfigurationError) {
    do {
      document = try JSON5(text)
    } catch {
      throw Self.syntax("it is not JSON5: \(error.words)", error.place, file: file, text: text)
    }
    guard let members = document.value.members else {
      throw Self.syntax(
        "found no object at the top, wanted { \"key\": value, ... }", JSON5Error.Place(line: 1, column: 1),
        file: file, text: text)
    }
    self.file = file
    path = []
    self.members = Self.byKey(members)
  }

  private init(parent: ConfigurationReader, key: String, members: [JSONValue.Member]) {
    file = parent.file
    document = parent.document
    path = parent.path + [key]
    self.members = Self.byKey(members)
  }

  /// JSON5 has already refused duplicate keys.
  private static func byKey(_ members: [JSONValue.Member]) -> [String: JSONValue] {
    Dictionary(members.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
  }

  private static func syntax(
    _ words: String, _ place: JSON5Error.Place, file: String, text: String
  ) -> ConfigurationError {
    let isEmpty = text.allSatisfy(\.isWhitespace)
    return ConfigurationError(
      file: file, line: isEmpty ? nil : place.line, column: isEmpty ? nil : place.column,
      problem: isEmpty ? "the file is empty, wanted an object such as {}" : words,
      hint: "mend the line, or move the file away to start with the defaults")
  }

  /// The name of a key as errors show it: `queue.jobs`.
  func name(_ key: String) -> String { (path + [key]).joined(separator: ".") }

  func problem(_ key: String, _ words: String, hint: String? = nil) -> ConfigurationError {
    let place = document.place(of: path + [key])
    return ConfigurationError(
      file: file, line: place?.line, column: place?.column, problem: "'\(name(key))' \(words)", hint: hint)
  }

  private static func show(_ value: JSONValue) -> String {
    if case .array = value { "a list" } else { JSONFields.show(value) }
  }

  private func mismatch(_ key: String, _ found: JSONValue, wanted: String) -> ConfigurationError {
    problem(key, "is \(Self.show(found)), wanted \(wanted)")
  }

  private mutating func take(_ key: String) -> JSONValue? {
    seen.insert(key)
    guard let value = members[key] else { return nil }
    if case .null = value { return nil }
    return value
  }

  mutating func string(_ key: String) throws(ConfigurationError) -> String? {
    guard let value = take(key) else { return nil }
    guard case .string(let text) = value else { throw mismatch(key, value, wanted: "a text") }
    return text
  }

  mutating func bool(_ key: String) throws(ConfigurationError) -> Bool? {
    guard let value = take(key) else { return nil }
    guard case .bool(let flag) = value else { throw mismatch(key, value, wanted: "true or false") }
    return flag
  }

  mutating func integer(_ key: String, _ range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
    guard let value = take(key) else { return nil }
    guard let exact = value.integer, range.contains(exact) else {
      throw mismatch(
        key, value, wanted: "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return exact
  }

  mutating func number(_ key: String, _ range: ClosedRange<Double>) throws(ConfigurationError) -> Double? {
    guard let value = take(key) else { return nil }
    guard let number = value.number, range.contains(number) else {
      throw mismatch(key, value, wanted: "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  mutating func strings(_ key: String) throws(ConfigurationError) -> [String]? {
    guard let value = take(key) else { return nil }
    guard case .array(let items) = value else { throw mismatch(key, value, wanted: "a list of texts") }
    var texts: [String] = []
    for item in items {
      guard case .string(let text) = item else { throw mismatch(key, item, wanted: "a text in the list") }
      texts.append(text)
    }
    return texts
  }

  /// One of the named choices.
  mutating func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String, _ type: Choice.Type
  ) throws(ConfigurationError) -> Choice? where Choice.RawValue == String {
    guard let text = try string(key) else { return nil }
    guard let choice = Choice(rawValue: text) else {
      let known = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
      throw problem(key, "is \"\(text.prefix(40))\", wanted one of \(known)")
    }
    return choice
  }

  mutating func object(_ key: String) throws(ConfigurationError) -> ConfigurationReader? {
    guard let value = take(key) else { return nil }
    guard case .object(let members) = value else { throw mismatch(key, value, wanted: "an object") }
    return ConfigurationReader(parent: self, key: key, members: members)
  }

  /// The objects of a list, each with its position (from 1) in its path.
  mutating func objects(_ key: String) throws(ConfigurationError) -> [ConfigurationReader]? {
    guard let value = take(key) else { return nil }
    guard case .array(let items) = value else { throw mismatch(key, value, wanted: "a list of objects") }
    let list = ConfigurationReader(parent: self, key: key, members: [])
    var readers: [ConfigurationReader] = []
    for (index, item) in items.enumerated() {
      guard case .object(let members) = item else {
        throw mismatch(key, item, wanted: "an object in the list")
      }
      readers.append(ConfigurationReader(parent: list, key: "\(index + 1)", members: members))
    }
    return readers
  }

  /// The objects under an object with free keys (names), in the order of the keys.
  mutating func named(_ key: String) throws(ConfigurationError) -> [(
    name: String, reader: ConfigurationReader
  )]? {
    guard var child = try object(key) else { return nil }
    var readers: [(name: String, reader: ConfigurationReader)] = []
    for name in child.members.keys.sorted() {
      if let reader = try child.object(name) { readers.append((name, reader)) }
    }
    return readers
  }

  /// Refuses unknown keys, naming the nearest known one.
  func finish() throws(ConfigurationError) {
    guard let stray = members.keys.filter({ !seen.contains($0) }).min() else { return }
    let known = seen.sorted().joined(separator: ", ")
    throw problem(stray, "is not a key that hotpot knows", hint: "here it knows: \(known)")
  }
}
