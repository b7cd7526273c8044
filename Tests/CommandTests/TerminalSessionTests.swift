// TerminalSessionTests.swift: the process that the shell waits for, on a terminal of its own.

import Foundation
import Testing

@Suite struct TerminalSessionTests {
  /// The screen is drawn by a process that is in no terminal's foreground: the size reaches it through the one that is.
  @Test
  func `a window that is made larger is filled`() throws {
    let window = try Window(rows: 24, columns: 80)
    defer { window.end() }
    #expect(window.reaches(row: 24))
    window.resize(rows: 40, columns: 120)
    #expect(window.reaches(row: 40))
  }

  @Test(arguments: [0, 1000, 5000, 20_000])
  func `a node that is told to end while its window closes ends`(microseconds: useconds_t) throws {
    let window = try Window(rows: 24, columns: 80)
    try #require(window.reaches(row: 24))
    let nodes = window.nodes
    try #require(nodes.count == 1)
    window.end(after: microseconds)
    let limit = Date.now + 20
    while nodes.contains(where: Window.runs), Date.now < limit { usleep(10_000) }
    #expect(!nodes.contains(where: Window.runs))
    for node in nodes { kill(node, SIGKILL) }
  }
}

/// A window of a terminal program with `hotpot` in it.
private struct Window {
  private let folder: Folder
  private let terminal: Int32
  private let shells: pid_t

  init(rows: UInt16, columns: UInt16) throws {
    folder = try Folder()
    // As posix_openpt, unlockpt and ptsname do it on Linux; Swift's module leaves them out.
    terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
    var (lock, number): (Int32, UInt32) = (0, 0)
    let (setLock, getNumber): (UInt, UInt) = (0x4004_5431, 0x8004_5430)
    try #require(
      terminal >= 0 && ioctl(terminal, setLock, &lock) == 0 && ioctl(terminal, getNumber, &number) == 0)
    Window.resize(terminal, rows, columns)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    // The first terminal that a session's leader opens is its own.
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/pts/\(number)", O_RDWR, 0)
    for descriptor in [Int32(1), 2] { posix_spawn_file_actions_adddup2(&actions, 0, descriptor) }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    // POSIX_SPAWN_SETSID of glibc's <spawn.h>, which Swift's module leaves out.
    posix_spawnattr_setflags(&attributes, 0x80)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    let names = [
      "PATH=" + (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"), "HOME=" + folder.path,
      "TERM=xterm-256color", "LANG=C.UTF-8",
    ]
    let arguments: [String] = [Program.path, "--listen", "127.0.0.1:0"]
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    var variables: [UnsafeMutablePointer<CChar>?] = names.map { strdup($0) } + [nil]
    defer { for word in words + variables { free(word) } }
    var process: pid_t = 0
    try #require(posix_spawn(&process, Program.path, &actions, &attributes, &words, &variables) == 0)
    shells = process
  }

  func resize(rows: UInt16, columns: UInt16) { Window.resize(terminal, rows, columns) }

  private static func resize(_ terminal: Int32, _ rows: UInt16, _ columns: UInt16) {
    var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
    _ = ioctl(terminal, UInt(TIOCSWINSZ), &size)
  }

  /// Whether the lowest line that a cursor was put to is this one or lower, within some seconds.
  func reaches(row: Int) -> Bool {
    var text = ""
    let end = Date.now + 20
    while Date.now < end {
      var bytes = [UInt8](repeating: 0, count: 65_536)
      let count = read(terminal, &bytes, bytes.count)
      if count > 0 { text += String(decoding: bytes[..<count], as: UTF8.self) } else { usleep(20_000) }
      let rows = text.matches(of: /\u{1B}\[([0-9]+)(;[0-9]+)?[Hd]/).compactMap { Int($0.output.1) }
      if rows.contains(where: { $0 >= row }) { return true }
    }
    return false
  }

  /// The processes that the shell's one started, any of whose threads may have done it.
  var nodes: [pid_t] {
    let threads = "/proc/\(shells)/task"
    return ((try? FileManager.default.contentsOfDirectory(atPath: threads)) ?? []).flatMap { thread in
      ((try? String(contentsOfFile: "\(threads)/\(thread)/children", encoding: .utf8)) ?? "")
        .split(separator: " ").compactMap { pid_t($0) }
    }
  }

  /// Neither ended nor waiting to be seen so.
  static func runs(_ process: pid_t) -> Bool {
    (try? String(contentsOfFile: "/proc/\(process)/cmdline", encoding: .utf8))?.isEmpty == false
  }

  /// Closes the window, and tells the node to end: it serves on when only its window closes.
  func end(after microseconds: useconds_t = 0) {
    let nodes = nodes
    close(terminal)
    usleep(microseconds)
    for node in nodes { kill(node, SIGTERM) }
    var status: Int32 = 0
    waitpid(shells, &status, 0)
  }
}
