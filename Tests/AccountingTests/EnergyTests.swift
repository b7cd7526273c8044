// EnergyTests.swift: electricity by hour and day; and the books' answers over a million receipts.
import Accounting
import Foundation
import Testing

@Suite struct EnergyTests {
  private func tariff() throws -> Tariff {
    try Tariff(
      perKilowattHour: amount("0.30"),
      periods: [.init(hours: try #require(Hours(from: 22, to: 6)), perKilowattHour: amount("0.20"))])
  }

  @Test func anHourCostsWhatItsEnergyCostsNotTheSumOfRoundedSeconds() throws {
    var book = EnergyBook()
    for _ in 0..<3_600 { _ = book.add(joules: 50, day: 1, hour: 12, tariff: try tariff()) }
    // 50 W for an hour are 0.05 kWh; a second would be 4.17 micro-units, 3,600 rounded ones 14,400.
    #expect(book.used(on: 1)?.joules == 180_000 && book.used(on: 1)?.cost == Amount(micro: 15_000))
    let ended = book.add(joules: 50, day: 1, hour: 13, tariff: try tariff())
    #expect(ended == EnergyBook.Hour(day: 1, hour: 12, millijoules: 180_000_000, cost: Amount(micro: 15_000)))
    let (last, nothing) = (book.close(), book.close())
    #expect(last?.hour == 13 && nothing == nil)
  }

  @Test func hoursHaveTheirOwnPriceAndDaysTheirOwnSum() throws {
    var book = EnergyBook()
    _ = book.add(joules: 3_600_000, day: 1, hour: 21, tariff: try tariff())
    _ = book.add(joules: 3_600_000, day: 1, hour: 22, tariff: try tariff())
    _ = book.add(joules: 3_600_000, day: 2, hour: 5, tariff: try tariff())
    // The clock is set back over midnight: nothing is counted twice or lost.
    _ = book.add(joules: 3_600_000, day: 1, hour: 23, tariff: try tariff())
    #expect(book.used(on: 1)?.cost == (try amount("0.70")))
    #expect(book.used(on: 2)?.cost == (try amount("0.20")))
    #expect(book.used(on: 3) == nil)
    #expect(book.recordedDays == [1, 2])
  }

  @Test func absurdReadingsCountNothingAndSumsDoNotOverflow() throws {
    var book = EnergyBook()
    for joules in [Double.nan, .infinity, -1, 0] {
      let ended = book.add(joules: joules, day: 1, hour: 1, tariff: nil)
      #expect(ended == nil)
    }
    #expect(book.used(on: 1) == nil)
    _ = book.add(joules: 1e300, day: 1, hour: 1, tariff: try tariff())
    let last = book.close()
    let hour = try #require(last)
    #expect(hour.millijoules == 1 << 53 - 1)
    for _ in 0..<2_000 { book.restore(hour) }
    #expect(book.used(on: 1)?.cost == nil)
    #expect((book.used(on: 1)?.joules ?? 0) > 0)
  }

  @Test func aDayWithoutAPriceHasNoCost() throws {
    var book = EnergyBook()
    _ = book.add(joules: 10, day: 1, hour: 1, tariff: nil)
    _ = book.add(joules: 10, day: 1, hour: 2, tariff: try tariff())
    let used = try #require(book.used(on: 1))
    #expect(used.joules == 20 && used.cost == nil)
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
    var generator = SeededGenerator(state: 3)
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
