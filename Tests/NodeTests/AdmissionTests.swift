// AdmissionTests.swift: who is admitted, refused or asked about: by the policy's rules, by the hour, the price and the
// queue, and what a client that is refused is told.

import Accounting
import Control
import Node
import Scheduling
import Testing

extension ScriptedNode {
  /// The first word that a job's client hears, or that the operator is asked.
  func firstWord(_ request: JobRequest) -> String {
    send(.submitted(request))
    return answers[request.id]?.first ?? row(request.id)?.state.rawValue ?? "nothing"
  }

  func request(
    _ number: UInt64, client: String = "aria", known: Bool = true, prompt: Int = 20, limit: Int = 8,
    price: String? = nil, timeLimit: Microseconds? = nil
  ) throws -> JobRequest {
    JobRequest(
      id: JobID(number), identity: known ? .known(client) : .unknown(client), origin: .client, model: "m",
      promptTokens: prompt, outputLimit: limit, timeLimit: timeLimit,
      offered: try price.map { try Amount(parsing: $0) })
  }
}

@Suite struct AdmissionTests {
  @Test func theHourDecides() throws {
    let node = try ScriptedNode(
      "{ policy: [{ hours: '22-6', action: 'admit' }, { action: 'reject', reason: 'only at night' }] }")
    // 1,764,000,000 s is 16:00 UTC.
    for (hour, expected) in [
      (16, "refused 403 rejected"), (22, "admitted"), (5, "admitted"), (6, "refused 403 rejected"),
    ] {
      node.time = 1_764_000_000_000_000 + Int64((hour + 24 - 16) % 24) * 3_600_000_000
      #expect(node.firstWord(try node.request(UInt64(hour))) == expected, "\(hour) o'clock")
    }
  }

  @Test func thePriceDecides() throws {
    let node = try ScriptedNode(
      "{ policy: [{ price_below: '0.05', action: 'reject', reason: 'at least 0.05' }, { action: 'admit' }] }")
    #expect(node.firstWord(try node.request(1, price: "0.049999")) == "refused 403 rejected")
    #expect(node.firstWord(try node.request(2, price: "0.05")) == "admitted")
    // Who offers nothing offers less than any price.
    #expect(node.firstWord(try node.request(3)) == "refused 403 rejected")
  }

  @Test func theQueuesLengthDecides() throws {
    let node = try ScriptedNode(
      "{ queue: { running: 1 }, policy: [{ queue_above: 2, action: 'ask' }, { action: 'admit' }] }")
    var words: [String] = []
    for number in 1...4 { words.append(node.firstWord(try node.request(UInt64(number)))) }
    #expect(words == ["admitted", "admitted", "admitted", "pending"])
    // Decided by the queue as it is now: it is shorter once some have run.
    while node.step() {}
    #expect(node.firstWord(try node.request(5)) == "admitted")
  }

  @Test func theFirstRuleThatMatchesCounts() throws {
    let node = try ScriptedNode(
      """
      { policy: [{ client: 'aria', tokens_above: 500, action: 'ask' }, { client: 'known', action: 'admit' },
                 { client: 'unknown', action: 'reject', reason: 'who are you' }] }
      """)
    #expect(node.firstWord(try node.request(1, prompt: 490, limit: 11)) == "pending")
    #expect(node.firstWord(try node.request(2, prompt: 490, limit: 10)) == "admitted")
    #expect(node.firstWord(try node.request(3, client: "bob", prompt: 490, limit: 11)) == "admitted")
    #expect(node.firstWord(try node.request(4, client: "x", known: false)) == "refused 403 rejected")
  }

  @Test func aFullQueueSaysWhenToComeBack() throws {
    let node = try ScriptedNode("{ queue: { jobs: 4, running: 1 } }", clients: ["aria", "bob", "carol"])
    for number in 1...4 { _ = node.submit(UInt64(number), client: number < 3 ? "aria" : "bob") }
    let effects = node.state.apply(.submitted(try node.request(9, client: "carol")), at: node.now)
    guard case .answer(_, .refused(let refusal)) = effects.first else {
      Issue.record("it was not refused")
      return
    }
    let error = APIError(refusal)
    #expect(error.status == 429 && error.code == "queue_full")
    #expect((error.retryAfter ?? 0) >= 1)
  }

  @Test func expiryCarriesRetryAfter() throws {
    let node = try ScriptedNode("{ queue: { decide_within_s: 5 } }")
    _ = node.submit(1, client: "x", known: false)
    node.monotonic += 5_000_001
    let effects = node.state.apply(.tick, at: node.now)
    let refusals = effects.compactMap { effect -> APIError? in
      if case .answer(_, .refused(let refusal)) = effect { return APIError(refusal) }
      return nil
    }
    #expect(refusals.map(\.status) == [408])
    #expect((refusals.first?.retryAfter ?? 0) > 0)
  }

  /// The step computes a token that nobody wants any more; the receipt ends before it.
  @Test func aJobCancelledDuringAStepIsChargedForWhatItHadBefore() throws {
    let node = try ScriptedNode("{ prices: [{ prompt: '1', completion: '10' }] }")
    node.length = 100
    let id = node.submit(1, limit: 50)
    for _ in 0..<3 { _ = node.step() }
    let next = node.state.nextStep(at: node.now)
    let plan = try #require(next?.plan)
    #expect(plan.entries.map(\.job) == [id])
    node.send(.clientGone(id))
    #expect(node.seals.map(\.completionTokens) == [3])
    node.send(.stepped(number: plan.number, results: [StepResult(job: id, .token)], duration: 2_000))
    #expect(node.seals.map(\.completionTokens) == [3] && node.seals.map(\.amount.micro) == [50])
    #expect(!node.step())
    #expect(node.snapshot().throughput.kvInUse == .value(0))
  }

  /// One place in the batch: what is answered when shows who is next.
  private func order(_ act: (ScriptedNode) throws -> Void) throws -> [UInt64] {
    let node = try ScriptedNode("{ queue: { running: 1 } }")
    for number in 1...3 { _ = node.submit(UInt64(number), client: "aria") }
    for number in 4...5 { _ = node.submit(UInt64(number), client: "bob") }
    try act(node)
    while node.step() {}
    return node.seals.map(\.job.rawValue)
  }

  @Test func fairShareShowsInTheOrderOfAnswers() throws {
    // Who came later has had nothing yet: the two take turns.
    #expect(try order { _ in } == [1, 4, 2, 5, 3])
  }

  @Test func priorityShowsInTheOrderOfAnswers() throws {
    let found = try order { node in
      #expect(node.act(.setPriority(jobs: [JobID(3).hex], priority: 9)) == .done("set 1 job to priority 9"))
      #expect(node.act(.setPriority(jobs: [JobID(4).hex], priority: 0)) == .done("set 1 job to priority 0"))
    }
    #expect(found.first == 3 && found.last == 4, "\(found)")
  }

  @Test func aStepOfPriorityIsFromWhatTheJobHasAndNotFromWhatAScreenShows() throws {
    let node = try ScriptedNode("{ queue: { running: 1 } }")
    for number in 1...3 { _ = node.submit(UInt64(number)) }
    let id = JobID(2).hex
    func priority() -> Int? { node.row(JobID(2))?.priority }
    // Three steps that were all computed from the same screen.
    for _ in 0..<3 {
      #expect(node.act(.setPriority(jobs: [id], priority: 6, by: 1)) != .refused(""))
    }
    #expect(priority() == 8)
    #expect(node.act(.setPriority(jobs: [id], priority: 9, by: 2)) == .done("set 1 job to priority 9"))
    #expect(
      node.act(.setPriority(jobs: [id], priority: 9, by: 1))
        == .refused("priority is from 0 to 9: 00000000 is at 9"))
    for _ in 0..<9 { _ = node.act(.setPriority(jobs: [id], priority: 0, by: -1)) }
    #expect(priority() == 0)
    // Jobs of different priorities in one command.
    _ = node.act(.setPriority(jobs: [JobID(1).hex, id], priority: 0, by: 1))
    #expect(node.row(JobID(1))?.priority == 6 && priority() == 1)
    #expect(
      node.act(.setPriority(jobs: [id], priority: 0, by: 0))
        == .refused("a step of 0 in priority, wanted -9 to 9 and not 0"))
    #expect(
      node.act(.setPriority(jobs: [id], priority: 0, by: .max))
        == .refused("a step of 9223372036854775807 in priority, wanted -9 to 9 and not 0"))
  }

  @Test func aCommandWithoutAStepIsReadAsBefore() throws {
    let old = Array(
      "{\"command\":{\"tag\":7,\"command\":{\"set_priority\":{\"jobs\":[\"a\"],\"priority\":3}}}}".utf8)
    #expect(
      ControlProtocol.parse(ControlRequest.self, old)
        == .command(tag: 7, command: .setPriority(jobs: ["a"], priority: 3)))
    let line = ControlProtocol.line(
      ControlRequest.command(tag: 7, command: .setPriority(jobs: ["a"], priority: 4, by: 1)))
    #expect(
      ControlProtocol.parse(ControlRequest.self, line)
        == .command(tag: 7, command: .setPriority(jobs: ["a"], priority: 4, by: 1)))
  }

  @Test func theRowsOfASnapshotStandInTheirSections() throws {
    let node = try ScriptedNode(
      "{ queue: { running: 2 }, policy: [{ client: 'unknown', action: 'ask' }, { action: 'admit' }] }")
    for number in 1...5 { _ = node.submit(UInt64(number)) }
    _ = node.act(.hold(jobs: [JobID(5).hex]))
    node.send(.submitted(try node.request(9, client: "s", known: false)))
    func states() -> [JobState] { node.snapshot().jobs.map(\.state) }
    _ = node.step()
    #expect(states() == [.running, .running, .queued, .queued, .held, .pending])
    // While receipts are on their way their jobs have ended already.
    node.journalWorks = false
    for _ in 0..<4 { _ = node.step() }
    #expect(states() == [.running, .running, .held, .pending, .done, .done])
  }

  @Test func theStopIsInTheLogWithWhatItEnds() throws {
    for (drain, words) in [
      (true, "stops the node after its jobs: 1 running, 1 queued; it ends 1 waiting for approval, 1 held"),
      (false, "stops the node now; it ends 1 running, 1 queued, 1 waiting for approval, 1 held"),
    ] {
      let node = try ScriptedNode(
        "{ queue: { running: 1 }, policy: [{ client: 'unknown', action: 'ask' }, { action: 'admit' }] }")
      for number in 1...3 { _ = node.submit(UInt64(number)) }
      _ = node.act(.hold(jobs: [JobID(3).hex]))
      node.send(.submitted(try node.request(9, client: "s", known: false)))
      _ = node.step()
      _ = node.act(.shutdown(drain: drain))
      #expect(node.snapshot().log.contains { $0.text == words }, "\(node.snapshot().log.map(\.text))")
    }
  }

  @Test func aHeldJobIsPassedAndComesAfterItsRelease() throws {
    let node = try ScriptedNode("{ queue: { running: 1 } }")
    for number in 1...3 { _ = node.submit(UInt64(number)) }
    _ = node.act(.hold(jobs: [JobID(1).hex]))
    for _ in 0..<node.length { _ = node.step() }
    #expect(node.seals.map(\.job.rawValue) == [2])
    _ = node.act(.release(jobs: [JobID(1).hex]))
    while node.step() {}
    #expect(node.seals.map(\.job.rawValue) == [2, 1, 3])
  }

  @Test func theNodeSaysWhatItIs() throws {
    let node = try ScriptedNode()
    func state() -> ServingState { node.snapshot().node.state }
    #expect(state() == .serving)
    _ = node.act(.pause)
    #expect(state() == .paused)
    _ = node.act(.resume)
    _ = node.act(.drain)
    #expect(state() == .draining)
    _ = node.act(.undrain)
    #expect(state() == .serving)
    node.send(.journalFailed("EIO"))
    #expect(state() == .readOnly)
    node.send(.loading(fraction: 0.5))
    #expect(state() == .loading)
    node.send(.engineFailed("out of memory"))
    #expect(state() == .failed)
  }
}
