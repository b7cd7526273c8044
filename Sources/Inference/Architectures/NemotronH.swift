// NemotronH.swift: Nemotron-H (Blakeman et al. 2025, https://arxiv.org/abs/2504.03624) and Nemotron 3
// (NVIDIA 2025, https://arxiv.org/abs/2512.20848): each layer is one of Mamba-2, attention that does
// not rotate, and a network without a gate, which may be a mixture. The file says which by its
// numbers of key and value heads and of a network's width, of which 0 means none.

extension Architecture {
  package static let nemotronH = Architecture(
    name: "nemotron_h",
    shape: { keys throws(ModelError) in
      try keys.refuseExperts()
      return try hybrid(keys)
    },
    layer: { index, t throws(ModelError) in
      try nemotronLayer(index, t) { width throws(ModelError) in
        try t.plainNetwork(from: .normed, .squaredRelu, bias: .optional, width: width)
      }
    })

  package static let nemotronHMoE = Architecture(
    name: "nemotron_h_moe", shape: hybrid,
    layer: { index, t throws(ModelError) in
      try nemotronLayer(index, t) { width throws(ModelError) in
        try t.mixture(nemotronMixture(t, width: width), from: .normed)
      }
    })

  private static let hybrid: @Sendable (MetadataReader) throws(ModelError) -> Hyperparameters = {
    keys throws(ModelError) in
    let count = try keys.required("block_count", 1...1_024)
    // The layers that attend are alike, as are the networks.
    func only(_ key: String, _ most: Int) throws(ModelError) -> Int {
      guard let numbers = try keys.each(key, layers: count, 0...most) else {
        throw keys.failure(.missingKey(keys.full(key)))
      }
      let kinds = Set(numbers.filter { $0 > 0 })
      guard kinds.count == 1, let kind = kinds.first else {
        throw keys.failure(
          .badHyperparameter(
            key: keys.full(key), found: kinds.isEmpty ? "0 in every layer" : "\(kinds.sorted())",
            wanted: "0 or one other number in each layer"))
      }
      return kind
    }
    try keys.refuseWindow(below: keys.required("context_length", 1...16_777_216))
    let newer = "attention.layer_norm_rms_epsilon"
    return try Hyperparameters(
      dense: keys, kvHeadCount: only("attention.head_count_kv", 1_024),
      feedForwardLength: only("feed_forward_length", 1_048_576),
      epsilonKey: keys.file.metadata[keys.full(newer)] == nil ? "attention.layer_norm_epsilon" : newer)
  }

  private static func nemotronLayer(
    _ index: Int, _ t: TensorReader, network: (_ width: Int) throws(ModelError) -> [Operation]
  ) throws(ModelError) -> [Operation] {
    let layers = t.shape.layerCount
    let heads = try t.keys.each("attention.head_count_kv", layers: layers, 0...1_024)?[index] ?? 0
    let width = try t.keys.each("feed_forward_length", layers: layers, 0...1_048_576)?[index] ?? 0
    let kind: [Operation]
    if width > 0 {
      kind = try network(width)
    } else if heads > 0 {
      let scale = try t.keys.number("attention.scale", from: 0, to: 1e6) ?? 0
      kind =
        try t.projections(from: .normed, bias: .optional)
        + [t.attend(scale: scale > 0 ? scale : nil), t.attentionOutput(bias: .optional)]
    } else {
      kind = try t.mamba2()
    }
    return try [t.norm(.stream, "attn_norm", into: .normed)] + kind + [t.add(.output, to: .stream)]
  }

  private static func nemotronMixture(_ t: TensorReader, width: Int) throws(ModelError) -> Mixture {
    if let groups = try t.keys.optional("expert_group_count", 0...1_024), groups > 1 {
      throw t.keys.failure(.unsupportedFeature("experts are chosen within \(groups) groups"))
    }
    return Mixture(
      width: try t.keys.width("expert_feed_forward_length") ?? width,
      gating: try t.keys.gating(unlessGiven: .sigmoid),
      isNormalised: try t.keys.flag("expert_weights_norm") ?? false,
      scale: try t.keys.number("expert_weights_scale", from: 1e-6, to: 1e6) ?? 1,
      activation: .plain(.squaredRelu),
      sharedWidth: try t.keys.width("expert_shared_feed_forward_length") ?? 0,
      latentWidth: try t.keys.width("moe_latent_size") ?? 0)
  }
}
