// VulkanFaultTests.swift: a graphics processor that is lost, has no memory, or gives a wrong bit: the answer stays what
// it was, or fails visibly. The faults come from a layer between the loader and us (VulkanFaults).

import Foundation
import Inference
import TestSettings
import Testing
import VulkanFaults

@Suite(.serialized, .disabled(if: Graphics.absence != nil, "no device of Vulkan"))
struct VulkanFaultTests {
  private static let synthetic = SyntheticModel(
    layers: 2, embedding: 64, feedForward: 96, heads: 4, kvHeads: 2, headSize: 16, vocabulary: 90,
    context: 512,
    types: [.q41, .q80], seed: 31)

  private func open() throws(VulkanLoader.Refusal) -> GraphicsProcessor {
    _ = vulkan_faults_open()
    let loader = try VulkanLoader(find: { vulkan_faults_find($0, $1) })
    return try GraphicsProcessor(loader, index: 0, allowsSoftware: true)
  }

  private func engine(
    _ model: Model, checked: Double = 0, _ first: GraphicsProcessor? = nil,
    _ seen: (VulkanDevice) -> Void = { _ in }
  ) throws -> Engine {
    var first = first
    return try Engine(model: model, configuration: .init(threads: 1, kvBlocks: 48)) {
      model, configuration, blocks throws(EngineError) in
      let device = try VulkanDevice(
        model: model, blocks: blocks, threads: 1, level: nil, profile: .a15, checked: checked
      ) { () throws(VulkanLoader.Refusal) in
        defer { first = nil }
        return if let first { first } else { try self.open() }
      }
      seen(device)
      return device
    }
  }

  /// A prompt of 100 tokens beside one of 20, then `count` tokens after each; digests of all.
  private func answers(_ engine: Engine, count: Int) throws -> [[[UInt8]]] {
    let prompts = [100, 20].map { length in (0..<length).map { Int32($0 * 37 % 90) } }
    var digests: [[[UInt8]]] = [[], []]
    var items = prompts.enumerated().map { k, prompt in
      StepItem(
        tokens: prompt, position: 0, blocks: (0..<24).map { Int32(24 * k + $0) },
        output: .last(SamplingContext(.greedy, promptCount: prompt.count)), digests: true)
    }
    for _ in 0...count {
      let results = try engine.step(items)
      for (k, result) in results.enumerated() {
        if let failure = result.failure { throw failure }
        digests[k] += result.digests
        items[k].position += items[k].tokens.count
        items[k].tokens = [try #require(result.token)]
      }
    }
    return digests
  }

  @Test func `a device that is lost at any submit loses no answer, and comes back`() throws {
    let model = try Self.synthetic.model()
    let processors = try Engine(model: model, configuration: .init(threads: 1, kvBlocks: 48))
    let whole = isHeavy ? Array(1...200) : [2, 5]
    for (index, at) in whole.enumerated() {
      var device: VulkanDevice?
      let engine = try engine(model) { device = $0 }
      vulkan_faults_set(
        index % 2 == 0
          ? .init(submit: UInt32(at), wait: 0, allocation: 0, flip: 0, mapping: 0, byte: 0)
          : .init(submit: 0, wait: UInt32(at), allocation: 0, flip: 0, mapping: 0, byte: 0))
      // Each step has a submit at least.
      let found = try answers(engine, count: at + 4)
      vulkan_faults_set(.init())
      let report = try #require(device?.report)
      #expect(try found == answers(processors, count: at + 4), "lost at \(at)")
      #expect(report.losses == 1)
      #expect(report.returns == 1)
      #expect(report.problem == nil)
      #expect(report.stepsByProcessors == 1)
      #expect(report.steps > 0)
    }
  }

  @Test func `a device without memory for one of its parts is refused, and the processors can be taken`()
    throws
  {
    let model = try Self.synthetic.model()
    let device = try open()
    var problems: [String] = []
    // What failed once is not asked again, so all but the first have a device of their own, whose self-test
    // takes memory too. All of it is taken at the start: a step takes none.
    let refused = isHeavy ? Array(1...6) : [1, 4]
    for at in refused + [7] {
      vulkan_faults_set(.init(submit: 0, wait: 0, allocation: UInt32(at), flip: 0, mapping: 0, byte: 0))
      defer { vulkan_faults_set(.init()) }
      do {
        let engine = try engine(model, at == 1 ? device : nil)
        let before = vulkan_faults_seen().allocation
        _ = try answers(engine, count: 1)
        #expect(vulkan_faults_seen().allocation == before)
      } catch let EngineError.deviceRefused(_, reason) {
        problems.append(reason)
      }
    }
    #expect(
      problems == Array(repeating: "its memory: the device has not enough memory (-2)", count: refused.count))
  }

  @Test func `a device that gives a wrong bit is not used again, and what it had a part in fails`() throws {
    let model = try Self.synthetic.model()
    let expected = try answers(Engine(model: model, configuration: .init(threads: 1, kvBlocks: 48)), count: 4)
    var device: VulkanDevice?
    let engine = try engine(model, checked: 1) { device = $0 }
    #expect(try answers(engine, count: 4) == expected)
    #expect(device?.report.checked == 5)
    #expect(device?.report.differences == 0)
    // A bit of a final hidden state, in the results' memory, of a step with one row. The first wait is for
    // a place of an earlier submit.
    vulkan_faults_set(.init(submit: 0, wait: 0, allocation: 0, flip: 2, mapping: 1, byte: 64 + 12))
    let item = StepItem(
      tokens: [3], position: 100, blocks: (0..<24).map { Int32($0) },
      output: .last(SamplingContext(.greedy, promptCount: 0)))
    let name = try #require(device?.name)
    #expect(try engine.step([item])[0].failure == .deviceDiffered(device: name, position: 100))
    vulkan_faults_set(.init())
    #expect(device?.report.differences == 1)
    // What begins anew is the processors', in the same places.
    #expect(try answers(engine, count: 4) == expected)
    #expect(device?.report.problem == "it gave other bits than the processors at position 100")
  }
}
