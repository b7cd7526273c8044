// ArchitectureRefusalTests.swift: hostile values of the keys and tensors that a single architecture
// has, and what people are told of files that cannot be run.

import Inference
import Testing

@Suite struct ArchitectureRefusalTests {
  /// What the small model of an architecture is refused with after a change.
  private func check(_ architecture: String, _ wanted: String, _ change: (inout SyntheticModel) -> Void) {
    guard var synthetic = ProgramTests.models.first(where: { $0.architecture == architecture }) else {
      Issue.record("no small model of \(architecture)")
      return
    }
    change(&synthetic)
    do {
      _ = try synthetic.model()
      Issue.record("\(architecture) was accepted, wanted: \(wanted)")
    } catch {
      #expect("\(error)".replacing("model 'synthetic.gguf': ", with: "") == wanted)
    }
  }

  @Test func `fused matrices and factors are checked`() {
    check("phi3", "tensor 'blk.0.attn_qkv.weight' is 64 x 96, wanted 64 x 128") {
      $0.extents["blk.0.attn_qkv.weight"] = [64, 96]
    }
    check("phi3", "tensor 'blk.1.ffn_up.weight' is 64 x 96, wanted 64 x 192") {
      $0.extents["blk.1.ffn_up.weight"] = [64, 96]
    }
    check("phi3", "tensor 'rope_factors_long.weight' is 8, wanted 6") {
      $0.extents["rope_factors_long.weight"] = [8]
    }
    check("phi3", "tensor 'rope_factors_long.weight' has 0.0 at index 0, wanted above 0") {
      $0.constants["rope_factors_long.weight"] = 0
    }
    check("phi3", "tensor 'blk.0.ffn_gate.weight' has no place in a model of architecture 'phi3'") {
      $0.extra["blk.0.ffn_gate.weight"] = [64]
    }
    check("glm4", "tensor 'blk.0.attn_qkv.bias' is 96, wanted 128") {
      $0.extents["blk.0.attn_qkv.bias"] = [96]
    }
  }

  @Test func `what LayerNorm needs is asked for by name`() {
    check("starcoder2", "tensor 'blk.0.attn_norm.bias' is missing, wanted 64") {
      $0.without = ["blk.0.attn_norm.bias"]
    }
    check("starcoder2", "tensor 'blk.1.ffn_down.bias' is missing, wanted 64") {
      $0.without = ["blk.1.ffn_down.bias"]
    }
    check("nemotron", "tensor 'output.weight' is missing, wanted 64 x 90") { $0.isTied = true }
    check("cohere2", "metadata key 'cohere2.logit_scale' is missing") { $0.numbers["logit_scale"] = nil }
    check("cohere2", "metadata key 'cohere2.attention.sliding_window' is missing") {
      $0.integers["cohere2.attention.sliding_window"] = nil
    }
    check("cohere2", "cohere2.attention.layer_norm_epsilon is 0.5, wanted 1e-12 to 0.1") {
      $0.numbers["attention.layer_norm_epsilon"] = 0.5
    }
  }

  @Test func `numbers of scaled positions have bounds`() {
    check("mistral3", "mistral3.rope.scaling.yarn_beta_fast is 0.0, wanted 0.001 to 1000000.0") {
      $0.numbers["rope.scaling.yarn_beta_fast"] = 0
    }
    check("mistral3", "mistral3.rope.scaling.yarn_log_multiplier is -1.0, wanted 0.0 to 1000.0") {
      $0.numbers["rope.scaling.yarn_log_multiplier"] = -1
    }
    check("mistral3", "mistral3.attention.temperature_scale is 10000.0, wanted 0.0 to 1000.0") {
      $0.numbers["attention.temperature_scale"] = 1e4
    }
    check(
      "mistral3",
      "metadata key 'mistral3.rope.scaling.original_context_length' is 0, wanted 1 to 16777216"
    ) {
      $0.integers["mistral3.rope.scaling.original_context_length"] = 0
    }
  }

  @Test func `layers of Gemma 4 that don't fit each other are refused`() {
    let pattern = "gemma4.attention.sliding_window_pattern"
    check("gemma4", "metadata key '\(pattern)' is missing") { $0.flags = [:] }
    check("gemma4", "metadata key 'gemma4.attention.sliding_window' is missing") {
      $0.integers["gemma4.attention.sliding_window"] = nil
    }
    check(
      "gemma4",
      "metadata key '\(pattern)' is an array of 2 of type bool, wanted a number, or a flag for each of the 6 layers"
    ) {
      $0.flags[pattern] = [true, false]
    }
    check("gemma4", "metadata key 'gemma4.attention.shared_kv_layers' is 6, wanted 0 to 5") {
      $0.integers["gemma4.attention.shared_kv_layers"] = 6
    }
    check(
      "gemma4",
      "layer 4 has no keys and values, and no layer before it of its kind has, which is not supported"
    ) {
      $0.flags[pattern] = [false, false, false, false, true, false]
    }
    check("gemma4", "gemma4.attention.value_length_swa is 32, wanted the key length 16") {
      $0.integers["gemma4.attention.value_length_swa"] = 32
    }
    check("gemma4", "gemma4.rope.dimension_count_swa is 18, wanted an even number up to the head size 16") {
      $0.integers["gemma4.rope.dimension_count_swa"] = 18
    }
    check("gemma4", "gemma4.attention.head_count_kv is 3, wanted a divisor of the 4 heads") {
      $0.lists["gemma4.attention.head_count_kv"] = [2, 1, 3, 1, 2, 1]
    }
    check(
      "gemma4",
      "metadata key 'gemma4.feed_forward_length' is an array of 2 of type int32, wanted an integer for each of the 6 layers"
    ) {
      $0.lists["gemma4.feed_forward_length"] = [96, 96]
    }
    check("gemma4", "tensor 'blk.2.layer_output_scale.weight' is nan, wanted a finite number") {
      $0.constants["blk.2.layer_output_scale.weight"] = .nan
    }
    check("gemma4", "tensor 'blk.5.attn_k.weight' has no place in a model of architecture 'gemma4'") {
      $0.without.remove("blk.5.attn_k.weight")
    }
  }

  @Test func `a refused file says which architectures run`() {
    let names = Architecture.all.map(\.name)
    let problems: [ModelError.Problem] = [
      .unsupportedArchitecture("rwkv7", supported: names), .unsupportedFeature("a window in the past"),
      .unknownTensor(name: "blk.0.time_mix.weight", architecture: "llama"),
    ]
    for problem in problems {
      let hint = ModelError(file: "x.gguf", problem: problem).hint ?? ""
      for name in names { #expect(hint.contains(name), "\(problem)") }
    }
    #expect(
      "\(problems[0])"
        == "architecture 'rwkv7' is not supported, supported are \(names.joined(separator: ", "))")
  }
}
