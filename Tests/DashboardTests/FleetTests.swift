import Control
import ScriptedNode
import Telemetry
import Terminal
import Testing

@testable import Dashboard

/// Many nodes in one table, and one list of approvals.
@Suite struct FleetTests {
  static func snapshot(
    _ name: String, sequence: UInt64 = 1, waiting: [(id: String, deadline: Int64)] = [], alarms: [String] = []
  ) -> NodeSnapshot {
    let approvals = waiting.map { id, deadline in
      ApprovalRow(
        id: id, client: "bob", isKnown: true, model: "smollm2", promptTokens: 12, outputLimit: 512,
        offered: 30_000, asked: 20_000, deadline: deadline, submitted: 0, policy: "rule 1 asks",
        wouldEarn: .value(10), wouldCost: .warmingUp, wouldTake: .warmingUp)
    }
    func none<Value>() -> Reading<Value> { .unavailable("not read here") }
    return NodeSnapshot(
      sequence: sequence, time: 1_000_000,
      node: NodeSummary(
        name: name, version: "0", state: .serving, whyIdle: nil, alarms: alarms, model: "smollm2",
        loading: nil,
        profile: "N1", isa: "avx2", started: 0, address: nil, waitingApproval: waiting.count, queued: 11,
        running: 4, currency: "EUR", isDemo: false),
      jobs: [], approvals: approvals,
      compute: ComputeSnapshot(
        cpu: .value(0.83), cores: none(), cpuTemperature: none(), cpuPower: none(), load: none(),
        memoryUsed: none(), memoryTotal: none(), swapUsed: none(), residentMemory: none(),
        cpuPressure: none(),
        memoryPressure: none(), ioPressure: none(), diskFree: none(), networkIn: none(), networkOut: none(),
        gpus: none(), container: nil),
      throughput: ThroughputSnapshot(
        decode: .value(412), prefill: none(), firstTokenP50: none(), firstTokenP99: none(),
        betweenTokensP50: none(), betweenTokensP99: none(), kvInUse: none(), kvCached: none(), batchSize: 4,
        cacheHits: none(), tokensGenerated: 0, tokensPrefilled: 0, jobsDone: 0, preemptions: 0),
      receipts: ReceiptsSnapshot(
        logged: none(), signed: 0, witnessed: 0, audited: 0, failed: 0, lastCheckpoint: none(),
        perMinute: none(), keyFingerprint: none(), recent: []),
      earnings: EarningsSnapshot(
        today: .value(1_284_000), todayNet: none(), perHour: none(), projectedDay: none(), days: [],
        unsettled: none(), verified: none(), settled: none(), energyToday: none(), clients: []),
      log: [])
  }

  static func model(_ size: Size = Size(140, 20), isReadOnly: Bool = false) -> FleetModel {
    FleetModel(
      hosts: ["attic", "cellar", "oven"], size: size, glyphs: .unicode, theme: .terminalPalette,
      isReadOnly: isReadOnly, bell: true)
  }

  static func at(_ seconds: Int64) -> Instant {
    Instant(wall: seconds * 1_000_000, steady: seconds * 1_000_000)
  }

  static func key(_ name: String) -> FleetMessage { .input(.key(Key(name: name) ?? Key(.escape))) }

  /// Three nodes: one serves, one has waiting jobs, one was never reached.
  static func fleet() -> FleetModel {
    var model = model()
    for index in 0..<2 { _ = model.update(.node(index, .link(.connected)), at: at(1)) }
    _ = model.update(
      .node(0, .snapshot(snapshot("attic", waiting: [("aaaa000000000001", 90_000_000)]))), at: at(1))
    _ = model.update(
      .node(
        1,
        .snapshot(
          snapshot("cellar", waiting: [("bbbb000000000001", 60_000_000), ("bbbb000000000002", 120_000_000)]))),
      at: at(1))
    _ = model.update(
      .node(2, .link(.lost(since: 0, reason: "ssh: connect to host oven port 22: No route to host"))),
      at: at(1))
    return model
  }

  static func lines(_ model: FleetModel) -> [String] {
    view(model).text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }

  @Test func theTableShowsEachNodeAndWhyOneIsNotThere() {
    let lines = Self.lines(Self.fleet())
    #expect(
      lines[0].contains("2 of 3 nodes") && lines[0].contains("824 tok/s") && lines[0].contains("3 waiting"))
    #expect(lines[3].contains("attic") && lines[3].contains("serving") && lines[3].contains("83 %"))
    #expect(lines[3].contains("412") && lines[3].contains("1.284"))
    #expect(
      lines[5].contains("oven") && lines[5].contains("no line") && lines[5].contains("ssh: connect to host"))
  }

  @Test func approvalsOfAllNodesAreOneListTheFirstToExpireOnTop() {
    var model = Self.fleet()
    #expect(model.waits.map(\.row.id) == ["bbbb000000000001", "aaaa000000000001", "bbbb000000000002"])
    _ = model.update(Self.key("Tab"), at: Self.at(2))
    // Nobody has moved it: it is on whatever expires first.
    #expect(model.waitIndex == 0)
    _ = model.update(Self.key("g"), at: Self.at(2))
    #expect(
      model.update(Self.key("a"), at: Self.at(2)) == [.send(1, .approve(jobs: ["bbbb000000000001"]), tag: 1)])
    _ = model.update(Self.key("j"), at: Self.at(2))
    #expect(
      model.update(Self.key("a"), at: Self.at(2)) == [.send(0, .approve(jobs: ["aaaa000000000001"]), tag: 2)])
    _ = model.update(Self.key("x"), at: Self.at(2))
    for letter in ["n", "o"] { _ = model.update(Self.key(letter), at: Self.at(2)) }
    #expect(
      model.update(Self.key("Enter"), at: Self.at(2))
        == [.send(0, .reject(jobs: ["aaaa000000000001"], reason: "no"), tag: 3)])
    // Enter attaches to the node of the job under the cursor.
    #expect(model.update(Self.key("Enter"), at: Self.at(2)) == [.attach(0)])
  }

  @Test func aNodeThatDiesKeepsItsFiguresMarkedAsStaleAndItsJobsCannotBeApproved() {
    var model = Self.fleet()
    _ = model.update(.node(1, .link(.lost(since: 0, reason: "the connection was closed"))), at: Self.at(5))
    let lines = Self.lines(model)
    #expect(
      lines[4].contains("cellar") && lines[4].contains("stale") && lines[4].contains("the connection was"))
    #expect(lines[4].contains("412"))
    #expect(lines[0].contains("1 of 3 nodes"))
    #expect(model.waits.map(\.row.id) == ["aaaa000000000001"])
    // Back again.
    _ = model.update(.node(1, .link(.connected)), at: Self.at(8))
    _ = model.update(.node(1, .snapshot(Self.snapshot("cellar", sequence: 2))), at: Self.at(8))
    #expect(Self.lines(model)[4].contains("serving"))
  }

  @Test func aSilentNodeIsStaleToo() {
    var model = Self.fleet()
    _ = model.update(.tick, at: Self.at(12))
    #expect(Self.lines(model)[3].contains("stale"))
  }

  /// The job under the cursor went: what stands there now is not acted on by a key that was meant for it.
  @Test func aRowThatSlipsUnderTheCursorIsGuarded() {
    var model = Self.fleet()
    for name in ["2", "g"] { _ = model.update(Self.key(name), at: Self.at(2)) }
    _ = model.update(
      .node(1, .snapshot(Self.snapshot("cellar", sequence: 2, waiting: [("bbbb000000000002", 120_000_000)]))),
      at: Self.at(3))
    #expect(model.update(Self.key("a"), at: Instant(wall: 0, steady: 3_200_000)).isEmpty)
    #expect(
      model.update(Self.key("a"), at: Instant(wall: 0, steady: 3_400_000))
        == [.send(0, .approve(jobs: ["aaaa000000000001"]), tag: 1)])
  }

  @Test func aViewersKeysActOnNothing() {
    for isOption in [true, false] {
      var model = Self.model(isReadOnly: isOption)
      _ = model.update(.node(0, .link(.connected)), at: Self.at(1))
      if !isOption {
        _ = model.update(
          .node(0, .welcome(Welcome(name: "tom", role: .viewer, absence: nil))), at: Self.at(1))
      }
      _ = model.update(
        .node(0, .snapshot(Self.snapshot("attic", waiting: [("aaaa000000000001", 90_000_000)]))),
        at: Self.at(1))
      for scalar in 0x20...0x7E where scalar != 0x71 {
        guard let letter = Unicode.Scalar(scalar) else { continue }
        for focus in ["1", "2"] {
          _ = model.update(Self.key(focus), at: Self.at(2))
          let commands = model.update(.input(.key(Key(letter))), at: Self.at(2))
          #expect(commands.allSatisfy { if case .send = $0 { false } else { true } }, "\(letter)")
        }
      }
    }
  }

  @Test func theListsAreFilteredTogetherAndTheNodesSorted() {
    var model = Self.fleet()
    for name in [">", ">"] { _ = model.update(Self.key(name), at: Self.at(2)) }
    #expect(model.sortColumn == "STATE" && model.shownNodes == [0, 1, 2])
    _ = model.update(Self.key("<"), at: Self.at(2))
    #expect(model.shownNodes.map { model.nodes[$0].host } == ["attic", "cellar", "oven"])
    _ = model.update(Self.key("I"), at: Self.at(2))
    #expect(model.shownNodes.map { model.nodes[$0].host } == ["oven", "cellar", "attic"])
    #expect(Self.lines(model)[3].contains("oven"))
    _ = model.update(Self.key("/"), at: Self.at(2))
    for letter in "cellar" { _ = model.update(Self.key(String(letter)), at: Self.at(2)) }
    #expect(model.shownNodes == [1] && model.selectedNode == 1)
    #expect(model.waits.map(\.row.id) == ["bbbb000000000001", "bbbb000000000002"])
    #expect(Self.lines(model)[1].contains("1 of 3"))
    for name in ["Enter", "Esc"] { _ = model.update(Self.key(name), at: Self.at(2)) }
    #expect(model.shownNodes.count == 3)
  }

  @Test func actsAreForTheTaggedNodesAndAskFirst() {
    var model = Self.fleet()
    for name in ["g", "Space", "Space"] { _ = model.update(Self.key(name), at: Self.at(2)) }
    #expect(model.tags == [0, 1])
    _ = model.update(Self.key("P"), at: Self.at(2))
    #expect(Self.lines(model).contains { $0.contains("pause attic, cellar?") })
    #expect(model.update(Self.key("n"), at: Self.at(2)).isEmpty && model.tags.count == 2)
    _ = model.update(Self.key("d"), at: Self.at(2))
    #expect(
      model.update(Self.key("y"), at: Self.at(2)) == [.send(0, .drain, tag: 1), .send(1, .drain, tag: 2)])
    #expect(model.tags.isEmpty)
    _ = model.update(Self.key("m"), at: Self.at(2))
    // The cursor is on the node without a line, which is told nothing.
    #expect(model.mode == .normal && Self.lines(model).contains { $0.contains("no line to the node") })
    for name in ["g", "m", "h", "i"] { _ = model.update(Self.key(name), at: Self.at(2)) }
    #expect(model.update(Self.key("Enter"), at: Self.at(2)) == [.send(0, .say("hi"), tag: 3)])
  }

  @Test func allThatWaitAreApprovedNodeByNode() {
    var model = Self.fleet()
    for name in ["2", "A"] { _ = model.update(Self.key(name), at: Self.at(2)) }
    #expect(Self.lines(model).contains { $0.contains("approve 3 waiting jobs of 2 nodes?") })
    #expect(
      model.update(Self.key("y"), at: Self.at(2)) == [
        .send(0, .approve(jobs: ["aaaa000000000001"]), tag: 1),
        .send(1, .approve(jobs: ["bbbb000000000001", "bbbb000000000002"]), tag: 2),
      ])
    // Tagged ones are rejected together.
    for name in ["g", "Space", "Space", "x"] { _ = model.update(Self.key(name), at: Self.at(2)) }
    #expect(
      model.update(Self.key("Enter"), at: Self.at(2)) == [
        .send(0, .reject(jobs: ["aaaa000000000001"], reason: cannedReasons[0]), tag: 3),
        .send(1, .reject(jobs: ["bbbb000000000001"], reason: cannedReasons[0]), tag: 4),
      ])
  }

  /// Two nodes that share a queue tell of the same jobs that wait, and each has others.
  @Test func whoLeasedWhatOfASharedQueueIsShown() throws {
    var model = Self.model()
    var scripted = ScriptedNode.busy()
    var running: [String] = []
    for (index, delivery) in [(0, 1), (1, 2)] {
      _ = model.update(.node(index, .link(.connected)), at: Self.at(1))
      var snapshot = scripted.snapshot()
      running = snapshot.jobs.filter { $0.state == .running }.map(\.id)
      snapshot.sharedQueue = SharedQueueSnapshot(
        stream: "HOTPOT", server: "hub:4222", version: "2.14.0", unreachedSince: nil, trouble: nil,
        depths: [.init(name: "std", waiting: 12, leased: 2, redelivered: 0, pulls: 1)],
        leases: [.init(job: running[index], client: "x", delivery: delivery)], passedOn: nil,
        passedOnInAll: nil)
      _ = model.update(.node(index, .snapshot(snapshot)), at: Self.at(1))
    }
    _ = model.update(Self.key("3"), at: Self.at(2))
    let lines = Self.lines(model)
    #expect(lines[0].contains("12 in the shared queue"), "\(lines[0])")
    let leased = lines.filter { $0.contains("leased") }
    #expect(leased.count == 2, "\(lines)")
    #expect(leased[0].contains(String(running[0].prefix(8))) && !leased[0].contains("given out"))
    #expect(
      leased[1].contains(String(running[1].prefix(8))) && leased[1].contains("leased, given out 2 times"))
    for letter in ["/", "l", "e", "a", "s", "e", "d", "Enter"] {
      _ = model.update(Self.key(letter), at: Self.at(2))
    }
    #expect(model.jobs.map(\.row.id) == [running[0], running[1]])
  }

  @Test func moneyIsSummedByCurrency() {
    let model = Self.fleet()
    #expect(model.sums.map(\.currency) == ["EUR"] && model.sums.map(\.today) == [2_568_000])
    #expect(Self.lines(model)[0].contains("today 2.568 EUR"))
  }

  /// Every size of a terminal, every state: nothing traps, and the last line is the key line.
  @Test func itFitsEverySize() {
    for width in stride(from: 1, through: 240, by: 7) {
      for height in [1, 2, 3, 5, 10, 24, 60] {
        var model = Self.fleet()
        for name in ["?", "j", "2", "x", "Esc", "3", "/", "Esc", "1", "Space", "P", "n", "m"] {
          _ = model.update(.resized(Size(width, height)), at: Self.at(2))
          #expect(view(model).size == Size(width, height))
          _ = model.update(Self.key(name), at: Self.at(2))
        }
        #expect(view(model).size == Size(width, height))
      }
    }
  }
}
