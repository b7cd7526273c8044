// Arena.swift: memory that is allocated in parts and freed as a whole.

/// Parts live as long as the arena, so nothing in it is freed individually. Each part
/// begins on a cache line.
final class Arena {
  private var parts: [UnsafeMutableRawPointer] = []

  deinit {
    for part in parts { part.deallocate() }
  }

  /// Uninitialised memory for `count` values.
  func take<T: BitwiseCopyable>(_ count: Int, of type: T.Type = T.self) -> UnsafeMutablePointer<T> {
    let part = UnsafeMutableRawPointer.allocate(
      byteCount: max(count * MemoryLayout<T>.stride, 1), alignment: max(64, MemoryLayout<T>.alignment))
    parts.append(part)
    return part.bindMemory(to: T.self, capacity: count)
  }

  func copy<T: BitwiseCopyable>(_ values: [T]) -> UnsafeBufferPointer<T> {
    let part = UnsafeMutableBufferPointer(start: take(values.count, of: T.self), count: values.count)
    _ = part.initialize(from: values)
    return UnsafeBufferPointer(part)
  }
}
