// PythonStep.swift: runs python3 as a child, watching the size of what it writes. Its output goes to a file, whose
// last line tells what went wrong.

import Foundation

struct PythonStep: Sendable {
  /// What the step does, for messages.
  let name: String
  let arguments: [String]
  let environment: [String: String]
  let logPath: String

  /// The python3 of the search path.
  static func find(_ environment: [String: String]) -> String? {
    for folder in (environment["PATH"] ?? "").split(separator: ":") where folder.hasPrefix("/") {
      let path = folder + "/python3"
      if access(String(path), X_OK) == 0 { return String(path) }
    }
    return nil
  }

  /// Runs to the end.
  /// - Parameter tick: Called ten times a second while the child works.
  /// - Returns: the exit status; 128 and the signal when one ended it.
  func run(tick: () -> Void) async throws(PullError) -> Int32 {
    guard let python = Self.find(environment) else { throw .noPython }
    let child = try spawn(python)
    var status: Int32 = 0
    while true {
      let ended = waitpid(child, &status, WNOHANG)
      if ended == child { break }
      if ended < 0, errno != EINTR { throw .system("waitpid", python, errno) }
      do {
        try await Task.sleep(for: .milliseconds(100))
      } catch {
        // Cancelled: end the child and leave none behind.
        kill(child, SIGTERM)
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        throw .cancelled
      }
      tick()
    }
    let signal = status & 0x7F
    return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
  }

  private func spawn(_ python: String) throws(PullError) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, logPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    // The child keeps no ignored signals of ours, and stays in our group, so that Ctrl-C ends both.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var defaults = sigset_t()
    sigemptyset(&defaults)
    sigaddset(&defaults, SIGPIPE)
    posix_spawnattr_setsigdefault(&attributes, &defaults)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
    var words: [UnsafeMutablePointer<CChar>?] = ([python] + arguments).map { strdup($0) } + [nil]
    var names: [UnsafeMutablePointer<CChar>?] =
      environment.sorted { $0.key < $1.key }.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer {
      for word in words + names { free(word) }
    }
    var child: pid_t = 0
    let code = posix_spawn(&child, python, &actions, &attributes, &words, &names)
    guard code == 0 else { throw .system("posix_spawn", python, code) }
    return child
  }

  /// The last line of the output that says something, without control characters.
  func lastLine() -> String {
    let lines = log.split(whereSeparator: \.isNewline).filter { line in
      line.contains { !$0.isWhitespace } && !line.hasPrefix("[notice]")
    }
    let line = lines.last { $0.hasPrefix("ERROR") } ?? lines.last ?? ""
    return String(String.UnicodeScalarView(line.unicodeScalars.prefix(300).filter { $0.value >= 0x20 }))
  }

  var log: String {
    let descriptor = open(logPath, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    // The end says why; a long log is not read whole.
    let size = Int(lseek(descriptor, 0, SEEK_END))
    lseek(descriptor, off_t(max(size - 1 << 16, 0)), SEEK_SET)
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
  }
}
