// ScriptedModel.swift: a model of a few kilobytes that always says the same: a call where a prompt ends
// in a line break, a sentence where it ends in a colon. Each token's embedding is a direction of its
// own, and the row of the output that answers to it is the next token of the text. Where a grammar
// forbids that token, what closes is likelier than the rest, so that every text ends. Its template
// ends prompts with one or the other. Start at ScriptedModel.bytes.
import Foundation
import Inference

package struct ScriptedModel: Sendable {
  /// The name of the format of its calls, as the node has it.
  package let format: String
  /// What its template says of the format, which is how a node recognises it.
  let mark: String
  /// What it says where tools are offered, piece by piece: each is a token.
  package let call: [String]
  /// What it says otherwise.
  package let sentence: [String]
  /// What prompts end with.
  let turn: String

  init(
    _ format: String, mark: String, call: [String],
    sentence: [String] = ["<think>", "Easy.", "</think>", "The capital", " of France", " is Paris."],
    turn: String = "<|im_start|>assistant"
  ) {
    self.format = format
    self.mark = mark
    self.call = call
    self.sentence = sentence
    self.turn = turn
  }

  /// Thinks, says something, and calls in the form that Hermes writes.
  package static let talking = ScriptedModel(
    "hermes-json", mark: "<tool_call>",
    call: [
      "<think>Weather", ".</think>", "Looking.", "<tool_call>", "\n{\"name\": ", "\"get_weather\"",
      ", \"arguments\": ", "{\"city\": \"", "Paris", "\"}", "}\n", "</tool_call>",
    ])

  private static let thought = ["<think>Weather", ".</think>"]
  private static let object = ["\"get_weather\"", ", \"arguments\": ", "{\"city\": \"", "Paris", "\"}", "}"]
  private static let parameters = [
    "\"get_weather\"", ", \"parameters\": ", "{\"city\": \"", "Paris", "\"}", "}",
  ]
  private static let arguments = ["{\"city\": \"", "Paris", "\"}"]
  private static let plain = ["The capital", " of France", " is Paris."]

  /// One for each format: get_weather of Paris.
  package static let families: [ScriptedModel] = [
    ScriptedModel(
      "hermes-json", mark: "<tool_call>",
      call: thought + ["<tool_call>", "\n{\"name\": "] + object + ["\n</tool_call>"]),
    ScriptedModel(
      "qwen-xml", mark: "<function=",
      call: thought + [
        "<tool_call>", "\n<function=", "get_weather", ">\n", "<parameter=", "city", ">\n", "Paris",
        "\n</parameter>",
        "\n</function>", "\n</tool_call>",
      ]),
    ScriptedModel(
      "glm", mark: "<arg_key>",
      call: thought + [
        "<tool_call>", "get_weather", "\n<arg_key>", "city", "</arg_key>", "\n<arg_value>", "Paris",
        "</arg_value>", "\n</tool_call>",
      ]),
    ScriptedModel(
      "invoke", mark: "<minimax:tool_call>",
      call: thought + [
        "<minimax:tool_call>", "\n<invoke name=\"", "get_weather", "\">\n", "<parameter name=\"", "city",
        "\">", "Paris",
        "</parameter>", "\n</invoke>", "\n</minimax:tool_call>",
      ]),
    ScriptedModel(
      "dsml", mark: "<｜DSML｜function_calls>",
      call: thought + [
        "<｜DSML｜function_calls>", "\n<｜DSML｜invoke name=\"", "get_weather", "\">\n",
        "<｜DSML｜parameter name=\"city\"",
        " string=\"true\">", "Paris", "</｜DSML｜parameter>", "\n</｜DSML｜invoke>", "\n</｜DSML｜function_calls>",
      ]),
    ScriptedModel(
      "deepseek-tags", mark: "<｜tool▁calls▁begin｜>",
      call: thought + [
        "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "function", "<｜tool▁sep｜>", "get_weather",
        "\n```json\n",
      ] + arguments + ["\n```", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"]),
    ScriptedModel(
      "kimi", mark: "<|tool_calls_section_begin|>",
      call: thought + [
        "<|tool_calls_section_begin|>", "<|tool_call_begin|>", "functions.", "get_weather", ":0",
        "<|tool_call_argument_begin|>",
      ] + arguments + ["<|tool_call_end|>", "<|tool_calls_section_end|>"]),
    ScriptedModel(
      "command-r", mark: "<|START_ACTION|>",
      call: ["<|START_ACTION|>", "[\n", "{\"tool_name\": "] + parameters + ["\n]", "<|END_ACTION|>"],
      sentence: plain),
    ScriptedModel(
      "granite3", mark: "<|tool_call|>", call: ["<|tool_call|>", "[", "{\"name\": "] + object + ["]"],
      sentence: plain),
    ScriptedModel(
      "mistral-args", mark: "[TOOL_CALLS] [ARGS]",
      call: ["[TOOL_CALLS]", "get_weather", "[ARGS]"] + arguments,
      sentence: plain),
    ScriptedModel(
      "mistral-list", mark: "[TOOL_CALLS]", call: ["[TOOL_CALLS]", "[", "{\"name\": "] + object + ["]"],
      sentence: plain),
    ScriptedModel(
      "llama-json", mark: "<|python_tag|>", call: ["{\"name\": "] + parameters, sentence: plain),
    ScriptedModel(
      "python-like", mark: "<|tool_call_start|>",
      call: [
        "<|tool_call_start|>", "[", "get_weather", "(city=", "\"", "Paris", "\"", ")", "]",
        "<|tool_call_end|>",
      ],
      sentence: plain),
    ScriptedModel(
      "gemma4", mark: "<|tool_call>",
      call: [
        "<|tool_call>", "call:", "get_weather", "{city:", "<|\"|>", "Paris", "<|\"|>", "}", "<tool_call|>",
      ],
      sentence: plain),
    ScriptedModel(
      "harmony", mark: "<|channel|> <|message|>",
      call: [
        "<|channel|>", "analysis", "<|message|>", "Weather.", "<|end|>", "<|start|>", "assistant",
        "<|channel|>",
        "commentary to=functions.", "get_weather", " <|", "constrain|>", "json", "<|message|>",
      ] + arguments,
      sentence: ["<|channel|>", "final", "<|message|>"] + plain, turn: "<|start|>assistant"),
    ScriptedModel(
      "atem", mark: "<atem:function_calls>",
      call: [
        " to=get_weather", "<|message|>", "<atem:function_calls>", "\n<atem:invoke name=\"", "get_weather",
        "\">\n",
        "<atem:parameter name=\"", "city", "\">", "Paris", "</atem:parameter>", "\n</atem:invoke>",
        "\n</atem:function_calls>",
      ], sentence: [" to=user", "<|message|>"] + plain, turn: "<|start|>assistant"),
  ]

  package static func named(_ format: String) -> ScriptedModel? { families.first { $0.format == format } }

  /// The template ends with a line break where a call is wanted.
  var template: String {
    """
    {#- \(mark) -#}
    {%- if tools %}<|im_start|>system
    <tools>{% for tool in tools %}{{ tool | tojson }}
    {% endfor %}</tools>\(format == "hermes-json" ? " <tool_call>" : "")<|im_end|>
    {% endif -%}
    {% for m in messages %}<|im_start|>{{ m.role }}
    {% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}
    {%- for c in m.tool_calls or [] -%}
    <tool_call>{{ {"name": c.function.name, "arguments": c.function.arguments} | tojson }}</tool_call>
    {%- endfor %}<|im_end|>
    {% endfor %}\(turn){% if enable_thinking is defined and not enable_thinking %} {% endif %}
    {%- if tools and messages[-1].role != 'tool' %}{{ "\\n" }}{% else %}:{% endif %}
    """
  }

  private static let embedding = 64
  private static let layers = 1

  package func write(to path: String) throws { try Data(bytes()).write(to: URL(fileURLWithPath: path)) }

  /// The places of pieces that are special tokens: marks, where they come first.
  private static func special(_ pieces: [String]) -> Set<Int> {
    var seen: Set<String> = []
    return Set(
      pieces.indices.filter { index in
        let isMark = ["<|", "<｜tool", "[TOOL", "[ARGS", "<tool_call|"].contains {
          pieces[index].hasPrefix($0)
        }
        return isMark && seen.insert(pieces[index]).inserted
      })
  }

  package func bytes() -> [UInt8] {
    let (feed, heads, size) = (64, 4, 16)
    let (embedding, layers) = (Self.embedding, Self.layers)
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
    // With the last two, a node knows that Harmony's messages do not end an answer.
    let marks = ["<|im_start|>", "<|im_end|>"] + (format == "harmony" ? ["<|return|>", "<|call|>"] : [])
    let first = 256 + marks.count
    let script = call + sentence
    let special = Self.special(script)
    let names =
      ByteLevel.alphabet + marks
      + script.indices.map { special.contains($0) ? script[$0] : ByteLevel.spelled(script[$0]) }
    let vocabulary = (names.count + 31) / 32 * 32
    let all = names + (names.count..<vocabulary).map { "<|unused\($0)|>" }
    file.set("tokenizer.ggml.model", .string("gpt2"))
    file.set("tokenizer.ggml.pre", .string("gpt-2"))
    file.set("tokenizer.ggml.tokens", .strings(all))
    file.set(
      "tokenizer.ggml.token_type",
      .int32s(
        all.indices.map { index in
          let isPiece = index >= first && index < names.count
          return index < 256 || isPiece && !special.contains(index - first) ? 1 : 3
        }))
    file.set("tokenizer.ggml.merges", .strings([]))
    file.set("tokenizer.ggml.bos_token_id", .uint32(256))
    file.set("tokenizer.ggml.eos_token_id", .uint32(257))
    file.set("tokenizer.ggml.add_bos_token", .bool(false))
    file.set("tokenizer.chat_template", .string(template))

    var embeddings = [Float](repeating: 0, count: embedding * vocabulary)
    var output = embeddings
    // The last direction is every token's: what closes comes before the rest, white space after it.
    for token in 0..<vocabulary { embeddings[token * embedding + embedding - 1] = 1 }
    for (character, weight) in zip("\"}]) \n\t\r", [1.0, 0.9, 0.8, 0.7, -1, -1, -1, -1] as [Float]) {
      if let byte = character.asciiValue { output[Int(byte) * embedding + embedding - 1] = weight }
    }
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
}

/// The alphabet of byte-level BPE: printable bytes stand for themselves, the others for 256 and up.
package enum ByteLevel {
  package static let alphabet: [String] = {
    var names: [String] = []
    var moved: UInt32 = 256
    for byte in UInt32(0)...255 {
      let isPlain =
        (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
      names.append(Unicode.Scalar(isPlain ? byte : moved).map { String(Character($0)) } ?? "")
      if !isPlain { moved += 1 }
    }
    return names
  }()

  /// A text as it spells it.
  package static func spelled(_ text: String) -> String { text.utf8.map { alphabet[Int($0)] }.joined() }
}
