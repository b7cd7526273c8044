// StateLock.swift: one node to a state directory. Leaves out attaching to the one that runs. Start at StateLock.
import Glibc

/// Holds `lock` in a state directory until it is released or the process ends, however it ends.
public final class StateLock: Sendable {
  private let descriptor: Int32

  /// - Throws: `.locked` when another process holds it, `.file` when it cannot be made.
  public init(state: String) throws(JournalError) {
    let path = state + "/lock"
    guard mkdir(state, 0o700) == 0 || errno == EEXIST else {
      throw .file(FileError(call: "mkdir", path: state, code: errno))
    }
    let fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else { throw .file(FileError(call: "open", path: path, code: errno)) }
    guard flock(fd, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      let holder = StateLock.holder(fd)
      _ = close(fd)
      guard code == EWOULDBLOCK else { throw .file(FileError(call: "flock", path: path, code: code)) }
      throw .locked(path: path, process: holder)
    }
    // Who holds it is written for the message only: the lock itself is the kernel's.
    let text = Array("\(getpid())\n".utf8)
    if ftruncate(fd, 0) != 0 || pwrite(fd, text, text.count, 0) != text.count {
      let code = errno
      _ = close(fd)
      throw .file(FileError(call: "write", path: path, code: code))
    }
    descriptor = fd
  }

  private static func holder(_ fd: Int32) -> Int32 {
    var bytes = [UInt8](repeating: 0, count: 16)
    let n = pread(fd, &bytes, bytes.count, 0)
    return Int32(String(decoding: bytes.prefix(max(0, n)).prefix { $0 != 0x0A }, as: UTF8.self)) ?? 0
  }

  deinit {
    // Not left to the close: a child that is about to become another program has the lock open for that moment too.
    _ = flock(descriptor, LOCK_UN)
    _ = close(descriptor)
  }
}
