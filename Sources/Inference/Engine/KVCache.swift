// KVCache.swift: the memory of keys and values: blocks of 16 positions, for every layer, as 16 bit integers.
// Leaves out who owns which block: the scheduler's tables say that. Start at keys(layer:).
//
// Layer by layer, block by block: the keys of a page as the kernels have it, then its values. A layer's blocks lie together
// because attention walks them together; one block of all layers is gathered only when it is swapped out.

import CKernels

/// Keys and values. A block's memory is taken from the system when it is first written.
struct KVCache {
  static let blockSize = 16

  let blockCount: Int
  let layerCount: Int
  /// Bytes of the keys of one block in one layer, and of its values.
  let pageBytes: Int
  private let region: Region

  init(blockCount: Int, shape: Hyperparameters) throws(EngineError) {
    self.blockCount = blockCount
    layerCount = shape.layerCount
    pageBytes = ck_page_bytes(UInt32(shape.kvHeadCount), UInt32(shape.headSize))
    let perBlock = layerCount * 2 * pageBytes
    let (bytes, overflow) = blockCount.multipliedReportingOverflow(by: perBlock)
    guard !overflow, let region = Region(byteCount: bytes, hugePages: false) else {
      throw .noMemory(bytes: overflow ? Int.max : bytes, purpose: "keys and values")
    }
    self.region = region
  }

  /// Bytes of one block over all layers.
  var blockBytes: Int { layerCount * blockStride }
  /// Bytes from one block to the next within a layer.
  var blockStride: Int { 2 * pageBytes }

  /// The keys of block 0 in that layer; its values follow `pageBytes` later.
  func keys(layer: Int) -> UnsafeMutablePointer<UInt8> {
    region.base.assumingMemoryBound(to: UInt8.self) + layer * blockCount * blockStride
  }

  /// One block of all layers, layer after layer.
  func read(_ block: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: blockBytes) { buffer, count in
      let target = UnsafeMutableRawBufferPointer(buffer)
      for layer in 0..<layerCount {
        let source = UnsafeRawBufferPointer(
          start: keys(layer: layer) + block * blockStride, count: blockStride)
        UnsafeMutableRawBufferPointer(rebasing: target[(layer * blockStride)..<((layer + 1) * blockStride)])
          .copyMemory(from: source)
      }
      count = blockBytes
    }
  }

  /// The reverse of `read`; `bytes` holds exactly `blockBytes`.
  func write(_ bytes: [UInt8], to block: Int) {
    bytes.withUnsafeBytes { source in
      for layer in 0..<layerCount {
        let target = UnsafeMutableRawBufferPointer(
          start: keys(layer: layer) + block * blockStride, count: blockStride)
        target.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: source[(layer * blockStride)..<((layer + 1) * blockStride)]))
      }
    }
  }

  func copy(_ block: Int, to other: Int) {
    for layer in 0..<layerCount {
      let base = keys(layer: layer)
      (base + other * blockStride).update(from: base + block * blockStride, count: blockStride)
    }
  }
}
