// HistoryTests.swift: the day by minutes.
import Testing

@testable import Node

@Suite struct HistoryTests {
  @Test func aMinuteIsTheMeanOfWhatWasKnownInIt() {
    var ring = MinuteRing(capacity: 3)
    ring.add(1, minute: 10)
    ring.add(nil, minute: 10)
    ring.add(3, minute: 10)
    #expect(ring.ordered == [])
    ring.add(nil, minute: 11)
    #expect(ring.ordered == [2])
    ring.add(8, minute: 12)
    // Nothing was known in minute 11.
    #expect(ring.ordered == [2, nil])
  }

  @Test func aMachineThatSleptHasAGapAndADayIsTheMost() {
    var ring = MinuteRing(capacity: 3)
    ring.add(5, minute: 1)
    ring.add(7, minute: 4)
    #expect(ring.ordered == [5, nil, nil])
    ring.add(1, minute: 1_000_000_000)
    #expect(ring.ordered == [nil, nil, nil])
  }

  @Test func aClockSetBackGoesOnInItsMinute() {
    var ring = MinuteRing(capacity: 3)
    ring.add(2, minute: 7)
    ring.add(4, minute: 5)
    ring.add(1, minute: 8)
    #expect(ring.ordered == [3])
  }
}
