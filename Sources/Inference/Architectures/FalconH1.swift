// FalconH1.swift: Falcon-H1 (TII 2025): each layer has attention and Mamba-2 (Dao and Gu 2024) side
// by side over one norm. Its multipliers are folded into the weights of the file.

extension Architecture {
  package static let falconH1 = Architecture(
    name: "falcon-h1",
    layer: { _, t throws(ModelError) in
      let s = t.shape
      return try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed) + t.rotations(.halves)
        + [t.attend(), t.attentionOutput(), t.add(.output, to: .stream)]
        + t.mamba2() + [t.add(.output, to: .stream)]
        + [
          .norm(
            .stream, by: t.vector("ffn_norm", s.embeddingLength), epsilon: s.normEpsilon, into: .normed)
        ]
        + t.network(from: .normed) + [t.add(.output, to: .stream)]
    })
}
