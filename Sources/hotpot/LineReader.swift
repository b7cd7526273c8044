// LineReader.swift: reads one line from a terminal, with arrow keys, Emacs keys and a history, or
// plainly from a pipe. Not here: completion, multi-line input and right-to-left text, which are not
// supported. KeyDecoder turns bytes into keys and LineEditor keys into text. Start at readLine.

import Foundation
import Terminal

struct LineReader {
  enum Answer {
    case line(String)
    case end
    case interrupted
  }

  private var editor = LineEditor(limit: longestLine, memory: 500)
  private var pending: [UInt8] = []
  private var atEnd = false
  private var decoder = KeyDecoder()
  /// Input that was typed but not yet read as a line: keys may come faster than lines are read.
  private var inputs: [Input] = []
  private static let longestLine = 1 << 20

  /// - Parameter edits: Whether standard input and output are the same user's terminal.
  mutating func readLine(prompt: String, edits: Bool) throws -> Answer {
    guard edits, Console.obeys(STDOUT_FILENO) else {
      if !prompt.isEmpty { Console.write(prompt) }
      return try plainLine()
    }
    var saved = termios()
    guard tcgetattr(STDIN_FILENO, &saved) == 0 else { return try plainLine() }
    var raw = saved
    cfmakeraw(&raw)
    // Output still translates line ends.
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

  /// Reads more bytes; false if Ctrl-C came instead.
  private mutating func fill() throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 4096)
    let count = chunk.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress, $0.count) }
    if count < 0, errno == EINTR { return !Interrupts.seen }
    // A read from a terminal that hung up fails.
    if count <= 0 {
      atEnd = true
    } else {
      pending += chunk[..<count]
    }
    return true
  }

  // MARK: Terminals

  private mutating func edit(_ prompt: String) throws -> Answer {
    editor.clear()
    draw(prompt)
    while true {
      guard let input = nextInput() else { return atEnd ? .end : .interrupted }
      switch input {
      case .mouse: break
      case .paste(let text):
        // A pasted line stays one line of visible characters.
        let seen = text.unicodeScalars.map { scalar in
          let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
          return isControl ? " " : scalar
        }
        editor.insert(String(String.UnicodeScalarView(seen)), isMultiline: false)
      case .key(Key(.enter)), .key(Key(.character("j"), .control)):
        Console.control("\r\n", to: STDOUT_FILENO)
        return .line(editor.take())
      case .key(Key(.character("c"), .control)): return .interrupted
      case .key(Key(.character("d"), .control)):
        if editor.isEmpty { return .end }
        _ = editor.key(Key(.delete))
      case .key(Key(.character("l"), .control)): Console.control("\u{1B}[H\u{1B}[2J", to: STDOUT_FILENO)
      case .key(let key): take(key)
      }
      // A paste is drawn once, when all of it was read.
      if inputs.isEmpty { draw(prompt) }
    }
  }

  /// Handles the arrow keys, with or without modifiers, and the Emacs keys for the same movements.
  private mutating func take(_ key: Key) {
    switch (key.code, key.modifiers) {
    case (.left, _), (.character("b"), .control): _ = editor.key(Key(.left))
    case (.right, _), (.character("f"), .control): _ = editor.key(Key(.right))
    case (.home, _), (.character("a"), .control): _ = editor.key(Key(.home))
    case (.end, _): _ = editor.key(Key(.end))
    case (.delete, _): _ = editor.key(Key(.delete))
    case (.up, _), (.character("p"), .control): editor.recall(older: true)
    case (.down, _), (.character("n"), .control): editor.recall(older: false)
    case (.tab, []): _ = editor.key(Key(.character(" ")))
    default: _ = editor.key(key)
    }
  }

  /// The next input; nil at the end, or if Ctrl-C came from outside.
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
      // A read from a terminal that hung up fails.
      guard count > 0 else {
        atEnd = true
        return nil
      }
      inputs += decoder.feed(chunk[..<count], at: Self.now)
    }
    return inputs.removeFirst()
  }

  /// Microseconds on a monotonic clock.
  private static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
  }

  private func draw(_ prompt: String) {
    var size = winsize()
    let columns =
      ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    let (text, cursor) = editor.window(columns: max(columns - prompt.count - 1, 4))
    let column = prompt.count + cursor
    Console.control("\r\u{1B}[K", to: STDOUT_FILENO)
    Console.pour(prompt + text)
    Console.control("\r" + (column > 0 ? "\u{1B}[\(column)C" : ""), to: STDOUT_FILENO)
  }
}
