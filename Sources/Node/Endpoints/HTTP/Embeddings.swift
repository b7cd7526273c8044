// Embeddings.swift: runs a request for vectors: a job for each text, some at a time, and one answer
// when all have ended. Not here: reading and writing (EmbeddingDialect), the vectors (Inference).
// Start at HTTPEndpoint.embed.
import Control
import Intake
import JSON
import Scheduling
import Synchronization

extension HTTPEndpoint {
  func embed(_ call: Call, _ dialect: EmbeddingDialect, _ caller: Admission.Caller) {
    inTurn(caller, call) { [self] in
      guard !call.exchange.isGone else { return }
      do throws(Refusal) {
        var asked = try dialect.read(call.request.body, atMost: configuration.http.bodyLimit)
        if call.request.head.fields.has(token: "inline", in: "hotpot-receipt") {
          asked.form.hasInlineReceipt = true
        }
        let run = EmbeddingRun(asked, dialect, caller, admission, signing, call.exchange)
        call.exchange.onGone { _ in run.abandon() }
        run.admitMore()
        screens.publishNow()
      } catch {
        call.exchange.respond(dialect.refuse(error))
      }
    }
  }
}

/// The jobs of one request. Texts are admitted a few at a time, so that one request with thousands of
/// them doesn't fill the queue; the first that is refused ends the request, and what was computed is
/// charged as its receipts say.
final class EmbeddingRun: Sendable {
  /// Texts that wait or are computed at once.
  private static let atOnce = 8

  private struct Inner {
    var next = 0
    var running: [JobID: Int] = [:]
    var prompts: [Int: (job: JobID, tokens: [Int32])] = [:]
    var ends: [Int: AnswerEnd] = [:]
    var isOver = false
  }

  private let asked: AskedEmbeddings
  private let dialect: EmbeddingDialect
  private let caller: Admission.Caller
  private let admission: Admission
  private let signing: Signing
  private let exchange: Exchange
  private let inner = Mutex(Inner())

  init(
    _ asked: AskedEmbeddings, _ dialect: EmbeddingDialect, _ caller: Admission.Caller,
    _ admission: Admission, _ signing: Signing, _ exchange: Exchange
  ) {
    self.asked = asked
    self.dialect = dialect
    self.caller = caller
    self.admission = admission
    self.signing = signing
    self.exchange = exchange
  }

  /// Admits texts while there is room, in the caller's turn.
  func admitMore() {
    while let (index, id) = takeNext() {
      do throws(Refusal) {
        _ = try admission.admit(
          asked.requests[index], id: id, from: caller, isWanted: { [exchange] in !exchange.isGone }
        ) { prompt in
          inner.withLock { $0.prompts[index] = (id, prompt.tokens) }
          return { [self] event in hear(event, of: id) }
        }
      } catch {
        refuse(error)
      }
    }
  }

  private func takeNext() -> (index: Int, id: JobID)? {
    inner.withLock { inner in
      guard !inner.isOver, inner.running.count < Self.atOnce, inner.next < asked.requests.count else {
        return nil
      }
      let id = Admission.makeJobID()
      defer { inner.next += 1 }
      inner.running[id] = inner.next
      return (inner.next, id)
    }
  }

  /// The client's connection closed.
  func abandon() { for id in end() { admission.runtime.send(.clientGone(id)) } }

  /// Called on the node's threads.
  private func hear(_ event: AnswerEvent, of id: JobID) {
    switch event {
    case .admitted, .started, .text: break
    case .finished where asked.form.hasInlineReceipt:
      signing.complete(event) { [self] event in if case .finished(let end) = event { take(end, of: id) } }
    case .finished(let end): take(end, of: id)
    case .cut(_, let refusal), .refused(let refusal): refuse(refusal)
    }
  }

  private func take(_ end: AnswerEnd, of id: JobID) {
    enum Next { case nothing, more, answer([AnsweredEmbedding]) }
    let next = inner.withLock { inner -> Next in
      guard !inner.isOver, let index = inner.running.removeValue(forKey: id) else { return .nothing }
      inner.ends[index] = end
      guard inner.ends.count == asked.requests.count else {
        return inner.next < asked.requests.count ? .more : .nothing
      }
      inner.isOver = true
      return .answer(
        asked.requests.indices.compactMap { index in
          guard let end = inner.ends[index], let prompt = inner.prompts[index] else { return nil }
          return AnsweredEmbedding(job: prompt.job.hex, prompt: prompt.tokens, end: end)
        })
    }
    switch next {
    case .nothing: break
    case .answer(let answers): exchange.respond(.json(JSONWriter.bytes(dialect.write(asked, answers))))
    case .more:
      // Reading a text is work that waits its turn.
      do throws(Refusal) {
        try admission.inTurn(caller, bytes: 0, isWanted: { [exchange] in !exchange.isGone }) { [self] in
          admitMore()
        }
      } catch {
        refuse(error)
      }
    }
  }

  /// The first refusal is the answer.
  private func refuse(_ refusal: Refusal) {
    let isFirst = inner.withLock { inner in
      defer { inner.isOver = true }
      return !inner.isOver
    }
    guard isFirst else { return }
    exchange.respond(dialect.refuse(refusal))
    for id in end() { admission.runtime.send(.clientGone(id)) }
  }

  /// - Returns: the jobs that are alive
  private func end() -> [JobID] {
    inner.withLock { inner in
      inner.isOver = true
      defer { inner.running = [:] }
      return Array(inner.running.keys)
    }
  }
}
