// TerminalSession.swift: the process that the shell waits for, while another one runs the node and
// the dashboard.
//
// Rule: the dashboard never runs in the process that the shell started. Why: a hang-up, Ctrl-C, a
// closed terminal or `q` must end the screen and not the node, and a killed dashboard must leave a
// sane terminal. So: the shell's process only guards the terminal and waits; its child, in a
// session of its own, draws and serves. Otherwise closing a window would kill paying jobs.
//
// The two share a socket. The child sends `suspend` when its user wants the shell: the guard stops
// itself, and sends a byte once the shell continues it. The child sends one message when it leaves
// the terminal: `left CODE` and then the words for the shell's user. Each ends with a zero. If the
// guard's end closes (killed, hung up), the child knows that the terminal is gone. The child's own
// work is in DashboardSetup.swift. Start at TerminalSession.guardTerminal.
import CSystem
import Foundation
import Glibc

enum TerminalSession {
  /// The child's end of the socket.
  static let link: Int32 = 3
  /// A connection to a node that was opened before, if `lineVariable` is set.
  static let line: Int32 = 4
  private static let lineVariable = "HOTPOT_TERMINAL_LINE"

  /// In the child: takes the connection that the guard opened, once.
  static func takeLine() -> Int32? {
    guard isChild, getenv(lineVariable) != nil else { return nil }
    unsetenv(lineVariable)
    _ = fcntl(line, F_SETFD, FD_CLOEXEC)
    return line
  }

  /// Set in the child's environment, so that it knows that it is the child.
  static let variable = "HOTPOT_TERMINAL_SESSION"

  static var isChild: Bool { ProcessInfo.processInfo.environment[variable] == "1" }

  /// Undoes every mode that a killed program may have left on: alternate screen, hidden cursor,
  /// colours, mouse, paste, keypad.
  private static let reset =
    "\u{1B}[?1000l\u{1B}[?1002l\u{1B}[?1006l\u{1B}[?2004l\u{1B}[?1049l\u{1B}[?25h\u{1B}[0m\u{1B}[?1l\u{1B}>\u{1B}(B\r\n"

  /// Runs this program again with the same arguments in a session of its own, and waits until it
  /// leaves the terminal or ends. If it could not restore the terminal, this does.
  /// - line: an open connection to a node, for the child
  /// - Returns: the exit code for the shell.
  static func guardTerminal(line: Int32? = nil) -> Int32 {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
      return fail("cannot make a socket: \(String(cString: strerror(errno)))")
    }
    var modes = termios()
    let hasModes = tcgetattr(STDIN_FILENO, &modes) == 0
    setenv(variable, "1", 1)
    if line != nil { setenv(lineVariable, "1", 1) } else { unsetenv(lineVariable) }
    var child: pid_t = 0
    var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
    arguments.append(nil)
    let (high, highLine) = (above(ends[1]), line.map(above) ?? -1)
    let error = csystem_spawn_session("/proc/self/exe", arguments, high, highLine, &child)
    for argument in arguments { free(argument) }
    for descriptor in [ends[1], high, highLine] where descriptor >= 0 { Glibc.close(descriptor) }
    if let line { Glibc.close(line) }
    guard error == 0 else { return fail("cannot start the node: \(String(cString: strerror(error)))") }

    forward(to: child)
    var inbox: [UInt8] = []
    var said = readMessage(ends[0], &inbox)
    while said == Array("suspend".utf8) + [0] {
      stop()
      var byte: UInt8 = 1
      _ = send(ends[0], &byte, 1, Int32(MSG_NOSIGNAL))
      said = readMessage(ends[0], &inbox)
    }
    if let words = farewell(said) {
      // The child lives on, or ends by itself; it has restored the terminal.
      Console.write(words.text)
      return words.code
    }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0 && errno == EINTR {}
    if hasModes { tcsetattr(STDIN_FILENO, TCSANOW, &modes) }
    if !DashboardSetup.isPlain { Console.control(reset, to: STDOUT_FILENO) }
    let signal = status & 0x7F
    if signal != 0 {
      return fail("the node was ended by signal \(signal) (\(String(cString: strsignal(signal))))")
    }
    return (status >> 8) & 0xFF
  }

  /// Passes a changed window size on to the child, which is in no terminal's foreground. A request
  /// to end reaches the child through the closed socket, and the key combinations that end programs
  /// reach it as keys.
  private static func forward(to child: pid_t) {
    Glibc.signal(SIGINT, SIG_IGN)
    Glibc.signal(SIGQUIT, SIG_IGN)
    drawing = child
    // A handler, because it belongs to the process: a signal that one thread blocks and waits for
    // would reach another thread first.
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { signal in
      let saved = errno
      kill(drawing, signal)
      errno = saved
    }
    action.sa_flags = SA_RESTART
    sigaction(SIGWINCH, &action, nil)
  }

  /// Duplicates a descriptor above the numbers that the child expects.
  private static func above(_ descriptor: Int32) -> Int32 { fcntl(descriptor, F_DUPFD_CLOEXEC, 10) }

  /// Stops this process and those of its job, as the terminal's own C-z would, until the shell
  /// continues them. Where no shell could do that, the system does not stop them, and this returns
  /// after a second.
  private static func stop() {
    var continued = sigset_t()
    sigemptyset(&continued)
    sigaddset(&continued, SIGCONT)
    var before = sigset_t()
    // Blocked, it waits for us, even if it comes before we wait for it.
    pthread_sigmask(SIG_BLOCK, &continued, &before)
    kill(0, SIGTSTP)
    var patience = timespec(tv_sec: 1, tv_nsec: 0)
    while sigtimedwait(&continued, nil, &patience) < 0 && errno == EINTR {}
    pthread_sigmask(SIG_SETMASK, &before, nil)
  }

  /// The next message with its zero; without one if the child ended.
  /// - bytes: what was read of later ones
  private static func readMessage(_ descriptor: Int32, _ bytes: inout [UInt8]) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while bytes.count < 1 << 20 {
      // The child's end stays open while the child serves on, so its words end with a zero byte.
      if let end = bytes.firstIndex(of: 0) {
        defer { bytes.removeSubrange(...end) }
        return Array(bytes[...end])
      }
      let count = read(descriptor, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { break }
      bytes += buffer[..<count]
    }
    return bytes
  }

  private static func farewell(_ bytes: [UInt8]) -> (code: Int32, text: String)? {
    guard bytes.last == 0 else { return nil }
    let text = String(decoding: bytes.dropLast(), as: UTF8.self)
    guard let newline = text.firstIndex(of: "\n"), text.hasPrefix("left "),
      let code = Int32(text[..<newline].dropFirst(5))
    else { return nil }
    return (code, String(text[text.index(after: newline)...]))
  }

  private static func fail(_ words: String) -> Int32 {
    Console.show(Failure(.failed, words))
    return ExitCode.failed.rawValue
  }

  /// In the child: gives the terminal back to the shell, with words for its user. Later calls do
  /// nothing.
  static func leave(code: Int32, words: String) {
    guard isChild else { return }
    let bytes = Array("left \(code)\n\(words)".utf8) + [0]
    _ = bytes.withUnsafeBytes { send(link, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    shutdown(link, Int32(SHUT_WR))
  }

  /// In the child, whose screen is closed: gives the terminal to the shell until it continues us.
  static func suspend() {
    let bytes = Array("suspend".utf8) + [0]
    _ = bytes.withUnsafeBytes { send(link, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
  }

  /// Child: calls `body` once, on a thread of its own, when the guard is gone.
  /// - returned: a descriptor that gets a byte whenever the shell has continued the guard
  static func whenTerminalIsGone(returned: Int32 = -1, _ body: @escaping @Sendable () -> Void) {
    guard isChild else { return }
    let thread = Thread {
      var byte: UInt8 = 0
      while true {
        let count = recv(link, &byte, 1, 0)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { break }
        _ = write(returned, &byte, 1)
      }
      body()
    }
    thread.stackSize = 128 << 10
    thread.start()
  }
}

/// The process that the handler signals. It is set before the handler is installed, and remains a
/// child until this process ends.
nonisolated(unsafe) private var drawing: pid_t = 0
