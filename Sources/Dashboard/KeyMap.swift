// KeyMap.swift: which key runs which action: the defaults, changed by the operator's keymap file. A
// line of the file is an action and its keys, `cancel = D F9`; it replaces the action's keys,
// `cancel =` unbinds it; `#` starts a comment. The keys of text fields are fixed. Start at
// KeyMap.init(file:).
import Terminal

package struct KeyMap: Sendable {
  package private(set) var targets: [Key: KeyTarget] = [:]
  private var keys: [KeyTarget: [Key]] = [:]
  /// Keys that a file takes from actions that it does not name, by line.
  package private(set) var thefts: [Theft] = []

  /// A line of a keymap file that takes another action's key.
  package struct Theft: Hashable, Sendable, CustomStringConvertible {
    package let line: Int
    package let key: String
    package let taker: String
    package let loser: String
    /// The loser has no key left.
    package let isLast: Bool

    package var description: String {
      "keymap line \(line): key '\(key)' for \(taker) is taken from \(loser)\(isLast ? ", which has no key left" : "")"
    }
  }

  /// Keys that terminals, multiplexers and flow control need; binding one is refused.
  package static let reserved: [String] =
    ["C-s", "C-q", "C-a", "C-b", "C-i", "C-m", "C-h", "C-[", "F11"] + (0...9).map { "M-\($0)" }

  package init() {
    for entry in Action.table { bind(entry.keys.compactMap { Key(name: $0) }, to: entry.target) }
  }

  /// A fault in a keymap file, with its line and what to do.
  package struct FileError: Error, Hashable, CustomStringConvertible {
    package let line: Int
    package let found: String
    package let wanted: String

    package var description: String { "keymap line \(line): \(found), wanted \(wanted)" }
  }

  package init(file: String) throws(FileError) {
    self.init()
    var bound: [Key: Int] = [:]
    var named: Set<KeyTarget> = []
    var taken: [(line: Int, key: Key, taker: KeyTarget, loser: KeyTarget)] = []
    for (index, line) in file.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let text = line.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)[0]
      let isKeyHash = text.allSatisfy { $0 == " " || $0 == "\t" || $0 == "\r" }
      if isKeyHash { continue }
      guard let equals = text.firstIndex(of: "=") else {
        throw FileError(
          line: index + 1, found: "'\(displaySafe(text.prefix(40)))'", wanted: "ACTION = KEY ...")
      }
      let name = text[..<equals].filter { $0 != " " && $0 != "\t" }
      guard let target = KeyTarget(name: String(name)) else {
        throw FileError(
          line: index + 1, found: "action '\(displaySafe(name.prefix(40)))'", wanted: "a name that ? lists")
      }
      var chosen: [Key] = []
      for word in text[text.index(after: equals)...].split(whereSeparator: {
        $0 == " " || $0 == "\t" || $0 == "\r"
      }) {
        guard let key = Key(name: String(word)) else {
          throw FileError(
            line: index + 1, found: "key '\(displaySafe(word.prefix(40)))'",
            wanted: "a key like x, C-x, M-x, F9, PgUp")
        }
        if KeyMap.reserved.contains(key.name) {
          throw FileError(
            line: index + 1, found: "key '\(key.name)'", wanted: "a key that terminals leave to programs")
        }
        if let other = bound[key] {
          throw FileError(
            line: index + 1, found: "key '\(key.name)', bound in line \(other) too",
            wanted: "one action for a key")
        }
        bound[key] = index + 1
        chosen.append(key)
      }
      named.insert(target)
      for key in chosen {
        if let loser = targets[key], loser != target { taken.append((index + 1, key, target, loser)) }
      }
      bind(chosen, to: target)
    }
    thefts = taken.filter { !named.contains($0.loser) }.map { line, key, taker, loser in
      Theft(
        line: line, key: key.name, taker: taker.name, loser: loser.name, isLast: keys(of: loser).isEmpty)
    }
  }

  private mutating func bind(_ chosen: [Key], to target: KeyTarget) {
    for old in keys[target] ?? [] where targets[old] == target { targets[old] = nil }
    for key in chosen {
      if let other = targets[key] { keys[other]?.removeAll { $0 == key } }
      targets[key] = target
    }
    keys[target] = chosen
  }

  package func keys(of target: KeyTarget) -> [Key] { keys[target] ?? [] }

  /// The key that screens show for an action; nil if it has none.
  func hint(_ action: Action) -> String? { hint(.action(action)) }

  func hint(_ target: KeyTarget) -> String? { keys[target]?.first?.name }
}
