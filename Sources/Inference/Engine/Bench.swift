// Bench.swift: how fast a model runs on this machine, and how near that is to the limit of the
// memory. Printing and comparisons with other programs are elsewhere. Start at
// run(model:plan:onPart:).

import CKernels
import Glibc

/// Measures an engine with pseudo-random tokens: medians of several rounds.
public enum Bench {
  public struct Plan: Sendable {
    public var configuration: Engine.Configuration
    /// Prompt lengths, each computed from position 0 in one step or in chunks of the
    /// configuration's step limit.
    public var prefills: [Int]
    /// Sequences decoded together, and how deep their context is when decoding begins.
    public var decodes: [Decode]
    /// Tokens generated per sequence and round.
    public var tokens: Int
    public var rounds: Int

    public struct Decode: Sendable, Equatable {
      public var batch: Int
      public var depth: Int

      public init(batch: Int, depth: Int = 16) {
        self.batch = batch
        self.depth = depth
      }
    }

    public init(
      configuration: Engine.Configuration, prefills: [Int] = [512],
      decodes: [Decode] = [Decode(batch: 1), Decode(batch: 8)], tokens: Int = 32, rounds: Int = 5
    ) {
      self.configuration = configuration
      self.prefills = prefills
      self.decodes = decodes
      self.tokens = tokens
      self.rounds = rounds
    }

    /// Blocks that the largest measurement needs.
    public var blocks: Int {
      func count(_ positions: Int) -> Int { (positions + Engine.blockSize - 1) / Engine.blockSize }
      return max(
        1, prefills.map(count).max() ?? 1, decodes.map { $0.batch * count($0.depth + tokens) }.max() ?? 1)
    }
  }

  /// Tokens per second over the rounds.
  public struct Rate: Sendable, Equatable {
    public var minimum: Double
    public var median: Double
    public var maximum: Double

    init(_ rates: [Double]) {
      let sorted = rates.sorted()
      minimum = sorted.first ?? 0
      median = sorted.isEmpty ? 0 : sorted[sorted.count / 2]
      maximum = sorted.last ?? 0
    }
  }

  public struct Result: Sendable {
    /// The name of the device.
    public var device: String
    public var threads: Int
    public var prefills: [(tokens: Int, rate: Rate)] = []
    public var decodes: [(decode: Plan.Decode, rate: Rate)] = []
    /// Packed weights that a step reads once, and the multiplications and additions of one token.
    public var bytesPerStep: Int
    public var operationsPerToken: Int
    /// Bytes of keys and values of one position, which each later token of the sequence reads.
    public var bytesPerPosition: Int
    /// Bytes per second at which all threads together read the packed weights while doing nothing
    /// else.
    public var bandwidth: Double
    /// Peak resident memory, in bytes.
    public var peakMemory: Int

    /// The fraction of `bandwidth` that decoding at this rate uses for weights, keys and values.
    public func share(of decode: Plan.Decode, _ rate: Double) -> Double {
      let bytes = bytesPerStep + decode.batch * decode.depth * bytesPerPosition
      return bandwidth > 0 ? rate / Double(decode.batch) * Double(bytes) / bandwidth : 0
    }
  }

  /// - onPart: called with what is measured next, for a progress line.
  public static func run(model: Model, plan: Plan, onPart: (String) -> Void = { _ in }) throws(EngineError)
    -> Result
  {
    var configuration = plan.configuration
    configuration.kvBlocks = max(configuration.kvBlocks, plan.blocks)
    configuration.stateSlots = max(configuration.stateSlots, plan.decodes.map(\.batch).max() ?? 1)
    let engine = try Engine(model: model, configuration: configuration)
    onPart("memory")
    var result = Result(
      device: engine.deviceName, threads: engine.threadCount, bytesPerStep: model.bytesPerToken,
      operationsPerToken: model.operationsPerToken,
      bytesPerPosition: engine.blockByteCount() / Engine.blockSize,
      bandwidth: try engine.weightBandwidth(rounds: plan.rounds),
      peakMemory: 0)
    for length in plan.prefills {
      onPart("prefill of \(length) tokens")
      var rates: [Double] = []
      for _ in 0..<plan.rounds {
        rates.append(Double(length) / (try prefill(engine, length: length, sequence: 0)))
      }
      result.prefills.append((length, Rate(rates)))
    }
    for decode in plan.decodes {
      onPart("decode of \(decode.batch) at depth \(decode.depth)")
      result.decodes.append((decode, Rate(try rates(engine, decode, plan))))
    }
    result.peakMemory = peakMemory()
    return result
  }

  /// Seconds for a prompt, the choice of the first token included.
  private static func prefill(_ engine: Engine, length: Int, sequence: Int) throws(EngineError) -> Double {
    let perSequence = (length + Engine.blockSize - 1) / Engine.blockSize
    let blocks = (0..<perSequence).map { Int32(sequence * perSequence + $0) }
    let tokens = text(engine, length, sequence)
    let limit = min(512, engine.configuration.maximumStepTokens)
    let start = ContinuousClock.now
    var first = 0
    while first < length {
      let end = min(first + limit, length)
      let output: StepItem.Output = end < length ? .none : .last(.init(.greedy, promptCount: length))
      let item = StepItem(
        tokens: Array(tokens[first..<end]), position: first, blocks: blocks, state: .init(Int32(sequence)),
        output: output)
      if let failure = try engine.step([item]).first?.failure { throw failure }
      first = end
    }
    return seconds(ContinuousClock.now - start)
  }

  private static func rates(_ engine: Engine, _ decode: Plan.Decode, _ plan: Plan) throws(EngineError)
    -> [Double]
  {
    let total = decode.depth + plan.tokens
    let perSequence = (total + Engine.blockSize - 1) / Engine.blockSize
    var items: [StepItem] = []
    let limit = min(512, engine.configuration.maximumStepTokens)
    for sequence in 0..<decode.batch {
      let blocks = (0..<perSequence).map { Int32(sequence * perSequence + $0) }
      let tokens = text(engine, decode.depth, sequence)
      var first = 0
      while first < decode.depth {
        let end = min(first + limit, decode.depth)
        let item = StepItem(
          tokens: Array(tokens[first..<end]), position: first, blocks: blocks,
          state: .init(Int32(sequence)), output: .none)
        if let failure = try engine.step([item]).first?.failure { throw failure }
        first = end
      }
      items.append(
        StepItem(
          tokens: [1], position: decode.depth, blocks: blocks, state: .init(Int32(sequence)),
          output: .last(SamplingContext(.greedy, promptCount: 0))))
    }
    var rates: [Double] = []
    for _ in 0..<plan.rounds {
      var round = items
      let start = ContinuousClock.now
      for i in 0..<plan.tokens {
        let results = try engine.step(round)
        for (k, result) in results.enumerated() {
          if let failure = result.failure { throw failure }
          round[k].tokens = [result.token ?? 0]
          round[k].position = min(decode.depth + i + 1, total - 1)
        }
      }
      rates.append(Double(decode.batch * plan.tokens) / seconds(ContinuousClock.now - start))
    }
    return rates
  }

  /// Meaningless tokens; the time does not depend on them.
  private static func text(_ engine: Engine, _ length: Int, _ sequence: Int) -> [Int32] {
    let vocabulary = UInt32(engine.model.hyperparameters.vocabularySize)
    return (0..<length).map { i in
      let word = Philox.words(counter: SIMD4(UInt32(i), UInt32(sequence), 0, 0), key: SIMD2(7, 7))[0]
      return Int32(word % vocabulary)
    }
  }

  private static func seconds(_ time: Duration) -> Double {
    Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
  }

  private static func peakMemory() -> Int {
    var usage = rusage()
    // Kilobytes on Linux.
    return getrusage(RUSAGE_SELF.rawValue, &usage) == 0 ? usage.ru_maxrss * 1_024 : 0
  }
}
