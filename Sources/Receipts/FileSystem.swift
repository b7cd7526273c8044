// FileSystem.swift: the file calls that a journal makes. Two conformers: POSIX here, and a
// simulated disk with faults and power cuts for tests. Retries and policy are the journal's
// (Journal.swift). Start at FileSystem.
import Glibc

/// A file call that failed: which call, on what path, and why.
package struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
  package let call: String
  package let path: String
  package let code: Int32

  package init(call: String, path: String, code: Int32) {
    self.call = call
    self.path = path
    self.code = code
  }

  package var description: String { "\(call) '\(path)': \(String(cString: strerror(code)))" }

  /// There is no such file.
  package var isMissing: Bool { code == ENOENT }
}

/// An open file of a `FileSystem`.
package struct FileHandleNumber: Hashable, Sendable {
  package let value: Int32
  package init(_ value: Int32) { self.value = value }
}

package enum OpenMode: Sendable {
  case read
  /// An existing file; writes go to its end.
  case append
  /// A new file, 0600; fails with EEXIST if the file exists. Writes go to its end.
  case create
  /// A new file, 0600, or an existing one, emptied.
  case replace
}

package struct FileStatus: Hashable, Sendable {
  package let size: Int
  /// Its owner has no write permission.
  package let isReadOnly: Bool

  package init(size: Int, isReadOnly: Bool) {
    self.size = size
    self.isReadOnly = isReadOnly
  }
}

/// Each function except `list` is one system call. It may fail with any code, EINTR included, and
/// never retries.
package protocol FileSystem: Sendable {
  func open(_ path: String, _ mode: OpenMode) throws(FileError) -> FileHandleNumber
  /// - Returns: how many bytes were written, possibly fewer than given.
  func write(_ file: FileHandleNumber, _ bytes: UnsafeRawBufferPointer) throws(FileError) -> Int
  /// - Returns: how many bytes were read at `offset`; 0 at the end of the file.
  func read(_ file: FileHandleNumber, at offset: Int, into bytes: UnsafeMutableRawBufferPointer)
    throws(FileError)
    -> Int
  /// The bytes of the file are on the disk when this returns (`fdatasync`).
  func sync(_ file: FileHandleNumber) throws(FileError)
  func truncate(_ file: FileHandleNumber, to size: Int) throws(FileError)
  func close(_ file: FileHandleNumber) throws(FileError)
  /// Mode 0400.
  func seal(_ path: String) throws(FileError)
  func rename(_ from: String, to: String) throws(FileError)
  func remove(_ path: String) throws(FileError)
  /// Mode 0700; an existing one is left as it is.
  func makeDirectory(_ path: String) throws(FileError)
  /// The names in the directory are on the disk when this returns.
  func syncDirectory(_ path: String) throws(FileError)
  /// Names, sorted.
  func list(_ directory: String) throws(FileError) -> [String]
  /// nil when there is no such file.
  func status(_ path: String) throws(FileError) -> FileStatus?
  /// Bytes that this user can still write on the file system of `path`.
  func freeSpace(_ path: String) throws(FileError) -> Int
}

/// The system's own files.
package struct POSIXFileSystem: FileSystem {
  package init() {}

  private func fail(_ call: String, _ path: String) -> FileError {
    FileError(call: call, path: path, code: errno)
  }
  private func fail(_ call: String, _ file: FileHandleNumber) -> FileError {
    FileError(call: call, path: "descriptor \(file.value)", code: errno)
  }

  package func open(_ path: String, _ mode: OpenMode) throws(FileError) -> FileHandleNumber {
    let flags =
      switch mode {
      case .read: O_RDONLY
      case .append: O_WRONLY | O_APPEND
      case .create: O_WRONLY | O_APPEND | O_CREAT | O_EXCL
      case .replace: O_WRONLY | O_APPEND | O_CREAT | O_TRUNC
      }
    let fd = Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else { throw fail("open", path) }
    return FileHandleNumber(fd)
  }

  package func write(_ file: FileHandleNumber, _ bytes: UnsafeRawBufferPointer) throws(FileError) -> Int {
    let n = Glibc.write(file.value, bytes.baseAddress, bytes.count)
    guard n >= 0 else { throw fail("write", file) }
    return n
  }

  package func read(_ file: FileHandleNumber, at offset: Int, into bytes: UnsafeMutableRawBufferPointer)
    throws(FileError) -> Int
  {
    let n = pread(file.value, bytes.baseAddress, bytes.count, offset)
    guard n >= 0 else { throw fail("read", file) }
    return n
  }

  package func sync(_ file: FileHandleNumber) throws(FileError) {
    guard fdatasync(file.value) == 0 else { throw fail("fdatasync", file) }
  }

  package func truncate(_ file: FileHandleNumber, to size: Int) throws(FileError) {
    guard ftruncate(file.value, size) == 0 else { throw fail("ftruncate", file) }
  }

  package func close(_ file: FileHandleNumber) throws(FileError) {
    guard Glibc.close(file.value) == 0 else { throw fail("close", file) }
  }

  package func seal(_ path: String) throws(FileError) {
    guard chmod(path, 0o400) == 0 else { throw fail("chmod", path) }
  }

  package func rename(_ from: String, to: String) throws(FileError) {
    guard Glibc.rename(from, to) == 0 else { throw fail("rename", from) }
  }

  package func remove(_ path: String) throws(FileError) {
    guard unlink(path) == 0 else { throw fail("unlink", path) }
  }

  package func makeDirectory(_ path: String) throws(FileError) {
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw fail("mkdir", path) }
  }

  package func syncDirectory(_ path: String) throws(FileError) {
    let fd = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard fd >= 0 else { throw fail("open", path) }
    defer { _ = Glibc.close(fd) }
    guard fsync(fd) == 0 else { throw fail("fsync", path) }
  }

  package func list(_ directory: String) throws(FileError) -> [String] {
    guard let stream = opendir(directory) else { throw fail("opendir", directory) }
    defer { closedir(stream) }
    var names: [String] = []
    errno = 0
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
      errno = 0
    }
    guard errno == 0 else { throw fail("readdir", directory) }
    return names.sorted()
  }

  package func status(_ path: String) throws(FileError) -> FileStatus? {
    var info = stat()
    guard lstat(path, &info) == 0 else {
      if errno == ENOENT { return nil }
      throw fail("stat", path)
    }
    return FileStatus(size: Int(info.st_size), isReadOnly: info.st_mode & 0o200 == 0)
  }

  package func freeSpace(_ path: String) throws(FileError) -> Int {
    var info = statvfs()
    guard statvfs(path, &info) == 0 else { throw fail("statvfs", path) }
    let (bytes, overflow) = Int(truncatingIfNeeded: info.f_bavail).multipliedReportingOverflow(
      by: Int(truncatingIfNeeded: info.f_frsize))
    return overflow ? .max : bytes
  }
}

/// File operations shared by journal, spool and checkpoints: whole reads and writes, EINTR retried,
/// every other error thrown.
extension FileSystem {
  /// How many consecutive interruptions of a call count as a failure.
  static var patience: Int { 100 }

  func retrying<T>(_ body: () throws(FileError) -> T) throws(FileError) -> T {
    var attempts = 0
    while true {
      do throws(FileError) { return try body() } catch {
        attempts += 1
        guard error.code == EINTR, attempts < Self.patience else { throw error }
      }
    }
  }

  func writeAll(_ file: FileHandleNumber, _ bytes: [UInt8], path: String) throws(FileError) {
    var done = 0
    while done < bytes.count {
      let start = done
      let n = try retrying { () throws(FileError) -> Int in
        let result: Result<Int, FileError> = bytes.withUnsafeBytes { raw in
          do throws(FileError) {
            return .success(try write(file, UnsafeRawBufferPointer(rebasing: raw[start...])))
          } catch { return .failure(error) }
        }
        return try result.get()
      }
      // A call that writes nothing and reports no error would loop for ever.
      guard n > 0 else { throw FileError(call: "write", path: path, code: EIO) }
      done += n
    }
  }

  /// Closing is never retried: on Linux the descriptor is gone even after EINTR.
  func closeQuietly(_ file: FileHandleNumber) {
    do throws(FileError) { try close(file) } catch {
      // What matters was synced before; a descriptor that fails to close is unusable either way.
    }
  }

  /// - Throws: `isMissing` if there is no such file, EFBIG above `limit` bytes.
  package func readAll(_ path: String, limit: Int = .max) throws(FileError) -> [UInt8] {
    let file = try retrying { () throws(FileError) in try open(path, .read) }
    defer { closeQuietly(file) }
    let size = try retrying { () throws(FileError) in try status(path) }?.size ?? 0
    guard size <= limit else { throw FileError(call: "read", path: path, code: EFBIG) }
    var bytes = [UInt8](repeating: 0, count: size)
    var done = 0
    while done < size {
      let start = done
      let n = try retrying { () throws(FileError) -> Int in
        let result: Result<Int, FileError> = bytes.withUnsafeMutableBytes { raw in
          do throws(FileError) {
            return .success(
              try read(file, at: start, into: UnsafeMutableRawBufferPointer(rebasing: raw[start...])))
          } catch { return .failure(error) }
        }
        return try result.get()
      }
      if n == 0 { break }
      done += n
    }
    if done < size { bytes.removeLast(size - done) }
    return bytes
  }

  /// Part of a file; returns fewer bytes at the end of the file.
  func readPart(_ path: String, at offset: Int, count: Int) throws(FileError) -> [UInt8] {
    let file = try retrying { () throws(FileError) in try open(path, .read) }
    defer { closeQuietly(file) }
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let start = done
      let n = try retrying { () throws(FileError) -> Int in
        let result: Result<Int, FileError> = bytes.withUnsafeMutableBytes { raw in
          do throws(FileError) {
            return .success(
              try read(file, at: offset + start, into: UnsafeMutableRawBufferPointer(rebasing: raw[start...]))
            )
          } catch { return .failure(error) }
        }
        return try result.get()
      }
      if n == 0 { break }
      done += n
    }
    if done < count { bytes.removeLast(count - done) }
    return bytes
  }

  /// Replaces a file so that a reader, or a crash, sees the old bytes or the new ones: temporary
  /// name, sync, rename, directory sync.
  package func replaceFile(_ path: String, with bytes: [UInt8], in directory: String) throws(FileError) {
    let temporary = path + ".tmp"
    let file = try retrying { () throws(FileError) in try open(temporary, .replace) }
    do throws(FileError) {
      try writeAll(file, bytes, path: temporary)
      try retrying { () throws(FileError) in try sync(file) }
    } catch {
      closeQuietly(file)
      throw error
    }
    closeQuietly(file)
    try retrying { () throws(FileError) in try rename(temporary, to: path) }
    try retrying { () throws(FileError) in try syncDirectory(directory) }
  }

  /// Makes a directory whose name survives a power cut: a synced file in a lost directory is lost
  /// too.
  func ensureDirectory(_ path: String) throws(FileError) {
    try retrying { () throws(FileError) in try makeDirectory(path) }
    let parent = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    try retrying { () throws(FileError) in try syncDirectory(parent) }
  }

  /// Removes a file if it is there.
  func removeIfPresent(_ path: String) throws(FileError) {
    do throws(FileError) { try retrying { () throws(FileError) in try remove(path) } } catch {
      if !error.isMissing { throw error }
    }
  }
}
