// Qwen35.swift: the dense Qwen3.5 (Qwen team 2026) as text: three layers of four have the gated
// delta rule in place of attention (Yang et al. 2024, "Gated Delta Networks"), the fourth has
// attention behind a gate (Qiu et al. 2025, "Gated Attention for Large Language Models").

extension Architecture {
  package static let qwen35 = deltaHybrid(
    "qwen35", shape: dense, linear: { t throws(ModelError) in try t.deltaNet(.tiled) },
    network: { t throws(ModelError) in try t.network(from: .normed) })

  /// - linear: the mixer of most layers, from `normed` to `output`
  /// - network: what follows each mixer, likewise
  static func deltaHybrid(
    _ name: String, shape: @escaping @Sendable (MetadataReader) throws(ModelError) -> Hyperparameters,
    linear: @escaping List, network: @escaping List
  ) -> Architecture {
    Architecture(
      name: name, shape: shape,
      layer: { index, t throws(ModelError) in
        let isLinear = try t.keys.linearLayers(t.shape)[index]
        return try [t.norm(.stream, "attn_norm", into: .normed)]
          + (isLinear ? linear(t) : t.gatedAttention()) + [t.add(.output, to: .stream)]
          + [t.norm(.stream, "post_attention_norm", into: .normed)] + network(t)
          + [t.add(.output, to: .stream)]
      })
  }
}

extension MetadataReader {
  /// Which layers have a recurrent state in place of attention: those that the file names, or all but
  /// every fourth.
  func linearLayers(_ shape: Hyperparameters) throws(ModelError) -> [Bool] {
    let count = shape.layerCount
    if let flags = try integers("attention.recurrent_layers", atLeast: count) {
      return flags.prefix(count).map { $0 != 0 }
    }
    let interval = try optional("full_attention_interval", 1...1_024) ?? 4
    return (0..<count).map { ($0 + 1) % interval != 0 }
  }
}

/// The sizes of a gated delta rule.
struct DeltaSizes {
  let keyHeads: Int
  let valueHeads: Int
  /// Of a head, of keys and of values.
  let size: Int
  let taps: Int

  var keyLength: Int { keyHeads * size }
  var valueLength: Int { valueHeads * size }
  /// Queries, keys and values side by side.
  var fusedLength: Int { 2 * keyLength + valueLength }

  init(_ keys: MetadataReader) throws(ModelError) {
    keyHeads = try keys.required("ssm.group_count", 1...1_024)
    valueHeads = try keys.required("ssm.time_step_rank", 1...1_024)
    size = try keys.required("ssm.state_size", 16...512)
    taps = try keys.required("ssm.conv_kernel", 2...8)
    let inner = try keys.required("ssm.inner_size", 1...1_048_576)
    guard valueHeads % keyHeads == 0 else {
      throw keys.failure(
        .badHyperparameter(
          key: keys.full("ssm.time_step_rank"), found: "\(valueHeads)",
          wanted: "a multiple of the \(keyHeads) key heads"))
    }
    guard inner == valueHeads * size, size % 16 == 0, inner % 32 == 0 else {
      throw keys.failure(
        .badHyperparameter(
          key: keys.full("ssm.inner_size"), found: "\(inner)",
          wanted: "\(valueHeads) heads of \(size), a multiple of 16, and in all of 32"))
    }
  }
}

extension TensorReader {
  /// The gated delta rule over `normed`, into `output`.
  func deltaNet(_ sharing: Recur.Sharing) throws(ModelError) -> [Operation] {
    let s = try DeltaSizes(keys)
    let e = shape.embeddingLength
    return try [
      multiply(.normed, "attn_qkv", e, s.fusedLength, into: .fused),
      multiply(.normed, "attn_gate", e, s.valueLength, into: .gate),
      multiply(.normed, "ssm_alpha", e, s.valueHeads, into: .step),
      multiply(.normed, "ssm_beta", e, s.valueHeads, into: .strength),
    ] + recurrence(s, sharing)
  }

  /// From what the products gave (`fused`, `gate`, `step`, `strength`) to `output`.
  func recurrence(_ s: DeltaSizes, _ sharing: Recur.Sharing) throws(ModelError) -> [Operation] {
    let (keys, values) = (s.keyLength, s.valueLength)
    return try [
      .convolve(
        .fused, by: taps(s), channels: s.fusedLength, taps: s.taps, activates: true),
      .slice(.fused, 0..<keys, of: s.fusedLength, into: .query),
      .slice(.fused, keys..<(2 * keys), of: s.fusedLength, into: .key),
      .slice(.fused, (2 * keys)..<(2 * keys + values), of: s.fusedLength, into: .value),
    ] + rule(s, sharing)
  }

  /// What a convolution of queries, keys and values multiplies: (channels, taps).
  func taps(_ s: DeltaSizes) throws(ModelError) -> Vector {
    try vector("ssm_conv1d.weight", shape: [s.taps, s.fusedLength])
  }

  /// From convolved queries, keys and values, and `gate`, `step` and `strength`, to `output`.
  func rule(_ s: DeltaSizes, _ sharing: Recur.Sharing) throws(ModelError) -> [Operation] {
    let values = s.valueLength
    return try [
      .unit(
        .query, heads: s.keyHeads, of: s.size, epsilon: shape.normEpsilon,
        scale: Float(1 / Double(s.size).squareRoot())),
      .unit(.key, heads: s.keyHeads, of: s.size, epsilon: shape.normEpsilon),
      .softplus(.step, plus: vector("ssm_dt.bias", s.valueHeads)),
      .recur(
        Recur(
          query: .query, key: .key, value: .value, step: .step, into: .attended,
          rule: .delta(strength: .strength), rates: vector("ssm_a", s.valueHeads), heads: s.valueHeads,
          keyHeads: s.keyHeads, sharing: sharing, keySize: s.size, valueSize: s.size)),
      .norm(
        .attended, by: vector("ssm_norm.weight", s.size), parts: s.valueHeads, epsilon: shape.normEpsilon,
        into: .attended),
      .gate(.gate, .silu, times: .attended, width: values),
      multiply(.gate, "ssm_out", values, shape.embeddingLength, into: .output),
    ]
  }

  /// Attention over `normed` whose result is multiplied by a gate's sigmoid, into `output`. Rows of
  /// the query matrix are, head by head, the query's and then the gate's.
  func gatedAttention() throws(ModelError) -> [Operation] {
    let (e, q, k, size, heads) = (
      shape.embeddingLength, shape.queryLength, shape.keyLength, shape.headSize, shape.headCount
    )
    return try [
      multiply(.normed, "attn_q", e, 2 * q, into: .fused),
      multiply(.normed, "attn_k", e, k, into: .key),
      multiply(.normed, "attn_v", e, k, into: .value),
      .slice(.fused, 0..<size, ofEach: 2 * size, parts: heads, into: .query),
      .slice(.fused, size..<(2 * size), ofEach: 2 * size, parts: heads, into: .gate),
    ] + headNorms() + rotations(.halves) + [
      attend(), .gate(.gate, .sigmoid, times: .attended, width: q),
      multiply(.gate, "attn_output", q, e, into: .output),
    ]
  }
}
