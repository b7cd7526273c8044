// GemmaEmbedding.swift: EmbeddingGemma (Schechter Vera et al. 2025, https://arxiv.org/abs/2509.20354):
// the layers of Gemma 3 whose tokens see the whole text, or a window around them, and two products
// behind the vector of a text.

extension Architecture {
  package static let gemmaEmbedding = Architecture(
    name: "gemma-embedding",
    shape: denseWithWindows,
    embedding: gemma3.embedding,
    layer: { index, t throws(ModelError) in try gemma3Layer(index, t, isBothWays: true) },
    pooled: { t throws(ModelError) in
      // Files of before have none.
      guard t.has("dense_2.weight") else { return [] }
      let e = t.shape.embeddingLength
      guard let inner = try t.keys.width("dense_2_feat_out") else {
        throw t.keys.failure(.missingKey(t.keys.full("dense_2_feat_out")))
      }
      return [
        try t.multiply(.normed, "dense_2", e, inner, into: .gate),
        try t.multiply(.gate, "dense_3", inner, e, into: .output),
      ]
    })
}
