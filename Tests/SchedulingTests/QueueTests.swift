// QueueTests.swift: who is let in, who goes first, and what an operator can do about it.

import Scheduling
import Testing

@Suite struct QueueTests {
  /// One at a time, so that the order of starts is the order of the queue.
  func single(_ change: (inout Limits) -> Void = { _ in }) throws -> Bench {
    try Bench(
      Bench.limits {
        $0.maxRunning = 1
        change(&$0)
      })
  }

  @Test func aJobIsAnsweredWithAsManyTokensAsItAskedFor() throws {
    var bench = try single()
    let id = bench.submit(prompt: 40, output: 5)
    try bench.run()
    let end = try #require(bench.ended[id])
    #expect(end.outcome == .done(.length))
    #expect(end.prefilledTokens == 40 && end.generatedTokens == 5)
    #expect(bench.outputs[id] == [0, 1, 2, 3, 4])
    #expect(bench.engine.wrong.isEmpty)
    #expect(bench.scheduler.load.usedBlocks == 0)
  }

  @Test func aPendingJobWaitsForTheOperator() throws {
    var bench = try single()
    let (id, answer) = bench.submission(verdict: .ask)
    #expect(answer == .pending(decideWithin: 600_000_000))
    #expect(bench.plan().isEmpty)
    #expect(bench.scheduler.whyIdle == .waitingForApproval(1))
    #expect(try bench.scheduler.approve(id, at: bench.now) == [.approved(id)])
    try bench.run()
    #expect(bench.ended[id]?.outcome == .done(.length))
  }

  @Test func aRejectionCarriesTheOperatorsReason() throws {
    var bench = try single()
    let id = bench.submit(verdict: .ask)
    bench.note(try bench.scheduler.reject(id, reason: "not on a sunday", at: bench.now))
    #expect(bench.ended[id]?.outcome == .rejected(reason: "not on a sunday"))
    #expect(bench.ended[id]?.outcome.state == .rejected)
  }

  @Test func aPendingJobThatNobodyDecidesExpires() throws {
    var bench = try single { $0.approvalTime = 5_000_000 }
    let id = bench.submit(verdict: .ask)
    #expect(bench.scheduler.nextDeadline == 5_000_000)
    bench.now += 4_999_999
    #expect(bench.scheduler.tick(at: bench.now).isEmpty)
    bench.now += 1
    bench.note(bench.scheduler.tick(at: bench.now))
    #expect(bench.ended[id]?.outcome == .expired(.approval))
    #expect(bench.scheduler.nextDeadline == nil)
  }

  @Test func aTimeLimitEndsAJobInEveryState() throws {
    var bench = try single()
    let running = bench.submit(output: 400, timeLimit: 2_000_000)
    let queued = bench.submit(timeLimit: 2_000_000)
    let held = bench.submit(timeLimit: 2_000_000)
    let pending = bench.submit(timeLimit: 2_000_000, verdict: .ask)
    try bench.step()
    bench.note(try bench.scheduler.hold(held, at: bench.now))
    bench.now += 2_000_000
    bench.note(bench.scheduler.tick(at: bench.now))
    for id in [running, queued, held, pending] { #expect(bench.ended[id]?.outcome == .expired(.timeLimit)) }
    #expect(bench.scheduler.load.usedBlocks == 0)
  }

  @Test func theQueueIsBoundedInJobsTokensAndPerClient() throws {
    var bench = try single {
      $0.maxWaitingJobs = 4
      $0.maxWaitingJobsPerClient = 2
      $0.maxWaitingTokens = 300
    }
    #expect(bench.submission("ada", prompt: 100).1 == .queued)
    #expect(bench.submission("ada", prompt: 100).1 == .queued)
    #expect(bench.submission("ada").1 == .refused(.clientFull(jobs: 2, retryAfter: 5_000_000)))
    #expect(
      bench.submission("bob", prompt: 101).1 == .refused(.tokensFull(tokens: 200, retryAfter: 5_000_000)))
    #expect(bench.submission("bob", prompt: 10).1 == .queued)
    #expect(bench.submission("cyd", prompt: 10).1 == .queued)
    #expect(bench.submission("dan", prompt: 10).1 == .refused(.queueFull(jobs: 4, retryAfter: 5_000_000)))
    #expect(bench.scheduler.counters.refused == 3)
    #expect(bench.scheduler.checkInvariants() == [])
  }

  @Test func numbersThatCannotBeAreRefusedByName() throws {
    var bench = try single()
    func refused(_ field: String, _ found: Int64, _ wanted: String) -> Submission {
      .refused(.invalid(field: field, found: found, wanted: wanted))
    }
    #expect(bench.submission(prompt: 0).1 == refused("promptTokens", 0, "1 or more"))
    #expect(bench.submission(prompt: -1).1 == refused("promptTokens", -1, "1 or more"))
    #expect(bench.submission(output: 0).1 == refused("maxOutputTokens", 0, "1 or more"))
    #expect(bench.submission(priority: 10).1 == refused("priority", 10, "0 to 9"))
    #expect(bench.submission(timeLimit: 0).1 == refused("timeLimit", 0, "1 microsecond or more"))
    #expect(
      bench.submission(prompt: 500, output: 13).1 == .refused(.tooLong(prompt: 500, output: 13, room: 512)))
    #expect(
      bench.submission(prompt: 1, output: .max).1 == .refused(.tooLong(prompt: 1, output: .max, room: 512)))
    #expect(bench.submission(prompt: 500, output: 12).1 == .queued)
    #expect(bench.submission(timeLimit: .max).1 == .queued)
    #expect(bench.scheduler.nextDeadline == nil)
  }

  @Test func oneNumberIsNotGivenTwice() throws {
    var bench = try single()
    let id = bench.submit()
    bench.nextJob = id.rawValue
    #expect(bench.submission().1 == .refused(.duplicate(id)))
  }

  @Test func aPolicysRejectionIsARefusal() throws {
    var bench = try single()
    #expect(
      bench.submission(verdict: .reject(reason: "too cheap")).1 == .refused(.policy(reason: "too cheap")))
    #expect(QueueRefusal.policy(reason: "too cheap").description == "too cheap")
  }

  @Test func higherPrioritiesGoFirst() throws {
    var bench = try single()
    let low = bench.submit("ada", priority: 3)
    let middle = bench.submit("bob", priority: 5)
    let high = bench.submit("cyd", priority: 7)
    #expect(bench.scheduler.jobs.map(\.id) == [high, middle, low])
    try bench.run()
    #expect(bench.starts == [high, middle, low])
  }

  @Test func withinALineTheNearerTimeLimitGoesFirstUpToPatience() throws {
    var bench = try single { $0.patience = 10_000_000 }
    let plain = bench.submit()
    let urgent = bench.submit(timeLimit: 5_000_000)
    let relaxed = bench.submit(timeLimit: 60_000_000)
    #expect(bench.scheduler.jobs.map(\.id) == [urgent, plain, relaxed])
    bench.now += 9_000_000
    // Queued 9 s later with 2 s to go: due after the plain job.
    let late = bench.submit(timeLimit: 2_000_000)
    #expect(bench.scheduler.jobs.map(\.id) == [urgent, plain, relaxed, late])
  }

  @Test func ageingLetsALowPriorityThroughAStreamOfHigherOnes() throws {
    var bench = try single { $0.ageing = 2_000_000 }
    let low = bench.submit("ada", priority: 0)
    var startedAfter: Int?
    for round in 0..<2_000 {
      while bench.scheduler.load.queued < 3 { bench.submit("bob", priority: 5) }
      try bench.step()
      if bench.starts.contains(low) {
        startedAfter = round
        break
      }
    }
    // Five classes of 2 s each.
    #expect(startedAfter != nil)
    let waited = try #require(bench.scheduler.job(low) ?? nil).waited
    #expect(waited >= 10_000_000 && waited < 14_000_000, "waited \(waited)")
  }

  @Test func aClockThatJumpsDoesNotAgeTheQueue() throws {
    var bench = try single()
    let low = bench.submit("ada", priority: 0)
    let high = bench.submit("bob", priority: 2)
    _ = bench.scheduler.tick(at: bench.now)
    bench.now += 86_400_000_000
    try bench.run()
    #expect(bench.starts == [high, low])
  }

  @Test func aClockThatGoesBackStandsStill() throws {
    var bench = try single { $0.approvalTime = 5_000_000 }
    bench.now = 50_000_000
    let id = bench.submit(verdict: .ask)
    #expect(bench.scheduler.tick(at: .min).isEmpty)
    #expect(bench.scheduler.nextDeadline == 5_000_000)
    #expect(bench.scheduler.tick(at: .min + 4_999_999).isEmpty)
    bench.note(bench.scheduler.tick(at: .min + 5_000_000))
    #expect(bench.ended[id] != nil)
    #expect(bench.scheduler.tick(at: .max).isEmpty)
  }

  @Test func heldJobsKeepTheirBlocksAndGoOnWhereTheyWere() throws {
    var bench = try single()
    let id = bench.submit(prompt: 40, output: 10)
    let other = bench.submit("bob")
    for _ in 0..<4 { try bench.step() }
    bench.note(try bench.scheduler.hold(id, at: bench.now))
    #expect(bench.state(id) == .held)
    #expect(bench.scheduler.job(id)?.blocks == 3)
    try bench.run()
    #expect(bench.ended[other] != nil && bench.ended[id] == nil)
    #expect(bench.scheduler.whyIdle == .held(1))
    bench.note(try bench.scheduler.release(id, at: bench.now))
    try bench.run()
    #expect(bench.ended[id]?.outcome == .done(.length))
    #expect(bench.outputs[id] == Array(0..<10))
    #expect(bench.scheduler.counters.recomputePreemptions == 0)
    #expect(bench.engine.wrong.isEmpty)
  }

  @Test func holdingAndCancellingMayComeWhileAStepIsUnderWay() throws {
    var bench = try Bench(Bench.limits())
    let held = bench.submit(output: 10)
    let cancelled = bench.submit(output: 10)
    try bench.step()
    let plan = bench.plan()
    #expect(plan.entries.count == 2)
    #expect(bench.scheduler.plan(at: bench.now).isEmpty)
    bench.note(try bench.scheduler.hold(held, at: bench.now))
    bench.note(try bench.scheduler.cancel(cancelled, by: .client, at: bench.now))
    let before = try #require(bench.scheduler.job(held)).generatedTokens
    try bench.finish(plan)
    #expect(bench.scheduler.job(held)?.generatedTokens == before + 1)
    #expect(bench.ended[cancelled]?.generatedTokens == 1)
    #expect(bench.scheduler.checkInvariants() == [])
  }

  @Test func aNumberUsedAgainDuringAStepIsNotTakenForTheOldJob() throws {
    var bench = try Bench(Bench.limits())
    let id = bench.submit(prompt: 20)
    let plan = bench.plan()
    bench.note(try bench.scheduler.cancel(id, by: .client, at: bench.now))
    bench.nextJob = id.rawValue
    bench.submit(prompt: 20)
    try bench.finish(plan)
    #expect(bench.scheduler.job(id)?.prefilledTokens == 0)
    #expect(bench.scheduler.checkInvariants() == [])
  }

  @Test func actsSayWhyTheyAreNotDone() throws {
    var bench = try single()
    let id = bench.submit()
    func error(_ act: () throws -> Void) -> String? {
      do {
        try act()
        return nil
      } catch {
        return "\(error)"
      }
    }
    let now = bench.now
    #expect(
      error { _ = try bench.scheduler.approve(id, at: now) }
        == "cannot approve it: it is queued, not pending")
    #expect(
      error { _ = try bench.scheduler.release(id, at: now) } == "cannot release it: it is queued, not held"
    )
    #expect(
      error { _ = try bench.scheduler.cancel(JobID(99), by: .client, at: now) }
        == "it is neither waiting nor running here")
    #expect(
      error { _ = try bench.scheduler.setPriority(id, to: 10, at: now) }
        == "cannot give it priority 10, wanted 0 to 9")
    let audit = bench.submit("audit", origin: .audit)
    #expect(
      error { _ = try bench.scheduler.move(id, to: .before(audit), at: now) }
        == "cannot move it there: audits run only when nothing else does")
  }

  @Test func aMovedJobStandsWhereItWasPut() throws {
    var bench = try single()
    let ids = ["ada", "bob", "ada", "bob", "cyd"].map { bench.submit($0) }
    let start = bench.scheduler.jobs.map(\.id)
    let last = try #require(start.last)
    #expect(Set(start) == Set(ids))
    #expect(try bench.scheduler.move(last, to: .up, at: bench.now) == [.moved(last)])
    #expect(bench.scheduler.jobs.map(\.id) == Array(start[0..<3]) + [last, start[3]])
    _ = try bench.scheduler.move(last, to: .first, at: bench.now)
    #expect(bench.scheduler.jobs.map(\.id).first == last)
    #expect(try bench.scheduler.move(last, to: .up, at: bench.now) == [])
    _ = try bench.scheduler.move(start[0], to: .before(last), at: bench.now)
    #expect(Array(bench.scheduler.jobs.map(\.id).prefix(2)) == [start[0], last])
    #expect(bench.scheduler.checkInvariants() == [])
    let order = bench.scheduler.jobs.map(\.id)
    try bench.run()
    #expect(bench.starts == order)
  }

  @Test func placesNeverRunOut() throws {
    var bench = try single()
    let (a, b, c) = (bench.submit(), bench.submit(), bench.submit())
    for round in 0..<200 {
      // Always between the first and the other: the gap halves each time.
      let mover = round % 2 == 0 ? c : b
      _ = try bench.scheduler.move(mover, to: .after(a), at: bench.now)
      #expect(bench.scheduler.jobs.map(\.id) == [a, mover, mover == c ? b : c], "round \(round)")
    }
    #expect(bench.scheduler.checkInvariants() == [])
  }

  @Test func aNewPriorityUndoesAMove() throws {
    var bench = try single()
    let first = bench.submit("ada", priority: 8)
    let second = bench.submit("bob", priority: 2)
    _ = try bench.scheduler.move(second, to: .first, at: bench.now)
    #expect(bench.scheduler.jobs.map(\.id) == [second, first])
    bench.note(try bench.scheduler.setPriority(second, to: 3, at: bench.now))
    #expect(bench.scheduler.jobs.map(\.id) == [first, second])
    #expect(bench.scheduler.job(second)?.priority == 3)
  }

  @Test func aPausedNodeComputesNothingAndGoesOnWhereItWas() throws {
    var bench = try single()
    let id = bench.submit(output: 8)
    for _ in 0..<4 { try bench.step() }
    let generated = bench.scheduler.job(id)?.generatedTokens
    #expect(bench.scheduler.pause(at: bench.now) == [.nodePaused])
    #expect(bench.scheduler.pause(at: bench.now) == [])
    for _ in 0..<5 { #expect(bench.plan().isEmpty) }
    #expect(bench.scheduler.whyIdle == .paused)
    #expect(bench.scheduler.job(id)?.generatedTokens == generated)
    #expect(bench.scheduler.resume(at: bench.now) == [.nodeResumed])
    try bench.run()
    #expect(bench.outputs[id] == Array(0..<8))
  }

  @Test func aDrainingNodeFinishesWhatItHasAndTakesNothingOn() throws {
    var bench = try single()
    let running = bench.submit()
    let queued = bench.submit()
    let pending = bench.submit(verdict: .ask)
    try bench.step()
    #expect(bench.scheduler.drain(at: bench.now) == [.drainBegan])
    #expect(bench.submission().1 == .refused(.draining))
    #expect(throws: ActError.draining(pending)) { try bench.scheduler.approve(pending, at: bench.now) }
    #expect(!bench.scheduler.isDrained)
    try bench.run()
    #expect(bench.ended[running] != nil && bench.ended[queued] != nil)
    #expect(bench.scheduler.isDrained && bench.scheduler.whyIdle == .drained)
    #expect(bench.scheduler.undrain(at: bench.now) == [.drainCalledOff])
    #expect(bench.submission().1 == .queued)
  }

  @Test func auditsRunOnlyWhenNothingElseWantsTo() throws {
    var bench = try Bench(Bench.limits())
    let audit = bench.submit("audit", priority: 9, origin: .audit)
    let job = bench.submit(priority: 0)
    try bench.step()
    #expect(bench.starts == [job])
    while bench.ended[job] == nil { try bench.step() }
    try bench.step()
    #expect(bench.starts == [job, audit])
    let second = bench.submit()
    let plan = try bench.step()
    #expect(plan.entries.map(\.job) == [second])
    #expect(bench.effects.contains(.preempted(audit, .keep)))
    try bench.run()
    #expect(bench.ended[audit]?.outcome == .done(.length))
    #expect(bench.outputs[audit] == Array(0..<4))
    #expect(bench.engine.wrong.isEmpty)
  }

  @Test func anUrgentJobTakesThePlaceOfALowerOneWhichGoesOnLater() throws {
    var bench = try single()
    let low = bench.submit("ada", output: 30, priority: 2)
    for _ in 0..<5 { try bench.step() }
    let high = bench.submit("bob", priority: 6)
    let plan = try bench.step()
    #expect(plan.entries.map(\.job) == [high])
    #expect(bench.effects.contains(.preempted(low, .keep)))
    try bench.run()
    #expect(bench.outputs[low] == Array(0..<30))
    #expect(bench.engine.wrong.isEmpty)
  }

  @Test func equalPrioritiesDoNotPreempt() throws {
    var bench = try single()
    bench.submit("ada", output: 30)
    try bench.step()
    bench.submit("bob")
    for _ in 0..<5 { try bench.step() }
    #expect(bench.scheduler.counters.keptPreemptions == 0)
  }

  @Test func anEngineThatFailsAJobEndsThatOneOnly() throws {
    var bench = try Bench(Bench.limits())
    let bad = bench.submit()
    let good = bench.submit()
    let plan = bench.plan()
    var results = bench.results(plan)
    results[0] = StepResult(job: bad, .failed(reason: "not finite"))
    bench.note(try bench.scheduler.stepped(plan.number, results, took: 1_000, at: bench.now))
    #expect(bench.ended[bad]?.outcome == .failed(reason: "not finite"))
    try bench.run()
    #expect(bench.ended[good]?.outcome == .done(.length))
  }

  @Test func anEntryThatShouldEmitAndHasNoResultFailed() throws {
    var bench = try Bench(Bench.limits())
    let id = bench.submit()
    let plan = bench.plan()
    bench.note(try bench.scheduler.stepped(plan.number, [], took: 1_000, at: bench.now))
    #expect(bench.ended[id]?.outcome == .failed(reason: "the engine gave no result for its token"))
    #expect(bench.scheduler.load.usedBlocks == 0)
  }

  @Test func aStepThatIsNotUnderWayIsRefused() throws {
    var bench = try Bench(Bench.limits())
    bench.submit()
    #expect(throws: StepError(found: 7, wanted: nil)) {
      try bench.scheduler.stepped(7, [], took: 1, at: bench.now)
    }
    let plan = bench.plan()
    #expect(throws: StepError(found: 7, wanted: plan.number)) {
      try bench.scheduler.stepped(7, [], took: 1, at: bench.now)
    }
    try bench.finish(plan)
  }

  @Test func resultsMayComeInAnyOrder() throws {
    var bench = try Bench(Bench.limits())
    let ids = (0..<5).map { _ in bench.submit() }
    for _ in 0..<40 {
      let plan = bench.plan()
      if plan.isEmpty { break }
      let results = Array(bench.results(plan).reversed())
      bench.note(try bench.scheduler.stepped(plan.number, results, took: 1_000, at: bench.now))
    }
    for id in ids { #expect(bench.outputs[id] == Array(0..<4) && bench.ended[id]?.outcome == .done(.length)) }
  }

  @Test func limitsThatMakeNoSenseAreNamed() {
    var limits = Limits(blocks: 0, contextLength: 512)
    #expect(throws: LimitsError(field: "blocks", found: 0, wanted: 1...Int64(Int32.max - 1))) {
      try Scheduler(limits)
    }
    limits.blocks = 8
    limits.maxStepTokens = 11
    #expect(throws: LimitsError(field: "maxStepTokens", found: 11, wanted: 12...(1 << 20))) {
      try Scheduler(limits)
    }
    #expect(
      LimitsError(field: "blocks", found: 0, wanted: 1...9).description
        == "scheduler limit 'blocks' is 0, wanted 1 to 9")
  }
}
