// Llama.swift: Llama 2 and 3, Mistral, SmolLM2 (Touvron et al. 2023) as a list of operations.

extension Architecture {
  package static let llama = Architecture(
    name: "llama",
    layer: { _, t throws(ModelError) in
      let s = t.shape
      let (e, f, q, k) = (s.embeddingLength, s.feedForwardLength, s.queryLength, s.keyLength)
      return try [
        t.norm(.stream, "attn_norm", into: .normed),
        t.multiply(.normed, "attn_q", e, q, bias: .optional, into: .query),
        t.multiply(.normed, "attn_k", e, k, bias: .optional, into: .key),
        t.multiply(.normed, "attn_v", e, k, bias: .optional, into: .value),
        t.rotate(.query, heads: s.headCount, .neighbours),
        t.rotate(.key, heads: s.kvHeadCount, .neighbours),
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
