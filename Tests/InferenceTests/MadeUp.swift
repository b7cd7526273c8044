// MadeUp.swift: an architecture that nobody trains, with what the real ones do not have yet:
// windows or chunks in every other layer, capped scores, a norm after each part, attention and network beside
// one another, and a second rotary base.

import Inference

enum MadeUp {
  static let model = SyntheticModel(
    architecture: "made-up", layers: 4, embedding: 64, feedForward: 96, heads: 4, kvHeads: 2, headSize: 16,
    vocabulary: 90, context: 2_048, types: [.q41, .q80], seed: 9,
    extra: Dictionary(
      uniqueKeysWithValues: (0..<4).flatMap { i in
        ["attention", "ffw"].map { ("blk.\(i).post_\($0)_norm.weight", [64]) }
      }))

  static let window = 24

  static let architecture = Architecture(
    name: "made-up",
    layer: { i, t throws(ModelError) in
      let s = t.shape
      let (e, f, q, k) = (s.embeddingLength, s.feedForwardLength, s.queryLength, s.keyLength)
      let isWindowed = i % 2 == 0
      let angles = RotaryAngles(
        pairs: s.rotarySize / 2, base: isWindowed ? 500 : s.rotaryBase)
      return try [
        t.norm(.stream, "attn_norm", into: .normed),
        t.multiply(.normed, "attn_q", e, q, into: .query),
        t.multiply(.normed, "attn_k", e, k, into: .key),
        t.multiply(.normed, "attn_v", e, k, into: .value),
        .rotate(.query, heads: s.headCount, of: s.headSize, .neighbours, angles),
        .rotate(.key, heads: s.kvHeadCount, of: s.headSize, .neighbours, angles),
        t.attend(
          window: i % 4 == 0 ? window : nil, chunk: i % 4 == 2 ? window : nil, cap: 20),
        t.multiply(.attended, "attn_output", q, e, into: .output),
        t.norm(.output, "post_attention_norm", into: .output),
        t.add(.output, to: .stream),
        t.multiply(.normed, "ffn_gate", e, f, into: .gate),
        t.multiply(.normed, "ffn_up", e, f, into: .up),
        .gate(.gate, .silu, times: .up, width: f),
        t.multiply(.gate, "ffn_down", f, e, into: .output),
        t.norm(.output, "ffn_norm", into: .output),
        t.norm(.output, "post_ffw_norm", into: .output),
        t.add(.output, to: .stream),
      ]
    })

  /// With the made-up architecture beside the real ones.
  static func load(_ synthetic: SyntheticModel) throws -> Model {
    try Model(
      file: GGUFFile(bytes: synthetic.bytes(), name: "synthetic.gguf"),
      among: Architecture.all + [architecture])
  }
}

extension Engine {
  /// Of all positions of a text from position 0, some at a time; the sequence owns the first
  /// blocks.
  func logits(_ text: [Int32], chunk: Int) throws -> [Float] {
    let blocks = (0..<Int32((text.count + Engine.blockSize - 1) / Engine.blockSize)).map { $0 }
    var logits: [Float] = []
    for first in stride(from: 0, to: text.count, by: chunk) {
      let item = StepItem(
        tokens: Array(text[first..<min(first + chunk, text.count)]), position: first, blocks: blocks,
        state: .init(0), output: .all, logits: true)
      let result = try step([item])[0]
      if let failure = result.failure { throw failure }
      logits += result.logits
    }
    return logits
  }
}
