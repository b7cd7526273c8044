// Simulation.swift: a day of a node in virtual time, from a seed: bursts of jobs, operators, clients that go away, a clock
// that jumps, too little memory. Every promise is checked after every event. Start at `Simulation.run()`.

import Scheduling

/// SplitMix64 (Steele et al. 2014): a seed gives the same numbers everywhere.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
  mutating func within(_ range: ClosedRange<Int>) -> Int { range.lowerBound + below(range.count) }
  mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
}

struct Simulation {
  static let day: Microseconds = 86_400_000_000

  var random: SeededGenerator
  var bench: Bench
  var problems: [String] = []
  var events = 0
  /// FNV-1a over all plans and effects: equal for equal inputs, in any process.
  var digest: UInt64 = 0xCBF2_9CE4_8422_2325

  // What the outside knows of each job.
  var submitted: [JobID] = []
  var clientOf: [JobID: ClientID] = [:]
  var priorityOf: [JobID: Int] = [:]
  var queuedAt: [JobID: Microseconds] = [:]
  /// Held, moved, reprioritized or preempted at some time: the order of lines does not speak of these.
  var touched: Set<JobID> = []
  var endings: [JobID: Int] = [:]
  var asked: [JobID: Int] = [:]
  var realTime: Microseconds = 0
  let patience: Microseconds

  /// - hasWindows: whether some layers attend in windows, with few blocks for them
  /// - hasStates: whether some layers keep a recurrent state, with few slots for them
  init(seed: UInt64, hasWindows: Bool = false, hasStates: Bool = false) throws {
    random = SeededGenerator(state: seed)
    var limits = Limits(blocks: 16 + random.below(random.chance(70) ? 12 : 64), contextLength: 256)
    limits.hostBlocks = random.chance(50) ? random.below(40) : 0
    limits.maxRunning = random.within(1...8)
    limits.maxPrefilling = random.within(1...4)
    limits.maxStepTokens = limits.maxRunning + random.within(4...120)
    limits.maxWaitingJobs = random.within(5...60)
    limits.maxWaitingJobsPerClient = random.within(3...40)
    limits.maxWaitingTokens = random.within(500...8_000)
    limits.approvalTime = Microseconds(random.within(1...600)) * 1_000_000
    limits.ageing = Microseconds(random.within(1...60)) * 1_000_000
    limits.patience = Microseconds(random.within(0...120)) * 1_000_000
    limits.swapBlockTime = random.chance(50) ? 10 : 5_000
    limits.maxPendingJobs = random.within(2...20)
    limits.maxStrangerJobs = random.within(2...20)
    limits.maxJobsPerStranger = random.within(1...20)
    limits.maxStrangerTokens = random.within(300...4_000)
    limits.maxRunningStrangers = random.within(1...8)
    patience = limits.patience
    if hasWindows {
      for _ in 0..<random.within(1...2) {
        let positions = random.within(1...100)
        limits.windows.append(
          Limits.Window(
            positions: positions, blocks: (positions + 15) / 16 + 2 + random.below(20),
            hostBlocks: random.chance(70) ? limits.hostBlocks : random.below(6)))
      }
    }
    if hasStates {
      limits.states = Limits.States(
        slots: random.within(2...12), hostSlots: random.chance(60) ? random.below(8) : 0,
        swapTime: random.chance(50) ? 10 : 20_000, distance: random.within(1...4))
    }
    bench = try Bench(limits)
  }

  mutating func run() throws {
    var time: Microseconds = 0
    while time < Self.day, problems.isEmpty {
      // A burst, then quiet until the next.
      let start = realTime
      try burst()
      let quiet = Microseconds(random.within(60...7_200)) * 1_000_000
      pass(quiet)
      note(bench.scheduler.tick(at: bench.now))
      check("quiet")
      time += realTime - start
    }
    try settle()
  }

  mutating func pass(_ time: Microseconds) {
    bench.now += time
    realTime += time
  }

  private mutating func burst() throws {
    let topics = (0..<3).map { _ in random.next() }
    var left = random.within(1...40)
    while problems.isEmpty {
      if left > 0, random.chance(30) {
        left -= 1
        submit(topics)
        check("submit")
      }
      if random.chance(4) {
        act()
        check("act")
      }
      if random.chance(1) {
        jump()
        check("jump")
      }
      let plan = bench.plan()
      took(plan.effects)
      mix(plan)
      check("plan")
      if plan.isEmpty {
        pass(1_000_000)
        if left == 0, bench.scheduler.whyIdle != nil { return }
        if bench.scheduler.isPaused, random.chance(20) { act() }
        continue
      }
      // The engine computes; meanwhile others act.
      if random.chance(6) {
        act()
        check("act during a step")
      }
      let before = bench.now
      try finish(plan)
      realTime += max(0, bench.now - before)
      check("stepped")
    }
  }

  private mutating func finish(_ plan: StepPlan) throws {
    var results = bench.results(plan, withKeys: !random.chance(10))
    if random.chance(1), !results.isEmpty {
      let victim = random.below(results.count)
      results[victim] = StepResult(job: results[victim].job, .failed(reason: "simulated"))
      bench.outputs[results[victim].job]?.removeLast()
    }
    if random.chance(3), !results.isEmpty {
      let early = random.below(results.count)
      if case .token = results[early].kind {
        results[early] = StepResult(job: results[early].job, .lastToken(.stop))
      }
    }
    let cost = Bench.cost(plan) * 10
    bench.now += cost
    note(try bench.scheduler.stepped(plan.number, results, took: cost, at: bench.now))
  }

  private mutating func submit(_ topics: [UInt64]) {
    let number = random.below(6)
    let client = "client \(number)"
    let audit = random.chance(5)
    let prompt = random.chance(20) ? random.within(1...200) : random.within(1...60)
    let output = random.chance(35) ? random.within(1...(256 - prompt)) : random.within(1...20)
    let priority = random.chance(70) ? 5 : random.within(0...9)
    let limit = random.chance(10) ? Microseconds(random.within(1...120)) * 1_000_000 : nil
    let hasBorders = bench.scheduler.limits.states != nil && random.chance(70)
    let borders = hasBorders ? (0..<random.below(5)).map { _ in random.below(prompt + 1) }.sorted() : nil
    let verdict: Verdict = random.chance(20) ? .ask : (random.chance(3) ? .reject(reason: "no") : .admit)
    let (id, answer) = bench.submission(
      client, prompt: prompt, output: output, priority: priority, origin: audit ? .audit : .network,
      topic: random.chance(60) ? topics[random.below(topics.count)] : nil, shared: random.below(200),
      timeLimit: limit, verdict: verdict, isStranger: number > 3,
      borders: borders)
    switch answer {
    case .refused:
      if bench.scheduler.job(id) != nil { problems.append("job \(id) was refused and is there") }
      return
    case .queued: queuedAt[id] = realTime
    case .pending: break
    }
    // A time limit may put a job first within its line.
    if limit != nil || audit { touched.insert(id) }
    submitted.append(id)
    clientOf[id] = ClientID(client)
    priorityOf[id] = priority
    asked[id] = output
  }

  /// A clock that jumps ahead by up to a day, or back.
  private mutating func jump() {
    if random.chance(50) {
      bench.now += Microseconds(random.within(1...86_400)) * 1_000_000
    } else {
      bench.now -= Microseconds(random.within(1...86_400)) * 1_000_000
    }
    note(bench.scheduler.tick(at: bench.now))
    // The queue's times are the scheduler's own from here on; ours no longer tell who came how much later.
    for id in submitted where bench.scheduler.job(id) != nil { touched.insert(id) }
  }

  private mutating func act() {
    let now = bench.now
    let alive = submitted.suffix(200).filter { bench.scheduler.job($0) != nil }
    let id = alive.isEmpty ? JobID(0) : alive[random.below(alive.count)]
    let other = alive.isEmpty ? JobID(0) : alive[random.below(alive.count)]
    do {
      switch random.below(18) {
      case 0, 1, 2:
        note(try bench.scheduler.approve(id, at: now))
        queuedAt[id] = realTime
      case 3: note(try bench.scheduler.reject(id, reason: "no", at: now))
      case 4, 5: note(try bench.scheduler.cancel(id, by: .client, at: now))
      case 6:
        note(try bench.scheduler.hold(id, at: now))
        touched.insert(id)
      case 7, 8: note(try bench.scheduler.release(id, at: now))
      case 9:
        note(try bench.scheduler.setPriority(id, to: random.below(10), at: now))
        touched.insert(id)
      case 10, 11:
        let places: [Scheduler.Place] = [.up, .down, .first, .last, .before(other), .after(other)]
        note(try bench.scheduler.move(id, to: places[random.below(places.count)], at: now))
        touched.formUnion([id, other])
      case 12: note(bench.scheduler.pause(at: now))
      case 13, 14: note(bench.scheduler.resume(at: now))
      case 15: note(bench.scheduler.drain(at: now))
      default: note(bench.scheduler.undrain(at: now))
      }
    } catch {
      // Refused: then nothing has changed, which the checks will see.
    }
  }

  /// At the end everything is let go, and every job that was taken on must end.
  private mutating func settle() throws {
    note(bench.scheduler.resume(at: bench.now))
    note(bench.scheduler.undrain(at: bench.now))
    for view in bench.scheduler.jobs {
      switch view.state {
      case .held: note(try bench.scheduler.release(view.id, at: bench.now))
      case .pending: note(try bench.scheduler.approve(view.id, at: bench.now))
      default: break
      }
    }
    for _ in 0..<200_000 where problems.isEmpty {
      let plan = bench.plan()
      took(plan.effects)
      mix(plan)
      if plan.isEmpty { break }
      try finish(plan)
      check("settling")
    }
    for id in submitted where endings[id] != 1 {
      problems.append("job \(id) ended \(endings[id] ?? 0) times")
    }
    if bench.scheduler.whyIdle != .noJobs { problems.append("not idle at the end of the day") }
    if bench.scheduler.usedStates != 0 { problems.append("states are used at the end of the day") }
    if bench.scheduler.load.usedBlocks != 0 { problems.append("blocks are used at the end of the day") }
    for (id, end) in bench.ended {
      if case .done = end.outcome, bench.outputs[id, default: []] != Array(0..<end.generatedTokens) {
        problems.append("job \(id) generated \(bench.outputs[id, default: []])")
      }
      if end.outcome == .done(.length), end.generatedTokens != asked[id] {
        problems.append("job \(id) has \(end.generatedTokens) tokens")
      }
    }
  }

  private mutating func note(_ effects: [Effect]) {
    bench.note(effects)
    took(effects)
  }

  private mutating func took(_ effects: [Effect]) {
    for effect in effects {
      mix(effect)
      switch effect {
      case .ended(let end):
        endings[end.job, default: 0] += 1
        queuedAt[end.job] = nil
      case .started(let id, _): started(id)
      case .preempted(let id, _), .resumed(let id), .evicted(let id, _): touched.insert(id)
      case .approved, .held, .released, .reprioritized, .moved, .nodePaused, .nodeResumed, .drainBegan,
        .drainCalledOff:
        break
      }
    }
  }

  /// Nobody in the same line was queued more than `patience` earlier and still waits.
  private mutating func started(_ id: JobID) {
    defer { queuedAt[id] = nil }
    guard !touched.contains(id), let at = queuedAt[id] else { return }
    for (other, when) in queuedAt where when + patience < at {
      if !touched.contains(other), clientOf[other] == clientOf[id], priorityOf[other] == priorityOf[id],
        bench.scheduler.job(other)?.state == .queued
      {
        problems.append("job \(id), queued at \(at), overtook job \(other), queued at \(when)")
      }
    }
  }

  private mutating func check(_ what: String) {
    events += 1
    problems += bench.scheduler.checkInvariants().map { "after \(what), event \(events): \($0)" }
    problems += bench.engine.wrong
  }

  private mutating func mix(_ value: UInt64) { digest = (digest ^ value) &* 0x0000_0100_0000_01B3 }

  private mutating func mix(_ plan: StepPlan) {
    mix(plan.number)
    for entry in plan.entries {
      mix(entry.job.rawValue)
      mix(UInt64(entry.start))
      mix(UInt64(entry.count))
      for block in entry.blocks { mix(UInt64(block)) }
    }
    mix(UInt64(plan.operations.count))
  }

  private mutating func mix(_ effect: Effect) { for byte in "\(effect)".utf8 { mix(UInt64(byte)) } }
}
