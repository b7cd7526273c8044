// ConfigurationReader.swift: typed, strict reading of config.json5, with errors that name file, line, key and fix.
// Foundation reads the JSON5; this file only walks the tree. Leaves out what the keys mean (Configuration.swift).
import Foundation

/// What is wrong with a configuration file, in words an operator can act on.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
  public let file: String
  /// From 1; nil where the place is not known.
  public let line: Int?
  public let problem: String
  public let hint: String?

  public var description: String {
    "\(file)\(line.map { ":\($0)" } ?? ""): \(problem)"
  }
}

/// A JSON5 value as Foundation decodes it.
indirect enum ConfigurationTree: Decodable {
  case null
  case bool(Bool)
  case integer(Int64)
  case number(Double)
  case string(String)
  case array([ConfigurationTree])
  case object([String: ConfigurationTree])

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {  // A failed guess at the type is no error.
      self = .bool(value)
    } else if let value = try? container.decode(Int64.self) {
      self = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([ConfigurationTree].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: ConfigurationTree].self))
    }
  }

  var kind: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let value): "\"\(value.prefix(40))\""
    case .array: "a list"
    case .object: "an object"
    }
  }
}

/// One object of the file, read key by key. Keys that nobody read are refused by `finish`.
struct ConfigurationReader {
  let file: String
  let text: String
  /// Keys from the root to this object.
  let path: [String]
  private let members: [String: ConfigurationTree]
  private var seen: Set<String> = []

  init(file: String, text: String) throws(ConfigurationError) {
    self.file = file
    self.text = text
    path = []
    let decoder = JSONDecoder()
    decoder.allowsJSON5 = true
    do {
      members = try decoder.decode([String: ConfigurationTree].self, from: Data(text.utf8))
    } catch {
      throw Self.syntax(error, file: file, text: text)
    }
  }

  private init(parent: ConfigurationReader, key: String, members: [String: ConfigurationTree]) {
    file = parent.file
    text = parent.text
    path = parent.path + [key]
    self.members = members
  }

  private static func syntax(_ error: any Error, file: String, text: String) -> ConfigurationError {
    var words = "it is not JSON5"
    var line: Int?
    if let problem = JSON5Syntax.problem(in: text) {
      words = "it is not JSON5: \(problem.words)"
      line = problem.line
    } else if case DecodingError.typeMismatch = error {
      words = "found no object at the top, wanted { \"key\": value, ... }"
      line = 1
    }
    if text.allSatisfy(\.isWhitespace) {
      words = "the file is empty, wanted an object such as {}"
      line = nil
    }
    return ConfigurationError(
      file: file, line: line, problem: words,
      hint: "mend the line, or move the file away to start with the defaults")
  }

  /// The name of a key as errors show it: `queue.jobs`.
  func name(_ key: String) -> String { (path + [key]).joined(separator: ".") }

  func problem(_ key: String, _ words: String, hint: String? = nil) -> ConfigurationError {
    ConfigurationError(
      file: file, line: JSON5Syntax.line(of: path + [key], in: text), problem: "'\(name(key))' \(words)",
      hint: hint)
  }

  private func mismatch(_ key: String, _ found: ConfigurationTree, wanted: String) -> ConfigurationError {
    problem(key, "is \(found.kind), wanted \(wanted)")
  }

  private mutating func take(_ key: String) -> ConfigurationTree? {
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
    guard case .integer(let number) = value, let exact = Int(exactly: number), range.contains(exact) else {
      throw mismatch(
        key, value, wanted: "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return exact
  }

  mutating func number(_ key: String, _ range: ClosedRange<Double>) throws(ConfigurationError) -> Double? {
    guard let value = take(key) else { return nil }
    let number: Double
    switch value {
    case .integer(let integer): number = Double(integer)
    case .number(let double): number = double
    case .null, .bool, .string, .array, .object:
      throw mismatch(key, value, wanted: "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    guard range.contains(number) else {
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

  /// The objects of a list, each with its place (from 1) in its path.
  mutating func objects(_ key: String) throws(ConfigurationError) -> [ConfigurationReader]? {
    guard let value = take(key) else { return nil }
    guard case .array(let items) = value else { throw mismatch(key, value, wanted: "a list of objects") }
    let list = ConfigurationReader(parent: self, key: key, members: [:])
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

  /// Refuses keys that nobody asked for, naming the nearest that is known.
  func finish() throws(ConfigurationError) {
    guard let stray = members.keys.filter({ !seen.contains($0) }).min() else { return }
    let known = seen.sorted().joined(separator: ", ")
    throw problem(stray, "is not a key that hotpot knows", hint: "here it knows: \(known)")
  }
}
