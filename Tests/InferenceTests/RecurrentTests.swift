// RecurrentTests.swift: models whose state has no past: prefixes, guesses, cancelling and swapping
// give the bits of a sequence that is computed once, token by token.

import Inference
import Testing

@Suite struct RecurrentTests {
  /// One of each architecture that has a recurrent state.
  static let models = ProgramTests.models.filter {
    [
      "qwen35", "lfm2", "falcon-h1", "qwen35moe", "qwen3next", "nemotron_h", "nemotron_h_moe",
    ].contains($0.architecture)
  }

  private func engine(_ synthetic: SyntheticModel, slots: Int = 16) throws -> Engine {
    var configuration = Engine.Configuration(threads: 2, kvBlocks: 16)
    configuration.stateSlots = slots
    return try Engine(model: synthetic.model(), configuration: configuration)
  }

  private func prompt(_ count: Int, seed: Int = 37) -> [Int32] { (0..<count).map { Int32($0 * seed % 90) } }

  @Test func `guesses change no token, whether they are right or wrong`() throws {
    var saved = 0
    for synthetic in Self.models {
      // A repetition that the model does not continue at first, so that guesses are wrong; later one of
      // them falls into one of its own, and they are right.
      let prompt = (0..<40).map { Int32([3, 1, 4, 1, 5, 9, 2][$0 % 7]) }
      var plain = Generation(engine: try engine(synthetic))
      let expected = try plain.run(prompt: prompt, options: .init(maximumTokens: 60, digests: true))
      for lookahead in [1, 2, 5] {
        for slots in [2, 3, 16] {
          var generation = Generation(engine: try engine(synthetic, slots: slots))
          let outcome = try generation.run(
            prompt: prompt, options: .init(maximumTokens: 60, digests: true, lookahead: lookahead))
          #expect(outcome.tokens == expected.tokens, "\(synthetic.architecture), \(lookahead) ahead")
          #expect(outcome.digests == expected.digests)
          saved += expected.decodeSteps - outcome.decodeSteps
        }
      }
      #expect(expected.tokens[1].token != 4)
    }
    // Some guesses were right.
    #expect(saved > 0)
  }

  @Test func `a prefix is reused at the border that was kept, and only there`() throws {
    for synthetic in Self.models {
      var generation = Generation(engine: try engine(synthetic))
      let first = prompt(100)
      var options = Generation.Options(maximumTokens: 10, chunk: 64, digests: true)
      options.borders = [30, 70]
      let answer = try generation.run(prompt: first, options: options).tokens.map(\.token)
      func check(_ prompt: [Int32], reuses count: Int) throws {
        let outcome = try generation.run(prompt: prompt, options: options)
        #expect(outcome.reusedCount == count, "\(synthetic.architecture)")
        var fresh = Generation(engine: try engine(synthetic))
        let expected = try fresh.run(prompt: prompt, options: .init(maximumTokens: 10, digests: true))
        #expect(outcome.tokens == expected.tokens && outcome.digests == expected.digests)
      }
      // Everything but the last token of the answer is computed.
      try check(first + answer + prompt(20, seed: 11), reuses: 109)
      // Another end: the last border before the texts part, which is at 85.
      try check(Array(first.prefix(85)) + prompt(30, seed: 7), reuses: 70)
      try check(Array(first.prefix(60)) + prompt(30, seed: 19), reuses: 30)
      // Texts that part before the first border share nothing.
      try check(Array(first.prefix(25)) + prompt(30, seed: 19), reuses: 0)
    }
  }

  @Test func `a cancelled step leaves the state as it was`() throws {
    for synthetic in Self.models {
      var generation = Generation(engine: try engine(synthetic))
      var fresh = Generation(engine: try engine(synthetic))
      let prompt = prompt(50)
      let options = Generation.Options(maximumTokens: 12, chunk: 16, digests: true)
      let expected = try fresh.run(prompt: prompt, options: options)
      // Layers of a step are asked for in turn: somewhere in a chunk of the prompt, and in a decode.
      for layers in [0, 3, 9, 18] {
        var asked = 0
        let cut = try generation.run(
          prompt: prompt, options: options,
          isCancelled: {
            asked += 1
            return asked > layers
          })
        #expect(cut.finish == .cancelled)
        let outcome = try generation.run(prompt: prompt, options: options)
        #expect(outcome.tokens == expected.tokens && outcome.digests == expected.digests)
      }
    }
  }

  @Test func `a state is forked, saved and restored with its bits`() throws {
    for synthetic in Self.models {
      let engine = try engine(synthetic)
      func step(_ tokens: [Int32], _ position: Int, _ blocks: [Int32], from: Int32, into: Int32) throws
        -> [[UInt8]]
      {
        try engine.step([
          StepItem(
            tokens: tokens, position: position, blocks: blocks, state: .init(from: from, into: into),
            output: .all, digests: true)
        ])[0].digests
      }
      // Two sequences go on from one prefix of a whole block, whose state is in slot 3.
      _ = try step(prompt(16), 0, [0], from: 15, into: 3)
      let (one, other) = (prompt(9, seed: 5), prompt(9, seed: 13))
      let results = try engine.step(
        zip([one, other], [4, 5] as [Int32]).map { tokens, slot in
          StepItem(
            tokens: tokens, position: 16, blocks: [0, slot], state: .init(from: 3, into: slot),
            output: .all, digests: true)
        })
      #expect(results[0].digests != results[1].digests)
      for (tokens, digests) in zip([one, other], results.map(\.digests)) {
        let alone = try step(prompt(16) + tokens, 0, [8, 9], from: 0, into: 9)
        #expect(alone.suffix(9) == digests[...])
      }
      // Put away and back, it goes on the same.
      let bytes = try engine.readState(4)
      #expect(bytes.count == engine.stateByteCount)
      let next = try step([7], 25, [0, 4], from: 4, into: 6)
      try engine.writeState(4, [UInt8](repeating: 0xFF, count: bytes.count))
      try engine.writeState(11, bytes)
      #expect(try step([7], 25, [0, 4], from: 11, into: 11) == next)
    }
  }

  @Test func `items without a state, or with another's, are refused`() throws {
    let engine = try engine(Self.models[0], slots: 4)
    func check(_ reason: String, index: Int = 0, _ items: [StepItem]) {
      do {
        _ = try engine.step(items)
        Issue.record("accepted, wanted: \(reason)")
      } catch {
        #expect(error == .badItem(index: index, reason: reason))
      }
    }
    func item(_ position: Int, _ state: StepItem.State?, block: Int32 = 0) -> StepItem {
      StepItem(tokens: [1], position: position, blocks: [block, block + 1], state: state, output: .none)
    }
    check("no slot for the recurrent state", [item(0, nil)])
    check("slot 4 for the recurrent state, there are 4", [item(0, .init(4))])
    check("slot -1 for the recurrent state, there are 4", [item(3, .init(from: -1, into: 2))])
    let shared = "slot 2 for the recurrent state is another item's too"
    check(shared, index: 1, [item(3, .init(2)), item(0, .init(2))])
    check(shared, index: 1, [item(3, .init(from: 2, into: 1)), item(3, .init(from: 3, into: 2))])
    // At position 0 nothing is read, and a slot may be read twice.
    for items in [
      [item(0, .init(from: -1, into: 1))],
      [item(3, .init(from: 3, into: 1)), item(3, .init(from: 3, into: 2), block: 2)],
    ] {
      #expect(try engine.step(items).allSatisfy { $0.failure == nil })
    }
    #expect(throws: EngineError.self) { try engine.readState(4) }
    #expect(throws: EngineError.self) { try engine.writeState(0, [1]) }
    #expect(throws: EngineError.badConfiguration(field: "stateSlots", found: "1", wanted: "2 to 65536")) {
      try self.engine(Self.models[0], slots: 1)
    }
    let dense = try Engine(model: ProgramTests.models[0].model(), configuration: .init(kvBlocks: 1))
    #expect(throws: EngineError.self) { try dense.readState(0) }
    #expect(dense.stateByteCount == 0)
  }

  @Test func `layers that predict further tokens are left out, and said to be`() throws {
    var synthetic = Self.models[0]
    synthetic.integers["qwen35.nextn_predict_layers"] = 1
    let model = try synthetic.model()
    #expect(model.hyperparameters.layerCount == synthetic.layers - 1)
    #expect(model.notes == ["1 more layer, which predicts further tokens, is not run"])
    #expect(model.program.lines.last == model.notes.first)
    #expect(!model.program.tensors.contains { $0.tensor.name.hasPrefix("blk.3.") })
  }
}
