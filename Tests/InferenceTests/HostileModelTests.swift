// HostileModelTests.swift: small models of every architecture whose tensors are not as wanted, and whose
// bytes are mutated: each is refused with a reason, or computes. Nothing traps.
// Leaves out single keys (HostileKeyTests) and files that are no models (GGUFTests).

import Fuzzing
import Inference
import TestSettings
import Testing

enum HostileModel {
  /// What became of a file.
  enum Outcome {
    case refused(String)
    /// Read, and a step failed with this error: numbers that are not finite, a context of one position.
    case failed(EngineError)
    case computed
  }

  /// - vocabulary: how many logits a position has, if the file still has all; nil: not known
  static func outcome(of bytes: [UInt8], vocabulary: Int?) throws -> Outcome {
    let model: Model
    do {
      model = try Model(file: GGUFFile(bytes: bytes, name: "hostile.gguf"), threads: 1)
    } catch {
      return .refused("\(error)")
    }
    do {
      let engine = try Engine(model: model, configuration: .init(threads: 1, kvBlocks: 4))
      let count = model.hyperparameters.vocabularySize
      if let vocabulary { #expect(count == vocabulary) }
      let logits = try engine.logits([0, Int32(count > 1 ? 1 : 0), 0], chunk: 2)
      #expect(logits.count == 3 * count)
      return .computed
    } catch let error as EngineError {
      return .failed(error)
    }
  }
}

@Suite struct HostileModelTests {
  /// A way to spoil a tensor.
  private enum Damage: CaseIterable {
    case missing, transposed, longer, shorter, flat, empty

    func apply(to name: String, _ extents: [Int], of model: inout SyntheticModel) {
      switch self {
      case .missing: model.without.insert(name)
      case .transposed: model.extents[name] = extents.count > 1 ? extents.reversed() : extents + [2]
      case .longer: model.extents[name] = extents.dropLast() + [extents[extents.count - 1] + 32]
      case .shorter: model.extents[name] = extents.dropLast() + [max(extents[extents.count - 1] / 2, 1)]
      case .flat: model.extents[name] = [extents.reduce(1, *)]
      case .empty: model.extents[name] = extents.dropLast() + [0]
      }
    }
  }

  @Test func `a tensor that is missing or has another shape is refused by name, or not needed`() throws {
    var random = SplitMix(state: 23)
    var counts = (refused: 0, computed: 0)
    for synthetic in ProgramTests.models + ProgramTests.mixtures {
      let file = try GGUFFile(bytes: synthetic.bytes(), name: "plain.gguf")
      for tensor in file.tensors {
        for damage in Damage.allCases where isHeavy || Int.random(in: 0..<8, using: &random) == 0 {
          var spoiled = synthetic
          damage.apply(to: tensor.name, tensor.dimensions, of: &spoiled)
          // Rows of blocks cannot have other lengths: such a file is refused before it is a model.
          switch try HostileModel.outcome(of: spoiled.bytes(), vocabulary: nil) {
          case .computed, .failed: counts.computed += 1
          case .refused(let reason):
            counts.refused += 1
            let says = reason.contains("'\(tensor.name)'") || reason.count > 30
            #expect(says, "\(synthetic.architecture) \(tensor.name) \(damage): \(reason)")
          }
        }
      }
    }
    print("spoiled tensors: \(counts)")
    #expect(counts.refused > 5 * counts.computed)
  }

  /// `HOTPOT_HEAVY=1`: a million.
  @Test func `mutated models are refused with a reason or computed with`() throws {
    let corpus = (ProgramTests.models + ProgramTests.mixtures).map { $0.bytes() }
    var generator = SeededGenerator(seed: 29)
    var counts = (refused: 0, failed: 0, computed: 0)
    for run in 0..<(isHeavy ? 1_000_000 : 300) {
      let seed = corpus[generator.below(corpus.count)]
      // Most of a file is weights, which may be anything: three of four changes are before them.
      var bytes: [UInt8]
      if generator.oneIn(4) {
        bytes = Mutation.mutate(seed, corpus: corpus, &generator)
      } else {
        bytes = seed
        for _ in 0...generator.below(3) {
          bytes[generator.below(min(bytes.count, 4_096))] = UInt8(truncatingIfNeeded: generator.next())
        }
      }
      switch try HostileModel.outcome(of: bytes, vocabulary: nil) {
      case .computed: counts.computed += 1
      case .failed: counts.failed += 1
      case .refused(let reason):
        counts.refused += 1
        let says = reason.count > 20
        #expect(says, "mutation \(run): \(reason)")
      }
    }
    print("mutated models: \(counts)")
    #expect(counts.refused > 0 && counts.computed > 0)
  }
}
