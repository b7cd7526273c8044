// Cohere2.swift: Command R7B and Command A (Cohere 2025, https://arxiv.org/abs/2504.00698): attention
// and network beside one another on one LayerNorm; three layers with a window, which rotate, to one
// that sees everything and doesn't; logits times a factor.

extension Architecture {
  package static let cohere2 = Architecture(
    name: "cohere2",
    shape: { keys throws(ModelError) in
      try keys.refuseExperts()
      _ = try keys.required("attention.sliding_window", 1...Int.max)
      return try Hyperparameters(dense: keys, norm: .layer(hasBias: false))
    },
    layer: { index, t throws(ModelError) in
      let window = try t.keys.windows(layers: t.shape.layerCount, period: 4)[index]
      let turns = window == nil ? [] : try t.rotations(.neighbours)
      return try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + turns
        + [
          t.attend(window: window), t.attentionOutput(bias: .optional), t.add(.output, to: .stream),
        ]
        + t.network(from: .normed, bias: .optional) + [t.add(.output, to: .stream)]
    },
    head: { t throws(ModelError) in
      try scaledHead(t, by: t.keys.required("logit_scale", from: 1e-6, to: 1e6))
    })
}
