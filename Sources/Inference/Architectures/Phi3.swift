// Phi3.swift: Phi-3, Phi-3.5, Phi-4 and their small ones (Abdin et al. 2024,
// https://arxiv.org/abs/2404.14219): Llama with fused matrices, pairs as halves, and factors for
// long contexts.

extension Architecture {
  package static let phi3 = Architecture(
    name: "phi3", shape: denseWithWindows,
    layer: { index, t throws(ModelError) in
      // Most files name a window that no context fills; Phi-3-mini-4k has one of 2047.
      var window = try t.keys.windows(layers: t.shape.layerCount, period: 0)[index]
      if let length = window, length >= t.shape.contextLength { window = nil }
      return try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + t.rotations(.halves)
        + [t.attend(window: window), t.attentionOutput(bias: .optional), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.fusedNetwork(from: .normed)
        + [t.add(.output, to: .stream)]
    })
}
