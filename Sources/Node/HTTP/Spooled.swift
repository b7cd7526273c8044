// Spooled.swift: asynchronous jobs: 202 with an address, the request in the spool until the job ends, and what becomes
// of such jobs after a stop. Leaves out the spool's files (Receipts/Spool.swift) and other routes (Routes.swift).
// Start at accept; runSpooled is the start of a node.
import Inference
import Intake
import Receipts
import Scheduling
import Synchronization

extension NodeService {
  /// The client comes back for the answer: 202 with its address.
  func accept(
    _ request: CompletionRequest, body: [UInt8], isChat: Bool, identity: Identity, id: JobID,
    isWanted: @escaping () -> Bool = { true }
  ) throws(APIError) -> Response {
    var request = request
    request.isStreamed = false
    request.returnsTokens = true
    let serving = try loaded(request.model)
    let relay = AnswerRelay()
    let prepared = try serving.prepare(
      request, id: id, identity: identity, origin: origin, isAsynchronous: true, isWanted: isWanted,
      sink: { relay.take($0) })
    let answers = asynchronous
    let refusal = RefusalBox()
    let responder = Responder(
      shape: shape(request, id: id, model: serving.name, prompt: prepared.transcript.prompt),
      output: AnswerOutput { response in
        refusal.note(response)
        answers.finish(id, with: response)
      })
    relay.connect { responder.take($0) }
    // On disk before the acceptance is: a crash between the two leaves a file that nobody owns, and it is removed.
    if !identity.isKnown, !strangersSpool.reserve(id, bytes: body.count) {
      throw APIError(
        status: 429, type: "rate_limit_error", code: "spool_full",
        message:
          "requests of unknown clients fill their share of the disk, \(strangersSpool.limit) bytes; wait for the answer on the connection, or come back",
        retryAfter: 60)
    }
    if let spool {
      do throws(FileError) {
        try spool.put(Self.spooled(isChat: isChat, identity: identity, body: body), job: id.rawValue)
      } catch {
        strangersSpool.release(id)
        throw .unavailable("spool", "the request cannot be kept: \(error)", retryAfter: 60)
      }
    }
    asynchronous.begin(id, client: identity.name, at: Self.now().monotonic)
    transcripts.add(prepared.transcript)
    send(.submitted(prepared.job))
    if let response = refusal.response, response.status != 200 { return response }
    publishNow()
    return Self.accepted(id).with("Preference-Applied", "respond-async")
  }

  /// Come back for it.
  static func accepted(_ id: JobID) -> Response {
    let address = "/v1/jobs/\(id.hex)"
    return Response.json(
      JSONWriter.bytes([
        "id": .string(id.hex), "object": "job", "url": .string(address), "status": "accepted",
      ]),
      status: 202
    ).with("Location", address)
  }

  // MARK: the spool

  /// First line: what and whose; then the body as it came.
  private static func spooled(isChat: Bool, identity: Identity, body: [UInt8]) -> [UInt8] {
    let head: JSONValue = [
      "chat": .bool(isChat), "client": .string(identity.name), "known": .bool(identity.isKnown),
    ]
    return JSONWriter.bytes(head) + [0x0A] + body
  }

  /// After a crash: accepted asynchronous jobs run again, all others are interrupted, once.
  func runSpooled() {
    let open = journal.read { $0.openJobs }
    let alive = Set(state.withLock { Array($0.jobs.keys) })
    var again: [(JobAccepted, [UInt8])] = []
    var interrupted: [Record] = []
    for job in open where !alive.contains(JobID(job.job)) {
      // Without its request it is interrupted.
      if job.isSpooled, let request = try? spool?.get(job: job.job) {
        again.append((job, request))
      } else {
        asynchronous.finish(
          JobID(job.job),
          with: APIError.unavailable("interrupted", "the node stopped", retryAfter: nil).response)
        interrupted.append(
          .jobEnded(
            JobEnded(job: job.job, client: job.client, outcome: .interrupted, reason: "the node stopped")))
      }
    }
    if !interrupted.isEmpty {
      journal.append(interrupted, at: Self.now().wall) { _ in }
      note(
        .warning,
        "\(counted(interrupted.count, "job")) \(interrupted.count == 1 ? "was" : "were") interrupted when the node stopped"
      )
    }
    do throws(FileError) {
      try spool?.removeAll(but: again.map(\.0.job))
    } catch {
      note(.warning, "old requests stay in the spool: \(error)")
    }
    for (job, request) in again {
      let id = JobID(job.job)
      guard let newline = request.firstIndex(of: 0x0A),
        let head = try? JSONText.parse(Array(request[..<newline])), let isChat = head["chat"]?.bool,
        let client = head["client"]?.string
      else {
        note(.error, "the spooled request of job \(id.hex.prefix(8)) cannot be read")
        continue
      }
      let identity: Identity =
        head["known"]?.bool == true ? .known(client) : .unknown(String(client.dropFirst("unknown-".count)))
      let body = Array(request[(newline + 1)...])
      do throws(APIError) {
        _ = try accept(
          try decode(body, isChat: isChat), body: body, isChat: isChat, identity: identity, id: id)
        note(.info, "job \(id.hex.prefix(8)) of \(client) runs again after the node's stop")
      } catch {
        asynchronous.finish(id, with: error.response)
        note(.error, "job \(id.hex.prefix(8)) of \(client) cannot run again: \(error)")
      }
    }
  }
}

/// Bytes of the requests that strangers have in the spool, all of them together.
final class SpoolShare: Sendable {
  let limit: Int
  private let inner = Mutex<(used: Int, jobs: [JobID: Int])>((0, [:]))

  init(limit: Int) { self.limit = limit }

  func reserve(_ id: JobID, bytes: Int) -> Bool {
    inner.withLock { inner in
      guard inner.used + bytes <= limit else { return false }
      inner.used += bytes - (inner.jobs.updateValue(bytes, forKey: id) ?? 0)
      return true
    }
  }

  func release(_ id: JobID) {
    inner.withLock { inner in inner.used -= inner.jobs.removeValue(forKey: id) ?? 0 }
  }
}

/// Remembers an answer that came at once: a refusal goes to the client, not to the store alone.
private final class RefusalBox: Sendable {
  private let inner = Mutex<Response?>(nil)
  func note(_ response: Response) { inner.withLock { $0 = response } }
  var response: Response? { inner.withLock { $0 } }
}
