// EmbeddingTests.swift: vectors of texts: the same bits by every level, number of threads and way of
// cutting a text, equal to hotpot-numerics(7) in Swift, frozen.

import CKernels
import Inference
import Testing

@Suite struct EmbeddingTests {
  /// As Qwen3-Embedding is.
  static let qwen3: SyntheticModel = {
    var model = ProgramTests.models[2]
    model.integers["qwen3.pooling_type"] = 3
    return model
  }()
  static let gemma = ProgramTests.readers[0]

  /// Longer than a window and a block, and not a multiple of anything.
  private static func text(_ model: SyntheticModel, _ count: Int = 75) -> [Int32] {
    (0..<count).map { Int32($0 * 41 % model.vocabulary) }
  }

  private func engine(
    _ model: Model, threads: Int = 1, level: KernelLevel? = nil, _ profile: Engine.Profile = .a15
  ) throws -> Engine {
    try Engine(
      model: model, configuration: .init(threads: threads, profile: profile, kvBlocks: 8, level: level))
  }

  private func reference(_ model: Model, _ profile: Engine.Profile) throws -> Engine {
    try Engine(model: model, configuration: .init(profile: profile, kvBlocks: 8)) {
      model, configuration, blocks throws(EngineError) in
      ReferenceDevice(model: model, profile: configuration.profile)
    }
  }

  private func digest(_ vector: [Float]) -> String {
    var digest = LogitsDigest()
    digest.update(vector)
    return String(digest.finish().prefix(16))
  }

  private static let frozen: [String: String] = [
    "gemma-embedding cls": "86d17b8a63e823e0",
    "gemma-embedding last": "8590cd723ec6c133",
    "gemma-embedding mean": "0e8d64258d596de6",
    "qwen3 cls": "0afe2055d9879252",
    "qwen3 last": "cd5b7e2b30a69d13",
    "qwen3 mean": "4a34f1f90f26bb2e",
  ]

  @Test(arguments: Pooling.allCases)
  func `a text has one vector, whatever computes it`(_ pooling: Pooling) throws {
    for synthetic in [Self.qwen3, Self.gemma] {
      let model = try synthetic.model()
      let text = Self.text(synthetic)
      let name = "\(synthetic.architecture) \(pooling.rawValue)"
      for level in KernelLevel.available {
        for (threads, chunk) in [(1, 75), (2, 16), (3, 7), (1, 1)] {
          let engine = try engine(model, threads: threads, level: level)
          let vector = try engine.embed(text, pooling, dimensions: 64, chunk: chunk)
          let found = digest(vector)
          #expect(
            found == Self.frozen[name], "\(name) at \(level.name), \(threads) threads, chunks of \(chunk)")
        }
      }
    }
  }

  @Test(arguments: Engine.Profile.allCases)
  func `vectors are those of the numerics page`(_ profile: Engine.Profile) throws {
    for var synthetic in [Self.qwen3, Self.gemma] {
      synthetic.types = [.q41, .q80, .q40, .f16]
      let model = try synthetic.model()
      for pooling in Pooling.allCases {
        for (count, dimensions) in [(1, 64), (34, 33)] {
          let text = Self.text(synthetic, count)
          let wanted = try reference(model, profile).embed(text, pooling, dimensions: dimensions)
          let found = try engine(model, threads: 2, profile).embed(text, pooling, dimensions: dimensions)
          #expect(found.map(\.bitPattern) == wanted.map(\.bitPattern), "\(synthetic.architecture) \(pooling)")
          #expect(found.count == dimensions)
          let length = found.reduce(0) { $0 + Double($1) * Double($1) }
          #expect(abs(length - 1) < 1e-5)
        }
      }
    }
  }

  @Test func `texts beside each other change no vector, and a window sees half before and half behind`()
    throws
  {
    let model = try Self.gemma.model()
    let engine = try engine(model, threads: 2)
    let text = Self.text(Self.gemma)
    func item(_ text: [Int32], _ blocks: Range<Int32>) -> StepItem {
      StepItem(tokens: text, position: 0, blocks: Array(blocks), output: .all, states: true)
    }
    let alone = try engine.step([item(text, 0..<5)])[0].states
    let together = try engine.step([
      item(Array(text.prefix(9)), 5..<6), item(text, 0..<5), item([3], 7..<8),
    ])[1].states
    let isSame = alone == together
    #expect(isSame)
    let attention = model.program.layers[0].compactMap { operation -> Attend? in
      if case .attend(let attend) = operation { attend } else { nil }
    }
    let windowed = try #require(attention.first)
    #expect(windowed.window == 20)
    #expect(windowed.seen(at: 0, of: 75) == 0..<11)
    #expect(windowed.seen(at: 40, of: 75) == 30..<51)
    #expect(windowed.seen(at: 74, of: 75) == 64..<75)
    // The last token has a part in the first one's hidden state: a layer without a window sees it.
    var changed = text
    changed[74] = 1
    let isOther = try engine.step([item(changed, 0..<5)])[0].states.prefix(64) != alone.prefix(64)
    #expect(isOther)
  }

  @Test func `a model that reads both ways takes whole texts alone`() throws {
    let model = try Self.gemma.model()
    #expect(model.readsBothWays)
    #expect(model.pooling == .mean)
    #expect(model.windows.isEmpty)
    let engine = try engine(model)
    for item in [
      StepItem(tokens: [1], position: 3, blocks: [0], output: .all),
      StepItem(tokens: [1], position: 0, blocks: [0], output: .end),
    ] {
      #expect(
        throws: EngineError.badItem(
          index: 0,
          reason: "this model reads a whole text from its beginning, and every position has an output")
      ) { try engine.step([item]) }
    }
  }

  @Test func `what files say of pooling is read, and ranking is refused by name`() throws {
    for (number, pooling) in [(0, nil), (1, .mean), (2, .first), (3, .last)] as [(UInt32, Pooling?)] {
      var synthetic = Self.qwen3
      synthetic.integers["qwen3.pooling_type"] = number
      #expect(try synthetic.model().pooling == pooling)
    }
    #expect(try ProgramTests.models[2].model().pooling == nil)
    for (number, words) in [
      (4, "it ranks pairs of texts ('qwen3.pooling_type' is 4)"), (9, "hidden states are pooled by rule 9"),
    ] as [(UInt32, String)] {
      var synthetic = Self.qwen3
      synthetic.integers["qwen3.pooling_type"] = number
      do {
        _ = try synthetic.model()
        Issue.record("accepted")
      } catch { #expect("\(error)".contains(words), "\(error)") }
    }
  }

  @Test func `numbers that are not there are refused`() throws {
    let engine = try engine(try Self.qwen3.model())
    #expect(
      throws: EngineError.badConfiguration(field: "dimensions", found: "65", wanted: "1 to 64")
    ) { try engine.embed([1, 2], .last, dimensions: 65) }
    #expect(
      throws: EngineError.badConfiguration(
        field: "the hidden state", found: "0 numbers", wanted: "64, which a text's chunks give")
    ) { try engine.embed([], .mean, dimensions: 64) }
  }
}
