// Gemma3.swift: Gemma 3 (Gemma team 2025) as text: norms before and behind attention and network,
// five layers with a window to one without, and a rotary base for each of the two kinds.

extension Architecture {
  package static let gemma3 = Architecture(
    name: "gemma3",
    shape: denseWithWindows,
    embedding: embedding { t throws(ModelError) in Double(t.shape.embeddingLength).squareRoot() },
    layer: { index, t throws(ModelError) in try gemma3Layer(index, t, isBothWays: false) },
    head: cappedHead(unlessGiven: nil))

  /// A layer of Gemma 3; both ways it is one of EmbeddingGemma.
  static func gemma3Layer(
    _ index: Int, _ t: TensorReader, isBothWays: Bool
  ) throws(ModelError) -> [Operation] {
    let s = t.shape
    let window = try t.keys.windows(layers: s.layerCount, period: 6)[index]
    let angles =
      window == nil
      ? s.angles()
      : s.angles(
        base: try t.keys.number("rope.freq_base_swa", from: 1, to: 1e12) ?? 10_000, isStretched: false)
    // The largest model scales by the width of a head that its queries would have had.
    let size = s.layerCount == 62 ? s.embeddingLength / s.headCount : s.headSize
    return try [t.norm(.stream, "attn_norm", into: .normed)] + t.projections(from: .normed)
      + t.headNorms() + t.rotations(.halves, angles)
      + [
        t.attend(window: window, scale: 1 / Double(size).squareRoot(), isBothWays: isBothWays),
        t.attentionOutput(),
      ]
      + t.addNormed("post_attention_norm") + [t.norm(.stream, "ffn_norm", into: .normed)]
      + t.network(from: .normed, .gelu) + t.addNormed("post_ffw_norm")
  }
}
