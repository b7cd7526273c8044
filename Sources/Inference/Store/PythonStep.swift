// PythonStep.swift: runs python3 as a child process and watches the size of what it writes. Its
// output goes to a file, whose last line tells what went wrong.
//
// Rule: python3 never looks for code in the user's working directory. Why: somebody else's folder
// may hold a `json.py`, which would run with this user's rights. So: every start is isolated (-I),
// in `/`, without PYTHON* variables; only modules installed by the machine's administrator or in
// the virtual environment on PATH are imported.
//
// Rule: the child ends with this process, however that ends. Why: an abandoned download would fill
// the disk. So: its standard input is a pipe that only this process can write to, and the child
// exits when the pipe closes.

import CSystem
import Foundation

/// The interpreter that fetches and unpacks models. Start at PythonStep.run.
public enum PythonInterpreter {
  /// The python3 of the search path; its relative entries are skipped.
  static func find(_ environment: [String: String]) -> String? {
    let path = environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
    for folder in path.split(separator: ":") where folder.hasPrefix("/") {
      let path = folder + "/python3"
      if access(String(path), X_OK) == 0 { return String(path) }
    }
    return nil
  }

  /// What is installed for fetching models.
  public enum Found: Sendable, Equatable {
    case none
    case broken(path: String, why: String)
    /// Models come as packages: without pip none can be fetched by name.
    case withoutPip(path: String)
    case whole(path: String)
  }

  /// Asks the interpreter, started in the same way as for pulls.
  public static func examine(_ environment: [String: String]) -> Found {
    guard let path = find(environment) else { return .none }
    let script = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('pip') else 3)"
    let status: Int32
    let null = open("/dev/null", O_RDWR | O_CLOEXEC)
    guard null >= 0 else { return .broken(path: path, why: "/dev/null cannot be opened") }
    defer { close(null) }
    do throws(PullError) {
      let child = try start(path, ["-c", script], environment, input: null, output: null)
      status = try wait(for: child, path)
    } catch {
      return .broken(path: path, why: "\(error)")
    }
    switch status {
    case 0: return .whole(path: path)
    case 3: return .withoutPip(path: path)
    default: return .broken(path: path, why: "it ended with status \(status)")
    }
  }

  /// The one place where python3 is started.
  static func start(
    _ python: String, _ arguments: [String], _ environment: [String: String], input: Int32, output: Int32
  ) throws(PullError) -> pid_t {
    var words: [UnsafeMutablePointer<CChar>?] = ([python, "-I"] + arguments).map { strdup($0) } + [nil]
    var names: [UnsafeMutablePointer<CChar>?] =
      environment.filter { !$0.key.hasPrefix("PYTHON") }.sorted { $0.key < $1.key }
      .map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer {
      for word in words + names { free(word) }
    }
    var child: pid_t = 0
    let code = csystem_spawn_tool(python, &words, &names, "/", input, output, &child)
    guard code == 0 else { throw .system("posix_spawn", python, code) }
    return child
  }

  /// The exit status; 128 plus the signal if one ended it.
  static func wait(for child: pid_t, _ python: String) throws(PullError) -> Int32 {
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0 {
      guard errno == EINTR else { throw .system("waitpid", python, errno) }
    }
    return code(of: status)
  }

  static func code(of status: Int32) -> Int32 {
    let signal = status & 0x7F
    return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
  }
}

struct PythonStep: Sendable {
  /// What the step does; used in messages.
  let name: String
  let script: String
  let arguments: [String]
  let environment: [String: String]
  let logPath: String

  /// Prepended to each script: exits when standard input closes.
  private static let lifeline = """
    import os, sys, threading
    def _lifeline():
        while os.read(0, 1):
            pass
        os._exit(143)
    threading.Thread(target=_lifeline, daemon=True).start()

    """

  /// Runs to the end.
  /// - tick: called ten times a second while the child runs; false ends the child.
  /// - Returns: the exit status; 128 plus the signal if one ended it; nil if `tick` ended it.
  func run(tick: () -> Bool) async throws(PullError) -> Int32? {
    guard let python = PythonInterpreter.find(environment) else { throw .noPython }
    var ends: [Int32] = [-1, -1]
    let made = csystem_pipe(&ends)
    guard made >= 0 else { throw .system("pipe", python, -made) }
    // The child's end of the pipe must block while there is nothing to read.
    _ = fcntl(ends[0], F_SETFL, 0)
    defer { close(ends[1]) }
    let child = try start(python, input: ends[0])
    var status: Int32 = 0
    while true {
      let ended = waitpid(child, &status, WNOHANG)
      if ended == child { break }
      if ended < 0, errno != EINTR { throw .system("waitpid", python, errno) }
      do {
        try await Task.sleep(for: .milliseconds(100))
      } catch {
        // Cancelled: end the child, so that none is left behind.
        Self.end(child)
        throw .cancelled
      }
      guard tick() else {
        Self.end(child)
        return nil
      }
    }
    return PythonInterpreter.code(of: status)
  }

  /// - input: closed here
  private func start(_ python: String, input: Int32) throws(PullError) -> pid_t {
    defer { close(input) }
    let log = open(logPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard log >= 0 else { throw .system("open", logPath, errno) }
    defer { close(log) }
    return try PythonInterpreter.start(
      python, ["-c", Self.lifeline + script] + arguments, environment, input: input, output: log)
  }

  /// A child that does not exit when asked is killed a second later.
  private static func end(_ child: pid_t) {
    kill(child, SIGTERM)
    var status: Int32 = 0
    for _ in 0..<100 {
      let ended = waitpid(child, &status, WNOHANG)
      if ended == child || (ended < 0 && errno != EINTR) { return }
      _ = poll(nil, 0, 10)
    }
    kill(child, SIGKILL)
    while waitpid(child, &status, 0) < 0, errno == EINTR {}
  }

  /// The last non-empty line of the output, without control characters.
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
    // The end of the log gives the reason, so a long log is not read in full.
    let size = Int(lseek(descriptor, 0, SEEK_END))
    lseek(descriptor, off_t(max(size - 1 << 16, 0)), SEEK_SET)
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
  }
}
