import Accounting
// EnergyTests.swift: electricity by hour, day and job; and the books' answers over a million receipts.
import Dice
import Foundation
import TestSettings
import Testing

@Suite struct EnergyTests {
  private func tariff() throws -> Tariff {
    try Tariff(
      perKilowattHour: amount("0.30"),
      periods: [.init(hours: try #require(Hours(from: 22, to: 6)), perKilowattHour: amount("0.20"))])
  }

  @Test func anHourCostsWhatItsEnergyCostsNotTheSumOfRoundedSeconds() throws {
    var book = EnergyBook()
    for _ in 0..<3_600 { _ = book.add(Energy(joules: 50), day: 1, hour: 12, tariff: try tariff()) }
    // 50 W for an hour are 0.05 kWh; a second would be 4.17 micro-units, 3,600 rounded ones 14,400.
    #expect(book.used(on: 1)?.joules == 180_000 && book.used(on: 1)?.cost == Amount(micro: 15_000))
    let ended = book.add(Energy(joules: 50), day: 1, hour: 13, tariff: try tariff())
    #expect(ended == EnergyBook.Hour(day: 1, hour: 12, millijoules: 180_000_000, cost: Amount(micro: 15_000)))
    let (last, nothing) = (book.close(), book.close())
    #expect(last?.hour == 13 && nothing == nil)
  }

  @Test func hoursHaveTheirOwnPriceAndDaysTheirOwnSum() throws {
    var book = EnergyBook()
    _ = book.add(Energy(joules: 3_600_000), day: 1, hour: 21, tariff: try tariff())
    _ = book.add(Energy(joules: 3_600_000), day: 1, hour: 22, tariff: try tariff())
    _ = book.add(Energy(joules: 3_600_000), day: 2, hour: 5, tariff: try tariff())
    // The clock is set back over midnight: nothing is counted twice or lost.
    _ = book.add(Energy(joules: 3_600_000), day: 1, hour: 23, tariff: try tariff())
    #expect(book.used(on: 1)?.cost == (try amount("0.70")))
    #expect(book.used(on: 2)?.cost == (try amount("0.20")))
    #expect(book.used(on: 3) == nil)
    #expect(book.recordedDays == [1, 2])
  }

  @Test func absurdReadingsCountNothingAndSumsDoNotOverflow() throws {
    var book = EnergyBook()
    for joules in [Double.nan, .infinity, -1, 0] {
      let ended = book.add(Energy(joules: joules), day: 1, hour: 1, tariff: nil)
      #expect(ended == nil)
    }
    #expect(book.used(on: 1) == nil)
    _ = book.add(Energy(joules: 1e300), day: 1, hour: 1, tariff: try Tariff(perKilowattHour: .max))
    let last = book.close()
    let hour = try #require(last)
    #expect(hour.millijoules == 1 << 53 - 1)
    for _ in 0..<2_000 { book.restore(hour) }
    #expect(book.used(on: 1)?.cost == nil)
    #expect((book.used(on: 1)?.joules ?? 0) > 0)
  }

  @Test func aDayWithoutAPriceHasNoCost() throws {
    var book = EnergyBook()
    _ = book.add(Energy(joules: 10), day: 1, hour: 1, tariff: nil)
    _ = book.add(Energy(joules: 10), day: 1, hour: 2, tariff: try tariff())
    let used = try #require(book.used(on: 1))
    #expect(used.joules == 20 && used.cost == nil)
  }
}

@Suite struct EnergySplitTests {
  /// The parts of one interval in microjoules, by job.
  private func parts(_ microjoules: Int64, _ work: [UInt64: Int]) -> [[Int64]] {
    var split = EnergySplit()
    for (job, tokens) in work { split.computed(tokens, for: job) }
    return split.end(Energy(microjoules: microjoules), perKilowattHour: nil).map {
      [Int64($0.job), $0.part.microjoules]
    }
  }

  @Test func anIntervalIsDividedByTokens() {
    #expect(parts(10_000_000, [1: 30, 2: 10]) == [[1, 7_500_000], [2, 2_500_000]])
    // What does not divide is lost for nobody.
    #expect(parts(100, [1: 1, 2: 1, 3: 1]) == [[1, 33], [2, 33], [3, 34]])
    #expect(parts(2, [7: 1, 8: 1, 9: 1]) == [[7, 0], [8, 1], [9, 1]])
    #expect(parts(0, [1: 5]) == [[1, 0]])
    #expect(parts(5, [1: 0, 2: -3]) == [])
    let half = Int64.max / 2
    #expect(parts(.max, [1: .max, 2: .max]) == [[1, half], [2, half + 1]])
  }

  @Test func energyWhileNobodyComputesIsNobodys() throws {
    var split = EnergySplit()
    let price = try amount("0.30")
    split.computed(3, for: 1)
    split.computed(1, for: 1)
    let first = split.end(Energy(joules: 40), perKilowattHour: price)
    let second = split.end(Energy(joules: 60), perKilowattHour: price)
    #expect(first.map(\.job) == [1] && second.isEmpty)
    #expect(split.jobs.energy.joules == 40 && split.idle.energy.joules == 60)
  }

  @Test func whatWasNotMeasuredCountsForNoOtherInterval() {
    var split = EnergySplit()
    split.computed(100, for: 1)
    #expect(split.skip() == [1])
    split.computed(5, for: 2)
    let parts = split.end(Energy(joules: 1), perKilowattHour: nil)
    #expect(parts.map(\.job) == [2])
  }

  /// 36 J at 0.30 a kilowatt-hour cost 3 micro-units; of 1,200 seconds each is far less than half of one.
  @Test func costsAreRoundedWhenTheyAreToldAndNotBefore() throws {
    var share = EnergyShare()
    for _ in 0..<1_200 { share.add(Energy(joules: 0.03), perKilowattHour: try amount("0.30")) }
    #expect(share.energy.joules == 36 && share.cost?.amount == Amount(micro: 3))
    share.add(Energy(joules: 36), perKilowattHour: try amount("0.10"))
    #expect(share.cost?.amount == Amount(micro: 4))
    share.add(.zero, perKilowattHour: nil)
    #expect(share.cost?.amount == Amount(micro: 4))
    share.add(Energy(joules: 1), perKilowattHour: nil)
    #expect(share.cost == nil && share.energy.joules == 73)
  }

  @Test func costsStopAtTheLargestAmount() {
    var share = EnergyShare()
    for _ in 0..<5 { share.add(Energy(microjoules: .max), perKilowattHour: .max) }
    #expect(share.cost?.amount == .max && share.energy.microjoules == .max)
  }

  /// Any intervals with any work: jobs and idling are the whole, to the microjoule, and the hour's book says the same.
  @Test func partsAddUpToTheWhole() throws {
    for seed in 0..<UInt64(200) {
      var generator = SeededGenerator(seed: seed)
      var (split, book, jobs) = (EnergySplit(), EnergyBook(), [UInt64: Energy]())
      var whole = Energy.zero
      for _ in 0..<50 {
        for _ in 0..<Int.random(in: 0...6, using: &generator) {
          split.computed(
            Int.random(in: 1...2_000, using: &generator), for: UInt64.random(in: 0..<9, using: &generator))
        }
        let energy = Energy(microjoules: Int64.random(in: 0...900_000_001, using: &generator))
        whole = whole + energy
        let price = try amount("0.30")
        _ = book.add(energy, day: 1, hour: 1, tariff: try Tariff(perKilowattHour: price))
        for (job, part) in split.end(energy, perKilowattHour: price) {
          jobs[job] = (jobs[job] ?? .zero) + part
        }
      }
      #expect(jobs.values.reduce(.zero, +) == split.jobs.energy, "seed \(seed)")
      #expect(split.jobs.energy + split.idle.energy == whole, "seed \(seed)")
      var all = EnergyCost.zero
      all.add(split.jobs.energy, perKilowattHour: try amount("0.30"))
      all.add(split.idle.energy, perKilowattHour: try amount("0.30"))
      #expect(all.amount == book.used(on: 1)?.cost, "seed \(seed)")
    }
  }
}

@Suite(.enabled(if: isHeavy)) struct QuestionBenchmarks {
  /// A million receipts of 50 clients over 3 models and a year, and every kind of question.
  @Test func anyQuestionOverAMillionReceiptsIsALookUp() throws {
    var ledger = Ledger()
    let (clients, models) = ((0..<50).map { "client-\($0)" }, ["a", "b", "c"])
    for i in 0..<1_000_000 {
      try ledger.apply(
        .posted(
          posting(
            UInt64(i), client: clients[i % 50], model: models[i % 3], day: Day(i * 365 / 1_000_000),
            amount: Amount(micro: Int64(i % 1_000)))))
    }
    var generator = SeededGenerator(seed: 3)
    var worst = Duration.zero
    var sum = 0
    for _ in 0..<10_000 {
      let day = Day.random(in: 0..<365, using: &generator)
      let days: [ClosedRange<Day>?] = [nil, day...day, day...365, 0...365, Day.min...Day.max]
      let query = LedgerQuery(
        days: days.randomElement(using: &generator) ?? nil,
        client: Bool.random(using: &generator) ? clients.randomElement(using: &generator) : nil,
        model: Bool.random(using: &generator) ? models.randomElement(using: &generator) : nil)
      let time = ContinuousClock().measure { sum += ledger.total(query).jobs }
      worst = max(worst, time)
    }
    #expect(sum > 0)
    let rows = ContinuousClock().measure { sum += ledger.cells().count }
    print(
      "worst of 10,000 questions over 10^6 receipts: \(worst); all \(ledger.cells().count) rows sorted: \(rows)"
    )
  }
}
