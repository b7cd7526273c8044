// ReceiptLog+Past.swift: jobs that ended, from the journal's lines to rows for operators.
// Start at past.
import Accounting
import Control
import Receipts
import Scheduling

extension ReceiptLog {
  /// Reads segments from the disk, so it is not for a thread that others wait on.
  func past(_ query: PastQuery) throws(AdministrationError) -> [PastJob] {
    guard (1...PastQuery.mostRows).contains(query.limit) else {
      throw AdministrationError("\(query.limit) jobs, wanted 1 to \(PastQuery.mostRows)")
    }
    if let outcome = query.outcome, !outcome.hasEnded {
      throw AdministrationError("'\(outcome.rawValue)' is no way to end, wanted \(Self.outcomes)")
    }
    let now = NodeClock.now()
    func start(of day: String?) throws(AdministrationError) -> Microseconds? {
      guard let day else { return nil }
      guard let number = CalendarDay.parse(day) else {
        throw AdministrationError("'\(day.prefix(40))' is no day, wanted one such as 2026-11-23")
      }
      return (Microseconds(number) * 86_400 - Microseconds(now.utcOffset)) * 1_000_000
    }
    let first = try start(of: query.since) ?? 0
    let last = min(
      try start(of: query.until).map { $0 + 86_400_000_000 - 1 } ?? .max,
      query.before.map { max(0, $0) - 1 } ?? .max)
    guard first <= last else { return [] }
    do throws(JournalError) {
      return try endedJobs(limit: query.limit, times: first...last) { record in
        switch record {
        case .receipt(let receipt):
          return (query.client.map { $0 == receipt.client } ?? true)
            && (query.outcome.map { $0 == Self.state(receipt.finish) } ?? true)
        case .jobEnded(let ended):
          return (query.client.map { $0 == ended.client } ?? true)
            && (query.outcome.map { $0 == Self.state(ended.outcome) } ?? true)
        default: return false
        }
      }.map { Self.row($0, utcOffset: now.utcOffset) }
    } catch {
      throw AdministrationError("\(error)")
    }
  }

  private static let outcomes = JobState.allCases.filter(\.hasEnded).map(\.rawValue).joined(separator: ", ")

  private static func state(_ finish: Receipts.Receipt.Finish) -> JobState {
    switch finish {
    case .stop, .stopString, .length, .context: .done
    case .cancelled, .cancelledByClient, .cancelledByOperator: .cancelled
    case .expired: .expired
    }
  }

  private static func state(_ outcome: JobEnded.Outcome) -> JobState {
    switch outcome {
    case .rejected: .rejected
    case .cancelled: .cancelled
    case .expired: .expired
    case .failed: .failed
    case .interrupted: .interrupted
    }
  }

  private static func words(_ finish: Receipts.Receipt.Finish) -> String? {
    switch finish {
    case .stop, .stopString, .cancelled: nil
    case .length: "its token limit"
    case .context: "the context is full"
    case .cancelledByClient: "by the client"
    case .cancelledByOperator: "by the operator"
    case .expired: "its time limit passed"
    }
  }

  private static func row(_ past: PastEntry, utcOffset: Int) -> PastJob {
    let day = Statement.date(Moment(wall: past.time, monotonic: 0, utcOffset: utcOffset).day)
    if case .receipt(let receipt) = past.record {
      return PastJob(
        id: JobID(receipt.job).hex, state: state(receipt.finish), stateDetail: words(receipt.finish),
        client: receipt.client, model: receipt.model, promptTokens: receipt.promptTokens,
        outputLimit: receipt.maxTokens, submitted: receipt.submitted, outputTokens: receipt.completionTokens,
        firstToken: receipt.firstToken == 0 ? nil : receipt.firstToken, price: receipt.amount,
        ended: past.time, day: day, receipt: past.receiptID)
    }
    var (client, outcome, reason) = ("", JobState.interrupted, "")
    if case .jobEnded(let ended) = past.record {
      (client, outcome, reason) = (ended.client, state(ended.outcome), ended.reason)
    }
    return PastJob(
      id: JobID(past.job).hex, state: outcome, stateDetail: reason.isEmpty ? nil : reason, client: client,
      model: past.accepted?.model, promptTokens: past.accepted?.promptTokens,
      outputLimit: past.accepted?.maxTokens, submitted: past.acceptedAt, outputTokens: nil, firstToken: nil,
      price: nil, ended: past.time, day: day, receipt: nil)
  }
}
