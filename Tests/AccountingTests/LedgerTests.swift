import Accounting
import Dice
import TestSettings
import Testing

func amount(_ text: String) throws -> Amount { try Amount(parsing: text) }

func posting(
  _ receipt: UInt64, client: String = "aria", model: String = "m", day: Day = 20_000,
  amount: Amount, usage: Usage = Usage(prompt: 10, cached: 2, completion: 5)
) -> Posting {
  Posting(
    receipt: ReceiptIndex(receipt), client: client, model: model, day: day, usage: usage, amount: amount)
}

@Suite struct AmountTests {
  @Test(arguments: [
    ("1", 1_000_000), ("0.25", 250_000), ("1.284", 1_284_000), ("0.000001", 1), ("-2.5", -2_500_000),
    ("9223372036854.775807", Int64.max),
  ]) func parses(text: String, micro: Int64) throws {
    #expect(try Amount(parsing: text).micro == micro)
  }

  @Test(arguments: ["", ".", "1.", ".5", "1.0000001", "1e3", "+1", "1,5", " 1", "0x1", "nan", "--1", "1.-2"])
  func refuses(text: String) {
    #expect(throws: AccountingError.self) { try Amount(parsing: text) }
  }

  @Test func overflowIsRefused() {
    #expect(throws: AccountingError.self) { try Amount(parsing: "9223372036854.775808") }
    #expect(throws: AccountingError.self) { try Amount.max.adding(Amount(micro: 1)) }
    #expect(throws: AccountingError.self) { try Amount(micro: .min).subtracting(Amount(micro: 1)) }
  }

  @Test func textComesBackAsTheSameAmount() throws {
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<10_000 {
      let amount = Amount(micro: Int64.random(in: -1_000_000_000_000...1_000_000_000_000, using: &generator))
      #expect(try Amount(parsing: amount.description) == amount)
    }
  }
}

@Suite struct PriceTests {
  /// Offer; then prompt, cached, completion and least amount of what is charged, at prices of 10, 1 and 40 and a minimum of 5.
  @Test(arguments: [
    ("40", "10", "1", "40", "5"), ("99", "10", "1", "40", "5"), ("39.999999", "10", "1", "39.999999", "0"),
    ("12.5", "10", "1", "12.5", "0"), ("4", "4", "1", "4", "0"), ("0.5", "0.5", "0.5", "0.5", "0"),
    ("0", "0", "0", "0", "0"),
  ]) func noTokenIsDearerThanTheOfferNorThanThePrice(
    offer: String, prompt: String, cached: String, completion: String, minimum: String
  ) throws {
    let price = try Price(
      promptPerMillion: amount("10"), cachedPerMillion: amount("1"), completionPerMillion: amount("40"),
      minimum: amount("5"))
    let wanted = try Price(
      promptPerMillion: amount(prompt), cachedPerMillion: amount(cached),
      completionPerMillion: amount(completion),
      minimum: amount(minimum))
    #expect(try price.under(offer: amount(offer)) == wanted)
  }

  @Test func aJobCostsTheExactSumRoundedUp() throws {
    let price = try Price(
      promptPerMillion: amount("0.10"), cachedPerMillion: amount("0.01"),
      completionPerMillion: amount("0.40"),
      minimum: amount("0.000002"))
    // 90 x 0.1 + 10 x 0.01 + 50 x 0.4 = 29.1 micro-units.
    #expect(try price.amount(for: Usage(prompt: 100, cached: 10, completion: 50)).micro == 30)
    #expect(try price.amount(for: Usage(prompt: 1, cached: 0, completion: 0)).micro == 2)
  }

  @Test func absurdPricesAreErrorsNotOtherAmounts() throws {
    #expect(throws: AccountingError.self) {
      try Price(
        promptPerMillion: Amount(micro: -1), cachedPerMillion: .zero, completionPerMillion: .zero,
        minimum: .zero)
    }
    let price = try Price(
      promptPerMillion: .max, cachedPerMillion: .max, completionPerMillion: .max, minimum: .zero)
    #expect(throws: AccountingError.self) {
      try price.amount(for: Usage(prompt: 1_000_001, cached: 0, completion: 0))
    }
  }

  @Test func theFirstRuleThatMatchesHolds() throws {
    func price(_ text: String) throws -> Price {
      try Price(
        promptPerMillion: amount(text), cachedPerMillion: .zero, completionPerMillion: .zero, minimum: .zero)
    }
    let list = PriceList(rules: [
      .init(model: "smol*", client: "friend", hours: nil, price: .free),
      .init(model: nil, client: nil, hours: Hours(from: 22, to: 6), price: try price("1")),
      .init(model: "smol*", client: nil, hours: nil, price: try price("2")),
    ])
    #expect(list.price(model: "smollm2", client: "friend", hour: 12) == .free)
    #expect(list.price(model: "smollm2", client: "x", hour: 23) == (try price("1")))
    #expect(list.price(model: "smollm2", client: "x", hour: 6) == (try price("2")))
    #expect(list.price(model: "other", client: "x", hour: 6) == nil)
  }

  @Test func energyCostsByTheHandComputedTable() throws {
    let tariff = try Tariff(
      perKilowattHour: amount("0.30"),
      periods: [.init(hours: try #require(Hours(from: 22, to: 6)), perKilowattHour: amount("0.20"))])
    #expect(tariff.cost(of: Energy(joules: 3_600_000), hour: 12) == (try amount("0.30")))
    #expect(tariff.cost(of: Energy(joules: 3_600_000), hour: 23) == (try amount("0.20")))
    #expect(tariff.cost(of: Energy(joules: 180_000), hour: 5) == (try amount("0.01")))  // 50 W for an hour
    #expect(tariff.cost(of: Energy(joules: .nan), hour: 5) == .zero)
    #expect(tariff.cost(of: Energy(joules: -1), hour: 5) == .zero)
  }
}

@Suite struct LedgerTests {
  @Test func postingReturnsTheRestOfTheReservation() throws {
    var ledger = Ledger()
    try ledger.reserve(job: 1, client: "aria", amount: amount("2"))
    #expect(ledger.account(of: "aria").reserved == (try amount("2")))
    try ledger.post(job: 1, posting(0, amount: amount("0.5")))
    #expect(ledger.account(of: "aria").reserved == .zero)
    #expect(ledger.account(of: "aria").unsettled == (try amount("0.5")))
    #expect(ledger.violations().isEmpty)
  }

  @Test func voidReturnsTheWholeReservation() throws {
    var ledger = Ledger()
    try ledger.reserve(job: 1, client: "aria", amount: amount("2"))
    try ledger.void(job: 1)
    #expect(ledger.account(of: "aria") == Account())
    #expect(throws: AccountingError.noReservation(1)) { try ledger.void(job: 1) }
  }

  @Test func namesThatHadNothingDoneLeaveNothing() throws {
    var ledger = Ledger()
    for number in 0..<1_000 as Range<UInt64> {
      try ledger.reserve(job: number, client: "unknown-\(number)", amount: Amount(micro: Int64(number % 3)))
      try ledger.void(job: number)
    }
    #expect(ledger.clients.isEmpty && ledger.violations().isEmpty)
    // A job that was done for nothing is a movement.
    try ledger.reserve(job: 1, client: "free", amount: .zero)
    try ledger.post(job: 1, posting(0, client: "free", amount: .zero))
    #expect(ledger.clients == ["free"])
  }

  @Test func refusesWhatBooksNeverHold() throws {
    var ledger = Ledger()
    try ledger.reserve(job: 1, client: "aria", amount: amount("1"))
    #expect(throws: AccountingError.reservedTwice(1)) {
      try ledger.reserve(job: 1, client: "aria", amount: amount("1"))
    }
    #expect(throws: AccountingError.self) {
      try ledger.reserve(job: 2, client: "a", amount: Amount(micro: -1))
    }
    #expect(throws: AccountingError.self) { try ledger.post(job: 1, posting(0, amount: amount("1.01"))) }
    #expect(throws: AccountingError.noReservation(9)) { try ledger.post(job: 9, posting(0, amount: .zero)) }
    try ledger.post(job: 1, posting(5, amount: amount("1")))
    #expect(throws: AccountingError.receiptTwice(5)) { try ledger.apply(.posted(posting(5, amount: .zero))) }
    #expect(throws: AccountingError.self) {
      try ledger.apply(.settled(client: "aria", amount: amount("1.5"), reference: "r", day: 1))
    }
    try ledger.apply(.settled(client: "aria", amount: amount("0.5"), reference: "r", day: 1))
    #expect(throws: AccountingError.settledTwice("r")) {
      try ledger.apply(.settled(client: "aria", amount: amount("0.1"), reference: "r", day: 2))
    }
    #expect(throws: AccountingError.self) {
      try ledger.apply(.settled(client: "aria", amount: .zero, reference: "s", day: 2))
    }
    #expect(throws: AccountingError.self) {
      try ledger.apply(.corrected(client: "aria", amount: amount("-0.6"), reason: "x", day: 2))
    }
    #expect(ledger.violations().isEmpty)
  }

  @Test func whatWasPaidAheadPaysForWhatIsOwedLater() throws {
    var ledger = Ledger()
    try ledger.apply(.deposited(client: "aria", amount: amount("5"), reference: "wire", day: 1))
    #expect(ledger.account(of: "aria").unsettled == (try amount("-5")))
    #expect(throws: AccountingError.settledTwice("wire")) {
      try ledger.apply(.deposited(client: "aria", amount: amount("5"), reference: "wire", day: 2))
    }
    #expect(throws: AccountingError.self) {
      try ledger.apply(.deposited(client: "aria", amount: .zero, reference: "none", day: 2))
    }
    try ledger.apply(.posted(posting(0, amount: amount("3"))))
    #expect(ledger.account(of: "aria").unsettled == (try amount("-2")))
    // Nothing is owed, so nothing can be settled; a credit is no matter of what was paid ahead.
    #expect(throws: AccountingError.self) {
      try ledger.apply(.settled(client: "aria", amount: amount("1"), reference: "r", day: 2))
    }
    try ledger.apply(.corrected(client: "aria", amount: amount("-3"), reason: "goodwill", day: 2))
    #expect(throws: AccountingError.self) {
      try ledger.apply(.corrected(client: "aria", amount: amount("-0.1"), reason: "goodwill", day: 2))
    }
    try ledger.apply(.posted(posting(1, amount: amount("6"))))
    try ledger.apply(.settled(client: "aria", amount: amount("1"), reference: "r", day: 2))
    #expect(ledger.account(of: "aria").unsettled == .zero && ledger.violations().isEmpty)
    let statement = Statement(ledger: ledger, client: "aria", days: 1...2, node: "N", currency: "EUR")
    #expect(statement.text.contains("\tdeposited\twire\t0\t0\t0\t0\t-5.00\n"))
  }

  @Test func overflowLeavesTheBooksAsTheyWere() throws {
    var ledger = Ledger()
    try ledger.apply(.posted(posting(0, amount: .max)))
    #expect(throws: AccountingError.self) { try ledger.apply(.posted(posting(1, amount: Amount(micro: 1)))) }
    #expect(ledger.total.jobs == 1)
    #expect(ledger.violations().isEmpty)
  }

  @Test func verifiedIsWhatStandsUnderASignatureLessFailedAudits() throws {
    var ledger = Ledger()
    for receipt in 0..<4 { try ledger.apply(.posted(posting(UInt64(receipt), amount: amount("1")))) }
    #expect(ledger.verified == .zero)
    ledger.markFailed(ReceiptIndex(3), amount: try amount("1"))
    ledger.markSigned(below: 2)
    #expect(ledger.verified == (try amount("2")))
    ledger.markFailed(ReceiptIndex(0), amount: try amount("1"))
    ledger.markSigned(below: 4)
    #expect(ledger.verified == (try amount("2")))
  }

  @Test func anyHistoryAddsUpEveryWayAndIsRebuiltIdentically() throws {
    let histories = isHeavy ? 10_000 : 500
    for seed in 0..<UInt64(histories) {
      var generator = SeededGenerator(seed: seed)
      var ledger = Ledger()
      var journal: [Transfer] = []
      var nextReceipt: UInt64 = 0
      var open: [(job: UInt64, client: String, amount: Int64)] = []
      for step in 0..<60 {
        let client = "client-\(Int.random(in: 0..<4, using: &generator))"
        switch Int.random(in: 0..<10, using: &generator) {
        case 0..<4:
          let amount = Int64.random(in: 0..<1_000_000, using: &generator)
          try ledger.reserve(job: UInt64(step), client: client, amount: Amount(micro: amount))
          open.append((UInt64(step), client, amount))
        case 4..<8:
          guard let entry = open.popLast() else { continue }
          if Bool.random(using: &generator) {
            let posting = posting(
              nextReceipt, client: entry.client, model: "m\(Int.random(in: 0..<3, using: &generator))",
              day: 20_000 + Day.random(in: -2..<3, using: &generator),
              amount: Amount(micro: Int64.random(in: 0...entry.amount, using: &generator)))
            try ledger.post(job: entry.job, posting)
            journal.append(.posted(posting))
            nextReceipt += UInt64.random(in: 1..<3, using: &generator)
          } else {
            try ledger.void(job: entry.job)
          }
        case 8:
          let owed = ledger.account(of: client).unsettled
          guard owed > .zero else { continue }
          let transfer = Transfer.settled(
            client: client, amount: Amount(micro: Int64.random(in: 1...owed.micro, using: &generator)),
            reference: "ref-\(step)", day: 20_001)
          try ledger.apply(transfer)
          journal.append(transfer)
        case 9:
          let transfer = Transfer.deposited(
            client: client, amount: Amount(micro: Int64.random(in: 1...5_000, using: &generator)),
            reference: "ahead-\(step)", day: 20_001)
          try ledger.apply(transfer)
          journal.append(transfer)
        default:
          let transfer = Transfer.corrected(
            client: client, amount: Amount(micro: Int64.random(in: -1000..<1000, using: &generator)),
            reason: "test", day: 20_002)
          if (try? ledger.apply(transfer)) != nil { journal.append(transfer) }
        }
        #expect(ledger.violations().isEmpty, "seed \(seed), step \(step)")
      }
      let all = ledger.total
      func sum(_ queries: [LedgerQuery]) -> Int64 { queries.reduce(0) { $0 + ledger.total($1).amount.micro } }
      #expect(sum((19_990..<20_010).map { LedgerQuery(days: $0...$0) }) == all.amount.micro, "seed \(seed)")
      #expect(sum(ledger.clients.map { LedgerQuery(client: $0) }) == all.amount.micro, "seed \(seed)")
      #expect(sum((0..<3).map { LedgerQuery(model: "m\($0)") }) == all.amount.micro, "seed \(seed)")
      let receipts = journal.reduce(Int64(0)) {
        if case .posted(let posting) = $1 { $0 + posting.amount.micro } else { $0 }
      }
      #expect(receipts == all.amount.micro, "seed \(seed)")

      for entry in open { try ledger.void(job: entry.job) }
      var rebuilt = Ledger()
      for transfer in journal { try rebuilt.apply(transfer) }
      #expect(rebuilt.cells() == ledger.cells(), "seed \(seed)")
      for client in ledger.clients {
        #expect(rebuilt.account(of: client) == ledger.account(of: client), "seed \(seed)")
      }
    }
  }

  @Test func aBudgetStopsExactlyAtItsLimitAndReservationsReturn() throws {
    var ledger = Ledger()
    var limits = ClientLimits()
    limits.budget = try amount("1")
    let worst = try amount("0.0625")
    func refusal() -> ClientLimits.Refusal? {
      limits.refusal(
        model: "m", tokens: 10, price: worst,
        standing: .init(account: ledger.account(of: "aria"), jobsNow: 0, tokensToday: 0))
    }
    for job in 0..<16 {
      #expect(refusal() == nil)
      try ledger.reserve(job: UInt64(job), client: "aria", amount: worst)
    }
    #expect(refusal() == .budget(left: .zero, wanted: worst))
    try ledger.void(job: 3)
    #expect(refusal() == nil)
    try ledger.reserve(job: 99, client: "aria", amount: worst)
    try ledger.post(job: 99, posting(0, amount: amount("0.02")))
    #expect(refusal() == .budget(left: try amount("0.0425"), wanted: worst))
  }
}

@Suite struct VoucherTests {
  let voucher = Voucher(
    node: "SHA256:abc", client: "aria", amount: Amount(micro: 12_500_000), currency: "EUR",
    time: 1_764_000_000_000_000)

  @Test func theTextInItsDocumentationParses() throws {
    let text = "hotpot voucher v1\nnode SHA256:abc\nclient aria\nowes 12.50 EUR\ntime 1764000000000000\n"
    #expect(voucher.text == text)
    #expect(try Voucher(parsing: text) == voucher)
  }

  @Test(arguments: [
    "", "hotpot voucher v1\n", "hotpot voucher v2\nnode a\nclient b\nowes 1.00 EUR\ntime 1\n",
    "hotpot voucher v1\nnode a\nclient b\nowes 1.000 EUR\ntime 1\n",
    "hotpot voucher v1\nnode a\nclient b\nowes 1.00\ntime 1\n",
    "hotpot voucher v1\nnode a\nclient b\nowes 1.00 EUR\ntime +1\n",
    "hotpot voucher v1\nclient b\nnode a\nowes 1.00 EUR\ntime 1\n",
    "hotpot voucher v1\nnode a\nclient b\nowes 1.00 EUR\ntime 1\nmore\n",
  ]) func refusesOtherTexts(text: String) {
    #expect(throws: AccountingError.self) { try Voucher(parsing: text) }
  }

  @Test func vouchersOnlyGrowAndOnlyForThisNode() throws {
    var book = VoucherBook()
    func accept(
      _ amount: Int64, node: String = "SHA256:abc", client: String = "aria", currency: String = "EUR",
      time: Int64 = 5
    ) throws {
      try book.accept(
        Voucher(node: node, client: client, amount: Amount(micro: amount), currency: currency, time: time),
        node: "SHA256:abc", client: "aria", currency: "EUR")
    }
    try accept(10)
    #expect(throws: AccountingError.self) { try accept(10) }
    #expect(throws: AccountingError.self) { try accept(9) }
    #expect(throws: AccountingError.self) { try accept(20, node: "SHA256:other") }
    #expect(throws: AccountingError.self) { try accept(20, client: "bob") }
    #expect(throws: AccountingError.self) { try accept(20, currency: "USD") }
    #expect(throws: AccountingError.self) { try accept(20, time: 4) }
    #expect(throws: AccountingError.self) { try accept(-20) }
    try accept(20)
    #expect(book.voucher(of: "aria")?.amount.micro == 20)
    #expect(book.covers(Amount(micro: 20), account: Account(), client: "aria"))
    #expect(!book.covers(Amount(micro: 21), account: Account(), client: "aria"))
    #expect(!book.covers(.max, account: Account(), client: "aria"))
  }
}

@Suite struct StatementTests {
  @Test func listsWhatWasPostedAndPaid() throws {
    var ledger = Ledger()
    try ledger.apply(.posted(posting(0, day: 20_780, amount: amount("1.5"))))
    try ledger.apply(.posted(posting(1, client: "other", day: 20_780, amount: amount("9"))))
    try ledger.apply(.settled(client: "aria", amount: amount("1"), reference: "=cmd", day: 20_781))
    let statement = Statement(
      ledger: ledger, client: "aria", days: 20_780...20_790, node: "SHA256:abc", currency: "EUR")
    #expect(
      statement.text == """
        hotpot statement v1
        node SHA256:abc
        client aria
        currency EUR
        from 2026-11-23
        to 2026-12-03

        2026-11-23\tposted\tm\t1\t10\t2\t5\t1.50
        2026-11-24\tsettled\t=cmd\t0\t0\t0\t0\t-1.00

        unsettled 0.50 EUR

        """)
    #expect(statement.csv.contains("2026-11-24,settled,\"'=cmd\",0,0,0,0,-1.00,EUR\r\n"))
  }

  @Test func datesAreThoseOfTheCalendar() {
    #expect(Statement.date(0) == "1970-01-01")
    #expect(Statement.date(-1) == "1969-12-31")
    #expect(Statement.date(11_016) == "2000-02-29")
    #expect(Statement.date(20_780) == "2026-11-23")
  }
}
