// LineEditor.swift: text being typed: one line or several, with a cursor and a history.
// The cursor stands between grapheme clusters, so that one Backspace takes one character as a person counts them.
// Start at insert and key.
import Terminal

struct LineEditor: Equatable, Sendable {
  /// Longest text, in characters.
  static let limit = 32_768

  private(set) var characters: [Character] = []
  private(set) var cursor = 0
  private var history: [String] = []
  private var historyIndex: Int?
  private var draft = ""

  init() {}

  var text: String { String(characters) }
  var isEmpty: Bool { characters.isEmpty }
  var beforeCursor: String { String(characters[..<cursor]) }

  mutating func set(_ text: String) {
    characters = Array(text.prefix(LineEditor.limit))
    cursor = characters.count
  }

  /// Typed or pasted; newlines stay where `isMultiline`, else they become blanks.
  mutating func insert(_ text: String, isMultiline: Bool) {
    let cleaned = text.replacingNewlines(isMultiline ? "\n" : " ")
    let before = String(characters[..<cursor]) + cleaned
    let after = String(characters[cursor...])
    // Joined as text: a combining mark belongs to the character before it.
    let front = Array(before)
    characters = Array((before + after).prefix(LineEditor.limit))
    cursor = min(front.count, characters.count)
    historyIndex = nil
  }

  /// Takes what is typed, empties the field and remembers it.
  mutating func take() -> String {
    let result = text
    if !result.isEmpty && history.last != result { history.append(result) }
    if history.count > 200 { history.removeFirst() }
    characters = []
    cursor = 0
    historyIndex = nil
    return result
  }

  mutating func recall(older: Bool) {
    if history.isEmpty { return }
    let next: Int
    if let index = historyIndex {
      next = older ? max(0, index - 1) : index + 1
    } else {
      if !older { return }
      draft = text
      next = history.count - 1
    }
    if next >= history.count {
      set(draft)
      historyIndex = nil
    } else {
      set(history[next])
      historyIndex = next
    }
  }

  /// Keys every field knows; false when the key is not one of them.
  mutating func key(_ key: Key) -> Bool {
    if key.modifiers == .control, case .character(let letter) = key.code {
      switch letter {
      case "u":
        characters.removeFirst(cursor)
        cursor = 0
      case "k": characters.removeLast(characters.count - cursor)
      case "w": deleteWord()
      case "e": cursor = characters.count
      default: return false
      }
      return true
    }
    guard key.modifiers.isEmpty || key.modifiers == .shift else { return false }
    switch key.code {
    case .character(let scalar): insert(String(scalar), isMultiline: false)
    case .backspace:
      if cursor > 0 {
        cursor -= 1
        characters.remove(at: cursor)
      }
    case .delete: if cursor < characters.count { characters.remove(at: cursor) }
    case .left: cursor = max(0, cursor - 1)
    case .right: cursor = min(characters.count, cursor + 1)
    case .home: cursor = 0
    case .end: cursor = characters.count
    case .enter, .escape, .tab, .insert, .up, .down, .pageUp, .pageDown, .function: return false
    }
    return true
  }

  private mutating func deleteWord() {
    while cursor > 0 && characters[cursor - 1] == " " {
      cursor -= 1
      characters.remove(at: cursor)
    }
    while cursor > 0 && characters[cursor - 1] != " " {
      cursor -= 1
      characters.remove(at: cursor)
    }
  }
}

extension String {
  fileprivate func replacingNewlines(_ other: Character) -> String {
    var result = ""
    for character in self {
      if character.isNewline {
        result.append(other)
      } else if character == "\t" {
        result.append(" ")
      } else {
        result.append(character)
      }
    }
    return result
  }
}
