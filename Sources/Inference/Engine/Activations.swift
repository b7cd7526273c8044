// Activations.swift: the memory that a step computes in. Grows with the largest step, is reused by all.

import CKernels

/// Row strides are in floats and multiples of 16, or in bytes and multiples of 64.
final class Activations {
  let rows: Int
  /// (rows, embedding): the residual stream
  let hidden: UnsafeMutablePointer<Float>
  /// (rows, embedding): after a norm
  let normed: UnsafeMutablePointer<Float>
  /// (rows, (heads + 2 kvHeads) * headSize): queries, keys, values
  let qkv: UnsafeMutablePointer<Float>
  /// (rows, heads * headSize)
  let attended: UnsafeMutablePointer<Float>
  /// (rows, feedForward)
  let gated: UnsafeMutablePointer<Float>
  /// (rows, longest input), quantised
  let blocks: UnsafeMutablePointer<UInt8>
  /// (rows / 16, longest input): the same, 16 rows together, where the level takes that and rows are more than a few
  let groups: UnsafeMutablePointer<UInt8>?
  /// (workers, rows): whether a worker found something that is not finite
  let failures: UnsafeMutablePointer<Bool>

  let hiddenStride: Int
  let qkvStride: Int
  let attendedStride: Int
  let gatedStride: Int
  let blockStride: Int
  let groupStride: Int
  private let memory: UnsafeMutableRawPointer

  init(rows: Int, workers: Int, shape: Hyperparameters, level: ck_level, profile: ck_profile) {
    func padded(_ n: Int) -> Int { (n + 15) / 16 * 16 }
    self.rows = rows
    hiddenStride = padded(shape.embeddingLength)
    qkvStride = padded(shape.queryLength + 2 * shape.keyLength)
    attendedStride = padded(shape.queryLength)
    gatedStride = padded(shape.feedForwardLength)
    let longest = max(shape.embeddingLength, shape.queryLength, shape.feedForwardLength)
    blockStride = ck_blocks_bytes(profile, UInt32(longest))
    groupStride = rows > ForwardPass.fewTokens ? ck_group_bytes(level, UInt32(longest)) : 0
    let groupBytes = (rows + 15) / 16 * groupStride
    let floats = rows * (2 * hiddenStride + qkvStride + attendedStride + gatedStride)
    let failureBytes = (workers * rows + 63) / 64 * 64
    memory = .allocate(byteCount: floats * 4 + rows * blockStride + groupBytes + failureBytes, alignment: 64)
    var next = memory
    func take(_ stride: Int) -> UnsafeMutablePointer<Float> {
      defer { next += rows * stride * 4 }
      return next.bindMemory(to: Float.self, capacity: rows * stride)
    }
    hidden = take(hiddenStride)
    normed = take(hiddenStride)
    qkv = take(qkvStride)
    attended = take(attendedStride)
    gated = take(gatedStride)
    blocks = next.bindMemory(to: UInt8.self, capacity: rows * blockStride)
    next += rows * blockStride
    groups = groupStride == 0 ? nil : next.initializeMemory(as: UInt8.self, repeating: 0, count: groupBytes)
    failures = (next + groupBytes).bindMemory(to: Bool.self, capacity: workers * rows)
  }

  deinit {
    memory.deallocate()
  }
}
