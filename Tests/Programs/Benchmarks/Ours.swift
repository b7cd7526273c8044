// Ours.swift: one figure of this engine, measured in this process. Start at measure.

import Foundation
import Inference

struct Ours {
  let arguments: [String]
  let threads: Int

  static let commands = ["--prefill", "--decode", "--first-token", "--repetitive", "--mixed"]

  func option(_ name: String) -> String? {
    guard let at = arguments.firstIndex(of: name), at + 1 < arguments.count else { return nil }
    return arguments[at + 1]
  }

  private func integer(_ name: String, _ standard: Int) -> Int {
    option(name).flatMap { Int($0) } ?? standard
  }

  /// Prints one number, tokens a second; with `--roofline` what it means on this machine.
  func measure(_ path: String) throws {
    let profile: Engine.Profile = arguments.contains("--a8") ? .a8 : .standard
    var configuration = Engine.Configuration(threads: threads, profile: profile, kvBlocks: 1)
    let model = try Model(path: path, threads: threads)
    if arguments.contains("--first-token") {
      configuration.kvBlocks = 64
      var generation = Generation(engine: try Engine(model: model, configuration: configuration))
      _ = try generation.run(prompt: [1, 2, 3, 4], options: .init(maximumTokens: 1))
      print(1)
      return
    }
    if arguments.contains("--repetitive") {
      configuration.kvBlocks = 64
      print(try repetitive(Engine(model: model, configuration: configuration)))
      return
    }
    if let depth = option("--mixed").flatMap({ Int($0) }) {
      try mixed(model, configuration, depth: depth)
      return
    }
    var plan = Bench.Plan(configuration: configuration, prefills: [], decodes: [], rounds: 1)
    if let length = option("--prefill").flatMap({ Int($0) }) { plan.prefills = [length] }
    if let batch = option("--decode").flatMap({ Int($0) }) {
      plan.decodes = [.init(batch: batch, depth: integer("--depth", 16))]
      plan.tokens = integer("--tokens", 64)
    }
    let result = try Bench.run(model: model, plan: plan)
    if arguments.contains("--roofline") {
      roofline(result)
    } else {
      print(result.prefills.first?.rate.median ?? result.decodes.first?.rate.median ?? 0)
    }
  }

  /// Text that repeats itself, which a model goes on repeating: what guessing ahead (`--ahead N`) makes of it.
  private func repetitive(_ engine: Engine) throws -> Double {
    let sentence: [Int32] = (0..<24).map { 1_000 + $0 * 37 }
    let prompt = (0..<8).flatMap { _ in sentence }
    var generation = Generation(engine: engine)
    let options = Generation.Options(maximumTokens: 200, lookahead: integer("--ahead", 0))
    return try generation.run(prompt: prompt, options: options).decodeRate
  }

  /// What a prompt's tokens at some depth cost beside four decodes: what a scheduler has to learn.
  private func mixed(_ model: Model, _ configuration: Engine.Configuration, depth: Int) throws {
    var configuration = configuration
    let perDecode = 16
    let prompt = (4 * perDecode)..<(4 * perDecode + (depth + 64) / Engine.blockSize + 1)
    configuration.kvBlocks = prompt.upperBound
    let engine = try Engine(model: model, configuration: configuration)
    let blocks = prompt.map { Int32($0) }
    func part(_ position: Int, _ count: Int) -> StepItem {
      StepItem(
        tokens: (0..<count).map { Int32(1_000 + (position + $0) * 37 % 20_000) }, position: position,
        blocks: blocks, state: .init(4), output: .none)
    }
    for position in stride(from: 0, to: depth, by: 256) {
      _ = try engine.step([part(position, min(256, depth - position))])
    }
    let decodes = (0..<4).map { i in
      StepItem(
        tokens: [5], position: 100, blocks: (0..<perDecode).map { Int32(i * perDecode + $0) },
        state: .init(Int32(i)), output: .last(SamplingContext(.greedy, promptCount: 1)))
    }
    for count in [0, 1, 2, 4, 6, 8, 10, 12, 16, 20, 24, 28, 32, 48, 60] {
      let items = decodes + (count > 0 ? [part(depth, count)] : [])
      let times = try (0..<15).map { _ in
        let start = ContinuousClock.now
        _ = try engine.step(items)
        return (ContinuousClock.now - start) / .milliseconds(1)
      }.sorted()
      print(
        String(
          format: "4 decodes and %2d tokens at depth %d: median %.2f ms, least %.2f, most %.2f", count, depth,
          times[7], times[0], times[14]))
    }
  }

  private func roofline(_ result: Bench.Result) {
    func text(_ value: Double) -> String { String(format: "%.2f", value) }
    print("\(result.device), \(result.threads) threads")
    print("weights \(result.bytesPerStep) bytes a step, \(result.operationsPerToken) operations a token")
    print("keys and values \(result.bytesPerPosition) bytes a position")
    print("bandwidth \(text(result.bandwidth / 1e9)) GB/s")
    for (decode, rate) in result.decodes {
      print(
        "decode \(decode.batch) at depth \(decode.depth): \(text(rate.median)) tok/s, "
          + "\(text(100 * result.share(of: decode, rate.median))) % of the bandwidth")
    }
    for (tokens, rate) in result.prefills {
      let operations = rate.median * Double(result.operationsPerToken) / 1e9
      print("prefill \(tokens): \(text(rate.median)) tok/s, \(text(operations)) Gop/s")
    }
  }
}
