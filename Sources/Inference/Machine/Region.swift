// Region.swift: large blocks of memory, aligned to pages and freed as a whole: of memory alone, or with
// a file behind them.

import Glibc

/// A mapping. Its pages are allocated when they are first written.
final class Region: Sendable {
  // Safe, though the compiler can't see it: the pointer never changes; the owner decides who writes
  // through it.
  nonisolated(unsafe) let base: UnsafeMutableRawPointer
  let count: Int

  /// nil if the system refuses. Set `hugePages` for memory that will all be used.
  init?(byteCount: Int, hugePages: Bool) {
    let size = max(byteCount, 1)
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let address = mmap(nil, size, PROT_READ | PROT_WRITE, flags, -1, 0), address != MAP_FAILED else {
      return nil
    }
    if hugePages {
      // Advice only: a refusal changes speed, never a result.
      madvise(address, size, MADV_HUGEPAGE)
    }
    base = address
    count = size
  }

  /// Why a file cannot be behind a region: the system's error number.
  struct FileProblem: Error { let number: Int32 }

  /// Memory behind which is a file without a name, in a folder: the system moves pages there and back
  /// as it needs room. The file takes its whole size at once, so that writing never fails later, and
  /// ends with the region, or with the process.
  init(byteCount: Int, folder: String) throws(FileProblem) {
    let size = max(byteCount, 1)
    var path = Array("\(folder)/.hotpot-weights-XXXXXX".utf8CString)
    let descriptor = mkstemp(&path)
    guard descriptor >= 0 else { throw FileProblem(number: errno) }
    // The mapping keeps the file.
    defer { close(descriptor) }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    unlink(path)
    let code = posix_fallocate(descriptor, 0, size)
    guard code == 0 else { throw FileProblem(number: code) }
    guard let address = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
      address != MAP_FAILED
    else { throw FileProblem(number: errno) }
    base = address
    count = size
  }

  deinit {
    munmap(base, count)
  }
}
