// DeviceTests.swift: processors against the device that is hotpot-numerics(7) in Swift.

import CKernels
import Foundation
import Inference
import Testing

@Suite struct DeviceTests {
  private func engine(
    _ model: Model, _ profile: Engine.Profile, blocks: Int = 8,
    _ device: @escaping (Model, Engine.Configuration, [Int]) throws(EngineError) -> any Device
  ) throws -> Engine {
    try Engine(
      model: model, configuration: .init(profile: profile, kvBlocks: blocks), device: device)
  }

  private func reference(_ model: Model, _ profile: Engine.Profile) throws -> Engine {
    try engine(model, profile) { model, configuration, blocks throws(EngineError) in
      ReferenceDevice(model: model, profile: configuration.profile)
    }
  }

  @Test(arguments: Engine.Profile.allCases)
  func `processors give the bits of the numerics page for every architecture`(_ profile: Engine.Profile)
    throws
  {
    // The page in Swift takes hours under a sanitizer, and is not what one looks for faults in.
    let isSanitized = ProcessInfo.processInfo.environment["HOTPOT_SANITIZER"] != nil
    let models = ProgramTests.models + ProgramTests.mixtures + [MadeUp.model]
    for (index, synthetic) in models.enumerated() where !isSanitized || index % 12 == 0 {
      var synthetic = synthetic
      synthetic.types = [.q41, .q80, .q40, .f16]
      let model = try MadeUp.load(synthetic)
      let text = (0..<34).map { Int32($0 * 41 % synthetic.vocabulary) }
      let expected = try reference(model, profile).logits(text, chunk: 34)
      for level in KernelLevel.available {
        let engine = try Engine(
          model: model, configuration: .init(threads: 2, profile: profile, kvBlocks: 8, level: level))
        let logits = try engine.logits(text, chunk: 11)
        #expect(
          logits.map(\.bitPattern) == expected.map(\.bitPattern),
          "\(synthetic.architecture) \(profile.rawValue) at \(level.name)")
      }
    }
  }

  @Test func `a device is hidden behind the engine: choices, digests, swapping and cancelling are the same`()
    throws
  {
    let model = try MadeUp.load(ProgramTests.models[2])
    let engines = [try reference(model, .a15), try Engine(model: model, configuration: .init(kvBlocks: 8))]
    let outcomes = try engines.map { engine in
      var generation = Generation(engine: engine)
      return try generation.run(
        prompt: [5, 4, 3, 2, 1], options: .init(maximumTokens: 20, digests: true, lookahead: 3))
    }
    #expect(outcomes[0].tokens == outcomes[1].tokens)
    #expect(outcomes[0].digests == outcomes[1].digests)
    for engine in engines {
      // Positions 0 to 15 are in block 0, and go on from block 3.
      let item = StepItem(tokens: [7], position: 16, blocks: [0, 1], output: .all, digests: true)
      let before = try engine.step([item])[0].digests
      try engine.writeBlock(3, engine.readBlock(0))
      try engine.copyBlock(3, to: 4)
      try engine.writeBlock(0, [UInt8](repeating: 0xFF, count: engine.blockByteCount()))
      var moved = item
      moved.blocks = [4, 1]
      #expect(try engine.step([moved])[0].digests == before)
      #expect(throws: EngineError.cancelled) { try engine.step([item]) { true } }
    }
  }
}

@Suite struct GatheringTests {
  @Test func `rows without an output are dropped before layers that keep nothing, and change none`() throws {
    let synthetic = try #require(ProgramTests.models.first { $0.architecture == "gemma4" })
    let model = try synthetic.model()
    let texts = (0..<3).map { k in (0..<40).map { Int32(($0 * 37 + k * 11) % synthetic.vocabulary) } }
    func blocks(_ k: Int) -> [Int32] { (0..<3).map { Int32(3 * k + $0) } }
    for threads in [1, 3] {
      let configuration = Engine.Configuration(threads: threads, kvBlocks: 9)
      let whole = try Engine(model: model, configuration: configuration)
      let expected = try (0..<3).map { k in
        try whole.step([
          StepItem(tokens: texts[k], position: 0, blocks: blocks(k), output: .all, digests: true)
        ])[0].digests
      }
      let engine = try Engine(model: model, configuration: configuration)
      let greedy = SamplingContext(.greedy, promptCount: 0)
      func part(_ k: Int, _ range: Range<Int>, _ output: StepItem.Output) -> StepItem {
        StepItem(
          tokens: Array(texts[k][range]), position: range.lowerBound, blocks: blocks(k), output: output,
          digests: true)
      }
      // Beginnings without any output, then an end, some in the middle, and one token.
      _ = try engine.step([part(0, 0..<25, .none), part(1, 0..<7, .none)])
      let results = try engine.step([
        part(0, 25..<40, .last(greedy)), part(1, 7..<30, .none), part(2, 0..<9, .all),
      ])
      #expect(results[0].digests == [expected[0][39]])
      #expect(results[2].digests == Array(expected[2][0..<9]))
      #expect(try engine.step([part(1, 30..<31, .last(greedy))])[0].digests == [expected[1][30]])
    }
  }
}

@Suite struct WindowTests {
  /// A text through an engine whose windows have few blocks: those behind are given back and used
  /// again.
  private func digests(_ model: Model, chunk: Int, windowBlocks: Int) throws -> [[UInt8]] {
    let total = 200
    let text = (0..<total).map { Int32($0 * 37 % 90) }
    let engine = try Engine(
      model: model,
      configuration: {
        var configuration = Engine.Configuration(threads: 2, kvBlocks: 13)
        configuration.windowBlocks = [windowBlocks]
        return configuration
      }())
    var free = (0..<Int32(windowBlocks)).map { $0 }
    var table: [Int32] = []
    var digests: [[UInt8]] = []
    for first in stride(from: 0, to: total, by: chunk) {
      let end = min(first + chunk, total)
      // What no token from here on sees is given up, then overwritten by what comes.
      for block in 0..<(max(0, first + 1 - MadeUp.window) / 16) where table[block] >= 0 {
        free.append(table[block])
        table[block] = -1
      }
      while table.count * 16 < end {
        let block = free.popLast()
        table.append(try #require(block))
      }
      let item = StepItem(
        tokens: Array(text[first..<end]), position: first, blocks: (0..<13).map { $0 }, windows: [table],
        output: .all, digests: true)
      digests += try engine.step([item])[0].digests
    }
    return digests
  }

  @Test func `a window needs only the blocks that it sees`() throws {
    let model = try MadeUp.load(MadeUp.model)
    #expect(model.windows == [MadeUp.window])
    let whole = try digests(model, chunk: 200, windowBlocks: 13)
    // 24 positions lie in at most three blocks, and a chunk's own come with them.
    for (chunk, blocks) in [(1, 3), (3, 3), (16, 4), (40, 6)] {
      #expect(try digests(model, chunk: chunk, windowBlocks: blocks) == whole, "chunks of \(chunk)")
    }
  }

  @Test func `a table of a window that lacks what is seen is refused`() throws {
    let model = try MadeUp.load(MadeUp.model)
    let engine = try Engine(model: model, configuration: .init(kvBlocks: 8))
    func check(_ reason: String, _ windows: [[Int32]]) {
      let item = StepItem(tokens: [1], position: 60, blocks: [0, 1, 2, 3], windows: windows, output: .none)
      do {
        _ = try engine.step([item])
        Issue.record("accepted")
      } catch {
        #expect(error == .badItem(index: 0, reason: reason))
      }
    }
    check("2 tables of windows, the model has 1", [[0, 1, 2, 3], [0, 1, 2, 3]])
    check("3 blocks for 61 positions, wanted 4", [[0, 1, 2]])
    // Position 60 sees 37 and what follows it.
    check("block -1, the cache has 8", [[-1, -1, -1, 3]])
    #expect(
      try engine.step([
        StepItem(tokens: [1], position: 60, blocks: [0, 1, 2, 3], windows: [[-1, -1, 2, 3]], output: .none)
      ])[0].failure == nil)
  }

  @Test func `windows and all positions are kept apart`() throws {
    let model = try MadeUp.load(MadeUp.model)
    let engine = try Engine(model: model, configuration: .init(kvBlocks: 2))
    let whole = [UInt8](repeating: 7, count: engine.blockByteCount())
    let window = [UInt8](repeating: 9, count: engine.blockByteCount(window: 0))
    try engine.writeBlock(1, whole)
    try engine.writeBlock(1, window, window: 0)
    try engine.copyBlock(1, to: 0, window: 0)
    #expect(try engine.readBlock(1) == whole)
    #expect(try engine.readBlock(0, window: 0) == window)
    #expect(throws: EngineError.self) { try engine.readBlock(0, window: 1) }
    #expect(
      model.kvBytesPerPosition + model.bytesPerPosition(.window(MadeUp.window)) == 4 * 2 * 2 * (2 * 16 + 4))
  }
}
