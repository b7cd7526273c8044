// ProgramTests.swift: architectures as lists of operations: their printed form, what follows from a
// list, and that joining operations into phases changes no bit. The golden texts are in Programs/;
// UPDATE_PROGRAMS=1 writes them anew.

import CKernels
import Foundation
import Fuzzing
import Inference
import Testing

@Suite struct ProgramTests {
  /// One small model of each architecture of the table.
  static let models: [SyntheticModel] = [
    SyntheticModel(
      embedding: 64, feedForward: 96, heads: 2, kvHeads: 1, headSize: 32, vocabulary: 90, context: 512,
      hasRotaryFactors: true, types: [.q41]),
    SyntheticModel(
      architecture: "qwen2", embedding: 64, feedForward: 96, heads: 2, kvHeads: 1, headSize: 32,
      vocabulary: 90,
      context: 512, types: [.q50], seed: 2),
    SyntheticModel(
      architecture: "qwen3", layers: 3, embedding: 64, feedForward: 96, heads: 4, kvHeads: 2, headSize: 16,
      vocabulary: 90, context: 512, isTied: true, types: [.q40, .f16, .q40], seed: 3),
    small("gemma2", layers: 4, integers: ["gemma2.attention.sliding_window": 20], seed: 12),
    small("gemma3", layers: 7, integers: ["gemma3.attention.sliding_window": 20], seed: 4),
    small("smollm3", layers: 5, seed: 5),
    small(
      "granite",
      numbers: ["embedding_scale": 12, "residual_scale": 0.22, "logit_scale": 8, "attention.scale": 0.2],
      seed: 6),
    small("minicpm", numbers: ["logit_scale": 4], seed: 7),
    small("olmo2", layers: 5, integers: ["olmo2.attention.sliding_window": 20], seed: 8),
    small("exaone4", seed: 9), small("ernie4_5", seed: 10), small("hunyuan-dense", seed: 11),
    small(
      "phi3", integers: ["phi3.rope.scaling.original_context_length": 64],
      numbers: ["rope.scaling.attn_factor": 1.19], rotated: 12, seed: 13),
    small("glm4", rotated: 8, seed: 14), small("starcoder2", seed: 15),
    small("nemotron", isTied: false, rotated: 8, seed: 16),
    small(
      "cohere2", layers: 5, integers: ["cohere2.attention.sliding_window": 20],
      numbers: ["logit_scale": 0.25], seed: 17),
    small(
      "mistral3", integers: ["mistral3.rope.scaling.original_context_length": 16],
      numbers: [
        "rope.scaling.factor": 8, "rope.scaling.yarn_beta_fast": 4, "rope.scaling.yarn_log_multiplier": 1,
        "attention.temperature_scale": 0.1,
      ], strings: ["mistral3.rope.scaling.type": "yarn"], seed: 18),
    gemma4,
    small("qwen3moe", experts: .init(chosen: 3, isMerged: true), seed: 20),
    small("qwen2moe", experts: .init(sharedWidth: 64), seed: 21),
    small("granitemoe", numbers: ["logit_scale": 4], experts: .init(width: 96, sharedWidth: 32), seed: 22),
    small("ernie4_5-moe", layers: 3, experts: .init(first: 1, hasChoiceBias: true), seed: 23),
    small(
      "gpt-oss",
      integers: [
        "gpt-oss.attention.sliding_window": 20, "gpt-oss.rope.scaling.original_context_length": 64,
      ], numbers: ["rope.scaling.factor": 8], strings: ["gpt-oss.rope.scaling.type": "yarn"],
      experts: .init(hasBiases: true), seed: 24),
    small(
      "glm4moe", layers: 3,
      integers: [
        "glm4moe.expert_shared_count": 1, "glm4moe.expert_gating_func": 2, "glm4moe.expert_weights_norm": 1,
      ], numbers: ["expert_weights_scale": 2.5],
      experts: .init(chosen: 3, first: 1, sharedWidth: 32, hasChoiceBias: true), rotated: 8, seed: 25),
    small("llama4", layers: 5, experts: .init(chosen: 1, every: 2, sharedWidth: 32), seed: 25),
    deepseek2(
      kvHeads: 1,
      experts: .init(chosen: 3, first: 1, sharedWidth: 32, hasChoiceBias: true),
      groups: [
        "expert_group_count": 3, "expert_group_used_count": 2, "expert_gating_func": 2,
        "expert_weights_norm": 1,
      ], seed: 26),
    small(
      "qwen35", layers: 4,
      integers: [
        "qwen35.full_attention_interval": 2, "qwen35.rope.dimension_count": 8, "qwen35.ssm.conv_kernel": 4,
        "qwen35.ssm.state_size": 16, "qwen35.ssm.group_count": 2, "qwen35.ssm.time_step_rank": 4,
        "qwen35.ssm.inner_size": 64,
      ], seed: 13),
    small(
      "lfm2", layers: 4, integers: ["lfm2.shortconv.l_cache": 3],
      lists: ["lfm2.attention.head_count_kv": [0, 2, 0, 0]], seed: 14),
    small(
      "falcon-h1", layers: 2,
      integers: [
        "falcon-h1.ssm.conv_kernel": 4, "falcon-h1.ssm.inner_size": 96, "falcon-h1.ssm.state_size": 16,
        "falcon-h1.ssm.time_step_rank": 4, "falcon-h1.ssm.group_count": 2,
      ], seed: 15),
    small(
      "qwen35moe", layers: 3,
      integers: [
        "qwen35moe.ssm.conv_kernel": 4, "qwen35moe.ssm.state_size": 16, "qwen35moe.ssm.group_count": 2,
        "qwen35moe.ssm.time_step_rank": 4, "qwen35moe.ssm.inner_size": 64,
      ], lists: ["qwen35moe.attention.recurrent_layers": [1, 0, 1]], experts: .init(sharedWidth: 64),
      seed: 16),
    small(
      "qwen3next", layers: 3,
      integers: [
        "qwen3next.full_attention_interval": 2, "qwen3next.ssm.conv_kernel": 3,
        "qwen3next.ssm.state_size": 16, "qwen3next.ssm.group_count": 2, "qwen3next.ssm.time_step_rank": 4,
        "qwen3next.ssm.inner_size": 64,
      ], experts: .init(sharedWidth: 32), seed: 17),
    small(
      "muse-glimmer", layers: 5, integers: ["muse-glimmer.attention.sliding_window": 20],
      numbers: ["logit_scale": 0.5, "final_logit_softcapping": 9, "rope.freq_base_swa": 500],
      isTied: false, seed: 34),
    nemotronH("nemotron_h", widths: [0, 96, 0, 96, 0], seed: 35),
    nemotronH(
      "nemotron_h_moe", widths: [0, 32, 0, 32, 0],
      experts: .init(chosen: 3, sharedWidth: 64, hasChoiceBias: true), seed: 36),
  ]

  /// Mamba-2, a network, attention, a network, Mamba-2.
  private static func nemotronH(
    _ architecture: String, widths: [Int32], experts: SyntheticModel.Experts? = nil, seed: UInt64
  ) -> SyntheticModel {
    let integers: [String: UInt32] = [
      "ssm.conv_kernel": 4, "ssm.inner_size": 96, "ssm.state_size": 16, "ssm.time_step_rank": 4,
      "ssm.group_count": 2, "expert_weights_norm": 1,
    ]
    return small(
      architecture, layers: widths.count,
      integers: Dictionary(uniqueKeysWithValues: integers.map { ("\(architecture).\($0.key)", $0.value) }),
      numbers: ["expert_weights_scale": 2.5],
      lists: [
        "\(architecture).attention.head_count_kv": [0, 0, 2, 0, 0],
        "\(architecture).feed_forward_length": widths,
      ], experts: experts, isTied: false, seed: seed)
  }

  /// With one head of keys and values the file has matrices of single heads, otherwise one of all.
  private static func deepseek2(
    kvHeads: Int, experts: SyntheticModel.Experts, groups: [String: UInt32], seed: UInt64
  ) -> SyntheticModel {
    let lengths: [String: UInt32] = [
      "attention.q_lora_rank": 32, "attention.kv_lora_rank": 32, "rope.dimension_count": 16,
      "attention.key_length_mla": 48, "attention.value_length_mla": 16, "expert_shared_count": 1,
      "rope.scaling.original_context_length": 64,
    ]
    let integers = lengths.merging(groups) { $1 }.map { ("deepseek2.\($0.key)", $0.value) }
    var model = small(
      "deepseek2", layers: 3, integers: Dictionary(uniqueKeysWithValues: integers),
      numbers: [
        "expert_weights_scale": 2.5, "rope.scaling.factor": 8, "rope.scaling.yarn_log_multiplier": 0.1,
      ], strings: ["deepseek2.rope.scaling.type": "yarn"], experts: experts, seed: seed)
    model.kvHeads = kvHeads
    return model
  }

  /// Layers 4 and 5 have no keys and values of their own, layer 1 has no matrix for values.
  private static let gemma4: SyntheticModel = {
    var model = small(
      "gemma4", layers: 6,
      integers: [
        "gemma4.attention.sliding_window": 20, "gemma4.attention.key_length": 32,
        "gemma4.attention.value_length": 32, "gemma4.attention.key_length_swa": 16,
        "gemma4.attention.value_length_swa": 16, "gemma4.attention.shared_kv_layers": 2,
        "gemma4.rope.dimension_count_swa": 8, "gemma4.embedding_length_per_layer_input": 32,
      ], numbers: ["final_logit_softcapping": 9, "rope.freq_base": 1e6, "rope.freq_base_swa": 500], seed: 19)
    model.headSize = 32
    model.hasRotaryFactors = true
    model.lists = [
      "gemma4.attention.head_count_kv": [2, 1, 2, 1, 2, 1],
      "gemma4.feed_forward_length": [96, 96, 96, 96, 160, 160],
    ]
    model.flags = ["gemma4.attention.sliding_window_pattern": [true, false, true, false, true, false]]
    let kept = ["attn_k.weight", "attn_v.weight", "attn_k_norm.weight"]
    model.without = ["blk.1.attn_v.weight"]
    model.without.formUnion([4, 5].flatMap { i in kept.map { "blk.\(i).\($0)" } })
    return model
  }()

  /// Mixtures of architectures that have models without experts too.
  static let mixtures: [SyntheticModel] = [
    small("llama", experts: .init(width: 96), seed: 30),
    small("mistral3", experts: .init(width: 96), seed: 31),
    nemotronH(
      "nemotron_h_moe", widths: [0, 32, 0, 32, 0],
      experts: .init(chosen: 2, sharedWidth: 32, latentWidth: 32), seed: 37),
    deepseek2(kvHeads: 4, experts: .init(sharedWidth: 32), groups: [:], seed: 33),
    {
      var model = small(
        "gemma4", layers: 3,
        integers: [
          "gemma4.attention.sliding_window": 20, "gemma4.attention.key_length_swa": 16,
          "gemma4.rope.dimension_count_swa": 8,
        ], experts: .init(isMerged: true), seed: 32)
      model.flags = ["gemma4.attention.sliding_window_pattern": [true, true, false]]
      return model
    }(),
  ]

  private static func small(
    _ architecture: String, layers: Int = 2, integers: [String: UInt32] = [:], numbers: [String: Float] = [:],
    strings: [String: String] = [:], lists: [String: [Int32]] = [:],
    experts: SyntheticModel.Experts? = nil, isTied: Bool = true, rotated: Int? = nil, seed: UInt64
  ) -> SyntheticModel {
    SyntheticModel(
      architecture: architecture, layers: layers, embedding: 64, feedForward: 96, heads: 4, kvHeads: 2,
      headSize: 16, vocabulary: 90, context: 512, isTied: isTied, rotated: rotated, types: [.q41, .q80],
      seed: seed, experts: experts, integers: integers, numbers: numbers, strings: strings, lists: lists)
  }

  /// Those that read whole texts, both ways: they have no place where tokens come one by one.
  static let readers: [SyntheticModel] = [
    small(
      "gemma-embedding", layers: 7,
      integers: [
        "gemma-embedding.attention.sliding_window": 20, "gemma-embedding.pooling_type": 1,
        "gemma-embedding.dense_2_feat_out": 160,
      ], seed: 40)
  ]

  @Test func `every architecture of the table has a golden text`() throws {
    let readers = Self.readers.map(\.architecture)
    #expect(
      Self.models.map(\.architecture) == Architecture.all.map(\.name).filter { !readers.contains($0) })
    #expect(Set(readers).isSubset(of: Architecture.all.map(\.name)))
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Programs")
    for synthetic in Self.models + Self.readers {
      let file = folder.appending(path: "\(synthetic.architecture).txt")
      let text = try synthetic.model().program.lines.joined(separator: "\n") + "\n"
      if ProcessInfo.processInfo.environment["UPDATE_PROGRAMS"] == "1" {
        try text.write(to: file, atomically: true, encoding: .utf8)
      }
      #expect(try text == String(contentsOf: file, encoding: .utf8))
    }
  }

  /// The first files of Qwen3-Next have the rows of two matrices in one, head by head.
  @Test func `Qwen3-Next's first files give the bits of later ones`() throws {
    var synthetic = try #require(Self.models.first { $0.architecture == "qwen3next" })
    synthetic.types = [.q80]
    let file = try GGUFFile(bytes: synthetic.bytes(), name: "later.gguf")
    // 2 heads of keys with 2 of values each, all of 16.
    func names(_ layer: Int) -> [String] { ["attn_qkv", "attn_gate"].map { "blk.\(layer).\($0).weight" } }
    let linear = [0, 2]
    var writer = GGUFWriter(copying: file, without: Set(linear.flatMap(names)))
    for layer in linear {
      let matrices = try names(layer).map { try #require(file.tensor($0)) }
      let width = matrices[0].rowByteCount
      func rows(_ tensor: GGUFTensor, _ range: Range<Int>) -> ArraySlice<UInt8> {
        Array(file.bytes(of: tensor))[(range.lowerBound * width)..<(range.upperBound * width)]
      }
      var data: [UInt8] = []
      for head in 0..<2 {
        data += rows(matrices[0], (16 * head)..<(16 * head + 16))
        data += rows(matrices[0], (32 + 16 * head)..<(48 + 16 * head))
        data += rows(matrices[0], (64 + 32 * head)..<(96 + 32 * head))
        data += rows(matrices[1], (32 * head)..<(32 * head + 32))
      }
      writer.add("blk.\(layer).ssm_in.weight", [64, 192], .q80, data: data)
    }
    let old = try GGUFFile(bytes: writer.bytes(), name: "first.gguf")
    let tokens = (0..<50).map { Int32($0 * 37 % 90) }
    let logits = try [file, old].map { file in
      let model = try Model(file: file, threads: 2)
      return try Engine(model: model, configuration: .init(threads: 2, kvBlocks: 8)).logits(tokens, chunk: 7)
    }
    let isSame = logits[0] == logits[1] && logits[0].allSatisfy(\.isFinite)
    #expect(isSame)
  }

  @Test func `joining operations into phases changes no bit`() throws {
    for synthetic in Self.models + Self.mixtures + [MadeUp.model] {
      let model = try MadeUp.load(synthetic)
      let text = (0..<40).map { Int32($0 * 37 % synthetic.vocabulary) }
      for level in [KernelLevel.available[0], KernelLevel.available.last ?? .scalar] {
        for chunk in [1, 4, 7, 40] {
          let logits = try [true, false].map { fuses in
            let configuration = Engine.Configuration(kvBlocks: 4)
            let engine = try Engine(model: model, configuration: configuration) {
              model, configuration, blocks throws(EngineError) in
              try ProcessorDevice(
                model: model, blocks: blocks, threads: 2, level: level,
                profile: configuration.profile,
                fuses: fuses)
            }
            return try engine.logits(text, chunk: chunk)
          }
          #expect(logits[0] == logits[1], "\(synthetic.architecture) at \(level.name) in chunks of \(chunk)")
        }
      }
    }
  }

  // MARK: - The rules of joining

  /// The kinds of the phases of one layer.
  private func phases(_ synthetic: SyntheticModel, fuses: Bool = true) throws -> [String] {
    let program = try MadeUp.load(synthetic).program
    return Fusion.phases(of: program, fuses: fuses).map { step in
      switch step.phase {
      case .rows(let operations): "rows(" + operations.map(\.kind).joined(separator: " ") + ")"
      case .products(let input, let products):
        "products(" + (input.norm == nil ? "" : "norm ")
          + products.map { $0.isAdded ? "\($0.into.name)+" : $0.into.name }.joined(separator: " ") + ")"
      case .gated(let input, _, _, let into): "gated(" + (input.norm == nil ? "" : "norm ") + "\(into.name))"
      case .attend(_, let turns): "attend(" + turns.map(\.kind).joined(separator: " ") + ")"
      case .headProducts(let products): "headProducts(\(products.into.name))"
      case .experts(let experts, let sum): "experts(" + (sum.map { "\($0.name)+" } ?? experts.into.name) + ")"
      case .convolve: "convolve"
      case .recur: "recur"
      }
    }
  }

  @Test func `a dense layer is five phases`() throws {
    let layer = [
      "products(norm query key value)", "attend(rotate rotate)", "products(stream+)", "gated(norm gate)",
      "products(stream+)",
    ]
    #expect(try phases(Self.models[0]) == ["rows(embed)"] + layer + layer)
    #expect(try phases(Self.models[2])[2] == "attend(norm norm rotate rotate)")
  }

  @Test func `a layer with experts is nine phases, ten with a shared expert`() throws {
    let models = Self.models.filter { ["qwen3moe", "qwen2moe"].contains($0.architecture) }
    let attention = [
      "products(norm query key value)", "attend(norm norm rotate rotate)", "products(stream+)",
    ]
    #expect(
      try phases(models[0]).dropFirst().prefix(7)
        == attention + ["rows(norm)", "products(router)", "rows(route)", "experts(stream+)"])
    #expect(
      try phases(models[1]).dropFirst(4).prefix(7) == [
        "rows(norm)", "products(router share)", "rows(route)", "gated(gate)", "products(output)",
        "rows(weigh)", "experts(output+)",
      ])
  }

  @Test func `without joining each operation is a phase`() throws {
    let program = try Self.models[2].model().program
    let phases = Fusion.phases(of: program, fuses: false)
    #expect(phases.count == program.operations.count - program.head.count)
    #expect(phases.map(\.done) == Array(1...phases.count))
  }

  @Test func `a norm that is read twice is computed once, for all`() throws {
    // The made-up layer reads one norm for attention and for the network beside it, and normalises
    // what both give.
    #expect(
      try phases(MadeUp.model).dropFirst().prefix(7) == [
        "rows(norm)", "products(query key value)", "attend(rotate rotate)", "products(output)",
        "rows(norm add)",
        "gated(gate)", "products(output)",
      ])
  }

  @Test func `each phase ends one layer at most, and all end`() throws {
    for synthetic in Self.models {
      let program = try synthetic.model().program
      for fuses in [true, false] {
        let ends = Fusion.phases(of: program, fuses: fuses).compactMap(\.endsLayer)
        #expect(ends == Array(0..<program.shape.layerCount))
      }
    }
  }

  // MARK: - Faulty lists

  @Test func `a list that reads what was not written is refused`() throws {
    func check(_ reason: String, _ layer: @escaping Architecture.List) {
      var synthetic = Self.models[0]
      synthetic.architecture = "faulty"
      let faulty = Architecture(name: "faulty", layer: { _, t throws(ModelError) in try layer(t) })
      do {
        _ = try Program(GGUFFile(bytes: synthetic.bytes(), name: "faulty.gguf"), among: [faulty])
        Issue.record("accepted, wanted: \(reason)")
      } catch {
        #expect("\(error)".contains(reason), "\(error)")
      }
    }
    // All tensors are named first, so that none is unknown.
    @Sendable func read(_ t: TensorReader) throws(ModelError) {
      for name in [
        "attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up",
        "ffn_down",
      ] {
        guard let tensor = t.keys.file.tensor("blk.0.\(name).weight") else { continue }
        if tensor.dimensions.count == 1 {
          _ = try t.vector("\(name).weight", tensor.dimensions[0])
        } else {
          _ = try t.matrix("\(name).weight", tensor.dimensions[0], tensor.dimensions[1])
        }
      }
      _ = try t.optionalVector("rope_freqs.weight", 16, of: .model)
    }
    check("add reads 64 of output, which has 0") { t throws(ModelError) in
      try read(t)
      return [t.add(.output, to: .stream)]
    }
    check("multiply reads 96 of stream, which has 64") { t throws(ModelError) in
      try read(t)
      return [try t.multiply(.stream, "ffn_down", 96, 64, into: .output)]
    }
    check("a product overwrites its input") { t throws(ModelError) in
      try read(t)
      return [try t.multiply(.stream, "attn_q", 64, 64, into: .stream)]
    }
  }
}
