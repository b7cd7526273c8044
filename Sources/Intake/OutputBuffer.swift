// OutputBuffer.swift: bytes waiting to be written to one connection.

/// A queue of bytes. An empty one owns no memory, so that idle connections cost none.
struct OutputBuffer {
  private(set) var bytes: [UInt8] = []
  private var start = 0

  var count: Int { bytes.count - start }
  var isEmpty: Bool { start == bytes.count }
  /// The part of `bytes` that is waiting.
  var waiting: Range<Int> { start..<bytes.count }

  mutating func append(_ more: [UInt8]) {
    if bytes.isEmpty { bytes = more } else { bytes.append(contentsOf: more) }
  }

  /// Removes the first `count` bytes, which have been written.
  mutating func drop(_ count: Int) {
    start += min(count, self.count)
    if start == bytes.count {
      bytes = []
      start = 0
    } else if start > 65536, start > bytes.count / 2 {
      bytes.removeFirst(start)
      start = 0
    }
  }
}
