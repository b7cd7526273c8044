// Exaone4.swift: EXAONE 4.0 (LG AI Research 2025): norms stand behind attention and network, not
// before them. The model of 64 layers has windows in three layers of four, and turns in these alone.

extension Architecture {
  package static let exaone4 = Architecture(
    name: "exaone4", shape: denseWithWindows,
    layer: { index, t throws(ModelError) in
      let isLarge = t.shape.layerCount == 64
      let window = isLarge ? try t.keys.windows(layers: 64, period: 4)[index] : nil
      let turns = isLarge && window == nil ? [] : try t.rotations(.halves)
      return try t.projections(from: .stream) + t.headNorms() + turns
        + [t.attend(window: window), t.attentionOutput()] + t.addNormed("post_attention_norm")
        + t.network(from: .stream) + t.addNormed("post_ffw_norm")
    })
}
