// BigModel.swift: a model file of more than a gigabyte with random weights, in Llama 3.2 1B's widths and Q4_K with a Q6_K head, for
// measuring what memory allows. It has no vocabulary; both programs count tokens by the embedding. Start at write(to:).

import Foundation
import Glibc

enum BigModel {
  private static let embedding = 2_048
  private static let feedForward = 8_192
  private static let keyLength = 512
  /// The original has 16; these make a gigabyte.
  private static let layers = 24
  private static let vocabulary = 128_256

  private enum Kind: UInt32 {
    case f32 = 0
    case q4K = 12
    case q6K = 14

    func bytes(_ count: Int) -> Int {
      switch self {
      case .f32: count * 4
      case .q4K: count / 256 * 144
      case .q6K: count / 256 * 210
      }
    }
  }

  private struct Tensor {
    let name: String
    let extents: [Int]
    let kind: Kind
    var bytes: Int { kind.bytes(extents.reduce(1, *)) }
  }

  private static var tensors: [Tensor] {
    var list = [
      Tensor(name: "token_embd.weight", extents: [embedding, vocabulary], kind: .q6K),
      Tensor(name: "output_norm.weight", extents: [embedding], kind: .f32),
    ]
    for layer in 0..<layers {
      func add(_ name: String, _ extents: [Int], _ kind: Kind = .q4K) {
        list.append(Tensor(name: "blk.\(layer).\(name).weight", extents: extents, kind: kind))
      }
      add("attn_norm", [embedding], .f32)
      add("attn_q", [embedding, embedding])
      add("attn_k", [embedding, keyLength])
      add("attn_v", [embedding, keyLength])
      add("attn_output", [embedding, embedding])
      add("ffn_norm", [embedding], .f32)
      add("ffn_gate", [embedding, feedForward])
      add("ffn_up", [embedding, feedForward])
      add("ffn_down", [feedForward, embedding])
    }
    return list
  }

  static func write(to path: String) throws {
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
    func entry(_ key: String, text: String) {
      put(key)
      put(UInt32(8))
      put(text)
    }
    func entry(_ key: String, number: Int) {
      put(key)
      put(UInt32(4))
      put(UInt32(number))
    }
    func entry(_ key: String, real: Float) {
      put(key)
      put(UInt32(6))
      put(real.bitPattern)
    }
    let tensors = tensors
    put(UInt32(3))
    put(UInt64(tensors.count))
    put(UInt64(13))
    entry("general.architecture", text: "llama")
    entry("general.name", text: "random 1B shape")
    entry("general.file_type", number: 15)
    entry("llama.block_count", number: layers)
    entry("llama.context_length", number: 8_192)
    entry("llama.embedding_length", number: embedding)
    entry("llama.feed_forward_length", number: feedForward)
    entry("llama.attention.head_count", number: 32)
    entry("llama.attention.head_count_kv", number: 8)
    entry("llama.attention.layer_norm_rms_epsilon", real: 1e-5)
    entry("llama.rope.freq_base", real: 500_000)
    entry("llama.vocab_size", number: vocabulary)
    entry("tokenizer.ggml.model", text: "no_vocab")
    func aligned(_ count: Int) -> Int { (count + 31) / 32 * 32 }
    var offset = 0
    for tensor in tensors {
      put(tensor.name)
      put(UInt32(tensor.extents.count))
      for extent in tensor.extents { put(UInt64(extent)) }
      put(tensor.kind.rawValue)
      put(UInt64(offset))
      offset = aligned(offset + tensor.bytes)
    }
    header.append(Data(count: aligned(header.count) - header.count))
    var good = header.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) == $0.count }
    var state: UInt64 = 88_172_645_463_325_252
    for tensor in tensors where good {
      let bytes = contents(of: tensor, &state)
      good = fwrite(bytes, 1, bytes.count, file) == bytes.count
    }
    good = fclose(file) == 0 && good
    guard good else { throw BenchmarkError(description: "\(path): not written whole; is the disk full?") }
  }

  /// Random bits, with scales that keep every weight near 0, padded to 32 bytes.
  private static func contents(of tensor: Tensor, _ state: inout UInt64) -> [UInt8] {
    let size = (tensor.bytes + 31) / 32 * 32
    var bytes = [UInt8](repeating: 0, count: size)
    bytes.withUnsafeMutableBytes { raw in
      if tensor.kind == .f32 {
        for i in 0..<(tensor.bytes / 4) { raw.storeBytes(of: 1, toByteOffset: 4 * i, as: Float.self) }
        return
      }
      for i in 0..<(size / 8) {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        raw.storeBytes(of: state, toByteOffset: 8 * i, as: UInt64.self)
      }
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
