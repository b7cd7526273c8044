// GLM4MoE.swift: GLM-4.5 to 4.7 (GLM team 2025, https://arxiv.org/abs/2508.06471): part of each head
// rotated, behind the first layers a mixture that is chosen by sigmoids, and an expert that every
// token goes to.

extension Architecture {
  package static let glm4moe = Architecture(
    name: "glm4moe", shape: withExperts,
    layer: { index, t throws(ModelError) in
      let dense = try t.keys.optional("leading_dense_block_count", 0...1_024) ?? 0
      let network =
        index < dense ? try t.network(from: .normed) : try t.mixture(glmMixture(t), from: .normed)
      let norms = t.has("attn_q_norm.weight") ? try t.headNorms() : []
      return try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + norms + t.rotations(.halves)
        + [t.attend(), t.attentionOutput(), t.add(.output, to: .stream)]
        // The name in files is misleading: this is the norm before the network.
        + [t.norm(.stream, "post_attention_norm", into: .normed)] + network
        + [t.add(.output, to: .stream)]
    })

  private static func glmMixture(_ t: TensorReader) throws(ModelError) -> Mixture {
    let width = try t.expertWidth()
    let shared = try t.keys.optional("expert_shared_count", 0...64) ?? 0
    return Mixture(
      width: width, gating: try t.keys.gating(unlessGiven: .sigmoid),
      isNormalised: try t.keys.flag("expert_weights_norm") ?? false,
      scale: try t.keys.number("expert_weights_scale", from: 1e-6, to: 1e6) ?? 1,
      sharedWidth: shared * width)
  }
}
