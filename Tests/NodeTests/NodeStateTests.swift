import Accounting
import Control
import Node
import Receipts
import Scheduling
import Testing

/// A node without threads: a manual clock, and an engine that gives a token for every entry that emits.
final class ScriptedNode {
  var state: NodeState
  var time: Int64 = 1_764_000_000_000_000
  var monotonic: Int64 = 1_000_000
  var answers: [JobID: [String]] = [:]
  var records: [Record] = []
  /// What the journal would hold: the records, and a receipt for every seal, in order.
  var written: [Record] = []
  var seals: [Seal] = []
  /// What clients of asynchronous jobs will get, and their ends without a receipt.
  var prepared: [JobID: [String]] = [:]
  var ends: [JobEnded] = []
  var forgotten: Set<JobID> = []
  var hasStopped = false
  /// Tokens until a job ends by itself.
  var length = 4
  private var produced: [JobID: Int] = [:]
  private var nextReceipt: UInt64 = 0
  var journalWorks = true

  var now: Moment { Moment(wall: time, monotonic: monotonic) }

  init(_ text: String = "{}", clients: [String] = ["aria", "bob"]) throws {
    var configuration = try NodeConfiguration(file: "config.json5", text: text)
    configuration.name = "test"
    state = NodeState(
      configuration: configuration, policy: configuration.policy, version: "0", isDemo: false, address: nil,
      now: Moment(wall: time, monotonic: monotonic))
    for name in clients { add(client: name) }
    send(.engineReady(Self.facts))
  }

  static let facts = EngineFacts(
    model: "m", modelDigest: .zero, profile: "N1/A12/KVf16", isa: "scalar", contextLength: 1024, kvBlocks: 256
  )

  func add(client name: String) {
    let digest = ClientDirectory.digest(of: name)
    written.append(.clientAdded(ClientAdded(client: name, tokenSHA256: digest)))
    send(.clientAdded(name: name, digest: digest))
  }

  /// The receipt of an ended job is on the disk.
  func log(_ seal: Seal) {
    written.append(.receipt(receipt(seal)))
    send(.receiptLogged(seal.job, index: nextReceipt, id: "r\(nextReceipt)"))
    nextReceipt += 1
  }

  func send(_ event: NodeEvent) { perform(state.apply(event, at: now)) }

  func act(_ command: NodeCommand) -> CommandReply {
    var effects: [NodeEffect] = []
    let reply = state.act(command, by: Operator("tester"), at: now, &effects)
    perform(effects)
    return reply
  }

  static func word(_ event: AnswerEvent) -> String {
    switch event {
    case .admitted: "admitted"
    case .started: "started"
    case .text: "text"
    case .finished(let end): "finished \(end.finishReason ?? "-") receipt=\(end.receipt ?? "none")"
    case .cut(let end, let refusal): "cut \(code(refusal)) \(end.receipt ?? "-")"
    case .refused(let refusal): "refused \(code(refusal))"
    }
  }

  private static func code(_ refusal: Refusal) -> String {
    let error = APIError(refusal)
    return "\(error.status) \(error.code)"
  }

  func perform(_ effects: [NodeEffect]) {
    for effect in effects {
      switch effect {
      case .answer(let id, let event):
        answers[id, default: []].append(Self.word(event))
      case .forget(let id): forgotten.insert(id)
      case .prepare(let id, let event): prepared[id, default: []].append(Self.word(event))
      case .end(let ended):
        ends.append(ended)
        if journalWorks { written.append(.jobEnded(ended)) }
      case .seal(let seal):
        seals.append(seal)
        if journalWorks { log(seal) }
      case .record(let record):
        records.append(record)
        written.append(record)
      case .log, .wakeEngine: break
      case .stop: hasStopped = true
      }
    }
  }

  func submit(
    _ number: UInt64, client: String = "aria", known: Bool = true, prompt: Int = 20, limit: Int = 8,
    origin: JobOrigin = .client, isAsynchronous: Bool = false, terms: JobTerms? = nil,
    restored: RestoredJob? = nil
  ) -> JobID {
    let id = JobID(number)
    var request = JobRequest(
      id: id, identity: known ? .known(client) : .unknown(client), origin: origin, model: "m",
      promptTokens: prompt, outputLimit: limit, isAsynchronous: isAsynchronous)
    request.terms = terms
    request.restored = restored
    send(.submitted(request))
    return id
  }

  /// One step of the engine; false when there was nothing to do.
  func step() -> Bool {
    guard let (plan, effects) = state.nextStep(at: now) else { return false }
    perform(effects)
    guard !plan.isEmpty else { return false }
    monotonic += 2_000
    time += 2_000
    var results: [StepResult] = []
    for entry in plan.entries where entry.emits {
      produced[entry.job, default: 0] += 1
      results.append(
        StepResult(job: entry.job, produced[entry.job, default: 0] >= length ? .lastToken(.stop) : .token))
    }
    send(.stepped(number: plan.number, results: results, duration: 2_000))
    return true
  }

  func pass(seconds: Int64) {
    monotonic += seconds * 1_000_000
    time += seconds * 1_000_000
    send(.tick)
  }

  func snapshot() -> NodeSnapshot {
    var copy = state
    return copy.snapshot(at: now)
  }

  func row(_ id: JobID) -> JobRow? { snapshot().jobs.first { $0.id == id.hex } }
}

@Suite struct NodeStateTests {
  @Test func aKnownClientsJobRunsAndItsReceiptComesBeforeItsEnd() throws {
    let node = try ScriptedNode()
    let id = node.submit(1)
    while node.step() {}
    #expect(node.answers[id] == ["admitted", "started", "finished stop receipt=r0"])
    #expect(node.seals.map(\.completionTokens) == [4])
    #expect(node.forgotten == [id])
    #expect(node.row(id)?.state == .done)
    #expect(node.row(id)?.receipt == "r0")
  }

  @Test func anUnknownClientsJobWaitsForTheOperator() throws {
    let node = try ScriptedNode()
    let id = node.submit(1, client: "9c41", known: false)
    #expect(!node.step())
    #expect(node.snapshot().node.whyIdle == "1 job waits for approval")
    #expect(node.act(.approve(jobs: [id.hex])) == .done("approved 1 job"))
    while node.step() {}
    #expect(node.answers[id]?.last == "finished stop receipt=r0")
  }

  @Test func rejectedAndExpiredJobsAreRefusedWithTheirReason() throws {
    let node = try ScriptedNode("{ queue: { decide_within_s: 10 } }")
    let first = node.submit(1, client: "x", known: false)
    let second = node.submit(2, client: "x", known: false)
    #expect(node.act(.reject(jobs: [first.hex], reason: "no soup today")) == .done("rejected 1 job"))
    node.pass(seconds: 11)
    #expect(node.answers[first] == ["refused 403 rejected"])
    #expect(node.answers[second] == ["refused 408 expired"])
    #expect(node.seals.isEmpty)
    #expect(node.row(first)?.stateDetail == "no soup today")
  }

  @Test func aClientThatGoesAwayIsChargedForTheWorkDoneOnly() throws {
    let node = try ScriptedNode(
      "{ prices: [{ prompt: '1', completion: '10' }] }")
    node.length = 100
    let id = node.submit(1, limit: 50)
    for _ in 0..<3 { _ = node.step() }
    node.send(.clientGone(id))
    #expect(node.seals.map(\.finish) == [.cancelledByClient])
    #expect(node.seals.map(\.completionTokens) == [3])
    // 20 x 1 + 3 x 10 micro-units.
    #expect(node.seals.map(\.amount.micro) == [50])
    #expect(!node.step())
    #expect(node.snapshot().earnings.unsettled == .value(50))
  }

  @Test func aQueuedJobThatIsCancelledCostsNothing() throws {
    let node = try ScriptedNode("{ prices: [{ prompt: '1', completion: '10' }] }")
    let id = node.submit(1)
    #expect(node.act(.cancel(jobs: [id.hex])) == .done("cancelled 1 job"))
    #expect(node.answers[id] == ["admitted", "refused 403 cancelled"])
    #expect(node.seals.isEmpty)
    #expect(node.records.contains { if case .jobEnded = $0 { true } else { false } })
  }

  @Test func pauseFreezesAndResumeGoesOn() throws {
    let node = try ScriptedNode()
    let id = node.submit(1)
    #expect(node.step())
    #expect(node.act(.pause) == .done("paused the node"))
    #expect(!node.step())
    #expect(node.row(id)?.state == .running)
    _ = node.act(.resume)
    while node.step() {}
    #expect(node.answers[id]?.last == "finished stop receipt=r0")
  }

  @Test func aBudgetIsKeptExactlyUnderManyJobs() throws {
    let node = try ScriptedNode("{ prices: [{ completion: '1' }], queue: { running: 16 } }")
    var limits = ClientLimits()
    limits.budget = Amount(micro: 8 * 16)
    node.send(.limitsSet(client: "aria", limits))
    var ids: [JobID] = []
    for number in 0..<17 { ids.append(node.submit(UInt64(number + 1), limit: 8)) }
    #expect(node.answers[ids[15]]?.first == "admitted")
    #expect(node.answers[ids[16]] == ["refused 403 client_forbidden"])
    while node.step() {}
    // Each generated 4 of 8: half of the reservation returned.
    #expect(node.answers[node.submit(100, limit: 64)]?.first == "admitted")
    #expect(node.answers[node.submit(101, limit: 1)] == ["refused 403 client_forbidden"])
  }

  @Test func chatAndAuditsAreNoEarnings() throws {
    let node = try ScriptedNode("{ prices: [{ prompt: '1', completion: '10' }] }")
    let id = node.submit(1, client: "operator", origin: .chat)
    while node.step() {}
    #expect(node.answers[id]?.last == "finished stop receipt=r0")
    #expect(node.snapshot().earnings.unsettled == .value(0))
  }

  @Test func aFailedJournalStopsAdmissionAndAnswersWhatRuns() throws {
    let node = try ScriptedNode()
    node.journalWorks = false
    let id = node.submit(1)
    while node.step() {}
    #expect(node.answers[id] == ["admitted", "started"])
    node.send(.journalFailed("EIO"))
    #expect(node.answers[id]?.last == "finished stop receipt=none")
    let refused = node.submit(2)
    #expect(node.answers[refused] == ["refused 503 read_only"])
  }

  @Test func overALimitNothingIsAdmittedUntilItIsOver() throws {
    let node = try ScriptedNode("{ limits: { temperature_c: 80 } }")
    func sample(_ celsius: Double) -> ComputeSnapshot {
      ComputeSnapshot(
        cpu: .warmingUp, cores: .warmingUp, cpuTemperature: .value(celsius), cpuPower: .warmingUp,
        load: .warmingUp,
        memoryUsed: .warmingUp, memoryTotal: .warmingUp, swapUsed: .warmingUp, residentMemory: .warmingUp,
        cpuPressure: .warmingUp, memoryPressure: .warmingUp, ioPressure: .warmingUp, diskFree: .warmingUp,
        networkIn: .warmingUp, networkOut: .warmingUp, gpus: .unavailable("none"), container: nil)
    }
    node.send(.telemetry(sample(91), joules: 0))
    #expect(node.answers[node.submit(1)] == ["refused 503 over_limit"])
    #expect(node.snapshot().node.whyIdle == "over temperature, 91 °C of 80")
    node.send(.telemetry(sample(70), joules: 0))
    #expect(node.answers[node.submit(2)]?.first == "admitted")
  }

  @Test func drainingFinishesWhatRunsAndThenStops() throws {
    let node = try ScriptedNode()
    let running = node.submit(1)
    let pending = node.submit(2, client: "x", known: false)
    #expect(node.step())
    _ = node.act(.shutdown(drain: true))
    #expect(node.answers[node.submit(3)] == ["refused 503 stopping"])
    #expect(node.answers[pending]?.last == "refused 503 interrupted")
    node.pass(seconds: 1)
    #expect(!node.hasStopped)
    while node.step() {}
    node.pass(seconds: 1)
    #expect(node.answers[running]?.last == "finished stop receipt=r0")
    #expect(node.hasStopped)
  }

  @Test func idsAreTakenWholeOrByAUniqueBeginning() throws {
    let node = try ScriptedNode()
    let id = node.submit(0xABCD_0000_0000_0001)
    _ = node.submit(0xABCE_0000_0000_0001)
    #expect(node.act(.hold(jobs: ["abcd"])) == .done("held 1 job"))
    guard case .refused(let words) = node.act(.hold(jobs: ["abc"])) else {
      Issue.record("an ambiguous beginning was taken")
      return
    }
    #expect(words.hasPrefix("2 jobs begin with 'abc'"))
    #expect(node.row(id)?.state == .held)
    #expect(node.act(.release(jobs: ["../etc"])) != .done("released 1 job"))
  }

  @Test func holdAndReleaseKeepTheJob() throws {
    let node = try ScriptedNode()
    let id = node.submit(1)
    #expect(node.step())
    _ = node.act(.hold(jobs: [id.hex]))
    #expect(!node.step())
    _ = node.act(.release(jobs: [id.hex]))
    while node.step() {}
    #expect(node.seals.map(\.completionTokens) == [4])
  }

  @Test func aRevokedClientIsNobody() throws {
    let node = try ScriptedNode()
    #expect(try node.state.clients.identify(token: "aria") == .known("aria"))
    node.send(.clientRevoked(name: "aria"))
    #expect(throws: ClientDirectory.Refusal.revoked) { try node.state.clients.identify(token: "aria") }
    #expect(throws: ClientDirectory.Refusal.wrongToken) {
      try node.state.clients.identify(token: "hotpot_" + String(repeating: "0", count: 64))
    }
    #expect(throws: ClientDirectory.Refusal.missingToken) { try node.state.clients.identify(token: nil) }
  }

  @Test func snapshotsSurviveTheControlSocket() throws {
    let node = try ScriptedNode("{ prices: [{ prompt: '1', completion: '10' }] }")
    _ = node.submit(1)
    _ = node.submit(2, client: "x", known: false)
    #expect(node.step())
    let snapshot = node.state.snapshot(at: node.now)
    let line = ControlProtocol.line(ControlReply.message(.snapshot(snapshot)))
    #expect(ControlProtocol.parse(ControlReply.self, line) == .message(.snapshot(snapshot)))
    let command = ControlRequest.command(tag: 7, command: .reject(jobs: ["a"], reason: "ünïcode \"q\""))
    #expect(ControlProtocol.parse(ControlRequest.self, ControlProtocol.line(command)) == command)
  }

  @Test func daysAndHoursAreLocal() {
    #expect(Moment(wall: 0, monotonic: 0).day == 0)
    #expect(Moment(wall: -1, monotonic: 0).day == -1)
    #expect(Moment(wall: 86_399_000_000, monotonic: 0, utcOffset: 3_600).day == 1)
    #expect(Moment(wall: 0, monotonic: 0, utcOffset: -3_600).hour == 23)
  }
}
