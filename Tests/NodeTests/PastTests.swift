// PastTests.swift: what operators see of the jobs that ended, from a journal that an earlier run wrote.
import Control
import Foundation
import Receipts
import Testing

@testable import Node

@Suite struct PastTests {
  private static let noon: Int64 = 1_790_000_000_000_000

  private func words(_ jobs: [PastJob]) -> [String] {
    jobs.map {
      "\($0.id.suffix(2)) \($0.client) \($0.state.rawValue)\($0.stateDetail.map { ": \($0)" } ?? "")"
    }
  }

  @Test func `jobs of earlier runs are listed by client, day and outcome`() throws {
    let scratch = try ScratchDirectory()
    let state = scratch.path + "/state"
    do {
      let (journal, _) = try Journal.open(state: state, time: Self.noon)
      let day: Int64 = 86_400_000_000
      func add(_ record: Record, _ time: Int64) throws { try journal.append([record], at: Self.noon + time) }
      func ended(_ job: UInt64, _ client: String, _ outcome: JobEnded.Outcome, _ reason: String) -> Record {
        .jobEnded(JobEnded(job: job, client: client, outcome: outcome, reason: reason))
      }
      try add(ended(1, "bob", .rejected, "too long"), 0)
      try add(ended(2, "aria", .failed, "no memory"), day)
      try add(ended(3, "bob", .interrupted, "the node stopped"), 2 * day)
      try add(
        .jobAccepted(
          JobAccepted(
            job: 4, client: "bob", model: "m", promptTokens: 7, maxTokens: 9, reserved: 1, isSpooled: false)),
        2 * day + 1)
      try add(ended(4, "bob", .cancelled, "by the client"), 2 * day + 2)
      journal.close()
    }
    let node = try AccountsTests().start(state)
    defer { AccountsTests().end(node) }
    func past(_ query: PastQuery) throws -> [PastJob] { try node.receipts.past(query) }
    #expect(
      words(try past(PastQuery())) == [
        "04 bob cancelled: by the client", "03 bob interrupted: the node stopped",
        "02 aria failed: no memory",
        "01 bob rejected: too long",
      ])
    let newest = try #require(try past(PastQuery(limit: 1)).first)
    #expect(newest.model == "m" && newest.promptTokens == 7 && newest.outputLimit == 9)
    #expect(newest.submitted == Self.noon + 2 * 86_400_000_000 + 1 && newest.receipt == nil)
    #expect(try past(PastQuery(client: "aria")).map(\.client) == ["aria"])
    #expect(try past(PastQuery(outcome: .rejected)).map(\.state) == [.rejected])
    let days = try past(PastQuery()).map(\.day)
    #expect(try past(PastQuery(since: days[2], until: days[2])).map(\.client) == ["aria"])
    #expect(try past(PastQuery(since: days[1])).count == 2)
    #expect(try past(PastQuery(before: newest.ended)).count == 3)
    for (query, message) in [
      (PastQuery(since: "yesterday"), "'yesterday' is no day, wanted one such as 2026-11-23"),
      (PastQuery(limit: 0), "0 jobs, wanted 1 to 10000"),
      (
        PastQuery(outcome: .running),
        "'running' is no way to end, wanted done, rejected, cancelled, expired, failed, interrupted"
      ),
    ] {
      #expect {
        _ = try past(query)
      } throws: {
        ($0 as? AdministrationError)?.description == message
      }
    }
  }
}
