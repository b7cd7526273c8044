// Qwen3.swift: the dense Qwen3 (Yang et al. 2025): queries and keys are normalised per head, pairs
// are halves.

extension Architecture {
  package static let qwen3 = Architecture(
    name: "qwen3",
    layer: { _, t throws(ModelError) in
      let s = t.shape
      let (e, f, q, k) = (s.embeddingLength, s.feedForwardLength, s.queryLength, s.keyLength)
      return try [
        t.norm(.stream, "attn_norm", into: .normed),
        t.multiply(.normed, "attn_q", e, q, bias: .optional, into: .query),
        t.multiply(.normed, "attn_k", e, k, bias: .optional, into: .key),
        t.multiply(.normed, "attn_v", e, k, bias: .optional, into: .value),
        t.headNorm(.query, "attn_q_norm", heads: s.headCount),
        t.headNorm(.key, "attn_k_norm", heads: s.kvHeadCount),
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
