// Generation.swift: requests for tokens, in any dialect: answered on their connection, or kept and
// answered later. Not here: reading and writing them (Dialect), admitting them (Admission), what is
// kept (AsynchronousJobs).
// Start at generate.
import Control
import Intake
import Scheduling
import Synchronization

extension HTTPEndpoint {
  func generate(_ call: Call, _ dialect: Dialect, _ caller: Admission.Caller) {
    inTurn(caller, call) { [self] in answer(call.request, dialect, caller, call.exchange) }
  }

  private func answer(
    _ request: Request, _ dialect: Dialect, _ caller: Admission.Caller, _ exchange: Exchange
  ) {
    guard !exchange.isGone else { return }
    do throws(Refusal) {
      var asked = try dialect.read(request.body, atMost: configuration.http.bodyLimit)
      if request.head.fields.has(token: "inline", in: "hotpot-receipt") { asked.form.hasInlineReceipt = true }
      if request.head.fields.has(token: "respond-async", in: "prefer") {
        let response = try asynchronous.accept(
          asked, dialect, body: request.body, from: caller, isWanted: { !exchange.isGone })
        guard response.status == 202 else {
          exchange.respond(response)
          return
        }
        // A promise: the client may disconnect now, so the job must outlive this process.
        runtime.whenRecorded { error in
          let refused = error.map {
            APIError.unavailable("read_only", "the job cannot be kept: \($0)", retryAfter: nil)
          }
          exchange.respond(refused?.response ?? response)
        }
      } else {
        try run(asked, dialect, caller, request.body, exchange)
      }
    } catch {
      exchange.respond(dialect.refuse(error))
    }
  }

  /// The client waits on its connection. What this node cannot take now may be another's.
  private func run(
    _ asked: AskedAnswer, _ dialect: Dialect, _ caller: Admission.Caller, _ body: [UInt8],
    _ exchange: Exchange
  ) throws(Refusal) {
    let id = Admission.makeJobID()
    let entrance = entrance
    let served = model.serving?.name
    @Sendable func passes(_ refusal: Refusal, local: JobID?) -> Bool {
      guard let entrance, entrance.takes(refusal, asked, served: served, from: caller.identity) else {
        return false
      }
      entrance.pass(
        asked, dialect, body: body, refusal: refusal, served: served, from: caller.identity, local: local,
        to: exchange)
      return true
    }
    var responder: Responder?
    let state = try admission.admit(
      asked.request, id: id, from: caller, isWanted: { !exchange.isGone },
      elsewhere: { passes($0, local: nil) }
    ) { prompt in
      let shape = AnswerShape(asked, job: id, prompt: prompt, created: NodeClock.now().wall / 1_000_000)
      let made = Responder(
        dialect.writer(shape), completion: asked.form.hasInlineReceipt ? signing.complete : nil
      ) { exchange.send($0) }
      responder = made
      let isFresh = Mutex(true)
      return { event in
        // Once something was said of it here, it stays here.
        let isFirst = isFresh.withLock { isFresh in
          defer { isFresh = false }
          return isFresh
        }
        if isFirst, case .refused(let refusal) = event, passes(refusal, local: id) { return }
        made.take(event)
      }
    }
    // It is in no book: it was refused, or another node has it by now.
    guard let state else { return }
    exchange.onGone { [weak self] _ in self?.runtime.send(.clientGone(id)) }
    if state == .pending {
      responder?.wait()
      screens.publishNow()
    }
  }
}
