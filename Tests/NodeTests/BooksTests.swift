import Accounting
import Control
import Foundation
import Node
import Receipts
import Scheduling
// BooksTests.swift: earnings, electricity and what is left, against tables computed by hand; and any history, rebuilt
// from its journal. Leaves out signatures (AccountsTests.swift). Start at net.
import SimulatedFileSystem
import TestSettings
import Testing

extension ScriptedNode {
  /// Power over some time, in the samples of ten seconds that telemetry gives.
  func use(watts: Double, seconds: Int64) {
    for _ in 0..<seconds / 10 {
      send(.telemetry(sample, joules: watts * 10))
      time += 10_000_000
      monotonic += 10_000_000
    }
  }

  private var sample: ComputeSnapshot {
    func none<Value>() -> Control.Reading<Value> { .warmingUp }
    return ComputeSnapshot(
      cpu: none(), cores: none(), cpuTemperature: none(), cpuPower: .value(36), load: none(),
      memoryUsed: none(), memoryTotal: none(), swapUsed: none(), residentMemory: none(), cpuPressure: none(),
      memoryPressure: none(), ioPressure: none(), diskFree: none(), networkIn: none(), networkOut: none(),
      gpus: none(), container: nil)
  }

  /// Runs jobs to their ends.
  func finish() { while step() {} }

  /// Moves both clocks to a time of day, UTC, of the day that many days on.
  func go(days: Int64 = 0, hour: Int64, minute: Int64 = 0) {
    let target = (time / 86_400_000_000 + days) * 86_400_000_000 + hour * 3_600_000_000 + minute * 60_000_000
    monotonic += max(0, target - time)
    time = target
    send(.tick)
  }

  /// What this node wrote, as a journal in memory; its receipts say what its seals say.
  func journal() throws -> Journal {
    var options = JournalOptions()
    options.ballastBytes = 0
    options.segmentBytes = 20_000
    let files = SimulatedFileSystem()
    let journal = try Journal.open(state: "s", files: files, options: options, time: 0).journal
    for record in written { try journal.append([record], at: max(0, time)) }
    journal.close()
    // As a node finds it: sealed segments by their rollups, the last one by its lines.
    return try Journal.open(state: "s", files: files, options: options, time: 0).journal
  }

  /// A node that starts on that journal.
  func rebuilt(_ text: String) throws -> ScriptedNode {
    let node = try ScriptedNode(text, clients: [])
    node.time = time
    let journal = try journal()
    #expect(node.state.restore(from: journal.catalog(), recent: [], at: now).isEmpty)
    return node
  }
}

/// The receipt that says what a seal says, without content.
func receipt(_ seal: Seal) -> Receipts.Receipt {
  var receipt = Receipts.Receipt()
  receipt.node = "SHA256:test"
  receipt.job = seal.job.rawValue
  receipt.client = seal.client
  receipt.model = "m"
  receipt.promptTokens = seal.promptTokens
  receipt.cachedTokens = seal.cachedTokens
  receipt.completionTokens = seal.completionTokens
  receipt.maxTokens = seal.outputLimit
  receipt.finish = seal.finish
  receipt.currency = "EUR"
  receipt.price = Receipts.Receipt.Price(
    prompt: seal.price.prompt.micro, cached: seal.price.cached.micro,
    completion: seal.price.completion.micro, minimum: seal.price.minimum.micro)
  receipt.amount = seal.amount.micro
  receipt.day = seal.day
  return receipt
}

@Suite struct BooksTests {
  /// 20 prompt tokens at 1,000 a million and 4 answer tokens at 10,000: a job earns 0.06.
  static let prices = "prices: [{ prompt: '1000', completion: '10000' }]"
  static let tariff = "energy: { per_kwh: '0.30', periods: [{ hours: '22-6', per_kwh: '0.20' }] }"

  /// By hand, in micro-units:
  ///
  /// | day | hours | power | energy | price | cost | jobs | earned | net |
  /// | --- | --- | --- | --- | --- | --- | --- | --- | --- |
  /// | 24th | 16:00-17:00 | 50 W | 0.05 kWh | 0.30 | 15,000 | 2 | 120,000 | |
  /// | 24th | 22:00-23:00 | 100 W | 0.1 kWh | 0.20 | 20,000 | | | |
  /// | 24th | 23:30-24:00 | 100 W | 0.05 kWh | 0.20 | 10,000 | | | 75,000 |
  /// | 25th | 00:00-00:30 | 100 W | 0.05 kWh | 0.20 | 10,000 | | | |
  /// | 25th | 12:00-13:00 | 36 W | 0.036 kWh | 0.30 | 10,800 | 1 | 60,000 | 39,200 |
  @Test func netEarningsEqualTheHandComputedTable() throws {
    let text = "{ \(Self.prices), \(Self.tariff) }"
    let node = try ScriptedNode(text)
    node.go(hour: 16)
    _ = node.submit(1)
    _ = node.submit(2, client: "bob")
    // The operator's own job earns nothing.
    _ = node.submit(3, client: "operator", origin: .chat)
    node.finish()
    node.use(watts: 50, seconds: 3_600)
    node.go(hour: 22)
    node.use(watts: 100, seconds: 3_600)
    node.go(hour: 23, minute: 30)
    node.use(watts: 100, seconds: 3_600)
    node.go(hour: 12)
    _ = node.submit(4)
    node.finish()
    node.use(watts: 36, seconds: 3_600)

    func check(_ node: ScriptedNode, _ what: Comment) {
      let days = node.state.earningsTable(since: nil).days
      #expect(days.map(\.date) == ["2025-11-24", "2025-11-25"], what)
      #expect(days.map(\.amount) == [120_000, 60_000], what)
      #expect(days.map(\.cost) == [45_000, 20_800], what)
      #expect(days.map(\.net) == [75_000, 39_200], what)
      #expect(days.map(\.joules) == [720_000, 309_600], what)
      let earnings = node.snapshot().earnings
      #expect(earnings.today == .value(60_000), what)
      #expect(earnings.costToday == .value(20_800), what)
      #expect(earnings.todayNet == .value(39_200), what)
      #expect(earnings.energyToday == .value(309_600), what)
      #expect(earnings.costs.suffix(3) == [nil, 45_000, 20_800], what)
      #expect(earnings.days.suffix(3) == [0, 120_000, 60_000], what)
      // 39,200 for 24 tokens.
      #expect(earnings.netPerMillion == .value(1_633_333_333), what)
    }
    check(node, "as it went")
    // An hour at 36 W costs 10,800 by day; one job in this hour earned 60,000, and the hour is not over.
    let perHour = try #require(node.snapshot().earnings.perHour.current)
    #expect(node.snapshot().earnings.netPerHour == .value(perHour - 10_800))

    // Past days are known after a restart; the hour under way is written when the node stops.
    _ = node.act(.shutdown(drain: true))
    node.pass(seconds: 0)
    #expect(node.hasStopped)
    check(try node.rebuilt(text), "after a restart")
  }

  @Test func withoutPowerOrPriceThereIsNoNetInsteadOfAWrongOne() throws {
    let node = try ScriptedNode("{ \(Self.prices) }")
    #expect(node.snapshot().earnings.todayNet == .unavailable("no price of electricity in the config"))
    node.use(watts: 50, seconds: 60)
    #expect(node.state.earningsTable(since: nil).days.map(\.net) == [nil])
    #expect(node.snapshot().earnings.energyToday == .value(3_000))
    let other = try ScriptedNode("{ \(Self.prices), \(Self.tariff) }")
    #expect(other.snapshot().earnings.todayNet == .unavailable("no power reading"))
    // A price that was set later says nothing of the energy before.
    let text = "{ \(Self.prices), \(Self.tariff) }"
    _ = node.act(.shutdown(drain: true))
    node.pass(seconds: 0)
    let again = try node.rebuilt(text)
    again.use(watts: 50, seconds: 60)
    #expect(
      again.snapshot().earnings.todayNet
        == .unavailable("a part of the day had no price of electricity"))
  }

  @Test func pricesDependOnClientAndHourAndAreFixedAtAdmission() throws {
    let node = try ScriptedNode(
      """
      { prices: [{ client: 'bob', completion: '1' }, { hours: '22-6', completion: '2' }, { completion: '5' }] }
      """)
    node.go(hour: 21, minute: 59)
    _ = node.submit(1)
    _ = node.submit(2, client: "bob")
    node.go(hour: 22)
    _ = node.submit(3)
    node.finish()
    // Four tokens each; the first two were quoted before ten.
    #expect(node.seals.sorted { $0.job.rawValue < $1.job.rawValue }.map(\.amount.micro) == [20, 4, 8])
  }

  /// Random clients, days, ends, payments and corrections; then a node that starts on what was written.
  @Test func anyHistoryAddsUpAndIsRebuiltFromItsJournal() throws {
    let text = "{ \(Self.prices), \(Self.tariff), queue: { running: 8, jobs: 64 } }"
    for seed in 0..<UInt64(isHeavy ? 2_000 : 60) {
      var dice = Dice(state: seed)
      let node = try ScriptedNode(text, clients: [])
      for name in ["aria", "bob", "cleo"] { node.add(client: name) }
      for number in 1...30 {
        let client = ["aria", "bob", "cleo"].randomElement(using: &dice) ?? "aria"
        switch Int.random(in: 0..<12, using: &dice) {
        case 0..<5:
          node.length = Int.random(in: 1...9, using: &dice)
          let isOwn = Int.random(in: 0..<10, using: &dice) == 0
          _ = node.submit(
            UInt64(number), client: isOwn ? "operator" : client,
            known: isOwn || Int.random(in: 0..<8, using: &dice) > 0,
            prompt: Int.random(in: 1...60, using: &dice), limit: Int.random(in: 1...9, using: &dice),
            origin: isOwn ? .chat : .client)
        case 5: node.finish()
        case 6: _ = node.step()
        case 7: node.send(.clientGone(JobID(UInt64(Int.random(in: 1...number, using: &dice)))))
        case 8:
          // Also back over midnight.
          node.time += Int64.random(in: -30...60, using: &dice) * 3_600_000_000
          node.pass(seconds: 1)
        case 9:
          let owed = node.state.ledger.account(of: client).unsettled.micro
          if owed > 0 {
            node.send(
              .settled(
                client: client, amount: Amount(micro: Int64.random(in: 1...owed, using: &dice)),
                reference: "payment \(number)", by: Operator("olga")))
          }
        case 10:
          var effects: [NodeEffect] = []
          _ = node.state.correct(
            client, Amount(micro: Int64.random(in: -50_000...50_000, using: &dice)), "goodwill",
            by: Operator("olga"), at: node.now, &effects)
          node.perform(effects)
        default: node.use(watts: Double.random(in: 0...300, using: &dice), seconds: 60)
        }
        #expect(node.state.ledger.violations().isEmpty, "seed \(seed), step \(number)")
      }
      node.finish()
      _ = node.act(.shutdown(drain: true))
      node.pass(seconds: 0)

      // By day = by client = by model = over receipts.
      let ledger = node.state.ledger
      let all = ledger.total.amount.micro
      let receipts = node.written.compactMap { record -> Receipts.Receipt? in
        guard case .receipt(let receipt) = record, receipt.client != "operator" else { return nil }
        return receipt
      }
      #expect(receipts.reduce(0) { $0 + $1.amount } == all, "seed \(seed)")
      #expect(receipts.count == ledger.total.jobs, "seed \(seed)")
      func sum(_ queries: [LedgerQuery]) -> Int64 { queries.reduce(0) { $0 + ledger.total($1).amount.micro } }
      #expect(sum(Set(receipts.map(\.day)).map { LedgerQuery(days: $0...$0) }) == all, "seed \(seed)")
      #expect(sum(ledger.clients.map { LedgerQuery(client: $0) }) == all, "seed \(seed)")
      #expect(sum([LedgerQuery(model: "m")]) == all, "seed \(seed)")
      // Each receipt's amount follows from what it says.
      for receipt in receipts {
        #expect(
          receipt.price.amount(
            promptTokens: receipt.promptTokens, cachedTokens: receipt.cachedTokens,
            completionTokens: receipt.completionTokens) == receipt.amount, "seed \(seed)")
      }

      let again = try node.rebuilt(text)
      #expect(again.state.earningsTable(since: nil) == node.state.earningsTable(since: nil), "seed \(seed)")
      for client in ledger.clients {
        let (old, new) = (ledger.account(of: client), again.state.ledger.account(of: client))
        #expect(old == new, "seed \(seed), \(client)")
        #expect(
          node.state.ledger.payments(of: client) == again.state.ledger.payments(of: client), "seed \(seed)")
      }
    }
  }

  @Test func aJobThatEndsAtMidnightCountsForOneDayInReceiptAndBooks() throws {
    let node = try ScriptedNode("{ \(Self.prices) }")
    node.go(hour: 23, minute: 59)
    node.journalWorks = false
    _ = node.submit(1)
    node.finish()
    let seal = try #require(node.seals.first)
    // Its receipt reaches the disk after midnight.
    node.go(days: 1, hour: 0)
    node.log(seal)
    #expect(node.state.earningsTable(since: nil).rows.map(\.date) == [Statement.date(seal.day)])
    #expect(node.now.day == seal.day + 1)
  }

  @Test func aClockThatJumpsOverMidnightGivesNoSecondDailyLimit() throws {
    let node = try ScriptedNode()
    node.send(.limitsSet(client: "aria", try LimitChanges(tokensPerDay: "30").applied(to: ClientLimits())))
    node.go(hour: 23, minute: 50)
    #expect(node.answers[node.submit(1)]?.first == "admitted")
    node.finish()
    #expect(node.answers[node.submit(2)] == ["refused 429 client_limit"])
    // A new day is a new limit.
    node.go(days: 1, hour: 0, minute: 10)
    #expect(node.answers[node.submit(3)]?.first == "admitted")
    node.finish()
    #expect(node.answers[node.submit(4)] == ["refused 429 client_limit"])
    // The clock is set back by half an hour, and then forward again: both days are used up.
    node.go(days: -1, hour: 23, minute: 40)
    #expect(node.answers[node.submit(5)] == ["refused 429 client_limit"])
    node.go(days: 1, hour: 0, minute: 20)
    #expect(node.answers[node.submit(6)] == ["refused 429 client_limit"])
    #expect(node.state.ledger.violations().isEmpty)
  }

  @Test func revokingAClientEndsItsJobsAtOnceAndChargesTheWorkDone() throws {
    let node = try ScriptedNode("{ \(Self.prices), queue: { running: 1 } }")
    let running = node.submit(1)
    let queued = node.submit(2)
    let others = node.submit(3, client: "bob")
    _ = node.step()
    _ = node.step()
    node.send(.clientRevoked(name: "aria"))
    node.finish()
    #expect(node.answers[running]?.last == "cut 403 cancelled r0")
    #expect(node.answers[queued]?.last == "refused 403 cancelled")
    #expect(node.answers[others]?.last?.hasPrefix("finished stop") == true)
    #expect(node.state.ledger.account(of: "aria").reserved == .zero)
    let owed = node.seals.filter { $0.client == "aria" }.reduce(0) { $0 + $1.amount.micro }
    #expect(owed > 0 && node.state.ledger.account(of: "aria").posted.micro == owed)
    #expect(!node.state.clients.isActive("aria"))
  }

  @Test func aJobCancelledWhileItsPromptIsReadOwesWhatWasReadAndItsReceiptSaysSo() throws {
    let node = try ScriptedNode("{ \(Self.prices), queue: { running: 1 } }")
    let id = node.submit(1, prompt: 900)
    _ = node.step()
    node.send(.clientGone(id))
    node.finish()
    let seal = try #require(node.seals.first)
    #expect(seal.completionTokens == 0 || seal.promptTokens == 900)
    let receipt = receipt(seal)
    #expect(
      receipt.price.amount(
        promptTokens: receipt.promptTokens, cachedTokens: receipt.cachedTokens,
        completionTokens: receipt.completionTokens) == receipt.amount)
    #expect(node.state.earningsTable(since: nil).rows.map(\.promptTokens) == [seal.promptTokens])
  }

  @Test func correctionsAreTransfersAndNeverLeaveADebtBelowWhatWasPaid() throws {
    let node = try ScriptedNode("{ \(Self.prices) }")
    _ = node.submit(1)
    node.finish()
    var effects: [NodeEffect] = []
    func correct(_ client: String, _ micro: Int64) -> CommandReply {
      let reply = node.state.correct(
        client, Amount(micro: micro), "why", by: Operator("olga"), at: node.now, &effects)
      return reply
    }
    #expect(correct("aria", -10_000) == .done("aria owes 0.05 EUR now"))
    #expect(correct("nobody", 1) == .refused("there is no client 'nobody'"))
    for micro in [0, -50_001, Int64.max, Int64.min] {
      guard case .refused = correct("aria", micro) else {
        Issue.record("\(micro) was taken")
        continue
      }
    }
    let statement = try #require(node.state.statement(of: "aria", since: nil, node: "N", at: node.now))
    #expect(statement.rows.map(\.kind) == ["posted", "corrected"])
    #expect(statement.rows.map(\.amount.micro) == [60_000, -10_000])
    #expect(statement.unsettled.micro == 50_000)
    // What was posted is what it was.
    #expect(node.state.ledger.total.amount.micro == 60_000)
  }

  @Test func aStatementOfAPastPeriodEndsWithWhatWasOwedThen() throws {
    let node = try ScriptedNode("{ \(Self.prices) }")
    _ = node.submit(1)
    node.finish()
    let first = node.now.day
    node.pass(seconds: 86_400)
    node.send(.settled(client: "aria", amount: Amount(micro: 60_000), reference: "r", by: Operator("olga")))
    _ = node.submit(2)
    node.finish()
    func owed(until: Day?) -> Int64? {
      node.state.statement(of: "aria", since: nil, until: until, node: "N", at: node.now)?.unsettled.micro
    }
    #expect(owed(until: first) == 60_000)
    #expect(owed(until: nil) == 60_000)
    #expect(
      node.state.statement(of: "aria", since: nil, until: first, node: "N", at: node.now)?.rows.count == 1)
  }

  /// What restarts count as verified: under a signed checkpoint, and not found wrong.
  @Test func verifiedIsTheSameAfterARestart() throws {
    let node = try ScriptedNode("{ \(Self.prices) }")
    for number in 1...4 { _ = node.submit(UInt64(number)) }
    node.finish()
    node.written.append(.checkpointSigned(CheckpointSigned(size: 3, root: .zero, sha256: .zero)))
    node.written.append(.audit(Audit(receipt: 1, outcome: .token, position: 2)))
    node.send(.checkpointSigned(size: 3, time: 1))
    node.send(.audited(receipt: "r1", .failed("token 2")))
    #expect(node.state.ledger.verified.micro == 120_000)
    let journal = try node.journal()
    let catalog = journal.catalog()
    #expect(catalog.failedReceipts == [1])
    let again = try ScriptedNode("{ \(Self.prices) }", clients: [])
    let receipts = try (0..<4).map { try journal.receipt(at: $0).receipt }
    _ = again.state.restore(
      from: catalog, recent: [], unsigned: [.init(receipt: receipts[3], counts: true)], failed: [receipts[1]],
      at: node.now)
    #expect(again.state.ledger.verified.micro == 120_000)
    again.send(.checkpointSigned(size: 4, time: 2))
    #expect(again.state.ledger.verified.micro == 180_000)
  }
}
