// HostileKeyTests.swift: every number that an architecture reads, as values that no converter writes:
// a model is refused with a reason, or computes. Nothing traps.
// Leaves out the file format (GGUFTests) and what right values mean (MetadataKeyTests).

import Fuzzing
import Inference
import TestSettings
import Testing

@Suite struct HostileKeyTests {
  /// Keys of some architecture, read or not: each model is given all of them.
  private static let keys = [
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.key_length_mla",
    "attention.key_length_swa", "attention.kv_lora_rank", "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon", "attention.q_lora_rank", "attention.recurrent_layers",
    "attention.scale", "attention.shared_kv_layers", "attention.sliding_window",
    "attention.sliding_window_pattern", "attention.temperature_length", "attention.temperature_scale",
    "attention.value_length", "attention.value_length_mla", "attention.value_length_swa",
    "attn_logit_softcapping", "block_count", "context_length", "embedding_length",
    "embedding_length_per_layer_input", "embedding_scale", "expert_count", "expert_feed_forward_length",
    "expert_gating_func", "expert_group_count", "expert_group_used_count", "expert_shared_count",
    "expert_shared_feed_forward_length", "expert_used_count", "expert_weights_norm", "expert_weights_scale",
    "feed_forward_length", "final_logit_softcapping", "full_attention_interval",
    "interleave_moe_layer_step", "leading_dense_block_count", "logit_scale", "moe_latent_size",
    "nextn_predict_layers", "residual_scale", "rope.dimension_count", "rope.dimension_count_swa",
    "rope.dimension_sections", "rope.freq_base", "rope.freq_base_swa", "rope.scale_linear",
    "rope.scaling.alpha", "rope.scaling.attn_factor", "rope.scaling.factor", "rope.scaling.finetuned",
    "rope.scaling.original_context_length", "rope.scaling.type", "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow", "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_log_multiplier",
    "shortconv.l_cache", "ssm.conv_kernel", "ssm.group_count", "ssm.inner_size", "ssm.state_size",
    "ssm.time_step_rank",
  ]

  private static let values: [GGUFWriter.Value] = [
    .uint32(0), .uint32(1), .uint32(3), .uint8(255), .uint32(.max), .uint64(.max), .uint64(1 << 40),
    .uint64(UInt64(Int64.max)), .int32(-1), .int32(-2), .int32(.min), .int64(.min), .float32(0),
    .float32(-0.0), .float32(-1), .float32(.leastNonzeroMagnitude), .float32(.greatestFiniteMagnitude),
    .float32(.nan), .float32(-.infinity), .float64(1e308), .float64(.leastNonzeroMagnitude),
    .float64(1e-12), .string(""), .string("yarn"), .string("\u{0}"), .bool(true), .bool(false),
    .int32s([]), .int32s([0]), .int32s([-1, -1]), .int32s([.max, .max]), .int32s([1, 2, 3, 4, 5, 6, 7, 8]),
    .int32s([Int32](repeating: 64, count: 2_000)), .float32s([.nan]), .float32s([0, 1]), .strings(["4"]),
    GGUFWriter.array(type: 7, count: 8, [1, 0, 1, 0, 1, 0, 1, 0]),
    GGUFWriter.array(type: 10, count: 2, [UInt8](repeating: 255, count: 16)),
  ]

  /// The file again, with another value at a key.
  private func bytes(of file: GGUFFile, _ key: String, _ value: GGUFWriter.Value) -> [UInt8] {
    var writer = GGUFWriter(copying: file, without: [key])
    writer.set(key, value)
    return writer.bytes()
  }

  @Test func `a hostile number is refused with a reason or computed with`() throws {
    var random = SplitMix(state: 17)
    var counts = (refused: 0, failed: 0, computed: 0)
    for synthetic in ProgramTests.models {
      let file = try GGUFFile(bytes: synthetic.bytes(), name: "plain.gguf")
      for key in Self.keys {
        // A twelfth of the pairs is enough to find a bound that is missing for a whole kind.
        for value in Self.values where isHeavy || Int.random(in: 0..<12, using: &random) == 0 {
          let changed = bytes(of: file, "\(synthetic.architecture).\(key)", value)
          switch try HostileModel.outcome(of: changed, vocabulary: synthetic.vocabulary) {
          case .computed: counts.computed += 1
          case .failed(let error):
            counts.failed += 1
            #expect("\(error)".count > 10)
          case .refused(let reason):
            counts.refused += 1
            let says = reason.hasPrefix("model 'hostile.gguf': ") && reason.count > 30
            #expect(says, "\(synthetic.architecture) \(key) \(value): \(reason)")
          }
        }
      }
    }
    print("hostile numbers: \(counts)")
    #expect(counts.refused > 100 && counts.computed > 100)
  }

  /// Kernels count a window in 32 bits.
  @Test func `a window larger than every context hides nothing`() throws {
    let synthetic = try #require(ProgramTests.models.first { $0.architecture == "gemma3" })
    let file = try GGUFFile(bytes: synthetic.bytes(), name: "plain.gguf")
    func logits(_ window: GGUFWriter.Value) throws -> [Float] {
      let changed = bytes(of: file, "gemma3.attention.sliding_window", window)
      let model = try Model(file: GGUFFile(bytes: changed, name: "hostile.gguf"), threads: 1)
      return try Engine(model: model, configuration: .init(threads: 1, kvBlocks: 4)).logits(
        [1, 2, 3], chunk: 3)
    }
    let whole = try logits(.uint32(512))
    #expect(try logits(.uint64(1 << 40)) == whole)
    #expect(try logits(.uint64(UInt64(Int64.max))) == whole)
  }
}
