// GPTOSS.swift: gpt-oss (OpenAI 2025, https://arxiv.org/abs/2508.10925): experts with biases whose
// activation is clamped, a window in every other layer, sinks in all, positions stretched by YaRN.

extension Architecture {
  package static let gptOSS = gptOSS(roundsYaRN: false)

  /// - roundsYaRN: whether YaRN's limits are whole pairs, as llama.cpp has them and OpenAI has not
  package static func gptOSS(roundsYaRN: Bool) -> Architecture {
    Architecture(
      name: "gpt-oss", shape: { keys throws(ModelError) in try Hyperparameters(dense: keys) },
      layer: { index, t throws(ModelError) in
        let s = t.shape
        let yarn = try t.keys.yarn(
          size: s.rotarySize, base: s.rotaryBase, original: s.originalContextLength, rounds: roundsYaRN)
        let angles = RotaryAngles(
          pairs: s.rotarySize / 2, base: s.rotaryBase, scale: s.rotaryScale, yarn: yarn,
          magnitude: s.rotaryMagnitude)
        let mixture = Mixture(
          width: try t.expertWidth(), gating: .softmaxOfChosen, activation: .gated(.clampedSwish),
          hasBiases: true)
        return try [t.norm(.stream, "attn_norm", into: .normed)]
          + t.projections(from: .normed, bias: .required) + t.rotations(.halves, angles)
          + [
            t.attend(
              window: t.keys.windows(layers: s.layerCount, period: 2)[index],
              sinks: t.vector("attn_sinks.weight", s.headCount)),
            t.attentionOutput(bias: .required), t.add(.output, to: .stream),
            t.norm(.stream, "post_attention_norm", into: .normed),
          ] + t.mixture(mixture, from: .normed) + [t.add(.output, to: .stream)]
      })
  }
}
