// AsynchronousJobs.swift: asynchronous jobs: 202 with an address, the request in the spool until
// the job's end is in the journal, the answer on the disk before that, and what happens to all
// three after a stop. Not here: the files (Receipts/Spool.swift), how long answers are kept
// (AsynchronousAnswers.swift), other routes (Routes.swift). Start at accept; recover and runSpooled
// are the startup of a node.
import Accounting
import Control
import Intake
import JSON
import Receipts
import Scheduling
import Synchronization

/// A job that an earlier run accepted and that has not ended.
struct SpooledJob: Sendable {
  let id: JobID
  let client: String
  let model: String
  let restored: RestoredJob
}

final class AsynchronousJobs: Sendable {
  private let runtime: Runtime
  private let admission: Admission
  private let model: ServedModel
  private let transcripts: Transcripts
  private let screens: Screens
  let answers: AsynchronousAnswers
  private let spool: Spool
  /// The spool space that strangers use.
  private let strangersSpool: SpoolShare
  private let stateDirectory: String
  private let bodyLimit: Int
  /// The origin of jobs that arrive over HTTP.
  private let origin: JobOrigin
  /// Accepted by earlier runs, but not running yet because their model is not loaded.
  private let waiting = Mutex<[SpooledJob]>([])

  init(
    _ runtime: Runtime, admission: Admission, model: ServedModel, transcripts: Transcripts, screens: Screens,
    answers: AsynchronousAnswers, spool: Spool, stateDirectory: String, configuration: NodeConfiguration,
    origin: JobOrigin
  ) {
    self.runtime = runtime
    self.admission = admission
    self.model = model
    self.transcripts = transcripts
    self.screens = screens
    self.answers = answers
    self.spool = spool
    self.stateDirectory = stateDirectory
    self.origin = origin
    bodyLimit = configuration.http.bodyLimit
    strangersSpool = SpoolShare(limit: configuration.strangers.spoolBytes)
  }

  /// The client will come back for the answer: responds 202 with its address.
  ///
  /// The order is: agree on the terms, write the request with them to the disk, then submit the
  /// job. So a refused request leaves nothing behind, and the next start finds an accepted one with
  /// its terms.
  func accept(
    _ asked: AskedAnswer, _ dialect: Dialect, body: [UInt8], from caller: Admission.Caller,
    isWanted: @escaping () -> Bool = { true }
  ) throws(Refusal) -> Response {
    guard !asked.form.hasInlineReceipt else {
      throw .request(
        .unsupported, field: "hotpot.receipt",
        words:
          "'hotpot.receipt' is 'inline', which an answer that is fetched later cannot be: GET /v1/receipts/ID gives the receipt"
      )
    }
    let (id, identity) = (Admission.makeJobID(), caller.identity)
    let keeping = Admission.Keeping(
      limits: { [answers] () throws(Refusal) in
        if let refusal = answers.refusal(of: identity, bytes: body.count) { throw refusal }
      },
      keep: { [self] (terms) throws(Refusal) in
        try keep(body, dialect, identity, terms, of: id)
        answers.begin(id, client: identity.name, isKnown: identity.isKnown, bytes: body.count)
      })
    let refusal = RefusalBox()
    let state = try admit(asked, dialect, id, caller, .kept(keeping), refusal, isWanted: isWanted)
    // An accepted job is in the books, even if it has already ended.
    guard state != nil else {
      answers.drop(id)
      removeSpooled(id)
      return refusal.response ?? dialect.refuse(.notTaken)
    }
    screens.publishNow()
    return Self.accepted(id).with("Preference-Applied", "respond-async")
  }

  private func keep(
    _ body: [UInt8], _ dialect: Dialect, _ identity: Identity, _ terms: JobTerms, of id: JobID
  ) throws(Refusal) {
    if !identity.isKnown, !strangersSpool.reserve(id, bytes: body.count) {
      throw .spoolFull(bytes: strangersSpool.limit)
    }
    do throws(FileError) {
      try spool.put(
        KeptRequest(dialect: dialect, identity: identity, terms: terms, body: body).bytes, job: id.rawValue)
    } catch {
      strangersSpool.release(id)
      throw .spoolFailed("\(error)")
    }
  }

  /// Admits a job whose answer goes to the store: in one piece, and with all ids.
  private func admit(
    _ asked: AskedAnswer, _ dialect: Dialect, _ id: JobID, _ caller: Admission.Caller,
    _ course: Admission.Course, _ refusal: RefusalBox, isWanted: @escaping () -> Bool = { true }
  ) throws(Refusal) -> JobState? {
    var kept = asked
    kept.form = AnswerForm(returnsTokens: true)
    let (shaped, answers) = (kept, self.answers)
    return try admission.admit(
      asked.request, id: id, from: caller, course: course, isWanted: isWanted
    ) { prompt in
      let shape = AnswerShape(shaped, job: id, prompt: prompt, created: NodeClock.now().wall / 1_000_000)
      let responder = Responder(dialect.writer(shape)) { piece in
        guard case .whole(let response) = piece else { return }
        refusal.note(response)
        answers.prepared(id, response)
      }
      return { responder.take($0) }
    }
  }

  /// 202 Accepted: the client polls for the answer.
  static func accepted(_ id: JobID) -> Response {
    let address = "/v1/jobs/\(id.hex)"
    return Response.json(
      JSONWriter.bytes([
        "id": .string(id.hex), "object": "job", "url": .string(address), "status": "accepted",
      ]),
      status: 202
    ).with("Location", address)
  }

  // MARK: ends of jobs

  /// What the client of an asynchronous job gets once its end is in the journal.
  func prepareAnswer(_ id: JobID, _ event: AnswerEvent) {
    let mark = answers.ending(id)
    guard case .finished(var end) = event else { return transcripts.answer(id, event) }
    if end.receipt != nil { end.receipt = mark }
    transcripts.answer(id, .finished(end))
  }

  /// Writes the answer to the disk, then the job's receipt to the journal, which `append` does.
  func keepAnswer(of job: JobID, then append: @escaping @Sendable () -> Void) {
    answers.keep(job, hasReceipt: true, at: NodeClock.now()) { [weak self] problem in
      guard let self else { return }
      guard let problem else { return append() }
      // Not charged without an answer: the job stays open and runs again at the next start.
      runtime.note(
        .error,
        "the answer of job \(job.hex.prefix(8)) cannot be kept, so it is not charged and runs again at the next start: \(problem)"
      )
      answers.held(job, at: NodeClock.now())
      runtime.send(.receiptRefused(job))
    }
  }

  /// An asynchronous job ends without a receipt.
  func conclude(_ ended: JobEnded) {
    let id = JobID(ended.job)
    answers.keep(id, hasReceipt: false, at: NodeClock.now()) { [weak self] problem in
      guard let self else { return }
      if let problem {
        // Its end counts all the same: after a restart the client will find no such job.
        runtime.note(
          .warning, "the end of job \(id.hex.prefix(8)) is told only until the node stops: \(problem)")
      }
      runtime.journal.append([.jobEnded(ended)], at: NodeClock.now().wall) { [weak self] result in
        switch result {
        case .success: self?.ended(id, isKept: problem == nil)
        case .failure(let error):
          self?.answers.held(id, at: NodeClock.now())
          self?.runtime.journalRefused(error)
        }
      }
    }
  }

  /// The end of an asynchronous job is in the journal: its request is no longer needed, and its
  /// answer belongs to the client.
  func ended(_ id: JobID, isKept: Bool = true) {
    if isKept { answers.kept(id, at: NodeClock.now()) } else { answers.held(id, at: NodeClock.now()) }
    removeSpooled(id)
  }

  /// Only for a job whose end is on the disk, or that was never accepted.
  private func removeSpooled(_ id: JobID) {
    answers.queue.async { [weak self] in
      guard let self else { return }
      do throws(FileError) {
        try spool.remove(job: id.rawValue)
        strangersSpool.release(id)
      } catch {
        runtime.note(.warning, "the spooled request of job \(id.hex.prefix(8)) stays on disk: \(error)")
      }
    }
  }

  // MARK: the spool

  private func kept(_ job: UInt64, client: String) throws(SpoolError) -> KeptRequest {
    let path = "\(stateDirectory)/spool/\(JobID(job).hex)"
    guard let request = KeptRequest(try spool.get(job: job)) else {
      throw .damaged(path: path, found: "its head cannot be read")
    }
    guard request.identity.name == client else {
      throw .damaged(path: path, found: "it is of another client than the one whose job was accepted")
    }
    return request
  }

  // MARK: startup

  /// Sorts out what earlier runs left, before anything can be accepted: kept answers are available
  /// again, jobs without a request are marked as interrupted, once, and all others wait for their
  /// model.
  func recover(isDamaged: Bool) {
    // A damaged journal does not tell which jobs are open, so nothing is deleted.
    guard !isDamaged else { return }
    let now = NodeClock.now()
    let (open, times) = runtime.journal.read { ($0.openJobs, $0.openTimes) }
    let spooled = Set(open.filter(\.isSpooled).map(\.job))
    do throws(FileError) {
      let problems = try answers.load(
        open: Set(open.map(\.job)), receipts: { jobs in runtime.journal.read { $0.indexes(ofJobs: jobs) } },
        client: { (try? runtime.journal.receipt(at: $0))?.receipt.client }, at: now)
      for problem in problems { runtime.note(.error, problem) }
    } catch {
      runtime.note(.error, "answers that were kept cannot be read: \(error)")
    }
    var acts: [UInt64: [OperatorAct]] = [:]
    do throws(JournalError) { acts = try runtime.journal.acts(on: spooled) } catch {
      runtime.note(
        .error, "what operators did to accepted jobs cannot be read, so they are as they came: \(error)")
    }
    var interrupted: [Record] = []
    var left: [SpooledJob] = []
    for job in open {
      guard job.isSpooled else {
        interrupted.append(
          .jobEnded(
            JobEnded(job: job.job, client: job.client, outcome: .interrupted, reason: "the node stopped")))
        continue
      }
      answers.begin(
        JobID(job.job), client: job.client, isKnown: !job.client.hasPrefix("unknown-"), bytes: 0)
      do throws(SpoolError) {
        _ = try kept(job.job, client: job.client)
      } catch {
        interrupt(job, error.isMissing ? "its request is not in the spool" : "its request is lost: \(error)")
        continue
      }
      var restored = RestoredJob(submitted: times[job.job] ?? now.wall)
      guard let end = restored.take(acts[job.job] ?? []) else {
        left.append(
          SpooledJob(id: JobID(job.job), client: job.client, model: job.model, restored: restored))
        continue
      }
      // An end that was decided but did not reach the journal is final.
      conclude(JobID(job.job), client: job.client, end.outcome, end.refusal)
    }
    if !interrupted.isEmpty {
      runtime.record(interrupted)
      runtime.note(
        .warning,
        "\(counted(interrupted.count, "job")) \(interrupted.count == 1 ? "was" : "were") interrupted when the node stopped: \(Self.names(interrupted))"
      )
    }
    do throws(FileError) {
      try spool.removeAll(beforeStartBut: spooled)
    } catch {
      runtime.note(.warning, "old requests stay in the spool: \(error)")
    }
    let found = left
    waiting.withLock { $0 = found }
  }

  /// The first few of them.
  private static func names(_ ended: [Record]) -> String {
    let names = ended.prefix(4).compactMap { record -> String? in
      if case .jobEnded(let job) = record { "\(JobID(job.job).hex.prefix(8)) of \(job.client)" } else { nil }
    }
    return names.joined(separator: ", ") + (ended.count > 4 ? " and \(ended.count - 4) more" : "")
  }

  private func interrupt(_ job: JobAccepted, _ reason: String) {
    runtime.note(
      .error, "job \(JobID(job.job).hex.prefix(8)) of \(job.client) is interrupted: \(reason)")
    conclude(JobID(job.job), client: job.client, .interrupted, .interrupted(reason))
  }

  /// Ends a job of an earlier run that will not run again.
  private func conclude(
    _ id: JobID, client: String, _ outcome: JobEnded.Outcome, _ refusal: Refusal, in dialect: Dialect? = nil
  ) {
    _ = answers.ending(id)
    answers.prepared(id, dialect?.refuse(refusal) ?? APIError(refusal).response)
    conclude(
      JobEnded(
        job: id.rawValue, client: client, outcome: outcome, reason: String("\(refusal)".prefix(200))))
  }

  /// Runs the accepted jobs of earlier runs, once their model is loaded. A job for another model
  /// keeps waiting.
  func runSpooled() {
    guard let serving = model.serving else { return }
    let jobs = waiting.withLock { waiting -> [SpooledJob] in
      let (mine, others) = (
        waiting.filter { $0.model == serving.name }, waiting.filter { $0.model != serving.name }
      )
      waiting = others
      return mine
    }
    for model in Set(waiting.withLock { $0.map(\.model) }).sorted() {
      let count = waiting.withLock { $0.filter { $0.model == model }.count }
      runtime.note(
        .warning,
        "\(count) accepted job\(count == 1 ? " waits" : "s wait") for the model '\(model)', which is not served now"
      )
    }
    for job in jobs { runAgain(job) }
  }

  private func runAgain(_ job: SpooledJob) {
    let request: KeptRequest
    do throws(SpoolError) { request = try kept(job.id.rawValue, client: job.client) } catch {
      runtime.note(.error, "job \(job.id.hex.prefix(8)) of \(job.client) is interrupted: \(error)")
      return conclude(
        job.id, client: job.client, .interrupted, .interrupted("its request is lost: \(error)"))
    }
    do throws(Refusal) {
      let asked = try request.dialect.read(
        request.body, atMost: bodyLimit)
      // It was accepted: its size counts, but does not cause a refusal.
      if !request.identity.isKnown { _ = strangersSpool.reserve(job.id, bytes: request.body.count) }
      let state = try admit(
        asked, request.dialect, job.id, Admission.Caller(identity: request.identity, origin: origin),
        .resumed(request.terms, job.restored), RefusalBox())
      guard state != nil else { throw .interrupted("it could not be taken again") }
      runtime.note(.info, "job \(job.id.short) of \(job.client) runs again after the node's stop")
    } catch {
      if error.isOfTheNode {
        // The node is stopping, or cannot write: the job is left for the next start.
        waiting.withLock { $0.append(job) }
        return runtime.note(.warning, "job \(job.id.short) of \(job.client) waits: \(error)")
      }
      runtime.note(.error, "job \(job.id.short) of \(job.client) cannot run again: \(error)")
      conclude(job.id, client: job.client, .failed, error, in: request.dialect)
    }
  }

  /// Takes out a job of an earlier run that waits for its model, so that it never runs.
  func takeWaiting(_ id: JobID, client: String) -> Bool {
    waiting.withLock { waiting in
      guard let index = waiting.firstIndex(where: { $0.id == id && $0.client == client }) else {
        return false
      }
      waiting.remove(at: index)
      return true
    }
  }

  /// Ends such a job at its client's request.
  func cancelWaiting(_ id: JobID, client: String) {
    conclude(id, client: client, .cancelled, .cancelled(by: .client))
  }
}

extension RestoredJob {
  /// Applies what operators did to the job, oldest act first.
  /// - Returns: its end, if they decided on one.
  mutating func take(_ acts: [OperatorAct]) -> (outcome: JobEnded.Outcome, refusal: Refusal)? {
    for act in acts {
      switch act.act {
      case .approve: isApproved = true
      case .hold: isHeld = true
      case .release: isHeld = false
      case .priority: if let number = Int(act.reason), (0...9).contains(number) { priority = number }
      case .reject: return (.rejected, .rejected(act.reason))
      case .cancel: return (.cancelled, .cancelled(by: .operator))
      case .move, .pause, .resume, .drain, .undrain, .shutdown, .reveal, .verify, .pull, .load, .repair:
        break
      }
    }
    return nil
  }
}

/// Bytes of all strangers' requests in the spool together.
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

/// Remembers an immediate answer: a refusal goes to the client, not only to the store.
private final class RefusalBox: Sendable {
  private let inner = Mutex<Response?>(nil)
  func note(_ response: Response) { inner.withLock { $0 = response } }
  var response: Response? { inner.withLock { $0 } }
}
