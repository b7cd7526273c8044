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
  private let terminal: Pseudoterminal
  private let shells: pid_t

  init(rows: UInt16, columns: UInt16) throws {
    folder = try Folder()
    terminal = try Pseudoterminal(rows: rows, columns: columns)
    shells = try terminal.start(
      ["--listen", "127.0.0.1:0"],
      environment: [
        "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": folder.path,
        "TERM": "xterm-256color", "LANG": "C.UTF-8",
      ])
  }

  func resize(rows: UInt16, columns: UInt16) { terminal.resize(rows, columns) }

  /// Whether the lowest line that a cursor was put to is this one or lower, within some seconds.
  func reaches(row: Int) -> Bool {
    var text = ""
    let end = Date.now + 20
    while Date.now < end {
      if let bytes = terminal.read(), !bytes.isEmpty {
        text += String(decoding: bytes, as: UTF8.self)
      } else {
        usleep(20_000)
      }
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
    terminal.close()
    usleep(microseconds)
    for node in nodes { kill(node, SIGTERM) }
    var status: Int32 = 0
    waitpid(shells, &status, 0)
  }
}
