// GGUFMapping.swift: the bytes of a file, mapped read-only and unmapped when the last reference
// goes. Every access is checked against the length. The meaning of the bytes is in GGUFFile.swift.

import Foundation

/// Owns a read-only mapping (or, for bytes made in memory, an allocation).
///
/// If a file is truncated in place while it is mapped, its readers are killed by SIGBUS; the system
/// offers no protection. So files under their final name are replaced by rename, never rewritten,
/// and data that a process needs after the load is copied or repacked.
final class GGUFMapping: Sendable {
  // Safe, though the compiler can't see it: the pointer never changes and nothing ever writes
  // through it.
  nonisolated(unsafe) let base: UnsafeRawPointer
  let count: Int
  private let isMapped: Bool

  /// Maps the whole file.
  init(path: String) throws(GGUFError) {
    // O_NONBLOCK, so that opening a FIFO under a model's name doesn't block and it is refused.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw Self.systemError("open", path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Self.systemError("fstat", path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw GGUFError(
        file: path, problem: status.st_mode & S_IFMT == S_IFDIR ? .isDirectory : .notARegularFile)
    }
    guard status.st_size > 0 else { throw GGUFError(file: path, problem: .empty) }
    let size = Int(status.st_size)
    guard let address = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), address != MAP_FAILED else {
      throw Self.systemError("mmap", path)
    }
    base = UnsafeRawPointer(address)
    count = size
    isMapped = true
  }

  /// Copies bytes into an allocation of exactly their length, so that a sanitizer sees a read past
  /// the end.
  init(copying bytes: UnsafeRawBufferPointer) {
    let copy = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 1), alignment: 64)
    UnsafeMutableRawBufferPointer(start: copy, count: bytes.count).copyMemory(from: bytes)
    base = UnsafeRawPointer(copy)
    count = bytes.count
    isMapped = false
  }

  deinit {
    if isMapped {
      munmap(UnsafeMutableRawPointer(mutating: base), count)
    } else {
      base.deallocate()
    }
  }

  /// The bytes of a range that was validated when the file was opened; a trap otherwise, since that
  /// is our bug.
  func bytes(at offset: Int, count length: Int) -> UnsafeRawBufferPointer {
    precondition(offset >= 0 && length >= 0 && offset <= count && length <= count - offset)
    return UnsafeRawBufferPointer(start: base + offset, count: length)
  }

  /// Returns the whole pages inside a range to the system; they are read from the file again when
  /// touched.
  func dropPages(at offset: Int, count length: Int) {
    guard isMapped, offset >= 0, length > 0, offset <= count, length <= count - offset else { return }
    let page = max(Int(sysconf(Int32(_SC_PAGESIZE))), 1)
    let first = (offset + page - 1) / page * page
    let atEnd = offset + length == count
    let last = atEnd ? offset + length : (offset + length) / page * page
    guard first < last else { return }
    // Advice only: a failure changes memory use, never a result.
    madvise(UnsafeMutableRawPointer(mutating: base + first), last - first, MADV_DONTNEED)
  }

  private static func systemError(_ call: String, _ path: String) -> GGUFError {
    let code = errno
    return GGUFError(
      file: path, problem: .system(call: call, errno: code, message: String(cString: strerror(code))))
  }
}
