// JobLine.swift: a job as `hotpot jobs` lists it: from a node's memory, or from its journal alone.
// Start at live and all.

import Control
import Foundation
import Node
import Scheduling

/// A job that a node has in memory, or one that only its journal has.
enum JobLine: Encodable {
  case known(JobRow, ApprovalRow?)
  case past(PastJob)

  static func live(_ arguments: Arguments) throws -> [JobLine] {
    lines(try ControlClient(arguments).snapshot()) { !$0.hasEnded }
  }

  /// Jobs that live, and then those that ended. What the node remembers of one says more than its
  /// lines in the journal.
  static func all(_ arguments: Arguments, _ query: PastQuery) throws -> [JobLine] {
    let books = try BooksAccess(arguments)
    guard case .past(_, let past) = try books.ask(ListPast(query: query)) else { throw books.unexpected }
    let snapshot = try books.snapshot()
    let known = Dictionary(snapshot.jobs.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    let choosesAmongEnded =
      query.client != nil || query.outcome != nil || query.since != nil || query.until != nil
    let live = choosesAmongEnded ? [] : lines(snapshot) { !$0.hasEnded }
    return live
      + past.map { job in
        if let row = known[job.id], row.state.hasEnded { .known(row, nil) } else { .past(job) }
      }
  }

  private static func lines(_ snapshot: NodeSnapshot, where isWanted: (JobState) -> Bool) -> [JobLine] {
    let approvals = Dictionary(
      snapshot.approvals.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    return snapshot.jobs.filter { isWanted($0.state) }.map { .known($0, approvals[$0.id]) }
  }

  private enum Key: CodingKey { case approval }

  func encode(to encoder: any Encoder) throws {
    switch self {
    case .known(let row, let approval):
      try row.encode(to: encoder)
      var fields = encoder.container(keyedBy: Key.self)
      // Deadline, offer and policy of a job that waits for the operator.
      try fields.encodeIfPresent(approval, forKey: .approval)
    case .past(let job): try job.encode(to: encoder)
    }
  }
}
