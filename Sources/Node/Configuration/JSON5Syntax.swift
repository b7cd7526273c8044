// JSON5Syntax.swift: where a text stops being JSON5, for the operator who has to mend it.
// Foundation reads the file and says only that it cannot; this walk finds the place. Leaves out values.
// Start at JSON5Syntax.problem.

import Foundation

struct JSON5Syntax {
  struct Problem: Error {
    let line: Int
    let words: String
  }

  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var line = 1
  /// Keys, and places in lists from 1, from the top to where the walk is.
  private var path: [String] = []
  private var lines: [[String]: Int] = [:]

  private init(_ text: String) { scalars = Array(text.unicodeScalars) }

  /// The first place that is no JSON5; nil when none is found.
  static func problem(in text: String) -> Problem? {
    var walk = JSON5Syntax(text)
    do throws(Problem) {
      try walk.value(depth: 0)
      try walk.blanks()
      if let stray = walk.next { throw walk.found(stray, wanted: "the end of the file") }
      return nil
    } catch { return error }
  }

  /// The line on which the value at a path stands: keys, and places in lists from 1. Of what is not there, the line of what
  /// it is missing in; nil where that is the whole file.
  static func line(of path: [String], in text: String) -> Int? {
    var walk = JSON5Syntax(text)
    // A place that comes after what is no JSON5 is not found, and the reader has said so.
    try? walk.value(depth: 0)
    return (1...max(1, path.count)).reversed().lazy.compactMap { walk.lines[Array(path.prefix($0))] }.first
  }

  private var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private mutating func advance() {
    if next == "\n" { line += 1 }
    position += 1
  }

  private func found(_ scalar: Unicode.Scalar?, wanted: String) -> Problem {
    Problem(line: line, words: "found \(scalar.map { "'\($0)'" } ?? "the end of the file"), wanted \(wanted)")
  }

  private mutating func blanks() throws(Problem) {
    while let scalar = next {
      if scalar.properties.isWhitespace || scalar == "\u{FEFF}" {
        advance()
      } else if scalar == "/", position + 1 < scalars.count, scalars[position + 1] == "/" {
        while let rest = next, rest != "\n" { _ = rest; advance() }
      } else if scalar == "/", position + 1 < scalars.count, scalars[position + 1] == "*" {
        let start = line
        position += 2
        while !(next == "*" && position + 1 < scalars.count && scalars[position + 1] == "/") {
          guard next != nil else {
            throw Problem(line: start, words: "the comment that begins here does not end")
          }
          advance()
        }
        position += 2
      } else {
        return
      }
    }
  }

  private mutating func value(depth: Int) throws(Problem) {
    try blanks()
    guard depth < 64 else { throw Problem(line: line, words: "more than 64 levels deep") }
    switch next {
    case "{": try list(depth, close: "}", hasKeys: true)
    case "[": try list(depth, close: "]", hasKeys: false)
    case "\"", "'": try string()
    case let scalar?
    where scalar == "-" || scalar == "+" || scalar == "." || scalar.properties.isAlphabetic
      || ("0"..."9").contains(scalar):
      while let part = next,
        part.properties.isAlphabetic || ("0"..."9").contains(part) || "+-._$".unicodeScalars.contains(part)
      {
        advance()
      }
    case let other: throw found(other, wanted: "a value")
    }
  }

  private mutating func list(_ depth: Int, close: Unicode.Scalar, hasKeys: Bool) throws(Problem) {
    advance()
    var count = 0
    while true {
      try blanks()
      if next == close { return advance() }
      count += 1
      path.append("\(count)")
      defer { path.removeLast() }
      if hasKeys {
        let start = position
        let line = line
        try key()
        let name = String(String.UnicodeScalarView(scalars[start..<position]))
        path[path.count - 1] = name.trimmingCharacters(in: ["\"", "'"])
        lines[path] = line
        try blanks()
        guard next == ":" else { throw found(next, wanted: "':' after the key") }
        advance()
      } else {
        lines[path] = line
      }
      try value(depth: depth + 1)
      try blanks()
      if next == "," {
        advance()
      } else if next != close {
        throw found(next, wanted: "',' or '\(close)'")
      }
    }
  }

  private mutating func key() throws(Problem) {
    if next == "\"" || next == "'" { return try string() }
    let start = position
    while let scalar = next,
      scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || scalar == "_" || scalar == "$"
    {
      advance()
    }
    if position == start { throw found(next, wanted: "a key") }
  }

  private mutating func string() throws(Problem) {
    let quote = next
    let start = line
    advance()
    while let scalar = next, scalar != quote {
      if scalar == "\\" { advance() }
      guard next != nil, scalar != "\n" else { break }
      advance()
    }
    guard next == quote else {
      throw Problem(line: start, words: "the text that begins here does not end on its line")
    }
    advance()
  }
}
