// BigModel.swift: writes a model file of about a gigabyte with random weights in the widths of a BigShape, in Q4_K with a Q6_K head,
// for measuring what memory allows. It has no vocabulary; both programs count tokens by the embedding. Start at write.

import Foundation
import Glibc

enum BigModel {
  static func write(_ shape: BigShape, to path: String) throws {
    guard let file = fopen(path, "wb") else {
      throw BenchmarkError(description: "\(path): \(String(cString: strerror(errno)))")
    }
    var header = Data("GGUF".utf8)
    func put<T: FixedWidthInteger>(_ value: T) {
      withUnsafeBytes(of: value.littleEndian) { header.append(contentsOf: $0) }
    }
    func put(_ text: String) {
      put(UInt64(text.utf8.count))
      header.append(Data(text.utf8))
    }
    func entry(_ key: String, _ value: BigShape.Value) {
      put(key)
      switch value {
      case .text(let text):
        put(UInt32(8))
        put(text)
      case .number(let number):
        put(UInt32(4))
        put(UInt32(number))
      case .real(let real):
        put(UInt32(6))
        put(real.bitPattern)
      case .numbers(let numbers):
        put(UInt32(9))
        put(UInt32(4))
        put(UInt64(numbers.count))
        for number in numbers { put(UInt32(number)) }
      }
    }
    let general: [(String, BigShape.Value)] = [
      ("general.architecture", .text(shape.architecture)), ("general.name", .text(shape.name)),
      ("general.file_type", .number(15)), ("tokenizer.ggml.model", .text("no_vocab")),
    ]
    put(UInt32(3))
    put(UInt64(shape.tensors.count))
    put(UInt64(general.count + shape.keys.count))
    for (key, value) in general { entry(key, value) }
    for (key, value) in shape.keys { entry("\(shape.architecture).\(key)", value) }
    func aligned(_ count: Int) -> Int { (count + 31) / 32 * 32 }
    var offset = 0
    for tensor in shape.tensors {
      put(tensor.name)
      put(UInt32(tensor.extents.count))
      for extent in tensor.extents { put(UInt64(extent)) }
      put(tensor.kind.rawValue)
      put(UInt64(offset))
      offset = aligned(offset + tensor.bytes)
    }
    header.append(Data(count: aligned(header.count) - header.count))
    var good = header.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) == $0.count }
    var random = Random()
    for tensor in shape.tensors where good {
      let bytes = contents(of: tensor, &random)
      good = fwrite(bytes, 1, bytes.count, file) == bytes.count
    }
    good = fclose(file) == 0 && good
    guard good else { throw BenchmarkError(description: "\(path): not written whole; is the disk full?") }
  }

  /// Marsaglia's xorshift64 (2003): fast, and the same in every run.
  private struct Random {
    private var state: UInt64 = 88_172_645_463_325_252

    mutating func next() -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state
    }
  }

  /// Random bits, with scales that keep every weight near 0, padded to 32 bytes.
  private static func contents(of tensor: BigShape.Tensor, _ random: inout Random) -> [UInt8] {
    let size = (tensor.bytes + 31) / 32 * 32
    var bytes = [UInt8](repeating: 0, count: size)
    bytes.withUnsafeMutableBytes { raw in
      if tensor.kind == .f32 {
        for i in 0..<(tensor.bytes / 4) {
          let value: Float =
            switch tensor.filling {
            case .all(let value): value
            case .random: Float(random.next() >> 40) / Float(1 << 24) * 0.1 - 0.05
            }
          raw.storeBytes(of: value, toByteOffset: 4 * i, as: Float.self)
        }
        return
      }
      for i in 0..<(size / 8) { raw.storeBytes(of: random.next(), toByteOffset: 8 * i, as: UInt64.self) }
      // d and dmin of Q4_K begin a block, d of Q6_K ends it
      let small = Float16(0.0002).bitPattern
      let block = tensor.kind.bytes(256)
      for start in stride(from: 0, to: tensor.bytes, by: block) {
        switch tensor.kind {
        case .q4K:
          raw.storeBytes(of: small, toByteOffset: start, as: UInt16.self)
          raw.storeBytes(of: small, toByteOffset: start + 2, as: UInt16.self)
        case .q6K:
          raw.storeBytes(of: small, toByteOffset: start + 208, as: UInt16.self)
        case .f32: break
        }
      }
    }
    return bytes
  }
}
