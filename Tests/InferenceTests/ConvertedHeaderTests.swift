// ConvertedHeaderTests.swift: for each architecture the header of one real model, as converters write
// it: the model's own sizes, keys that no architecture reads, and numbers in every integer type. The
// tensors are holes in a sparse file, so only their names, shapes and types are read. Start at headers.

import Foundation
import Fuzzing
import Inference
import Testing

/// The metadata and tensors of a model as published.
struct ConvertedHeader {
  let architecture: String
  let layers: Int
  /// By keys without the architecture.
  var integers: [String: Int]
  var numbers: [String: Float]
  var strings: [String: String] = [:]
  var lists: [String: [Int32]] = [:]
  var flags: [String: [Bool]] = [:]
  /// Extents of the tensors of the model, and of each layer.
  var tensors: [String: [Int]]
  var layerTensors: @Sendable (Int) -> [String: [Int]]

  /// What converters and quantisers write beside what a model is computed from.
  private static let odd: [(String, GGUFWriter.Value)] = [
    ("general.type", .string("model")), ("general.name", .string("A Model 3B")),
    ("general.finetune", .string("Instruct")), ("general.size_label", .string("3B")),
    ("general.license", .string("apache-2.0")), ("general.base_model.count", .uint32(1)),
    ("general.base_model.0.name", .string("A Model 3B Base")),
    ("general.tags", .strings(["chat", "text-generation"])), ("general.languages", .strings(["en"])),
    ("general.quantization_version", .uint32(2)), ("general.file_type", .uint32(15)),
    ("general.sampling.temp", .float32(0.7)), ("general.sampling.top_k", .int32(20)),
    ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string("default")),
    ("tokenizer.ggml.tokens", .strings(["a", "b"])), ("tokenizer.ggml.token_type", .int32s([1, 1])),
    ("tokenizer.ggml.merges", .strings(["a b"])), ("tokenizer.ggml.padding_token_id", .uint32(.max)),
    ("tokenizer.ggml.add_bos_token", .bool(false)), ("tokenizer.chat_template", .string("{{ messages }}")),
    ("quantize.imatrix.file", .string("imatrix.gguf")), ("quantize.imatrix.entries_count", .int32(224)),
    ("split.count", .uint16(0)), ("split.no", .uint16(0)), ("split.tensors.count", .int32(290)),
  ]

  /// An integer in the n-th of the types that hold it.
  private static func value(_ number: Int, in turn: Int) -> GGUFWriter.Value {
    let wide: [GGUFWriter.Value] = [
      .uint32(UInt32(number)), .int32(Int32(number)), .uint64(UInt64(number)), .int64(Int64(number)),
    ]
    let short: [GGUFWriter.Value?] = [
      UInt16(exactly: number).map { .uint16($0) }, Int16(exactly: number).map { .int16($0) },
      UInt8(exactly: number).map { .uint8($0) }, Int8(exactly: number).map { .int8($0) },
    ]
    let all = wide + short.compactMap { $0 }
    return all[turn % all.count]
  }

  /// The program that the file is read as. Matrices are Q4_0 where their rows allow it.
  func lines(integerType turn: Int) throws -> [String] {
    var writer = GGUFWriter()
    writer.set("general.architecture", .string(architecture))
    for (key, value) in Self.odd { writer.set(key, value) }
    for (key, number) in integers.sorted(by: { $0.key < $1.key }) {
      writer.set("\(architecture).\(key)", Self.value(number, in: turn))
    }
    for (key, number) in numbers.sorted(by: { $0.key < $1.key }) {
      writer.set("\(architecture).\(key)", turn % 2 == 0 ? .float32(number) : .float64(Double(number)))
    }
    for (key, text) in strings { writer.set("\(architecture).\(key)", .string(text)) }
    for (key, list) in lists { writer.set("\(architecture).\(key)", .int32s(list)) }
    for (key, list) in flags {
      writer.set(
        "\(architecture).\(key)",
        GGUFWriter.array(type: 7, count: UInt64(list.count), list.map { $0 ? 1 : 0 }))
    }
    var named = tensors
    for layer in 0..<layers {
      for (name, extents) in layerTensors(layer) { named["blk.\(layer).\(name)"] = extents }
    }
    var offset = 0
    for (name, extents) in named.sorted(by: { $0.key < $1.key }) {
      let isMatrix =
        extents.count > 1 && extents[0] % 32 == 0 && name.hasSuffix(".weight")
        && !name.hasSuffix("_norm.weight")
      let type: GGUFTensorType = isMatrix ? .q40 : .f32
      writer.add(name, extents, type, data: [])
      writer.tensors[writer.tensors.count - 1].claimedOffset = UInt64(offset)
      let count = extents.reduce(1, *) / type.blockSize * type.blockByteCount
      offset += (count + 31) / 32 * 32
    }
    let url = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).gguf")
    defer { try? FileManager.default.removeItem(at: url) }
    let header = writer.header()
    try Data(header).write(to: url)
    let handle = try FileHandle(forWritingTo: url)
    try handle.truncate(atOffset: UInt64((header.count + 31) / 32 * 32 + offset))
    try handle.close()
    return try Program(GGUFFile(path: url.path), among: Architecture.all).lines
  }
}

extension ConvertedHeader {
  /// A decoder with the usual tensors; `change` makes it what it is.
  static func dense(
    _ architecture: String, layers: Int, context: Int, _ e: Int, _ f: Int, heads: Int, kv: Int,
    size: Int? = nil, vocabulary: Int, isTied: Bool = true, base: Float? = 10_000,
    epsilon: String = "layer_norm_rms_epsilon", _ change: (inout ConvertedHeader) -> Void = { _ in }
  ) -> ConvertedHeader {
    let d = size ?? e / heads
    var header = ConvertedHeader(
      architecture: architecture, layers: layers,
      integers: [
        "block_count": layers, "context_length": context, "embedding_length": e, "feed_forward_length": f,
        "attention.head_count": heads, "attention.head_count_kv": kv, "vocab_size": vocabulary,
      ], numbers: ["attention.\(epsilon)": 1e-5],
      tensors: ["token_embd.weight": [e, vocabulary], "output_norm.weight": [e]],
      layerTensors: { _ in
        [
          "attn_norm.weight": [e], "attn_q.weight": [e, heads * d], "attn_k.weight": [e, kv * d],
          "attn_v.weight": [e, kv * d], "attn_output.weight": [heads * d, e], "ffn_norm.weight": [e],
          "ffn_gate.weight": [e, f], "ffn_up.weight": [e, f], "ffn_down.weight": [f, e],
        ]
      })
    header.numbers["rope.freq_base"] = base
    if let size {
      header.integers["attention.key_length"] = size
      header.integers["attention.value_length"] = size
    }
    if !isTied { header.tensors["output.weight"] = [e, vocabulary] }
    change(&header)
    return header
  }

  /// Adds to the tensors of every layer, and takes some away.
  mutating func layer(without: [String] = [], _ more: [String: [Int]] = [:]) {
    let before = layerTensors
    layerTensors = { index in
      var tensors = before(index).merging(more) { $1 }
      for name in without { tensors[name] = nil }
      return tensors
    }
  }

  /// Experts in every layer in place of its network.
  mutating func experts(_ count: Int, _ e: Int, _ f: Int, shared: Int = 0) {
    var more = [
      "ffn_gate_inp.weight": [e, count], "ffn_gate_exps.weight": [e, f, count],
      "ffn_up_exps.weight": [e, f, count], "ffn_down_exps.weight": [f, e, count],
    ]
    if shared > 0 {
      more["ffn_gate_shexp.weight"] = [e, shared]
      more["ffn_up_shexp.weight"] = [e, shared]
      more["ffn_down_shexp.weight"] = [shared, e]
    }
    layer(without: ["ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"], more)
  }

  /// Llama 3.2 1B, Qwen2.5 0.5B, ...: one model of each architecture.
  static let headers: [ConvertedHeader] = [
    dense(
      "llama", layers: 16, context: 131_072, 2_048, 8_192, heads: 32, kv: 8, vocabulary: 128_256,
      base: 500_000
    ) {
      $0.integers["rope.dimension_count"] = 64
      $0.tensors["rope_freqs.weight"] = [32]
    },
    dense("qwen2", layers: 24, context: 32_768, 896, 4_864, heads: 14, kv: 2, vocabulary: 151_936, base: 1e6)
    {
      $0.layer(["attn_q.bias": [896], "attn_k.bias": [128], "attn_v.bias": [128]])
    },
    dense(
      "qwen3", layers: 28, context: 40_960, 1_024, 3_072, heads: 16, kv: 8, size: 128, vocabulary: 151_936,
      base: 1e6
    ) {
      $0.layer(["attn_q_norm.weight": [128], "attn_k_norm.weight": [128]])
    },
    dense(
      "gemma2", layers: 26, context: 8_192, 2_304, 9_216, heads: 8, kv: 4, size: 256, vocabulary: 256_000,
      base: nil
    ) {
      $0.numbers["attn_logit_softcapping"] = 50
      $0.numbers["final_logit_softcapping"] = 30
      $0.integers["attention.sliding_window"] = 4_096
      $0.layer(["post_attention_norm.weight": [2_304], "post_ffw_norm.weight": [2_304]])
    },
    dense(
      "gemma3", layers: 26, context: 32_768, 1_152, 6_912, heads: 4, kv: 1, size: 256, vocabulary: 262_144,
      base: 1e6
    ) {
      $0.integers["attention.sliding_window"] = 512
      $0.layer([
        "post_attention_norm.weight": [1_152], "post_ffw_norm.weight": [1_152],
        "attn_q_norm.weight": [256], "attn_k_norm.weight": [256],
      ])
    },
    dense(
      "gemma-embedding", layers: 24, context: 2_048, 768, 1_152, heads: 3, kv: 1, size: 256,
      vocabulary: 262_144, base: 1e6
    ) {
      $0.integers.merge([
        "attention.sliding_window": 512, "pooling_type": 1, "dense_2_feat_in": 768,
        "dense_2_feat_out": 3_072, "dense_3_feat_in": 3_072, "dense_3_feat_out": 768,
      ]) { $1 }
      $0.tensors["dense_2.weight"] = [768, 3_072]
      $0.tensors["dense_3.weight"] = [3_072, 768]
      $0.layer([
        "post_attention_norm.weight": [768], "post_ffw_norm.weight": [768],
        "attn_q_norm.weight": [256], "attn_k_norm.weight": [256],
      ])
    },
    dense(
      "smollm3", layers: 36, context: 65_536, 2_048, 11_008, heads: 16, kv: 4, vocabulary: 128_256, base: 5e6
    ) {
      $0.integers["rope.dimension_count"] = 128
    },
    dense(
      "granite", layers: 40, context: 131_072, 2_048, 8_192, heads: 32, kv: 8, vocabulary: 49_159, base: 1e7
    ) {
      $0.numbers.merge(
        ["attention.scale": 0.015625, "embedding_scale": 12, "residual_scale": 0.22, "logit_scale": 8]
      ) { $1 }
      $0.integers["rope.dimension_count"] = 64
    },
    dense("minicpm", layers: 40, context: 4_096, 2_304, 5_760, heads: 36, kv: 36, vocabulary: 122_753) {
      $0.numbers.merge(["embedding_scale": 12, "residual_scale": 0.221_359, "logit_scale": 9]) { $1 }
      $0.integers["rope.dimension_count"] = 64
    },
    dense(
      "olmo2", layers: 16, context: 4_096, 2_048, 8_192, heads: 16, kv: 16, vocabulary: 100_352,
      isTied: false, base: 500_000
    ) {
      $0.layer(
        without: ["attn_norm.weight", "ffn_norm.weight"],
        [
          "post_attention_norm.weight": [2_048], "post_ffw_norm.weight": [2_048],
          "attn_q_norm.weight": [2_048], "attn_k_norm.weight": [2_048],
        ])
    },
    dense(
      "exaone4", layers: 30, context: 65_536, 2_048, 4_096, heads: 32, kv: 8, vocabulary: 102_400, base: 1e6
    ) {
      $0.integers["rope.dimension_count"] = 64
      $0.tensors["rope_freqs.weight"] = [32]
      $0.layer(
        without: ["attn_norm.weight", "ffn_norm.weight"],
        [
          "post_attention_norm.weight": [2_048], "post_ffw_norm.weight": [2_048],
          "attn_q_norm.weight": [64], "attn_k_norm.weight": [64],
        ])
    },
    dense(
      "ernie4_5", layers: 18, context: 131_072, 1_024, 3_072, heads: 16, kv: 2, size: 128,
      vocabulary: 103_424, base: 500_000),
    dense(
      "hunyuan-dense", layers: 24, context: 262_144, 1_024, 3_584, heads: 16, kv: 8, size: 128,
      vocabulary: 120_818, base: 11_158_840
    ) {
      $0.strings["rope.scaling.type"] = "none"
      $0.numbers["rope.scaling.factor"] = 1
      $0.integers["rope.scaling.original_context_length"] = 262_144
      $0.layer(["attn_q_norm.weight": [128], "attn_k_norm.weight": [128]])
    },
    dense("phi3", layers: 32, context: 131_072, 3_072, 8_192, heads: 24, kv: 8, vocabulary: 200_064) {
      $0.integers.merge(
        [
          "rope.dimension_count": 96, "rope.scaling.original_context_length": 4_096,
          "attention.sliding_window": 262_144,
        ]
      ) { $1 }
      $0.numbers["rope.scaling.attn_factor"] = 1.190_238
      $0.strings["rope.scaling.type"] = "longrope"
      $0.tensors["rope_factors_long.weight"] = [48]
      $0.tensors["rope_factors_short.weight"] = [48]
      $0.layer(
        without: ["attn_q.weight", "attn_k.weight", "attn_v.weight", "ffn_gate.weight"],
        ["attn_qkv.weight": [3_072, 5_120], "ffn_up.weight": [3_072, 16_384]])
    },
    dense(
      "glm4", layers: 40, context: 32_768, 4_096, 13_696, heads: 32, kv: 2, vocabulary: 151_552, isTied: false
    ) {
      $0.integers["rope.dimension_count"] = 64
      $0.layer(
        without: ["ffn_gate.weight"],
        [
          "ffn_up.weight": [4_096, 27_392], "attn_q.bias": [4_096], "attn_k.bias": [256],
          "attn_v.bias": [256], "post_attention_norm.weight": [4_096], "post_ffw_norm.weight": [4_096],
        ])
    },
    dense(
      "starcoder2", layers: 30, context: 16_384, 3_072, 12_288, heads: 24, kv: 2, vocabulary: 49_152,
      base: 999_999.4, epsilon: "layer_norm_epsilon"
    ) {
      $0.tensors["output_norm.bias"] = [3_072]
      $0.layer(
        without: ["ffn_gate.weight"],
        [
          "attn_norm.bias": [3_072], "ffn_norm.bias": [3_072], "attn_q.bias": [3_072],
          "attn_k.bias": [256], "attn_v.bias": [256], "attn_output.bias": [3_072],
          "ffn_up.bias": [12_288], "ffn_down.bias": [3_072],
        ])
    },
    dense(
      "nemotron", layers: 32, context: 4_096, 3_072, 9_216, heads: 24, kv: 8, size: 128, vocabulary: 256_000,
      isTied: false, epsilon: "layer_norm_epsilon"
    ) {
      $0.integers["rope.dimension_count"] = 64
      $0.strings["rope.scaling.type"] = "none"
      $0.tensors["output_norm.bias"] = [3_072]
      $0.layer(without: ["ffn_gate.weight"], ["attn_norm.bias": [3_072], "ffn_norm.bias": [3_072]])
    },
    dense(
      "cohere2", layers: 32, context: 132_096, 4_096, 14_336, heads: 32, kv: 8, size: 128,
      vocabulary: 256_000,
      base: 50_000, epsilon: "layer_norm_epsilon"
    ) {
      $0.integers["rope.dimension_count"] = 128
      $0.integers["attention.sliding_window"] = 4_096
      $0.numbers["logit_scale"] = 0.25
      $0.strings["rope.scaling.type"] = "none"
      $0.layer(without: ["ffn_norm.weight"])
    },
    dense(
      "mistral3", layers: 26, context: 262_144, 3_072, 9_216, heads: 32, kv: 8, size: 128,
      vocabulary: 131_072, base: 1e6
    ) {
      $0.strings["rope.scaling.type"] = "yarn"
      $0.integers["rope.dimension_count"] = 128
      $0.integers["rope.scaling.original_context_length"] = 16_384
      $0.numbers.merge(
        [
          "rope.scaling.factor": 16, "rope.scaling.yarn_beta_fast": 32, "rope.scaling.yarn_beta_slow": 1,
          "rope.scaling.yarn_log_multiplier": 1, "attention.temperature_scale": 0.1,
        ]
      ) { $1 }
    },
    gemma4, gemma4MoE,
    dense(
      "qwen3moe", layers: 48, context: 40_960, 2_048, 6_144, heads: 32, kv: 4, size: 128, vocabulary: 151_936,
      isTied: false, base: 1e6
    ) {
      $0.integers.merge(
        ["expert_count": 128, "expert_used_count": 8, "expert_feed_forward_length": 768]
      ) { $1 }
      $0.layer(["attn_q_norm.weight": [128], "attn_k_norm.weight": [128]])
      $0.experts(128, 2_048, 768)
    },
    dense(
      "qwen2moe", layers: 24, context: 32_768, 2_048, 5_632, heads: 16, kv: 16, vocabulary: 151_936,
      isTied: false, base: 1e6
    ) {
      $0.integers.merge(
        [
          "expert_count": 60, "expert_used_count": 4, "expert_feed_forward_length": 1_408,
          "expert_shared_feed_forward_length": 5_632,
        ]
      ) { $1 }
      $0.layer([
        "attn_q.bias": [2_048], "attn_k.bias": [2_048], "attn_v.bias": [2_048],
        "ffn_gate_inp_shexp.weight": [2_048],
      ])
      $0.experts(60, 2_048, 1_408, shared: 5_632)
    },
    dense(
      "granitemoe", layers: 24, context: 131_072, 1_024, 512, heads: 16, kv: 8, vocabulary: 49_155,
      base: 1.5e6
    ) {
      $0.integers.merge(["expert_count": 32, "expert_used_count": 8, "rope.dimension_count": 64]) { $1 }
      $0.numbers.merge(
        ["attention.scale": 0.015625, "embedding_scale": 12, "residual_scale": 0.22, "logit_scale": 6]
      ) { $1 }
      $0.experts(32, 1_024, 512)
    },
    dense(
      "ernie4_5-moe", layers: 28, context: 131_072, 2_560, 12_288, heads: 20, kv: 4, size: 128,
      vocabulary: 103_424, base: 500_000
    ) {
      $0.integers.merge(
        [
          "expert_count": 64, "expert_used_count": 6, "expert_feed_forward_length": 1_536,
          "expert_shared_count": 2, "expert_shared_feed_forward_length": 3_072,
          "interleave_moe_layer_step": 1, "leading_dense_block_count": 1,
        ]
      ) { $1 }
      let dense = $0.layerTensors
      $0.layer(["exp_probs_b.bias": [64]])
      $0.experts(64, 2_560, 1_536, shared: 3_072)
      let mixed = $0.layerTensors
      $0.layerTensors = { $0 == 0 ? dense($0) : mixed($0) }
    },
    glm4moe, gptOSS, llama4, deepseek2, qwen35, qwen35moe, qwen3next, lfm2, falconH1, museGlimmer, nemotronH,
    nemotronHMoE,
  ]

  /// Gemma 4 26B-A4B: full layers have fewer heads of keys, which are their values too.
  private static let gemma4MoE = dense(
    "gemma4", layers: 30, context: 262_144, 2_816, 2_112, heads: 16, kv: 8, size: 512, vocabulary: 262_144,
    base: 1e6
  ) {
    let isWindowed = (0..<30).map { ($0 + 1) % 6 != 0 }
    $0.integers["attention.head_count_kv"] = nil
    $0.lists["attention.head_count_kv"] = isWindowed.map { $0 ? 8 : 2 }
    $0.flags["attention.sliding_window_pattern"] = isWindowed
    $0.integers.merge(
      [
        "attention.sliding_window": 1_024, "attention.key_length_swa": 256, "attention.value_length_swa": 256,
        "rope.dimension_count": 512, "rope.dimension_count_swa": 256, "attention.shared_kv_layers": 0,
        "embedding_length_per_layer_input": 0, "expert_count": 128, "expert_used_count": 8,
        "expert_feed_forward_length": 704,
      ]
    ) { $1 }
    $0.numbers["rope.freq_base_swa"] = 10_000
    $0.numbers["final_logit_softcapping"] = 30
    $0.tensors["rope_freqs.weight"] = [256]
    let network = $0.layerTensors
    $0.layerTensors = { index in
      var tensors = network(index)
      let (size, kv) = isWindowed[index] ? (256, 8) : (512, 2)
      tensors.merge(
        [
          "attn_q.weight": [2_816, 16 * size], "attn_k.weight": [2_816, kv * size],
          "attn_output.weight": [16 * size, 2_816], "attn_q_norm.weight": [size],
          "attn_k_norm.weight": [size], "layer_output_scale.weight": [1], "ffn_gate_inp.scale": [2_816],
          "ffn_gate_inp.weight": [2_816, 128], "ffn_gate_up_exps.weight": [2_816, 1_408, 128],
          "ffn_down_exps.weight": [704, 2_816, 128], "ffn_down_exps.scale": [128],
        ]
      ) { $1 }
      for name in [
        "post_attention_norm", "post_ffw_norm", "pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2",
      ] {
        tensors["\(name).weight"] = [2_816]
      }
      tensors["attn_v.weight"] = isWindowed[index] ? [2_816, kv * size] : nil
      return tensors
    }
  }

  /// GLM-4.5-Air, without the layer that predicts further tokens.
  private static let glm4moe = dense(
    "glm4moe", layers: 46, context: 131_072, 4_096, 10_944, heads: 96, kv: 8, size: 128,
    vocabulary: 151_552, isTied: false, base: 1e6
  ) {
    $0.integers.merge(
      [
        "rope.dimension_count": 64, "expert_count": 128, "expert_used_count": 8, "expert_shared_count": 1,
        "expert_feed_forward_length": 1_408, "leading_dense_block_count": 1, "expert_gating_func": 2,
        "expert_group_count": 1, "expert_group_used_count": 1, "expert_weights_norm": 1,
      ]
    ) { $1 }
    $0.numbers["expert_weights_scale"] = 1
    $0.layer(
      without: ["ffn_norm.weight"],
      [
        "attn_q.bias": [12_288], "attn_k.bias": [1_024], "attn_v.bias": [1_024],
        "post_attention_norm.weight": [4_096],
      ])
    let dense = $0.layerTensors
    $0.layer(["exp_probs_b.bias": [128]])
    $0.experts(128, 4_096, 1_408, shared: 1_408)
    let mixed = $0.layerTensors
    $0.layerTensors = { $0 == 0 ? dense($0) : mixed($0) }
  }

  /// gpt-oss-20b.
  private static let gptOSS = dense(
    "gpt-oss", layers: 24, context: 131_072, 2_880, 2_880, heads: 64, kv: 8, size: 64, vocabulary: 201_088,
    isTied: false, base: 150_000
  ) {
    $0.strings["rope.scaling.type"] = "yarn"
    $0.numbers["rope.scaling.factor"] = 32
    $0.integers.merge(
      [
        "attention.sliding_window": 128, "expert_count": 32, "expert_used_count": 4,
        "expert_feed_forward_length": 2_880, "rope.scaling.original_context_length": 4_096,
      ]
    ) { $1 }
    $0.layer(
      without: ["ffn_norm.weight"],
      [
        "attn_q.bias": [4_096], "attn_k.bias": [512], "attn_v.bias": [512], "attn_output.bias": [2_880],
        "attn_sinks.weight": [64], "post_attention_norm.weight": [2_880], "ffn_gate_inp.bias": [32],
        "ffn_gate_exps.bias": [2_880, 32], "ffn_up_exps.bias": [2_880, 32],
        "ffn_down_exps.bias": [2_880, 32],
      ])
    $0.experts(32, 2_880, 2_880)
  }

  /// Llama 4 Scout.
  private static let llama4 = dense(
    "llama4", layers: 48, context: 10_485_760, 5_120, 16_384, heads: 40, kv: 8, size: 128,
    vocabulary: 202_048, isTied: false, base: 500_000
  ) {
    $0.integers.merge(
      [
        "expert_count": 16, "expert_used_count": 1, "expert_feed_forward_length": 8_192,
        "interleave_moe_layer_step": 1, "rope.dimension_count": 128,
      ]
    ) { $1 }
    $0.tensors["rope_freqs.weight"] = [64]
    $0.experts(16, 5_120, 8_192, shared: 8_192)
  }

  /// DeepSeek-V2-Lite.
  private static let deepseek2 = dense(
    "deepseek2", layers: 27, context: 163_840, 2_048, 10_944, heads: 16, kv: 1, vocabulary: 102_400,
    isTied: false
  ) {
    $0.strings["rope.scaling.type"] = "yarn"
    $0.numbers.merge(
      [
        "rope.scaling.factor": 40, "rope.scaling.yarn_log_multiplier": 0.070_7,
        "expert_weights_scale": 1, "attention.layer_norm_rms_epsilon": 1e-6,
      ]
    ) { $1 }
    $0.integers.merge(
      [
        "rope.scaling.original_context_length": 4_096, "rope.dimension_count": 64,
        "attention.kv_lora_rank": 512, "attention.key_length": 576, "attention.value_length": 512,
        "attention.key_length_mla": 192, "attention.value_length_mla": 128, "leading_dense_block_count": 1,
        "expert_count": 64, "expert_used_count": 6, "expert_shared_count": 2,
        "expert_feed_forward_length": 1_408, "expert_gating_func": 1,
      ]
    ) { $1 }
    $0.layer(
      without: ["attn_k.weight", "attn_v.weight"],
      [
        "attn_q.weight": [2_048, 16 * 192], "attn_kv_a_mqa.weight": [2_048, 576],
        "attn_kv_a_norm.weight": [512], "attn_k_b.weight": [128, 512, 16], "attn_v_b.weight": [512, 128, 16],
        "attn_output.weight": [2_048, 2_048],
      ])
    let dense = $0.layerTensors
    $0.experts(64, 2_048, 1_408, shared: 2_816)
    let mixed = $0.layerTensors
    $0.layerTensors = { $0 == 0 ? dense($0) : mixed($0) }
  }

  /// Qwen3.5 4B, 35B-A3B and Qwen3-Next 80B-A3B.
  private static let qwen35 = linear("qwen35", layers: 32, 2_560, 9_216, heads: 16, kv: 4)
  private static let qwen35moe = linear("qwen35moe", layers: 40, 2_048, 512, heads: 16, kv: 2, experts: 256)
  private static let qwen3next = linear("qwen3next", layers: 48, 2_048, 512, heads: 16, kv: 2, experts: 512)

  private static func linear(
    _ architecture: String, layers: Int, _ e: Int, _ f: Int, heads: Int, kv: Int, experts: Int = 0
  ) -> ConvertedHeader {
    dense(
      architecture, layers: layers, context: 262_144, e, f, heads: heads, kv: kv, size: 256,
      vocabulary: architecture == "qwen3next" ? 151_936 : 248_320, isTied: experts == 0, base: 1e7
    ) {
      let isNext = architecture == "qwen3next"
      $0.integers.merge(
        [
          "ssm.conv_kernel": 4, "ssm.state_size": 128, "ssm.group_count": 16, "ssm.time_step_rank": 32,
          "ssm.inner_size": 4_096, "full_attention_interval": 4, "rope.dimension_count": 64,
        ]
      ) { $1 }
      if !isNext { $0.lists["rope.dimension_sections"] = [11, 11, 10, 0] }
      $0.layer(without: ["ffn_norm.weight"], ["post_attention_norm.weight": [e]])
      if experts > 0 {
        $0.integers.merge(
          [
            "expert_count": experts, "expert_used_count": isNext ? 10 : 8, "expert_feed_forward_length": 512,
            "expert_shared_feed_forward_length": 512,
          ]
        ) { $1 }
        $0.layer(["ffn_gate_inp_shexp.weight": [e]])
        $0.experts(experts, e, 512, shared: 512)
      }
      let both = $0.layerTensors
      $0.layerTensors = { index in
        var tensors = both(index)
        if (index + 1) % 4 == 0 {
          tensors["attn_q.weight"] = [e, 2 * heads * 256]
          tensors["attn_q_norm.weight"] = [256]
          tensors["attn_k_norm.weight"] = [256]
          return tensors
        }
        for name in ["q", "k", "v", "output"] { tensors["attn_\(name).weight"] = nil }
        tensors.merge(
          [
            "attn_qkv.weight": [e, 8_192], "attn_gate.weight": [e, 4_096], "ssm_conv1d.weight": [4, 8_192],
            "ssm_dt.bias": [32], "ssm_a": [32], "ssm_norm.weight": [128], "ssm_out.weight": [4_096, e],
          ]
        ) { $1 }
        if isNext {
          tensors["ssm_ba.weight"] = [e, 64]
        } else {
          tensors["ssm_alpha.weight"] = [e, 32]
          tensors["ssm_beta.weight"] = [e, 32]
        }
        return tensors
      }
    }
  }

  /// LFM2 1.2B.
  private static let lfm2 = dense(
    "lfm2", layers: 16, context: 128_000, 2_048, 8_192, heads: 32, kv: 8, vocabulary: 65_536, base: 1e6
  ) {
    let kvHeads: [Int32] = [0, 0, 8, 0, 0, 8, 0, 0, 8, 0, 8, 0, 8, 0, 8, 0]
    $0.integers["attention.head_count_kv"] = nil
    $0.integers["shortconv.l_cache"] = 3
    $0.lists["attention.head_count_kv"] = kvHeads
    $0.tensors["output_norm.weight"] = nil
    $0.tensors["token_embd_norm.weight"] = [2_048]
    let attention = $0.layerTensors
    $0.layerTensors = { index in
      var tensors = attention(index)
      if kvHeads[index] > 0 {
        tensors["attn_q_norm.weight"] = [64]
        tensors["attn_k_norm.weight"] = [64]
        return tensors
      }
      for name in ["q", "k", "v", "output"] { tensors["attn_\(name).weight"] = nil }
      tensors["shortconv.in_proj.weight"] = [2_048, 6_144]
      tensors["shortconv.conv.weight"] = [3, 2_048]
      tensors["shortconv.out_proj.weight"] = [2_048, 2_048]
      return tensors
    }
  }

  /// Falcon-H1 0.5B.
  private static let falconH1 = dense(
    "falcon-h1", layers: 36, context: 16_384, 1_024, 2_048, heads: 8, kv: 2, size: 64, vocabulary: 32_784,
    isTied: false, base: 1e11
  ) {
    $0.integers.merge(
      [
        "ssm.conv_kernel": 4, "ssm.state_size": 128, "ssm.group_count": 1, "ssm.time_step_rank": 24,
        "ssm.inner_size": 1_536,
      ]
    ) { $1 }
    $0.layer(
      without: ["ffn_norm.weight"],
      [
        "ffn_norm": [1_024], "ssm_in.weight": [1_024, 3_352], "ssm_conv1d.weight": [4, 1_792],
        "ssm_conv1d.bias": [1_792], "ssm_dt.bias": [24], "ssm_a": [1, 24], "ssm_d": [1, 24],
        "ssm_out.weight": [1_536, 1_024],
      ])
  }

  /// Muse Glimmer 30B has these layers and heads of keys; its other sizes were not to be had.
  private static let museGlimmer = dense(
    "muse-glimmer", layers: 52, context: 131_072, 6_144, 21_504, heads: 48, kv: 2, size: 128,
    vocabulary: 202_048, isTied: false, base: 500_000
  ) {
    $0.integers["attention.sliding_window"] = 1_024
    $0.flags["attention.sliding_window_pattern"] = (0..<52).map { ($0 + 1) % 4 != 0 }
    $0.numbers["logit_scale"] = 0.0625
    $0.numbers["final_logit_softcapping"] = 30
    $0.layer([
      "attn_q_norm.weight": [128], "attn_k_norm.weight": [128], "attn_gate.weight": [6_144, 6_144],
      "post_attention_norm.weight": [6_144], "post_ffw_norm.weight": [6_144],
    ])
  }

  /// Nemotron-H 8B.
  private static let nemotronH = nemotron(
    "nemotron_h", 4_096, heads: 32, kv: 8, vocabulary: 131_072, mambaHeads: 128, mambaSize: 64,
    pattern: "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-", width: 21_504, newEpsilon: false
  ) { _ in ["ffn_up.weight": [4_096, 21_504], "ffn_down.weight": [21_504, 4_096]] }

  /// Nemotron 3 Nano 30B-A3B.
  private static let nemotronHMoE = nemotron(
    "nemotron_h_moe", 2_688, heads: 32, kv: 2, vocabulary: 131_072, mambaHeads: 64, mambaSize: 64,
    pattern: "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME", width: 1_856, newEpsilon: true
  ) { header in
    header.integers.merge(
      [
        "expert_count": 128, "expert_used_count": 6, "expert_shared_count": 1, "expert_group_count": 1,
        "expert_feed_forward_length": 1_856, "expert_shared_feed_forward_length": 3_712,
        "expert_weights_norm": 1,
      ]
    ) { $1 }
    header.numbers["expert_weights_scale"] = 2.5
    return [
      "ffn_gate_inp.weight": [2_688, 128], "exp_probs_b.bias": [128],
      "ffn_up_exps.weight": [2_688, 1_856, 128], "ffn_down_exps.weight": [1_856, 2_688, 128],
      "ffn_up_shexp.weight": [2_688, 3_712], "ffn_down_shexp.weight": [3_712, 2_688],
    ]
  }

  /// - pattern: M for Mamba-2, * for attention, another letter for a network
  private static func nemotron(
    _ architecture: String, _ e: Int, heads: Int, kv: Int, vocabulary: Int, mambaHeads: Int,
    mambaSize: Int, pattern: String, width: Int, newEpsilon: Bool,
    network: (inout ConvertedHeader) -> [String: [Int]]
  ) -> ConvertedHeader {
    let kinds = Array(pattern)
    let inner = mambaHeads * mambaSize
    let convolved = inner + 2 * 8 * 128
    return dense(
      architecture, layers: kinds.count, context: 1_048_576, e, width, heads: heads, kv: kv, size: 128,
      vocabulary: vocabulary, isTied: false, base: nil,
      epsilon: newEpsilon ? "layer_norm_rms_epsilon" : "layer_norm_epsilon"
    ) {
      $0.integers["feed_forward_length"] = nil
      $0.integers["attention.head_count_kv"] = nil
      $0.lists["attention.head_count_kv"] = kinds.map { $0 == "*" ? Int32(kv) : 0 }
      $0.lists["feed_forward_length"] = kinds.map { $0 == "*" || $0 == "M" ? 0 : Int32(width) }
      $0.integers.merge(
        [
          "ssm.conv_kernel": 4, "ssm.state_size": 128, "ssm.group_count": 8,
          "ssm.time_step_rank": mambaHeads, "ssm.inner_size": inner,
        ]
      ) { $1 }
      let network = network(&$0)
      $0.layerTensors = { index in
        let norm = ["attn_norm.weight": [e]]
        switch kinds[index] {
        case "*":
          return norm.merging([
            "attn_q.weight": [e, heads * 128], "attn_k.weight": [e, kv * 128],
            "attn_v.weight": [e, kv * 128], "attn_output.weight": [heads * 128, e],
          ]) { $1 }
        case "M":
          return norm.merging([
            "ssm_in.weight": [e, inner + convolved + mambaHeads], "ssm_conv1d.weight": [4, convolved],
            "ssm_conv1d.bias": [convolved], "ssm_dt.bias": [mambaHeads], "ssm_a": [1, mambaHeads],
            "ssm_d": [1, mambaHeads], "ssm_norm.weight": [inner / 8, 8], "ssm_out.weight": [inner, e],
          ]) { $1 }
        default: return norm.merging(network) { $1 }
        }
      }
    }
  }

  /// Gemma 4 E2B.
  private static let gemma4 = dense(
    "gemma4", layers: 35, context: 131_072, 1_536, 12_288, heads: 8, kv: 1, size: 512, vocabulary: 262_144,
    base: 1e6
  ) {
    let widths = (0..<35).map { Int32($0 < 15 ? 6_144 : 12_288) }
    let isWindowed = (0..<35).map { ($0 + 1) % 5 != 0 }
    $0.integers["feed_forward_length"] = nil
    $0.integers["attention.head_count_kv"] = nil
    $0.lists = ["feed_forward_length": widths, "attention.head_count_kv": .init(repeating: 1, count: 35)]
    $0.flags = ["attention.sliding_window_pattern": isWindowed]
    $0.integers.merge(
      [
        "attention.sliding_window": 512, "attention.key_length_swa": 256, "attention.value_length_swa": 256,
        "rope.dimension_count": 512, "rope.dimension_count_swa": 256, "attention.shared_kv_layers": 20,
        "embedding_length_per_layer_input": 256,
      ]
    ) { $1 }
    $0.numbers["rope.freq_base_swa"] = 10_000
    $0.numbers["final_logit_softcapping"] = 30
    $0.tensors.merge(
      [
        "rope_freqs.weight": [256], "per_layer_token_embd.weight": [35 * 256, 262_144],
        "per_layer_model_proj.weight": [1_536, 35 * 256], "per_layer_proj_norm.weight": [256],
      ]
    ) { $1 }
    $0.layerTensors = { index in
      let (size, f) = (isWindowed[index] ? 256 : 512, Int(widths[index]))
      var tensors = [
        "attn_norm.weight": [1_536], "attn_q.weight": [1_536, 8 * size], "attn_q_norm.weight": [size],
        "attn_output.weight": [8 * size, 1_536], "post_attention_norm.weight": [1_536],
        "ffn_norm.weight": [1_536], "ffn_gate.weight": [1_536, f], "ffn_up.weight": [1_536, f],
        "ffn_down.weight": [f, 1_536], "post_ffw_norm.weight": [1_536], "inp_gate.weight": [1_536, 256],
        "proj.weight": [256, 1_536], "post_norm.weight": [1_536], "layer_output_scale.weight": [1],
      ]
      if index < 15 {
        tensors["attn_k.weight"] = [1_536, size]
        tensors["attn_v.weight"] = [1_536, size]
        tensors["attn_k_norm.weight"] = [size]
      }
      return tensors
    }
  }
}

@Suite struct ConvertedHeaderTests {
  @Test func `a real model's header loads for each architecture, in whichever integer types`() throws {
    let names = Set(Architecture.all.map(\.name))
    #expect(names.subtracting(ConvertedHeader.headers.map(\.architecture)) == [])
    for header in ConvertedHeader.headers where names.contains(header.architecture) {
      var plain: [String] = []
      for turn in 0..<8 {
        do {
          let lines = try header.lines(integerType: turn)
          if turn == 0 { plain = lines }
          let isSame = lines == plain
          #expect(isSame, "\(header.architecture) in integers of type \(turn)")
        } catch {
          Issue.record("\(header.architecture) in integers of type \(turn): \(error)")
        }
      }
    }
  }
}
