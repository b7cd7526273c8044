// QueueLeaseTests.swift: which jobs of a shared queue a node has, and when it may end them: step by
// step, and in a simulation of five nodes on one clock, with nodes that stop, are cut off and die.

import Dice
import Scheduling
import TestSettings
import Testing

@testable import Node

@Suite struct QueueLeaseTests {
  private let one = JobID(1)

  private func fresh() -> QueueLeases { QueueLeases(wait: 30_000) }

  @Test func `a first delivery is run, a later one after asking, one too many by nobody`() {
    var leases = fresh()
    #expect(
      leases.delivered(one, client: "a", count: 1, isKnown: false, isFree: true, at: 0) == [.admit(one)])
    leases = fresh()
    #expect(
      leases.delivered(one, client: "a", count: 1, isKnown: false, isFree: false, at: 0) == [
        .pass(one, after: 0)
      ])
    #expect(!leases.holds(one))
    for (answer, actions) in [
      (QueueLeases.Answer.nobody, [QueueLeases.Action.admit(one)]), (.silence, [.admit(one)]),
      (.somebody, [.pass(one, after: 30_000)]), (.cut, [.pass(one, after: 30_000)]),
      (.released, [.admit(one)]), (.ended, [.admit(one)]), (.away, [.pass(one, after: 10_000)]),
    ] {
      leases = fresh()
      #expect(
        leases.delivered(one, client: "a", count: 2, isKnown: false, isFree: true, at: 0) == [.ask(one)])
      #expect(leases.asked(one, answer) == actions)
      #expect(leases.asked(one, answer).isEmpty, "asked once")
    }
    leases = fresh()
    _ = leases.delivered(one, client: "a", count: 6, isKnown: false, isFree: true, at: 0)
    #expect(leases.asked(one, .nobody) == [.reject(one, "it was given out 6 times, and nobody answered it")])
    // Where somebody runs it, it is not rejected under them.
    leases = fresh()
    _ = leases.delivered(one, client: "a", count: 6, isKnown: false, isFree: true, at: 0)
    #expect(leases.asked(one, .somebody) == [.pass(one, after: 30_000)])
    // A node that claimed its end is waited for, longer each time, and not for ever.
    var waited: Int64 = 0
    for count in 2...20 {
      _ = leases.delivered(one, client: "a", count: count, isKnown: false, isFree: true, at: 0)
      guard case .pass(one, let delay)? = leases.asked(one, .away).first else {
        Issue.record("given up at delivery \(count)")
        return
      }
      waited += delay
    }
    #expect((10 * 60_000...20 * 60_000).contains(waited))
    _ = leases.delivered(one, client: "a", count: 21, isKnown: false, isFree: true, at: 0)
    #expect(leases.asked(one, .away) == [.admit(one)])
    // Once it gives way, or is known to have the receipt, no number of deliveries is too many.
    for answer in [QueueLeases.Answer.released, .ended] {
      leases = fresh()
      _ = leases.delivered(one, client: "a", count: 19, isKnown: false, isFree: true, at: 0)
      #expect(leases.asked(one, answer) == [.admit(one)])
    }
  }

  @Test func `a job whose receipt is on the disk is answered again without asking`() {
    var leases = fresh()
    #expect(
      leases.delivered(one, client: "a", count: 9, isKnown: true, isFree: false, at: 0) == [
        .pass(one, after: 0)
      ])
    #expect(
      leases.delivered(one, client: "a", count: 9, isKnown: true, isFree: true, at: 0) == [.admit(one)])
    #expect(leases.ended(one, at: 1_000) == [.acknowledge(one)])
    #expect(leases.tick(at: 2_999).isEmpty)
    #expect(leases.tick(at: 3_000) == [.acknowledge(one)])
    leases.acknowledged(one)
    #expect(leases.tick(at: 100_000).isEmpty && !leases.holds(one))
  }

  @Test func `a lease is renewed three times in its length, and lives by what was confirmed`() {
    var leases = fresh()
    _ = leases.delivered(one, client: "a", count: 1, isKnown: false, isFree: true, at: 0)
    #expect(leases.tick(at: 9_999).isEmpty && leases.tick(at: 10_000) == [.renew(one)])
    #expect(leases.tick(at: 10_001).isEmpty)
    // Sent is not confirmed.
    #expect(leases.isAlive(one, at: 26_999) && !leases.isAlive(one, at: 27_000))
    leases.renewed(one, sent: 10_000)
    #expect(leases.isAlive(one, at: 36_999) && !leases.isAlive(one, at: 37_000))
    // Stopped until long after its end: what is confirmed then says nothing.
    #expect(leases.tick(at: 90_000) == [.renew(one)])
    leases.renewed(one, sent: 90_000)
    #expect(!leases.isAlive(one, at: 90_001))
    // Given out again, to this node, it is alive.
    _ = leases.delivered(one, client: "a", count: 2, isKnown: false, isFree: true, at: 90_002)
    #expect(leases.isAlive(one, at: 90_003))
  }

  @Test func `a job that comes again to the node that has it goes on, and its newest delivery counts`() {
    var leases = fresh()
    _ = leases.delivered(one, client: "a", count: 1, isKnown: false, isFree: true, at: 0)
    #expect(leases.delivered(one, client: "a", count: 2, isKnown: false, isFree: true, at: 40_000).isEmpty)
    #expect(leases.isAlive(one, at: 41_000))
    #expect(leases.ended(one, at: 42_000) == [.acknowledge(one)])
    #expect(
      leases.delivered(one, client: "a", count: 3, isKnown: true, isFree: true, at: 43_000) == [
        .acknowledge(one)
      ])
    #expect(
      leases.delivered(one, client: "mallory", count: 1, isKnown: false, isFree: true, at: 44_000)
        == [.reject(one, "a job of that id is another client's")])
    #expect(leases.holds(one))
  }

  @Test func `what ends once is not ended again`() {
    var leases = fresh()
    #expect(
      leases.passed(one, after: 1).isEmpty && leases.refused(one, "x").isEmpty
        && leases.ended(one, at: 0).isEmpty)
    _ = leases.delivered(one, client: "a", count: 1, isKnown: false, isFree: true, at: 0)
    #expect(leases.passed(one, after: 1) == [.pass(one, after: 1)])
    #expect(leases.refused(one, "x").isEmpty)
  }

  @Test func `five nodes that stop, are cut off and die lose no job and bill none twice`() {
    var caughtEnding = 0
    defer { #expect(caughtEnding > 100, "nodes are met between claim and acknowledgement") }
    for seed in 0..<UInt64(isHeavy ? 2_000 : 200) {
      var world = QueueWorld(seed: seed)
      world.run()
      caughtEnding += world.caughtEnding
      #expect(world.wrong == nil, "seed \(seed)")
      if world.wrong != nil { break }
    }
  }
}

/// A queue as JetStream keeps it, five nodes, and one clock. A renewal or an acknowledgement is
/// confirmed to whoever sends it, as the real server does; a node that was stopped goes on with what
/// it believed. Between a claim, its receipt and its acknowledgement a node may stop or die.
private struct QueueWorld {
  struct Message {
    let priority: Int
    var isLeased = false
    var leasedUntil: Int64 = 0
    var notBefore: Int64 = 0
    var deliveries = 0
    var isGone = false
  }

  /// What a node does with a job that it has computed, each at a step of its own.
  enum Ending { case claiming, writing, saying }

  struct Station {
    var leases = QueueLeases(wait: 30_000)
    /// Jobs that are computed, and when they are done.
    var running: [JobID: Int64] = [:]
    var ending: [JobID: Ending] = [:]
    /// Whose claim a job's next one takes the place of.
    var claimsBefore: [JobID: Int] = [:]
    /// Jobs that are computed again for a receipt that is there.
    var settled: Set<JobID> = []
    var receipts: Set<JobID> = []
    var stoppedUntil: Int64 = 0
    var cutUntil: Int64 = 0
  }

  private var dice: SeededGenerator
  private var now: Int64 = 0
  private var messages: [JobID: Message] = [:]
  private var claims: [JobID: Int] = [:]
  private var stations = Array(repeating: Station(), count: 5)
  private var bills: [JobID: Int] = [:]
  private(set) var wrong: String?
  /// Nodes that died or were stopped between a claim and its acknowledgement: what is to be met.
  private(set) var caughtEnding = 0

  init(seed: UInt64) {
    dice = SeededGenerator(seed: seed)
    for number in 1...30 {
      messages[JobID(UInt64(number))] = Message(priority: Int.random(in: 0..<3, using: &dice))
    }
  }

  mutating func run() {
    // Ten minutes of trouble, then as long as the longest wait and job take.
    for step in 0..<3_000 where wrong == nil {
      now = Int64(step) * 1_000
      if step < 600 { disturb() }
      for index in stations.indices where stations[index].stoppedUntil <= now { live(index) }
    }
    for (id, message) in messages where wrong == nil {
      if bills[id] ?? 0 == 0 || !message.isGone {
        wrong = "job \(id.rawValue) was lost after \(message.deliveries) deliveries"
      }
    }
  }

  private mutating func disturb() {
    let length = Int64.random(in: 1_000...90_000, using: &dice)
    let kind = Int.random(in: 0..<60, using: &dice)
    // Half of the troubles meet a node in the middle of an end.
    let ending = stations.indices.filter { !stations[$0].ending.isEmpty }
    let index =
      Bool.random(using: &dice)
      ? ending.randomElement(using: &dice) ?? 0 : Int.random(in: 0..<5, using: &dice)
    if kind < 3, !stations[index].ending.isEmpty { caughtEnding += 1 }
    switch kind {
    case 0: stations[index].stoppedUntil = now + length
    case 1: stations[index].cutUntil = now + length
    case 2:
      // Its process dies, and comes back; its journal is what is left.
      let receipts = stations[index].receipts
      stations[index] = Station()
      stations[index].receipts = receipts
      stations[index].stoppedUntil = now + length
    default: break
    }
  }

  private func isReached(_ index: Int) -> Bool {
    stations[index].cutUntil <= now && stations[index].stoppedUntil <= now
  }

  private mutating func live(_ index: Int) {
    // What was computed is done before anything is heard: the worst order.
    for id in stations[index].ending.keys.sorted(by: { $0.rawValue < $1.rawValue }) { proceed(id, index) }
    for (id, end) in stations[index].running.sorted(by: { $0.key.rawValue < $1.key.rawValue })
    where end <= now {
      stations[index].running[id] = nil
      stations[index].ending[id] = stations[index].settled.contains(id) ? .saying : .claiming
    }
    carryOut(stations[index].leases.tick(at: now), index)
    guard isReached(index), stations[index].running.count < 2 else { return }
    // The most urgent of those that are free.
    let free = messages.filter {
      !$0.value.isGone && $0.value.notBefore <= now && (!$0.value.isLeased || $0.value.leasedUntil <= now)
    }
    guard
      let (id, _) = free.min(by: {
        ($0.value.priority, $0.key.rawValue) < ($1.value.priority, $1.key.rawValue)
      })
    else { return }
    messages[id]?.isLeased = true
    messages[id]?.leasedUntil = now + 30_000
    messages[id]?.deliveries += 1
    let isKnown = stations[index].receipts.contains(id)
    if isKnown { stations[index].settled.insert(id) }
    carryOut(
      stations[index].leases.delivered(
        id, client: "a", count: min(messages[id]?.deliveries ?? 1, 5), isKnown: isKnown, isFree: true, at: now
      ), index)
  }

  private mutating func carryOut(_ actions: [QueueLeases.Action], _ index: Int) {
    for action in actions {
      switch action {
      case .ask(let id): carryOut(stations[index].leases.asked(id, answer(id, index)), index)
      case .admit(let id): stations[index].running[id] = now + Int64.random(in: 1_000...70_000, using: &dice)
      case .renew(let id):
        guard isReached(index) else { continue }
        if messages[id]?.isGone == false { messages[id]?.leasedUntil = now + 30_000 }
        stations[index].leases.renewed(id, sent: now)
      case .pass(let id, let delay):
        guard isReached(index) else { continue }
        messages[id]?.isLeased = false
        messages[id]?.notBefore = now + delay
      case .reject(let id, let words, _): wrong = "job \(id.rawValue) was rejected: \(words)"
      case .acknowledge(let id):
        guard isReached(index) else { continue }
        messages[id]?.isGone = true
        stations[index].leases.acknowledged(id)
      }
    }
  }

  /// As QueueDoor asks: who runs it, then who claimed its end.
  private mutating func answer(_ id: JobID, _ index: Int) -> QueueLeases.Answer {
    let others = stations.indices.filter { $0 != index && stations[$0].leases.holds(id) }
    if others.contains(where: isReached) { return .somebody }
    guard let holder = claims[id] else {
      return others.contains { stations[$0].cutUntil <= now } ? .silence : .nobody
    }
    if holder == index { return .released }
    guard isReached(holder) else { return .away }
    stations[index].claimsBefore[id] = holder
    guard stations[holder].receipts.contains(id) else { return .released }
    stations[index].settled.insert(id)
    return .ended
  }

  /// The next step of an end, as QueueDoor takes it.
  private mutating func proceed(_ id: JobID, _ index: Int) {
    switch stations[index].ending[id] {
    case nil: break
    case .claiming:
      guard stations[index].leases.isAlive(id, at: now) else { return letGo(id, index) }
      guard isReached(index) else { return }
      guard claims[id] == index || claims[id] == stations[index].claimsBefore[id] else {
        return letGo(id, index)
      }
      claims[id] = index
      stations[index].ending[id] = .writing
    case .writing:
      stations[index].receipts.insert(id)
      bills[id, default: 0] += 1
      if bills[id] ?? 0 > 1 { wrong = "job \(id.rawValue) was billed twice" }
      stations[index].ending[id] = .saying
    case .saying:
      stations[index].ending[id] = nil
      carryOut(stations[index].leases.ended(id, at: now), index)
    }
  }

  private mutating func letGo(_ id: JobID, _ index: Int) {
    stations[index].ending[id] = nil
    stations[index].leases.lost(id)
  }
}
