// Qwen2.swift: Qwen2 and Qwen2.5 (Yang et al. 2024): biases of queries, keys and values, pairs as
// halves.

extension Architecture {
  package static let qwen2 = Architecture(
    name: "qwen2",
    layer: { _, t throws(ModelError) in
      try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .required) + t.rotations(.halves)
        + [t.attend(), t.attentionOutput(bias: .optional), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.network(from: .normed)
        + [t.add(.output, to: .stream)]
    })
}
