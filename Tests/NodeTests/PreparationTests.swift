// PreparationTests.swift: whose request is read next, and what is refused because too much waits.

import Dispatch
import Node
import Synchronization
import Testing

@Suite struct PreparationTests {
  /// Work that is done when the test says so, and what was begun in which order.
  private final class Gate: Sendable {
    private let begun = Mutex<[String]>([])
    private let semaphore = DispatchSemaphore(value: 0)
    private let changed = DispatchSemaphore(value: 0)

    func work(_ name: String) -> @Sendable () -> Void {
      {
        self.begun.withLock { $0.append(name) }
        self.changed.signal()
        self.semaphore.wait()
      }
    }

    /// What was begun, once as many have been.
    func begun(_ count: Int) -> [String] {
      while begun.withLock({ $0.count }) < count { changed.wait() }
      return begun.withLock { $0 }
    }

    func finish(_ count: Int = 1) { for _ in 0..<count { semaphore.signal() } }
  }

  private func bounds(_ change: (inout Preparation.Bounds) -> Void = { _ in }) -> Preparation.Bounds {
    var bounds = Preparation.Bounds()
    change(&bounds)
    return bounds
  }

  @Test func strangersAreServedOneAtATimeAndHoldUpNobody() throws {
    let (preparation, gate) = (Preparation(bounds()), Gate())
    for number in 0..<50 {
      try preparation.add(.stranger("\(number)"), bytes: 1_000_000, gate.work("stranger"))
    }
    #expect(gate.begun(1) == ["stranger"])
    // All of these begin though nothing ends, with one thread for the operator beside them.
    try preparation.add(.client("aria"), bytes: 10, gate.work("aria"))
    try preparation.add(.client("bob"), bytes: 10, gate.work("bob"))
    try preparation.add(.own, bytes: 10, gate.work("own"))
    #expect(gate.begun(4).sorted() == ["aria", "bob", "own", "stranger"])
    gate.finish(53)
    _ = gate.begun(53)
  }

  @Test func oneClientsRequestsLeaveAThreadForTheOthers() throws {
    let (preparation, gate) = (Preparation(bounds()), Gate())
    for _ in 0..<20 { try preparation.add(.client("aria"), bytes: 8 << 20, gate.work("aria")) }
    #expect(gate.begun(1) == ["aria"])
    try preparation.add(.client("bob"), bytes: 10, gate.work("bob"))
    #expect(gate.begun(2) == ["aria", "bob"])
    // Then they take turns.
    try preparation.add(.client("bob"), bytes: 10, gate.work("bob"))
    gate.finish(22)
    #expect(gate.begun(22).prefix(6).contains("bob"))
  }

  @Test func strangersTakeTurns() throws {
    let (preparation, gate) = (Preparation(bounds()), Gate())
    try preparation.add(.stranger("a"), bytes: 1, gate.work("a0"))
    #expect(gate.begun(1) == ["a0"])
    for name in ["a1", "a2", "a3"] { try preparation.add(.stranger("a"), bytes: 1, gate.work(name)) }
    try preparation.add(.stranger("b"), bytes: 1, gate.work("b"))
    gate.finish(5)
    #expect(gate.begun(5) == ["a0", "a1", "b", "a2", "a3"])
  }

  @Test func whatWaitsIsBounded() throws {
    let gate = Gate()
    let preparation = Preparation(
      bounds {
        $0.strangers = 3
        $0.strangerBytes = 1_000
        $0.clientBytes = 1_000
      })
    try preparation.add(.stranger("0"), bytes: 100, gate.work("0"))
    _ = gate.begun(1)
    for number in 1...3 { try preparation.add(.stranger("\(number)"), bytes: 100, gate.work("\(number)")) }
    #expect(throws: Refusal.Unread.tooMany(requests: 3)) {
      try preparation.add(.stranger("4"), bytes: 1, gate.work("4"))
    }
    try preparation.add(.client("aria"), bytes: 400, gate.work("aria"))
    #expect(throws: Refusal.Unread.tooMuch(bytes: 400)) {
      try preparation.add(.client("aria"), bytes: 400, gate.work("aria"))
    }
    // Another client has a share of its own.
    try preparation.add(.client("bob"), bytes: 400, gate.work("bob"))
    gate.finish(6)
    _ = gate.begun(6)
  }

  @Test func bytesOfStrangersAreBounded() throws {
    let gate = Gate()
    let preparation = Preparation(bounds { $0.strangerBytes = 1_000 })
    try preparation.add(.stranger("0"), bytes: 600, gate.work("0"))
    _ = gate.begun(1)
    #expect(throws: Refusal.Unread.tooMuch(bytes: 600)) {
      try preparation.add(.stranger("1"), bytes: 600, gate.work("1"))
    }
    gate.finish()
    // Once it is done there is room again.
    var isTaken = false
    while !isTaken { isTaken = (try? preparation.add(.stranger("1"), bytes: 600, gate.work("1"))) != nil }
    #expect(gate.begun(2) == ["0", "1"])
    gate.finish()
  }

  @Test func whoeverHasGoneLeavesTheirPlaceAndCostsNothing() throws {
    let (preparation, gate) = (Preparation(bounds { $0.strangers = 2 }), Gate())
    try preparation.add(.stranger("0"), bytes: 1, gate.work("0"))
    _ = gate.begun(1)
    let isThere = Mutex(true)
    for name in ["1", "2"] {
      try preparation.add(.stranger(name), bytes: 1, isWanted: { isThere.withLock { $0 } }, gate.work(name))
    }
    isThere.withLock { $0 = false }
    try preparation.add(.stranger("3"), bytes: 1, gate.work("3"))
    gate.finish(2)
    #expect(gate.begun(2) == ["0", "3"])
  }
}
