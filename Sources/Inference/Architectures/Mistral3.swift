// Mistral3.swift: Ministral 3 and what follows Mistral Small 3 (Mistral AI 2026,
// https://arxiv.org/abs/2601.08584): Llama with YaRN, whose magnitude files lower, and queries that
// are tempered by their position; networks may be mixtures.

extension Architecture {
  package static let mistral3 = Architecture(
    name: "mistral3", shape: withExperts,
    layer: { _, t throws(ModelError) in
      let s = t.shape
      let slope = try t.keys.number("attention.temperature_scale", from: 0, to: 1e3) ?? 0
      let temper = Operation.temper(
        .query, slope: slope, period: s.originalContextLength, width: s.queryLength)
      return try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + t.rotations(.neighbours, mistralAngles(t))
        + (slope > 0 ? [temper] : [])
        + [t.attend(), t.attentionOutput(bias: .optional), t.add(.output, to: .stream)]
        + [t.norm(.stream, "ffn_norm", into: .normed)] + t.networkOrMixture(from: .normed)
        + [t.add(.output, to: .stream)]
    })

  /// YaRN between the turns that the file names, and a magnitude that is divided by another one.
  private static func mistralAngles(_ t: TensorReader) throws(ModelError) -> RotaryAngles {
    let s = t.shape
    let scaling = "rope.scaling.yarn"
    let yarn = try t.keys.yarn(
      size: s.rotarySize, base: s.rotaryBase, original: s.originalContextLength,
      fast: t.keys.number("\(scaling)_beta_fast", from: 1e-3, to: 1e6) ?? 32,
      slow: t.keys.number("\(scaling)_beta_slow", from: 1e-3, to: 1e6) ?? 1)
    let weight = try t.keys.number("\(scaling)_log_multiplier", from: 0, to: 1e3) ?? 0
    return RotaryAngles(
      pairs: s.rotarySize / 2, base: s.rotaryBase, scale: s.rotaryScale, factors: try t.rotaryFactors(),
      yarn: yarn, magnitude: s.rotaryMagnitude / (yarn?.magnitude(weight: weight) ?? 1))
  }
}
