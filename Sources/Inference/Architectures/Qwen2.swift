// Qwen2.swift: Qwen2 and Qwen2.5 (Yang et al. 2024): biases of queries, keys and values, pairs as
// halves.

extension Architecture {
  package static let qwen2 = Architecture(
    name: "qwen2",
    layer: { _, t throws(ModelError) in
      let s = t.shape
      let (e, f, q, k) = (s.embeddingLength, s.feedForwardLength, s.queryLength, s.keyLength)
      return try [
        t.norm(.stream, "attn_norm", into: .normed),
        t.multiply(.normed, "attn_q", e, q, bias: .required, into: .query),
        t.multiply(.normed, "attn_k", e, k, bias: .required, into: .key),
        t.multiply(.normed, "attn_v", e, k, bias: .required, into: .value),
        t.rotate(.query, heads: s.headCount, .halves),
        t.rotate(.key, heads: s.kvHeadCount, .halves),
        t.attend(),
        t.multiply(.attended, "attn_output", q, e, bias: .optional, into: .output),
        t.add(.output, to: .stream),
        t.norm(.stream, "ffn_norm", into: .normed),
        t.multiply(.normed, "ffn_gate", e, f, into: .gate),
        t.multiply(.normed, "ffn_up", e, f, into: .up),
        .gate(.gate, .silu, times: .up, width: f),
        t.multiply(.gate, "ffn_down", f, e, into: .output),
        t.add(.output, to: .stream),
      ]
    })
}
