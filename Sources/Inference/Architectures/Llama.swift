// Llama.swift: Llama 2 and 3, Mistral, SmolLM2 (Touvron et al. 2023) as a list of operations, and
// Mixtral, whose networks are mixtures of experts (Jiang et al. 2024,
// https://arxiv.org/abs/2401.04088).

extension Architecture {
  package static let llama = Architecture(
    name: "llama", shape: withExperts,
    layer: { _, t throws(ModelError) in
      try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + t.rotations(.neighbours)
        + [t.attend(), t.attentionOutput(bias: .optional), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.networkOrMixture(from: .normed)
        + [t.add(.output, to: .stream)]
    })
}
