// VulkanTests.swift: whole models on a graphics processor against the frozen bits. Where there is no card, it is
// the software device of Debian's mesa-vulkan-drivers; without any, the tests are skipped. Start at Graphics.

import CKernels
import Foundation
import Inference
import TestSettings
import Testing

/// The first device of this machine, software too, opened once: proving it takes seconds.
enum Graphics {
  nonisolated(unsafe) static let found: Result<GraphicsProcessor, VulkanLoader.Refusal> = {
    do {
      let loader = try VulkanLoader()
      return .success(try GraphicsProcessor(loader, index: 0, allowsSoftware: true))
    } catch let refusal as VulkanLoader.Refusal {
      return .failure(refusal)
    } catch { preconditionFailure("\(error)") }
  }()

  /// Why there is none; nil where there is one.
  static let absence: String? = { if case .failure(let refusal) = found { "\(refusal)" } else { nil } }()

  static func device(
    _ model: Model, _ configuration: Engine.Configuration, _ blocks: [Int]
  ) throws(EngineError) -> VulkanDevice {
    try VulkanDevice(
      model: model, blocks: blocks, threads: configuration.threads, level: configuration.level,
      profile: configuration.profile,
      opening: { () throws(VulkanLoader.Refusal) in try found.get() })
  }

  /// An engine on the device, which is handed out too.
  static func engine(
    _ model: Model, _ configuration: Engine.Configuration, _ seen: (VulkanDevice) -> Void = { _ in }
  ) throws -> Engine {
    try Engine(model: model, configuration: configuration) {
      model, configuration, blocks throws(EngineError) in
      let device = try Graphics.device(model, configuration, blocks)
      seen(device)
      return device
    }
  }
}

@Suite(.serialized, .disabled(if: Graphics.absence != nil, "no device of Vulkan"))
struct VulkanTests {
  /// The digest of a route on the device, of which no step may have been the processors'.
  private func check(
    _ synthetic: SyntheticModel, _ profile: Engine.Profile, _ routes: [Route], _ frozen: String?
  ) throws {
    let model = try synthetic.model()
    let text = ConformanceText(vocabulary: synthetic.vocabulary, seed: 7)
    var generated: [Int32] = []
    for route in routes {
      var device: VulkanDevice?
      let result = try route.run(
        model, text, level: KernelLevel.available.last ?? .scalar, profile: profile, forced: generated
      ) { try Graphics.engine($0, $1) { device = $0 } }
      if generated.isEmpty { generated = result.generated }
      #expect(result.generated == generated)
      #expect(
        result.digest == frozen,
        "\(synthetic.architecture) \(profile.rawValue), \(route.testDescription)")
      let report = try #require(device?.report)
      #expect(report.stepsByProcessors == 0)
      #expect(report.losses == 0)
      #expect(report.steps > 0)
    }
  }

  private static let routes = [
    Route(threads: 1, chunk: 64, neighbours: 5), Route(threads: 1, chunk: 7),
    Route(threads: 1, chunk: 64, sharesPrefix: true), Route(threads: 1, chunk: 100, isSwapped: true),
    Route(threads: 1, chunk: 1),
  ]

  /// All types that have a kernel, in three profiles. The software device takes seconds for each route.
  @Test(arguments: ["llama", "qwen2", "qwen3"])
  func `dense models give the frozen bits on every route`(_ name: String) throws {
    for frozen in ConformanceTests.frozen
    where frozen.model.architecture == name && frozen.model.seed != ConformanceTests.grids.seed {
      let isLong = isHeavy || name == "qwen3" && frozen.profile == .a15
      if !isHeavy, frozen.profile == .a8 { continue }
      try check(frozen.model, frozen.profile, Array(Self.routes.prefix(isLong ? 5 : 1)), frozen.digest)
    }
  }

  @Test(
    arguments: [
      "ernie4_5", "exaone4", "glm4", "granite", "hunyuan-dense", "minicpm", "mistral3", "phi3", "smollm3",
      "gemma2", "gemma3", "olmo2",
    ].enumerated().map { ($0, $1) })
  func `further architectures give their frozen bits`(_ index: Int, _ name: String) throws {
    var synthetic = try #require(ProgramTests.models.first { $0.architecture == name })
    synthetic.context = 1_024
    // Swapping a window's blocks is tested by itself (DeviceTests).
    let routes = Self.routes.filter { !$0.isSwapped }
    try check(
      synthetic, .a15, isHeavy ? routes : [routes[index % 3]], ConformanceTests.further[name])
  }

  /// SmolLM2-135M-Instruct.
  @Test(.disabled(if: RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one"))
  func `the real model gives the processors' bits`() throws {
    let model = try Model(path: #require(RealModel.path))
    let vocabulary = model.hyperparameters.vocabularySize
    let prompt = (0..<40).map { Int32($0 * 977 % vocabulary) }
    var device: VulkanDevice?
    let configuration = Engine.Configuration(kvBlocks: 8)
    let outcomes = try [
      Graphics.engine(model, configuration) { device = $0 },
      Engine(model: model, configuration: configuration),
    ].map { engine in
      var generation = Generation(engine: engine)
      return try generation.run(prompt: prompt, options: .init(maximumTokens: 8, digests: true))
    }
    #expect(outcomes[0].tokens == outcomes[1].tokens)
    #expect(outcomes[0].digests == outcomes[1].digests)
    let report = try #require(device?.report)
    #expect(report.steps > 0 && report.stepsByProcessors == 0)
  }

  @Test func `what has no kernel is refused by its name, before anything runs`() throws {
    for (name, reason) in [
      ("qwen3moe", "layer 0: no kernel for 'route'"),
      ("starcoder2", "layer 0: no kernel for 'norm' with a mean"),
      ("qwen35", "no kernel for recurrent states"),
    ] {
      let model = try #require(ProgramTests.models.first { $0.architecture == name }).model()
      let device = try Graphics.found.get().name
      #expect(throws: EngineError.deviceRefused(device: device, reason: reason)) {
        try Graphics.device(model, .init(kvBlocks: 8), model.program.kinds.map { _ in 8 })
      }
    }
  }
}
