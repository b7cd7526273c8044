// Nemotron.swift: Nemotron-4 and Minitron (Parmar et al. 2024, https://arxiv.org/abs/2402.16819):
// LayerNorm, half of each head rotated, a network without a gate whose activation is a square.

extension Architecture {
  package static let nemotron = Architecture(
    name: "nemotron",
    shape: denseWithLayerNorm,
    layer: { _, t throws(ModelError) in
      try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + t.rotations(.halves)
        + [t.attend(), t.attentionOutput(bias: .optional), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)]
        + t.plainNetwork(from: .normed, .squaredRelu, bias: .optional) + [t.add(.output, to: .stream)]
    },
    head: { t throws(ModelError) in
      // A file without a head of its own would be half of one: none of these models is tied.
      _ = try t.matrix("output.weight", t.shape.embeddingLength, t.shape.vocabularySize)
      return try head(t)
    })
}
