// ReferenceBlocks.swift: blocks of a file's bytes as item 1 of hotpot-numerics(7) has them, in Swift.
// Shares the points of grids with the kernels, which KernelFormatTests hold against the format's
// tables, and nothing else. Leaves out Q5_0 to IQ4_XS. Start at read(_:_:block:).

import CKernels
import Fuzzing
import Inference

/// 32 columns of a row, or one of a float type.
struct ReferenceBlock {
  /// Times the integer scale of their half, where 16 columns have one: the sum is the same number.
  var integers: [Int32] = []
  var scale: Float = 0
  var minimum: Float?
  var value: Float = 0

  /// The blocks of 32 columns in a block of the file.
  static func read(
    _ type: GGUFTensorType, _ bytes: UnsafeRawBufferPointer, block: Int
  ) -> [ReferenceBlock] {
    let first = block * type.blockByteCount
    let block = Bytes(bytes: UnsafeRawBufferPointer(rebasing: bytes[first..<(first + type.blockByteCount)]))
    if type.blockSize == 256 { return (0..<8).map { block.part($0, of: type) } }
    switch type {
    case .q40: return [ReferenceBlock(integers: block.nibbles(2).map { $0 - 8 }, scale: block.half(0))]
    case .q41:
      return [ReferenceBlock(integers: block.nibbles(4), scale: block.half(0), minimum: block.half(2))]
    case .q80:
      let integers = (0..<32).map { Int32(Int8(truncatingIfNeeded: block.byte(2 + $0))) }
      return [ReferenceBlock(integers: integers, scale: block.half(0))]
    case .mxfp4:
      let values: [Int32] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]
      return [
        ReferenceBlock(
          integers: block.nibbles(1).map { values[Int($0)] },
          scale: Float(sign: .plus, exponent: block.byte(0) - 128, significand: 1))
      ]
    case .f16: return [ReferenceBlock(value: block.half(0))]
    case .f32: return [ReferenceBlock(value: Float(bitPattern: UInt32(block.word(0) | block.word(2) << 16)))]
    default: preconditionFailure("the reference has no \(type.name)")
    }
  }
}

/// A block of a file.
private struct Bytes {
  let bytes: UnsafeRawBufferPointer

  func byte(_ at: Int) -> Int { Int(bytes[at]) }
  func word(_ at: Int) -> Int { byte(at) | byte(at + 1) << 8 }
  func half(_ at: Int) -> Float { Float(Float16(bitPattern: UInt16(word(at)))) }
  func nibbles(_ at: Int) -> [Int32] {
    (0..<32).map { Int32($0 < 16 ? byte(at + $0) & 15 : byte(at + $0 - 16) >> 4) }
  }

  /// Columns 32 part ..< 32 part + 32 of the 256.
  func part(_ part: Int, of type: GGUFTensorType) -> ReferenceBlock {
    let indices = (0..<8).map { byte(2 + 4 * part + $0 % 4) }
    let twoMagnitudes: [Int32] = [8, 25, 43]
    switch type {
    case .iq2XXS:
      let at = 2 + 8 * part
      let word = self.word(at + 4) | self.word(at + 6) << 16
      return grid(
        type, (0..<4).map { byte(at + $0) }, twoMagnitudes, sevens((0..<4).map { word >> (7 * $0) }),
        half(0) / 8, word >> 28)
    case .iq2XS:
      let words = (0..<4).map { word(2 + 8 * part + 2 * $0) }
      return grid(
        type, words.map { $0 & 511 }, twoMagnitudes, sevens(words.map { $0 >> 9 }), half(0) / 8,
        byte(66 + part) & 15, byte(66 + part) >> 4)
    case .iq2S:
      return grid(
        type, (0..<4).map { indices[$0] | (byte(66 + part) >> (2 * $0) & 3) << 8 }, twoMagnitudes,
        eights((0..<4).map { byte(34 + 4 * part + $0) }), half(0) / 8, byte(74 + part) & 15,
        byte(74 + part) >> 4)
    case .iq3XXS:
      let word = self.word(66 + 4 * part) | self.word(68 + 4 * part) << 16
      return grid(
        type, (0..<8).map { byte(2 + 8 * part + $0) }, [4, 12, 20, 28, 36, 44, 52, 62],
        sevens((0..<4).map { word >> (7 * $0) }), half(0) / 4, word >> 28)
    case .iq3S:
      return grid(
        type, (0..<8).map { byte(2 + 8 * part + $0) | (byte(66 + part) >> $0 & 1) << 8 },
        [1, 3, 5, 7, 9, 11, 13, 15], eights((0..<4).map { byte(74 + 4 * part + $0) }), half(0),
        byte(106 + part / 2) >> (part % 2 * 4) & 15)
    case .iq1S:
      let high = word(34 + 2 * part)
      return grid(
        type, (0..<4).map { indices[$0] | (high >> (3 * $0) & 7) << 8 },
        deltas: [Int](repeating: high >> 15, count: 4),
        half(0) / 8, high >> 12 & 7)
    case .iq1M:
      let high = word(32 + 2 * part)
      let scales = word(48 + part / 2 * 2) >> (part % 2 * 6)
      let bits = (0..<4).reduce(0) { $0 | (word(48 + 2 * $1) >> 12) << (4 * $1) }
      return grid(
        type, (0..<4).map { byte(4 * part + $0) | (high >> (4 * $0) & 7) << 8 },
        deltas: (0..<4).map { high >> (4 * $0 + 3) & 1 }, Float(Float16(bitPattern: UInt16(bits))) / 8,
        scales & 7, scales >> 3 & 7)
    case .tq10:
      // Column c of 160, 80 and 16 in turn, with 32, 16 and 4 bytes for five, five and four digits.
      let integers = (0..<32).map { i -> Int32 in
        let column = 32 * part + i
        let (at, digit) =
          column < 160
          ? (column % 32, column / 32)
          : column < 240 ? (32 + column % 16, (column - 160) / 16) : (48 + column % 4, (column - 240) / 4)
        let power = [1, 3, 9, 27, 81][digit]
        return Int32(((byte(at) * power & 255) * 3) >> 8) - 1
      }
      return ReferenceBlock(integers: integers, scale: half(52))
    case .tq20:
      let integers = (0..<32).map { Int32(byte(part / 4 * 32 + $0) >> (part % 4 * 2) & 3) - 1 }
      return ReferenceBlock(integers: integers, scale: half(64))
    default: preconditionFailure("the reference has no \(type.name)")
    }
  }

  /// Eight signs each, of which seven are in the file: an even number is negative.
  private func sevens(_ words: [Int]) -> [Int32] {
    eights(words.map { ($0 & 127) | (($0 & 127).nonzeroBitCount % 2) << 7 })
  }

  private func eights(_ bytes: [Int]) -> [Int32] {
    bytes.flatMap { byte in (0..<8).map { byte >> $0 & 1 == 0 ? 1 : -1 } }
  }

  private func levels(_ type: GGUFTensorType, _ points: [Int]) -> [Int] {
    points.flatMap { index -> [Int] in
      var levels = [UInt8](repeating: 0, count: 8)
      let count = ck_grid_point(ck_type(type.rawValue), UInt32(index), &levels)
      return levels[0..<Int(count)].map(Int.init)
    }
  }

  private func grid(
    _ type: GGUFTensorType, _ points: [Int], _ magnitudes: [Int32], _ signs: [Int32], _ scale: Float,
    _ n: Int...
  ) -> ReferenceBlock {
    scaled(zip(levels(type, points), signs).map { magnitudes[$0] * $1 }, scale, n)
  }

  /// IQ1: eight times the level less 1, and 1 more or less.
  private func grid(
    _ type: GGUFTensorType, _ points: [Int], deltas: [Int], _ scale: Float, _ n: Int...
  ) -> ReferenceBlock {
    let integers = levels(type, points).enumerated().map { column, level in
      Int32(8 * (level - 1) + (deltas[column / 8] == 0 ? 1 : -1))
    }
    return scaled(integers, scale, n)
  }

  private func scaled(_ integers: [Int32], _ scale: Float, _ n: [Int]) -> ReferenceBlock {
    let scales = n.map { Int32(2 * $0 + 1) }
    if scales.count == 2 {
      return ReferenceBlock(integers: integers.enumerated().map { $1 * scales[$0 / 16] }, scale: scale)
    }
    return ReferenceBlock(integers: integers, scale: scale * Float(scales[0]))
  }
}
