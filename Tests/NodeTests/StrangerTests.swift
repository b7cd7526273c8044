// StrangerTests.swift: clients without a token of this node: what they may have waiting and ask for, and what an offer
// of a price comes to.

import Accounting
import Node
import Scheduling
import Testing

@Suite struct StrangerTests {
  private func offer(
    _ node: ScriptedNode, _ number: UInt64, client: String = "x", known: Bool = false, _ price: String?
  ) throws -> String {
    node.firstWord(
      try node.request(number, client: client, known: known, prompt: 100, limit: 50, price: price))
  }

  @Test func manyStrangersLeaveKnownClientsAndTheOperatorTheirPlaces() throws {
    let node = try ScriptedNode("{ queue: { jobs: 24 } }")
    for number in 1...500 {
      _ = node.submit(UInt64(number), client: "\(number)", known: false)
    }
    #expect(node.snapshot().node.waitingApproval == 64)
    #expect(node.answers[JobID(500)] == ["refused 429 queue_full"])
    #expect(node.firstWord(try node.request(1_000)) == "admitted")
    #expect(node.answers[node.submit(1_001, client: "operator", origin: .chat)]?.first == "admitted")
  }

  @Test func anOfferIsWhatIsChargedOnceItIsApproved() throws {
    let node = try ScriptedNode(
      "{ prices: [{ prompt: '10', cached: '1', completion: '40', minimum: '0.01' }] }")
    node.length = 10
    #expect(try offer(node, 1, "12.5") == "pending")
    #expect(try offer(node, 2, client: "y", "1.00") == "pending")
    #expect(try offer(node, 3, client: "z", "99") == "pending")
    #expect(try offer(node, 4, client: "w", nil) == "pending")
    let rows = node.snapshot().approvals
    #expect(rows.map(\.asked) == [40_000_000, 40_000_000, 40_000_000, 40_000_000])
    #expect(rows.map(\.charged) == [12_500_000, 1_000_000, 40_000_000, 40_000_000])
    // 100 prompt and at most 50 completion tokens: no token dearer than the offer, and no minimum under it.
    #expect(rows.map(\.wouldEarn) == [.value(1_625), .value(150), .value(10_000), .value(10_000)])
    #expect(node.act(.approve(jobs: (1...4).map { JobID($0).hex })) == .done("approved 4 jobs"))
    while node.step() {}
    let seals = node.seals.sorted { $0.job < $1.job }
    #expect(seals.map(\.price.completion.micro) == [12_500_000, 1_000_000, 40_000_000, 40_000_000])
    #expect(seals.map(\.amount.micro) == [1_125, 110, 10_000, 10_000])
  }

  @Test func anOfferUnderThePriceIsAdmittedUnseenOnlyByARuleAboutOffers() throws {
    let prices = "prices: [{ prompt: '10', completion: '40' }]"
    let plain = try ScriptedNode("{ \(prices) }")
    #expect(try offer(plain, 1, client: "aria", known: true, "0") == "pending")
    #expect(plain.snapshot().approvals.first?.policy.contains("no rule is about offers") == true)
    #expect(try offer(plain, 2, client: "aria", known: true, "40") == "admitted")
    #expect(try offer(plain, 3, client: "aria", known: true, nil) == "admitted")
    let ruled = try ScriptedNode(
      "{ \(prices), policy: [{ price_below: '20', action: 'reject', reason: 'too little' }, { action: 'admit' }] }"
    )
    #expect(try offer(ruled, 1, client: "aria", known: true, "19.99") == "refused 403 rejected")
    #expect(try offer(ruled, 2, client: "aria", known: true, "20") == "admitted")
    while ruled.step() {}
    #expect(ruled.seals.map(\.price.completion.micro) == [20_000_000])
    // A rule that was not reached looked at nothing.
    let late = try ScriptedNode(
      "{ \(prices), policy: [{ client: 'known', action: 'admit' }, { price_below: '20', action: 'ask' }] }")
    #expect(try offer(late, 1, client: "aria", known: true, "20") == "pending")
  }

  @Test func nobodyTakesAPriorityThatIsNotForThem() throws {
    let node = try ScriptedNode(
      "{ queue: { priority: 6 }, strangers: { priority: 3 }, policy: [{ action: 'admit' }] }")
    func ask(_ number: UInt64, _ identity: Identity, _ priority: Int, asks: Bool = true) -> String {
      node.firstWord(
        JobRequest(
          id: JobID(number), identity: identity, origin: .client, model: "m", promptTokens: 20,
          outputLimit: 8,
          priority: priority, asksPriority: asks))
    }
    #expect(ask(1, .known("aria"), 9) == "refused 403 priority_forbidden")
    #expect(ask(2, .known("aria"), 6) == "admitted")
    #expect(ask(3, .unknown("x"), 4) == "refused 403 priority_forbidden")
    #expect(ask(4, .unknown("x"), 3) == "admitted")
    // Who asks for none gets the usual one, or the highest that is for him.
    #expect(ask(5, .unknown("x"), 5, asks: false) == "admitted")
    #expect(node.row(JobID(5))?.priority == 3 && node.row(JobID(2))?.priority == 6)
    let plain = try ScriptedNode()
    #expect(
      plain.firstWord(
        JobRequest(
          id: JobID(1), identity: .known("aria"), origin: .client, model: "m", promptTokens: 20,
          outputLimit: 8,
          priority: 9, asksPriority: true)) == "refused 403 priority_forbidden")
  }

  @Test func theTimeToTheFirstTokenBeginsWithTheAdmission() throws {
    let node = try ScriptedNode()
    let id = node.submit(1, client: "x", known: false)
    node.pass(seconds: 43)
    #expect(node.act(.approve(jobs: [id.hex])) == .done("approved 1 job"))
    while node.step() {}
    guard case .value(let first) = node.snapshot().throughput.firstTokenP50 else {
      Issue.record("there is no time to the first token")
      return
    }
    #expect(first < 1_000)
    let row = try #require(node.row(id))
    let admitted = try #require(row.admitted)
    #expect(admitted - row.submitted == 43_000_000)
    #expect((row.firstToken ?? 0) - admitted < 1_000_000)
  }

  @Test func rulesAboutTheQueueCountStrangersThatWait() throws {
    let node = try ScriptedNode(
      """
      { policy: [{ client: 'unknown', queue_above: 3, action: 'reject', reason: 'busy' },
                 { queue_above: 3, action: 'reject', reason: 'busy' }, { client: 'known', action: 'admit' }] }
      """)
    let words = try (1...6).map { try offer(node, UInt64($0), client: "\($0)", nil) }
    #expect(
      words == ["pending", "pending", "pending", "pending", "refused 403 rejected", "refused 403 rejected"])
    // They do not stand before a known client.
    #expect(node.firstWord(try node.request(10)) == "admitted")
  }
}
