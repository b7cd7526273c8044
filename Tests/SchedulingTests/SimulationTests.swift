// SimulationTests.swift: many simulated days, fairness and starvation over long runs, and what planning costs.
// HOTPOT_HEAVY=1 runs 2,000 days.

import Foundation
import Scheduling
import TestSettings
import Testing

/// What this thread computes, whatever else the machine does.
func processorTime(_ body: () throws -> Void) rethrows -> Duration {
  func now() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
  let start = now()
  try body()
  return now() - start
}

@Suite(.serialized) struct SimulationTests {
  @Test func everyPromiseHoldsAfterEveryEventOfASimulatedDay() throws {
    let seeds: UInt64 = isHeavy ? 2_000 : 100
    var events = 0
    var steps: Int64 = 0
    var totals = Counters()
    let time = try processorTime {
      for seed in 1...seeds {
        var simulation = try Simulation(seed: seed)
        try simulation.run()
        for problem in simulation.problems.prefix(5) { Issue.record("seed \(seed): \(problem)") }
        if !simulation.problems.isEmpty { break }
        events += simulation.events
        let counters = simulation.bench.scheduler.counters
        steps += counters.steps
        totals.submitted += counters.submitted
        totals.refused += counters.refused
        totals.done += counters.done
        totals.rejected += counters.rejected
        totals.cancelled += counters.cancelled
        totals.expired += counters.expired
        totals.failed += counters.failed
        totals.keptPreemptions += counters.keptPreemptions
        totals.swapPreemptions += counters.swapPreemptions
        totals.recomputePreemptions += counters.recomputePreemptions
        totals.cachedTokens += counters.cachedTokens
        totals.evictedBlocks += counters.evictedBlocks
      }
    }
    print(
      "simulation: \(seeds) days, \(events) events, \(steps) steps in \(time) of processor time; \(totals)")
    // The days are eventful: otherwise they'd prove nothing.
    #expect(
      totals.done > 50 * Int64(seeds) && totals.cancelled > 0 && totals.expired > 0 && totals.failed > 0)
    #expect(totals.swapPreemptions > 0 && totals.recomputePreemptions > 0 && totals.keptPreemptions > 0)
    #expect(totals.cachedTokens > 0 && totals.evictedBlocks > 0 && totals.refused > 0)
  }

  @Test func `every promise holds where some layers attend in windows`() throws {
    var totals = Counters()
    for seed in 1...UInt64(isHeavy ? 1_000 : 60) {
      var simulation = try Simulation(seed: seed, hasWindows: true)
      try simulation.run()
      for problem in simulation.problems.prefix(5) { Issue.record("seed \(seed): \(problem)") }
      if !simulation.problems.isEmpty { break }
      let counters = simulation.bench.scheduler.counters
      totals.done += counters.done
      totals.cachedTokens += counters.cachedTokens
      totals.swapPreemptions += counters.swapPreemptions
      totals.recomputePreemptions += counters.recomputePreemptions
      totals.keptPreemptions += counters.keptPreemptions
    }
    #expect(totals.done > 0 && totals.cachedTokens > 0)
    #expect(totals.swapPreemptions > 0 && totals.recomputePreemptions > 0 && totals.keptPreemptions > 0)
  }

  @Test func `every promise holds where sequences keep a recurrent state`() throws {
    var totals = Counters()
    for seed in 1...UInt64(isHeavy ? 1_000 : 60) {
      var simulation = try Simulation(seed: seed, hasWindows: seed % 3 == 0, hasStates: true)
      try simulation.run()
      for problem in simulation.problems.prefix(5) { Issue.record("seed \(seed): \(problem)") }
      if !simulation.problems.isEmpty { break }
      let counters = simulation.bench.scheduler.counters
      totals.done += counters.done
      totals.cachedTokens += counters.cachedTokens
      totals.swapPreemptions += counters.swapPreemptions
      totals.recomputePreemptions += counters.recomputePreemptions
      totals.keptPreemptions += counters.keptPreemptions
    }
    print("simulation with states: \(totals)")
    #expect(totals.done > 0 && totals.cachedTokens > 0)
    #expect(totals.swapPreemptions > 0 && totals.recomputePreemptions > 0 && totals.keptPreemptions > 0)
  }

  /// Hash tables are seeded anew in every process, so a digest that is the same in all of them shows that no decision
  /// follows a table's order. A change of the scheduler's decisions changes it: then put the new one here.
  @Test func aDayReplaysToTheSameDecisionsInAnyProcess() throws {
    var simulation = try Simulation(seed: 42)
    try simulation.run()
    var again = try Simulation(seed: 42)
    try again.run()
    #expect(simulation.digest == again.digest)
    #expect(simulation.digest == 2_307_483_457_041_883_683)
  }

  /// Clients who always have jobs queued, of very different sizes: what they are charged differs by no more than the bound
  /// in any interval, though one asks for ten times as many jobs and another for ten times longer ones.
  @Test(arguments: 1...3) func clientsWithJobsQueuedAreChargedAlike(seed: UInt64) throws {
    var random = SeededGenerator(state: seed)
    // The priority ages all the time: that must not change the turns within it.
    var bench = try Bench(Bench.limits(blocks: 64, context: 256) { $0.ageing = 10_000 })
    let clients = ["many short", "few long", "long prompts"]
    var least = [Int64](repeating: .max, count: 9)
    var most = [Int64](repeating: .min, count: 9)
    for _ in 0..<5_000 {
      for (number, client) in clients.enumerated() {
        let wanted = number == 0 ? 30 : 3
        while bench.scheduler.jobs.filter({ $0.client == ClientID(client) && $0.state == .queued }).count
          < wanted
        {
          switch number {
          case 0: bench.submit(client, prompt: random.within(1...20), output: random.within(1...10))
          case 1: bench.submit(client, prompt: random.within(1...20), output: random.within(50...200))
          default: bench.submit(client, prompt: random.within(100...200), output: random.within(1...10))
          }
        }
      }
      try bench.step()
      let charged = clients.map { bench.scheduler.share(of: ClientID($0)) ?? 0 }
      for a in 0..<3 {
        for b in 0..<3 {
          least[a * 3 + b] = min(least[a * 3 + b], charged[a] - charged[b])
          most[a * 3 + b] = max(most[a * 3 + b], charged[a] - charged[b])
        }
      }
    }
    let spread = zip(least, most).map { $1 - $0 }.max() ?? 0
    let total = bench.scheduler.counters.charged
    print(
      "fairness: seed \(seed), \(total) charged, differences of up to \(spread), bound \(bench.scheduler.fairnessBound)"
    )
    #expect(spread <= bench.scheduler.fairnessBound)
    // Long enough to tell: with turns instead of counters one client would have had several bounds more.
    #expect(total > 10 * bench.scheduler.fairnessBound)
  }

  /// The negative control of the starvation bound: without ageing, a stream of higher priorities starves a lower one.
  @Test func withoutAgeingALowPriorityWouldStarve() throws {
    for (ageing, starts) in [(Microseconds(2_000_000), true), (86_400_000_000, false)] {
      var bench = try Bench(
        Bench.limits {
          $0.maxRunning = 2
          $0.ageing = ageing
        })
      let low = bench.submit("ada", priority: 0)
      for _ in 0..<2_000 {
        while bench.scheduler.load.queued < 6 { bench.submit("bob", priority: 9) }
        try bench.step()
        #expect(bench.scheduler.checkInvariants() == [])
      }
      #expect(bench.starts.contains(low) == starts)
    }
  }

  /// A client that floods the queue does not age past one that asks now and then.
  @Test func aFloodDoesNotDelayOthers() throws {
    var bench = try Bench(
      Bench.limits {
        $0.maxRunning = 2; $0.ageing = 1_000_000
      })
    var longest: Microseconds = 0
    for round in 0..<3_000 {
      while bench.scheduler.load.queued < 200 { bench.submit("flood", prompt: 40, output: 20) }
      if round % 300 == 299 {
        let polite = bench.submit("polite", prompt: 40, output: 20)
        while bench.ended[polite] == nil { try bench.step() }
        longest = max(longest, bench.ended[polite]?.waited ?? .max)
      }
      try bench.step()
    }
    // At most until one of the two places is free: a job takes about 20 steps of 12 ms and its prompt.
    #expect(longest < 600_000, "waited \(longest)")
  }

  @Test(arguments: [8, 256]) func planningCostsLittle(running: Int) throws {
    var limits = Limits(blocks: 65_536, contextLength: 4_096)
    limits.maxRunning = running
    limits.maxStepTokens = 1_024
    limits.maxWaitingJobs = 4_000
    limits.maxWaitingJobsPerClient = 4_000
    var scheduler = try Scheduler(limits)
    var number: UInt64 = 0
    func submit(output: Int) {
      number += 1
      _ = scheduler.submit(
        Job(
          id: JobID(number), client: ClientID("client \(number % 20)"), model: "tiny", promptTokens: 200,
          maxOutputTokens: output,
          prefix: (0..<12).map { BlockKey(high: number, low: UInt64($0)) }),
        verdict: .admit, at: 0)
    }
    for _ in 0..<running { submit(output: 3_000) }
    var now: Microseconds = 0
    func step() throws -> Int {
      now += 4_000
      let plan = scheduler.plan(at: now)
      let results = plan.entries.filter(\.emits).map { StepResult(job: $0.job, .token) }
      _ = try scheduler.stepped(plan.number, results, took: 4_000, at: now)
      return results.count
    }
    while try step() < running {}
    for _ in 0..<1_000 { submit(output: 100) }
    let steps = 1_000
    var tokens = 0
    let time = try processorTime { for _ in 0..<steps { tokens += try step() } }
    #expect(tokens == steps * running)
    #expect(scheduler.load.queued == 1_000)
    let rows = processorTime { #expect(scheduler.jobs.count == 1_000 + running) }
    print("planning: \(running) running, 1000 queued: plan and stepped \(time / steps) a step, jobs \(rows)")
  }
}
