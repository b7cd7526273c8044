// SmolLM3.swift: SmolLM3 (Bakouch et al. 2025): Llama with one layer in four that does not rotate
// (NoPE, Yang et al. 2025).

extension Architecture {
  package static let smollm3 = Architecture(
    name: "smollm3",
    layer: { index, t throws(ModelError) in
      let turns = (index + 1) % 4 == 0 ? [] : try t.rotations(.neighbours)
      return try [t.norm(.stream, "attn_norm", into: .normed)] + t.projections(from: .normed) + turns
        + [t.attend(), t.attentionOutput(), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.network(from: .normed)
        + [t.add(.output, to: .stream)]
    })
}
