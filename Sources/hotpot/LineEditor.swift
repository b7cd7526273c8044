// LineEditor.swift: one line from a terminal, with the arrows, the keys of Emacs and a history; or plainly from a pipe.
// Left out: completion, several lines, right-to-left text. Keys to text is LineBuffer, without a terminal.

import Foundation

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
  private static let longestLine = 1 << 20
  private static let longestHistory = 500

  /// - Parameter edits: Whether standard input and output are one person's terminal.
  mutating func readLine(prompt: String, edits: Bool) throws -> Answer {
    let edits = edits && ProcessInfo.processInfo.environment["TERM"] != "dumb"
    guard edits else {
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
      guard let byte = try nextByte() else {
        return atEnd ? .end : .interrupted
      }
      switch byte {
      case 0x0D, 0x0A:
        Console.write("\r\n")
        let line = buffer.text
        if !line.isEmpty, history.last != line {
          history.append(line)
          if history.count > Self.longestHistory { history.removeFirst() }
        }
        return .line(line)
      case 0x03: return .interrupted
      case 0x04:
        if buffer.characters.isEmpty { return .end }
        buffer.apply(.delete)
      case 0x01: buffer.apply(.home)
      case 0x02: buffer.apply(.left)
      case 0x05: buffer.apply(.end)
      case 0x06: buffer.apply(.right)
      case 0x08, 0x7F: buffer.apply(.backspace)
      case 0x0B: buffer.apply(.deleteToEnd)
      case 0x0C: Console.write("\u{1B}[H\u{1B}[2J")
      case 0x0E: buffer.apply(.down)
      case 0x10: buffer.apply(.up)
      case 0x15: buffer.apply(.deleteToStart)
      case 0x17: buffer.apply(.deleteWord)
      case 0x1B: if let key = try escape() { buffer.apply(key) }
      case 0x09: buffer.apply(.text(" "))
      case 0x20...0x7E: buffer.apply(.text(String(UnicodeScalar(byte))))
      case 0x80...: if let text = try character(byte) { buffer.apply(.text(text)) }
      default: break
      }
      // A paste is drawn once, at its end.
      if pending.isEmpty { draw(buffer, prompt) }
    }
  }

  private mutating func nextByte() throws -> UInt8? {
    while pending.isEmpty {
      guard !atEnd, try fill() else { return nil }
    }
    return pending.isEmpty ? nil : pending.removeFirst()
  }

  /// The bytes that complete a UTF-8 character; nil for what is none, which is dropped.
  private mutating func character(_ lead: UInt8) throws -> String? {
    let length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
    var bytes = [lead]
    while bytes.count < length, let byte = try nextByte() {
      guard (0x80...0xBF).contains(byte) else {
        pending.insert(byte, at: 0)
        return nil
      }
      bytes.append(byte)
    }
    return String(validating: bytes, as: UTF8.self)
  }

  /// What follows an ESC: arrows and their kin; nil for all else, which is read and dropped.
  private mutating func escape() throws -> LineBuffer.Key? {
    if pending.isEmpty {
      // A lone ESC sends nothing more within 50 ms.
      var wait = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
      guard poll(&wait, 1, 50) > 0 else { return nil }
    }
    guard let kind = try nextByte(), kind == 0x5B || kind == 0x4F else { return nil }
    var parameters: [UInt8] = []
    while let byte = try nextByte() {
      guard byte >= 0x40 else {
        if parameters.count < 16 { parameters.append(byte) }
        continue
      }
      switch (byte, parameters.first) {
      case (0x41, _): return .up
      case (0x42, _): return .down
      case (0x43, _): return .right
      case (0x44, _): return .left
      case (0x48, _), (0x7E, 0x31), (0x7E, 0x37): return .home
      case (0x46, _), (0x7E, 0x34), (0x7E, 0x38): return .end
      case (0x7E, 0x33): return .delete
      default: return nil
      }
    }
    return nil
  }

  private func draw(_ buffer: LineBuffer, _ prompt: String) {
    var size = winsize()
    let columns =
      ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    let (text, cursor) = buffer.window(max(columns - prompt.count - 1, 4))
    let column = prompt.count + cursor
    Console.write("\r\u{1B}[K\(prompt)\(text)\r" + (column > 0 ? "\u{1B}[\(column)C" : ""))
  }
}
