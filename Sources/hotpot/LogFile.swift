// LogFile.swift: formats a line of the log, and keeps the file that a node with a dashboard writes
// in its state directory. Start at LogLine.printed.

import Control
import Foundation

extension LogLine {
  /// The line in the form that systemd and people expect.
  var printed: String {
    let stamp = Date(timeIntervalSince1970: Double(time) / 1_000_000).formatted(.iso8601)
    let who = who.map { " \($0)" } ?? ""
    return "\(stamp) \(level.rawValue)\(who): \(Console.oneLine(text))"
  }
}

/// The node's own log file, 0600, in its state directory.
final class LogFile: Sendable {
  private let descriptor: Int32

  init(_ state: String) throws {
    mkdir(state, 0o700)
    let path = state + "/log"
    descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw UserFile.unwritable(path, errno) }
  }

  deinit { close(descriptor) }

  func write(_ line: LogLine) {
    let bytes = Array((line.printed + "\n").utf8)
    // A log that cannot be written must not end the node.
    _ = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
  }
}
