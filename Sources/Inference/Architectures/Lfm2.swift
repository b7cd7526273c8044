// Lfm2.swift: LFM2 (Liquid AI 2025): most layers have a short convolution between two gates in place
// of attention; the file says which, by a number of key and value heads of 0.

extension Architecture {
  package static let lfm2 = Architecture(
    name: "lfm2",
    shape: { keys throws(ModelError) in
      guard let heads = try keys.kvHeads() else { return try dense(keys) }
      // The layers that attend are alike.
      let kinds = Set(heads.filter { $0 > 0 })
      guard kinds.count == 1, let count = kinds.first else {
        throw keys.failure(.unsupportedFeature("layers have \(kinds.sorted()) key and value heads"))
      }
      try keys.refuseExperts()
      return try Hyperparameters(dense: keys, kvHeadCount: count)
    },
    layer: { index, t throws(ModelError) in
      let heads = try t.keys.kvHeads()
      if let heads, heads.count < t.shape.layerCount {
        throw t.keys.failure(
          .badHyperparameter(
            key: t.keys.full("attention.head_count_kv"), found: "\(heads.count) numbers",
            wanted: "one for each of the \(t.shape.layerCount) layers"))
      }
      let mixer = heads?[index] == 0 ? try t.shortConvolution() : try t.lfm2Attention()
      return try [t.norm(.stream, "attn_norm", into: .normed)] + mixer + [t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.network(from: .normed)
        + [t.add(.output, to: .stream)]
    },
    head: { t throws(ModelError) in
      let (e, v) = (t.shape.embeddingLength, t.shape.vocabularySize)
      return [
        try t.norm(.stream, "token_embd_norm", into: .normed),
        .multiply(.normed, by: try t.matrix("token_embd.weight", e, v), into: .logits),
      ]
    })
}

extension MetadataReader {
  /// The key and value heads of each layer; nil where the file has one number for all.
  fileprivate func kvHeads() throws(ModelError) -> [Int]? {
    guard case .array = file.metadata[full("attention.head_count_kv")] else { return nil }
    return try integers("attention.head_count_kv", atLeast: 1)
  }
}

extension TensorReader {
  fileprivate func lfm2Attention() throws(ModelError) -> [Operation] {
    try projections(from: .normed) + headNorms() + rotations(.halves) + [attend(), attentionOutput()]
  }

  /// A product comes apart into b, c and u: c * convolution(b * u), times the output matrix.
  fileprivate func shortConvolution() throws(ModelError) -> [Operation] {
    let e = shape.embeddingLength
    let taps = try keys.required("shortconv.l_cache", 2...8)
    return try [
      multiply(.normed, "shortconv.in_proj", e, 3 * e, into: .fused),
      .slice(.fused, 0..<e, of: 3 * e, into: .gate),
      .slice(.fused, (2 * e)..<(3 * e), of: 3 * e, into: .up),
      .gate(.gate, .plain, times: .up, width: e),
      .convolve(
        .gate, by: vector("shortconv.conv.weight", shape: [taps, e]), channels: e, taps: taps,
        activates: false),
      .slice(.fused, e..<(2 * e), of: 3 * e, into: .up),
      .gate(.gate, .plain, times: .up, width: e),
      multiply(.gate, "shortconv.out_proj", e, e, into: .output),
    ]
  }
}
