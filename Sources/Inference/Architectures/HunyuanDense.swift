// HunyuanDense.swift: the dense Hunyuan (Tencent 2025): queries and keys are normalised per head
// after they were turned, and a longer context is a larger base (NTK-aware scaling).

import CKernels

extension Architecture {
  package static let hunyuanDense = Architecture(
    name: "hunyuan-dense",
    layer: { _, t throws(ModelError) in
      let s = t.shape
      var base = s.rotaryBase
      if let alpha = try t.keys.number("rope.scaling.alpha", from: 0, to: 1e6), alpha >= 1e-6 {
        base *= ck_exp2(ck_log(alpha) / ck_log(2) * Double(s.headSize) / Double(s.headSize - 2))
      }
      return try [t.norm(.stream, "attn_norm", into: .normed)] + t.projections(from: .normed)
        + t.rotations(.halves, s.angles(base: base)) + t.headNorms()
        + [t.attend(), t.attentionOutput(), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.network(from: .normed)
        + [t.add(.output, to: .stream)]
    })
}
