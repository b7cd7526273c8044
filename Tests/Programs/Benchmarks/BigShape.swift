// BigShape.swift: the tensors and keys of the files that BigModel writes: widths of models that people run, with so few layers
// that a file is about a gigabyte.

/// A model's widths: what its file says of itself, and its tensors.
struct BigShape {
  enum Kind: UInt32 {
    case f32 = 0
    case q4K = 12
    case q6K = 14

    func bytes(_ count: Int) -> Int {
      switch self {
      case .f32: count * 4
      case .q4K: count / 256 * 144
      case .q6K: count / 256 * 210
      }
    }
  }

  /// What F32 numbers are; the other kinds have random bits.
  enum Filling {
    case all(Float)
    /// between -0.05 and 0.05
    case random
  }

  struct Tensor {
    let name: String
    let extents: [Int]
    let kind: Kind
    let filling: Filling
    var bytes: Int { kind.bytes(extents.reduce(1, *)) }
  }

  enum Value {
    case text(String)
    case number(Int)
    case real(Float)
    case numbers([Int])
  }

  let architecture: String
  let name: String
  /// Keys without the architecture's name before them.
  let keys: [(String, Value)]
  let tensors: [Tensor]

  static let names = ["llama", "qwen3moe", "qwen35"]

  static func named(_ name: String) -> BigShape? {
    switch name {
    case "llama": llama
    case "qwen3moe": qwen3moe
    case "qwen35": qwen35
    default: nil
    }
  }
}

private typealias Tensor = BigShape.Tensor

/// The tensors of one layer, or of none.
private struct Tensors {
  var list: [Tensor] = []
  var prefix = ""

  mutating func matrix(_ name: String, _ extents: Int..., kind: BigShape.Kind = .q4K) {
    list.append(Tensor(name: prefix + name + ".weight", extents: extents, kind: kind, filling: .all(1)))
  }

  mutating func vector(_ name: String, _ extents: Int..., filling: BigShape.Filling = .all(1)) {
    list.append(Tensor(name: prefix + name, extents: extents, kind: .f32, filling: filling))
  }
}

extension BigShape {
  /// Llama 3.2 1B; the original has 16 layers.
  private static var llama: BigShape {
    let (e, f, k, layers, vocabulary) = (2_048, 8_192, 512, 24, 128_256)
    var t = Tensors()
    t.matrix("token_embd", e, vocabulary, kind: .q6K)
    t.vector("output_norm.weight", e)
    for layer in 0..<layers {
      t.prefix = "blk.\(layer)."
      t.vector("attn_norm.weight", e)
      t.matrix("attn_q", e, e)
      t.matrix("attn_k", e, k)
      t.matrix("attn_v", e, k)
      t.matrix("attn_output", e, e)
      t.vector("ffn_norm.weight", e)
      t.matrix("ffn_gate", e, f)
      t.matrix("ffn_up", e, f)
      t.matrix("ffn_down", f, e)
    }
    return BigShape(
      architecture: "llama", name: "random 1B shape",
      keys: [
        ("block_count", .number(layers)), ("context_length", .number(8_192)),
        ("embedding_length", .number(e)), ("feed_forward_length", .number(f)),
        ("attention.head_count", .number(32)), ("attention.head_count_kv", .number(8)),
        ("attention.layer_norm_rms_epsilon", .real(1e-5)), ("rope.freq_base", .real(500_000)),
        ("vocab_size", .number(vocabulary)),
      ], tensors: t.list)
  }

  /// Qwen3-30B-A3B; the original has 48 layers.
  private static var qwen3moe: BigShape {
    let (e, f, experts, layers, vocabulary) = (2_048, 768, 128, 2, 151_936)
    var t = Tensors()
    t.matrix("token_embd", e, vocabulary)
    t.matrix("output", e, vocabulary, kind: .q6K)
    t.vector("output_norm.weight", e)
    for layer in 0..<layers {
      t.prefix = "blk.\(layer)."
      t.vector("attn_norm.weight", e)
      t.matrix("attn_q", e, 4_096)
      t.matrix("attn_k", e, 512)
      t.matrix("attn_v", e, 512)
      t.vector("attn_q_norm.weight", 128)
      t.vector("attn_k_norm.weight", 128)
      t.matrix("attn_output", 4_096, e)
      t.vector("ffn_norm.weight", e)
      t.vector("ffn_gate_inp.weight", e, experts, filling: .random)
      t.matrix("ffn_gate_exps", e, f, experts)
      t.matrix("ffn_up_exps", e, f, experts)
      t.matrix("ffn_down_exps", f, e, experts)
    }
    return BigShape(
      architecture: "qwen3moe", name: "random 30B-A3B shape",
      keys: [
        ("block_count", .number(layers)), ("context_length", .number(8_192)),
        ("embedding_length", .number(e)), ("feed_forward_length", .number(6_144)),
        ("attention.head_count", .number(32)), ("attention.head_count_kv", .number(4)),
        ("attention.key_length", .number(128)), ("attention.value_length", .number(128)),
        ("attention.layer_norm_rms_epsilon", .real(1e-6)), ("rope.freq_base", .real(1_000_000)),
        ("expert_count", .number(experts)), ("expert_used_count", .number(8)),
        ("expert_feed_forward_length", .number(f)), ("vocab_size", .number(vocabulary)),
      ], tensors: t.list)
  }

  /// Qwen3.5 4B; the original has 32 layers.
  private static var qwen35: BigShape {
    let (e, f, layers, vocabulary) = (2_560, 9_216, 8, 248_320)
    // heads of keys and of values, and their size, in layers with a recurrent state
    let (keyHeads, valueHeads, size) = (16, 32, 128)
    let channels = (2 * keyHeads + valueHeads) * size
    var t = Tensors()
    t.matrix("token_embd", e, vocabulary, kind: .q6K)
    t.vector("output_norm.weight", e)
    for layer in 0..<layers {
      t.prefix = "blk.\(layer)."
      t.vector("attn_norm.weight", e)
      if (layer + 1) % 4 == 0 {
        t.matrix("attn_q", e, 2 * 16 * 256)
        t.matrix("attn_k", e, 4 * 256)
        t.matrix("attn_v", e, 4 * 256)
        t.vector("attn_q_norm.weight", 256)
        t.vector("attn_k_norm.weight", 256)
        t.matrix("attn_output", 16 * 256, e)
      } else {
        t.matrix("attn_qkv", e, channels)
        t.matrix("attn_gate", e, valueHeads * size)
        t.vector("ssm_conv1d.weight", 4, channels, filling: .random)
        t.vector("ssm_dt.bias", valueHeads, filling: .random)
        t.vector("ssm_a", valueHeads, filling: .all(-0.5))
        t.matrix("ssm_alpha", e, valueHeads)
        t.matrix("ssm_beta", e, valueHeads)
        t.vector("ssm_norm.weight", size)
        t.matrix("ssm_out", valueHeads * size, e)
      }
      t.vector("post_attention_norm.weight", e)
      t.matrix("ffn_gate", e, f)
      t.matrix("ffn_up", e, f)
      t.matrix("ffn_down", f, e)
    }
    return BigShape(
      architecture: "qwen35", name: "random Qwen3.5 4B shape",
      keys: [
        ("block_count", .number(layers)), ("context_length", .number(8_192)),
        ("embedding_length", .number(e)), ("feed_forward_length", .number(f)),
        ("attention.head_count", .number(16)), ("attention.head_count_kv", .number(4)),
        ("attention.key_length", .number(256)), ("attention.value_length", .number(256)),
        ("attention.layer_norm_rms_epsilon", .real(1e-6)), ("rope.freq_base", .real(10_000_000)),
        ("rope.dimension_count", .number(64)), ("rope.dimension_sections", .numbers([11, 11, 10, 0])),
        ("ssm.conv_kernel", .number(4)), ("ssm.state_size", .number(size)),
        ("ssm.group_count", .number(keyHeads)), ("ssm.time_step_rank", .number(valueHeads)),
        ("ssm.inner_size", .number(valueHeads * size)), ("full_attention_interval", .number(4)),
        ("vocab_size", .number(vocabulary)),
      ], tensors: t.list)
  }
}
