// StateLock.swift: ensures that a state directory has one node, and that only this user can have
// written to it. Attaching to the running node is in `hotpot`. Start at StateLock.
import Glibc

/// Holds a state directory until it is released or the process ends, however it ends.
///
/// Rule: the directory itself is locked, and the file `lock` in it too. Why: a file can be deleted
/// while it is locked, and the next process would lock another file of that name; then two would
/// write one journal. So the lock that counts is on the directory, which cannot be recreated under
/// the same journal. The file names the holder, and replaces the directory's lock on file systems
/// that don't lock directories, such as NFS.
package final class StateLock: Sendable {
  private let directory: Int32
  private let descriptor: Int32

  /// - Throws: `.locked` when another process holds it, `.unsafe` when others may have written to
  ///   it, `.file` when it cannot be made.
  package init(state: String) throws(JournalError) {
    let path = state + "/lock"
    guard mkdir(state, 0o700) == 0 || errno == EEXIST else {
      throw .file(FileError(call: "mkdir", path: state, code: errno))
    }
    let opened = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard opened >= 0 else { throw .file(FileError(call: "open", path: state, code: errno)) }
    var fd: Int32 = -1
    do throws(JournalError) {
      if let problem = Self.problem(in: state) { throw problem }
      if flock(opened, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
        throw .locked(path: path, process: Self.holder(path))
      }
      fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
      guard fd >= 0 else { throw .file(FileError(call: "open", path: path, code: errno)) }
      guard flock(fd, LOCK_EX | LOCK_NB) == 0 else {
        let code = errno
        guard code == EWOULDBLOCK else { throw .file(FileError(call: "flock", path: path, code: code)) }
        throw .locked(path: path, process: Self.holder(path))
      }
      // The holder's process id is stored only for the error message; the kernel does the locking.
      let text = Array("\(getpid())\n".utf8)
      if ftruncate(fd, 0) != 0 || pwrite(fd, text, text.count, 0) != text.count {
        throw .file(FileError(call: "write", path: path, code: errno))
      }
    } catch {
      if fd >= 0 { _ = close(fd) }
      _ = close(opened)
      throw error
    }
    descriptor = fd
    directory = opened
  }

  /// Why a state directory cannot be trusted, in the manner of sshd's StrictModes: it and its
  /// contents must belong to this user, and nobody else may have write access. Nil if it does not
  /// exist.
  package static func problem(in state: String) -> JournalError? {
    func word(_ path: String) -> String {
      "'" + path.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
    var status = stat()
    guard stat(state, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
    func stranger(_ path: String) -> JournalError? {
      guard status.st_uid != geteuid() else { return nil }
      return .unsafe(
        path: path, why: "belongs to the user with number \(status.st_uid), and this is \(geteuid())",
        mend:
          "run hotpot as that user, name another '--state DIR', or as root 'chown -R \(geteuid()) \(word(state))'"
      )
    }
    if let problem = stranger(state) { return problem }
    guard status.st_mode & 0o022 == 0 else {
      return .unsafe(
        path: state, why: "may be written by other users (mode \(String(status.st_mode & 0o7777, radix: 8)))",
        mend: "look whether what is in it is yours, the file 'key' above all; then 'chmod 700 \(word(state))'"
      )
    }
    for name in ["key", "key.pub", "journal", "lock", "spool"] {
      let path = state + "/" + name
      guard lstat(path, &status) == 0 else { continue }
      if let problem = stranger(path) { return problem }
      let isSecret = name == "key" && status.st_mode & S_IFMT == S_IFREG
      guard status.st_mode & S_IFMT == S_IFLNK || status.st_mode & (isSecret ? 0o077 : 0o022) == 0 else {
        return .unsafe(
          path: path,
          why:
            "may be \(isSecret ? "read or " : "")written by other users (mode \(String(status.st_mode & 0o7777, radix: 8)))",
          mend:
            "'chmod go-rwx \(word(path))', if it is yours; a key that others may have read is no secret any more"
        )
      }
    }
    return nil
  }

  private static func holder(_ path: String) -> Int32 {
    let fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard fd >= 0 else { return 0 }
    defer { _ = close(fd) }
    var bytes = [UInt8](repeating: 0, count: 16)
    let n = pread(fd, &bytes, bytes.count, 0)
    return Int32(String(decoding: bytes.prefix(max(0, n)).prefix { $0 != 0x0A }, as: UTF8.self)) ?? 0
  }

  deinit {
    // Unlocked explicitly, not by closing: a child between fork and exec still has the lock open
    // too.
    for held in [descriptor, directory] {
      _ = flock(held, LOCK_UN)
      _ = close(held)
    }
  }
}
