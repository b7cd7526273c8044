// Console.swift: standard input, output and error as plain descriptors. It writes bytes, and a
// closed pipe ends the program as it ends any Unix filter. Nothing else writes to the terminal.
//
// Rule: text is either words or content, and neither can command a terminal. Why: names, answers
// and messages come from strangers, and a terminal obeys whatever it reads. So: words (`print`,
// `write`, `note`, `say`) are made displaySafe wherever they go; content (`pour`), such as an
// answer, a bundle or a script, keeps its bytes in a pipe and is made safe on a terminal; escape
// sequences come only from this program, through `control` and `say`, and go only to a terminal
// that obeys them. Otherwise a client's name could clear the operator's screen.

import Foundation
import Terminal

enum Console {
  // MARK: Words

  /// Writes lines of the program's own, which may contain foreign names, to standard output.
  static func write(_ text: String) { write(words(text, STDOUT_FILENO), to: STDOUT_FILENO) }

  /// Writes one line, whatever it contains.
  static func print(_ line: String) { write(oneLine(line) + "\n") }

  /// Writes lines to standard error; a failed write is ignored.
  static func note(_ text: String) { write(words(text, STDERR_FILENO), to: STDERR_FILENO) }

  /// A piece of a line, with an optional rendition of the terminal such as `1;31`.
  struct Part {
    let text: String
    var rendition: String?

    init(_ text: String, _ rendition: String? = nil) {
      self.text = text
      self.rendition = rendition
    }
  }

  /// Writes a line in pieces, with colours where they are wanted.
  static func say(_ parts: [Part], to descriptor: Int32) {
    let paints = paints(descriptor)
    var bytes: [UInt8] = []
    for part in parts {
      let text = words(part.text, descriptor)
      if paints, let rendition = part.rendition {
        bytes += Array("\u{1B}[\(rendition)m".utf8) + text + Array("\u{1B}[0m".utf8)
      } else {
        bytes += text
      }
    }
    write(bytes + [0x0A], to: descriptor)
  }

  static func show(_ failure: Failure) {
    let name = Part("hotpot: ")
    say([name, Part("error:", "1;31"), Part(" \(oneLine(failure.message))")], to: STDERR_FILENO)
    if let more = failure.hint {
      say([name, Part("hint:", "1;36"), Part(" \(oneLine(more))")], to: STDERR_FILENO)
    }
  }

  static func warn(_ message: String) {
    note("hotpot: warning: \(oneLine(message))\n")
  }

  /// Makes one harmless line of a name or message from outside.
  static func oneLine(_ text: String) -> String { displaySafe(text) }

  /// Makes each line displaySafe; for a terminal with a seven-bit locale, in seven bits.
  private static func words(_ text: String, _ descriptor: Int32) -> [UInt8] {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let safe = lines.map { displaySafe($0) }.joined(separator: "\n")
    return Array((isTerminal(descriptor) && !isUnicode ? displayASCII(safe) : safe).utf8)
  }

  // MARK: Content

  /// Writes text that another program may process: unchanged into a pipe or a file, harmless on a
  /// terminal.
  static func pour(_ text: String) {
    write(Array((isTerminal(STDOUT_FILENO) ? displaySafeText(text) : text).utf8), to: STDOUT_FILENO)
  }

  // MARK: Terminals

  /// Writes an escape sequence of the program's own, or a carriage return, to a terminal that obeys
  /// it, and nothing to anything else.
  static func control(_ sequence: String, to descriptor: Int32) {
    if obeys(descriptor) { write(Array(sequence.utf8), to: descriptor) }
  }

  /// Shows a line on standard error that the next one overwrites; nil removes it. Where lines
  /// cannot be overwritten, nothing is shown.
  static func progress(_ line: String?) {
    guard obeys(STDERR_FILENO) else { return }
    control("\r\u{1B}[K", to: STDERR_FILENO)
    if let line { note(line) }
  }

  static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// Whether the descriptor is a terminal that obeys escape sequences.
  static func obeys(_ descriptor: Int32) -> Bool { movesCursor && isTerminal(descriptor) }

  /// Whether to use colours: the terminal knows them, and NO_COLOR is not set.
  static func paints(_ descriptor: Int32) -> Bool { wantsColours && obeys(descriptor) }

  private static let environment = ProcessInfo.processInfo.environment
  private static let movesCursor = TerminalAbility.movesCursor(environment)
  private static let isUnicode = Capabilities(environment: environment).glyphs != .ascii
  private static let wantsColours = Capabilities(environment: environment).colors != .mono

  static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno == EINTR {
        continue
      } else if errno == EAGAIN {
        var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&wait, 1, -1)
      } else if errno == EPIPE {
        endOnClosedPipe()
      } else if descriptor == STDOUT_FILENO {
        show(Failure(.inputOutput, "cannot write the output: \(String(cString: strerror(errno)))"))
        exit(ExitCode.inputOutput.rawValue)
      } else {
        return
      }
    }
  }

  /// The reader has gone: ends by SIGPIPE as `cat` does, so that shells see the usual status.
  private static func endOnClosedPipe() -> Never {
    signal(SIGPIPE, SIG_DFL)
    raise(SIGPIPE)
    exit(128 + SIGPIPE)
  }

  /// From now on the program ends when the reader of standard output goes away, even while there is
  /// nothing to write: otherwise a job would be computed for a caller that hung up.
  static func endWhenNobodyReads() {
    let thread = Thread {
      var wait = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
      while poll(&wait, 1, -1) < 0, errno == EINTR {}
      if wait.revents & Int16(POLLERR | POLLHUP) != 0 { endOnClosedPipe() }
    }
    thread.stackSize = 64 << 10
    thread.start()
  }

  /// All of standard input, or of a file, up to `limit` bytes.
  static func read(_ path: String, limit: Int) throws -> [UInt8] { try UserFile.read(path, limit: limit) }

  /// The hint for bytes that are not text.
  static let encodingHint = "convert it, for example with 'iconv -f ISO-8859-1 -t UTF-8'"

  static func readText(_ path: String, limit: Int = 1 << 24) throws -> String {
    try UserFile.readText(path, limit: limit)
  }
}
