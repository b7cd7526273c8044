// LineEditorTests.swift: what a line of text is after keys, pastes and the history.
import Testing

@testable import Terminal

@Suite struct LineEditorTests {
  private func editor(_ text: String) -> LineEditor {
    var editor = LineEditor()
    editor.set(text)
    return editor
  }

  @Test func `Backspace deletes one character as a person counts them`() {
    var line = editor("né")
    line.insert("\u{301}👩‍👩‍👧", isMultiline: false)
    _ = line.key(Key(.backspace))
    #expect(line.text == "né\u{301}")
    _ = line.key(Key(.backspace))
    #expect(line.text == "n")
  }

  @Test func `a newline stays in a text of several lines and is a blank in one line`() {
    var chat = editor("a")
    chat.insert("\nb", isMultiline: true)
    #expect(chat.text == "a\nb")
    var line = editor("a")
    line.insert("\r\nb\tc", isMultiline: false)
    #expect(line.text == "a b c")
  }

  @Test func `C-w deletes the word before the cursor, C-u and C-k what is before and after it`() {
    var line = editor("one two  three")
    _ = line.key(Key(.character("w"), .control))
    #expect(line.text == "one two  ")
    _ = line.key(Key(.character("w"), .control))
    #expect(line.text == "one ")
    _ = line.key(Key(.left))
    _ = line.key(Key(.character("k"), .control))
    #expect(line.text == "one")
    _ = line.key(Key(.left))
    _ = line.key(Key(.character("u"), .control))
    #expect(line.text == "e" && line.beforeCursor.isEmpty)
  }

  @Test func `the history keeps the draft, and what was cleared is not in it`() {
    var line = LineEditor()
    for text in ["one", "two", "two"] {
      line.set(text)
      #expect(line.take() == text)
    }
    line.set("dropped")
    line.clear()
    line.set("draft")
    var seen: [String] = []
    for isOlder in [true, true, true, false, false, false] {
      line.recall(older: isOlder)
      seen.append(line.text)
    }
    #expect(seen == ["two", "one", "one", "two", "draft", "draft"])
  }

  @Test func `the history forgets its oldest entry, and a text its end`() {
    var line = LineEditor(limit: 3, memory: 2)
    for text in ["aaa", "bbb", "cccc"] {
      line.set(text)
      _ = line.take()
    }
    line.recall(older: true)
    #expect(line.text == "ccc")
    for _ in 0..<3 { line.recall(older: true) }
    #expect(line.text == "bbb")
  }

  @Test(arguments: [
    ("abcdefgh", 0, 4, "abc", 0), ("abcdefgh", 8, 4, "fgh", 3), ("日本語", 3, 5, "本語", 4),
    ("abc", 3, 80, "abc", 3),
  ])
  func `a window shows what fits around the cursor`(
    text: String, cursor: Int, columns: Int, shown: String, column: Int
  ) {
    var line = editor(text)
    _ = line.key(Key(.home))
    for _ in 0..<cursor { _ = line.key(Key(.right)) }
    let window = line.window(columns: columns)
    #expect(window.text == shown && window.cursor == column)
  }
}
