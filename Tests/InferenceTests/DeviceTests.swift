// DeviceTests.swift: processors against the device that is hotpot-numerics(7) in Swift.

import CKernels
import Inference
import Testing

@Suite struct DeviceTests {
  private func engine(
    _ model: Model, _ profile: Engine.Profile, blocks: Int = 8,
    _ device: @escaping (Model, Engine.Configuration) throws(EngineError) -> any Device
  ) throws -> Engine {
    try Engine(
      model: model, configuration: .init(profile: profile, kvBlocks: blocks), device: device)
  }

  private func reference(_ model: Model, _ profile: Engine.Profile) throws -> Engine {
    try engine(model, profile) { model, configuration throws(EngineError) in
      ReferenceDevice(model: model, profile: configuration.profile)
    }
  }

  @Test(arguments: Engine.Profile.allCases)
  func `processors give the bits of the numerics page for every architecture`(_ profile: Engine.Profile)
    throws
  {
    for var synthetic in ProgramTests.models + [MadeUp.model] {
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
      try engine.writeBlock(0, [UInt8](repeating: 0xFF, count: engine.blockByteCount))
      var moved = item
      moved.blocks = [4, 1]
      #expect(try engine.step([moved])[0].digests == before)
      #expect(throws: EngineError.cancelled) { try engine.step([item]) { true } }
    }
  }
}
