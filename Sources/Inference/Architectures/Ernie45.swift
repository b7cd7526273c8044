// Ernie45.swift: the dense ERNIE 4.5 (Baidu 2025): Llama, with biases where a file has them.

extension Architecture {
  package static let ernie45 = Architecture(
    name: "ernie4_5",
    layer: { _, t throws(ModelError) in
      try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + t.rotations(.neighbours)
        + [t.attend(), t.attentionOutput(bias: .optional), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.network(from: .normed)
        + [t.add(.output, to: .stream)]
    })
}
