// Parts.swift: runs of operations that many architectures have in common, so that a list shows what
// is its own. Start at attention(from:pairing:) and network(from:).

extension TensorReader {
  /// The products of a row with the query, key and value matrices.
  func projections(from row: Row, bias: Bias = .none) throws(ModelError) -> [Operation] {
    let (e, q, k) = (shape.embeddingLength, shape.queryLength, shape.keyLength)
    return try [
      multiply(row, "attn_q", e, q, bias: bias, into: .query),
      multiply(row, "attn_k", e, k, bias: bias, into: .key),
      multiply(row, "attn_v", e, k, bias: bias, into: .value),
    ]
  }

  /// RMSNorm of each head of queries and keys.
  func headNorms() throws(ModelError) -> [Operation] {
    try [
      headNorm(.query, "attn_q_norm", heads: shape.headCount),
      headNorm(.key, "attn_k_norm", heads: shape.kvHeadCount),
    ]
  }

  /// Queries and keys turned by the angles that the metadata gives.
  func rotations(_ pairing: Rotate.Pairing) throws(ModelError) -> [Operation] {
    try [
      rotate(.query, heads: shape.headCount, pairing),
      rotate(.key, heads: shape.kvHeadCount, pairing),
    ]
  }

  /// The same by other angles.
  func rotations(_ pairing: Rotate.Pairing, _ angles: RotaryAngles) -> [Operation] {
    [
      .rotate(.query, heads: shape.headCount, of: shape.headSize, pairing, angles),
      .rotate(.key, heads: shape.kvHeadCount, of: shape.headSize, pairing, angles),
    ]
  }

  /// What attention found, times the output matrix.
  func attentionOutput(bias: Bias = .none) throws(ModelError) -> Operation {
    try multiply(
      .attended, "attn_output", shape.queryLength, shape.embeddingLength, bias: bias, into: .output)
  }

  /// The gated feed-forward network (Shazeer 2020), into `output`.
  func network(
    from row: Row, _ activation: Gate.Activation = .silu, bias: Bias = .none
  ) throws(ModelError) -> [Operation] {
    let (e, f) = (shape.embeddingLength, shape.feedForwardLength)
    return try [
      multiply(row, "ffn_gate", e, f, bias: bias, into: .gate),
      multiply(row, "ffn_up", e, f, bias: bias, into: .up),
      .gate(.gate, activation, times: .up, width: f),
      multiply(.gate, "ffn_down", f, e, bias: bias, into: .output),
    ]
  }

  /// A norm of what a part gives, before it is added to the stream.
  func addNormed(_ name: String) throws(ModelError) -> [Operation] {
    try [norm(.output, name, into: .output), add(.output, to: .stream)]
  }

  /// The whole row of the stream times a number.
  func scaleStream(by factor: Double) -> Operation {
    .scale(.stream, by: factor, width: shape.embeddingLength)
  }
}

extension Architecture {
  /// As `dense`, for lists that say themselves which layers have windows.
  static let denseWithWindows: @Sendable (MetadataReader) throws(ModelError) -> Hyperparameters = {
    keys throws(ModelError) in
    let shape = try Hyperparameters(dense: keys)
    try keys.refuseExperts()
    return shape
  }

  /// A row of the embedding times a number.
  static func embedding(
    times factor: @escaping @Sendable (TensorReader) throws(ModelError) -> Double?
  ) -> List {
    { t throws(ModelError) in
      guard let factor = try factor(t) else { return try embedding(t) }
      return try embedding(t) + [t.scaleStream(by: factor)]
    }
  }
}
