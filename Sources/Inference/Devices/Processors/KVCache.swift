// KVCache.swift: the memory of keys and values: blocks of 16 positions, for every attention, as 16
// bit integers.
// Which sequence owns which block is in the scheduler's tables. Start at subscript.
//
// The layout is attention by attention, block by block: the keys of a page in the kernels' layout,
// then its values. The blocks of one attention are stored together because attention reads them
// together; the parts of one block are gathered only when it is swapped out.

import CKernels

/// Keys and values. A block's memory is allocated by the system when it is first written.
final class KVCache {
  static let blockSize = 16

  /// One attention's blocks.
  struct Part: BitwiseCopyable {
    /// The keys of block 0; its values follow `pageBytes` later.
    let keys: UnsafeMutablePointer<UInt8>
    /// Bytes of the keys of one block, and of its values.
    let pageBytes: Int
    /// The program's kind of place that these blocks belong to.
    let kind: Int

    /// Bytes from one block to the next.
    var stride: Int { 2 * pageBytes }
  }

  /// Indexed by state of the program.
  private let parts: UnsafeBufferPointer<Part>
  private let region: Region
  private let arena = Arena()

  /// - blocks: how many of each of the program's kinds
  init(_ program: Program, blocks: [Int]) throws(EngineError) {
    let kinds = program.kinds
    let pages = program.states.map { state in
      switch state {
      case .keysAndValues(let heads, let size, _):
        (bytes: ck_page_bytes(UInt32(heads), UInt32(size)), kind: kinds.firstIndex(of: state.kind) ?? 0)
      }
    }
    var total = 0
    for page in pages {
      let (bytes, overflow) = blocks[page.kind].multipliedReportingOverflow(by: 2 * page.bytes)
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
        defer { next += blocks[page.kind] * 2 * page.bytes }
        return Part(keys: next, pageBytes: page.bytes, kind: page.kind)
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
        let source = UnsafeBufferPointer(start: part.keys + block * part.stride, count: part.stride)
        _ = UnsafeMutableBufferPointer(rebasing: buffer[count...]).update(from: source)
        count += part.stride
      }
    }
  }

  /// The reverse of `read`; `bytes` holds exactly `blockBytes`.
  func write(_ bytes: [UInt8], to block: Int, of kind: Int) {
    var at = 0
    for part in parts where part.kind == kind {
      let target = UnsafeMutableBufferPointer(start: part.keys + block * part.stride, count: part.stride)
      _ = target.update(from: bytes[at..<(at + part.stride)])
      at += part.stride
    }
  }

  func copy(_ block: Int, to other: Int, of kind: Int) {
    for part in parts where part.kind == kind {
      (part.keys + other * part.stride).update(from: part.keys + block * part.stride, count: part.stride)
    }
  }
}
