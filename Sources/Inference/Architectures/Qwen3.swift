// Qwen3.swift: the dense Qwen3 (Yang et al. 2025): queries and keys are normalised per head, pairs
// are halves.

extension Architecture {
  package static let qwen3 = Architecture(
    name: "qwen3",
    layer: { _, t throws(ModelError) in
      try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + t.headNorms() + t.rotations(.halves)
        + [t.attend(), t.attentionOutput(bias: .optional), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.network(from: .normed)
        + [t.add(.output, to: .stream)]
    })
}
