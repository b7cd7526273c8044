// HunyuanDense.swift: the dense Hunyuan (Tencent 2025): queries and keys are normalised per head
// after they were turned, and a longer context is a larger base (NTK-aware scaling).

import Foundation

extension Architecture {
  package static let hunyuanDense = Architecture(
    name: "hunyuan-dense",
    layer: { _, t throws(ModelError) in
      let s = t.shape
      var base = s.rotaryBase
      if let alpha = try t.keys.number("rope.scaling.alpha", from: 0, to: 1e6), alpha > 0 {
        base *= pow(alpha, Double(s.headSize) / Double(s.headSize - 2))
      }
      let angles = RotaryAngles(pairs: s.rotarySize / 2, base: base, scale: s.rotaryScale, yarn: s.yarn)
      return try [t.norm(.stream, "attn_norm", into: .normed)] + t.projections(from: .normed)
        + t.rotations(.halves, angles) + t.headNorms()
        + [t.attend(), t.attentionOutput(), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.network(from: .normed)
        + [t.add(.output, to: .stream)]
    })
}
