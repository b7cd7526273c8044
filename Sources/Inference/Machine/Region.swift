// Region.swift: large private blocks of memory, aligned to pages and freed as a whole.

import Glibc

/// An anonymous mapping. Its pages are allocated when they are first written.
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

  deinit {
    munmap(base, count)
  }
}
