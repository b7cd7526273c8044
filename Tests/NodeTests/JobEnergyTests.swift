// JobEnergyTests.swift: the electricity of each job: fixtures of power, jobs of known tokens, sums by hand.
// Leaves out hours and days (BooksTests) and how an interval is divided (EnergySplitTests). Start at share.
import Accounting
import Control
import Foundation
import Scheduling
import Testing

extension ScriptedNode {
  /// One sample of a machine with these watts, after so many joules.
  fileprivate func sample(_ watts: Control.Reading<Double>, joules: Double) {
    func none<Value>() -> Control.Reading<Value> { .warmingUp }
    let compute = ComputeSnapshot(
      cpu: none(), cores: none(), cpuTemperature: none(), cpuPower: watts, load: none(), memoryUsed: none(),
      memoryTotal: none(), swapUsed: none(), residentMemory: none(), cpuPressure: none(),
      memoryPressure: none(), ioPressure: none(), diskFree: none(), networkIn: none(), networkOut: none(),
      gpus: .unavailable("no GPU found"), container: nil)
    send(.telemetry(compute, joules: joules))
  }

  fileprivate func measure(_ joules: Double) { sample(.value(joules), joules: joules) }
}

@Suite struct JobEnergyTests {
  static let tariff = "energy: { per_kwh: '0.30', periods: [{ hours: '22-6', per_kwh: '0.20' }] }"
  static let noMeter = "this machine does not tell its power (no RAPL)"

  @Test func anIntervalsEnergyIsSharedByTokensAndIdlingIsNobodys() throws {
    let node = try ScriptedNode()
    let (first, second) = (node.submit(1, prompt: 20), node.submit(2, client: "bob", prompt: 60))
    let waiting = node.submit(3, client: "x", known: false)
    #expect(node.row(first)?.energy == nil)
    while node.step() {}
    #expect(node.row(first)?.energy == .warmingUp)
    // Four tokens each, the first of them out of the prompt: 20 + 3 and 60 + 3 were computed.
    node.measure(86)
    #expect(node.row(first)?.energy == .value(23))
    #expect(node.row(second)?.energy == .value(63))
    #expect(node.row(waiting)?.energy == nil)
    // Both have ended: what is used now is used by nobody.
    node.measure(50)
    #expect(node.row(first)?.energy == .value(23))
    #expect(node.row(second)?.energy == .value(63))
    #expect(node.state.energySplit.jobs.energy.joules == 86)
    #expect(node.state.energySplit.idle.energy.joules == 50)
    #expect(node.snapshot().earnings.energyToday == .value(136))
    // A price is not known.
    #expect(node.row(first)?.energyCost == .unavailable("no price of electricity in the config"))
  }

  @Test func aJobThatEndsBetweenTwoSamplesGetsItsPartAfterItsEnd() throws {
    let node = try ScriptedNode()
    node.length = 3
    node.measure(5)
    let first = node.submit(1, prompt: 20)
    #expect(node.step())
    node.measure(10)
    #expect(node.row(first)?.energy == .value(10))
    #expect(node.step() && node.step())
    #expect(node.row(first)?.state == .done)
    #expect(node.row(first)?.energy == .value(10))
    let second = node.submit(2, prompt: 8)
    #expect(node.step())
    // Two tokens of the one that has ended, eight of the other.
    node.measure(20)
    #expect(node.row(first)?.energy == .value(14))
    #expect(node.row(second)?.energy == .value(16))
    #expect(node.state.energySplit.idle.energy.joules == 5)
  }

  @Test func aStepThatTakesSecondsIsWorkInEachOfThem() throws {
    let node = try ScriptedNode()
    let id = node.submit(1, prompt: 20)
    let next = node.state.nextStep(at: node.now)
    let (plan, effects) = try #require(next)
    node.perform(effects)
    node.measure(30)
    node.measure(30)
    #expect(node.row(id)?.energy == .value(60))
    node.send(.stepped(number: plan.number, results: [StepResult(job: id, .token)], duration: 2_500_000))
    node.measure(15)
    #expect(node.row(id)?.energy == .value(75))
    node.measure(7)
    #expect(node.row(id)?.energy == .value(75))
    // A step that never ends, as the engine stopped, computes nothing.
    _ = node.state.nextStep(at: node.now)
    node.send(.engineFailed("no memory"))
    node.measure(9)
    #expect(node.row(id)?.energy == .value(75))
    #expect(node.state.energySplit.idle.energy.joules == 16)
  }

  @Test func withoutAMeterTheReasonIsToldAndNeverAZero() throws {
    let node = try ScriptedNode("{ \(Self.tariff) }")
    let id = node.submit(1)
    #expect(node.step())
    node.sample(.unavailable(Self.noMeter), joules: 0)
    #expect(node.row(id)?.energy == .unavailable(Self.noMeter))
    #expect(node.row(id)?.energyCost == nil)
    while node.step() {}
    node.sample(.unavailable(Self.noMeter), joules: 0)
    #expect(node.row(id)?.state == .done && node.row(id)?.energy == .unavailable(Self.noMeter))
    // As scripts read it.
    let line = String(decoding: ControlProtocol.line(try #require(node.row(id))), as: UTF8.self)
    #expect(line.contains(#""energy":{"unavailable":"\#(Self.noMeter)"}"#))
    #expect(node.snapshot().earnings.energyToday == .unavailable("no power reading"))
    // What was not measured burdens no later job.
    let next = node.submit(2)
    #expect(node.step())
    node.measure(12)
    #expect(node.row(next)?.energy == .value(12))
    #expect(node.row(id)?.energy == .unavailable(Self.noMeter))
  }

  @Test func aMeterThatIsLostOnTheWayMakesNoPartLookLikeTheWhole() throws {
    let node = try ScriptedNode()
    node.length = 100
    let id = node.submit(1, limit: 50)
    #expect(node.step())
    node.measure(10)
    #expect(node.step())
    node.sample(.unavailable("no permission to read it"), joules: 0)
    #expect(node.step())
    node.measure(10)
    #expect(node.row(id)?.energy == .unavailable("power was not read all the time"))
  }

  /// 100 J at 0.30 a kilowatt-hour are 8.33 micro-units, at 0.20 they are 5.56: no second may be rounded by itself.
  @Test func aJobsCostIsExactOverItsSecondsAndItsHours() throws {
    let node = try ScriptedNode("{ \(Self.tariff) }")
    node.length = 100
    node.go(hour: 21, minute: 59)
    let id = node.submit(1, limit: 50)
    for _ in 0..<12 {
      #expect(node.step())
      node.measure(100)
    }
    #expect(node.row(id)?.energy == .value(1_200) && node.row(id)?.energyCost == .value(100))
    node.go(hour: 22)
    for _ in 0..<9 {
      #expect(node.step())
      node.measure(100)
    }
    // 100 and 50 micro-units.
    #expect(node.row(id)?.energy == .value(2_100) && node.row(id)?.energyCost == .value(150))
  }

  /// Jobs, ends, cancels and power at random: the parts of all jobs and of nobody are the day's energy.
  @Test func allJobsAndIdlingAreAllThatWasUsed() throws {
    var (all, idle) = (Int64(0), Energy.zero)
    for seed in 0..<UInt64(50) {
      var dice = Dice(state: seed)
      let node = try ScriptedNode("{ \(Self.tariff), queue: { running: 8, jobs: 64 } }")
      node.go(hour: 12)
      var (ids, used): ([JobID], Int64) = ([], 0)
      for number in 1...60 {
        switch Int.random(in: 0..<10, using: &dice) {
        case 0..<3:
          node.length = Int.random(in: 1...9, using: &dice)
          ids.append(
            node.submit(
              UInt64(number), prompt: Int.random(in: 1...600, using: &dice),
              limit: Int.random(in: 1...9, using: &dice), origin: Bool.random(using: &dice) ? .client : .chat)
          )
        case 3..<7: _ = node.step()
        case 7: if let id = ids.randomElement(using: &dice) { node.send(.clientGone(id)) }
        default:
          let energy = Int64.random(in: 0...250_000_000, using: &dice)
          used += energy
          node.sample(.value(1), joules: Double(energy) / 1_000_000)
        }
      }
      node.measure(0)
      let rows = ids.compactMap { node.row($0)?.energy?.current }
      let ofJobs = rows.reduce(0) { $0 + Int64(($1 * 1_000_000).rounded()) }
      let split = node.state.energySplit
      #expect(ofJobs == split.jobs.energy.microjoules, "seed \(seed)")
      #expect(ofJobs + split.idle.energy.microjoules == used, "seed \(seed)")
      (all, idle) = (all + ofJobs, idle + split.idle.energy)
      let day = try #require(node.snapshot().earnings.energyToday.current)
      #expect(abs(day * 1_000 - Double(used) / 1_000) <= 0.5, "seed \(seed)")
    }
    #expect(all > 0 && idle > .zero)
  }
}
