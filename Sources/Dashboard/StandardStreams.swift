// StandardStreams.swift: standard output and error while the dashboard has the terminal: they go to
// its log and to a file, never to the screen. Engine libraries and child processes may write there
// at any time. Start at StandardStreams.init.
import Foundation
import Terminal

final class StandardStreams {
  /// Readable while lines wait.
  let descriptor: Int32
  private var saved: [Int32] = []
  private var rest: [UInt8] = []
  private let log: Int32

  /// Redirects descriptors 1 and 2 into a pipe that never blocks its writers: bytes that the pipe
  /// cannot hold are lost.
  /// - logPath: the file that they are appended to; nil keeps no file
  init?(logPath: String?) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return nil }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    log = logPath.map { open($0, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600) } ?? -1
    descriptor = ends[0]
    for stream in [Int32(1), 2] {
      saved.append(fcntl(stream, F_DUPFD_CLOEXEC, 3))
      dup2(ends[1], stream)
    }
    _ = Foundation.close(ends[1])
  }

  /// The whole lines that arrived; a line without an end is cut at 4 KiB.
  func lines() -> [String] {
    var bytes = [UInt8](repeating: 0, count: 4096)
    var result: [String] = []
    while result.count < 256 {
      let count = read(descriptor, &bytes, bytes.count)
      if count <= 0 { break }
      if log >= 0 { _ = write(log, &bytes, count) }
      rest += bytes.prefix(count)
      while let end = rest.firstIndex(of: 0x0A) {
        result.append(displaySafe(String(decoding: rest[..<end], as: UTF8.self)))
        rest.removeSubrange(...end)
      }
      if rest.count > 4096 {
        result.append(displaySafe(String(decoding: rest, as: UTF8.self)))
        rest = []
      }
    }
    return result
  }

  /// Restores the streams, or leaves them in the log file (or nowhere) if their terminal is gone.
  func close(terminalIsGone: Bool) {
    for (stream, old) in zip([Int32(1), 2], saved) {
      if terminalIsGone {
        let target = log >= 0 ? log : open("/dev/null", O_WRONLY | O_CLOEXEC)
        dup2(target, stream)
        if target != log { Foundation.close(target) }
      } else if old >= 0 {
        dup2(old, stream)
      }
      if old >= 0 { Foundation.close(old) }
    }
    saved = []
    Foundation.close(descriptor)
    if log >= 0 { Foundation.close(log) }
  }
}
