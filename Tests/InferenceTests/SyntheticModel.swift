// SyntheticModel.swift: small models made in memory from a seed, in any mix of quantisation types, as GGUF bytes.
// They let the conformance digests be tested where no real model is. Start at SyntheticModel.bytes().

import CKernels
import Fuzzing
import Inference

/// SplitMix64: the tests' generator, so that a seed means the same weights everywhere.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// In [-1, 1).
  mutating func signed() -> Float { Float(Int32(truncatingIfNeeded: next() >> 32)) * 0x1p-31 }
}

struct SyntheticModel {
  var architecture = "llama"
  var layers = 2
  var embedding = 256
  var feedForward = 512
  var heads = 4
  var kvHeads = 2
  var headSize = 64
  var vocabulary = 320
  var context = 2_048
  var isTied = false
  var hasRotaryFactors = false
  /// How many elements of a head are rotated; nil: all.
  var rotated: Int?
  /// Taken in turn for the matrices.
  var types: [GGUFTensorType] = [.q41]
  /// Writes the matrices' values as F32.
  var isDequantised = false
  var seed: UInt64 = 1
  /// nil: every network is dense.
  var experts: Experts?
  /// Replaces a metadata value, removes a tensor, or changes extents: for tests of refusals.
  var integers: [String: UInt32] = [:]
  /// More metadata, by keys without the architecture.
  var numbers: [String: Float] = [:]
  var strings: [String: String] = [:]
  /// Numbers and flags of each layer, by whole keys.
  var lists: [String: [Int32]] = [:]
  var flags: [String: [Bool]] = [:]
  var without: Set<String> = []
  var extents: [String: [Int]] = [:]
  var extra: [String: [Int]] = [:]
  /// Vectors whose numbers are all the same.
  var constants: [String: Float] = [:]

  private var hasLayerNorm: Bool { ["starcoder2", "nemotron", "cohere2"].contains(architecture) }
  private var hasLayerEmbeddings: Bool {
    (integers["\(architecture).embedding_length_per_layer_input"] ?? 0) > 0
  }
  /// Gate and network are one matrix, as are query, key and value.
  private var isFused: Bool { ["phi3", "glm4"].contains(architecture) }

  /// Mixtures of experts, from a layer on.
  struct Experts {
    var count = 6
    var chosen = 2
    var width = 32
    var first = 0
    /// Every so many layers one is a mixture.
    var every = 1
    var sharedWidth = 0
    var isMerged = false
    var hasChoiceBias = false
    var hasBiases = false
    /// What experts multiply and give, where that is not the embedding's width; 0: it is.
    var latentWidth = 0
  }

  private struct Tensor {
    let name: String
    let extents: [Int]
    let type: GGUFTensorType
    let bytes: [UInt8]
  }

  func bytes() -> [UInt8] {
    var out: [UInt8] = []
    func put<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { out += $0 } }
    func put(_ text: String) {
      put(UInt64(text.utf8.count))
      out += text.utf8
    }
    let tensors = tensors()
    var numbers: [String: Float] = [
      "\(architecture).attention.\(hasLayerNorm ? "layer_norm_epsilon" : "layer_norm_rms_epsilon")": 1e-5,
      "\(architecture).rope.freq_base": 10_000,
    ]
    for (key, value) in self.numbers { numbers["\(architecture).\(key)"] = value }
    var integers: [String: UInt32] = [
      "\(architecture).block_count": UInt32(layers), "\(architecture).context_length": UInt32(context),
      "\(architecture).embedding_length": UInt32(embedding),
      "\(architecture).feed_forward_length": UInt32(feedForward),
      "\(architecture).attention.head_count": UInt32(heads),
      "\(architecture).attention.head_count_kv": UInt32(kvHeads),
      "\(architecture).attention.key_length": UInt32(headSize),
      "\(architecture).attention.value_length": UInt32(headSize),
    ]
    if let experts {
      integers["\(architecture).expert_count"] = UInt32(experts.count)
      integers["\(architecture).expert_used_count"] = UInt32(experts.chosen)
      integers["\(architecture).expert_feed_forward_length"] = UInt32(experts.width)
      integers["\(architecture).expert_shared_feed_forward_length"] = UInt32(experts.sharedWidth)
      integers["\(architecture).leading_dense_block_count"] = UInt32(experts.first)
      integers["\(architecture).interleave_moe_layer_step"] = UInt32(experts.every)
      integers["\(architecture).moe_latent_size"] = UInt32(experts.latentWidth)
    }
    if let rotated { integers["\(architecture).rope.dimension_count"] = UInt32(rotated) }
    integers.merge(self.integers) { $1 }
    integers = integers.filter { !without.contains($0.key) && lists[$0.key] == nil }
    var strings = ["general.architecture": architecture]
    strings.merge(self.strings) { $1 }
    out += "GGUF".utf8
    put(UInt32(3))
    put(UInt64(tensors.count))
    put(UInt64(numbers.count + integers.count + strings.count + lists.count + flags.count))
    for (key, value) in strings.sorted(by: { $0.key < $1.key }) {
      put(key)
      put(UInt32(8))
      put(value)
    }
    for (key, value) in integers.sorted(by: { $0.key < $1.key }) {
      put(key)
      put(UInt32(4))
      put(value)
    }
    for (key, value) in numbers.sorted(by: { $0.key < $1.key }) {
      put(key)
      put(UInt32(6))
      put(value.bitPattern)
    }
    for (key, values) in lists.sorted(by: { $0.key < $1.key }) {
      put(key)
      for number in [9, 5] as [UInt32] { put(number) }
      put(UInt64(values.count))
      for value in values { put(value) }
    }
    for (key, values) in flags.sorted(by: { $0.key < $1.key }) {
      put(key)
      for number in [9, 7] as [UInt32] { put(number) }
      put(UInt64(values.count))
      for value in values { put(value ? UInt8(1) : 0) }
    }
    var offset = 0
    for tensor in tensors {
      put(tensor.name)
      put(UInt32(tensor.extents.count))
      for extent in tensor.extents { put(UInt64(extent)) }
      put(tensor.type.rawValue)
      put(UInt64(offset))
      offset += (tensor.bytes.count + 31) / 32 * 32
    }
    func pad() { while out.count % 32 != 0 { out.append(0) } }
    pad()
    for tensor in tensors {
      out += tensor.bytes
      pad()
    }
    return out
  }

  func model(threads: Int? = nil) throws -> Model {
    try Model(file: GGUFFile(bytes: bytes(), name: "synthetic.gguf"), threads: threads)
  }

  private func tensors() -> [Tensor] {
    var random = SplitMix(state: seed)
    var list: [Tensor] = []
    var turn = 0
    func add(_ name: String, _ shape: [Int], _ make: ([Int]) -> (GGUFTensorType, [UInt8])) {
      let extents = extents[name] ?? shape
      let (type, bytes) = make(extents)
      if !without.contains(name) {
        list.append(Tensor(name: name, extents: extents, type: type, bytes: bytes))
      }
    }
    func matrix(_ name: String, _ columns: Int, _ rows: Int, experts: Int? = nil) {
      let type = types[turn % types.count]
      turn += 1
      add(name, [columns, rows] + (experts.map { [$0] } ?? [])) { extents in
        let count = extents.reduce(1, *)
        let bytes = Self.weights(type, count, columns: columns, &random)
        return isDequantised ? (.f32, Self.dequantised(bytes, type, count)) : (type, bytes)
      }
    }
    func vector(_ name: String, _ count: Int, around middle: Float, by spread: Float) {
      table(name, [count], around: middle, by: spread)
    }
    func table(_ name: String, _ shape: [Int], around middle: Float, by spread: Float) {
      add(name, shape) { extents in
        (
          .f32,
          (0..<extents.reduce(1, *)).flatMap { _ in
            let value = middle + spread * random.signed()
            return Self.raw((constants[name] ?? value).bitPattern)
          }
        )
      }
    }
    func network(_ b: String) {
      matrix("\(b).ffn_gate.weight", embedding, feedForward)
      matrix("\(b).ffn_up.weight", embedding, feedForward)
      matrix("\(b).ffn_down.weight", feedForward, embedding)
    }
    func qwen35(_ b: String, isLinear: Bool) {
      let (size, keyHeads, heads) = (
        number("ssm.state_size"), number("ssm.group_count"), number("ssm.time_step_rank")
      )
      vector("\(b).attn_norm.weight", embedding, around: 1, by: 0.3)
      if isLinear {
        let mixed = (2 * keyHeads + heads) * size
        matrix("\(b).attn_qkv.weight", embedding, mixed)
        matrix("\(b).attn_gate.weight", embedding, heads * size)
        if architecture == "qwen3next" {
          matrix("\(b).ssm_ba.weight", embedding, 2 * heads)
        } else {
          matrix("\(b).ssm_alpha.weight", embedding, heads)
          matrix("\(b).ssm_beta.weight", embedding, heads)
        }
        table("\(b).ssm_conv1d.weight", [number("ssm.conv_kernel"), mixed], around: 0.2, by: 0.5)
        vector("\(b).ssm_dt.bias", heads, around: 0, by: 1)
        vector("\(b).ssm_a", heads, around: -1, by: 0.9)
        vector("\(b).ssm_norm.weight", size, around: 1, by: 0.3)
        matrix("\(b).ssm_out.weight", heads * size, embedding)
      } else {
        matrix("\(b).attn_q.weight", embedding, 2 * self.heads * headSize)
        matrix("\(b).attn_k.weight", embedding, kvHeads * headSize)
        matrix("\(b).attn_v.weight", embedding, kvHeads * headSize)
        vector("\(b).attn_q_norm.weight", headSize, around: 1, by: 0.3)
        vector("\(b).attn_k_norm.weight", headSize, around: 1, by: 0.3)
        matrix("\(b).attn_output.weight", self.heads * headSize, embedding)
      }
      vector("\(b).post_attention_norm.weight", embedding, around: 1, by: 0.3)
      if let experts { mixture(b, experts) } else { network(b) }
    }
    func lfm2(_ b: String, kvHeads: Int) {
      vector("\(b).attn_norm.weight", embedding, around: 1, by: 0.3)
      if kvHeads == 0 {
        matrix("\(b).shortconv.in_proj.weight", embedding, 3 * embedding)
        table("\(b).shortconv.conv.weight", [number("shortconv.l_cache"), embedding], around: 0.3, by: 0.5)
        matrix("\(b).shortconv.out_proj.weight", embedding, embedding)
      } else {
        attention(b)
        vector("\(b).attn_q_norm.weight", headSize, around: 1, by: 0.3)
        vector("\(b).attn_k_norm.weight", headSize, around: 1, by: 0.3)
      }
      vector("\(b).ffn_norm.weight", embedding, around: 1, by: 0.3)
      network(b)
    }
    func attention(_ b: String) {
      matrix("\(b).attn_q.weight", embedding, heads * headSize)
      matrix("\(b).attn_k.weight", embedding, kvHeads * headSize)
      matrix("\(b).attn_v.weight", embedding, kvHeads * headSize)
      matrix("\(b).attn_output.weight", heads * headSize, embedding)
    }
    func mamba2(_ b: String) {
      let (inner, size, groups, heads) = (
        number("ssm.inner_size"), number("ssm.state_size"), number("ssm.group_count"),
        number("ssm.time_step_rank")
      )
      let convolved = inner + 2 * groups * size
      matrix("\(b).ssm_in.weight", embedding, inner + convolved + heads)
      table("\(b).ssm_conv1d.weight", [number("ssm.conv_kernel"), convolved], around: 0.2, by: 0.5)
      vector("\(b).ssm_conv1d.bias", convolved, around: 0, by: 0.3)
      vector("\(b).ssm_dt.bias", heads, around: 0, by: 1)
      table("\(b).ssm_a", [1, heads], around: -1, by: 0.9)
      table("\(b).ssm_d", [1, heads], around: 0.5, by: 1)
      table("\(b).ssm_norm.weight", [inner / groups, groups], around: 1, by: 0.3)
      matrix("\(b).ssm_out.weight", inner, embedding)
    }
    func falconH1(_ b: String) {
      vector("\(b).attn_norm.weight", embedding, around: 1, by: 0.3)
      attention(b)
      mamba2(b)
      vector("\(b).ffn_norm", embedding, around: 1, by: 0.3)
      network(b)
    }
    func nemotronH(_ b: String, kvHeads: Int, feedForward: Int) {
      vector("\(b).attn_norm.weight", embedding, around: 1, by: 0.3)
      if feedForward == 0 {
        if kvHeads > 0 { attention(b) } else { mamba2(b) }
      } else if let experts {
        mixture(b, experts)
      } else {
        matrix("\(b).ffn_up.weight", embedding, feedForward)
        matrix("\(b).ffn_down.weight", feedForward, embedding)
      }
    }
    matrix("token_embd.weight", embedding, vocabulary)
    if !isTied { matrix("output.weight", embedding, vocabulary) }
    func norm(_ name: String) {
      vector("\(name).weight", embedding, around: 1, by: 0.3)
      if hasLayerNorm, architecture != "cohere2" { vector("\(name).bias", embedding, around: 0, by: 0.3) }
    }
    norm(architecture == "lfm2" ? "token_embd_norm" : "output_norm")
    if architecture == "phi3" {
      for name in ["long", "short"] {
        vector("rope_factors_\(name).weight", (rotated ?? headSize) / 2, around: 4, by: 3)
      }
    }
    if hasRotaryFactors { vector("rope_freqs.weight", headSize / 2, around: 4, by: 3) }
    if hasLayerEmbeddings {
      matrix("per_layer_model_proj.weight", embedding, layers * 32)
      matrix("per_layer_token_embd.weight", layers * 32, vocabulary)
      vector("per_layer_proj_norm.weight", 32, around: 1, by: 0.3)
    }
    /// Plain parts of 32, rotated ones of 16, a latent vector of 32, values of 16.
    func latentAttention(_ b: String) {
      let isAbsorbed = kvHeads == 1
      matrix("\(b).attn_q_a.weight", embedding, 32)
      vector("\(b).attn_q_a_norm.weight", 32, around: 1, by: 0.3)
      matrix("\(b).attn_q_b.weight", 32, heads * 48)
      matrix("\(b).attn_kv_a_mqa.weight", embedding, 48)
      vector("\(b).attn_kv_a_norm.weight", 32, around: 1, by: 0.3)
      if isAbsorbed {
        matrix("\(b).attn_k_b.weight", 32, 32, experts: heads)
        matrix("\(b).attn_v_b.weight", 32, 16, experts: heads)
      } else {
        matrix("\(b).attn_kv_b.weight", 32, heads * 48)
      }
    }
    func listed(_ key: String, _ layer: Int) -> Int? {
      let list = lists["\(architecture).\(key)"] ?? []
      return layer < list.count ? Int(list[layer]) : nil
    }
    func number(_ key: String) -> Int { Int(integers["\(architecture).\(key)"] ?? 0) }
    for i in 0..<layers {
      let b = "blk.\(i)"
      switch architecture {
      case "qwen35", "qwen35moe", "qwen3next":
        let linear = lists["\(architecture).attention.recurrent_layers"]
        qwen35(b, isLinear: linear.map { $0[i] != 0 } ?? ((i + 1) % number("full_attention_interval") != 0))
        continue
      case "lfm2":
        lfm2(b, kvHeads: listed("attention.head_count_kv", i) ?? 0)
        continue
      case "falcon-h1":
        falconH1(b)
        continue
      case "nemotron_h", "nemotron_h_moe":
        nemotronH(
          b, kvHeads: listed("attention.head_count_kv", i) ?? 0,
          feedForward: listed("feed_forward_length", i) ?? 0)
        continue
      default: break
      }
      let pattern = flags["\(architecture).attention.sliding_window_pattern"] ?? []
      let isWindowed = i < pattern.count && pattern[i]
      let windowed = isWindowed ? integers["\(architecture).attention.key_length_swa"] : nil
      let headSize = windowed.map(Int.init) ?? headSize
      let kvHeads = listed("attention.head_count_kv", i) ?? kvHeads
      let feedForward = listed("feed_forward_length", i) ?? feedForward
      let normsAfter = ["exaone4", "olmo2"].contains(architecture)
      if !normsAfter { norm("\(b).attn_norm") }
      if architecture == "deepseek2" {
        latentAttention(b)
      } else if isFused {
        matrix("\(b).attn_qkv.weight", embedding, (heads + 2 * kvHeads) * headSize)
      } else {
        matrix("\(b).attn_q.weight", embedding, heads * headSize)
        matrix("\(b).attn_k.weight", embedding, kvHeads * headSize)
        matrix("\(b).attn_v.weight", embedding, kvHeads * headSize)
      }
      if architecture == "glm4" {
        vector("\(b).attn_qkv.bias", (heads + 2 * kvHeads) * headSize, around: 0, by: 0.5)
      }
      if ["qwen2", "qwen2moe", "gpt-oss", "starcoder2", "glm4moe"].contains(architecture) {
        vector("\(b).attn_q.bias", heads * headSize, around: 0, by: 0.5)
        vector("\(b).attn_k.bias", kvHeads * headSize, around: 0, by: 0.5)
        vector("\(b).attn_v.bias", kvHeads * headSize, around: 0, by: 0.5)
      }
      if [
        "qwen3", "qwen3moe", "glm4moe", "gemma3", "gemma4", "gemma-embedding", "exaone4", "hunyuan-dense",
        "olmo2",
        "muse-glimmer",
      ].contains(architecture) {
        let isWhole = architecture == "olmo2"
        vector("\(b).attn_q_norm.weight", isWhole ? heads * headSize : headSize, around: 1, by: 0.3)
        vector("\(b).attn_k_norm.weight", isWhole ? kvHeads * headSize : headSize, around: 1, by: 0.3)
      }
      if normsAfter
        || ["gemma2", "gemma3", "gemma4", "gemma-embedding", "glm4", "muse-glimmer"].contains(architecture)
      {
        vector("\(b).post_attention_norm.weight", embedding, around: 1, by: 0.3)
        vector("\(b).post_ffw_norm.weight", embedding, around: 1, by: 0.3)
      }
      let valueSize = integers["\(architecture).attention.value_length_mla"].map(Int.init) ?? headSize
      matrix("\(b).attn_output.weight", heads * valueSize, embedding)
      if architecture == "muse-glimmer" {
        matrix("\(b).attn_gate.weight", embedding, heads * headSize)
      }
      if architecture == "gpt-oss" {
        vector("\(b).attn_output.bias", embedding, around: 0, by: 0.5)
        vector("\(b).attn_sinks.weight", heads, around: 0, by: 2)
      }
      if !normsAfter, architecture != "cohere2" {
        norm("\(b).\(["gpt-oss", "glm4moe"].contains(architecture) ? "post_attention_norm" : "ffn_norm")")
      }
      if hasLayerEmbeddings {
        matrix("\(b).inp_gate.weight", embedding, 32)
        matrix("\(b).proj.weight", 32, embedding)
        vector("\(b).post_norm.weight", embedding, around: 1, by: 0.3)
        vector("\(b).layer_output_scale.weight", 1, around: 1, by: 0.3)
      }
      let isMixture = experts.map { i >= $0.first && (i + 1) % $0.every == 0 } ?? false
      let hasBoth = isMixture && architecture == "gemma4"
      if !isMixture || hasBoth {
        let hasGate = !["starcoder2", "nemotron"].contains(architecture)
        if hasGate, !isFused { matrix("\(b).ffn_gate.weight", embedding, feedForward) }
        matrix("\(b).ffn_up.weight", embedding, isFused ? 2 * feedForward : feedForward)
        matrix("\(b).ffn_down.weight", feedForward, embedding)
        if architecture == "starcoder2" {
          vector("\(b).attn_output.bias", embedding, around: 0, by: 0.5)
          vector("\(b).ffn_up.bias", feedForward, around: 0, by: 0.5)
          vector("\(b).ffn_down.bias", embedding, around: 0, by: 0.5)
        }
      }
      guard let experts, isMixture else { continue }
      if hasBoth {
        for name in ["pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"] {
          vector("\(b).\(name).weight", embedding, around: 1, by: 0.3)
        }
        vector("\(b).ffn_gate_inp.scale", embedding, around: 1, by: 0.3)
        vector("\(b).ffn_down_exps.scale", experts.count, around: 1, by: 0.3)
      }
      mixture(b, experts)
    }
    func mixture(_ b: String, _ experts: Experts) {
      let (count, width) = (experts.count, experts.width)
      add("\(b).ffn_gate_inp.weight", [embedding, count]) {
        (.f32, Self.weights(.f32, $0.reduce(1, *), columns: embedding / 4, &random))
      }
      let hasGate = architecture != "nemotron_h_moe"
      let multiplied = experts.latentWidth > 0 ? experts.latentWidth : embedding
      if experts.isMerged {
        matrix("\(b).ffn_gate_up_exps.weight", embedding, 2 * width, experts: count)
      } else {
        if hasGate { matrix("\(b).ffn_gate_exps.weight", embedding, width, experts: count) }
        matrix("\(b).ffn_up_exps.weight", multiplied, width, experts: count)
      }
      matrix("\(b).ffn_down_exps.weight", width, multiplied, experts: count)
      if experts.latentWidth > 0 {
        matrix("\(b).ffn_latent_down.weight", embedding, experts.latentWidth)
        matrix("\(b).ffn_latent_up.weight", experts.latentWidth, embedding)
      }
      if experts.hasChoiceBias { vector("\(b).exp_probs_b.bias", count, around: 0, by: 0.1) }
      if experts.hasBiases {
        vector("\(b).ffn_gate_inp.bias", count, around: 0, by: 0.5)
        for (name, rows) in [("gate", width), ("up", width), ("down", embedding)] {
          add("\(b).ffn_\(name)_exps.bias", [rows, count]) {
            (.f32, Self.weights(.f32, $0.reduce(1, *), columns: 4, &random))
          }
        }
      }
      guard experts.sharedWidth > 0 else { return }
      if hasGate { matrix("\(b).ffn_gate_shexp.weight", embedding, experts.sharedWidth) }
      matrix("\(b).ffn_up_shexp.weight", embedding, experts.sharedWidth)
      matrix("\(b).ffn_down_shexp.weight", experts.sharedWidth, embedding)
      if ["qwen2moe", "qwen35moe", "qwen3next"].contains(architecture) {
        vector("\(b).ffn_gate_inp_shexp.weight", embedding, around: 0, by: 0.3)
      }
    }
    let inner = number("dense_2_feat_out")
    if inner > 0 {
      matrix("dense_2.weight", embedding, inner)
      matrix("dense_3.weight", inner, embedding)
    }
    for (name, shape) in extra.sorted(by: { $0.key < $1.key }) { vector(name, shape[0], around: 0, by: 1) }
    return list
  }

  private static func raw<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  private static func dequantised(_ bytes: [UInt8], _ type: GGUFTensorType, _ count: Int) -> [UInt8] {
    var values = [Float](repeating: 0, count: count)
    ck_dequantise(ck_type(type.rawValue), bytes, UInt32(count), &values)
    return values.withUnsafeBytes { Array($0) }
  }

  /// Blocks of random integers with scales that give weights a spread of about 1.5 / sqrt(columns).
  private static func weights(
    _ type: GGUFTensorType, _ count: Int, columns: Int, _ random: inout SplitMix
  ) -> [UInt8] {
    let spread = 1.5 / Float(columns).squareRoot()
    var out: [UInt8] = []
    out.reserveCapacity(count / type.blockSize * type.blockByteCount)
    func half(_ value: Float) { out += raw(Float16(value).bitPattern) }
    func bytes(_ count: Int) {
      for _ in 0..<count { out.append(UInt8(truncatingIfNeeded: random.next() >> 40)) }
    }
    /// A scale for integers of about `range` in magnitude.
    func scale(_ range: Float) -> Float { spread / range * (1.3 + random.signed() * 0.3) }
    for _ in 0..<(count / type.blockSize) {
      switch type {
      case .f32: out += raw((spread * random.signed()).bitPattern)
      case .f16: half(spread * random.signed())
      case .bf16: out += raw(UInt16((spread * random.signed()).bitPattern >> 16))
      case .q40:
        half(scale(8))
        bytes(16)
      case .q41:
        let d = scale(8)
        half(d)
        half(-7.5 * d)
        bytes(16)
      case .q50:
        half(scale(16))
        bytes(20)
      case .q51:
        let d = scale(16)
        half(d)
        half(-15.5 * d)
        bytes(20)
      case .q80:
        half(scale(128))
        bytes(32)
      case .q2K:
        bytes(80)
        half(scale(12))
        half(scale(12))
      case .q3K:
        bytes(108)
        half(scale(64))
      case .q4K:
        half(scale(240))
        half(scale(240))
        bytes(140)
      case .q5K:
        half(scale(480))
        half(scale(480))
        bytes(172)
      case .q6K:
        bytes(208)
        half(scale(2_048))
      case .iq4NL:
        half(scale(100))
        bytes(16)
      case .iq4XS:
        half(scale(1_600))
        bytes(134)
      case .mxfp4:
        // The power of two at or below the scale of the other types.
        out.append(UInt8(clamping: 128 + Int(scale(12).exponent)))
        bytes(16)
      case .iq2XXS, .iq2XS, .iq2S:
        half(scale(80))
        bytes(type.blockByteCount - 2)
      case .iq3XXS, .iq3S:
        half(scale(300))
        bytes(type.blockByteCount - 2)
      case .iq1S:
        half(scale(12))
        bytes(48)
      case .iq1M:
        bytes(48)
        // The scale is in the upper nibbles of four words.
        let bits = Float16(scale(12)).bitPattern
        for i in 0..<4 {
          let scales = UInt16(truncatingIfNeeded: random.next()) & 0xfff
          out += raw(scales | (bits >> (4 * UInt16(i))) << 12)
        }
      case .tq10, .tq20:
        bytes(type.blockByteCount - 2)
        half(scale(1))
      default: preconditionFailure("no made-up weights of type \(type.name)")
      }
    }
    return out
  }
}
