// Llama.swift: Llama 2 and 3, Mistral, SmolLM2 (Touvron et al. 2023) as a list of operations.

extension Architecture {
  package static let llama = Architecture(
    name: "llama",
    layer: { _, t throws(ModelError) in
      try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + t.rotations(.neighbours)
        + [t.attend(), t.attentionOutput(bias: .optional), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.network(from: .normed)
        + [t.add(.output, to: .stream)]
    })
}
