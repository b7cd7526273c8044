// ScriptedModel.swift: a model of a few kilobytes that always says the same: a call where a prompt ends
// in a line break, a sentence where it ends in a colon. Each token's embedding is a direction of its
// own, and the row of the output that answers to it is the next token of the text. Its template
// ends prompts with one or the other. Start at ScriptedModel.write.
import Foundation
import Fuzzing
import Inference

enum ScriptedModel {
  static let call = [
    "<think>Weather", ".</think>", "Looking.", "<tool_call>", "\n{\"name\": ", "\"get_weather\"",
    ", \"arguments\": ", "{\"city\": \"", "Paris", "\"}", "}\n", "</tool_call>",
  ]
  static let sentence = ["<think>", "Easy.", "</think>", "The capital", " of France", " is Paris."]

  static let template = """
    {%- if tools %}<|im_start|>system
    <tools>{% for tool in tools %}{{ tool | tojson }}
    {% endfor %}</tools> <tool_call><|im_end|>
    {% endif -%}
    {% for m in messages %}<|im_start|>{{ m.role }}
    {% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}
    {%- for c in m.tool_calls or [] -%}
    <tool_call>{{ {"name": c.function.name, "arguments": c.function.arguments} | tojson }}</tool_call>
    {%- endfor %}<|im_end|>
    {% endfor %}<|im_start|>assistant{% if enable_thinking is defined and not enable_thinking %} {% endif %}
    {%- if tools and messages[-1].role != 'tool' %}{{ "\\n" }}{% else %}:{% endif %}
    """

  private static let embedding = 64
  private static let layers = 1

  static func write(to path: String) throws { try Data(bytes()).write(to: URL(fileURLWithPath: path)) }

  private static func bytes() -> [UInt8] {
    let (feed, heads, size) = (64, 4, 16)
    var file = GGUFWriter()
    file.set("general.architecture", .string("llama"))
    for (key, value) in [
      ("block_count", layers), ("context_length", 32_768), ("embedding_length", embedding),
      ("feed_forward_length", feed), ("attention.head_count", heads), ("attention.head_count_kv", heads),
    ] {
      file.set("llama.\(key)", .uint32(UInt32(value)))
    }
    file.set("llama.attention.layer_norm_rms_epsilon", .float32(1e-5))
    file.set("llama.rope.freq_base", .float32(10_000))
    let script = call + sentence
    let marks = ["<|im_start|>", "<|im_end|>"]
    let names = SmallModel.alphabet + marks + script.map(spelled)
    let first = 256 + marks.count
    let vocabulary = (names.count + 31) / 32 * 32
    let all = names + (names.count..<vocabulary).map { "<|unused\($0)|>" }
    file.set("tokenizer.ggml.model", .string("gpt2"))
    file.set("tokenizer.ggml.pre", .string("gpt-2"))
    file.set("tokenizer.ggml.tokens", .strings(all))
    file.set(
      "tokenizer.ggml.token_type",
      .int32s(all.indices.map { $0 < 256 || ($0 >= first && $0 < names.count) ? 1 : 3 }))
    file.set("tokenizer.ggml.merges", .strings([]))
    file.set("tokenizer.ggml.bos_token_id", .uint32(256))
    file.set("tokenizer.ggml.eos_token_id", .uint32(257))
    file.set("tokenizer.ggml.add_bos_token", .bool(false))
    file.set("tokenizer.chat_template", .string(template))

    var embeddings = [Float](repeating: 0, count: embedding * vocabulary)
    var output = embeddings
    var direction = 0
    func step(from token: Int, to next: Int) {
      embeddings[token * embedding + direction] = 1
      output[next * embedding + direction] = 8
      direction += 1
    }
    func say(_ pieces: [String], after token: Int, at start: Int) {
      var last = token
      for index in pieces.indices {
        step(from: last, to: start + index)
        last = start + index
      }
      step(from: last, to: 257)
    }
    say(call, after: Int(UInt8(ascii: "\n")), at: first)
    say(sentence, after: Int(UInt8(ascii: ":")), at: first + call.count)
    file.add("token_embd.weight", [embedding, vocabulary], embeddings)
    file.add("output.weight", [embedding, vocabulary], output)
    let ones = [Float](repeating: 1, count: embedding)
    file.add("output_norm.weight", [embedding], ones)
    for layer in 0..<layers {
      func silent(_ name: String, _ columns: Int, _ rows: Int) {
        file.add(
          "blk.\(layer).\(name).weight", [columns, rows], [Float](repeating: 0, count: columns * rows))
      }
      for name in ["attn_norm", "ffn_norm"] { file.add("blk.\(layer).\(name).weight", [embedding], ones) }
      for name in ["attn_q", "attn_k", "attn_v", "attn_output"] { silent(name, embedding, heads * size) }
      for name in ["ffn_gate", "ffn_up"] { silent(name, embedding, feed) }
      silent("ffn_down", feed, embedding)
    }
    return file.bytes()
  }

  /// A text as byte-level BPE spells it.
  private static func spelled(_ text: String) -> String {
    text.utf8.map { SmallModel.alphabet[Int($0)] }.joined()
  }
}
