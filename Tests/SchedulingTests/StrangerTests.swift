// StrangerTests.swift: what clients whose names are made up can take, and what they cannot: places in the queue, in the
// batch, memory, and the attention of the operator.

import Scheduling
import Testing

@Suite struct StrangerTests {
  private func refusal(_ answer: Submission) -> QueueRefusal? {
    if case .refused(let refusal) = answer { refusal } else { nil }
  }

  /// As many strangers as there are, each with a name of his own.
  private func crowd(
    _ bench: inout Bench, _ count: Int, _ verdict: Verdict, output: Int = 4, prompt: Int = 20
  ) -> Int {
    (0..<count).reduce(0) { taken, _ in
      let (_, answer) = bench.submission(
        "unknown-\(bench.nextJob)", prompt: prompt, output: output, priority: 4, verdict: verdict,
        isStranger: true)
      return taken + (refusal(answer) == nil ? 1 : 0)
    }
  }

  @Test(arguments: [Verdict.ask, .admit]) func strangersTogetherTakeNoKnownClientsPlace(verdict: Verdict)
    throws
  {
    var bench = try Bench(
      Bench.limits {
        $0.maxWaitingJobs = 3
        $0.maxStrangerJobs = 5
      })
    #expect(crowd(&bench, 500, verdict) == 5)
    for _ in 0..<3 { #expect(refusal(bench.submission("ada").1) == nil) }
    #expect(refusal(bench.submission("ada").1) == .queueFull(jobs: 3, retryAfter: 5_000_000))
    // Nor the operator's own, when known clients have filled their places too.
    #expect(refusal(bench.submission("operator", origin: .operator).1) == nil)
    #expect(bench.scheduler.checkInvariants().isEmpty)
  }

  @Test func whatWaitsForApprovalHasAShareOfItsOwn() throws {
    var bench = try Bench(
      Bench.limits {
        $0.maxWaitingJobs = 3
        $0.maxPendingJobs = 2
      })
    for _ in 0..<2 { #expect(refusal(bench.submission("ada", verdict: .ask).1) == nil) }
    let full = refusal(bench.submission("bob", verdict: .ask).1)
    #expect(full?.description == "2 jobs wait for the operator already")
    for _ in 0..<3 { #expect(refusal(bench.submission("bob").1) == nil) }
    // The number is of those that wait their turn.
    #expect(refusal(bench.submission("bob").1)?.description == "the queue is full: 3 jobs wait")
  }

  @Test func anApprovedStrangerStaysInTheStrangersShare() throws {
    var bench = try Bench(
      Bench.limits {
        $0.maxRunning = 1
        $0.maxWaitingJobs = 2
        $0.maxStrangerJobs = 4
      })
    let busy = bench.submit("ada", output: 200)
    _ = bench.plan()
    #expect(bench.scheduler.job(busy)?.state == .running)
    #expect(crowd(&bench, 4, .ask) == 4)
    for job in bench.scheduler.jobs where job.state == .pending {
      bench.note(try bench.scheduler.approve(job.id, at: bench.now))
    }
    #expect(bench.scheduler.load.queued == 4)
    #expect(crowd(&bench, 1, .ask) == 0)
    for _ in 0..<2 { #expect(refusal(bench.submission("bob").1) == nil) }
  }

  @Test func strangersRunInTheirShareOfTheBatch() throws {
    var bench = try Bench(
      Bench.limits(blocks: 256) {
        $0.maxRunning = 8
        $0.maxRunningStrangers = 3
        $0.maxPrefilling = 8
      })
    #expect(crowd(&bench, 20, .admit, output: 100) == 20)
    for _ in 0..<30 { try bench.step() }
    #expect(bench.scheduler.load.running == 3)
    let known = (0..<5).map { bench.submit("ada \($0)") }
    try bench.step()
    #expect(known.allSatisfy { bench.scheduler.job($0)?.state == .running })
    try bench.run()
    // They wait, and they all get their turn.
    #expect(bench.ended.values.allSatisfy { $0.outcome == .done(.length) } && bench.ended.count == 25)
  }

  @Test func aKnownClientTakesTheOnePlaceFromAStrangerHoweverOld() throws {
    var bench = try Bench(
      Bench.limits {
        $0.maxRunning = 1
        $0.ageing = 1_000
      })
    #expect(crowd(&bench, 3, .admit, output: 200) == 3)
    for _ in 0..<30 { try bench.step() }
    let known = bench.submit("ada")
    try bench.step()
    #expect(bench.scheduler.job(known)?.state == .running)
    try bench.run()
    #expect(bench.ended.count == 4)
  }

  @Test func longPromptsOfStrangersHoldUpNoKnownClientsStart() throws {
    var bench = try Bench(
      Bench.limits(blocks: 512, context: 2_000) {
        $0.maxPrefilling = 2
        $0.maxStepTokens = 64
      })
    #expect(crowd(&bench, 4, .admit, prompt: 1_900) == 4)
    try bench.step()
    let known = bench.submit("ada", prompt: 20)
    try bench.step()
    #expect(bench.scheduler.job(known)?.state == .running)
    for _ in 0..<3 { try bench.step() }
    #expect((bench.scheduler.job(known)?.generatedTokens ?? 9) > 0)
  }

  @Test func memoryThatStrangersHoldIsNoReasonToWait() throws {
    var bench = try Bench(
      Bench.limits(blocks: 32) {
        $0.maxRunning = 8
        $0.maxPrefilling = 8
        $0.hostBlocks = 16
      })
    #expect(crowd(&bench, 4, .admit, output: 60, prompt: 60) == 4)
    for _ in 0..<12 { try bench.step() }
    #expect(bench.scheduler.load.running > 1)
    let known = bench.submit("ada", prompt: 300, output: 20)
    for _ in 0..<2 { try bench.step() }
    #expect(bench.scheduler.job(known)?.state == .running)
    try bench.run()
    #expect(bench.ended.count == 5 && bench.engine.wrong.isEmpty)
    #expect(bench.scheduler.checkInvariants().isEmpty)
  }

  @Test func rulesCountWhatAJobWouldWaitFor() throws {
    var bench = try Bench(Bench.limits { $0.maxRunning = 1 })
    _ = bench.submit("ada", output: 100)
    _ = bench.plan()
    _ = crowd(&bench, 7, .ask)
    _ = crowd(&bench, 2, .admit)
    _ = bench.submit("ada")
    _ = bench.submit("bob", verdict: .ask)
    // A known client waits for known ones that are queued, a stranger for them and for all strangers.
    #expect(bench.scheduler.queue(before: .clients) == 1)
    #expect(bench.scheduler.queue(before: .strangers) == 10)
  }

  @Test func namesOfStrangersAreForgottenBeforeThoseOfClients() throws {
    var bench = try Bench(Bench.limits(blocks: 512))
    _ = bench.submit("ada", prompt: 200)
    try bench.run()
    let before = try #require(bench.scheduler.share(of: ClientID("ada")))
    for _ in 0..<5_000 {
      _ = bench.submit("unknown-\(bench.nextJob)", prompt: 1, output: 1, isStranger: true)
      try bench.run()
    }
    #expect(bench.scheduler.share(of: ClientID("ada")) == before)
  }
}
