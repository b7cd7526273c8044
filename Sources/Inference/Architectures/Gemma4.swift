// Gemma4.swift: Gemma 4 as text (Google DeepMind 2026,
// https://ai.google.dev/gemma/docs/core/model_card_4): layers with a window and layers without one
// have heads of their own, the last layers read the keys and values of earlier ones, and small models
// give every layer an embedding of the token; the one with experts has a network beside them. Start at Gemma4Layer.

extension Architecture {
  package static let gemma4 = Architecture(
    name: "gemma4",
    shape: { keys throws(ModelError) in
      let shape = try Hyperparameters(dense: keys, layersVary: true)
      for key in ["attention.sliding_window", "attention.sliding_window_pattern"] {
        guard keys.file.metadata[keys.full(key)] != nil else {
          throw keys.failure(.missingKey(keys.full(key)))
        }
      }
      return shape
    },
    embedding: { t throws(ModelError) in
      let s = t.shape
      let embedded = try embedding(t) + [t.scaleStream(by: Double(s.embeddingLength).squareRoot())]
      return try embedded + t.layerEmbeddings()
    },
    layer: { index, t throws(ModelError) in try Gemma4Layer(index, t).operations(t) },
    head: cappedHead(unlessGiven: 30))
}

/// What one layer is.
private struct Gemma4Layer {
  let index: Int
  let window: Int?
  /// Of a head.
  let size: Int
  let kvHeads: Int
  let feedForward: Int
  let angles: RotaryAngles
  /// The layer whose keys and values this one reads; nil: its own.
  let source: Int?

  init(_ index: Int, _ t: TensorReader) throws(ModelError) {
    let (s, keys) = (t.shape, t.keys)
    let windows = try keys.windows(layers: s.layerCount, period: 0)
    let window = windows[index]
    self.index = index
    self.window = window
    // The last layer of the same kind that has its own.
    let shared = try keys.optional("attention.shared_kv_layers", 0...(s.layerCount - 1)) ?? 0
    let first = s.layerCount - shared
    source = index < first ? nil : windows[..<first].lastIndex { ($0 == nil) == (window == nil) }
    guard index < first || source != nil else {
      throw keys.failure(
        .unsupportedFeature("layer \(index) has no keys and values, and no layer before it of its kind has"))
    }
    let heads = try keys.each("attention.head_count_kv", layers: s.layerCount, 1...1_024)
    kvHeads = heads?[source ?? index] ?? s.headCount
    feedForward =
      try keys.each("feed_forward_length", layers: s.layerCount, 32...1_048_576)?[index]
      ?? s.feedForwardLength
    let factors = try t.rotaryFactors()
    guard window != nil else {
      size = s.headSize
      angles = s.angles(factors: factors)
      return
    }
    size = try keys.required("attention.key_length_swa", 16...512)
    if let value = try keys.optional("attention.value_length_swa", 1...16_384), value != size {
      throw keys.failure(
        .badHyperparameter(
          key: keys.full("attention.value_length_swa"), found: "\(value)", wanted: "the key length \(size)"))
    }
    let rotated = try keys.optional("rope.dimension_count_swa", 2...16_384) ?? s.rotarySize
    guard rotated % 2 == 0, rotated <= size else {
      throw keys.failure(
        .badHyperparameter(
          key: keys.full("rope.dimension_count_swa"), found: "\(rotated)",
          wanted: "an even number up to the head size \(size)"))
    }
    angles = RotaryAngles(
      pairs: rotated / 2, base: try keys.number("rope.freq_base_swa", from: 1, to: 1e12) ?? 10_000)
  }

  func operations(_ t: TensorReader) throws(ModelError) -> [Operation] {
    let s = t.shape
    let (e, q) = (s.embeddingLength, s.headCount * size)
    let scale = try t.optionalNumber("layer_output_scale.weight")
    return try [
      t.norm(.stream, "attn_norm", into: .normed), t.multiply(.normed, "attn_q", e, q, into: .query),
    ]
      + keysAndValues(t)
      + [
        .attend(
          .query, to: .key, .value, heads: s.headCount, on: kvHeads, of: size, scale: 1, window: window,
          // Every layer before the source has keys and values, and they are the model's only state.
          state: source, into: .attended),
        t.multiply(.attended, "attn_output", q, e, into: .output),
      ]
      + t.addNormed("post_attention_norm") + networks(t) + t.addNormed("post_ffw_norm")
      + t.layerInput(index) + (scale.map { [t.scaleStream(by: Double($0))] } ?? [])
  }

  /// A network, and a mixture beside it where the model has experts, into `output`.
  private func networks(_ t: TensorReader) throws(ModelError) -> [Operation] {
    let (e, epsilon) = (t.shape.embeddingLength, t.shape.normEpsilon)
    let network =
      try [t.norm(.stream, "ffn_norm", into: .normed)]
      + t.network(from: .normed, .gelu, width: feedForward)
    guard let experts = try t.keys.optional("expert_count", 0...1_024), experts > 0 else { return network }
    let mixture = Mixture(width: try t.expertWidth(), activation: .gated(.gelu), hasFactors: true)
    let choice: [Operation] = [
      .norm(.stream, by: try t.vector("ffn_gate_inp.scale", e), epsilon: epsilon, into: .normed),
      .scale(.normed, by: 1 / Double(e).squareRoot(), width: e),
      try t.multiply(.normed, "ffn_gate_inp", e, experts, into: .router), try t.route(mixture),
    ]
    let mixed = try [
      t.norm(.stream, "pre_ffw_norm_2", into: .normed),
      t.expertNetworks(mixture, from: .normed, into: .mixed),
      t.norm(.mixed, "post_ffw_norm_2", into: .mixed),
    ]
    return try choice + mixed + network
      + [t.norm(.output, "post_ffw_norm_1", into: .output), t.add(.mixed, to: .output)]
  }

  /// From the products to the rotations; a layer without keys and values of its own has queries alone.
  private func keysAndValues(_ t: TensorReader) throws(ModelError) -> [Operation] {
    let (s, k) = (t.shape, kvHeads * size)
    let query = try [
      headNorm(.query, "attn_q_norm", s.headCount, t),
      .rotate(.query, heads: s.headCount, of: size, .halves, angles),
    ]
    guard source == nil else { return query }
    let (e, epsilon) = (s.embeddingLength, s.normEpsilon)
    // Without a matrix of their own values are the keys before these are normalised.
    let value = t.has("attn_v.weight")
    return try [t.multiply(.normed, "attn_k", e, k, into: .key)]
      + (value ? [t.multiply(.normed, "attn_v", e, k, into: .value)] : [])
      + [.norm(value ? .value : .key, parts: kvHeads, of: size, epsilon: epsilon, into: .value)]
      + query
      + [
        headNorm(.key, "attn_k_norm", kvHeads, t),
        .rotate(.key, heads: kvHeads, of: size, .halves, angles),
      ]
  }

  private func headNorm(
    _ row: Row, _ name: String, _ heads: Int, _ t: TensorReader
  ) throws(ModelError) -> Operation {
    .norm(
      row, by: try t.vector("\(name).weight", size), parts: heads, epsilon: t.shape.normEpsilon, into: row)
  }
}

extension TensorReader {
  /// Numbers of a token's embedding for one layer; 0: there are none.
  private func layerEmbeddingLength() throws(ModelError) -> Int {
    try keys.optional("embedding_length_per_layer_input", 0...65_536) ?? 0
  }

  /// The embeddings of a token for all layers, into `perLayer`: from a table, and from the stream.
  fileprivate func layerEmbeddings() throws(ModelError) -> [Operation] {
    let (e, length) = (shape.embeddingLength, try layerEmbeddingLength())
    guard length > 0 else { return [] }
    let width = shape.layerCount * length
    let table = try matrix("per_layer_token_embd.weight", width, shape.vocabularySize)
    return try [
      multiply(.stream, "per_layer_model_proj", e, width, into: .perLayer),
      .scale(.perLayer, by: 1 / Double(e).squareRoot(), width: width),
      .norm(
        .perLayer, by: vector("per_layer_proj_norm.weight", length), parts: shape.layerCount,
        epsilon: shape.normEpsilon, into: .perLayer),
      .embed(table, into: .up), .scale(.up, by: Double(length).squareRoot(), width: width),
      .add(.up, to: .perLayer, width: width), .scale(.perLayer, by: 0.5.squareRoot(), width: width),
    ]
  }

  /// What a layer makes of its embedding, added to the stream.
  fileprivate func layerInput(_ index: Int) throws(ModelError) -> [Operation] {
    let (e, length) = (shape.embeddingLength, try layerEmbeddingLength())
    guard length > 0 else { return [] }
    return try [
      multiply(.stream, "inp_gate", e, length, into: .gate),
      .gate(.gate, .gelu, times: .perLayer, from: index * length, width: length),
      multiply(.gate, "proj", length, e, into: .output),
    ] + addNormed("post_norm")
  }
}
