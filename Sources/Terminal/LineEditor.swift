// LineEditor.swift: text being typed: one line or several, with a cursor and a history.
// The cursor is between grapheme clusters, so that one Backspace deletes what a person sees as one
// character. Drawing is the caller's; bytes become keys in KeyDecoder.swift. Start at insert and
// key.

package struct LineEditor: Equatable, Sendable {
  /// Longest text, in characters.
  private let limit: Int
  /// How many history entries are kept.
  private let memory: Int
  private var characters: [Character] = []
  private var cursor = 0
  private var history: [String] = []
  private var historyIndex: Int?
  private var draft = ""

  package init(limit: Int = 32_768, memory: Int = 200) { (self.limit, self.memory) = (limit, memory) }

  package var text: String { String(characters) }
  package var isEmpty: Bool { characters.isEmpty }
  package var beforeCursor: String { String(characters[..<cursor]) }

  package mutating func set(_ text: String) {
    characters = Array(text.prefix(limit))
    cursor = characters.count
  }

  /// Empties the field without adding it to the history.
  package mutating func clear() {
    set("")
    historyIndex = nil
  }

  /// Typed or pasted; newlines are kept if `isMultiline`, otherwise they become blanks.
  package mutating func insert(_ text: String, isMultiline: Bool) {
    let cleaned = text.replacingNewlines(isMultiline ? "\n" : " ")
    let before = String(characters[..<cursor]) + cleaned
    let after = String(characters[cursor...])
    // Joined as text: a combining mark belongs to the character before it.
    let front = Array(before)
    characters = Array((before + after).prefix(limit))
    cursor = min(front.count, characters.count)
    historyIndex = nil
  }

  /// Returns the text, empties the field and adds the text to the history.
  package mutating func take() -> String {
    let result = text
    if !result.isEmpty && history.last != result { history.append(result) }
    if history.count > memory { history.removeFirst() }
    clear()
    return result
  }

  package mutating func recall(older: Bool) {
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

  /// Handles the keys that every field knows; false if the key isn't one of them.
  package mutating func key(_ key: Key) -> Bool {
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
    var start = cursor
    while start > 0 && characters[start - 1].isWhitespace { start -= 1 }
    while start > 0 && !characters[start - 1].isWhitespace { start -= 1 }
    characters.removeSubrange(start..<cursor)
    cursor = start
  }

  /// As much of the text around the cursor as fits into `columns`, and the cursor's column in it.
  package func window(columns: Int) -> (text: String, cursor: Int) {
    var start = cursor
    var left = 0
    while start > 0, left + displayWidth(String(characters[start - 1])) < columns {
      start -= 1
      left += displayWidth(String(characters[start]))
    }
    var end = cursor
    var total = left
    while end < characters.count, total + displayWidth(String(characters[end])) < columns {
      total += displayWidth(String(characters[end]))
      end += 1
    }
    return (String(characters[start..<end]), left)
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
