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
    let steps: [Operation] = try [
      multiply(.normed, "ssm_ba", e, 2 * s.valueHeads, into: .up),
      .slice(.up, 0..<each, ofEach: 2 * each, parts: s.keyHeads, into: .strength),
      .slice(.up, each..<(2 * each), ofEach: 2 * each, parts: s.keyHeads, into: .step),
    ]
    if has("ssm_in.weight") { return try gatheredHeads(s) + steps + rule(s, .grouped) }
    return try [
      multiply(.normed, "attn_qkv", e, s.fusedLength, into: .fused),
      multiply(.normed, "attn_gate", e, s.valueLength, into: .gate),
    ] + steps + recurrence(s, .grouped)
  }

  /// Convolved queries, keys and values, and gates, from the one matrix that the first files have: for
  /// each head of keys a query, a key, its heads of values and their gates.
  private func gatheredHeads(_ s: DeltaSizes) throws(ModelError) -> [Operation] {
    let heads = s.keyHeads
    let (size, values) = (s.size, s.valueLength / heads)
    let whole = 2 * size + 2 * values
    let taps = try taps(s)
    func convolve(_ row: Row, _ channels: Range<Int>) -> Operation {
      .convolve(
        row, by: taps.part(channels.lowerBound * s.taps..<channels.upperBound * s.taps),
        channels: channels.count, taps: s.taps, activates: true)
    }
    return try [
      multiply(.normed, "ssm_in", shape.embeddingLength, heads * whole, into: .fused),
      .slice(.fused, 0..<size, ofEach: whole, parts: heads, into: .query),
      .slice(.fused, size..<(2 * size), ofEach: whole, parts: heads, into: .key),
      .slice(.fused, (2 * size)..<(2 * size + values), ofEach: whole, parts: heads, into: .value),
      .slice(.fused, (2 * size + values)..<whole, ofEach: whole, parts: heads, into: .gate),
      convolve(.query, 0..<s.keyLength),
      convolve(.key, s.keyLength..<(2 * s.keyLength)),
      convolve(.value, (2 * s.keyLength)..<s.fusedLength),
    ]
  }
}
