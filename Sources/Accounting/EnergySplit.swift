// EnergySplit.swift: divides the energy of an interval among the jobs that computed in it. It is a
// value and uses no clock. The sums by hour and day are in Energy.swift. Start at EnergySplit.

/// The exact cost of some energy. It is rounded only when reported, so that the costs of jobs and
/// of idling add up to the total, over any number of seconds.
package struct EnergyCost: Sendable, Equatable {
  /// Microjoules times micro-units per kilowatt-hour; saturates at the largest number.
  private var exact: Int128 = 0

  package static let zero = EnergyCost()
  private static let microjoulesPerKilowattHour: Int128 = 3_600_000_000_000

  package mutating func add(_ energy: Energy, perKilowattHour price: Amount) {
    let (sum, overflow) = exact.addingReportingOverflow(Int128(energy.microjoules) * Int128(price.micro))
    exact = overflow ? .max : sum
  }

  /// To the nearest micro-unit.
  package var amount: Amount {
    let (whole, rest) = exact.quotientAndRemainder(dividingBy: Self.microjoulesPerKilowattHour)
    let isUp = rest >= Self.microjoulesPerKilowattHour / 2
    return Amount(micro: Int64(exactly: whole + (isUp ? 1 : 0)) ?? .max)
  }
}

/// Energy used for one purpose, and its cost.
package struct EnergyShare: Sendable, Equatable {
  package private(set) var energy = Energy.zero
  /// Nil if a part of it has no known price.
  package private(set) var cost: EnergyCost? = .zero

  package init() {}

  /// - price: of a kilowatt-hour; nil while none is known
  package mutating func add(_ energy: Energy, perKilowattHour price: Amount?) {
    self.energy = self.energy + energy
    guard let price else {
      if energy > .zero { cost = nil }
      return
    }
    cost?.add(energy, perKilowattHour: price)
  }
}

/// Energy divided by the tokens that were computed while it was used.
///
/// A meter reports the energy of a whole interval; the work of each job is counted in tokens, of
/// prompts and answers alike. An interval's energy is divided in proportion to them, to the
/// microjoule: the parts always add up to the whole, and energy used while no job computed belongs
/// to none. Jobs are numbers here, as in the ledger.
///
/// With 10 J, and 30 tokens of job 1 and 10 of job 2, job 1 used 7.5 J and job 2 used 2.5 J.
package struct EnergySplit: Sendable, Equatable {
  /// The energy of all jobs, and that of none.
  package private(set) var jobs = EnergyShare()
  package private(set) var idle = EnergyShare()
  private var done: [UInt64: Int] = [:]

  package init() {}

  /// Counts tokens computed for a job since the last interval ended, even if the job has ended
  /// since.
  package mutating func computed(_ tokens: Int, for job: UInt64) {
    guard tokens > 0 else { return }
    // No job has 10^12 tokens in an interval; more would not fit the exact division.
    done[job] = min(1 << 40, done[job, default: 0] + min(1 << 40, tokens))
  }

  /// Ends an interval that was not measured: its tokens count for no other interval.
  /// - Returns: the jobs that computed in it.
  package mutating func skip() -> [UInt64] {
    defer { done = [:] }
    return done.keys.sorted()
  }

  /// Ends an interval.
  /// - price: of a kilowatt-hour in it; nil while none is known
  /// - Returns: each job's part, in the order of their numbers.
  package mutating func end(_ energy: Energy, perKilowattHour price: Amount?) -> [(job: UInt64, part: Energy)]
  {
    let work = done.sorted { $0.key < $1.key }
    done = [:]
    let all = work.reduce(Int128(0)) { $0 + Int128($1.value) }
    guard all > 0 else {
      idle.add(energy, perKilowattHour: price)
      return []
    }
    // Each cumulative sum is rounded down, and the parts are the differences, so nothing is lost
    // between them.
    var (counted, given): (Int128, Int64) = (0, 0)
    let parts = work.map { job, tokens in
      counted += Int128(tokens)
      let upTo = Int64(Int128(energy.microjoules) * counted / all)
      defer { given = upTo }
      return (job: job, part: Energy(microjoules: upTo - given))
    }
    jobs.add(energy, perKilowattHour: price)
    return parts
  }
}
