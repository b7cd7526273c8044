// Recording.swift: a recorded terminal session, in asciinema's format, version 2: a header, and then
// a line for each piece of output with its time. A recording is somebody else's text: what it may do
// to the terminal is to draw. Start at Recording.init and play.
// Source: https://docs.asciinema.org/manual/asciicast/v2/
import Foundation
import JSON

struct Recording: Sendable {
  struct Piece: Sendable, Equatable {
    /// Seconds since the beginning.
    let time: Double
    let text: String
  }

  let columns: Int
  let rows: Int
  let pieces: [Piece]

  private static let mostBytes = 64 << 20

  init(file: String) throws {
    let bytes = try UserFile.read(UserFile.path(file))
    guard bytes.count <= Self.mostBytes else {
      throw Failure(.badData, "'\(file)' has \(bytes.count) bytes, at most \(Self.mostBytes) are played")
    }
    try self.init(bytes, name: file)
  }

  init(_ bytes: [UInt8], name: String) throws {
    func fault(_ line: Int, _ words: String) -> Failure {
      Failure(
        .badData, "'\(name)' line \(line): \(words)",
        hint: "wanted a recording of asciinema, version 2: 'asciinema rec' makes one")
    }
    let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
    guard let first = lines.first, let head = try? JSONText.parse(Array(first)),
      head["version"]?.number == 2, let columns = head["width"]?.number.flatMap({ Int(exactly: $0) }),
      let rows = head["height"]?.number.flatMap({ Int(exactly: $0) }), (1...1000).contains(columns),
      (1...1000).contains(rows)
    else { throw fault(1, "no header with version 2, width and height") }
    var pieces: [Piece] = []
    var last = 0.0
    for (number, line) in lines.enumerated().dropFirst() where !line.allSatisfy({ $0 == 0x20 || $0 == 0x0D })
    {
      guard let event = (try? JSONText.parse(Array(line)))?.array, event.count == 3,
        let time = event[0].number, time.isFinite, time >= 0, let kind = event[1].string,
        let text = event[2].string
      else { throw fault(number + 1, "no piece of output: [TIME, \"o\", TEXT]") }
      guard kind == "o" else { continue }
      last = max(last, time)
      pieces.append(Piece(time: last, text: text))
    }
    (self.columns, self.rows, self.pieces) = (columns, rows, pieces)
  }

  /// The text without what does more than draw: commands to the terminal (OSC), device strings,
  /// and questions that it would answer into the input. A sequence may go on in the next piece.
  struct Drawing: Sendable {
    private enum State { case ground, escape, control, string, stringEscape }
    private var state = State.ground
    private var held = ""

    mutating func of(_ text: String) -> String {
      var out = ""
      for scalar in text.unicodeScalars {
        switch state {
        case .ground:
          switch scalar.value {
          case 0x1B: (state, held) = (.escape, "\u{1B}")
          case 0x07, 0x05, 0x0E, 0x0F, 0x7F, 0x80...0x9F: break
          default: out.unicodeScalars.append(scalar)
          }
        case .escape:
          switch scalar {
          case "[":
            held.unicodeScalars.append(scalar)
            state = .control
          case "]", "P", "X", "^", "_": state = .string
          case "(", ")":
            // The character set is named by one more character.
            held.unicodeScalars.append(scalar)
            state = .control
          case "7", "8", "=", ">", "D", "E", "M", "H":
            out += held + String(Character(scalar))
            state = .ground
          default: state = .ground
          }
        case .control:
          held.unicodeScalars.append(scalar)
          let isSet = held.hasPrefix("\u{1B}(") || held.hasPrefix("\u{1B})")
          if scalar.value == 0x1B || held.unicodeScalars.count > 64 {
            state = scalar.value == 0x1B ? .escape : .ground
            held = "\u{1B}"
          } else if isSet || (0x40...0x7E).contains(scalar.value) {
            // Reports (c, n, t, x, q) and the mouse are left out.
            if isSet || "ABCDEFGHJKLMPSTXZ@`abdefghlmrsu".unicodeScalars.contains(scalar), !Self.isMode(held)
            {
              out += held
            }
            state = .ground
          }
        case .string:
          if scalar.value == 0x07 || scalar.value == 0x9C { state = .ground }
          if scalar.value == 0x1B { state = .stringEscape }
        case .stringEscape: state = scalar == "\\" ? .ground : .string
        }
      }
      return out
    }

    /// Modes that make the terminal send something: the mouse, focus, paste.
    private static func isMode(_ sequence: String) -> Bool {
      guard sequence.hasPrefix("\u{1B}[?"), sequence.last == "h" || sequence.last == "l" else { return false }
      let modes = sequence.dropFirst(3).dropLast().split(separator: ";")
      return !modes.allSatisfy { ["7", "25", "47", "1047", "1048", "1049", "2026"].contains($0) }
    }
  }

  /// The longest pause that is kept, in seconds.
  private static let longestPause = 2.0

  /// Plays it on the terminal until its end or Ctrl-C, and leaves the terminal as it was.
  func play(speed: Double) throws -> ExitCode {
    guard Console.obeys(STDOUT_FILENO) else {
      throw Failure(.usage, "a recording is played on a terminal, and this is none")
    }
    var window = winsize()
    if ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &window) == 0,
      Int(window.ws_col) < columns || Int(window.ws_row) < rows
    {
      throw Failure(
        .usage, "this window has \(window.ws_col)x\(window.ws_row), the recording \(columns)x\(rows)",
        hint: "make the window larger")
    }
    Interrupts.watch()
    // A screen of its own, and back to the old one with everything that was switched.
    Console.control("\u{1B}[?1049h\u{1B}[2J\u{1B}[H", to: STDOUT_FILENO)
    defer {
      Console.control("\u{1B}[0m\u{1B}(B\u{1B}[r\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l", to: STDOUT_FILENO)
    }
    var drawing = Drawing()
    var last = 0.0
    for piece in pieces {
      rest(min(piece.time - last, Self.longestPause) / speed) { Interrupts.seen }
      last = piece.time
      if Interrupts.seen { return .interrupted }
      // The session's own screen is this one.
      let text = drawing.of(piece.text).replacingOccurrences(
        of: "\u{1B}\\[\\?(1049|1047|47)[hl]", with: "", options: .regularExpression)
      Console.control(text, to: STDOUT_FILENO)
    }
    rest(Self.longestPause / speed) { Interrupts.seen }
    return .ok
  }

  private func rest(_ seconds: Double, until isOver: () -> Bool) {
    let end = ContinuousClock.now + .milliseconds(Int64(max(0, seconds) * 1_000))
    while ContinuousClock.now < end, !isOver() {
      Thread.sleep(forTimeInterval: min(0.05, max(0.001, seconds)))
    }
  }
}
