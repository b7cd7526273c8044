// Admission.swift: the one way from a request to a job, for whoever asks: HTTP, the spool, the control socket, the
// operator's chat, audits. In this order: identify, limits, prepare, policy, submit.
// Leaves out the deciding (NodeState), the words of an answer (dialects) and what is kept of a job whose client comes
// back for it (AsynchronousAnswers). Start at admit.
import Control
import Scheduling

struct Admission: Sendable {
  /// Who asks, and as what.
  struct Caller: Sendable {
    let identity: Identity
    let origin: JobOrigin

    /// The node's operator: free, and never counted as earnings.
    static let `operator` = Caller(identity: .known("operator"), origin: .chat)

    /// Whose turn its requests are read in.
    var party: Preparation.Party {
      switch (origin, identity) {
      case (.chat, _), (.audit, _): .own
      case (.client, .known(let name)), (.demo, .known(let name)): .client(name)
      case (.client, .unknown(let fingerprint)), (.demo, .unknown(let fingerprint)): .stranger(fingerprint)
      }
    }
  }

  /// How the client gets its answer.
  enum Course {
    /// It waits on its connection. What the policy says is decided with the submission.
    case attended
    /// It comes back for it: the request and what it is taken for are kept before the job is submitted.
    case kept(Keeping)
    /// An earlier run of the node accepted it.
    case resumed(JobTerms?, RestoredJob)
  }

  struct Keeping {
    /// Whether there is room for one more of this client's.
    let limits: () throws(Refusal) -> Void
    let keep: (JobTerms) throws(Refusal) -> Void
  }

  let runtime: Runtime
  let model: ServedModel
  let transcripts: Transcripts
  let preparation: Preparation

  /// Who brings this token.
  func identify(token: String?) throws(Refusal) -> Identity {
    do throws(ClientDirectory.Refusal) {
      return try runtime.state.withLock { state throws(ClientDirectory.Refusal) in
        try state.clients.identify(token: token)
      }
    } catch {
      throw .unidentified(error)
    }
  }

  /// Does what takes a while, such as reading a request, in its caller's turn and within the bounds on what waits.
  func inTurn(
    _ caller: Caller, bytes: Int, isWanted: @escaping @Sendable () -> Bool = { true },
    _ body: @escaping @Sendable () -> Void
  ) throws(Refusal) {
    do throws(Refusal.Unread) {
      try preparation.add(caller.party, bytes: bytes, isWanted: isWanted, body)
    } catch {
      throw .unread(error)
    }
  }

  /// Takes a request on, in its caller's turn. What is refused before it is submitted is thrown; afterwards the sink
  /// hears of it.
  /// - answer: where the answer goes, made from the prompt's tokens
  /// - Returns: the job's state in the books; nil where it was refused as it was submitted.
  func admit(
    _ request: GenerationRequest, id: JobID, from caller: Caller, course: Course = .attended,
    isWanted: @escaping () -> Bool = { true }, answer: (_ prompt: [Int32]) -> AnswerSink
  ) throws(Refusal) -> JobState? {
    if case .kept(let keeping) = course { try keeping.limits() }
    let serving = try model.required()
    if let model = request.model, model != serving.name {
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
    return submit(prepared)
  }

  /// The last step alone, for what was never a request.
  /// - Returns: the job's state in the books; nil where it is not in them. Its sink has heard why by then.
  func submit(_ prepared: Serving.Prepared) -> JobState? {
    transcripts.add(prepared.transcript)
    runtime.send(.submitted(prepared.job))
    return runtime.state.withLock { $0.jobs[prepared.job.id]?.state }
  }

  /// A fresh id: random, so that no client guesses another's.
  static func makeJobID() -> JobID {
    var generator = SystemRandomNumberGenerator()
    return JobID(generator.next())
  }
}
