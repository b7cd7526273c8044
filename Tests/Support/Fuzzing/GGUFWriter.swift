// GGUFWriter.swift: writes small GGUF files for tests, valid or wrong wherever a test wants it.
// Real models do not fit, because everything is held in memory. Start at bytes().

import Inference

/// A GGUF file under construction.
package struct GGUFWriter: Sendable {
  package enum Value: Sendable {
    case uint8(UInt8)
    case int8(Int8)
    case uint16(UInt16)
    case int16(Int16)
    case uint32(UInt32)
    case int32(Int32)
    case float32(Float)
    case bool(Bool)
    case string(String)
    case uint64(UInt64)
    case int64(Int64)
    case float64(Double)
    case strings([String])
    case int32s([Int32])
    case float32s([Float])
    /// A type number and the bytes of the value, whatever they are.
    case raw(type: UInt32, bytes: [UInt8])
  }

  package struct Tensor: Sendable {
    package var name: [UInt8]
    package var dimensions: [UInt64]
    package var type: UInt32
    /// What is written to the data section at the tensor's place.
    package var data: [UInt8]
    /// The offset to claim instead of the true one.
    package var claimedOffset: UInt64?
  }

  package var magic: [UInt8] = Array("GGUF".utf8)
  package var version: UInt32 = 3
  package var keys: [(key: [UInt8], value: Value)] = []
  package var tensors: [Tensor] = []
  /// Where the data is really put; the reader goes by the key `general.alignment`.
  package var alignment = 32
  package var claimedTensorCount: UInt64?
  package var claimedKeyCount: UInt64?

  package init() {}

  package mutating func set(_ key: String, _ value: Value) {
    keys.append((Array(key.utf8), value))
  }

  /// Adds a tensor with the extents in file order, row length first.
  package mutating func add(_ name: String, _ dimensions: [Int], _ type: GGUFTensorType, data: [UInt8]) {
    tensors.append(
      Tensor(
        name: Array(name.utf8), dimensions: dimensions.map { UInt64($0) }, type: type.rawValue, data: data,
        claimedOffset: nil))
  }

  /// Adds an F32 tensor.
  package mutating func add(_ name: String, _ dimensions: [Int], _ values: [Float]) {
    add(name, dimensions, .f32, data: values.flatMap { Self.littleEndian($0.bitPattern) })
  }

  package static func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  package static func string(_ bytes: [UInt8]) -> [UInt8] {
    littleEndian(UInt64(bytes.count)) + bytes
  }

  /// An array value: element type, claimed count, elements.
  package static func array(type: UInt32, count: UInt64, _ elements: [UInt8]) -> Value {
    .raw(type: 9, bytes: littleEndian(type) + littleEndian(count) + elements)
  }

  /// The bytes before the padding and the data.
  package func header() -> [UInt8] {
    var output = magic + Self.littleEndian(version)
    output += Self.littleEndian(claimedTensorCount ?? UInt64(tensors.count))
    output += Self.littleEndian(claimedKeyCount ?? UInt64(keys.count))
    for (key, value) in keys {
      output += Self.string(key)
      output += Self.encode(value)
    }
    var offset = 0
    for tensor in tensors {
      output += Self.string(tensor.name)
      output += Self.littleEndian(UInt32(tensor.dimensions.count))
      for extent in tensor.dimensions { output += Self.littleEndian(extent) }
      output += Self.littleEndian(tensor.type)
      output += Self.littleEndian(tensor.claimedOffset ?? UInt64(offset))
      offset = padded(offset + tensor.data.count)
    }
    return output
  }

  package func bytes() -> [UInt8] {
    var output = header()
    if tensors.isEmpty { return output }
    output += [UInt8](repeating: 0, count: padded(output.count) - output.count)
    for tensor in tensors {
      output += tensor.data
      output += [UInt8](repeating: 0, count: padded(output.count) - output.count)
    }
    return output
  }

  private func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

  private static func encode(_ value: Value) -> [UInt8] {
    switch value {
    case .uint8(let number): littleEndian(UInt32(0)) + [number]
    case .int8(let number): littleEndian(UInt32(1)) + littleEndian(number)
    case .uint16(let number): littleEndian(UInt32(2)) + littleEndian(number)
    case .int16(let number): littleEndian(UInt32(3)) + littleEndian(number)
    case .uint32(let number): littleEndian(UInt32(4)) + littleEndian(number)
    case .int32(let number): littleEndian(UInt32(5)) + littleEndian(number)
    case .float32(let number): littleEndian(UInt32(6)) + littleEndian(number.bitPattern)
    case .bool(let flag): littleEndian(UInt32(7)) + [flag ? 1 : 0]
    case .string(let text): littleEndian(UInt32(8)) + string(Array(text.utf8))
    case .uint64(let number): littleEndian(UInt32(10)) + littleEndian(number)
    case .int64(let number): littleEndian(UInt32(11)) + littleEndian(number)
    case .float64(let number): littleEndian(UInt32(12)) + littleEndian(number.bitPattern)
    case .strings(let strings):
      encode(array(type: 8, count: UInt64(strings.count), strings.flatMap { string(Array($0.utf8)) }))
    case .int32s(let numbers):
      encode(array(type: 5, count: UInt64(numbers.count), numbers.flatMap { littleEndian($0) }))
    case .float32s(let numbers):
      encode(array(type: 6, count: UInt64(numbers.count), numbers.flatMap { littleEndian($0.bitPattern) }))
    case .raw(let type, let bytes): littleEndian(type) + bytes
    }
  }
}

/// Small vocabularies for tests.
package enum SyntheticVocabulary {
  /// A byte-level vocabulary: `<|endoftext|>` 0, `<|im_start|>` 1, `<|im_end|>` 2, the 256 bytes from 3 on, then what
  /// the merges make ("Ġ" is a space in them).
  package static func byteLevel(
    merges: [String] = ["t h", "th e", "i n", "e r", "Ġ the", "Ġ a", "in g"], pre: String? = "gpt-2",
    extra: [(text: String, type: Int32)] = []
  ) -> GGUFWriter {
    var tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + byteCharacters
    var types: [Int32] = [3, 3, 3] + [Int32](repeating: 1, count: 256)
    for merge in merges {
      tokens.append(merge.filter { $0 != " " })
      types.append(1)
    }
    for (text, type) in extra {
      tokens.append(text)
      types.append(type)
    }
    var writer = GGUFWriter()
    writer.set("general.architecture", .string("llama"))
    writer.set("tokenizer.ggml.model", .string("gpt2"))
    if let pre { writer.set("tokenizer.ggml.pre", .string(pre)) }
    writer.set("tokenizer.ggml.tokens", .strings(tokens))
    writer.set("tokenizer.ggml.token_type", .int32s(types))
    writer.set("tokenizer.ggml.merges", .strings(merges))
    writer.set("tokenizer.ggml.bos_token_id", .uint32(1))
    writer.set("tokenizer.ggml.eos_token_id", .uint32(2))
    return writer
  }

  /// A SentencePiece vocabulary: `<unk>`, `<s>`, `</s>`, the 256 bytes from 3 on, then the pieces, each with its
  /// place in the list as negative score.
  package static func sentencePiece(
    pieces: [String] = [
      "▁", "e", "t", "h", "▁t", "he", "▁the", "o", "l", "ll", "▁h", "▁he", "llo", "▁hello", "é",
    ],
    extra: [(text: String, type: Int32)] = []
  ) -> GGUFWriter {
    var tokens = ["<unk>", "<s>", "</s>"]
    var types: [Int32] = [2, 3, 3]
    var scores: [Float] = [0, 0, 0]
    for byte in 0..<256 {
      let digits = String(byte, radix: 16, uppercase: true)
      tokens.append("<0x" + (digits.count == 1 ? "0" : "") + digits + ">")
      types.append(6)
      scores.append(0)
    }
    for (index, piece) in pieces.enumerated() {
      tokens.append(piece)
      types.append(1)
      scores.append(-Float(index))
    }
    for (text, type) in extra {
      tokens.append(text)
      types.append(type)
      scores.append(0)
    }
    var writer = GGUFWriter()
    writer.set("general.architecture", .string("llama"))
    writer.set("tokenizer.ggml.model", .string("llama"))
    writer.set("tokenizer.ggml.pre", .string("default"))
    writer.set("tokenizer.ggml.tokens", .strings(tokens))
    writer.set("tokenizer.ggml.scores", .float32s(scores))
    writer.set("tokenizer.ggml.token_type", .int32s(types))
    writer.set("tokenizer.ggml.bos_token_id", .uint32(1))
    writer.set("tokenizer.ggml.eos_token_id", .uint32(2))
    writer.set("tokenizer.ggml.unknown_token_id", .uint32(0))
    return writer
  }

  /// A vocabulary of Gemma 4's kind: the pieces of `sentencePiece` and merges that make them.
  package static func characters(
    pieces: [String] = [
      "▁", "a", "b", "h", "e", "t", "▁t", "th", "he", "▁th", "▁the", "a▁", "é", "\n", "\n\n",
    ],
    merges: [String] = ["▁ t", "t h", "▁t h", "▁th e", "h e", "a ▁", "x y"],
    extra: [(text: String, type: Int32)] = []
  ) -> GGUFWriter {
    var writer = sentencePiece(pieces: pieces, extra: extra)
    writer.keys.removeAll { $0.key == Array("tokenizer.ggml.model".utf8) }
    writer.set("tokenizer.ggml.model", .string("gemma4"))
    writer.set("tokenizer.ggml.merges", .strings(merges))
    return writer
  }

  /// The printable character of each byte, as GPT-2's vocabulary writes them.
  package static let byteCharacters: [String] = {
    var next: UInt32 = 0x100
    return (0..<256).map { byte -> String in
      let isPlain =
        (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
      var value = UInt32(byte)
      if !isPlain {
        value = next
        next += 1
      }
      return Unicode.Scalar(value).map { String($0) } ?? ""
    }
  }()
}

/// A model split into parts, as llama.cpp's gguf-split does it: the first has the metadata, each has
/// some of the tensors and says which part of how many it is.
package func splitParts(of file: GGUFFile, count: Int) -> [GGUFWriter] {
  func number(_ part: Int) -> [(String, GGUFWriter.Value)] {
    [
      ("split.no", .uint16(UInt16(part))), ("split.count", .uint16(UInt16(count))),
      ("split.tensors.count", .int32(Int32(file.tensors.count))),
    ]
  }
  return (0..<count).map { part in
    var writer = GGUFWriter()
    if part == 0 { writer.copyKeys(of: file, without: []) }
    for (key, value) in number(part) { writer.set(key, value) }
    for (index, tensor) in file.tensors.enumerated() where index * count / file.tensors.count == part {
      writer.add(tensor.name, tensor.dimensions, tensor.type, data: Array(file.bytes(of: tensor)))
    }
    return writer
  }
}

extension GGUFWriter {
  /// The keys and tensors of a file, but for some.
  package init(copying file: GGUFFile, without left: Set<String> = []) {
    copyKeys(of: file, without: left)
    for tensor in file.tensors where !left.contains(tensor.name) {
      add(tensor.name, tensor.dimensions, tensor.type, data: Array(file.bytes(of: tensor)))
    }
  }

  fileprivate mutating func copyKeys(of file: GGUFFile, without left: Set<String>) {
    for key in file.metadata.keys where !left.contains(key) {
      if let value = file.metadata[key].flatMap(Value.init) { set(key, value) }
    }
  }
}

extension GGUFWriter.Value {
  /// A value of a file, of the kinds that models in tests have.
  fileprivate init?(_ value: GGUFValue) {
    switch value {
    case .uint32(let number): self = .uint32(number)
    case .float32(let number): self = .float32(number)
    case .bool(let flag): self = .bool(flag)
    case .string(let string): self = .string(string.text)
    case .array(let array):
      if let strings = array.strings {
        self = .strings(strings)
      } else if let floats = array.floats {
        self = .float32s(floats)
      } else if let integers = array.integers {
        self = .int32s(integers.map { Int32(truncatingIfNeeded: $0) })
      } else {
        return nil
      }
    default: return nil
    }
  }
}
