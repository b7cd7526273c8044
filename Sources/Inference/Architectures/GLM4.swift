// GLM4.swift: GLM-4-0414 (GLM team 2024, https://arxiv.org/abs/2406.12793): norms before and behind
// attention and network, half of each head rotated, gate and network in one matrix.

extension Architecture {
  package static let glm4 = Architecture(
    name: "glm4",
    layer: { _, t throws(ModelError) in
      try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + t.rotations(.neighbours)
        + [t.attend(), t.attentionOutput()] + t.addNormed("post_attention_norm")
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.fusedNetwork(from: .normed)
        + t.addNormed("post_ffw_norm")
    })
}
