// FalconH1.swift: Falcon-H1 (TII 2025): each layer has attention and Mamba-2 (Dao and Gu 2024) side
// by side over one norm. Its multipliers are folded into the weights of the file.

extension Architecture {
  package static let falconH1 = Architecture(
    name: "falcon-h1",
    layer: { _, t throws(ModelError) in
      let s = t.shape
      return try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed) + t.rotations(.halves)
        + [t.attend(), t.attentionOutput(), t.add(.output, to: .stream)]
        + t.mamba2() + [t.add(.output, to: .stream)]
        + [
          .norm(
            .stream, by: t.vector("ffn_norm", s.embeddingLength), epsilon: s.normEpsilon, into: .normed)
        ]
        + t.network(from: .normed) + [t.add(.output, to: .stream)]
    })
}

extension TensorReader {
  /// Mamba-2 over `normed`, into `output`. A product comes apart into the gate, what is convolved (the
  /// values and, per group, what writes and what reads), and the steps.
  fileprivate func mamba2() throws(ModelError) -> [Operation] {
    let e = shape.embeddingLength
    let inner = try keys.required("ssm.inner_size", 32...1_048_576)
    let size = try keys.required("ssm.state_size", 16...1_024)
    let heads = try keys.required("ssm.time_step_rank", 1...4_096)
    let groups = try keys.required("ssm.group_count", 1...1_024)
    let taps = try keys.required("ssm.conv_kernel", 2...8)
    guard inner % heads == 0, inner % 32 == 0, heads % groups == 0, size % 16 == 0 else {
      throw keys.failure(
        .badHyperparameter(
          key: keys.full("ssm.inner_size"), found: "\(inner) of \(heads) heads, \(groups) groups of \(size)",
          wanted: "a multiple of 32 and of the heads, these of the groups, and a state of a multiple of 16"))
    }
    let (convolved, group) = (inner + 2 * groups * size, groups * size)
    let whole = inner + convolved + heads
    let norm = try optionalVector("ssm_norm.weight", shape: [inner / groups, groups])
    return try [
      multiply(.normed, "ssm_in", e, whole, into: .fused),
      .slice(.fused, 0..<inner, of: whole, into: .gate),
      .slice(.fused, inner..<(inner + convolved), of: whole, into: .up),
      .slice(.fused, (inner + convolved)..<whole, of: whole, into: .step),
      .convolve(
        .up, by: vector("ssm_conv1d.weight", shape: [taps, convolved]),
        plus: optionalVector("ssm_conv1d.bias", convolved), channels: convolved, taps: taps, activates: true),
      .slice(.up, 0..<inner, of: convolved, into: .value),
      .slice(.up, inner..<(inner + group), of: convolved, into: .key),
      .slice(.up, (inner + group)..<convolved, of: convolved, into: .query),
      .softplus(.step, plus: vector("ssm_dt.bias", heads)),
      .recur(
        Recur(
          query: .query, key: .key, value: .value, step: .step, into: .attended,
          rule: .mamba2(skip: vector("ssm_d", shape: [1, heads])),
          rates: vector("ssm_a", shape: [1, heads]), heads: heads, keyHeads: groups, sharing: .grouped,
          keySize: size, valueSize: inner / heads)),
      .gate(.gate, .silu, times: .attended, width: inner),
    ]
      + (norm.map { [.norm(.gate, by: $0, each: groups, epsilon: shape.normEpsilon, into: .gate)] } ?? [])
      + [multiply(.gate, "ssm_out", inner, e, into: .output)]
  }
}
