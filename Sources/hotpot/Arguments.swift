// Arguments.swift: parses the words of a command line into options and operands, in GNU's manner:
// `--name=value`, `--name value`, `-n value`, `-nvalue`; `--` ends the options, and `-` is an
// operand. Unknown options are refused with the nearest known one.

/// The parsed words of one command.
struct Arguments: Sendable {
  private(set) var operands: [String] = []
  private var values: [String: String] = [:]
  private let command: String

  init(_ words: [String], for command: Command) throws {
    self.command = command.name
    let options = command.options + [.help]
    var rest = words[...]
    while let word = rest.popFirst() {
      if word == "--" {
        operands += rest
        break
      }
      if word.hasPrefix("--") {
        let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard let option = options.first(where: { $0.name == name }) else {
          throw Self.unknown("--\(name)", among: options.map { "--\($0.name)" }, command.name)
        }
        if option.value == nil {
          guard parts.count == 1 else {
            throw Failure(.usage, "option '--\(name)' takes no value", hint: Self.help(command.name))
          }
          values[name] = ""
        } else if parts.count == 2 {
          values[name] = String(parts[1])
        } else {
          values[name] = try Self.value(&rest, "--\(name)", command.name)
        }
      } else if word.hasPrefix("-"), word != "-" {
        var letters = word.dropFirst()
        while let letter = letters.popFirst() {
          guard let option = options.first(where: { $0.letter == letter }) else {
            throw Self.unknown("-\(letter)", among: options.map { "--\($0.name)" }, command.name)
          }
          if option.value == nil {
            values[option.name] = ""
          } else if letters.isEmpty {
            values[option.name] = try Self.value(&rest, "-\(letter)", command.name)
          } else {
            values[option.name] = String(letters.first == "=" ? letters.dropFirst() : letters)
            letters = ""
          }
        }
      } else {
        operands.append(word)
      }
    }
    // An empty value is refused, never replaced by a default: an unset variable of a script gives
    // `--state ""`.
    for option in options where option.value != nil && !option.mayBeEmpty && values[option.name] == "" {
      throw Failure(
        .usage, "option '--\(option.name)' wants a value, found an empty one", hint: Self.help(command.name))
    }
  }

  private static func help(_ command: String) -> String { "'hotpot \(command) --help' lists the options" }

  private static func value(
    _ rest: inout ArraySlice<String>, _ name: String, _ command: String
  ) throws -> String {
    guard let value = rest.popFirst() else {
      throw Failure(.usage, "option '\(name)' wants a value", hint: help(command))
    }
    return value
  }

  private static func unknown(_ name: String, among known: [String], _ command: String) -> Failure {
    Failure(
      .usage, "unknown option '\(name)'",
      hint: Spelling.nearest(to: name, among: known).map { "did you mean '\($0)'?" } ?? help(command))
  }

  // MARK: Reading

  func has(_ name: String) -> Bool { values[name] != nil }
  func string(_ name: String) -> String? { values[name] }

  /// A whole number within bounds, or nil when the option is not given.
  func int(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
    guard let text = values[name] else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw Failure(
        .usage,
        "option '--\(name)' wants a whole number from \(range.lowerBound) to \(range.upperBound), found '\(text)'"
      )
    }
    return number
  }

  func double(_ name: String, in range: ClosedRange<Double>) throws -> Double? {
    guard let text = values[name] else { return nil }
    guard let number = Double(text), range.contains(number) else {
      throw Failure(
        .usage,
        "option '--\(name)' wants a number from \(range.lowerBound) to \(range.upperBound), found '\(text)'")
    }
    return number
  }

  /// The operands, provided that their number is within the range.
  func operands(_ range: ClosedRange<Int>, _ what: String) throws -> [String] {
    guard range.contains(operands.count) else {
      let found =
        operands.count < range.lowerBound
        ? "\(what) is missing" : "too many operands: '\(operands[range.upperBound])'"
      throw Failure(.usage, found, hint: "'hotpot \(command) --help' shows the usage")
    }
    return operands
  }
}

/// Near misses of names.
enum Spelling {
  /// The known word within two edits (a third of its length for long ones), the nearest first.
  static func nearest(to word: String, among known: [String]) -> String? {
    known.map { ($0, distance(word, $0)) }
      .filter { $0.1 <= max(2, $0.0.count / 3) }
      .min { $0.1 < $1.1 }?.0
  }

  /// Edits between two words: insertions, deletions, replacements.
  static func distance(_ a: String, _ b: String) -> Int {
    let left = Array(a.utf8.prefix(64))
    let right = Array(b.utf8.prefix(64))
    var row = Array(0...right.count)
    for (i, x) in left.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, y) in right.enumerated() {
        let above = row[j + 1]
        row[j + 1] = min(above + 1, row[j] + 1, diagonal + (x == y ? 0 : 1))
        diagonal = above
      }
    }
    return row[right.count]
  }
}
