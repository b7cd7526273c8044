// Console.swift: standard input, output and error as plain descriptors: bytes out, and a closed pipe ends the program
// as it ends any Unix filter. The only place that writes to the terminal.

import Foundation

enum Console {
  /// Writes all of it to standard output.
  static func write(_ text: String) {
    write(Array(text.utf8), to: STDOUT_FILENO)
  }

  static func print(_ line: String) {
    write(line + "\n")
  }

  /// Writes to standard error; what cannot be said there is not said.
  static func note(_ text: String) {
    write(Array(text.utf8), to: STDERR_FILENO)
  }

  static func show(_ failure: Failure) {
    let paints = Console.paints(STDERR_FILENO)
    let error = paints ? "\u{1B}[1;31merror:\u{1B}[0m" : "error:"
    let hint = paints ? "\u{1B}[1;36mhint:\u{1B}[0m" : "hint:"
    var text = "hotpot: \(error) \(oneLine(failure.message))\n"
    if let more = failure.hint { text += "hotpot: \(hint) \(oneLine(more))\n" }
    note(text)
  }

  static func warn(_ message: String) {
    note("hotpot: warning: \(oneLine(message))\n")
  }

  /// Names and messages from outside may hold control characters, which a terminal would obey.
  static func oneLine(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator: result.append("\u{FFFD}")
      default: result.append(scalar)
      }
    }
    return String(result)
  }

  /// Text of a model or a stranger for a terminal: new lines and tabs stay, other controls become marks.
  static func harmless(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
      result.append(isControl && scalar != "\n" && scalar != "\t" ? "\u{FFFD}" : scalar)
    }
    return String(result)
  }

  static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// Whether colours are wanted there: a terminal that knows them, and no NO_COLOR.
  static func paints(_ descriptor: Int32) -> Bool {
    let environment = ProcessInfo.processInfo.environment
    return isTerminal(descriptor) && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
      && environment["TERM"] != nil
  }

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

  /// The reader left: end by SIGPIPE as `cat` does, so that shells see the usual status.
  private static func endOnClosedPipe() -> Never {
    signal(SIGPIPE, SIG_DFL)
    raise(SIGPIPE)
    exit(128 + SIGPIPE)
  }

  /// From now on the program ends when the reader of standard output goes, also while it has nothing to write: a job that
  /// waits for somebody who hung up would be done for nobody.
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
  static func read(_ path: String, limit: Int) throws -> [UInt8] {
    let shown = path == "-" ? "standard input" : "'\(path)'"
    let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      let code: ExitCode = errno == EACCES ? .noPermission : .noInput
      throw Failure(code, "cannot read \(shown): \(String(cString: strerror(errno)))")
    }
    defer { if path != "-" { close(descriptor) } }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw Failure(.inputOutput, "cannot read \(shown): \(String(cString: strerror(errno)))")
      }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      guard bytes.count <= limit else {
        throw Failure(.badData, "\(shown) is larger than \(limit) bytes")
      }
    }
  }

  /// What to do about bytes that are no text.
  static let encodingHint = "convert it, for example with 'iconv -f ISO-8859-1 -t UTF-8'"

  static func readText(_ path: String, limit: Int = 1 << 24) throws -> String {
    let bytes = try read(path, limit: limit)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Failure(
        .badData, "\(path == "-" ? "standard input" : "'\(path)'") is not UTF-8 text", hint: encodingHint)
    }
    return text
  }
}
