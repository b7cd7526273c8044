// KVCache.swift: the memory of keys and values: blocks of 16 positions, for every attention, as 16
// bit integers.
// Leaves out who owns which block: the scheduler's tables say that. Start at subscript.
//
// Attention by attention, block by block: the keys of a page as the kernels have it, then its
// values. The blocks of one attention are stored together because attention walks them together;
// one block of all is gathered only when it is swapped out.

import CKernels

/// Keys and values. A block's memory is taken from the system when it is first written.
final class KVCache {
  static let blockSize = 16

  /// One attention's blocks.
  struct Part: BitwiseCopyable {
    /// The keys of block 0; its values follow `pageBytes` later.
    let keys: UnsafeMutablePointer<UInt8>
    /// Bytes of the keys of one block, and of its values.
    let pageBytes: Int

    /// Bytes from one block to the next.
    var stride: Int { 2 * pageBytes }
  }

  /// Bytes of one block over all parts.
  let blockBytes: Int
  private let parts: UnsafeBufferPointer<Part>
  private let region: Region
  private let arena = Arena()

  init(blockCount: Int, states: [SequenceState]) throws(EngineError) {
    let pages = states.map { state in
      switch state {
      case .keysAndValues(let heads, let size, _): ck_page_bytes(UInt32(heads), UInt32(size))
      }
    }
    blockBytes = pages.reduce(0) { $0 + 2 * $1 }
    let (bytes, overflow) = blockCount.multipliedReportingOverflow(by: blockBytes)
    guard !overflow, let region = Region(byteCount: bytes, hugePages: false) else {
      throw .noMemory(bytes: overflow ? Int.max : bytes, purpose: "keys and values")
    }
    self.region = region
    var next = region.base.assumingMemoryBound(to: UInt8.self)
    parts = arena.copy(
      pages.map { pageBytes in
        defer { next += blockCount * 2 * pageBytes }
        return Part(keys: next, pageBytes: pageBytes)
      })
  }

  /// The part of that state of the program.
  subscript(_ state: Int) -> Part { parts[state] }

  /// One block of all parts, part after part.
  func read(_ block: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: blockBytes) { buffer, count in
      for part in parts {
        let source = UnsafeBufferPointer(start: part.keys + block * part.stride, count: part.stride)
        _ = UnsafeMutableBufferPointer(rebasing: buffer[count...]).update(from: source)
        count += part.stride
      }
    }
  }

  /// The reverse of `read`; `bytes` holds exactly `blockBytes`.
  func write(_ bytes: [UInt8], to block: Int) {
    var at = 0
    for part in parts {
      let target = UnsafeMutableBufferPointer(start: part.keys + block * part.stride, count: part.stride)
      _ = target.update(from: bytes[at..<(at + part.stride)])
      at += part.stride
    }
  }

  func copy(_ block: Int, to other: Int) {
    for part in parts {
      (part.keys + other * part.stride).update(from: part.keys + block * part.stride, count: part.stride)
    }
  }
}
