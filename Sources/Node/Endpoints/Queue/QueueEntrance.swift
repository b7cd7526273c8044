// QueueEntrance.swift: the HTTP door as an entrance to the shared queue: a request that this node
// cannot take now, for another model or because its own queue is full, is given to the nodes that
// share the queue, and its client gets their answer as if it were this node's. Which requests are
// passed on is the configuration's (`queue.entrance`). Start at pass.
import Accounting
import Control
import Foundation
import Intake
import JSON
import NATS
import Scheduling
import Synchronization

final class QueueEntrance: Sendable {
  private struct Inner: Sendable {
    /// The jobs that were passed on and have not ended.
    var passed: [JobID: QueueRequest] = [:]
    /// How many were in all.
    var total = 0
    /// Jobs of this node's whose refusal here is none for their clients.
    var taken: Set<JobID> = []
    /// When a consumer was seen last, in seconds.
    var consumers: [String: Int64] = [:]
  }

  private let settings: SharedQueue
  private let rule: SharedQueue.Entrance
  private let runtime: Runtime
  private let name: String
  private let stateDirectory: String
  /// A connection of its own: a server sends nobody's own words back to it, and this node may be the one
  /// that answers.
  let client: NATSClient
  private let jetStream: JetStream
  private let inner = Mutex(Inner())

  init(
    _ settings: SharedQueue, _ rule: SharedQueue.Entrance, _ runtime: Runtime, name: String,
    version: String, stateDirectory: String
  ) {
    self.settings = settings
    self.rule = rule
    self.runtime = runtime
    self.stateDirectory = stateDirectory
    let connection = settings.connection(as: name, version: version)
    // The server's rights pin it to the inbox.
    self.name = NATSSubject.token(connection.inbox)
    client = NATSClient(connection) { [weak runtime] notice in
      // The door of the same node tells of the connection.
      if case .complaint(let words) = notice {
        runtime?.note(.warning, "the shared queue's server says to this entrance: \(words)")
      }
    }
    jetStream = JetStream(client, domain: settings.domain)
  }

  func start() { client.start() }

  /// Clients that still wait hear that the node stops.
  func stop() {
    let left = inner.withLock { Array($0.passed.values) }
    for request in left { request.cancel { _ in } }
    client.close()
    client.waitUntilClosed()
  }

  /// Jobs that were passed on: those that have not ended, and all since the start.
  var counts: (now: Int, total: Int) { inner.withLock { ($0.passed.count, $0.total) } }

  // MARK: which requests

  /// Whether a refusal here is a reason to ask the other nodes.
  static func isElsewhere(_ refusal: Refusal) -> Bool {
    switch refusal {
    case .modelNotServed, .noModel, .loading, .engineFailed, .queue(.queueFull), .queue(.tokensFull),
      .queue(.draining):
      true
    default: false
    }
  }

  /// Whether this request, refused here, goes to the shared queue.
  /// - served: the name of the model that runs here; nil if none does
  func takes(
    _ refusal: Refusal, _ asked: AskedAnswer, served: String?, from identity: Identity
  ) -> Bool {
    guard Self.isElsewhere(refusal), client.status.isReady, model(asked, served) != nil,
      // A job of the shared queue sends text, and no chances of tokens.
      asked.request.sampling.topLogprobs == nil, asked.request.offered == nil,
      inner.withLock({ $0.passed.count < rule.jobs })
    else { return false }
    guard let clients = rule.clients else { return identity.isKnown }
    return clients.contains { PriceList.matches($0, identity.name) }
  }

  /// Whose nodes are asked; nil if the rule names it not.
  private func model(_ asked: AskedAnswer, _ served: String?) -> String? {
    guard let name = asked.request.model ?? served, !name.isEmpty, name.utf8.count <= 128 else { return nil }
    return rule.models.contains { PriceList.matches($0, name) } ? name : nil
  }

  /// Whether a job of this node's was refused only to be asked for elsewhere. Says so once.
  func took(_ id: JobID) -> Bool { inner.withLock { $0.taken.remove(id) != nil } }

  // MARK: passing one on

  /// Gives a request to the shared queue, and its answer to the exchange.
  /// - local: the job's id here, if it had one
  func pass(
    _ asked: AskedAnswer, _ dialect: Dialect, body: [UInt8], refusal: Refusal, served: String?,
    from identity: Identity, local: JobID?, to exchange: Exchange
  ) {
    guard let model = model(asked, served) else {
      exchange.respond(dialect.refuse(refusal))
      return
    }
    if let local { inner.withLock { _ = $0.taken.insert(local) } }
    let priorityClass = SharedQueue.Class(priority: asked.request.priority)
    let job = QueueJob(
      id: Admission.makeJobID(), client: name, priorityClass: priorityClass,
      reply: client.makeInbox("answer"),
      deadline: asked.request.timeLimit.map { (NodeClock.now().wall + $0) / 1_000 },
      passed: QueueJob.Passed(
        dialect: dialect.name, seed: asked.request.sampling.seed, client: identity.name),
      body: body)
    let relay = QueueRelay(asked, dialect, job: job.id, exchange: exchange)
    let request = QueueRequest(client, settings, job: job) { [weak self] event in
      if case .run(.disagreement(let found)) = event { self?.keep(found) }
      let tokens = { self?.inner.withLock { $0.passed[job.id] }?.tokens ?? [] }
      if relay.take(event, tokens) { self?.ended(job.id) }
    }
    inner.withLock { inner in
      inner.passed[job.id] = request
      inner.total += 1
    }
    exchange.onGone { [weak self] _ in
      request.cancel { _ in }
      request.leave()
      self?.ended(job.id)
    }
    // Without its consumer no node ever takes it.
    whenThere(QueueSubject.consumer(model: model, priorityClass)) { [weak self] isThere in
      guard isThere else {
        exchange.respond(dialect.refuse(refusal))
        self?.ended(job.id)
        return
      }
      request.submit(model: model)
    }
  }

  private func ended(_ id: JobID) { inner.withLock { $0.passed[id] = nil } }

  private func whenThere(_ consumer: String, _ done: @escaping @Sendable (Bool) -> Void) {
    let now = Int64(NodeClock.now().monotonic / 1_000_000)
    if let seen = inner.withLock({ $0.consumers[consumer] }), now - seen < 30 { return done(true) }
    jetStream.call("CONSUMER.INFO.\(settings.stream).\(consumer)") { [weak self] result in
      guard case .success = result else { return done(false) }
      self?.inner.withLock { inner in
        if inner.consumers.count >= 256 { inner.consumers = [:] }
        inner.consumers[consumer] = now
      }
      done(true)
    }
  }

  /// Two nodes that differ where they cannot: both answers are kept.
  private func keep(_ found: QueueDisagreement) {
    // On no thread that answers wait for.
    DispatchQueue.global().async { [runtime, stateDirectory] in
      runtime.note(.error, found.kept(in: stateDirectory))
    }
  }
}

/// What a requester hears of one job, as its client's dialect has it.
private final class QueueRelay: Sendable {
  private struct State: Sendable {
    var responder: Responder?
    /// Text that came before the words about the prompt.
    var early = ""
    /// The last state, if it came before them.
    var state: QueueWord.State?
    var waits = false
  }

  private let asked: AskedAnswer
  private let dialect: Dialect
  private let job: JobID
  private let exchange: Exchange
  private let state = Mutex(State())

  init(_ asked: AskedAnswer, _ dialect: Dialect, job: JobID, exchange: Exchange) {
    self.asked = asked
    self.dialect = dialect
    self.job = job
    self.exchange = exchange
  }

  /// - tokens: of the answer so far
  /// - Returns: whether it was the end
  func take(_ event: QueueRequest.Event, _ tokens: () -> [Int32]) -> Bool {
    switch event {
    case .stored: return false
    case .full(let words): return refuse(.sharedQueueFull(words))
    case .failed(let words): return refuse(.sharedQueue(words))
    case .run(.opening(let opening)):
      open(opening)
      return false
    case .run(.state(let found, _)):
      tell(found)
      return false
    case .run(.text(let text)):
      let responder = state.withLock { state -> Responder? in
        if state.responder == nil { state.early += text }
        return state.responder
      }
      responder?.take(.text(text, []))
      return false
    case .run(.again), .run(.disagreement): return false
    case .run(.rejected(let words, _, let isRequest)):
      return refuse(isRequest ? .request(.value, field: nil, words: words) : .rejected(words))
    case .run(.done(let end, _)):
      finish(end, tokens())
      return true
    }
  }

  private func open(_ opening: QueueOpening) {
    let shape = AnswerShape(
      asked, job: job, prompt: opening.prepared(asked.request.message?.definitions ?? []),
      created: NodeClock.now().wall / 1_000_000)
    let responder = Responder(dialect.writer(shape)) { [exchange] in exchange.send($0) }
    let (early, known) = state.withLock { state -> (String, QueueWord.State?) in
      state.responder = responder
      defer { state.early = "" }
      return (state.early, state.state)
    }
    if let known { tell(known) }
    if !early.isEmpty { responder.take(.text(early, [])) }
  }

  private func tell(_ found: QueueWord.State) {
    let (responder, waits) = state.withLock { state -> (Responder?, Bool) in
      state.state = found
      guard state.responder != nil else { return (nil, false) }
      let isFirst = found == .pending && !state.waits
      if isFirst { state.waits = true }
      return (state.responder, isFirst)
    }
    switch found {
    case .queued: responder?.take(.admitted)
    case .pending: if waits { responder?.wait() }
    case .running: responder?.take(.started)
    }
  }

  private func refuse(_ refusal: Refusal) -> Bool {
    if let responder = state.withLock({ $0.responder }) {
      responder.take(.refused(refusal))
    } else {
      exchange.respond(dialect.refuse(refusal))
    }
    return true
  }

  private func finish(_ said: QueueWord.End, _ tokens: [Int32]) {
    guard let responder = state.withLock({ $0.responder }) else {
      _ = refuse(
        .sharedQueue(
          "the node's words about the prompt were lost; the job's receipt is \(said.receipt ?? "none")"))
      return
    }
    var end = AnswerEnd(
      finishReason: said.finish,
      usage: TokenCounts(prompt: said.prompt, cached: said.cached, completion: said.completion),
      receipt: said.receipt, nonce: said.nonce, nonceShare: said.share, amount: said.amount,
      tokens: tokens, biases: asked.request.sampling.logitBias,
      stops: asked.request.stops, ignoresEnd: asked.request.ignoresEnd, constraint: said.constraint)
    if asked.form.hasInlineReceipt, let line = said.line {
      end.inline = .init(line: line, signature: said.signature)
    }
    // Why it was cut was an operator's, a deadline's or a client's doing: the words say which.
    responder.take(said.reason.map { .cut(end, .failed($0)) } ?? .finished(end))
  }
}
