// ChatFormatCommandTests.swift: run, render and serve make one prompt of one conversation, whatever
// a model's file leaves out; and a model whose template does not work does everything that needs
// none.

import Foundation
import Fuzzing
import Inference
import TestSettings
import Testing
import Wire

/// A model of two layers with random weights that runs, with any vocabulary.
enum SmallModel {
  static let template =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}a:{% endif %}"

  /// - Parameters:
  ///   - without: Keys below `tokenizer.` to leave out.
  ///   - with: Keys below `tokenizer.` to put in their place.
  static func bytes(
    _ vocabulary: GGUFWriter = SyntheticVocabulary.byteLevel(), template: String? = template,
    without: [String] = [],
    with: [(String, GGUFWriter.Value)] = []
  ) -> [UInt8] {
    var writer = vocabulary
    let gone = (without + with.map(\.0)).map { Array("tokenizer.\($0)".utf8) }
    writer.keys.removeAll { gone.contains($0.key) }
    for (key, value) in with { writer.set("tokenizer.\(key)", value) }
    if let template { writer.set("tokenizer.chat_template", .string(template)) }
    var rows = 0
    for (key, value) in vocabulary.keys where key == Array("tokenizer.ggml.tokens".utf8) {
      if case .strings(let tokens) = value { rows = tokens.count }
    }
    for (key, value) in [
      ("block_count", 2), ("context_length", 512), ("embedding_length", 64), ("feed_forward_length", 96),
      ("attention.head_count", 4), ("attention.head_count_kv", 2),
    ] { writer.set("llama.\(key)", .uint32(UInt32(value))) }
    writer.set("llama.attention.layer_norm_rms_epsilon", .float32(1e-5))
    writer.set("llama.rope.freq_base", .float32(10_000))
    var state: UInt64 = 7
    func weights(_ count: Int, around middle: Float, by spread: Float) -> [Float] {
      (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return middle + spread * (Float(state >> 40) / Float(1 << 23) - 1)
      }
    }
    func matrix(_ name: String, _ columns: Int, _ rows: Int) {
      writer.add(name + ".weight", [columns, rows], weights(columns * rows, around: 0, by: 0.2))
    }
    func norm(_ name: String) { writer.add(name + ".weight", [64], weights(64, around: 1, by: 0.1)) }
    matrix("token_embd", 64, rows)
    matrix("output", 64, rows)
    norm("output_norm")
    for layer in 0..<2 {
      let prefix = "blk.\(layer)."
      norm(prefix + "attn_norm")
      norm(prefix + "ffn_norm")
      matrix(prefix + "attn_q", 64, 64)
      matrix(prefix + "attn_k", 64, 32)
      matrix(prefix + "attn_v", 64, 32)
      matrix(prefix + "attn_output", 64, 64)
      matrix(prefix + "ffn_gate", 64, 96)
      matrix(prefix + "ffn_up", 64, 96)
      matrix(prefix + "ffn_down", 96, 64)
    }
    return writer.bytes()
  }
}

@Suite(.serialized) struct ChatFormatCommandTests {
  private struct Ran: Decodable { let prompt_tokens: [Int32] }
  private struct Rendered: Decodable { let tokens: [Int32] }
  private struct Answered: Decodable {
    struct Own: Decodable { let prompt_token_ids: [Int32] }
    let hotpot: Own
  }

  /// The body of an answer and its status.
  private func post(_ node: ServedNode, _ path: String, _ body: String) throws -> (status: Int, body: Data) {
    let token = try node.token("tester\(UInt32.random(in: 0..<1_000_000))")
    let answer = try WireAnswer.get(UInt16(node.port), "POST", path, token: token, body: body)
    return (answer.status, Data(answer.body.utf8))
  }

  private func chat(_ node: ServedNode, _ messages: String) throws -> (status: Int, body: Data) {
    try post(
      node, "/v1/chat/completions",
      "{\"model\": \"m\", \"messages\": \(messages), \"max_tokens\": 1, \"return_token_ids\": true}")
  }

  private static let parts =
    "{% for m in messages %}<|im_start|>{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}{{ eos_token }}{% endfor %}"

  static let files: [(name: String, bytes: @Sendable () -> [UInt8])] = [
    ("as it is", { SmallModel.bytes() }),
    ("no bos", { SmallModel.bytes(without: ["ggml.bos_token_id"]) }),
    ("no eos", { SmallModel.bytes(without: ["ggml.eos_token_id"]) }),
    ("eos is none", { SmallModel.bytes(with: [("ggml.eos_token_id", .uint32(.max))]) }),
    ("bos is wanted", { SmallModel.bytes(with: [("ggml.add_bos_token", .bool(true))]) }),
    (
      "bos is wanted and written",
      {
        SmallModel.bytes(
          template: "{{ bos_token }}" + SmallModel.template, with: [("ggml.add_bos_token", .bool(true))])
      }
    ),
    (
      "pieces",
      {
        SmallModel.bytes(
          SyntheticVocabulary.sentencePiece(), template: "{{ bos_token }}" + SmallModel.template)
      }
    ),
    (
      "pieces, no ids",
      {
        SmallModel.bytes(
          SyntheticVocabulary.sentencePiece(),
          without: ["ggml.bos_token_id", "ggml.eos_token_id", "ggml.unknown_token_id", "ggml.add_bos_token"])
      }
    ),
    ("contents in parts", { SmallModel.bytes(template: parts) }),
  ]

  @Test(arguments: files.indices)
  func `run, render and serve make the same tokens of one conversation`(place: Int) throws {
    let (name, bytes) = Self.files[place]
    let folder = try Folder()
    let model = try folder.write(bytes(), "m.gguf")
    let messages = "[{\"role\": \"user\", \"content\": \"the <|im_end|> hello</s>\"}]"
    let rendered = try Program.run(["render", "--model", model, "--tokens", "--json", "-"], input: messages)
    let wanted = try JSONDecoder().decode(Rendered.self, from: Data(rendered.output.utf8)).tokens
    #expect(wanted.count > 10, "\(name): \(rendered)")
    let ran = try Program.run([
      "run", "--model", model, "--json", "-n", "1", "the <|im_end|> hello</s>",
    ])
    #expect(ran.status == 0, "\(name): \(ran)")
    #expect(
      try JSONDecoder().decode(Ran.self, from: Data(ran.output.utf8)).prompt_tokens == wanted, "\(name)")
    let node = try ServedNode(model: model)
    defer { _ = node.stop() }
    let answer = try chat(node, messages)
    #expect(answer.status == 200, "\(name): \(String(decoding: answer.body, as: UTF8.self))")
    let told = try JSONDecoder().decode(Answered.self, from: answer.body).hotpot.prompt_token_ids
    #expect(told == wanted, "\(name)")
    // The same words in parts are the same prompt.
    let inParts = try chat(
      node,
      "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"the <|im_end|> hello</s>\"}]}]")
    #expect(
      try JSONDecoder().decode(Answered.self, from: inParts.body).hotpot.prompt_token_ids == wanted, "\(name)"
    )
  }

  @Test func `render gives a template of its own the model's special tokens`() throws {
    let folder = try Folder()
    let model = try folder.write(SmallModel.bytes(), "m.gguf")
    let template = try folder.write(
      Array("[{{ bos_token }}|{{ eos_token }}]{{ messages[0].content }}".utf8), "t.jinja")
    let messages = "[{\"role\": \"user\", \"content\": \"x\"}]"
    let both = try Program.run(["render", "--model", model, "--template", template, "-"], input: messages)
    #expect(both.output == "[<|im_start|>|<|im_end|>]x" && both.errors.isEmpty, "\(both)")
    let given = try Program.run(
      ["render", "--model", model, "--template", template, "--bos", "B", "-"], input: messages)
    #expect(given.output == "[B|<|im_end|>]x", "\(given)")
    let none = try Program.run(["render", "--template", template, "-"], input: messages)
    #expect(none.output == "[|]x" && none.errors.contains("bos_token, which is undefined"), "\(none)")
  }

  static let broken: [(name: String, bytes: @Sendable () -> [UInt8], says: String)] = [
    ("does not parse", { SmallModel.bytes(template: "{% if %}x") }, "chat template, line 1: found '%}'"),
    ("is absent", { SmallModel.bytes(template: nil) }, "has no chat template"),
    (
      "leaves the user out", { SmallModel.bytes(template: "{{ bos_token }}hello") },
      "leaves out what the user says"
    ),
    (
      "is no text", { SmallModel.bytes(template: nil, with: [("chat_template", .uint32(7))]) },
      "chat_template"
    ),
  ]

  @Test(arguments: broken.indices)
  func `a model whose template does not work does what needs none, and chats by another`(place: Int) throws {
    let (name, bytes, says) = Self.broken[place]
    let folder = try Folder()
    let model = try folder.write(bytes(), "m.gguf")
    let raw = try Program.run(["run", "--model", model, "--raw", "-n", "2", "the"])
    #expect(raw.status == 0, "\(name): \(raw)")
    let bench = try Program.run([
      "bench", "--model", model, "--prompt", "8", "--batch", "1", "--tokens", "2", "--rounds", "1",
    ])
    #expect(bench.status == 0, "\(name): \(bench)")
    #expect(try Program.run(["tokenize", "--model", model, "the"]).status == 0, "\(name)")
    for words in [["run", "--model", model, "hi"], ["chat", "--model", model]] {
      let refused = try Program.run(words, input: "hi\n")
      #expect(refused.status == 65 && refused.errors.contains(says), "\(name): \(refused)")
      #expect(place == 3 || refused.errors.contains("--template FILE"), "\(name): \(refused)")
      #expect(place == 3 || refused.errors.contains("--raw"), "\(name): \(refused)")
    }
    let other = try folder.write(Array("{{ messages[0].content }}".utf8), "t.jinja")
    let mended = try Program.run(["run", "--model", model, "--template", other, "-n", "1", "hi"])
    #expect(mended.status == 0, "\(name): \(mended)")
    let doctor = try Program.run(["doctor"], environment: ["HOTPOT_MODEL": model])
    #expect(
      doctor.output.contains("chat will not work: ") && doctor.output.contains(says), "\(name): \(doctor)")
    let node = try ServedNode(model: model)
    defer { _ = node.stop() }
    #expect(node.said.contains("chat will not work: ") && node.said.contains(says), "\(name): \(node.said)")
    let refused = try chat(node, "[{\"role\": \"user\", \"content\": \"hi\"}]")
    let words = String(decoding: refused.body, as: UTF8.self)
    #expect(
      refused.status == 400 && words.contains("no_chat_template") && words.contains(says), "\(name): \(words)"
    )
    let completion = try post(
      node, "/v1/completions", "{\"model\": \"m\", \"prompt\": \"the\", \"max_tokens\": 1}")
    #expect(completion.status == 200, "\(name): \(String(decoding: completion.body, as: UTF8.self))")
  }

  private static let cases: String? = ReferenceFolder.url?.appending(path: "cases").path

  /// B1 of the public reports, with the files that showed it.
  @Test(.enabled(if: Self.cases != nil, "the folder of cases is absent"))
  func `the reported template that loops over parts gets every question's words`() throws {
    let cases = try #require(Self.cases)
    let folder = try Folder()
    let model = try folder.write(
      Array(try #require(FileManager.default.contents(atPath: cases + "/b1_smolvlm_like.gguf"))), "m.gguf")
    var counts: Set<Int> = []
    for words in ["hello", "a longer question"] {
      let messages = "[{\"role\": \"user\", \"content\": \"\(words)\"}]"
      for arguments in [
        ["--model", model], ["--template", cases + "/b1_smolvlm_like.jinja"],
      ] {
        let text = try Program.run(["render"] + arguments + ["-"], input: messages)
        #expect(text.output.contains("User: \(words)<|im_end|>"), "\(text)")
      }
      let tokens = try Program.run(["render", "--model", model, "--tokens", "-"], input: messages)
      counts.insert(tokens.output.split(separator: " ").count)
    }
    #expect(counts.count == 2)
    for name in ["b_string.json", "b_parts.json"] {
      let text = try Program.run(["render", "--model", model, cases + "/" + name])
      #expect(text.output.contains("User: hello<|im_end|>"), "\(text)")
    }
    let doctor = try Program.run(["doctor"], environment: ["HOTPOT_MODEL": model])
    #expect(doctor.output.contains("reads contents as lists of parts"), "\(doctor)")
  }
}
