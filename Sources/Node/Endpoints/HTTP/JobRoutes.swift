// JobRoutes.swift: a client's job: its progress, its answer if it comes back for it, and its
// cancellation by the client. What is kept of it is in AsynchronousJobs. Start at job.
import Control
import Intake
import JSON
import Receipts
import Scheduling

extension HTTPEndpoint {
  /// A job of this client; another client's job gets the same response as a missing one. After
  /// sending the answer's body it counts as fetched, and can be fetched again for a while.
  func job(_ call: Call, _ identity: Identity) {
    let (text, exchange) = (call.name, call.exchange)
    let isFetched = call.request.head.method == .get
    guard let id = JobID(hex: text) else {
      exchange.respond(absent(text))
      return
    }
    switch asynchronous.answers.find(id, client: identity.name) {
    case .kept:
      // Read from the disk, so never on the server's thread.
      asynchronous.answers.queue.async { [self] in
        exchange.respond(
          asynchronous.answers.read(id) { job in
            runtime.journal.read { catalog in catalog.index(ofJob: job).flatMap { catalog.id(of: $0) } }
          })
        if isFetched { asynchronous.answers.fetched(id, at: NodeClock.now()) }
      }
    case .held(let response):
      exchange.respond(response)
      if isFetched { asynchronous.answers.fetched(id, at: NodeClock.now()) }
    case .accepted:
      exchange.respond(status(of: id, identity, isAwaited: true) ?? AsynchronousJobs.accepted(id))
    case nil: exchange.respond(status(of: id, identity, isAwaited: false) ?? absent(text))
    }
  }

  private func absent(_ job: String) -> Response {
    APIError.notFound("no job of yours has the id '\(job.prefix(40))'").response
  }

  /// A job's progress; nil if this run of the node does not know it.
  /// - isAwaited: its answer is not available yet, even if it has ended: its end is written first
  private func status(of id: JobID, _ identity: Identity, isAwaited: Bool) -> Response? {
    guard let row = runtime.state.withLock({ $0.row(id, at: NodeClock.now()) }), row.client == identity.name
    else {
      return nil
    }
    var members: [JSONValue.Member] = [
      (key: "id", value: .string(row.id)), (key: "object", value: "job"),
      (key: "status", value: .string(row.state.rawValue)),
      (key: "model", value: .string(row.model)), (key: "prompt_tokens", value: JSONValue(row.promptTokens)),
      (key: "completion_tokens", value: JSONValue(row.outputTokens)),
      (key: "max_tokens", value: JSONValue(row.outputLimit)),
    ]
    if let detail = row.stateDetail { members.append((key: "detail", value: .string(detail))) }
    if let receipt = row.receipt { members.append((key: "receipt", value: .string(receipt))) }
    // A client that missed the end and is charged gets what it paid for, and what opens the
    // receipt, as long as transcripts are kept.
    if let kept = archive.find(job: id) { members += ReceiptMembers.all(kept) }
    return .json(JSONWriter.bytes(.object(members)), status: row.state.hasEnded && !isAwaited ? 200 : 202)
  }

  func cancelJob(_ text: String, _ identity: Identity, _ exchange: Exchange) {
    guard let id = JobID(hex: text) else {
      exchange.respond(absent(text))
      return
    }
    if let row = runtime.state.withLock({ $0.row(id, at: NodeClock.now()) }), row.client == identity.name {
      if row.state.hasEnded {
        exchange.respond(
          APIError(
            status: 409, type: .request, code: "ended",
            message: "the job has ended: \(row.state.rawValue)"
          ).response)
        return
      }
      runtime.send(.cancelledByClient(id))
    } else if asynchronous.takeWaiting(id, client: identity.name) {
      asynchronous.cancelWaiting(id, client: identity.name)
    } else {
      exchange.respond(absent(text))
      return
    }
    // A promise: sent once it survives a crash. Ends of asynchronous jobs pass through this queue
    // on their way to the journal.
    asynchronous.answers.queue.async { [self] in
      runtime.whenRecorded { error in
        let refused = error.map {
          APIError.unavailable("read_only", "the end cannot be kept: \($0)", retryAfter: nil)
        }
        exchange.respond(
          refused?.response
            ?? .json(JSONWriter.bytes(["id": .string(id.hex), "object": "job", "status": "cancelled"])))
      }
    }
  }
}
