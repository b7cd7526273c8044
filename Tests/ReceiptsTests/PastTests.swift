// PastTests.swift: jobs that ended, read back from the segments newest first.
import Foundation
import Receipts
import Testing

@Suite struct PastTests {
  private func ended(_ job: UInt64, _ client: String = "bob") -> Record {
    .jobEnded(JobEnded(job: job, client: client, outcome: .rejected, reason: "too long"))
  }

  private func accepted(_ job: UInt64) -> Record {
    .jobAccepted(
      JobAccepted(
        job: job, client: "bob", model: "m", promptTokens: 3, maxTokens: 9, reserved: 0, isSpooled: false))
  }

  @Test func `the newest come first, over segments and a restart, with what their acceptance says`() throws {
    let scratch = try Scratch()
    do {
      let (journal, _) = try openJournal(scratch.path, segmentBytes: 4_096)
      for job in UInt64(1)...30 {
        try journal.append([accepted(job)], at: testTime + Int64(job) * 10)
        try journal.append(
          [job % 3 == 0 ? .receipt(sampleReceipt(job: job, tokens: 4)) : ended(job)],
          at: testTime + Int64(job) * 10 + 5)
      }
      journal.close()
    }
    let (journal, _) = try openJournal(scratch.path, segmentBytes: 4_096)
    defer { journal.close() }
    let all = try journal.endedJobs(limit: 100) { _ in true }
    #expect(all.map(\.job) == Array((UInt64(1)...30).reversed()))
    #expect(all.map(\.time) == (Int64(1)...30).reversed().map { testTime + $0 * 10 + 5 })
    for past in all {
      #expect((past.receiptID == nil) == (past.job % 3 != 0))
      if past.job % 3 == 0 {
        let index = try #require(journal.read { $0.index(ofJob: past.job) })
        #expect(past.receiptID == journal.read { $0.id(of: index) })
      }
    }
    // Nearly all acceptances stand in the segment of the end; one in front of it is not looked for.
    #expect(all.count { $0.accepted != nil } > 15)
    for past in all where past.accepted != nil {
      #expect(past.accepted?.job == past.job && past.acceptedAt == past.time - 5)
    }
    #expect(try journal.endedJobs(limit: 4) { _ in true }.map(\.job) == [30, 29, 28, 27])
    let failed = try journal.endedJobs(limit: 3) { if case .jobEnded = $0 { true } else { false } }
    #expect(failed.map(\.job) == [29, 28, 26])
    let times = (testTime + 105)...(testTime + 145)
    #expect(try journal.endedJobs(limit: 100, times: times) { _ in true }.map(\.job) == [14, 13, 12, 11, 10])
    #expect(try journal.endedJobs(limit: 100, times: 0...7) { _ in true } == [])
  }

  @Test func `a journal without jobs has no past, and other lines are none`() throws {
    let scratch = try Scratch()
    let (journal, _) = try openJournal(scratch.path)
    defer { journal.close() }
    #expect(try journal.endedJobs(limit: 10) { _ in true } == [])
    try journal.append([.nodeStopped(NodeStopped(reason: "job_ended")), accepted(1)], at: testTime)
    #expect(try journal.endedJobs(limit: 10) { _ in true } == [])
  }
}
