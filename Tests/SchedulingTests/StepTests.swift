// StepTests.swift: how much goes into one step, and what screens are told about the time it will take.

import Scheduling
import Testing

@Suite struct StepTests {
  /// Machines: microseconds of a step with decodes, of a decode in it, of a prompt token in it, and of one in a step alone.
  static let machines: [(base: Double, decode: Double, mixed: Double, alone: Double)] = [
    (1_900, 290, 340, 345), (2_000, 2_000, 2_000, 2_000), (50_000, 500, 4_000, 3_500), (100, 1, 0.5, 0.4),
    (9_000, 5_000, 9_000, 1_000),
  ]

  @Test(arguments: machines.indices, [1, 3, 8])
  func streamsNeverWaitLongerThanThreeOfTheirSteps(machine: Int, streams: Int) throws {
    let machine = Self.machines[machine]
    func time(_ plan: StepPlan) -> Microseconds {
      let decodes = Double(plan.entries.filter { $0.count == 1 }.count)
      let prefill = Double(plan.tokenCount) - decodes
      if decodes == 0 { return Microseconds(prefill * machine.alone) }
      return Microseconds(machine.base + decodes * machine.decode + prefill * machine.mixed)
    }
    var bench = try Bench(
      Bench.limits(blocks: 1_024, context: 8_192) {
        $0.maxRunning = 9
        $0.tokenInterval = 3_600_000_000
      })
    func step() throws -> (StepPlan, Microseconds) {
      let plan = bench.scheduler.plan(at: bench.now)
      let took = max(1, time(plan))
      bench.now += took
      _ = try bench.scheduler.stepped(plan.number, bench.results(plan), took: took, at: bench.now)
      return (plan, took)
    }
    for _ in 0..<streams { bench.submit(prompt: 10, output: 2_000) }
    for _ in 0..<40 { _ = try step() }
    let (alone, usual) = try step()
    #expect(alone.entries.count == streams)
    let long = bench.submit("bob", prompt: 1_000, output: 10)
    var longest: Microseconds = 0
    var steps = 0
    // One token a step at the least: the streams last longer.
    while (bench.scheduler.job(long)?.generatedTokens ?? 0) == 0, steps < 1_100 {
      let (plan, took) = try step()
      #expect(plan.entries.filter { $0.count == 1 }.count >= streams)
      // The first steps are the ones it learns from.
      if steps >= 3 { longest = max(longest, took) }
      steps += 1
    }
    #expect(steps < 1_100, "the prompt took \(steps) steps")
    // Where even one token is dear, it goes forward by that.
    let least = Microseconds(machine.mixed) + usual
    #expect(longest <= max(3 * usual, least), "a step of \(longest) us beside \(usual) us")
  }

  /// Machines on which a few prompt tokens come free and deep ones are dear: microseconds of a step with decodes, of a
  /// decode in it, how many prompt tokens are free, what each further one takes, and the depth that doubles that.
  static let unevenMachines: [(base: Double, decode: Double, free: Int, token: Double, doubling: Double)] = [
    (5_000, 500, 6, 850, 1_500), (5_000, 500, 0, 850, 300), (2_000, 300, 16, 400, 4_000),
    (20_000, 100, 40, 60, 800),
  ]

  /// The estimates of short prompts and shallow ones do not mislead: not at the first long prompt, and not where a long
  /// one begins deep because the cache has its beginning.
  @Test(arguments: unevenMachines.indices, [1, 4])
  func cheapShortPromptsDoNotMakeALongOneTooDear(machine: Int, streams: Int) throws {
    let machine = Self.unevenMachines[machine]
    func time(_ plan: StepPlan, decodes: Int) -> Microseconds {
      var time = machine.base + Double(decodes) * machine.decode
      let prompts = plan.entries.dropFirst(decodes)
      let tokens = prompts.reduce(0) { $0 + $1.count }
      guard tokens > 0 else { return Microseconds(time) }
      let depth = prompts.reduce(0) { $0 + $1.count * ($1.start + $1.count / 2) } / tokens
      time += Double(max(0, tokens - machine.free)) * machine.token * (1 + Double(depth) / machine.doubling)
      return Microseconds(time)
    }
    var bench = try Bench(
      Bench.limits(blocks: 2_048, context: 8_192) {
        $0.maxRunning = 9
        $0.tokenInterval = 3_600_000_000
      })
    var running: Set<JobID> = []
    func step() throws -> Microseconds {
      let plan = bench.scheduler.plan(at: bench.now)
      let decodes = plan.entries.prefix { running.contains($0.job) }.count
      let took = max(1, time(plan, decodes: decodes))
      bench.now += took
      let results = bench.results(plan)
      for result in results { running.insert(result.job) }
      bench.note(try bench.scheduler.stepped(plan.number, results, took: took, at: bench.now))
      return took
    }
    for _ in 0..<streams { bench.submit(prompt: 10, output: 6_000) }
    for _ in 0..<40 { _ = try step() }
    // Short prompts, one at a time: each goes in one step, and is nearly free.
    for _ in 0..<20 {
      let short = bench.submit("bob", prompt: 5, output: 1)
      while bench.ended[short] == nil { _ = try step() }
    }
    var usual = try step()
    // Where even one token is dear, the prompt goes forward by that.
    let dearest = machine.token * (1 + 4_000 / machine.doubling)
    func longest(_ id: JobID) throws -> Double {
      var longest = 0.0
      var steps = 0
      while (bench.scheduler.job(id)?.generatedTokens ?? 0) == 0, steps < 5_000 {
        longest = max(longest, Double(try step()) / Double(usual))
        steps += 1
      }
      #expect(steps < 5_000, "the prompt took \(steps) steps")
      return longest
    }
    let (first, _) = bench.submission(
      "carol", prompt: 3_000, output: 40, priority: 5, origin: .network, topic: 7, shared: 2_900,
      timeLimit: nil, verdict: .admit)
    let bound = max(3, 1 + dearest / Double(usual))
    #expect(try longest(first) <= bound)
    while bench.ended[first] == nil { _ = try step() }
    usual = try step()
    let (second, _) = bench.submission(
      "carol", prompt: 4_000, output: 40, priority: 5, origin: .network, topic: 7, shared: 2_900,
      timeLimit: nil, verdict: .admit)
    #expect(try longest(second) <= bound)
    #expect((bench.scheduler.job(second)?.cachedTokens ?? 0) > 2_000)
  }

  @Test func theTargetForTheTimeBetweenTokensIsKept() throws {
    var bench = try Bench(Bench.limits(blocks: 512, context: 4_096) { $0.tokenInterval = 14_000 })
    bench.submit(prompt: 10, output: 2_000)
    for _ in 0..<40 { try bench.step() }
    let long = bench.submit("bob", prompt: 2_000, output: 10)
    var longest: Microseconds = 0
    var step = 0
    while (bench.scheduler.job(long)?.generatedTokens ?? 0) == 0 {
      let plan = try bench.step()
      if step >= 3 { longest = max(longest, Bench.cost(plan)) }
      step += 1
    }
    #expect(longest <= 14_000 && longest > 12_000, "\(longest)")
  }

  @Test func aShortPromptDoesNotWaitForALongOne() throws {
    var bench = try Bench(Bench.limits(blocks: 512, context: 8_192))
    let long = bench.submit("ada", prompt: 6_000, output: 5)
    for _ in 0..<3 { try bench.step() }
    let short = bench.submit("bob", prompt: 30, output: 5)
    var steps = 0
    while (bench.scheduler.job(short)?.generatedTokens ?? 0) == 0, steps < 100 {
      try bench.step()
      steps += 1
    }
    #expect(steps <= 2)
    #expect(bench.scheduler.job(long)?.generatedTokens == 0)
  }

  @Test func aStepIsBoundedInTokensAndSequences() throws {
    var bench = try Bench(
      Bench.limits(blocks: 256) {
        $0.maxStepTokens = 40; $0.maxRunning = 6
      })
    for client in 0..<20 { bench.submit("client \(client)", prompt: 100, output: 20) }
    while true {
      let plan = try bench.step()
      if plan.isEmpty { break }
      #expect(plan.tokenCount <= 40 && plan.entries.count <= 6)
    }
    #expect(bench.ended.count == 20)
  }

  @Test func estimatesComeTrueWithinAQuarter() throws {
    var bench = try Bench(Bench.limits(blocks: 256) { $0.maxRunning = 4 })
    bench.submit(prompt: 200, output: 30)
    #expect(bench.scheduler.jobs.first?.startsIn == nil, "nothing was measured yet")
    #expect(bench.scheduler.estimate(promptTokens: 10, maxOutputTokens: 10) == nil)
    try bench.run()
    for client in 0..<4 { bench.submit("client \(client)", prompt: 60, output: 60) }
    for _ in 0..<20 { try bench.step() }
    try bench.run()
    let ids = (0..<20).map { bench.submit("client \($0 % 5)", prompt: 60, output: 60) }
    let last = try #require(bench.scheduler.jobs.last)
    #expect(ids.contains(last.id))
    let startsIn = try #require(last.startsIn)
    let finishesIn = try #require(last.finishesIn)
    #expect(startsIn < finishesIn)
    let submitted = bench.now
    while bench.ended[last.id] == nil { try bench.step() }
    let took = bench.now - submitted
    #expect(abs(finishesIn - took) < took / 4, "estimated \(finishesIn), took \(took)")
  }

  @Test func aPendingJobIsToldWhatApprovingWouldMean() throws {
    var bench = try Bench(Bench.limits())
    bench.submit(prompt: 200, output: 30)
    bench.submit(prompt: 200, output: 30)
    try bench.run()
    let pending = bench.submit(prompt: 100, output: 40, verdict: .ask)
    let view = try #require(bench.scheduler.jobs.first { $0.id == pending })
    #expect(view.startsIn == 0)
    #expect((view.finishesIn ?? 0) > 400_000)
    _ = bench.scheduler.pause(at: bench.now)
    #expect(bench.scheduler.jobs.first?.finishesIn == nil)
  }

  @Test func rowsAreShownInTheOrderOfTheirWay() throws {
    var bench = try Bench(Bench.limits { $0.maxRunning = 1 })
    let running = bench.submit(output: 50)
    try bench.step()
    let pending = bench.submit(verdict: .ask)
    let held = bench.submit()
    let queued = bench.submit()
    _ = try bench.scheduler.hold(held, at: bench.now)
    bench.now += 3_000_000
    _ = bench.scheduler.tick(at: bench.now)
    #expect(bench.scheduler.jobs.map(\.id) == [running, queued, held, pending])
    #expect(bench.scheduler.jobs.map(\.state) == [.running, .queued, .held, .pending])
    let row = try #require(bench.scheduler.job(pending))
    #expect(row.age == 3_000_000 && row.decideWithin == 597_000_000)
    let load = bench.scheduler.load
    #expect([load.pending, load.queued, load.running, load.held] == [1, 1, 1, 1])
  }

  @Test func anAnswerThatStopsEarlyIsDone() throws {
    var bench = try Bench(Bench.limits())
    let id = bench.submit(output: 100)
    bench.stopAt[id] = 7
    try bench.run()
    #expect(bench.ended[id]?.outcome == .done(.stop) && bench.ended[id]?.generatedTokens == 7)
  }

  @Test func anEndWithoutATokenCountsNone() throws {
    var bench = try Bench(Bench.limits())
    let id = bench.submit(output: 100)
    let plan = bench.plan()
    bench.note(
      try bench.scheduler.stepped(plan.number, [StepResult(job: id, .end(.stop))], took: 9, at: bench.now))
    #expect(bench.ended[id]?.outcome == .done(.stop) && bench.ended[id]?.generatedTokens == 0)
  }

  @Test func guessesAreComputedBesideDecodesAndCountAsFarAsTheyWereRight() throws {
    var bench = try Bench(Bench.limits())
    let id = bench.submit(prompt: 20, output: 40)
    var generated = 0
    var guessed: [Int] = []
    var right: [Int] = []
    while bench.ended[id] == nil {
      let plan = bench.plan()
      let entry = try #require(plan.entries.first)
      let guess = entry.guessed ?? 0
      if guess > 0 {
        #expect(entry.count == 1 + guess && entry.known == 1 && entry.emits)
        #expect(entry.start == 19 + generated && entry.outputIndex == generated)
        #expect(entry.blocks.count * 16 >= entry.start + entry.count)
      }
      guessed.append(guess)
      bench.now += 1_000
      // Of three guesses the first one is right.
      let count = min(guess, 1) + 1
      right.append(count - 1)
      if entry.emits { generated += count }
      let result = StepResult(
        job: id, .token, count: count > 1 ? count : nil, guess: generated % 5 == 0 ? nil : 3)
      bench.note(
        try bench.scheduler.stepped(
          plan.number, entry.emits ? [result] : [], took: 1_000 + Microseconds(guess), at: bench.now))
      #expect(bench.scheduler.checkInvariants().isEmpty)
    }
    #expect(bench.ended[id]?.outcome == .done(.length) && bench.ended[id]?.generatedTokens == 40)
    #expect(generated == 40)
    #expect(guessed.contains(3) && guessed.last ?? 9 <= 1, "never beyond the last token: \(guessed)")
    #expect(right.reduce(0, +) > 5)
  }

  @Test func anEntryThatIsNotReadyComesAgain() throws {
    var bench = try Bench(Bench.limits())
    let id = bench.submit(prompt: 20, output: 2)
    let first = bench.plan()
    for _ in 0..<3 {
      let plan = bench.scheduler.plan(at: bench.now)
      let given = plan.isEmpty ? first : plan
      bench.now += 10
      bench.note(
        try bench.scheduler.stepped(given.number, [StepResult(job: id, .later)], took: 10, at: bench.now))
      #expect(bench.scheduler.checkInvariants().isEmpty)
      #expect(bench.scheduler.job(id)?.generatedTokens == 0)
    }
    try bench.run()
    #expect(bench.ended[id]?.outcome == .done(.length) && bench.ended[id]?.generatedTokens == 2)
  }

  @Test func `a model that reads both ways gets prompts whole, the first one however long it is`() throws {
    var bench = try Bench(
      Bench.limits(blocks: 64, context: 512) {
        $0.wholePrompts = true
        $0.maxStepTokens = 100
      })
    let long = bench.submit(prompt: 400, output: 1)
    let short = bench.submit(prompt: 30, output: 1)
    let middle = bench.submit(prompt: 90, output: 1)
    var steps: [[JobID: Int]] = []
    while steps.count < 5 {
      let plan = bench.scheduler.plan(at: bench.now)
      if plan.isEmpty { break }
      steps.append(Dictionary(uniqueKeysWithValues: plan.entries.map { ($0.job, $0.count) }))
      #expect(plan.entries.allSatisfy { $0.start == 0 && $0.emits })
      bench.now += 1_000
      let results = plan.entries.map { StepResult(job: $0.job, .end(.length)) }
      _ = try bench.scheduler.stepped(plan.number, results, took: 1_000, at: bench.now)
    }
    #expect(
      steps == [[long: 400], [short: 30], [middle: 90]] || steps == [[long: 400], [short: 30, middle: 90]])
  }
}
