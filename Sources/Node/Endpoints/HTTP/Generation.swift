// Generation.swift: requests for tokens, in any dialect: answered on their connection, or kept and
// answered later. Not here: reading and writing them (Dialect), admitting them (Admission), what is
// kept (AsynchronousJobs).
// Start at generate.
import Control
import Intake
import Scheduling

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
        try run(asked, dialect, caller, exchange)
      }
    } catch {
      exchange.respond(dialect.refuse(error))
    }
  }

  /// The client waits on its connection.
  private func run(
    _ asked: AskedAnswer, _ dialect: Dialect, _ caller: Admission.Caller, _ exchange: Exchange
  ) throws(Refusal) {
    let id = Admission.makeJobID()
    var responder: Responder?
    let state = try admission.admit(asked.request, id: id, from: caller, isWanted: { !exchange.isGone }) {
      prompt in
      let shape = AnswerShape(asked, job: id, prompt: prompt, created: NodeClock.now().wall / 1_000_000)
      let made = Responder(
        dialect.writer(shape), completion: asked.form.hasInlineReceipt ? signing.complete : nil
      ) { exchange.send($0) }
      responder = made
      return { made.take($0) }
    }
    exchange.onGone { [weak self] _ in self?.runtime.send(.clientGone(id)) }
    if state == .pending {
      responder?.wait()
      screens.publishNow()
    }
  }
}
