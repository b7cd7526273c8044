// Starcoder2.swift: StarCoder2 (Lozhkov et al. 2024, https://arxiv.org/abs/2402.19173): LayerNorm,
// biases everywhere, a network without a gate. Its files do not name the window of 4096 positions.

extension Architecture {
  package static let starcoder2 = Architecture(
    name: "starcoder2",
    shape: denseWithLayerNorm,
    layer: { _, t throws(ModelError) in
      try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .required) + t.rotations(.halves)
        + [t.attend(), t.attentionOutput(bias: .required), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)]
        + t.plainNetwork(from: .normed, .gelu, bias: .required) + [t.add(.output, to: .stream)]
    })
}
