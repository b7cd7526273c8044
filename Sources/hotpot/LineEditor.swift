// LineEditor.swift: one line from a terminal, with the arrows, the keys of Emacs and a history; or plainly from a pipe.
// Left out: completion, several lines, right-to-left text. Bytes to keys is KeyDecoder, keys to text is LineBuffer,
// without a terminal.

import Foundation
import Terminal

/// A line while it is edited: characters as a person sees them, and a cursor between them.
struct LineBuffer {
  enum Key: Equatable {
    case text(String)
    case left, right, home, end, up, down, backspace, delete, deleteToEnd, deleteToStart, deleteWord
  }

  private(set) var characters: [Character] = []
  private(set) var cursor = 0
  private var history: [String]
  private var place: Int
  /// The line that was begun before going back in the history.
  private var draft = ""

  init(history: [String]) {
    self.history = history
    place = history.count
  }

  var text: String { String(characters) }

  mutating func apply(_ key: Key) {
    switch key {
    case .text(let text):
      // A combining mark joins the character before it, so the line is taken apart anew.
      let before = String(characters[..<cursor]) + text
      let after = characters[cursor...]
      characters = Array(before) + after
      cursor = before.count
    case .left: cursor = max(cursor - 1, 0)
    case .right: cursor = min(cursor + 1, characters.count)
    case .home: cursor = 0
    case .end: cursor = characters.count
    case .backspace:
      guard cursor > 0 else { return }
      cursor -= 1
      characters.remove(at: cursor)
    case .delete: if cursor < characters.count { characters.remove(at: cursor) }
    case .deleteToEnd: characters.removeSubrange(cursor...)
    case .deleteToStart:
      characters.removeSubrange(..<cursor)
      cursor = 0
    case .deleteWord:
      var start = cursor
      while start > 0, characters[start - 1].isWhitespace { start -= 1 }
      while start > 0, !characters[start - 1].isWhitespace { start -= 1 }
      characters.removeSubrange(start..<cursor)
      cursor = start
    case .up: go(to: place - 1)
    case .down: go(to: place + 1)
    }
  }

  private mutating func go(to next: Int) {
    guard (0...history.count).contains(next) else { return }
    if place == history.count { draft = text }
    place = next
    characters = Array(next == history.count ? draft : history[next])
    cursor = characters.count
  }

  /// Columns that a character takes: two for the wide scripts and emoji.
  static func width(_ character: Character) -> Int {
    guard let scalar = character.unicodeScalars.first else { return 0 }
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0: return 0
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
      0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
      return 2
    default: return 1
    }
  }

  /// The part of the line that fits into `columns`, and the column of the cursor in it.
  func window(_ columns: Int) -> (text: String, cursor: Int) {
    var start = cursor
    var left = 0
    while start > 0, left + Self.width(characters[start - 1]) < columns {
      start -= 1
      left += Self.width(characters[start])
    }
    var end = cursor
    var total = left
    while end < characters.count, total + Self.width(characters[end]) < columns {
      total += Self.width(characters[end])
      end += 1
    }
    return (String(characters[start..<end]), left)
  }
}

struct LineEditor {
  enum Answer {
    case line(String)
    case end
    case interrupted
  }

  private var history: [String] = []
  private var pending: [UInt8] = []
  private var atEnd = false
  private var decoder = KeyDecoder()
  /// What was typed and not yet taken: keys may come faster than lines are read.
  private var inputs: [Input] = []
  private static let longestLine = 1 << 20
  private static let longestHistory = 500

  /// - Parameter edits: Whether standard input and output are one person's terminal.
  mutating func readLine(prompt: String, edits: Bool) throws -> Answer {
    guard edits, Console.obeys(STDOUT_FILENO) else {
      if !prompt.isEmpty { Console.write(prompt) }
      return try plainLine()
    }
    var saved = termios()
    guard tcgetattr(STDIN_FILENO, &saved) == 0 else { return try plainLine() }
    var raw = saved
    cfmakeraw(&raw)
    // Output keeps its line ends.
    raw.c_oflag = saved.c_oflag
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw)
    defer { tcsetattr(STDIN_FILENO, TCSADRAIN, &saved) }
    return try edit(prompt)
  }

  // MARK: Pipes

  private mutating func plainLine() throws -> Answer {
    while true {
      if let end = pending.firstIndex(of: 0x0A) {
        defer { pending.removeSubrange(...end) }
        return .line(try Self.text(pending[..<end]))
      }
      if atEnd {
        guard !pending.isEmpty else { return .end }
        defer { pending = [] }
        return .line(try Self.text(pending[...]))
      }
      guard pending.count < Self.longestLine else {
        throw Failure(.badData, "a line is longer than \(Self.longestLine) bytes")
      }
      guard try fill() else { return .interrupted }
    }
  }

  private static func text(_ bytes: ArraySlice<UInt8>) throws -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Failure(.badData, "a line of the input is not UTF-8 text", hint: Console.encodingHint)
    }
    return text
  }

  /// Reads more bytes; false when Ctrl-C came instead.
  private mutating func fill() throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 4096)
    let count = chunk.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress, $0.count) }
    if count < 0, errno == EINTR { return !Interrupts.seen }
    // A terminal that hung up reads as an error.
    if count <= 0 {
      atEnd = true
    } else {
      pending += chunk[..<count]
    }
    return true
  }

  // MARK: Terminals

  private mutating func edit(_ prompt: String) throws -> Answer {
    var buffer = LineBuffer(history: history)
    draw(buffer, prompt)
    while true {
      guard let input = nextInput() else { return atEnd ? .end : .interrupted }
      switch input {
      case .mouse: break
      case .paste(let text):
        // A line is one line, of what can be seen.
        let seen = text.unicodeScalars.map { scalar in
          let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
          return isControl ? " " : scalar
        }
        buffer.apply(.text(String(String.UnicodeScalarView(seen))))
      case .key(Key(.enter)), .key(Key(.character("j"), .control)):
        Console.control("\r\n", to: STDOUT_FILENO)
        let line = buffer.text
        if !line.isEmpty, history.last != line {
          history.append(line)
          if history.count > Self.longestHistory { history.removeFirst() }
        }
        return .line(line)
      case .key(Key(.character("c"), .control)): return .interrupted
      case .key(Key(.character("d"), .control)):
        if buffer.characters.isEmpty { return .end }
        buffer.apply(.delete)
      case .key(Key(.character("l"), .control)): Console.control("\u{1B}[H\u{1B}[2J", to: STDOUT_FILENO)
      case .key(let key): if let change = Self.change(key) { buffer.apply(change) }
      }
      // A paste is drawn once, at its end.
      if inputs.isEmpty { draw(buffer, prompt) }
    }
  }

  /// What a key does to the line; nil for those that do nothing.
  private static func change(_ key: Key) -> LineBuffer.Key? {
    switch (key.code, key.modifiers) {
    case (.left, _), (.character("b"), .control): .left
    case (.right, _), (.character("f"), .control): .right
    case (.home, _), (.character("a"), .control): .home
    case (.end, _), (.character("e"), .control): .end
    case (.up, _), (.character("p"), .control): .up
    case (.down, _), (.character("n"), .control): .down
    case (.backspace, []): .backspace
    case (.delete, _): .delete
    case (.character("k"), .control): .deleteToEnd
    case (.character("u"), .control): .deleteToStart
    case (.character("w"), .control): .deleteWord
    case (.tab, []): .text(" ")
    case (.character(let scalar), []): .text(String(scalar))
    default: nil
    }
  }

  /// The next of what was typed; nil at the end, or when Ctrl-C came from outside.
  private mutating func nextInput() -> Input? {
    while inputs.isEmpty {
      let wait = decoder.due.map { Int32(clamping: max(0, $0 - Self.now + 999) / 1_000) } ?? -1
      var request = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
      let ready = poll(&request, 1, wait)
      if ready < 0, errno == EINTR {
        if Interrupts.seen { return nil }
        continue
      }
      if ready == 0 {
        inputs += decoder.expire(at: Self.now)
        continue
      }
      var chunk = [UInt8](repeating: 0, count: 4096)
      let count = chunk.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      // A terminal that hung up reads as an error.
      guard count > 0 else {
        atEnd = true
        return nil
      }
      inputs += decoder.feed(chunk[..<count], at: Self.now)
    }
    return inputs.removeFirst()
  }

  /// Microseconds of a steady clock.
  private static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
  }

  private func draw(_ buffer: LineBuffer, _ prompt: String) {
    var size = winsize()
    let columns =
      ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    let (text, cursor) = buffer.window(max(columns - prompt.count - 1, 4))
    let column = prompt.count + cursor
    Console.control("\r\u{1B}[K", to: STDOUT_FILENO)
    Console.pour(prompt + text)
    Console.control("\r" + (column > 0 ? "\u{1B}[\(column)C" : ""), to: STDOUT_FILENO)
  }
}
