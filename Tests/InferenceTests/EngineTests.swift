// EngineTests.swift: what the engine promises its callers beside the bits: replays, reuse, cancellation, refusals,
// failures that stay with one item.

import Foundation
import Inference
import TestSettings
import Testing

@Suite struct EngineTests {
  static let small = SyntheticModel(
    embedding: 64, feedForward: 96, heads: 2, kvHeads: 1, headSize: 32, vocabulary: 90, context: 256,
    types: [.q41, .q80], seed: 5)

  func engine(_ model: Model, threads: Int = 2, blocks: Int = 64) throws -> Engine {
    try Engine(model: model, configuration: .init(threads: threads, kvBlocks: blocks, maximumStepTokens: 300))
  }

  static let prompt: [Int32] = (0..<37).map { Int32($0 * 7 % 90) }

  static let requests = [
    SamplingRequest.greedy,
    SamplingRequest(temperature: 1, seed: 3),
    SamplingRequest(
      temperature: 0.8, topK: 30, topP: 0.9, minP: 0.01, repetitionPenalty: 1.2, presencePenalty: 0.3,
      frequencyPenalty: 0.2, logitBias: [.init(token: 4, bias: 1)], seed: 1 << 40, topLogprobs: 2),
  ]

  @Test func `a replay gives every token and digest of the generation`() throws {
    let engine = try engine(Self.small.model())
    for request in Self.requests {
      var generation = Generation(engine: engine)
      let made = try generation.run(
        prompt: Self.prompt, options: .init(sampling: request, maximumTokens: 60, digests: true))
      let tokens = made.tokens.map(\.token)
      #expect(tokens.count == 60)
      #expect(made.digests.count == 60)
      #expect(Set(tokens).count > 1)
      let text = Self.prompt + tokens
      let context = SamplingContext(request, promptCount: Self.prompt.count, transcript: text)
      // In two parts, beside another sequence.
      var choices: [SampledToken] = []
      var digests: [[UInt8]] = []
      for range in [0..<50, 50..<(text.count - 1)] {
        let results = try engine.step([
          StepItem(
            tokens: Array(text[range]), position: range.lowerBound, blocks: Array(30..<50),
            output: .replay(context), digests: true),
          StepItem(tokens: [1, 2, 3], position: 0, blocks: [60], output: .all),
        ])
        #expect(results[0].firstPosition == max(range.lowerBound, Self.prompt.count - 1))
        choices += results[0].choices
        digests += results[0].digests
      }
      #expect(choices == made.tokens)
      #expect(digests == made.digests)
    }
  }

  @Test func `guessing ahead changes no token and no digest`() throws {
    let engine = try engine(Self.small.model())
    let prompt = Self.prompt + Self.prompt + Self.prompt
    // One that repeats itself, so that guesses come true.
    let stubborn = SamplingRequest(logitBias: [.init(token: 4, bias: 100)])
    for request in Self.requests + [stubborn] {
      var results: [Generation.Outcome] = []
      for lookahead in [0, 1, 4] {
        var generation = Generation(engine: engine)
        results.append(
          try generation.run(
            prompt: prompt,
            options: .init(sampling: request, maximumTokens: 100, digests: true, lookahead: lookahead)))
      }
      for result in results {
        #expect(result.tokens == results[0].tokens)
        #expect(result.digests == results[0].digests)
        #expect(result.decodeSteps <= 99)
      }
      if request == stubborn { #expect(results.map(\.decodeSteps) == [99, 51, 23]) }
    }
  }

  @Test func `a conversation computes only what is new, to the same bits`() throws {
    let model = try Self.small.model()
    let engine = try engine(model)
    var generation = Generation(engine: engine)
    let options = Generation.Options(maximumTokens: 10, digests: true)
    let first = try generation.run(prompt: Self.prompt, options: options)
    let next = Self.prompt + first.tokens.map(\.token) + [5, 6, 7]
    let second = try generation.run(prompt: next, options: options)
    #expect(second.reusedCount == Self.prompt.count + 9)
    var fresh = Generation(engine: try self.engine(model, threads: 1))
    let whole = try fresh.run(prompt: next, options: options)
    #expect(whole.reusedCount == 0)
    #expect(whole.tokens == second.tokens)
    #expect(whole.digests == second.digests)
    // The same prompt again: one token is computed.
    #expect(try generation.run(prompt: next, options: options).reusedCount == next.count - 1)
    // Another beginning: nothing is reused.
    #expect(try generation.run(prompt: [89] + next, options: options).reusedCount == 0)
  }

  @Test func `logits come once for every position`() throws {
    let engine = try engine(Self.small.model())
    var generation = Generation(engine: engine)
    var logits: [Float] = []
    let outcome = try generation.run(
      prompt: Self.prompt, options: .init(maximumTokens: 9), onLogits: { logits += $0 })
    #expect(logits.count == (Self.prompt.count + 9) * 90)
    let text = Self.prompt + outcome.tokens.map(\.token)
    #expect(logits == (try engine.allLogits(text)))
  }

  @Test func `a generation ends where it is told to`() throws {
    let engine = try engine(Self.small.model())
    var generation = Generation(engine: engine)
    let free = try generation.run(prompt: Self.prompt, options: .init(maximumTokens: 12)).tokens.map(\.token)
    let end = free[5]
    let stopped = try generation.run(
      prompt: Self.prompt, options: .init(maximumTokens: 12, endTokens: [end]))
    #expect(stopped.finish == .stop)
    #expect(stopped.tokens.map(\.token) == Array(free.prefix { $0 != end }))
    var count = 0
    let told = try generation.run(
      prompt: Self.prompt, options: .init(maximumTokens: 12),
      onToken: { _ in
        count += 1
        return count < 3
      })
    #expect(told.finish == .stop)
    #expect(told.tokens.count == 3)
    let none = try generation.run(prompt: Self.prompt, options: .init(maximumTokens: 0))
    #expect(none.tokens.isEmpty)
    #expect(none.finish == .length)
    // The context has 256 positions; the token after the last one can still be chosen.
    let full = try generation.run(prompt: Self.prompt, options: .init(maximumTokens: 1_000))
    #expect(full.finish == .length)
    #expect(full.tokens.count == 256 - Self.prompt.count + 1)
    #expect(throws: EngineError.self) {
      try generation.run(prompt: [Int32](repeating: 1, count: 257), options: .init(maximumTokens: 1))
    }
  }

  @Test func `cancellation ends a step between layers and leaves the engine usable`() throws {
    let engine = try engine(Self.small.model())
    let item = StepItem(
      tokens: Self.prompt, position: 0, blocks: [0, 1, 2], output: .last(.init(.greedy, promptCount: 37)))
    let before = try engine.step([item])
    for layers in 0..<2 {
      var asked = 0
      #expect(throws: EngineError.cancelled) {
        try engine.step([item]) {
          asked += 1
          return asked > layers
        }
      }
      #expect(asked == layers + 1)
    }
    #expect(try engine.step([item])[0].choices == before[0].choices)
    var generation = Generation(engine: engine)
    let cut = try generation.run(
      prompt: Self.prompt, options: .init(maximumTokens: 5), isCancelled: { true })
    #expect(cut.finish == .cancelled)
    #expect(cut.tokens.isEmpty)
  }

  @Test func `what is not finite fails its own item and no other`() throws {
    var synthetic = Self.small
    synthetic.types = [.f32, .q41]
    var bytes = synthetic.bytes()
    let tensor = try #require(GGUFFile(bytes: bytes, name: "x").tensor("token_embd.weight"))
    // Token 17's row begins with NaN.
    for i in 0..<4 { bytes[tensor.byteOffset + 17 * tensor.rowByteCount + i] = 0xFF }
    let model = try Model(file: GGUFFile(bytes: bytes, name: "poisoned.gguf"))
    let engine = try engine(model)
    func item(_ tokens: [Int32], block: Int32) -> StepItem {
      StepItem(tokens: tokens, position: 0, blocks: [block], output: .all, digests: true, logits: true)
    }
    let alone = try engine.step([item([1, 2, 3], block: 0)])[0]
    #expect(alone.failure == nil)
    for other in [[4, 17], [17], [4, 17, 5, 6, 7, 8, 9] as [Int32]] {
      let results = try engine.step([item(other, block: 1), item([1, 2, 3], block: 0)])
      #expect(results[0].failure == .notFinite(position: other[0] == 17 ? 0 : 1))
      #expect(results[0].logits.isEmpty)
      #expect(results[1].digests == alone.digests)
      #expect(results[1].logits == alone.logits)
    }
  }

  @Test func `items that contradict the engine are refused by their number`() throws {
    let engine = try engine(Self.small.model(), blocks: 4)
    let good = StepItem(tokens: [1], position: 0, blocks: [0], output: .none)
    func check(_ reason: String, _ change: (inout StepItem) -> Void) {
      var item = good
      change(&item)
      do {
        _ = try engine.step([good, item])
        Issue.record("accepted: \(item)")
      } catch {
        #expect(error == .badItem(index: 1, reason: reason))
      }
    }
    check("no tokens") { $0.tokens = [] }
    check("token 90, the vocabulary has 90") { $0.tokens = [90] }
    check("token -1, the vocabulary has 90") { $0.tokens = [-1] }
    check("block 4, the cache has 4") { $0.blocks = [4] }
    check("block -1, the cache has 4") { $0.blocks = [-1] }
    check("0 blocks for 1 positions, wanted 1") { $0.blocks = [] }
    check("1 blocks for 17 positions, wanted 2") { $0.position = 16 }
    check("positions -1 to -1 + 1, the context has 256") { $0.position = -1 }
    check("positions \(Int.max) to \(Int.max) + 1, the context has 256") { $0.position = Int.max }
    check("301 tokens, at most 300 are possible") { $0.tokens = Array(repeating: 1, count: 301) }
    check("temperature: found -1.0, wanted 0.0 to 100.0") {
      $0.output = .last(.init(SamplingRequest(temperature: -1), promptCount: 1))
    }
    check("a prompt of 2 tokens, the sequence has 1") { $0.output = .last(.init(.greedy, promptCount: 2)) }
    check("a transcript of 0 tokens, wanted 1") {
      $0.output = .last(.init(SamplingRequest(presencePenalty: 1), promptCount: 1))
    }
    check("token 99 in the transcript, the vocabulary has 90") {
      $0.output = .replay(.init(SamplingRequest(presencePenalty: 1), promptCount: 1, transcript: [99]))
    }
    #expect(throws: EngineError.tooManyTokens(found: 302, limit: 300)) {
      let long = StepItem(tokens: Array(repeating: 1, count: 151), position: 0, blocks: [], output: .none)
      var second = long
      second.blocks = Array(repeating: 1, count: 10)
      var first = long
      first.blocks = Array(repeating: 0, count: 10)
      return try engine.step([first, second])
    }
    #expect(try engine.step([]).isEmpty)
  }

  @Test func `configurations and blocks outside their bounds are refused`() throws {
    let model = try Self.small.model()
    for threads in [0, -1, 257] {
      #expect(throws: EngineError.badConfiguration(field: "threads", found: "\(threads)", wanted: "1 to 256"))
      {
        try Engine(model: model, configuration: .init(threads: threads, kvBlocks: 4))
      }
    }
    #expect(throws: EngineError.self) { try Engine(model: model, configuration: .init(kvBlocks: 0)) }
    let engine = try engine(model, blocks: 4)
    #expect(throws: EngineError.self) { try engine.readBlock(4) }
    #expect(throws: EngineError.self) { try engine.readBlock(-1) }
    #expect(throws: EngineError.self) { try engine.writeBlock(0, [1, 2, 3]) }
    let bytes = [UInt8](repeating: 7, count: engine.blockByteCount())
    try engine.writeBlock(2, bytes)
    try engine.copyBlock(2, to: 1)
    #expect(try engine.readBlock(1) == bytes)
  }

  @Test func `the level is chosen by name and never silently`() throws {
    #expect(try KernelLevel.choose(named: nil) == KernelLevel.available.last)
    #expect(try KernelLevel.choose(named: "") == KernelLevel.available.last)
    #expect(try KernelLevel.choose(named: "Scalar") == .scalar)
    #expect {
      try KernelLevel.choose(named: "neon")
    } throws: { error in
      (error as? EngineError)?.description.hasPrefix("instruction set 'neon' cannot be used here") == true
    }
  }

  @Test func `more threads than processors give the same bits in the end`() throws {
    let model = try Self.small.model()
    let one = try engine(model, threads: 1).allLogits(Self.prompt)
    #expect(try engine(model, threads: 16).allLogits(Self.prompt) == one)
  }

  @Test(.disabled(if: RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one"))
  func `the capital of France is Paris`() throws {
    let model = try Model(path: try #require(RealModel.path))
    let tokenizer = try Tokenizer(model.file)
    let prompt = tokenizer.encode(
      """
      <|im_start|>system
      You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
      <|im_start|>user
      What is the capital of France?<|im_end|>
      <|im_start|>assistant

      """, parseSpecial: true)
    var generation = Generation(engine: try Engine(model: model, configuration: .init(kvBlocks: 16)))
    let outcome = try generation.run(
      prompt: prompt, options: .init(maximumTokens: 40, endTokens: Set(tokenizer.endOfGenerationTokens)))
    #expect(tokenizer.decode(outcome.tokens.map(\.token)) == "The capital of France is Paris.")
    #expect(outcome.finish == .stop)
  }
}

@Suite struct ModelTests {
  static let small = EngineTests.small

  func check(_ description: String, _ change: (inout SyntheticModel) -> Void) {
    var synthetic = Self.small
    change(&synthetic)
    do {
      _ = try synthetic.model()
      Issue.record("accepted, wanted: \(description)")
    } catch {
      #expect((error as? ModelError)?.description == "model 'synthetic.gguf': \(description)")
    }
  }

  @Test func `absurd hyperparameters are refused with what was found and wanted`() {
    func key(_ name: String) -> String { "llama.\(name)" }
    let supported = Architecture.all.map(\.name).joined(separator: ", ")
    check("architecture 'mamba' is not supported, supported are \(supported)") {
      $0.strings["general.architecture"] = "mamba"
    }
    check("metadata key 'llama.block_count' is missing") { $0.without = [key("block_count")] }
    check("metadata key 'llama.block_count' is 0, wanted 1 to 1024") { $0.integers[key("block_count")] = 0 }
    check("metadata key 'llama.block_count' is 4294967295, wanted 1 to 1024") {
      $0.integers[key("block_count")] = .max
    }
    check("metadata key 'llama.context_length' is 0, wanted 1 to 16777216") {
      $0.integers[key("context_length")] = 0
    }
    check("metadata key 'llama.attention.head_count' is 0, wanted 1 to 1024") {
      $0.integers[key("attention.head_count")] = 0
    }
    check("llama.attention.head_count_kv is 3, wanted a divisor of the 2 heads") {
      $0.integers[key("attention.head_count_kv")] = 3
    }
    check("the head size is 24, wanted a multiple of 16 up to 512") {
      $0.integers[key("attention.key_length")] = 24
    }
    check("llama.attention.value_length is 16, wanted the key length 32") {
      $0.integers[key("attention.value_length")] = 16
    }
    check("llama.embedding_length is 80, wanted a multiple of 32") {
      $0.integers[key("embedding_length")] = 80
    }
    check("llama.rope.dimension_count is 34, wanted an even number up to the head size 32") {
      $0.integers[key("rope.dimension_count")] = 34
    }
    check("the rotary embedding is scaled by 'su', which is not supported") {
      $0.strings[key("rope.scaling.type")] = "su"
    }
    check("metadata key 'llama.expert_used_count' is missing") {
      $0.integers[key("expert_count")] = 8
    }
    check("metadata key 'llama.expert_used_count' is 9, wanted 1 to 8") {
      $0.integers[key("expert_count")] = 8
      $0.integers[key("expert_used_count")] = 9
    }
    check("tensor 'blk.0.ffn_gate_inp.weight' is missing, wanted 64 x 8") {
      $0.integers[key("expert_count")] = 8
      $0.integers[key("expert_used_count")] = 2
    }
    check("attention slides over a window of 64 positions, which is not supported") {
      $0.integers[key("attention.sliding_window")] = 64
    }
  }

  @Test func `missing, misshapen and unknown tensors are named`() {
    check("tensor 'blk.1.ffn_down.weight' is missing, wanted 96 x 64") {
      $0.without = ["blk.1.ffn_down.weight"]
    }
    check("tensor 'output_norm.weight' is missing, wanted 64") { $0.without = ["output_norm.weight"] }
    check("tensor 'token_embd.weight' is missing, wanted 64") { $0.without = ["token_embd.weight"] }
    check("tensor 'blk.0.attn_k.weight' is 64 x 64, wanted 64 x 32") {
      $0.extents["blk.0.attn_k.weight"] = [64, 64]
    }
    check("tensor 'blk.0.attn_norm.weight' is 32, wanted 64") { $0.extents["blk.0.attn_norm.weight"] = [32] }
    check("tensor 'blk.0.ffn_gate_exps.weight' has no place in a model of architecture 'llama'") {
      $0.extra["blk.0.ffn_gate_exps.weight"] = [64]
    }
    check("tensor 'blk.0.attn_q.bias' is 32, wanted 64") { $0.extra["blk.0.attn_q.bias"] = [32] }
    check("tensor 'blk.2.attn_norm.weight' is missing, wanted 64") { $0.integers["llama.block_count"] = 3 }
  }

  @Test func `the digest is that of the file's bytes`() throws {
    let bytes = Self.small.bytes()
    let model = try Model(file: GGUFFile(bytes: bytes, name: "x"))
    var digest = [UInt8](repeating: 0, count: 32)
    bytes.withUnsafeBytes { digest = sha256($0) }
    #expect(model.fileDigest() == digest)
    #expect(model.fileDigest() == digest)
  }

  @Test func `one packed copy of the weights is loaded on any number of threads`() throws {
    let one = try Self.small.model(threads: 1)
    let four = try Self.small.model(threads: 4)
    let tokens: [Int32] = [1, 2, 3, 4, 5]
    let engines = try [one, four].map { try Engine(model: $0, configuration: .init(threads: 1, kvBlocks: 4)) }
    #expect(try engines[0].allLogits(tokens) == engines[1].allLogits(tokens))
    // Q4_1 takes 20 bytes and Q8_0 34 for 32 weights.
    #expect(one.bytesPerToken < 2 * (64 * 160 + 3 * 64 * 96) + 90 * 64 * 2)
    #expect(one.operationsPerToken == 2 * (2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 96) + 90 * 64))
  }
}
