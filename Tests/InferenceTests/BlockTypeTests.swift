// BlockTypeTests.swift: whole models in one block type: the bits of hotpot-numerics(7) at every level,
// logits beside those of the same values as F32, and files whose rows are no whole blocks.
// Leaves out single blocks (KernelFormatTests) and products (KernelProductTests).

import CKernels
import Foundation
import Fuzzing
import Inference
import Testing

@Suite struct BlockTypeTests {
  /// Those that ReferenceDevice reads and DeviceTests do not run.
  static let types: [GGUFTensorType] = [
    .mxfp4, .iq1S, .iq1M, .iq2XXS, .iq2XS, .iq2S, .iq3XXS, .iq3S, .tq10, .tq20,
  ]

  private func model(_ type: GGUFTensorType) -> SyntheticModel {
    var model = SyntheticModel(layers: 1, feedForward: 256, heads: 4, kvHeads: 1, vocabulary: 64, context: 64)
    model.types = [type]
    return model
  }

  @Test(arguments: types) func `a model gives the bits of the numerics page at every level`(
    _ type: GGUFTensorType
  ) throws {
    let synthetic = model(type)
    let loaded = try synthetic.model()
    // Enough tokens for the tile unit. All profiles are in KernelProductTests.
    let text = (0..<30).map { Int32($0 * 41 % synthetic.vocabulary) }
    let reference = try Engine(model: loaded, configuration: .init(kvBlocks: 8)) {
      model, configuration, _ throws(EngineError) in
      ReferenceDevice(model: model, profile: configuration.profile)
    }
    let expected = try reference.logits(text, chunk: 30)
    for level in KernelLevel.available {
      let engine = try Engine(
        model: loaded, configuration: .init(threads: 2, kvBlocks: 8, level: level))
      for chunk in [1, 11, 30] {
        let logits = try engine.logits(text, chunk: chunk)
        let isSame = logits.map(\.bitPattern) == expected.map(\.bitPattern)
        #expect(isSame, "at \(level.name), chunks of \(chunk)")
      }
    }
  }

  /// Exact weights with f32 activations against the quantised ones: what a profile costs. Bounds are
  /// those of GoldenTests, but for A8: made-up weights spread the logits more.
  @Test func `logits of every type are close to those of the same values as F32`() throws {
    var table = "mean KL(F32 || ours)            A15        A12         A8\n"
    for type in GGUFTensorType.allCases where type.blockSize > 1 {
      var synthetic = SyntheticModel(seed: 3)
      synthetic.types = [type]
      let text = (0..<48).map { Int32($0 * 41 % synthetic.vocabulary) }
      let quantised = try synthetic.model()
      synthetic.isDequantised = true
      let exact = try Engine(model: synthetic.model(), configuration: .init(kvBlocks: 8)).allLogits(text)
      var line = type.name.padding(toLength: 24, withPad: " ", startingAt: 0)
      for (profile, limit) in [(Engine.Profile.a15, 8e-6), (.a12, 8e-5), (.a8, 2e-3)] {
        let engine = try Engine(model: quantised, configuration: .init(profile: profile, kvBlocks: 8))
        let divergence = meanDivergence(
          exact, try engine.allLogits(text), vocabulary: synthetic.vocabulary)
        #expect(divergence <= limit, "\(type.name) \(profile.rawValue): \(divergence)")
        line += String(format: "  %9.2e", divergence)
      }
      table += line + "\n"
    }
    print(table)
  }

  @Test func `rows that are no whole blocks are refused for every type`() throws {
    for type in GGUFTensorType.allCases where type.blockSize > 1 {
      for length in [type.blockSize / 2, type.blockSize + 16] {
        var synthetic = model(type)
        synthetic.extents["blk.0.ffn_up.weight"] = [length, 1_024]
        let bytes = synthetic.bytes()
        #expect(
          throws: GGUFError(
            file: "rows.gguf",
            problem: .partialBlock(
              tensor: "blk.0.ffn_up.weight", rowLength: length, type: type.name, blockSize: type.blockSize))
        ) { try GGUFFile(bytes: bytes, name: "rows.gguf") }
      }
    }
  }

  @Test func `a file that ends inside a block is refused for every type`() throws {
    for type in GGUFTensorType.allCases where type.blockSize > 1 {
      let bytes = model(type).bytes()
      // The last tensor is a matrix, behind which are up to 31 bytes of padding.
      let short = Array(bytes.dropLast(31 + type.blockByteCount))
      let error = #expect(throws: GGUFError.self) { try GGUFFile(bytes: short, name: "short.gguf") }
      #expect(
        error.map { "\($0)".contains("tensor 'blk.0.ffn_down.weight' ends at byte") } == true, "\(type.name)")
    }
  }
}
