// Parts.swift: runs of operations that many architectures have in common, so that a list shows what
// is its own. Start at attention(from:pairing:) and network(from:).

extension TensorReader {
  /// The products of a row with the query, key and value matrices, which a file may have as one.
  func projections(from row: Row, bias: Bias = .none) throws(ModelError) -> [Operation] {
    let (e, q, k) = (shape.embeddingLength, shape.queryLength, shape.keyLength)
    if has("attn_qkv.weight") {
      let total = q + 2 * k
      return try [
        multiply(row, "attn_qkv", e, rows: 0..<q, of: total, bias: bias, into: .query),
        multiply(row, "attn_qkv", e, rows: q..<(q + k), of: total, bias: bias, into: .key),
        multiply(row, "attn_qkv", e, rows: (q + k)..<total, of: total, bias: bias, into: .value),
      ]
    }
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
  /// - width: nil: that of the model's networks
  func network(
    from row: Row, _ activation: Gate.Activation = .silu, bias: Bias = .none, width: Int? = nil,
    suffix: String = ""
  ) throws(ModelError) -> [Operation] {
    let (e, f) = (shape.embeddingLength, width ?? shape.feedForwardLength)
    return try [
      multiply(row, "ffn_gate\(suffix)", e, f, bias: bias, into: .gate),
      multiply(row, "ffn_up\(suffix)", e, f, bias: bias, into: .up),
      .gate(.gate, activation, times: .up, width: f),
      multiply(.gate, "ffn_down\(suffix)", f, e, bias: bias, into: .output),
    ]
  }

  /// The same where one matrix has the gate's rows, then the others.
  func fusedNetwork(from row: Row) throws(ModelError) -> [Operation] {
    let (e, f) = (shape.embeddingLength, shape.feedForwardLength)
    return try [
      multiply(row, "ffn_up", e, rows: 0..<f, of: 2 * f, into: .gate),
      multiply(row, "ffn_up", e, rows: f..<(2 * f), of: 2 * f, into: .up),
      .gate(.gate, .silu, times: .up, width: f),
      multiply(.gate, "ffn_down", f, e, into: .output),
    ]
  }

  /// The feed-forward network without a gate, into `output`.
  func plainNetwork(
    from row: Row, _ activation: Activate.Activation, bias: Bias, width: Int? = nil, suffix: String = ""
  ) throws(ModelError) -> [Operation] {
    let (e, f) = (shape.embeddingLength, width ?? shape.feedForwardLength)
    return try [
      multiply(row, "ffn_up\(suffix)", e, f, bias: bias, into: .up), .activate(.up, activation, width: f),
      multiply(.up, "ffn_down\(suffix)", f, e, bias: bias, into: .output),
    ]
  }

  /// Experts and their router, into `output` (Shazeer et al. 2017).
  func mixture(_ mixture: Mixture, from row: Row) throws(ModelError) -> [Operation] {
    let e = shape.embeddingLength
    let count = try keys.required("expert_count", 1...1_024)
    let route = try route(mixture)
    var list = [
      try multiply(row, "ffn_gate_inp", e, count, bias: mixture.hasBiases ? .required : .none, into: .router)
    ]
    if mixture.sharesByGate {
      list.append(try multiply(row, "ffn_gate_inp_shexp", e, 1, into: .share))
    }
    list.append(route)
    let hasShared = mixture.sharedWidth > 0
    if hasShared {
      list += try sharedExpert(mixture, from: row)
      if mixture.sharesByGate { list.append(.weigh(.output, bySigmoidOf: .share, width: e)) }
    }
    let sum: Row = hasShared ? .mixed : .output
    if mixture.latentWidth > 0 {
      list += try [
        multiply(row, "ffn_latent_down", e, mixture.latentWidth, into: .latent),
        expertNetworks(mixture, from: .latent, into: .parts),
        multiply(.parts, "ffn_latent_up", mixture.latentWidth, e, into: sum),
      ]
    } else {
      list.append(try expertNetworks(mixture, from: row, into: sum))
    }
    if hasShared { list.append(add(.mixed, to: .output)) }
    return list
  }

  /// What the router's product chooses, into `choices`.
  func route(_ mixture: Mixture) throws(ModelError) -> Operation {
    let count = try keys.required("expert_count", 1...1_024)
    return .route(
      .router, experts: count, chosen: try keys.required("expert_used_count", 1...count), mixture.gating,
      bias: try optionalVector("exp_probs_b.bias", count), groups: mixture.groups,
      isNormalised: mixture.isNormalised, scale: mixture.scale,
      factors: mixture.hasFactors ? try vector("ffn_down_exps.scale", count) : nil, into: .choices)
  }

  /// The expert that every token goes to, into `output`.
  private func sharedExpert(_ mixture: Mixture, from row: Row) throws(ModelError) -> [Operation] {
    switch mixture.activation {
    case .gated(let activation):
      try network(from: row, activation, width: mixture.sharedWidth, suffix: "_shexp")
    case .plain(let activation):
      try plainNetwork(
        from: row, activation, bias: .none, width: mixture.sharedWidth, suffix: "_shexp")
    }
  }

  /// The chosen experts.
  func expertNetworks(_ mixture: Mixture, from row: Row, into: Row) throws(ModelError) -> Operation {
    let e = mixture.latentWidth > 0 ? mixture.latentWidth : shape.embeddingLength
    let f = mixture.width
    let count = try keys.required("expert_count", 1...1_024)
    let chosen = try keys.required("expert_used_count", 1...count)
    let hidden: Experts.Hidden
    let isMerged = has("ffn_gate_up_exps.weight")
    switch mixture.activation {
    case .gated(let activation):
      let gate =
        isMerged
        ? try experts("ffn_gate_up_exps.weight", e, 2 * f, count: count, part: 0..<f)
        : try experts("ffn_gate_exps.weight", e, f, count: count)
      let bias = mixture.hasBiases ? try expertVectors("ffn_gate_exps.bias", f, count: count) : nil
      hidden = .gated(gate, plus: bias, activation)
    case .plain(let activation): hidden = .plain(activation)
    }
    let up =
      isMerged
      ? try experts("ffn_gate_up_exps.weight", e, 2 * f, count: count, part: f..<2 * f)
      : try experts("ffn_up_exps.weight", e, f, count: count)
    let down = try experts("ffn_down_exps.weight", f, e, count: count)
    return .experts(
      .choices, chosen: chosen, on: row, hidden, up: up,
      plus: mixture.hasBiases ? try expertVectors("ffn_up_exps.bias", f, count: count) : nil, down: down,
      plus: mixture.hasBiases ? try expertVectors("ffn_down_exps.bias", e, count: count) : nil,
      weighting: mixture.weighting, into: into)
  }

  /// A mixture where the metadata counts experts, whose width is then that of a network.
  func networkOrMixture(from row: Row) throws(ModelError) -> [Operation] {
    guard let experts = try keys.optional("expert_count", 0...1_024), experts > 0 else {
      return try network(from: row)
    }
    return try mixture(Mixture(width: shape.feedForwardLength), from: row)
  }

  /// The width of an expert, where the file does not say: a share of what a dense network would
  /// have.
  func expertWidth() throws(ModelError) -> Int {
    let chosen = try keys.required("expert_used_count", 1...1_024)
    return try keys.width("expert_feed_forward_length") ?? shape.feedForwardLength / chosen
  }

  /// Mamba-2 (Dao and Gu 2024, https://arxiv.org/abs/2405.21060) over `normed`, into `output`. A product
  /// comes apart into the gate, what is convolved (the values and, per group, what writes and what
  /// reads), and the steps.
  func mamba2() throws(ModelError) -> [Operation] {
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

  /// A norm of what a part gives, before it is added to the stream.
  func addNormed(_ name: String) throws(ModelError) -> [Operation] {
    try [norm(.output, name, into: .output), add(.output, to: .stream)]
  }

  /// The whole row of the stream times a number.
  func scaleStream(by factor: Double) -> Operation {
    .scale(.stream, by: factor, width: shape.embeddingLength)
  }
}

/// What distinguishes one mixture of experts from another; how many there are is in the metadata.
struct Mixture {
  /// Numbers between an expert's two products.
  var width: Int
  var gating: Route.Gating = .softmax
  var groups: Route.Groups?
  var isNormalised = true
  var scale = 1.0
  var activation: Activation = .gated(.silu)
  var weighting: Experts.Weighting = .output
  /// Of the router and of the experts.
  var hasBiases = false
  /// Whether each expert has a number that multiplies its weight.
  var hasFactors = false
  /// The width of the expert that every token goes to; 0: there is none.
  var sharedWidth = 0
  /// Whether a token takes a share of that expert, which a product of its own gives.
  var sharesByGate = false
  /// The width of what experts multiply and give, where that is not the stream's; 0: it is.
  var latentWidth = 0

  enum Activation {
    case gated(Gate.Activation)
    case plain(Activate.Activation)
  }
}

extension MetadataReader {
  /// How a router's numbers become weights.
  func gating(unlessGiven gating: Route.Gating) throws(ModelError) -> Route.Gating {
    switch try optional("expert_gating_func", 0...1_024) {
    case nil, 0: return gating
    case 1: return .softmax
    case 2: return .sigmoid
    case 3: return .softmaxOfChosen
    case .some(let other): throw failure(.unsupportedFeature("experts are chosen by rule \(other)"))
    }
  }

  /// The width of a network; nil where the key is absent or 0.
  func width(_ key: String) throws(ModelError) -> Int? {
    guard let width = try optional(key, 0...1_048_576), width > 0 else { return nil }
    guard width % 32 == 0 else {
      throw failure(.badHyperparameter(key: full(key), found: "\(width)", wanted: "a multiple of 32"))
    }
    return width
  }
}

extension Architecture {
  /// As `dense`, for lists with experts.
  static let withExperts: @Sendable (MetadataReader) throws(ModelError) -> Hyperparameters = {
    keys throws(ModelError) in
    let shape = try Hyperparameters(dense: keys)
    try keys.refuseWindow(below: shape.contextLength)
    return shape
  }

  /// As `dense`, for lists that say themselves which layers have windows.
  static let denseWithWindows: @Sendable (MetadataReader) throws(ModelError) -> Hyperparameters = {
    keys throws(ModelError) in
    let shape = try Hyperparameters(dense: keys)
    try keys.refuseExperts()
    return shape
  }

  /// A norm and the head, with logits times a number: the row that the head multiplies may as well
  /// be.
  static func scaledHead(_ t: TensorReader, by factor: Double) throws(ModelError) -> [Operation] {
    var list = try head(t)
    list.insert(.scale(.normed, by: factor, width: t.shape.embeddingLength), at: list.count - 1)
    return list
  }

  /// As `dense`, with LayerNorm.
  static let denseWithLayerNorm: @Sendable (MetadataReader) throws(ModelError) -> Hyperparameters = {
    keys throws(ModelError) in
    let shape = try Hyperparameters(dense: keys, norm: .layer(hasBias: true))
    try keys.refuseExperts()
    try keys.refuseWindow(below: shape.contextLength)
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
