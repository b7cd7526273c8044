// LimitsTests.swift: limits of the machine that act: over one nothing is admitted, what runs goes on, and the header says
// why; under it again all is as before.
import Control
import Testing

@testable import Node

@Suite struct LimitsTests {
  private static func sample(
    cpu celsius: Double = 40, gpu: Double? = nil, used: Int64 = 1 << 30, free: Int64 = 1 << 40
  ) -> ComputeSnapshot {
    let gpus: [GPUSnapshot] =
      gpu.map { celsius in
        [
          GPUSnapshot(
            name: "g", utilization: .value(1), memoryUsed: .warmingUp, memoryTotal: .warmingUp,
            temperature: .value(celsius), power: .warmingUp, powerLimit: .warmingUp, clock: .warmingUp,
            throttle: nil, processes: .warmingUp)
        ]
      } ?? []
    return ComputeSnapshot(
      cpu: .warmingUp, cores: .warmingUp, cpuTemperature: .value(celsius), cpuPower: .warmingUp,
      load: .warmingUp, memoryUsed: .value(used), memoryTotal: .value(8 << 30), swapUsed: .warmingUp,
      residentMemory: .warmingUp, cpuPressure: .warmingUp, memoryPressure: .warmingUp,
      ioPressure: .warmingUp, diskFree: .value(free), networkIn: .warmingUp, networkOut: .warmingUp,
      gpus: .value(gpus), container: nil)
  }

  private static let cases: [(ComputeSnapshot, String?)] = [
    (sample(cpu: 86), "over temperature, 86 °C of 85"),
    (sample(gpu: 91), "over temperature, 91 °C of 85"),
    (sample(used: 15 << 29), nil),
    (sample(used: (8 << 30) - (255 << 20)), "out of memory"),
    (sample(free: (1 << 29) - 1), "disk"),
    (sample(cpu: 85, gpu: 85, used: (8 << 30) - (256 << 20), free: 1 << 29), nil),
  ]

  @Test(arguments: cases)
  func overOneOfThemNothingIsAdmitted(_ sample: ComputeSnapshot, _ words: String?) throws {
    let node = try ScriptedNode(
      "{ limits: { temperature_c: 85, memory_available: 268435456, disk_free: 536870912 } }")
    let running = node.submit(1)
    #expect(node.step())
    node.send(.telemetry(sample, joules: 0))
    let answer = node.answers[node.submit(2)]?.first
    if let words {
      #expect(answer == "refused 503 over_limit")
      // What was admitted before runs to its end, and then the reason is the header's.
      while node.step() {}
      #expect(node.answers[running]?.last == "finished stop receipt=r0")
      let why = try #require(node.snapshot().node.whyIdle)
      #expect(why.contains(words), "\(why)")
    } else {
      #expect(answer == "admitted")
    }
    node.send(.telemetry(Self.sample(), joules: 0))
    #expect(node.answers[node.submit(3)]?.first == "admitted")
  }

  @Test func aReadingThatIsMissingIsNoLimit() throws {
    let node = try ScriptedNode("{ limits: { temperature_c: 85, memory_available: 1 } }")
    node.send(.telemetry(NodeState.noTelemetry, joules: 0))
    #expect(node.answers[node.submit(1)]?.first == "admitted")
  }
}
