// SharedAttention.swift: the memory that workers share when they attend to the same long sequences.
// Which worker computes which part is in ProcessorDevice+Attention.swift.

import CKernels

/// For each row, which is one token of a sequence: the scores of all positions, and the results of
/// each chain of 256 of them.
final class SharedAttention {
  /// Floats from one head's scores to the next one's.
  let stride: Int
  /// Floats of a chain's weighted sum of values: heads * headSize.
  let perChain: Int
  /// How many chains of a row are already in its sums and totals.
  let added: UnsafeMutablePointer<Int>
  private let heads: Int
  private let rows: Int
  private let positions: Int
  private let chains: Int
  private let floats: UnsafeMutablePointer<Float>
  private let sections: (largest: Int, partials: Int, sums: Int, totals: Int)
  private let perRow: Int

  /// - heads, size: the maximum of each over all attentions
  init(rows: Int, positions: Int, heads: Int, size: Int) {
    // Sections begin at multiples of a cache line.
    func padded(_ count: Int) -> Int { (count + 15) / 16 * 16 }
    self.rows = rows
    self.positions = positions
    self.heads = heads
    chains = (positions + Int(CK_CHAIN) - 1) / Int(CK_CHAIN)
    perChain = heads * size
    // One vector more than the positions, so that heads do not fall into the same cache sets.
    stride = padded(positions) + 16
    let largest = heads * stride
    let partials = largest + padded(chains * heads)
    let sums = partials + chains * perChain
    let totals = sums + 16 * heads
    sections = (largest, partials, sums, totals)
    perRow = totals + perChain
    let memory = UnsafeMutableRawPointer.allocate(byteCount: rows * perRow * 4, alignment: 64)
    floats = memory.bindMemory(to: Float.self, capacity: rows * perRow)
    added = .allocate(capacity: rows)
    added.initialize(repeating: 0, count: rows)
  }

  deinit {
    floats.deallocate()
    added.deallocate()
  }

  func holds(rows: Int, positions: Int) -> Bool { rows <= self.rows && positions <= self.positions }

  /// (heads, stride)
  func scores(_ row: Int) -> UnsafeMutablePointer<Float> { floats + row * perRow }
  /// (heads), of that chain; those of all chains follow each other.
  func largest(_ row: Int, _ chain: Int, heads: Int) -> UnsafeMutablePointer<Float> {
    floats + row * perRow + sections.largest + chain * heads
  }
  /// (heads, headSize), of that chain; likewise.
  func partial(_ row: Int, _ chain: Int) -> UnsafeMutablePointer<Float> {
    floats + row * perRow + sections.partials + chain * perChain
  }
  /// (heads, 16)
  func sums(_ row: Int) -> UnsafeMutablePointer<Float> { floats + row * perRow + sections.sums }
  /// (heads, headSize)
  func totals(_ row: Int) -> UnsafeMutablePointer<Float> { floats + row * perRow + sections.totals }
}
