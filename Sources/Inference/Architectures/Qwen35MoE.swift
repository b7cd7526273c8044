// Qwen35MoE.swift: Qwen3.5 with experts (Qwen team 2026), and Qwen3-Next (Qwen team 2025), in whose
// files the small products and the heads are arranged in another way.

extension Architecture {
  package static let qwen35moe = deltaHybrid(
    "qwen35moe", shape: withExperts, linear: { t throws(ModelError) in try t.deltaNet(.tiled) },
    network: { t throws(ModelError) in try t.qwenMixture() })

  package static let qwen3next = deltaHybrid(
    "qwen3next", shape: withExperts, linear: { t throws(ModelError) in try t.groupedDeltaNet() },
    network: { t throws(ModelError) in try t.qwenMixture() })
}

extension TensorReader {
  /// Experts, and one for all tokens, of which each takes a share.
  fileprivate func qwenMixture() throws(ModelError) -> [Operation] {
    let shared = try keys.width("expert_shared_feed_forward_length") ?? 0
    return try mixture(
      Mixture(width: expertWidth(), sharedWidth: shared, sharesByGate: shared > 0), from: .normed)
  }

  /// The gated delta rule, consecutive heads of values on one of keys. Strengths and steps come from
  /// one matrix, whose rows are, for each head of keys, the strengths of its heads and then the steps.
  fileprivate func groupedDeltaNet() throws(ModelError) -> [Operation] {
    let s = try DeltaSizes(keys)
    let (e, each) = (shape.embeddingLength, s.valueHeads / s.keyHeads)
    guard !has("ssm_in.weight") else {
      throw keys.failure(
        .unsupportedFeature("queries, keys, values and gates come from one matrix (ssm_in) as in old files"))
    }
    return try [
      multiply(.normed, "attn_qkv", e, s.fusedLength, into: .fused),
      multiply(.normed, "attn_gate", e, s.valueLength, into: .gate),
      multiply(.normed, "ssm_ba", e, 2 * s.valueHeads, into: .up),
      .slice(.up, 0..<each, ofEach: 2 * each, parts: s.keyHeads, into: .strength),
      .slice(.up, each..<(2 * each), ofEach: 2 * each, parts: s.keyHeads, into: .step),
    ] + recurrence(s, .grouped)
  }
}
