// Llama4.swift: Llama 4 as text (Meta 2025, https://ai.meta.com/blog/llama-4-multimodal-intelligence/):
// three layers of four turn positions and attend within chunks, the fourth does neither and tempers
// its queries; a router weighs what its one expert is given.

extension Architecture {
  package static let llama4 = Architecture(
    name: "llama4",
    shape: { keys throws(ModelError) in try Hyperparameters(dense: keys) },
    layer: { index, t throws(ModelError) in
      let (s, keys) = (t.shape, t.keys)
      // The numbers are no keys: files have none but the window, and that only to say that there is no
      // chunk.
      let length = 8_192
      let isWhole = (index + 1) % 4 == 0
      let window = try keys.optional("attention.sliding_window", 0...Int.max)
      let isChunked = !isWhole && window != 0
      func turns() throws(ModelError) -> [Operation] {
        if isWhole {
          return [.temper(.query, slope: 0.1, period: length, offset: 1, width: s.queryLength)]
        }
        let list = try t.rotations(.neighbours)
        // The largest model does without these norms.
        if try keys.optional("expert_count", 0...1_024) == 128 { return list }
        return list + [
          .norm(.query, parts: s.headCount, of: s.headSize, epsilon: s.normEpsilon, into: .query),
          .norm(.key, parts: s.kvHeadCount, of: s.headSize, epsilon: s.normEpsilon, into: .key),
        ]
      }
      func network() throws(ModelError) -> [Operation] {
        let step = try keys.required("interleave_moe_layer_step", 0...1_024)
        guard step > 0, (index + 1) % step == 0 else { return try t.network(from: .normed) }
        let width = try t.expertWidth()
        let mixture = Mixture(
          width: width, gating: .sigmoid, isNormalised: false, weighting: .input, sharedWidth: width)
        return try t.mixture(mixture, from: .normed)
      }
      return try [t.norm(.stream, "attn_norm", into: .normed)]
        + t.projections(from: .normed, bias: .optional) + turns()
        + [
          t.attend(chunk: isChunked ? length : nil), t.attentionOutput(bias: .optional),
          t.add(.output, to: .stream), t.norm(.stream, "ffn_norm", into: .normed),
        ] + network() + [t.add(.output, to: .stream)]
    })
}
