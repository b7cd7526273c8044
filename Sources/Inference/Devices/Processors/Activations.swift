// Activations.swift: the memory in which a step computes. It grows with the largest step and is
// reused by all.

import CKernels

/// Row strides are in floats and multiples of 16, or in bytes and multiples of 64.
final class Activations {
  /// (rows, width) of one `Row`.
  struct Buffer: BitwiseCopyable {
    let base: UnsafeMutablePointer<Float>
    let stride: Int

    func row(_ index: Int) -> UnsafeMutablePointer<Float> { base + index * stride }
  }

  let rows: Int
  /// (rows, longest input), quantised
  let blocks: UnsafeMutablePointer<UInt8>
  /// (rows / 16, longest input): the same, 16 rows together, if the level uses that and there are
  /// more than a few rows
  let groups: UnsafeMutablePointer<UInt8>?
  /// (workers, rows): whether a worker found something that is not finite
  let failures: UnsafeMutablePointer<Bool>
  let blockStride: Int
  let groupStride: Int
  private let buffers: UnsafeMutablePointer<Buffer>
  private let arena = Arena()

  init(rows: Int, workers: Int, schedule: Schedule, level: ck_level, profile: ck_profile) {
    self.rows = rows
    buffers = arena.take(Row.allCases.count)
    for row in Row.allCases {
      let stride = Activations.stride(schedule.widths[row.rawValue])
      (buffers + row.rawValue).initialize(to: Buffer(base: arena.take(rows * stride), stride: stride))
    }
    blockStride = ck_blocks_bytes(profile, UInt32(schedule.longestInput))
    blocks = arena.take(rows * blockStride)
    groupStride = rows > ProcessorDevice.fewTokens ? ck_group_bytes(level, UInt32(schedule.longestInput)) : 0
    if groupStride > 0 {
      let bytes = (rows + 15) / 16 * groupStride
      let memory = arena.take(bytes, of: UInt8.self)
      memory.initialize(repeating: 0, count: bytes)
      groups = memory
    } else {
      groups = nil
    }
    failures = arena.take(workers * rows)
  }

  subscript(_ row: Row) -> Buffer { buffers[row.rawValue] }

  /// A multiple of a cache line, but not of a page: rows of one column would share the cache's
  /// sets.
  private static func stride(_ width: Int) -> Int {
    let lines = (width + 15) / 16 * 16
    return lines > 0 && lines % 1_024 == 0 ? lines + 16 : lines
  }
}
