// Granite.swift: Granite 3 (IBM 2024, https://github.com/ibm-granite/granite-3.0-language-models),
// with and without experts, and MiniCPM (Hu et al. 2024), which are one graph: Llama with factors
// for the embedding, for what is added to the stream, and for the logits.

extension Architecture {
  package static let granite = scaled(
    name: "granite", embedding: nil, residual: { _ in nil },
    turns: { t throws(ModelError) in
      // The key says false of models that learn positions from the order of keys alone.
      try t.keys.flag("rope.scaling.finetuned") ?? true
    })

  package static let granitemoe = scaled(
    name: "granitemoe", shape: withExperts, embedding: nil, residual: { _ in nil }, turns: { _ in true },
    network: { t throws(ModelError) in
      let shared = try t.keys.width("expert_shared_feed_forward_length") ?? 0
      return try t.mixture(
        Mixture(width: t.shape.feedForwardLength, sharedWidth: shared), from: .normed)
    })

  package static let minicpm = scaled(
    name: "minicpm", embedding: 12, residual: { 1.4 / Double($0).squareRoot() }, turns: { _ in true })

  /// - embedding, residual: what the factors are where the file does not say; nil: none
  private static func scaled(
    name: String,
    shape: @escaping @Sendable (MetadataReader) throws(ModelError) -> Hyperparameters = dense,
    embedding: Double?, residual: @escaping @Sendable (_ layers: Int) -> Double?,
    turns: @escaping @Sendable (TensorReader) throws(ModelError) -> Bool,
    network: @escaping List = { t throws(ModelError) in try t.network(from: .normed, bias: .optional) }
  ) -> Architecture {
    Architecture(
      name: name, shape: shape,
      embedding: Self.embedding { t throws(ModelError) in
        try t.keys.number("embedding_scale", from: 1e-6, to: 1e6) ?? embedding
      },
      layer: { _, t throws(ModelError) in
        let factor =
          try t.keys.number("residual_scale", from: 1e-6, to: 1e6) ?? residual(t.shape.layerCount)
        let scaled = factor.map {
          [Operation.scale(.output, by: $0, width: t.shape.embeddingLength)]
        }
        let end = (scaled ?? []) + [t.add(.output, to: .stream)]
        let scale = try t.keys.number("attention.scale", from: 1e-9, to: 1e3)
        return try [t.norm(.stream, "attn_norm", into: .normed)]
          + t.projections(from: .normed, bias: .optional)
          + (turns(t) ? t.rotations(.neighbours) : [])
          + [t.attend(scale: scale), t.attentionOutput(bias: .optional)] + end
          + [t.norm(.stream, "ffn_norm", into: .normed)] + network(t) + end
      },
      head: { t throws(ModelError) in
        try scaledHead(t, by: 1 / t.keys.required("logit_scale", from: 1e-6, to: 1e6))
      })
  }
}
