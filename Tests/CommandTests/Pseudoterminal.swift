// Pseudoterminal.swift: a terminal of a test's own, and the built `hotpot` on it.

import Foundation
import Testing

final class Pseudoterminal {
  private var descriptor: Int32
  private let name: String

  init(rows: UInt16 = 24, columns: UInt16 = 80) throws {
    // As posix_openpt, unlockpt and ptsname do it on Linux; Swift's module leaves them out.
    descriptor = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
    var (lock, number): (Int32, UInt32) = (0, 0)
    let (setLock, getNumber): (UInt, UInt) = (0x4004_5431, 0x8004_5430)
    let isOpen =
      descriptor >= 0 && ioctl(descriptor, setLock, &lock) == 0 && ioctl(descriptor, getNumber, &number) == 0
    name = "/dev/pts/\(number)"
    try #require(isOpen, "no terminal can be had")
    resize(rows, columns)
  }

  deinit { close() }

  func close() {
    if descriptor >= 0 { _ = Foundation.close(descriptor) }
    descriptor = -1
  }

  func resize(_ rows: UInt16, _ columns: UInt16) {
    var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
    _ = ioctl(descriptor, UInt(TIOCSWINSZ), &size)
  }

  /// Starts the program as the leader of a session of this terminal.
  func start(_ arguments: [String], environment: [String: String]) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    // The first terminal that a session's leader opens is its own.
    posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
    for descriptor in [Int32(1), 2] { posix_spawn_file_actions_adddup2(&actions, 0, descriptor) }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    // POSIX_SPAWN_SETSID of glibc's <spawn.h>, which Swift's module leaves out.
    posix_spawnattr_setflags(&attributes, 0x80)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    var words: [UnsafeMutablePointer<CChar>?] = ([Program.path] + arguments).map { strdup($0) } + [nil]
    var variables: [UnsafeMutablePointer<CChar>?] =
      environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for word in words + variables { free(word) } }
    var process: pid_t = 0
    try #require(posix_spawn(&process, Program.path, &actions, &attributes, &words, &variables) == 0)
    return process
  }

  func type(_ text: String) {
    let bytes = Array(text.utf8)
    _ = write(descriptor, bytes, bytes.count)
  }

  /// What was written to the terminal since; nil when nobody has it open any more.
  func read() -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = Foundation.read(descriptor, &bytes, bytes.count)
    if count > 0 { return Array(bytes[..<count]) }
    return count < 0 && (errno == EAGAIN || errno == EINTR) ? [] : nil
  }

  /// Runs the program to its end.
  /// - Parameters:
  ///   - environment: added to PATH and an empty HOME
  ///   - answers: what is typed, each once its words have been written
  /// - Returns: its exit status, -1 if it had to be ended, and the bytes that reached the terminal
  static func run(
    _ arguments: [String], environment: [String: String], answers: [(words: String, typed: String)] = [],
    seconds: Double = 30
  ) throws -> (status: Int32, bytes: [UInt8]) {
    let folder = try Folder()
    let terminal = try Pseudoterminal()
    var names = ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": folder.path]
    names.merge(environment) { $1 }
    let process = try terminal.start(arguments, environment: names)
    var bytes: [UInt8] = []
    var waiting = answers[...]
    var status: Int32 = 0
    var hasEnded = false
    let end = Date.now + seconds
    while Date.now < end {
      let more = terminal.read()
      if let more { bytes += more }
      if let next = waiting.first, String(decoding: bytes, as: UTF8.self).contains(next.words) {
        terminal.type(next.typed)
        waiting.removeFirst()
      }
      if hasEnded, more?.isEmpty != false { break }
      if more?.isEmpty != false { usleep(5_000) }
      if !hasEnded { hasEnded = waitpid(process, &status, WNOHANG) == process }
    }
    guard hasEnded else {
      kill(process, SIGKILL)
      waitpid(process, &status, 0)
      return (-1, bytes)
    }
    return (status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F), bytes)
  }
}
