// Gemma2.swift: Gemma 2 (Riviere et al. 2024): norms before and behind attention and network, a
// window in every other layer, scores and logits that are capped.

extension Architecture {
  package static let gemma2 = Architecture(
    name: "gemma2", shape: denseWithWindows,
    embedding: embedding { t throws(ModelError) in Double(t.shape.embeddingLength).squareRoot() },
    layer: { index, t throws(ModelError) in
      let s = t.shape
      let window = try t.keys.windows(layers: s.layerCount, period: 2)[index]
      let cap = try t.keys.number("attn_logit_softcapping", from: 0, to: 1e6) ?? 50
      let base =
        window == nil
        ? s.rotaryBase : try t.keys.number("rope.freq_base_swa", from: 1, to: 1e12) ?? s.rotaryBase
      // The largest model scales by the width of a head that its queries would have had.
      let size = s.layerCount == 46 ? s.embeddingLength / s.headCount : s.headSize
      return try [t.norm(.stream, "attn_norm", into: .normed)] + t.projections(from: .normed)
        + t.rotations(.halves, s.angles(base: base))
        + [
          t.attend(
            window: window, cap: cap > 0 ? Float(cap) : nil, scale: 1 / Double(size).squareRoot()),
          t.attentionOutput(),
        ]
        + t.addNormed("post_attention_norm") + [t.norm(.stream, "ffn_norm", into: .normed)]
        + t.network(from: .normed, .gelu) + t.addNormed("post_ffw_norm")
    },
    head: cappedHead(unlessGiven: 30))

  /// A norm, the head, and the bound that the metadata gives.
  static func cappedHead(unlessGiven bound: Double?) -> List {
    { t throws(ModelError) in
      let found = try t.keys.number("final_logit_softcapping", from: 0, to: 1e6) ?? bound
      guard let found, found > 0 else { return try head(t) }
      return try head(t) + [.cap(.logits, at: found, width: t.shape.vocabularySize)]
    }
  }
}
