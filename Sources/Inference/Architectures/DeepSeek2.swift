// DeepSeek2.swift: DeepSeek V2, V3 and R1, Kimi K2, GLM 4.7 Flash (DeepSeek-AI 2024,
// https://arxiv.org/abs/2405.04434 and https://arxiv.org/abs/2412.19437): latent attention, whose cache
// holds one vector for all heads, and experts chosen in groups. Start at DeepSeek2.operations.

import CKernels

extension Architecture {
  package static let deepseek2 = Architecture(
    name: "deepseek2",
    shape: { keys throws(ModelError) in
      let lengths = try DeepSeek2.Lengths(keys)
      let shape = try Hyperparameters(dense: keys, headSize: lengths.attended)
      try keys.refuseWindow(below: shape.contextLength)
      return shape
    },
    layer: { index, t throws(ModelError) in
      try DeepSeek2(t).operations(index, t)
    })
}

private struct DeepSeek2 {
  /// Of the parts of heads.
  struct Lengths {
    /// What a key has from the latent vector, without a position.
    let plain: Int
    let rotary: Int
    let value: Int
    let latent: Int
    /// Whether the file has matrices for single heads, with which keys and values need not be
    /// computed.
    let isAbsorbed: Bool
    /// Of the heads that attention works on.
    var attended: Int { isAbsorbed ? latent + rotary : max(plain + rotary, value) }

    init(_ keys: MetadataReader) throws(ModelError) {
      func length(_ name: String) throws(ModelError) -> Int {
        if let own = try keys.optional("attention.\(name)_mla", 16...576) { return own }
        return try keys.required("attention.\(name)", 16...576)
      }
      rotary = try keys.required("rope.dimension_count", 16...512)
      latent = try keys.required("attention.kv_lora_rank", 32...560)
      let key = try length("key_length")
      value = try length("value_length")
      plain = key - rotary
      for (name, number, multiple) in [
        ("attention.kv_lora_rank", latent, 32), ("rope.dimension_count", rotary, 16),
        ("attention.key_length", key, 16), ("attention.value_length", value, 16),
        ("attention.key_length less rope.dimension_count", plain, 32),
      ] where number <= 0 || number % multiple != 0 {
        throw keys.failure(
          .badHyperparameter(
            key: keys.full(name), found: "\(number)", wanted: "a multiple of \(multiple)"))
      }
      isAbsorbed = keys.file.tensor("blk.0.attn_kv_b.weight") == nil
    }
  }

  let lengths: Lengths
  let heads: Int
  let angles: RotaryAngles
  let scale: Double

  init(_ t: TensorReader) throws(ModelError) {
    let (s, keys) = (t.shape, t.keys)
    lengths = try Lengths(keys)
    heads = s.headCount
    // With a factor of its own for scores the rotated part is not multiplied.
    let weight = try keys.number("rope.scaling.yarn_log_multiplier", from: 0, to: 1e3)
    let own = s.yarn.flatMap { yarn in weight.map { 1 + $0 * ck_log(yarn.factor) } }
    let magnitude = own ?? s.rotaryMagnitude
    angles = RotaryAngles(
      pairs: lengths.rotary / 2, base: s.rotaryBase, scale: s.rotaryScale, yarn: s.yarn,
      magnitude: own == nil ? s.rotaryMagnitude : 1)
    scale = magnitude * magnitude / Double(lengths.plain + lengths.rotary).squareRoot()
  }

  func operations(_ index: Int, _ t: TensorReader) throws(ModelError) -> [Operation] {
    let dense = try t.keys.optional("leading_dense_block_count", 0...1_024) ?? 0
    return try [t.norm(.stream, "attn_norm", into: .normed)] + queries(t) + attention(t)
      + [t.add(.output, to: .stream), t.norm(.stream, "ffn_norm", into: .normed)]
      + (index < dense ? t.network(from: .normed) : t.mixture(mixture(t), from: .normed))
      + [t.add(.output, to: .stream)]
  }

  /// The queries and the latent vector, normalised, each with its rotated part.
  private func queries(_ t: TensorReader) throws(ModelError) -> [Operation] {
    let (e, l) = (t.shape.embeddingLength, lengths)
    let size = l.plain + l.rotary
    func norm(_ name: String, _ count: Int) throws(ModelError) -> Operation {
      .norm(.latent, by: try t.vector("\(name).weight", count), epsilon: t.shape.normEpsilon, into: .latent)
    }
    var list: [Operation]
    if let rank = try t.keys.width("attention.q_lora_rank") {
      list = [
        try t.multiply(.normed, "attn_q_a", e, rank, into: .latent), try norm("attn_q_a_norm", rank),
        try t.multiply(.latent, "attn_q_b", rank, heads * size, into: .query),
      ]
    } else {
      list = [try t.multiply(.normed, "attn_q", e, heads * size, into: .query)]
    }
    let both = l.latent + l.rotary
    list += [
      try t.multiply(.normed, "attn_kv_a_mqa", e, rows: 0..<l.latent, of: both, into: .latent),
      try t.multiply(.normed, "attn_kv_a_mqa", e, rows: l.latent..<both, of: both, into: .turned),
      try norm("attn_kv_a_norm", l.latent),
      .rotate(.query, heads: heads, of: size, from: l.plain, .neighbours, angles),
      .rotate(.turned, heads: 1, of: l.rotary, .neighbours, angles),
    ]
    return list
  }

  private func attention(_ t: TensorReader) throws(ModelError) -> [Operation] {
    let (l, size) = (lengths, lengths.attended)
    func attend(_ query: Row, on kvHeads: Int) -> Operation {
      .attend(
        query, to: .key, .value, heads: heads, on: kvHeads, of: size, scale: Float(scale), into: .attended)
    }
    func output(_ row: Row) throws(ModelError) -> Operation {
      try t.multiply(row, "attn_output", heads * l.value, t.shape.embeddingLength, into: .output)
    }
    guard l.isAbsorbed else {
      let each = l.plain + l.value
      return [
        try t.multiply(.latent, "attn_kv_b", l.latent, heads * each, into: .parts),
        .assemble(
          heads: heads, of: size, Assemble.Part(.parts, l.plain, every: each),
          Assemble.Part(.turned, l.rotary), into: .key),
        .assemble(
          heads: heads, of: size, Assemble.Part(.parts, l.value, from: l.plain, every: each), into: .value),
        .assemble(
          heads: heads, of: size, Assemble.Part(.query, l.plain + l.rotary, every: l.plain + l.rotary),
          into: .whole),
        attend(.whole, on: heads),
        .assemble(heads: heads, of: l.value, Assemble.Part(.attended, l.value, every: size), into: .parts),
        try output(.parts),
      ]
    }
    return [
      .multiplyHeads(
        .query, every: l.plain + l.rotary,
        by: try t.experts("attn_k_b.weight", l.plain, l.latent, count: heads), into: .parts),
      .assemble(
        heads: heads, of: size, Assemble.Part(.parts, l.latent, every: l.latent),
        Assemble.Part(.query, l.rotary, from: l.plain, every: l.plain + l.rotary), into: .whole),
      .assemble(
        heads: 1, of: size, Assemble.Part(.latent, l.latent), Assemble.Part(.turned, l.rotary), into: .key),
      .assemble(heads: 1, of: size, Assemble.Part(.latent, l.latent), into: .value),
      attend(.whole, on: 1),
      .multiplyHeads(
        .attended, every: size, by: try t.experts("attn_v_b.weight", l.latent, l.value, count: heads),
        into: .parts),
      try output(.parts),
    ]
  }

  private func mixture(_ t: TensorReader) throws(ModelError) -> Mixture {
    let keys = t.keys
    let width = try t.expertWidth()
    // As in llama.cpp, 0 is none.
    let scale = try keys.number("expert_weights_scale", from: 0, to: 1e6) ?? 1
    let groups = try keys.optional("expert_group_count", 0...1_024) ?? 0
    return Mixture(
      width: width, gating: try keys.gating(unlessGiven: .softmax),
      groups: groups > 1
        ? Route.Groups(count: groups, chosen: try keys.required("expert_group_used_count", 1...groups)) : nil,
      isNormalised: try keys.flag("expert_weights_norm") ?? false,
      scale: scale == 0 ? 1 : scale,
      sharedWidth: width * (try keys.optional("expert_shared_count", 0...1_024) ?? 0))
  }
}
