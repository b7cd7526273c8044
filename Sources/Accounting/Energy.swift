// Energy.swift: the electricity that a node used, by day, and its cost by the tariff of the hour.
// It is a value and uses no clock. Readings come from Telemetry, EnergySplit.swift divides them
// among the jobs, and the journal keeps the hours. Start at EnergyBook.add.

/// Energy as a whole number of microjoules, never negative: the unit in which processors count it.
/// Sums are exact and saturate at the largest number.
package struct Energy: Hashable, Sendable, Comparable {
  package let microjoules: Int64

  package static let zero = Energy(microjoules: 0)

  /// A negative number counts as zero.
  package init(microjoules: Int64) { self.microjoules = max(0, microjoules) }

  /// Rounds to the nearest microjoule; a number that is not finite or not positive counts as zero.
  package init(joules: Double) {
    let nearest = (joules * 1_000_000).rounded()
    // Neither condition holds for NaN.
    microjoules = joules.isFinite && nearest > 0 ? Int64(exactly: nearest) ?? .max : 0
  }

  package var joules: Double { Double(microjoules) / 1_000_000 }

  package static func < (a: Energy, b: Energy) -> Bool { a.microjoules < b.microjoules }

  package static func + (a: Energy, b: Energy) -> Energy {
    let (sum, overflow) = a.microjoules.addingReportingOverflow(b.microjoules)
    return Energy(microjoules: overflow ? .max : sum)
  }
}

/// Energy and its cost, day by day.
///
/// Readings add up within the current hour. A completed hour is returned once, for the journal. Its
/// cost is computed for the whole hour, because the price of a single second would be lost in
/// rounding.
package struct EnergyBook: Sendable, Equatable {
  /// The energy used in one hour of a day, or in the part of it in which the node ran.
  package struct Hour: Sendable, Equatable {
    package let day: Day
    /// 0 to 23.
    package let hour: Int
    package let millijoules: Int64
    /// Nil while no price of electricity is known.
    package let cost: Amount?

    package init(day: Day, hour: Int, millijoules: Int64, cost: Amount?) {
      (self.day, self.hour, self.millijoules, self.cost) = (day, hour, millijoules, cost)
    }
  }

  /// The energy used in a day so far.
  package struct Used: Sendable, Equatable {
    /// Joules.
    package let joules: Double
    /// Nil if a part of it has no known price.
    package let cost: Amount?
  }

  private struct Sum: Sendable, Equatable {
    var millijoules: Int64 = 0
    var cost = Amount.zero
    var isPriced = true

    mutating func add(_ hour: Hour) {
      let (sum, overflow) = millijoules.addingReportingOverflow(hour.millijoules)
      millijoules = overflow ? .max : sum
      if let cost = hour.cost, let more = try? self.cost.adding(cost) {  // An overflow leaves no known cost.
        self.cost = more
      } else {
        isPriced = false
      }
    }
  }

  private struct Open: Sendable, Equatable {
    var day: Day
    var hour: Int
    var energy: Energy
    var tariff: Tariff?
  }

  private var days: [Day: Sum] = [:]
  private var open: Open?

  package init() {}

  /// Adds a reading's energy.
  /// - Returns: the hour that ended, if one did; a clock that was set back ends an hour too.
  package mutating func add(_ energy: Energy, day: Day, hour: Int, tariff: Tariff?) -> Hour? {
    let isSame = open.map { $0.day == day && $0.hour == hour && $0.tariff == tariff } ?? false
    let ended = isSame ? nil : close()
    guard energy > .zero else { return ended }
    open = Open(day: day, hour: hour, energy: (open?.energy ?? .zero) + energy, tariff: tariff)
    return ended
  }

  /// Ends the current hour, because the node stops.
  package mutating func close() -> Hour? {
    guard let last = open else { return nil }
    open = nil
    let hour = Self.hour(last)
    restore(hour)
    return hour
  }

  /// Adds an hour of an earlier run. Sums saturate at the largest number.
  package mutating func restore(_ hour: Hour) { days[hour.day, default: Sum()].add(hour) }

  /// Nil for a day without any reading.
  package func used(on day: Day) -> Used? {
    var sum = days[day]
    if let open, open.day == day {
      var all = sum ?? Sum()
      all.add(Self.hour(open))
      sum = all
    }
    return sum.map { Used(joules: Double($0.millijoules) / 1_000, cost: $0.isPriced ? $0.cost : nil) }
  }

  /// Days with readings, in order.
  package var recordedDays: [Day] { Set(days.keys).union(open.map { [$0.day] } ?? []).sorted() }

  private static func hour(_ open: Open) -> Hour {
    // A millijoule is a millionth of what a lamp uses in a quarter of an hour; 2^53 of them are
    // 2,500 MWh.
    let (whole, rest) = open.energy.microjoules.quotientAndRemainder(dividingBy: 1_000)
    return Hour(
      day: open.day, hour: open.hour, millijoules: min(whole + (rest >= 500 ? 1 : 0), 1 << 53 - 1),
      cost: open.tariff?.cost(of: open.energy, hour: open.hour))
  }
}
