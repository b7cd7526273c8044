// Region.swift: big blocks of memory of our own, aligned to pages, given back as a whole.

import Glibc

/// An anonymous mapping. Its pages take memory when they are first written.
final class Region: Sendable {
  // Unsafe only for the compiler: the pointer never changes; who writes behind it is the owner's
  // rule.
  nonisolated(unsafe) let base: UnsafeMutableRawPointer
  let count: Int

  /// nil where the system refuses. `hugePages` suits what will be used whole.
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
