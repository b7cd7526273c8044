// MuseGlimmer.swift: Muse Glimmer (Meta 2026) as text: three layers with a window, which rotate, to one
// that sees everything and does not; attention's output gated; norms before and behind attention and
// network, of which the latter have an epsilon of their own; logits times a factor, then capped.

extension Architecture {
  package static let museGlimmer = Architecture(
    name: "muse-glimmer",
    shape: { keys throws(ModelError) in
      _ = try keys.required("attention.sliding_window", 1...Int.max)
      return try denseWithWindows(keys)
    },
    embedding: { t throws(ModelError) in
      try embedding(t) + [
        .norm(.stream, of: t.shape.embeddingLength, epsilon: t.shape.normEpsilon, into: .stream)
      ]
    },
    layer: { index, t throws(ModelError) in
      let s = t.shape
      let window = try t.keys.windows(layers: s.layerCount, period: 4)[index]
      let base = try t.keys.number("rope.freq_base_swa", from: 1, to: 1e12) ?? s.rotaryBase
      let turns = window == nil ? [] : t.rotations(.neighbours, s.angles(base: base))
      return try [t.norm(.stream, "attn_norm", into: .normed)] + t.projections(from: .normed)
        + t.headNorms() + turns
        + [
          t.multiply(.normed, "attn_gate", s.embeddingLength, s.queryLength, into: .gate),
          t.attend(window: window), .gate(.gate, .sigmoid, times: .attended, width: s.queryLength),
          t.multiply(.gate, "attn_output", s.queryLength, s.embeddingLength, into: .output),
        ]
        + t.addBehindNorm("post_attention_norm") + [t.norm(.stream, "ffn_norm", into: .normed)]
        + t.network(from: .normed) + t.addBehindNorm("post_ffw_norm")
    },
    head: { t throws(ModelError) in
      var list = try scaledHead(t, by: t.keys.required("logit_scale", from: 1e-6, to: 1e6))
      if let bound = try t.keys.number("final_logit_softcapping", from: 0, to: 1e6), bound > 0 {
        list.append(.cap(.logits, at: bound, width: t.shape.vocabularySize))
      }
      return list
    })
}

extension TensorReader {
  fileprivate func addBehindNorm(_ name: String) throws(ModelError) -> [Operation] {
    let weight = try vector("\(name).weight", shape.embeddingLength)
    return [.norm(.output, by: weight, epsilon: 1e-8, into: .output), add(.output, to: .stream)]
  }
}
