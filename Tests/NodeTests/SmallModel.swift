// SmallModel.swift: a model of a few kilobytes that computes, for tests that want an engine and no download: bytes as
// its vocabulary, so that most tokens are parts of characters, and a context of 16,384. Start at SmallModel.write.
import Foundation
import Fuzzing
import Inference

enum SmallModel {
  /// Tokens 0 to 255 are the bytes; these come after them.
  static let tokens = ["<|im_start|>", "<|im_end|>"]
  /// Before a text's beginning, before its end, before its middle.
  static let infill: [Int32] = [260, 261, 262]
  static let embedding = 64
  static let vocabulary = 288

  static let template =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
  /// Prints the day too, so that a prompt depends on a clock.
  static let datedTemplate =
    "<|im_start|>system\nIt is {{ strftime_now('%d %B %Y') }}.<|im_end|>\n" + template

  /// Writes the model to a file.
  static func write(to path: String, seed: UInt64 = 1, _ form: Form = .text, template: String = template)
    throws
  {
    try Data(bytes(seed: seed, form, template: template)).write(to: URL(fileURLWithPath: path))
  }

  enum Form {
    /// Llama's.
    case text
    /// The same, made for vectors as Qwen3-Embedding is: of the last position, which is an end token.
    case vectors
    /// EmbeddingGemma's: texts are read both ways.
    case bothWays

    var architecture: String { self == .bothWays ? "gemma-embedding" : "llama" }
  }

  static func bytes(seed: UInt64, _ form: Form = .text, template: String = template) -> [UInt8] {
    let architecture = form.architecture
    let (layers, feed, heads, kvHeads, size) = (2, 96, 4, 2, 16)
    var dice = Dice(state: seed)
    var file = GGUFWriter()
    file.set("general.architecture", .string(architecture))
    for (key, value) in [
      ("block_count", layers), ("context_length", 16_384), ("embedding_length", embedding),
      ("feed_forward_length", feed), ("attention.head_count", heads), ("attention.head_count_kv", kvHeads),
    ] {
      file.set("\(architecture).\(key)", .uint32(UInt32(value)))
    }
    file.set("\(architecture).attention.layer_norm_rms_epsilon", .float32(1e-5))
    file.set("\(architecture).rope.freq_base", .float32(10_000))
    switch form {
    case .text: break
    case .vectors:
      file.set("llama.pooling_type", .uint32(3))
      file.set("tokenizer.ggml.add_eos_token", .bool(true))
    case .bothWays:
      file.set("gemma-embedding.pooling_type", .uint32(1))
      file.set("gemma-embedding.attention.sliding_window", .uint32(64))
      file.set("gemma-embedding.attention.sliding_window_pattern", .uint32(2))
      file.set("gemma-embedding.dense_2_feat_out", .uint32(128))
    }
    let names = ByteLevel.alphabet + tokens
    let all = names + (names.count..<vocabulary).map { "<|unused\($0)|>" }
    file.set("tokenizer.ggml.model", .string("gpt2"))
    file.set("tokenizer.ggml.pre", .string("gpt-2"))
    file.set("tokenizer.ggml.tokens", .strings(all))
    file.set("tokenizer.ggml.token_type", .int32s(all.indices.map { $0 < 256 ? 1 : 3 }))
    file.set("tokenizer.ggml.merges", .strings([]))
    file.set("tokenizer.ggml.bos_token_id", .uint32(256))
    file.set("tokenizer.ggml.eos_token_id", .uint32(257))
    file.set("tokenizer.ggml.add_bos_token", .bool(false))
    for (name, token) in zip(["fim_pre", "fim_suf", "fim_mid"], infill) {
      file.set("tokenizer.ggml.\(name)_token_id", .uint32(UInt32(token)))
    }
    file.set("tokenizer.chat_template", .string(template))

    func values(_ count: Int, _ spread: Float, around middle: Float = 0) -> [Float] {
      (0..<count).map { _ in
        middle + spread * Float(Int32(truncatingIfNeeded: dice.next() >> 32)) * 0x1p-31
      }
    }
    func matrix(_ name: String, _ columns: Int, _ rows: Int, _ spread: Float? = nil) {
      let spread = spread ?? 1.7 / Float(columns).squareRoot()
      file.add(name + ".weight", [columns, rows], values(columns * rows, spread))
    }
    func norm(_ name: String) { file.add(name + ".weight", [embedding], values(embedding, 0.2, around: 1)) }
    matrix("token_embd", embedding, vocabulary, 1.7)
    matrix("output", embedding, vocabulary, 0.5)
    norm("output_norm")
    for layer in 0..<layers {
      let name = "blk.\(layer)."
      norm(name + "attn_norm")
      if form == .bothWays {
        norm(name + "post_attention_norm")
        norm(name + "post_ffw_norm")
        for part in ["q", "k"] {
          file.add(name + "attn_\(part)_norm.weight", [size], values(size, 0.2, around: 1))
        }
      }
      matrix(name + "attn_q", embedding, heads * size, 0.4)
      matrix(name + "attn_k", embedding, kvHeads * size, 0.4)
      matrix(name + "attn_v", embedding, kvHeads * size)
      matrix(name + "attn_output", heads * size, embedding)
      norm(name + "ffn_norm")
      matrix(name + "ffn_gate", embedding, feed)
      matrix(name + "ffn_up", embedding, feed)
      matrix(name + "ffn_down", feed, embedding)
    }
    if form == .bothWays {
      matrix("dense_2", embedding, 128)
      matrix("dense_3", 128, embedding)
    }
    return file.bytes()
  }
}
