// AsynchronousJobTests.swift: the life of jobs whose clients come back later, over stops of the
// node, as the state machine decides it; and the times of day of any job.
import Accounting
import Node
import Receipts
import Scheduling
import Testing

@Suite struct AsynchronousJobTests {
  static let prices = "prices: [{ prompt: '1000', completion: '2000' }]"

  @Test func theAnswerIsPreparedBeforeTheReceiptAndAnsweredByIt() throws {
    let node = try ScriptedNode("{ \(Self.prices) }")
    node.journalWorks = false
    let id = node.submit(1, isAsynchronous: true)
    while node.step() {}
    #expect(node.prepared[id] == ["finished stop receipt="])
    #expect(node.seals.count == 1 && !(node.answers[id] ?? []).contains { $0.hasPrefix("finished") })
    node.log(try #require(node.seals.first))
    // What lies on the disk is the answer: nothing is told twice.
    #expect(!(node.answers[id] ?? []).contains { $0.hasPrefix("finished") })
    #expect(node.forgotten.contains(id))
  }

  @Test func anEndWithoutAReceiptIsPreparedToo() throws {
    let node = try ScriptedNode("{ policy: [{ action: 'ask' }] }")
    let id = node.submit(1, isAsynchronous: true)
    #expect(node.act(.reject(jobs: [id.hex], reason: "not today")) == .done("rejected 1 job"))
    #expect(node.prepared[id] == ["refused 403 rejected"])
    #expect(node.ends.map(\.outcome) == [.rejected] && node.ends.first?.reason == "not today")
    #expect(
      !node.records.contains { if case .jobEnded = $0 { true } else { false } },
      "its end waits for the answer to be on the disk")
  }

  @Test func whatWasAcceptedOutlivesTheNodesStop() throws {
    let node = try ScriptedNode("{ policy: [{ client: 'bob', action: 'ask' }, { action: 'admit' }] }")
    let waiting = node.submit(1, client: "bob", isAsynchronous: true)
    let running = node.submit(2, limit: 500, isAsynchronous: true)
    let direct = node.submit(3, client: "bob")
    _ = node.step()
    _ = node.act(.shutdown(drain: false))
    // No end in the journal and no answer: the next start goes on with both. A client on its
    // connection is told.
    #expect(node.ends.isEmpty && node.prepared.isEmpty)
    #expect(node.answers[waiting] == nil)
    #expect(node.answers[running]?.contains { $0.hasPrefix("refused") } == false)
    #expect(node.answers[direct] == ["refused 503 interrupted"])
  }

  @Test func withoutAJournalAnAnswerIsOnlyTold() throws {
    let node = try ScriptedNode("{ \(Self.prices) }")
    node.journalWorks = false
    let id = node.submit(1, isAsynchronous: true)
    while node.step() {}
    node.send(.journalFailed("no disk"))
    #expect(node.answers[id]?.last == "finished stop receipt=none")
    #expect(node.ends.isEmpty)
  }
}

@Suite struct RestoredJobTests {
  private func restored(_ node: ScriptedNode, _ change: (inout RestoredJob) -> Void = { _ in }) -> RestoredJob
  {
    var restored = RestoredJob(submitted: node.time - 60_000_000)
    change(&restored)
    return restored
  }

  private func terms(isAdmitted: Bool, completion: Int64 = 5_000_000) throws -> JobTerms {
    JobTerms(
      price: try Price(
        promptPerMillion: .zero, cachedPerMillion: .zero, completionPerMillion: Amount(micro: completion),
        minimum: .zero), isAdmitted: isAdmitted, policy: "as agreed")
  }

  @Test func anApprovedJobIsNotPendingAgain() throws {
    let node = try ScriptedNode("{ policy: [{ action: 'ask' }] }")
    let id = node.submit(
      1, isAsynchronous: true, terms: try terms(isAdmitted: false),
      restored: restored(node) { $0.isApproved = true })
    #expect(node.row(id)?.state == .queued)
    let other = node.submit(
      2, isAsynchronous: true, terms: try terms(isAdmitted: false), restored: restored(node))
    #expect(node.row(other)?.state == .pending)
    // Both are in the journal since their acceptance.
    #expect(!node.records.contains { if case .jobAccepted = $0 { true } else { false } })
  }

  @Test func policiesOfTodayDoNotDecideAboutWhatWasAccepted() throws {
    for policy in ["reject', reason: 'busy", "ask"] {
      let node = try ScriptedNode("{ policy: [{ action: '\(policy)' }] }")
      let id = node.submit(
        1, isAsynchronous: true, terms: try terms(isAdmitted: true), restored: restored(node))
      #expect(node.row(id)?.state == .queued)
    }
    let node = try ScriptedNode("{ policy: [{ action: 'reject', reason: 'busy' }] }")
    #expect(node.row(node.submit(1, isAsynchronous: true, restored: restored(node)))?.state == .queued)
  }

  @Test func noBoundOfTodayTurnsAnAcceptedJobAway() throws {
    let node = try ScriptedNode("{ queue: { jobs: 1, running: 1 }, vouchers: 'required' }")
    node.send(.lowSpace(true))
    _ = node.act(.drain)
    node.send(
      .limitsSet(
        client: "aria",
        {
          var limits = ClientLimits(); limits.jobsAtOnce = 1; return limits
        }()))
    for number in UInt64(1)...5 {
      let id = node.submit(
        number, isAsynchronous: true, terms: try terms(isAdmitted: true), restored: restored(node))
      #expect(node.row(id)?.state == .queued, "\(number)")
    }
    #expect(node.answers[node.submit(6)] == ["refused 503 disk_full"])
  }

  @Test func thePriceThatWasAgreedHolds() throws {
    let node = try ScriptedNode("{ prices: [{ prompt: '1000', completion: '2000' }] }")
    let id = node.submit(
      1, isAsynchronous: true, terms: try terms(isAdmitted: true, completion: 5_000_000),
      restored: restored(node))
    while node.step() {}
    let seal = try #require(node.seals.first)
    #expect(seal.job == id && seal.price.completion == Amount(micro: 5_000_000))
    #expect(seal.amount == Amount(micro: Int64(seal.completionTokens) * 5))
    #expect(seal.submitted == node.time - 60_000_000 - 2_000 * Int64(seal.completionTokens))
  }

  @Test func priorityAndHoldOfTheOperatorHold() throws {
    let node = try ScriptedNode("{}")
    let id = node.submit(
      1, isAsynchronous: true, terms: try terms(isAdmitted: true),
      restored: restored(node) {
        $0.priority = 9
        $0.isHeld = true
      })
    #expect(node.row(id)?.state == .held && node.row(id)?.priority == 9)
    #expect(!node.step())
    _ = node.act(.release(jobs: [id.hex]))
    #expect(node.step())
  }

  @Test func thePriorityThatWasSetIsInTheJournal() throws {
    let node = try ScriptedNode("{}")
    let id = node.submit(1)
    _ = node.act(.setPriority(jobs: [id.hex], priority: 2))
    #expect(
      node.records.contains(
        .operatorAct(OperatorAct(act: .priority, who: "tester", target: id.hex, reason: "2"))))
  }
}

@Suite struct ClockTests {
  @Test(arguments: [-3_600_000_000, -1, 3_600_000_000] as [Int64])
  func noJobEndsBeforeItBeganWhateverTheClockIsSetTo(jump: Int64) throws {
    let node = try ScriptedNode("{}")
    node.length = 6
    let id = node.submit(1)
    var steps = 0
    while node.step() {
      steps += 1
      if steps % 2 == 1 { node.time += jump }
    }
    let seal = try #require(node.seals.first)
    #expect(seal.submitted <= seal.started && seal.started <= seal.firstToken)
    #expect(seal.firstToken <= seal.ended)
    let row = try #require(node.row(id))
    #expect(row.ended.map { $0 >= row.submitted } == true)
    var state = node.state
    let detail = state.detail(id, prompt: nil, answer: nil, at: node.now)
    let moments = try #require(detail).timeline.map(\.time)
    #expect(moments == moments.sorted())
  }
}
