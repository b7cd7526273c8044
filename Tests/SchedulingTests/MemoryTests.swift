// MemoryTests.swift: blocks, the prefix cache, and what happens when there are too few.
// The engine in Bench.swift notices any position that is read and was not written there.

import Scheduling
import Testing

@Suite struct MemoryTests {
  @Test func aSecondPromptTakesTheFirstOnesBlocks() throws {
    var bench = try Bench(Bench.limits())
    let first = bench.submit(prompt: 100, output: 2, topic: 7, shared: 80)
    try bench.run()
    let second = bench.submit(prompt: 100, output: 2, topic: 7, shared: 80)
    try bench.run()
    #expect(bench.ended[first]?.cachedTokens == 0)
    #expect(bench.ended[second]?.cachedTokens == 80)
    #expect(bench.ended[second]?.prefilledTokens == 100)
    #expect(bench.scheduler.counters.prefillTokens == 120 && bench.scheduler.counters.cachedTokens == 80)
    #expect(bench.engine.wrong.isEmpty)
  }

  @Test func theLastTokenIsAlwaysComputed() throws {
    var bench = try Bench(Bench.limits())
    bench.submit(prompt: 64, output: 1, topic: 7, shared: 64)
    try bench.run()
    let again = bench.submit(prompt: 64, output: 1, topic: 7, shared: 64)
    let plan = try bench.step()
    #expect(bench.ended[again]?.cachedTokens == 48)
    #expect(plan.entries.first.map { [$0.start, $0.count] } == [48, 16])
  }

  @Test func noClientSeesAnothersCacheEvenWithTheSameKeys() throws {
    var bench = try Bench(Bench.limits())
    bench.submit("ada", prompt: 100, topic: 7, shared: 100)
    try bench.run()
    let other = bench.submit("bob", prompt: 100, topic: 7, shared: 100)
    let own = bench.submit("ada", prompt: 100, topic: 7, shared: 100)
    try bench.run()
    #expect(bench.ended[other]?.cachedTokens == 0)
    #expect(bench.ended[own]?.cachedTokens == 96)
  }

  @Test func aPrefixIsSharedWithASequenceThatStillRuns() throws {
    var bench = try Bench(Bench.limits())
    let first = bench.submit(prompt: 64, output: 40, topic: 7, shared: 512)
    while (bench.scheduler.job(first)?.generatedTokens ?? 0) < 36 { try bench.step() }
    // 100 positions known, 99 computed: the prompt's four blocks and two more of its answer.
    let second = bench.submit(prompt: 120, output: 4, topic: 7, shared: 512)
    let plan = try bench.step()
    #expect(bench.scheduler.job(first)?.state == .running)
    #expect(bench.scheduler.job(second)?.cachedTokens == 96)
    let tables = plan.entries.map(\.blocks)
    #expect(tables[0].prefix(6) == tables[1].prefix(6))
    try bench.run()
    #expect(bench.engine.wrong.isEmpty)
  }

  @Test func twoEqualPromptsAtOnceAreComputedOnce() throws {
    var bench = try Bench(Bench.limits())
    bench.submit(prompt: 320, output: 1, topic: 7, shared: 320)
    bench.submit(prompt: 320, output: 1, topic: 7, shared: 320)
    try bench.run()
    #expect(bench.scheduler.counters.prefillTokens < 320 + 64)
    #expect(bench.engine.wrong.isEmpty)
  }

  @Test func whatIsUsedLeastRecentlyIsForgottenFirst() throws {
    var bench = try Bench(Bench.limits(blocks: 16, context: 256))
    bench.submit(prompt: 80, output: 1, topic: 1, shared: 80)
    try bench.run()
    bench.submit(prompt: 80, output: 1, topic: 2, shared: 80)
    try bench.run()
    let touched = bench.submit(prompt: 80, output: 1, topic: 1, shared: 80)
    try bench.run()
    #expect(bench.ended[touched]?.cachedTokens == 64)
    // 10 blocks are known, 6 blank: this takes 4 of topic 2's, its end first.
    bench.submit(prompt: 160, output: 1)
    try bench.run()
    let kept = bench.submit(prompt: 80, output: 1, topic: 1, shared: 80)
    try bench.run()
    #expect(bench.ended[kept]?.cachedTokens == 64)
    let forgotten = bench.submit(prompt: 80, output: 1, topic: 2, shared: 80)
    try bench.run()
    #expect((bench.ended[forgotten]?.cachedTokens ?? 99) <= 16)
    #expect(bench.scheduler.counters.evictedBlocks >= 4)
    #expect(bench.engine.wrong.isEmpty)
  }

  @Test func `a window of 512 over 4,096 positions holds no more blocks than it sees`() throws {
    var bench = try Bench(
      Bench.limits(blocks: 256, context: 4_096) {
        $0.windows = [Limits.Window(positions: 512, blocks: 40, hostBlocks: 0)]
        $0.maxStepTokens = 64
      })
    let job = bench.submit(prompt: 3_000, output: 1_096)
    var most = (whole: 0, window: 0, decoding: 0)
    while true {
      let plan = try bench.step()
      guard let entry = plan.entries.first else { break }
      let held = entry.windows?.first.map { $0.count { $0 >= 0 } } ?? 0
      most.whole = max(most.whole, entry.blocks.count)
      most.window = max(most.window, held)
      if entry.count == 1 { most.decoding = max(most.decoding, held) }
      // What the first token of the step sees, and the step itself.
      #expect(held <= (511 + entry.count + 15) / 16 + 1)
    }
    #expect(bench.ended[job]?.outcome == .done(.length))
    #expect(bench.engine.wrong.isEmpty)
    print("4,096 positions: \(most.whole) blocks without a window, \(most.window) in one of 512")
    #expect(most.whole == 256)
    #expect(most.decoding == 33)
  }

  /// Two sequences that grow beyond the memory: the later one leaves, and comes back with the same answer.
  func squeeze(hostBlocks: Int, swapBlockTime: Microseconds, keys: Bool) throws -> Bench {
    var bench = try Bench(
      Bench.limits(blocks: 12, context: 192) {
        $0.hostBlocks = hostBlocks
        $0.swapBlockTime = swapBlockTime
      })
    let first = bench.submit("ada", prompt: 60, output: 90)
    let second = bench.submit("bob", prompt: 60, output: 90)
    for _ in 0..<5_000 {
      let plan = bench.plan()
      if plan.isEmpty { break }
      bench.now += Bench.cost(plan)
      let results = bench.results(plan, withKeys: keys)
      bench.note(try bench.scheduler.stepped(plan.number, results, took: Bench.cost(plan), at: bench.now))
      #expect(bench.scheduler.checkInvariants() == [])
    }
    for id in [first, second] {
      #expect(bench.ended[id]?.outcome == .done(.length))
      #expect(bench.outputs[id] == Array(0..<90))
    }
    #expect(bench.engine.wrong.isEmpty)
    #expect(bench.scheduler.load.usedBlocks == 0 && bench.scheduler.load.usedHostBlocks == 0)
    return bench
  }

  @Test func underPressureTheLastIsRecomputedIfThereIsNoHostMemory() throws {
    let bench = try squeeze(hostBlocks: 0, swapBlockTime: 1, keys: false)
    #expect(bench.scheduler.counters.recomputePreemptions > 0)
    #expect(bench.scheduler.counters.swapPreemptions == 0)
    #expect(bench.effects.contains(.preempted(JobID(2), .recompute)))
  }

  @Test func underPressureTheLastIsSwappedIfThatIsCheaper() throws {
    let bench = try squeeze(hostBlocks: 12, swapBlockTime: 1, keys: true)
    #expect(bench.scheduler.counters.swapPreemptions > 0)
    #expect(bench.scheduler.counters.recomputePreemptions == 0)
    // Nothing is computed twice.
    #expect(bench.scheduler.counters.prefillTokens == 120)
  }

  @Test func underPressureTheLastIsRecomputedIfThatIsCheaper() throws {
    let bench = try squeeze(hostBlocks: 12, swapBlockTime: 1_000_000, keys: true)
    #expect(bench.scheduler.counters.recomputePreemptions > 0)
    #expect(bench.scheduler.counters.swapPreemptions == 0)
  }

  @Test func hostMemoryThatIsTooSmallIsNotUsed() throws {
    let bench = try squeeze(hostBlocks: 2, swapBlockTime: 1, keys: true)
    #expect(bench.scheduler.counters.swapPreemptions == 0)
    #expect(bench.scheduler.counters.recomputePreemptions > 0)
  }

  @Test func aHeldJobGivesItsBlocksToOneThatRuns() throws {
    var bench = try Bench(Bench.limits(blocks: 12, context: 192))
    let held = bench.submit("ada", prompt: 100, output: 20)
    for _ in 0..<8 { try bench.step() }
    bench.note(try bench.scheduler.hold(held, at: bench.now))
    let other = bench.submit("bob", prompt: 150, output: 10)
    try bench.run()
    #expect(bench.effects.contains(.evicted(held, .recompute)))
    #expect(bench.ended[other]?.outcome == .done(.length))
    bench.note(try bench.scheduler.release(held, at: bench.now))
    try bench.run()
    #expect(bench.outputs[held] == Array(0..<20))
    #expect(bench.engine.wrong.isEmpty)
  }

  @Test func aJobThatFillsTheWholeMemoryStillEnds() throws {
    var bench = try Bench(Bench.limits(blocks: 8, context: 128))
    let ids = (0..<3).map { bench.submit("client \($0)", prompt: 100, output: 28) }
    try bench.run()
    for id in ids { #expect(bench.ended[id]?.outcome == .done(.length)) }
    #expect(bench.engine.wrong.isEmpty)
  }

  @Test func keysBeyondWhatIsKnownAreIgnored() throws {
    var bench = try Bench(Bench.limits())
    let job = Job(
      id: JobID(1), client: ClientID("ada"), model: "tiny", promptTokens: 20, maxOutputTokens: 3,
      prefix: (0..<50).map { BlockKey(high: 0, low: UInt64($0)) })
    #expect(bench.scheduler.submit(job, verdict: .admit, at: 0) == .queued)
    let plan = bench.scheduler.plan(at: 0)
    let keys = (0..<50).map { BlockKey(high: 1, low: UInt64($0)) }
    _ = try bench.scheduler.stepped(
      plan.number, [StepResult(job: JobID(1), .token, keys: keys)], took: 5, at: 0)
    #expect(bench.scheduler.checkInvariants() == [])
    #expect(bench.scheduler.job(JobID(1))?.generatedTokens == 1)
  }
}
