// StateTests.swift: slots of recurrent states: where a prefix is reused, what a checkpoint costs, and
// what happens when there are few. The engine in Bench.swift notices a state of another text.

import Scheduling
import Testing

@Suite struct StateTests {
  private func bench(
    slots: Int = 8, hostSlots: Int = 0, blocks: Int = 64, _ change: (inout Limits) -> Void = { _ in }
  ) throws -> Bench {
    try Bench(
      Bench.limits(blocks: blocks) {
        $0.states = Limits.States(slots: slots, hostSlots: hostSlots, swapTime: 1)
        change(&$0)
      })
  }

  /// The tokens that a prompt reuses after another, which has `shared` tokens in common with it.
  private func reused(_ bench: inout Bench, prompt: Int, shared: Int, borders: [Int]?) throws -> Int? {
    bench.submit(prompt: prompt, output: 2, topic: 7, shared: shared, borders: borders)
    try bench.run()
    let second = bench.submit(prompt: prompt, output: 2, topic: 7, shared: shared, borders: borders)
    try bench.run()
    #expect(bench.engine.wrong.isEmpty)
    #expect(bench.scheduler.checkInvariants() == [])
    return bench.ended[second]?.cachedTokens
  }

  @Test func `a prefix is reused up to the end of a message, not up to where texts part`() throws {
    // 150 tokens in common are nine blocks; a message ends within the seventh.
    var bench = try bench()
    #expect(try reused(&bench, prompt: 200, shared: 150, borders: [20, 110, 180]) == 96)
    // Where nobody said where messages end, the prompt's end alone is kept.
    bench = try self.bench()
    #expect(try reused(&bench, prompt: 200, shared: 150, borders: nil) == 0)
    bench = try self.bench()
    #expect(try reused(&bench, prompt: 200, shared: 200, borders: nil) == 192)
    // Without states every whole block in common is.
    bench = try Bench(Bench.limits())
    #expect(try reused(&bench, prompt: 200, shared: 150, borders: [110]) == 144)
  }

  @Test func `a longer prompt goes on where a shorter one ended`() throws {
    var bench = try bench()
    bench.submit(prompt: 100, output: 20, topic: 7, shared: 512)
    try bench.run()
    let next = bench.submit(prompt: 180, output: 4, topic: 7, shared: 512)
    let plan = try bench.step()
    #expect(plan.entries.first.map { [$0.start, $0.state?.from == $0.state?.into ? 1 : 0] } == [96, 0])
    try bench.run()
    #expect(bench.ended[next]?.cachedTokens == 96)
    #expect(bench.engine.wrong.isEmpty)
  }

  @Test func `chunks end at checkpoints, and only there where one is due`() throws {
    var bench = try bench { $0.maxStepTokens = 512 }
    bench.submit(prompt: 200, output: 1, borders: [70, 80, 130])
    var chunks: [Int] = []
    while chunks.reduce(0, +) < 200 {
      let plan = try bench.step()
      chunks += plan.entries.map(\.count)
    }
    // The first step takes 64; blocks 5 and 8 are less than four apart from a checkpoint.
    #expect(chunks == [64, 64, 64, 8])
    #expect(bench.scheduler.usedStates == 0)
  }

  @Test func `two sequences go on from one checkpoint, each in a slot of its own`() throws {
    var bench = try bench(slots: 4)
    bench.submit(prompt: 64, output: 1, topic: 7, shared: 64)
    try bench.run()
    bench.submit(prompt: 90, output: 8, topic: 7, shared: 64)
    bench.submit(prompt: 95, output: 8, topic: 7, shared: 64)
    try bench.run()
    #expect(bench.scheduler.counters.cachedTokens == 128)
    #expect(bench.engine.wrong.isEmpty)
  }

  @Test func `where slots are few, sequences run in turn and checkpoints give way`() throws {
    var bench = try bench(slots: 2)
    let ids = (0..<5).map { bench.submit("client \($0)", prompt: 100, output: 12) }
    for _ in 0..<2_000 {
      if try bench.step().isEmpty { break }
      #expect(bench.scheduler.checkInvariants() == [])
    }
    for id in ids { #expect(bench.outputs[id] == Array(0..<12)) }
    #expect(bench.engine.wrong.isEmpty)
  }

  /// Two sequences that grow beyond the memory: the later one leaves, and comes back with the same answer.
  private func squeeze(hostSlots: Int) throws -> Bench {
    var bench = try bench(hostSlots: hostSlots, blocks: 12) {
      $0.contextLength = 192
      $0.hostBlocks = 12
      $0.swapBlockTime = 1
    }
    let ids = ["ada", "bob"].map { bench.submit($0, prompt: 60, output: 90) }
    for _ in 0..<5_000 {
      if try bench.step().isEmpty { break }
      #expect(bench.scheduler.checkInvariants() == [])
    }
    for id in ids { #expect(bench.outputs[id] == Array(0..<90)) }
    #expect(bench.engine.wrong.isEmpty)
    return bench
  }

  @Test func `a state is swapped out with its blocks, or all is computed again`() throws {
    let swapped = try squeeze(hostSlots: 2).scheduler.counters
    #expect(swapped.swapPreemptions > 0 && swapped.recomputePreemptions == 0)
    #expect(swapped.prefillTokens == 120)
    let recomputed = try squeeze(hostSlots: 0).scheduler.counters
    #expect(recomputed.swapPreemptions == 0 && recomputed.recomputePreemptions > 0)
  }

  @Test func `checkpoints are few, and not near one another`() {
    func found(_ borders: [Int]?, prompt: Int = 400) -> [Int] {
      Scheduler.checkpoints(
        of: Job(
          id: JobID(1), client: ClientID("ada"), model: "tiny", promptTokens: prompt, maxOutputTokens: 1,
          prefix: (0..<(prompt / 16)).map { BlockKey(high: 1, low: UInt64($0)) }, borders: borders), apart: 4)
    }
    #expect(found(nil) == [25])
    #expect(found([], prompt: 60) == [])
    #expect(found([40, 70, 90, 200]) == [4, 12, 25])
    // The first, which may be common to many prompts, and the last.
    #expect(found([64, 128, 192, 256, 320]) == [4, 16, 20, 25])
    // What comes from outside may be out of order or beyond the prompt.
    #expect(found([-5, 900, 128, 70, Int.max]) == [8, 25])
  }

  @Test func `limits of slots outside their bounds are refused`() {
    for (states, field) in [
      (Limits.States(slots: 1), "states.slots"), (.init(slots: 2, hostSlots: -1), "states.hostSlots"),
      (.init(slots: 2, swapTime: -1), "states.swapTime"), (.init(slots: 2, distance: 0), "states.distance"),
    ] {
      do {
        _ = try Scheduler(Bench.limits { $0.states = states })
        Issue.record("accepted")
      } catch {
        #expect(error.field == field)
      }
    }
  }
}
