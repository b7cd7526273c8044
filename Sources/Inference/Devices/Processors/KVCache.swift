// KVCache.swift: the memory of what sequences keep: keys and values as blocks of 16 positions, as 16
// bit integers, and recurrent states as one block for a whole sequence, as f32.
// Which sequence owns which block is in the scheduler's tables. Start at subscript.
//
// The layout is operation by operation, block by block: of an attention the keys of a page in the
// kernels' layout, then its values. The blocks of one operation are stored together because it reads
// them together; the parts of one block are gathered only when it is swapped out.

import CKernels

/// Keys, values and states. A block's memory is allocated by the system when it is first written.
final class KVCache {
  static let blockSize = 16

  /// One operation's blocks.
  struct Part: BitwiseCopyable {
    /// Block 0: of an attention its keys, whose values follow `pageBytes` later.
    let base: UnsafeMutablePointer<UInt8>
    /// Bytes from one block to the next.
    let stride: Int
    /// The program's kind of place that these blocks belong to.
    let kind: Int

    var keys: UnsafeMutablePointer<UInt8> { base }
    /// Bytes of the keys of one block, and of its values.
    var pageBytes: Int { stride / 2 }

    /// The floats of a recurrent state.
    func floats(_ block: Int32) -> UnsafeMutablePointer<Float> {
      UnsafeMutableRawPointer(base + Int(block) * stride).assumingMemoryBound(to: Float.self)
    }
  }

  /// Indexed by state of the program.
  private let parts: UnsafeBufferPointer<Part>
  private let region: Region
  private let arena = Arena()

  /// - blocks: how many of each of the program's kinds
  init(_ program: Program, blocks: [Int]) throws(EngineError) {
    let kinds = program.kinds
    let pages = program.states.map { state in
      let bytes =
        switch state {
        case .keysAndValues(let heads, let size, _): 2 * ck_page_bytes(UInt32(heads), UInt32(size))
        case .columns, .matrices: (state.bytesPerSequence + 63) / 64 * 64
        }
      return (bytes: bytes, kind: kinds.firstIndex(of: state.kind) ?? 0)
    }
    var total = 0
    for page in pages {
      let (bytes, overflow) = blocks[page.kind].multipliedReportingOverflow(by: page.bytes)
      let (sum, overflowToo) = total.addingReportingOverflow(bytes)
      total = overflow || overflowToo ? Int.max : sum
    }
    guard total < Int.max, let region = Region(byteCount: total, hugePages: false) else {
      throw .noMemory(bytes: total, purpose: "keys and values")
    }
    self.region = region
    var next = region.base.assumingMemoryBound(to: UInt8.self)
    parts = arena.copy(
      pages.map { page in
        defer { next += blocks[page.kind] * page.bytes }
        return Part(base: next, stride: page.bytes, kind: page.kind)
      })
  }

  /// The part of this state of the program.
  subscript(_ state: Int) -> Part { parts[state] }

  /// Bytes of one block of a kind, over all its parts.
  func blockBytes(_ kind: Int) -> Int {
    parts.reduce(0) { $0 + ($1.kind == kind ? $1.stride : 0) }
  }

  /// One block of all parts of a kind, part after part.
  func read(_ block: Int, of kind: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: blockBytes(kind)) { buffer, count in
      for part in parts where part.kind == kind {
        let source = UnsafeBufferPointer(start: part.base + block * part.stride, count: part.stride)
        _ = UnsafeMutableBufferPointer(rebasing: buffer[count...]).update(from: source)
        count += part.stride
      }
    }
  }

  /// The reverse of `read`; `bytes` holds exactly `blockBytes`.
  func write(_ bytes: [UInt8], to block: Int, of kind: Int) {
    var at = 0
    for part in parts where part.kind == kind {
      let target = UnsafeMutableBufferPointer(start: part.base + block * part.stride, count: part.stride)
      _ = target.update(from: bytes[at..<(at + part.stride)])
      at += part.stride
    }
  }

  func copy(_ block: Int, to other: Int, of kind: Int) {
    for part in parts where part.kind == kind {
      (part.base + other * part.stride).update(from: part.base + block * part.stride, count: part.stride)
    }
  }
}
