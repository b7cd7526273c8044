// Qwen2MoE.swift: Qwen1.5-MoE and Qwen2-57B-A14B (Yang et al. 2024,
// https://arxiv.org/abs/2407.10671): Qwen2 whose networks are mixtures, with weights as the softmax
// gives them and a shared expert of which each token takes a share.

extension Architecture {
  package static let qwen2moe = Architecture(
    name: "qwen2moe", shape: withExperts,
    layer: { _, t throws(ModelError) in
      let shared = try t.keys.width("expert_shared_feed_forward_length") ?? t.shape.feedForwardLength
      let mixture = Mixture(
        width: try t.expertWidth(), isNormalised: false, sharedWidth: shared, sharesByGate: true)
      return try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .required) + t.rotations(.halves)
        + [t.attend(), t.attentionOutput(bias: .optional), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.mixture(mixture, from: .normed)
        + [t.add(.output, to: .stream)]
    })
}
