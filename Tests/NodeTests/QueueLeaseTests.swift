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
  }

  @Test func `a job whose receipt is on the disk is not run again`() {
    var leases = fresh()
    #expect(
      leases.delivered(one, client: "a", count: 2, isKnown: true, isFree: false, at: 0) == [
        .replay(one), .acknowledge(one),
      ])
    #expect(leases.tick(at: 9_999).isEmpty)
    #expect(leases.tick(at: 10_000) == [.acknowledge(one)])
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
    for seed in 0..<UInt64(isHeavy ? 2_000 : 200) {
      var world = QueueWorld(seed: seed)
      world.run()
      #expect(world.wrong == nil, "seed \(seed)")
      if world.wrong != nil { break }
    }
  }
}

/// A queue as JetStream keeps it, five nodes, and one clock. A renewal or an acknowledgement is
/// confirmed to whoever sends it, as the real server does; a node that was stopped goes on with what
/// it believed.
private struct QueueWorld {
  struct Message {
    let priority: Int
    var isLeased = false
    var leasedUntil: Int64 = 0
    var notBefore: Int64 = 0
    var deliveries = 0
    var isGone = false
  }

  struct Station {
    var leases = QueueLeases(wait: 30_000)
    /// Jobs that are computed, and when they are done.
    var running: [JobID: Int64] = [:]
    /// Jobs that are done while the server is not reached.
    var doubtful: Set<JobID> = []
    var receipts: Set<JobID> = []
    var stoppedUntil: Int64 = 0
    var cutUntil: Int64 = 0
  }

  private var dice: SeededGenerator
  private var now: Int64 = 0
  private var messages: [JobID: Message] = [:]
  private var stations = Array(repeating: Station(), count: 5)
  private var bills: [JobID: Int] = [:]
  private(set) var wrong: String?

  init(seed: UInt64) {
    dice = SeededGenerator(seed: seed)
    for number in 1...30 {
      messages[JobID(UInt64(number))] = Message(priority: Int.random(in: 0..<3, using: &dice))
    }
  }

  mutating func run() {
    // Ten minutes of trouble, then as long as the longest lease and job take.
    for step in 0..<3_000 where wrong == nil {
      now = Int64(step) * 1_000
      if step < 600 { disturb() }
      for index in stations.indices where stations[index].stoppedUntil <= now { live(index) }
    }
    for (id, message) in messages where wrong == nil {
      if bills[id] ?? 0 == 0 { wrong = "job \(id.rawValue) was lost after \(message.deliveries) deliveries" }
    }
  }

  private mutating func disturb() {
    let index = Int.random(in: 0..<5, using: &dice)
    let length = Int64.random(in: 1_000...90_000, using: &dice)
    switch Int.random(in: 0..<60, using: &dice) {
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
    for (id, end) in stations[index].running.sorted(by: { $0.key.rawValue < $1.key.rawValue })
    where end <= now {
      stations[index].running[id] = nil
      finish(id, index)
    }
    for id in stations[index].doubtful.sorted(by: { $0.rawValue < $1.rawValue }) { finish(id, index) }
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
    carryOut(
      stations[index].leases.delivered(
        id, client: "a", count: min(messages[id]?.deliveries ?? 1, 5),
        isKnown: stations[index].receipts.contains(id),
        isFree: true, at: now), index)
  }

  private mutating func carryOut(_ actions: [QueueLeases.Action], _ index: Int) {
    for action in actions {
      switch action {
      case .ask(let id):
        let others = stations.indices.filter { $0 != index && stations[$0].leases.holds(id) }
        let answer: QueueLeases.Answer =
          others.contains(where: isReached)
          ? .somebody
          : others.contains { stations[$0].cutUntil <= now } ? .silence : .nobody
        carryOut(stations[index].leases.asked(id, answer), index)
      case .admit(let id): stations[index].running[id] = now + Int64.random(in: 1_000...70_000, using: &dice)
      case .renew(let id):
        guard isReached(index) else { continue }
        if messages[id]?.isGone == false { messages[id]?.leasedUntil = now + 30_000 }
        stations[index].leases.renewed(id, sent: now)
      case .pass(let id, let delay):
        guard isReached(index) else { continue }
        messages[id]?.isLeased = false
        messages[id]?.notBefore = now + delay
      case .reject(let id, let words): wrong = "job \(id.rawValue) was rejected: \(words)"
      case .acknowledge(let id):
        guard isReached(index) else { continue }
        messages[id]?.isGone = true
        stations[index].leases.acknowledged(id)
      case .replay: break
      }
    }
  }

  /// As QueueDoor decides whether a job may be ended.
  private mutating func finish(_ id: JobID, _ index: Int) {
    stations[index].doubtful.remove(id)
    guard stations[index].leases.isAlive(id, at: now) else { return stations[index].leases.lost(id) }
    guard isReached(index) else {
      stations[index].doubtful.insert(id)
      return
    }
    if messages[id]?.isGone == false { messages[id]?.leasedUntil = now + 30_000 }
    stations[index].leases.renewed(id, sent: now)
    bill(id, index)
  }

  private mutating func bill(_ id: JobID, _ index: Int) {
    stations[index].receipts.insert(id)
    bills[id, default: 0] += 1
    if bills[id] ?? 0 > 1 { wrong = "job \(id.rawValue) was billed twice" }
    carryOut(stations[index].leases.ended(id, at: now), index)
  }
}
