// PastJobs.swift: jobs that ended, as the journal has them: what `hotpot jobs --all` and the history
// pane list, over restarts of the node. How they are found is Node's and Receipts'. Start at
// PastJob.
import Scheduling

/// Which jobs are meant; nil is any.
package struct PastQuery: Codable, Sendable, Equatable {
  package var client: String?
  package var outcome: JobState?
  /// Days such as `2026-11-23` in the node's time zone, both included.
  package var since: String?
  package var until: String?
  /// Only jobs that ended before this time: for the next page.
  package var before: Microseconds?
  /// The most that are answered; a node answers at most `mostRows`.
  package var limit: Int

  package static let mostRows = 10_000

  package init(
    client: String? = nil, outcome: JobState? = nil, since: String? = nil, until: String? = nil,
    before: Microseconds? = nil, limit: Int = 200
  ) {
    (self.client, self.outcome, self.since, self.until) = (client, outcome, since, until)
    (self.before, self.limit) = (before, limit)
  }
}

/// One job that ended. Names that a `JobRow` has too mean the same; the journal keeps less.
package struct PastJob: Codable, Sendable, Equatable, Identifiable {
  package let id: String
  package let state: JobState
  /// Why it ended, where that is not plain.
  package let stateDetail: String?
  package let client: String
  /// nil for a job whose acceptance lies in an older segment of the journal; so are the next three.
  package let model: String?
  package let promptTokens: Int?
  package let outputLimit: Int?
  package let submitted: Microseconds?
  /// nil without a receipt, like the next two.
  package let outputTokens: Int?
  package let firstToken: Microseconds?
  package let price: MicroUnits?
  package let ended: Microseconds
  /// The local day of its end, such as `2026-11-23`.
  package let day: String
  package let receipt: String?

  package init(
    id: String, state: JobState, stateDetail: String?, client: String, model: String?, promptTokens: Int?,
    outputLimit: Int?, submitted: Microseconds?, outputTokens: Int?, firstToken: Microseconds?,
    price: MicroUnits?, ended: Microseconds, day: String, receipt: String?
  ) {
    self.id = id
    self.state = state
    self.stateDetail = stateDetail
    self.client = client
    self.model = model
    self.promptTokens = promptTokens
    self.outputLimit = outputLimit
    self.submitted = submitted
    self.outputTokens = outputTokens
    self.firstToken = firstToken
    self.price = price
    self.ended = ended
    self.day = day
    self.receipt = receipt
  }
}
