// MetadataKeyTests.swift: every key that a model is read from, absent, as -1, in each integer type, in its old and new
// spelling, once for all layers and as a list of them. Right is what llama.cpp makes of it, or a refusal by name.

import Foundation
import Fuzzing
import Inference
import TestSettings
import Testing

@Suite struct MetadataKeyTests {
  /// The keys of a model and its embedding: what its shape is read from.
  private struct File {
    var values: [String: GGUFWriter.Value] = [
      "general.architecture": .string("llama"), "llama.block_count": .uint32(2),
      "llama.context_length": .uint32(512), "llama.embedding_length": .uint32(64),
      "llama.feed_forward_length": .uint32(96), "llama.attention.head_count": .uint32(4),
      "llama.attention.head_count_kv": .uint32(2), "llama.attention.key_length": .uint32(32),
      "llama.attention.value_length": .uint32(32),
      "llama.attention.layer_norm_rms_epsilon": .float32(1e-5), "llama.rope.freq_base": .float32(10_000),
    ]
    var extents = [64, 90]

    var bytes: [UInt8] {
      var writer = GGUFWriter()
      for (key, value) in values.sorted(by: { $0.key < $1.key }) { writer.set(key, value) }
      writer.add("token_embd.weight", extents, [Float](repeating: 0, count: extents.reduce(1, *)))
      return writer.bytes()
    }
  }

  private func shape(_ change: (inout File) -> Void) throws -> Hyperparameters {
    var file = File()
    change(&file)
    return try Architecture.dense(MetadataReader(GGUFFile(bytes: file.bytes, name: "m.gguf")))
  }

  private func refusal(_ change: (inout File) -> Void) -> String {
    do {
      _ = try shape(change)
      return "accepted"
    } catch {
      return "\(error)".replacing("model 'm.gguf': ", with: "")
    }
  }

  /// A number in every integer type that holds it.
  private static func everyType(_ number: Int) -> [GGUFWriter.Value] {
    var values: [GGUFWriter.Value] = [.uint64(UInt64(number)), .int64(Int64(number))]
    if let exact = UInt8(exactly: number) { values.append(.uint8(exact)) }
    if let exact = Int8(exactly: number) { values.append(.int8(exact)) }
    if let exact = UInt16(exactly: number) { values.append(.uint16(exact)) }
    if let exact = Int16(exactly: number) { values.append(.int16(exact)) }
    if let exact = UInt32(exactly: number) { values.append(.uint32(exact)) }
    if let exact = Int32(exactly: number) { values.append(.int32(exact)) }
    return values
  }

  private static let none: [GGUFWriter.Value] = [
    .int8(-1), .int16(-1), .int32(-1), .int64(-1), .uint16(.max), .uint32(.max), .uint64(.max),
  ]

  private static let integers: [(key: String, value: Int, isRequired: Bool)] = [
    ("block_count", 2, true), ("context_length", 512, true), ("embedding_length", 64, true),
    ("feed_forward_length", 96, true), ("attention.head_count", 4, true),
    ("attention.head_count_kv", 2, false), ("attention.key_length", 32, false),
    ("attention.value_length", 32, false), ("rope.dimension_count", 32, false), ("expert_count", 0, false),
    ("attention.sliding_window", 0, false),
  ]

  @Test func anIntegerMeansTheSameInEveryType() throws {
    let plain = try shape { _ in }
    for (key, value, _) in Self.integers {
      for written in Self.everyType(value) {
        #expect(try shape { $0.values["llama.\(key)"] = written } == plain, "\(key) as \(written)")
      }
      // Per layer, all alike.
      #expect(
        try shape { $0.values["llama.\(key)"] = .int32s([Int32(value), Int32(value)]) } == plain, "\(key)")
    }
  }

  @Test func aLayerThatDiffersIsRefusedByName() {
    #expect(
      refusal { $0.values["llama.attention.head_count_kv"] = .int32s([2, 4]) }
        == "'llama.attention.head_count_kv' differs from layer to layer, which is not supported")
    #expect(refusal { $0.values["llama.feed_forward_length"] = .int32s([]) }.contains("wanted an integer"))
    #expect(refusal { $0.values["llama.block_count"] = .float32s([2]) }.contains("wanted an integer"))
  }

  @Test func anAbsentKeyHasItsDefaultOrIsNamed() throws {
    for (key, _, isRequired) in Self.integers where isRequired {
      #expect(
        refusal { $0.values["llama.\(key)"] = nil } == "metadata key 'llama.\(key)' is missing")
    }
    #expect(
      refusal { $0.values["llama.attention.layer_norm_rms_epsilon"] = nil }
        == "metadata key 'llama.attention.layer_norm_rms_epsilon' is missing")
    let absent = try shape {
      $0.values["llama.attention.value_length"] = nil
      $0.values["llama.rope.freq_base"] = nil
    }
    #expect(absent.rotaryBase == 10_000)
    #expect(absent.rotarySize == 32)
    #expect(absent.rotaryScale == 1)
    #expect(
      try shape {
        $0.values["llama.attention.head_count_kv"] = nil
      }.kvHeadCount == 4)
    #expect(
      try shape {
        $0.values["llama.attention.key_length"] = nil
        $0.values["llama.attention.value_length"] = nil
      }.headSize == 16)
  }

  @Test func minusOneInAnyTypeIsAbsentWhereTheKeyMayBe() throws {
    let plain = try shape { _ in }
    for value in Self.none {
      for key in [
        "attention.value_length", "rope.dimension_count", "expert_count", "attention.sliding_window",
      ] {
        #expect(try shape { $0.values["llama.\(key)"] = value } == plain, "\(key) as \(value)")
      }
      #expect(
        try shape {
          $0.values["llama.attention.head_count_kv"] = value
        }.kvHeadCount == 4)
      // 65,535 positions are a context like any other.
      if case .uint16 = value { continue }
      for (key, _, isRequired) in Self.integers where isRequired {
        #expect(
          refusal { $0.values["llama.\(key)"] = value }.contains("llama.\(key)"), "\(key) as \(value)")
      }
    }
  }

  @Test func aNumberMayBeWrittenInEveryFloatAndIntegerType() throws {
    for value in [.float32(10_000), .float64(10_000)] + Self.everyType(10_000) {
      #expect(try shape { $0.values["llama.rope.freq_base"] = value }.rotaryBase == 10_000, "\(value)")
    }
    for value in [.float32(.nan), .float32(.infinity), .float64(.nan)] as [GGUFWriter.Value] {
      #expect(
        refusal { $0.values["llama.rope.freq_base"] = value }.contains("wanted a finite number"), "\(value)")
    }
    #expect(refusal { $0.values["llama.rope.freq_base"] = .string("10000") }.contains("floating-point"))
    #expect(refusal { $0.values["llama.rope.freq_base"] = .bool(true) }.contains("floating-point"))
  }

  @Test(
    arguments: [
      // A factor counts without a type, or with the linear one, in either spelling; the newer wins.
      (nil, 4, nil, 4), ("linear", 4, nil, 4), ("", 4, nil, 4), (nil, nil, 4, 4), ("linear", nil, 4, 4),
      (nil, 2, 4, 2), ("linear", 2, 4, 2), (nil, 0.5, nil, 0.5),
      // No scaling at all, whatever factor stands there; 0 is none.
      ("none", 4, nil, 1), ("none", nil, 4, 1), (nil, 0, nil, 1), ("linear", 0, nil, 1), (nil, 0, 4, 1),
      (nil, nil, nil, 1), ("linear", nil, nil, 1),
    ] as [(String?, Double?, Double?, Double)])
  func rotaryScalingIsReadAsLlamaCppReadsIt(
    _ type: String?, _ factor: Double?, _ older: Double?, _ expected: Double
  ) throws {
    for isDouble in [false, true] {
      func value(_ number: Double) -> GGUFWriter.Value {
        isDouble ? .float64(number) : .float32(Float(number))
      }
      let found = try shape {
        if let type { $0.values["llama.rope.scaling.type"] = .string(type) }
        if let factor { $0.values["llama.rope.scaling.factor"] = value(factor) }
        if let older { $0.values["llama.rope.scale_linear"] = value(older) }
      }
      #expect(found.rotaryScale == expected)
    }
    if let factor, let whole = Int(exactly: factor) {
      for written in Self.everyType(whole) {
        #expect(
          try shape {
            if let type { $0.values["llama.rope.scaling.type"] = .string(type) }
            if let older { $0.values["llama.rope.scale_linear"] = .float32(Float(older)) }
            $0.values["llama.rope.scaling.factor"] = written
          }.rotaryScale == expected)
      }
    }
  }

  @Test func scalingThatIsNotComputedIsRefusedByName() {
    for type in ["su", "LINEAR", "YARN"] {
      #expect(
        refusal { $0.values["llama.rope.scaling.type"] = .string(type) }
          == "the rotary embedding is scaled by '\(type)', which is not supported")
    }
    #expect(
      refusal { $0.values["llama.rope.scaling.attn_factor"] = .float32(-1) }.contains(
        "llama.rope.scaling.attn_factor is -1.0, wanted 0.0 to 1000.0"))
    #expect(
      refusal { $0.values["llama.rope.scaling.factor"] = .float32(-1) }.contains(
        "llama.rope.scaling.factor is -1.0"))
  }

  @Test func whatIsRotatedIsMultipliedByTheFilesFactorAndByYaRNs() throws {
    func magnitude(_ type: String?, _ written: Float?) throws -> Double {
      try shape {
        if let type { $0.values["llama.rope.scaling.type"] = .string(type) }
        if let written { $0.values["llama.rope.scaling.attn_factor"] = .float32(written) }
        $0.values["llama.rope.scaling.factor"] = .float32(8)
      }.rotaryMagnitude
    }
    for type in [nil, "none", "linear", "longrope"] {
      #expect(try magnitude(type, nil) == 1)
      #expect(try magnitude(type, 0) == 1)
      #expect(try magnitude(type, 1.5) == 1.5)
    }
    #expect(abs(try magnitude("yarn", nil) - (1 + 0.1 * log(8))) < 1e-15)
    #expect(abs(try magnitude("yarn", 1.5) - 1.5 * (1 + 0.1 * log(8))) < 1e-15)
    #expect(
      refusal {
        $0.values["llama.rope.scaling.type"] = .string("yarn")
        $0.values["llama.rope.scaling.factor"] = .float32(8)
        $0.values["llama.rope.freq_base"] = .float32(1)
      } == "llama.rope.freq_base is 1.0, wanted more than 1 for YaRN")
  }

  @Test func aWindowOfTheWholeContextHidesNothing() throws {
    for window in [512, 4_096] as [UInt32] {
      #expect(throws: Never.self) {
        try shape { $0.values["llama.attention.sliding_window"] = .uint32(window) }
      }
    }
    #expect(
      refusal { $0.values["llama.attention.sliding_window"] = .uint32(511) }
        == "attention slides over a window of 511 positions, which is not supported")
  }

  @Test func trailingExtentsOfOneMeanNothing() throws {
    let plain = try shape { _ in }
    #expect(try shape { $0.extents = [64, 90, 1] } == plain)
    #expect(try shape { $0.extents = [64, 90, 1, 1] } == plain)
    #expect(try shape { $0.extents = [64] }.vocabularySize == 1)
    #expect(
      refusal { $0.extents = [64, 90, 2] } == "tensor 'token_embd.weight' is 64 x 90 x 2, wanted 64")

    var model = SyntheticModel(
      layers: 1, embedding: 64, feedForward: 96, heads: 4, kvHeads: 2, headSize: 32, vocabulary: 90,
      context: 512)
    let bytes = model.bytes()
    for tensor in try GGUFFile(bytes: bytes, name: "m.gguf").tensors {
      model.extents[tensor.name] = tensor.dimensions + [1]
    }
    let engines = try [bytes, model.bytes()].map {
      try Engine(
        model: Model(file: GGUFFile(bytes: $0, name: "m.gguf")), configuration: .init(threads: 1, kvBlocks: 4)
      )
    }
    #expect(try engines[0].allLogits([1, 2, 3]) == engines[1].allLogits([1, 2, 3]))
  }

  @Test func moreTokensThanRowsAreRefusedAndFewerAreNot() throws {
    func tokens(_ count: Int) -> GGUFWriter.Value { .strings((0..<count).map { "t\($0)" }) }
    #expect(
      refusal { $0.values["tokenizer.ggml.tokens"] = tokens(91) }
        == "the vocabulary has 91 tokens, and tensor 'token_embd.weight' has rows for 90")
    for count in [1, 89, 90] {
      #expect(throws: Never.self) { try shape { $0.values["tokenizer.ggml.tokens"] = tokens(count) } }
    }
  }

  @Test func aFlagMayBeABooleanOrAnIntegerOfZeroOrOne() throws {
    for value in [.bool(true)] + Self.everyType(1) {
      var writer = SyntheticVocabulary.byteLevel()
      writer.set("tokenizer.ggml.add_bos_token", value)
      #expect(try Tokenizer(GGUFFile(bytes: writer.bytes(), name: "v.gguf")).addsBOS, "\(value)")
    }
    for value in [.bool(false)] + Self.everyType(0) {
      var writer = SyntheticVocabulary.byteLevel(pre: "llama-bpe")
      writer.set("tokenizer.ggml.add_bos_token", value)
      #expect(try !Tokenizer(GGUFFile(bytes: writer.bytes(), name: "v.gguf")).addsBOS, "\(value)")
    }
    var writer = SyntheticVocabulary.byteLevel()
    writer.set("tokenizer.ggml.add_bos_token", .uint32(2))
    #expect(throws: TokenizerError.self) { try Tokenizer(GGUFFile(bytes: writer.bytes(), name: "v.gguf")) }
  }

  @Test(
    .enabled(if: ReferenceFolder.url != nil, "no reference folder"),
    arguments: [
      ("e0_base", nil), ("e1_rope_factor_without_type", nil), ("e2_eos_u32max", nil),
      ("e4_trailing_ones", nil),
      ("e5_more_tokens_than_rows", "token_embd.weight"), ("e6_bad_template", nil),
    ] as [(String, String?)])
  func reportedFilesLoadOrAreRefused(_ name: String, _ refused: String?) throws {
    let path = try #require(ReferenceFolder.url).appending(path: "cases/\(name).gguf").path
    guard FileManager.default.fileExists(atPath: path) else { return }
    do {
      let model = try Model(path: path)
      #expect(refused == nil)
      let tokenizer = try Tokenizer(model.file)
      #expect(tokenizer.warnings == [])
      if name.hasPrefix("e1") { #expect(model.hyperparameters.rotaryScale > 1) }
      if name.hasPrefix("e2") { #expect(tokenizer.eosToken == nil) }
    } catch let error as ModelError {
      #expect("\(error)".contains(refused ?? "no error was expected"))
    }
  }
}
