// Ernie45MoE.swift: ERNIE 4.5 with experts (Baidu 2025,
// https://yiyan.baidu.com/blog/publication/ERNIE_Technical_Report.pdf): the first layers are dense; a
// bias helps to choose experts, and one expert is for all tokens.

extension Architecture {
  package static let ernie45moe = Architecture(
    name: "ernie4_5-moe", shape: withExperts,
    layer: { index, t throws(ModelError) in
      let dense = try t.keys.optional("leading_dense_block_count", 0...1_024) ?? 0
      let step = try t.keys.optional("interleave_moe_layer_step", 1...1_024) ?? 1
      let mixture = Mixture(
        width: try t.expertWidth(),
        sharedWidth: try t.keys.width("expert_shared_feed_forward_length") ?? 0)
      let isMixture = index >= dense && (index + 1) % step == 0
      return try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + t.rotations(.neighbours)
        + [t.attend(), t.attentionOutput(bias: .optional), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)]
        + (isMixture ? t.mixture(mixture, from: .normed) : t.network(from: .normed))
        + [t.add(.output, to: .stream)]
    })
}
