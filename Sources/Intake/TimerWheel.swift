// TimerWheel.swift: which connections may be due; adding one costs an array append. It has no
// clock; the loop passes the time. Early wake-ups are allowed (the owner checks), late ones aren't.

/// A wheel of 2,048 slots of 50 ms. Deadlines beyond its 102 s stay in their slot for another
/// round.
struct TimerWheel {
  struct Entry {
    var id: UInt64
    var tick: Int64
  }

  static let tickNanoseconds: Int64 = 50_000_000
  private static let slotCount: Int64 = 2048

  private var slots: [[Entry]]
  /// The last tick that has been expired.
  private var position: Int64
  /// No entry is due before this tick.
  private var earliest = Int64.max
  private(set) var count = 0

  init(nowNanoseconds: Int64) {
    slots = Array(repeating: [], count: Int(Self.slotCount))
    position = nowNanoseconds / Self.tickNanoseconds
  }

  /// The first tick at which `deadline` has passed.
  static func tick(of deadline: Int64) -> Int64 {
    deadline / tickNanoseconds + (deadline % tickNanoseconds == 0 ? 0 : 1)
  }

  mutating func insert(_ id: UInt64, tick wanted: Int64) {
    let tick = max(wanted, position + 1)
    slots[Int(tick % Self.slotCount)].append(Entry(id: id, tick: wanted))
    // A deadline beyond the wheel is examined once per round.
    earliest = min(earliest, tick, position + Self.slotCount)
    count += 1
  }

  /// Removes all entries that are due at that time.
  mutating func expire(nowNanoseconds: Int64) -> [Entry] {
    let now = nowNanoseconds / Self.tickNanoseconds
    guard now >= earliest, now > position else {
      position = max(position, now)
      return []
    }
    var due: [Entry] = []
    // After a jump of more than one round, each slot is visited once.
    var tick = max(max(position + 1, earliest), now - Self.slotCount + 1)
    while tick <= now {
      let slot = Int(tick % Self.slotCount)
      if !slots[slot].isEmpty {
        due += slots[slot].filter { $0.tick <= now }
        slots[slot].removeAll { $0.tick <= now }
      }
      tick += 1
    }
    position = now
    count -= due.count
    findEarliest()
    return due
  }

  private mutating func findEarliest() {
    earliest = .max
    guard count > 0 else { return }
    for tick in (position + 1)...(position + Self.slotCount)
    where !slots[Int(tick % Self.slotCount)].isEmpty {
      earliest = tick
      return
    }
  }

  /// How long the loop may sleep: nil: forever; at least 0.
  func nanosecondsToNext(nowNanoseconds: Int64) -> Int64? {
    guard count > 0 else { return nil }
    return max(0, earliest * Self.tickNanoseconds - nowNanoseconds)
  }
}
