// KernelSupport.swift: inputs for the kernel tests: a seeded stream, weights in every file format, aligned memory.
// Leaves out expected results; those stand in the tests. Start at KernelStream.

import CDigest
import CKernels
import Foundation

/// A linear congruential stream (Knuth's MMIX constants, upper half), so that other programs can make the same.
struct KernelStream: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func word() -> UInt32 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return UInt32(truncatingIfNeeded: state >> 32)
  }

  mutating func next() -> UInt64 { UInt64(word()) << 32 | UInt64(word()) }

  /// In -1 ... 1, a sixteenth of them eight times as large.
  mutating func float() -> Float {
    let unit = Float(word() >> 8) * 0x1p-23 - 1
    return word() % 16 == 0 ? unit * 8 : unit
  }

  mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in float() } }

  /// An f16 of magnitude 2^-7 ... 2^-3.
  mutating func half() -> UInt16 {
    let bits = word()
    return UInt16(bits & 0x83ff | (8 + (bits >> 16) % 4) << 10)
  }

  /// Rows in a file's layout: random bytes, sane scales.
  mutating func weights(_ type: ck_type, rows: Int, cols: Int) -> [UInt8] {
    let size = Int(ck_type_block_bytes(type))
    let blocks = rows * cols / Int(ck_type_block_values(type))
    var bytes = [UInt8](repeating: 0, count: blocks * size)
    for block in 0..<blocks {
      let at = block * size
      func put(_ half: UInt16, _ offset: Int) {
        bytes[at + offset] = UInt8(truncatingIfNeeded: half)
        bytes[at + offset + 1] = UInt8(truncatingIfNeeded: half >> 8)
      }
      switch type {
      case CK_F32:
        let value = float().bitPattern
        for i in 0..<4 { bytes[at + i] = UInt8(truncatingIfNeeded: value >> (8 * UInt32(i))) }
      case CK_F16, CK_BF16:
        put(half(), 0)
      default:
        for i in 0..<size { bytes[at + i] = UInt8(truncatingIfNeeded: word() >> 11) }
        if type == CK_MXFP4 {
          bytes[at] = 120 + UInt8(word() % 8)
          continue
        }
        if type == CK_IQ1_M {
          // Its f16 scale is in the upper nibbles of four bytes.
          let scale = half()
          for i in 0..<4 {
            let nibble = UInt8(truncatingIfNeeded: scale >> (4 * UInt16(i))) & 15
            bytes[at + 49 + 2 * i] = bytes[at + 49 + 2 * i] & 15 | nibble << 4
          }
          continue
        }
        let offsets = kernelScaleOffsets(type)
        put(half(), offsets.scale)
        if let minimum = offsets.minimum { put(half(), minimum) }
      }
    }
    return bytes
  }
}

/// Where a block of the file keeps its f16 scale and minimum.
func kernelScaleOffsets(_ type: ck_type) -> (scale: Int, minimum: Int?) {
  switch type {
  case CK_Q4_1, CK_Q5_1, CK_Q4_K, CK_Q5_K: (0, 2)
  case CK_Q2_K: (80, 82)
  case CK_Q3_K: (108, nil)
  case CK_Q6_K: (208, nil)
  case CK_TQ1_0: (52, nil)
  case CK_TQ2_0: (64, nil)
  default: (0, nil)
  }
}

let kernelTypes: [ck_type] = [
  CK_F32, CK_F16, CK_BF16, CK_Q8_0, CK_Q4_0, CK_Q4_1, CK_Q5_0, CK_Q5_1, CK_Q2_K, CK_Q3_K, CK_Q4_K, CK_Q5_K,
  CK_Q6_K, CK_IQ4_NL, CK_IQ4_XS, CK_MXFP4, CK_IQ1_S, CK_IQ1_M, CK_IQ2_XXS, CK_IQ2_XS, CK_IQ2_S, CK_IQ3_XXS,
  CK_IQ3_S, CK_TQ1_0, CK_TQ2_0,
]

/// Those that this machine has, and the model of the one that few have.
let kernelLevels: [ck_level] = [CK_SCALAR, CK_AVX2, CK_AVX512, CK_AMX, CK_AMX_EMULATED].filter(
  ck_level_available)

let kernelProfiles: [ck_profile] = [CK_A8, CK_A12, CK_A15]

/// Memory aligned to 64 bytes, zeroed.
final class KernelMemory {
  let base: UnsafeMutableRawPointer
  let count: Int

  init(_ count: Int) {
    self.count = count
    base = UnsafeMutableRawPointer.allocate(byteCount: max(count, 64), alignment: 64)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: max(count, 64))
  }

  deinit { base.deallocate() }

  func bound<T>(_ type: T.Type) -> UnsafeMutablePointer<T> { base.assumingMemoryBound(to: type) }
}

/// A packed matrix and its memory.
struct KernelMatrix {
  let memory: KernelMemory
  var value: ck_matrix

  init(_ type: ck_type, rows: Int, cols: Int, source: [UInt8]) {
    let rows = UInt32(rows)
    let cols = UInt32(cols)
    memory = KernelMemory(ck_packed_bytes(type, rows, cols))
    ck_pack(type, source, rows, cols, 0, ck_tile_count(rows), memory.base)
    value = ck_matrix(data: memory.bound(UInt8.self), type: type, rows: rows, cols: cols)
  }
}

/// A batch of activations, as floats and quantised for one level.
struct KernelInput {
  let floats: KernelMemory
  let blocks: KernelMemory
  let groups: KernelMemory
  var value: ck_input

  init?(_ level: ck_level, _ profile: ck_profile, _ x: [Float], tokens: Int, cols: Int) {
    let floats = KernelMemory(x.count * 4)
    for (i, value) in x.enumerated() { floats.bound(Float.self)[i] = value }
    self.floats = floats
    let stride = ck_blocks_bytes(profile, UInt32(cols))
    blocks = KernelMemory(stride * tokens)
    let groupStride = ck_group_bytes(level, UInt32(cols))
    groups = KernelMemory(max(1, groupStride * ((tokens + 15) / 16)))
    memset(groups.base, 0, groupStride * ((tokens + 15) / 16))
    if cols % 32 == 0 {
      for token in 0..<tokens {
        let row = floats.bound(Float.self) + token * cols
        guard ck_quantise(level, profile, row, UInt32(cols), blocks.base + stride * token) else { return nil }
        if groupStride > 0 {
          let group = groups.base + token / 16 * groupStride
          ck_group(level, profile, blocks.base + stride * token, UInt32(cols), group, UInt32(token % 16))
        }
      }
    }
    value = ck_input(
      values: floats.bound(Float.self), value_stride: cols, blocks: blocks.bound(UInt8.self),
      block_stride: stride, profile: profile,
      groups: groupStride == 0 ? nil : UnsafePointer(groups.bound(UInt8.self)), group_stride: groupStride)
  }
}

/// The product of a matrix with a batch, in one call.
func kernelProduct(_ level: ck_level, _ matrix: KernelMatrix, _ input: KernelInput, tokens: Int) -> [Float] {
  let tiles = ck_tile_count(matrix.value.rows)
  let range = ck_range(first_tile: 0, tiles: tiles, first_token: 0, tokens: UInt32(tokens), next: nil)
  return kernelProduct(level, matrix, input, tokens: tokens, ranges: [range])
}

/// The product of a matrix with a batch, put together from ranges.
func kernelProduct(
  _ level: ck_level, _ matrix: KernelMatrix, _ input: KernelInput, tokens: Int, ranges: [ck_range]
) -> [Float] {
  let rows = Int(matrix.value.rows)
  var out = [Float](repeating: .nan, count: rows * tokens)
  var value = matrix.value
  var batch = input.value
  out.withUnsafeMutableBufferPointer { buffer in
    guard let base = buffer.baseAddress else { return }
    var output = ck_output(values: base, stride: rows, bias: nil, residual: nil, residual_stride: 0)
    for range in ranges { ck_multiply(level, &value, &batch, &output, range) }
  }
  return out
}

func kernelDigest<T>(_ values: [T]) -> String {
  values.withUnsafeBytes { bytes in
    var digest = [UInt8](repeating: 0, count: 32)
    hp_sha256(bytes.baseAddress, bytes.count, &digest)
    return digest.map { String(format: "%02x", $0) }.joined()
  }
}

func kernelBits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }
