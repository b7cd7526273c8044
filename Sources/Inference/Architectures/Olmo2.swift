// Olmo2.swift: OLMo 2 (OLMo team 2024) and OLMo 3, which has windows: norms stand behind attention
// and network, and queries and keys are normalised as whole rows.

extension Architecture {
  package static let olmo2 = Architecture(
    name: "olmo2", shape: denseWithWindows,
    layer: { index, t throws(ModelError) in
      let s = t.shape
      let window = try t.keys.windows(layers: s.layerCount, period: 4)[index]
      // Windows are shorter than what the model was trained for: positions in them are as they are.
      let angles = s.angles(isStretched: window == nil)
      return try t.projections(from: .stream)
        + [
          .norm(
            .query, by: t.vector("attn_q_norm.weight", s.queryLength), epsilon: s.normEpsilon, into: .query),
          .norm(.key, by: t.vector("attn_k_norm.weight", s.keyLength), epsilon: s.normEpsilon, into: .key),
        ] + t.rotations(.halves, angles)
        + [t.attend(window: window), t.attentionOutput()]
        + t.addNormed("post_attention_norm")
        + t.network(from: .stream) + t.addNormed("post_ffw_norm")
    })
}
