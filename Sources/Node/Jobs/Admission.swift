// Admission.swift: the single path from a request to a job, for every source: HTTP, the spool, the
// control socket, the operator's chat, audits. The steps are: identify, limits, prepare, policy,
// submit. Not here: deciding (NodeState), wording an answer (dialects), what is kept of a job whose
// client comes back for it (AsynchronousAnswers). Start at admit.
import Accounting
import Control
import Scheduling

struct Admission: Sendable {
  /// Who sends a request, and in which capacity.
  struct Caller: Sendable {
    let identity: Identity
    let origin: JobOrigin

    /// The node's operator: free, and never counted as earnings.
    static let `operator` = Caller(identity: .known(operatorName), origin: .chat)

    /// The party in whose turn its requests are read.
    var party: Preparation.Party {
      switch (origin, identity) {
      case (.chat, _), (.audit, _): .own
      case (.client, .known(let name)), (.demo, .known(let name)): .client(name)
      case (.client, .unknown(let fingerprint)), (.demo, .unknown(let fingerprint)): .stranger(fingerprint)
      }
    }
  }

  /// The client of the operator's own jobs in their receipts.
  static let operatorName = "operator"

  /// How the client gets its answer.
  enum Course {
    /// The client waits on its connection. The policy decides at submission.
    case attended
    /// The client comes back for the answer: the request and its terms are kept before the job is
    /// submitted.
    case kept(Keeping)
    /// An earlier run of the node accepted it.
    case resumed(JobTerms?, RestoredJob)
  }

  struct Keeping {
    /// Throws if there is no space for another job of this client.
    let limits: () throws(Refusal) -> Void
    let keep: (JobTerms) throws(Refusal) -> Void
  }

  let runtime: Runtime
  let model: ServedModel
  let transcripts: Transcripts
  let preparation: Preparation
  let refusals: RefusalLog
  /// Other names for whichever model is served.
  let aliases: @Sendable () -> [String]

  /// Identifies the bearer of this token.
  func identify(token: String?) throws(Refusal) -> Identity {
    do throws(ClientDirectory.Refusal) {
      return try runtime.state.withLock { state throws(ClientDirectory.Refusal) in
        let identity = try state.clients.identify(token: token)
        if !identity.isKnown { state.clients.remember(token: token) }
        return identity
      }
    } catch {
      throw .unidentified(error)
    }
  }

  /// Does slow work, such as reading a request, in its caller's turn and within the bounds on
  /// waiting work.
  func inTurn(
    _ caller: Caller, bytes: Int, isWanted: @escaping @Sendable () -> Bool = { true },
    _ body: @escaping @Sendable () -> Void
  ) throws(Refusal) {
    do throws(Refusal.Unread) {
      try preparation.add(caller.party, bytes: bytes, isWanted: isWanted, body)
    } catch {
      tell(.unread(error), of: caller)
      throw .unread(error)
    }
  }

  /// Writes to the log that a request was refused. What a request has wrong in itself is its
  /// client's matter, and its words could quote a prompt.
  private func tell(_ refusal: Refusal, of caller: Caller) {
    if caller.origin != .client { return }
    switch refusal {
    case .request, .templateRefused: return
    default: refusals.see(caller.identity.name, refusal, at: NodeClock.now().monotonic)
    }
  }

  /// Admits a request, in its caller's turn. A refusal before submission is thrown; later ones go
  /// to the sink.
  /// - elsewhere: whether somebody else answers a request that is refused before submission
  /// - answer: the answer's destination, made from the prepared prompt
  /// - Returns: the job's state in the books; nil if it was refused at submission or is answered
  ///   elsewhere.
  func admit(
    _ request: GenerationRequest, id: JobID, from caller: Caller, course: Course = .attended,
    isWanted: @escaping () -> Bool = { true }, elsewhere: (Refusal) -> Bool = { _ in false },
    answer: (_ prompt: PreparedPrompt) -> AnswerSink
  ) throws(Refusal) -> JobState? {
    let prepared: Serving.Prepared
    do throws(Refusal) {
      prepared = try prepare(
        request, id: id, from: caller, course: course, isWanted: isWanted, answer: answer)
    } catch {
      if elsewhere(error) { return nil }
      tell(error, of: caller)
      throw error
    }
    return submit(prepared)
  }

  private func prepare(
    _ request: GenerationRequest, id: JobID, from caller: Caller, course: Course,
    isWanted: @escaping () -> Bool, answer: (_ prompt: PreparedPrompt) -> AnswerSink
  ) throws(Refusal) -> Serving.Prepared {
    if case .kept(let keeping) = course { try keeping.limits() }
    let serving = try model.required()
    if let model = request.model, model != serving.name,
      !aliases().contains(where: { PriceList.matches($0, model) })
    {
      throw .modelNotServed(model, served: serving.name)
    }
    let isAsynchronous =
      switch course {
      case .attended: false
      case .kept, .resumed: true
      }
    var prepared = try serving.prepare(
      request, id: id, identity: caller.identity, origin: caller.origin, isAsynchronous: isAsynchronous,
      isWanted: isWanted, sink: answer)
    switch course {
    case .attended: break
    case .kept(let keeping):
      let job = prepared.job
      let terms = try runtime.state.withLock { state throws(Refusal) in
        try state.terms(for: job, at: NodeClock.now())
      }
      prepared.job.terms = terms
      try keeping.keep(terms)
    case .resumed(let terms, let restored):
      prepared.job.terms = terms
      prepared.job.restored = restored
    }
    return prepared
  }

  /// The last step alone, for jobs that were never a request.
  /// - Returns: the job's state in the books; nil if it is not in them. Its sink has received the
  ///   reason by then.
  func submit(_ prepared: Serving.Prepared) -> JobState? {
    transcripts.add(prepared.transcript)
    runtime.send(.submitted(prepared.job))
    return runtime.state.withLock { $0.jobs[prepared.job.id]?.state }
  }

  /// A new id: random, so that no client can guess another's.
  static func makeJobID() -> JobID {
    var generator = SystemRandomNumberGenerator()
    return JobID(generator.next())
  }
}
