// AsynchronousAnswers.swift: answers that nobody waits for on a connection, kept until they are fetched or too old.
// Start at begin; JobAnswer is what GET /v1/jobs/ID tells.
import Intake
import Scheduling
import Synchronization

/// The answer of one asynchronous job, when it has come.
struct JobAnswer: Sendable {
  let client: String
  var response: Response?
  let begun: Microseconds
}

final class AsynchronousAnswers: Sendable {
  private let answers = Mutex<[JobID: JobAnswer]>([:])
  /// How many are kept; the oldest go first.
  static let most = 1_000

  func begin(_ id: JobID, client: String, at now: Microseconds) {
    answers.withLock { answers in
      if answers.count >= Self.most, let oldest = answers.min(by: { $0.value.begun < $1.value.begun }) {
        answers[oldest.key] = nil
      }
      answers[id] = JobAnswer(client: client, response: nil, begun: now)
    }
  }

  func finish(_ id: JobID, with response: Response) { answers.withLock { $0[id]?.response = response } }

  func find(_ id: JobID) -> JobAnswer? { answers.withLock { $0[id] } }
}
