// Qwen3MoE.swift: Qwen3 with experts (Yang et al. 2025, https://arxiv.org/abs/2505.09388): the dense
// Qwen3 whose networks are mixtures, with normalised weights and no shared expert.

extension Architecture {
  package static let qwen3moe = Architecture(
    name: "qwen3moe", shape: withExperts,
    layer: { _, t throws(ModelError) in
      try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + t.headNorms() + t.rotations(.halves)
        + [t.attend(), t.attentionOutput(bias: .optional), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)]
        + t.mixture(Mixture(width: t.expertWidth()), from: .normed) + [t.add(.output, to: .stream)]
    })
}
