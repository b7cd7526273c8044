// QueueDoor.swift: the node as one of several that take jobs from a shared queue: pulls while it has
// room, leases what it has, sends tokens as they come, and acknowledges what is on the disk. Which
// job is leased and what is said when is decided in QueueLeases; messages are in QueueWords; the
// connection is NATS'. Start at start, arrived and take.
import Control
import Dispatch
import Foundation
import Inference
import JSON
import NATS
import Receipts
import Scheduling
import Synchronization

final class QueueDoor: Sendable {
  /// A job in hand.
  private final class Held: Sendable {
    struct Progress: Sendable {
      var delivery: NATSDelivery
      var subscriptions: [UInt64] = []
      var tokensSent = 0
      /// All text so far. The job's content may be forgotten by the time its last events are heard.
      var text = ""
      var chunks = 0
      /// Since when nobody has listened to its chunks.
      var unheardSince: Int64?
      /// Another node has it.
      var isLost = false
      /// The end that was sent, until its acknowledgement is confirmed.
      var isConfirming = false
      /// What an entrance writes the answer with.
      var opening: QueueOpening?
      /// This node has claimed its end, or is about to.
      var isClaimed = false
      /// The claim on its end that this node's takes the place of; 0 for none.
      var claimBefore = 0
      /// The end that a receipt stands for already: this node's from before it died, or another's. The
      /// answer is computed once more, and neither receipted nor charged.
      var settled: QueueWord?
    }

    let job: QueueJob
    let progress: Mutex<Progress>

    init(_ job: QueueJob, _ delivery: NATSDelivery, settled: QueueWord?) {
      self.job = job
      progress = Mutex(Progress(delivery: delivery, settled: settled))
    }

    var delivery: NATSDelivery { progress.withLock { $0.delivery } }
  }

  private struct Inner: Sendable {
    var leases: QueueLeases
    var held: [JobID: Held] = [:]
    /// Consumers of the served model, in the order of their classes.
    var pulls: [PullConsumer] = []
    var model = ""
    /// The class that is looked into without waiting, most urgent first; nil once all were empty.
    var sweep: Int?
    /// Not before then is pulled again, after a refusal.
    var pausedUntil: Int64 = 0
    var isStopping = false
    var complaints: Set<String> = []
    /// What waits for the served model, as the server told it.
    var depths: [SharedQueueSnapshot.Depth]?
    var nextLook: Int64 = 0
    /// Since when no server is reached, as a clock on the wall has it.
    var unreachedSince: Microseconds?
  }

  /// Chunks between questions whether the requester is still there.
  private static let chunksBetweenAsking = 64
  /// How long nobody may listen, in milliseconds: a requester whose connection broke comes back.
  private static let patience: Int64 = 5_000
  /// How often an end is said that nobody hears, two seconds apart.
  private static let mostEnds = 15

  private let settings: SharedQueue
  private let runtime: Runtime
  private let admission: Admission
  private let model: ServedModel
  private let transcripts: Transcripts
  private let signing: Signing
  private let configuration: NodeConfiguration
  private let origin: JobOrigin
  let client: NATSClient
  private let jetStream: JetStream
  private let inner: Mutex<Inner>

  init(
    _ settings: SharedQueue, _ runtime: Runtime, admission: Admission, model: ServedModel,
    transcripts: Transcripts, signing: Signing, configuration: NodeConfiguration, version: String,
    origin: JobOrigin
  ) {
    self.settings = settings
    self.runtime = runtime
    self.admission = admission
    self.model = model
    self.transcripts = transcripts
    self.signing = signing
    self.configuration = configuration
    self.origin = origin
    client = NATSClient(
      settings.connection(as: configuration.name, version: version)
    ) { [weak runtime] notice in
      switch notice {
      case .connected(let server, let version):
        runtime?.note(.info, "the shared queue is at \(settings.words(server)), nats-server \(version)")
      case .disconnected(let server, let reason):
        runtime?.note(.warning, "the shared queue at \(settings.words(server)) is not reached: \(reason)")
      case .complaint(let words): runtime?.note(.warning, "the shared queue's server says: \(words)")
      }
    }
    jetStream = JetStream(client, domain: settings.domain)
    let (seconds, _) = SharedQueue.lease.components
    inner = Mutex(Inner(leases: QueueLeases(wait: seconds * 1_000)))
  }

  func start() {
    // A client that is not closed takes it, and says it anew after each loss of the connection.
    _ = try? client.subscribe(QueueSubject.claimant(claims.claimant)) { [weak self] message in
      // Signing takes milliseconds.
      self?.signing.inlineQueue.async { [weak self] in self?.answerAsClaimant(message) }
    }
    client.start()
  }

  /// The node's key names it: two nodes may be called the same. One without a key has its name.
  private var claims: QueueClaims {
    let key = signing.notary?.key.origin.split(separator: "/").last.map(String.init)
    return QueueClaims(
      jetStream: jetStream, stream: settings.ends, node: configuration.name,
      claimant: key ?? NATSSubject.token(configuration.name))
  }

  /// No more is taken. The engine has stopped by now, so what has not ended is passed on. What this node
  /// has claimed is acknowledged first: other nodes wait for whoever claimed a job.
  func stop() {
    let pulls = inner.withLock { inner in
      inner.isStopping = true
      return inner.pulls
    }
    for pull in pulls { pull.end() }
    let open = inner.withLock { $0.held }.filter { !$0.value.progress.withLock(\.isClaimed) }
    for id in open.keys { carryOut(inner.withLock { $0.leases.passed(id, after: 0) }) }
    let patience = ContinuousClock.now + .seconds(5)
    while client.status.isReady, ContinuousClock.now < patience,
      inner.withLock({ $0.held.values }).contains(where: { $0.progress.withLock(\.isClaimed) })
    {
      carryOut(inner.withLock { $0.leases.tick(at: Self.now) })
      Thread.sleep(forTimeInterval: 0.02)
    }
    client.close()
    client.waitUntilClosed()
  }

  /// Goes on while the machine sleeps, as the server's clock does.
  private static var now: Int64 {
    let (seconds, attoseconds) = epoch.duration(to: .now).components
    return seconds * 1_000 + attoseconds / 1_000_000_000_000_000
  }
  private static let epoch = ContinuousClock.now

  // MARK: pulling

  /// Four times a second.
  func beat() {
    let now = Self.now
    carryOut(inner.withLock { $0.leases.tick(at: now) })
    for pull in inner.withLock({ $0.pulls }) { pull.check() }
    lookAround()
    pullIfFree()
  }

  /// How many more jobs could begin now.
  private func places() -> Int {
    let mine = inner.withLock { Set($0.held.keys) }
    return runtime.state.withLock { state in
      guard state.admitsFromQueue else { return 0 }
      // What waits for the operator is leased too, and what is still being read is in no book.
      let busy = state.jobs.values.count { entry in
        entry.state == .queued || entry.state == .running
          || (mine.contains(entry.id) && !entry.state.hasEnded)
      }
      return configuration.queue.running - busy - mine.count { state.jobs[$0] == nil }
    }
  }

  private func pullIfFree() {
    guard client.status.isReady, let serving = model.serving else { return }
    let name = QueueSubject.model(serving.name)
    let takes = settings.models.isEmpty || settings.models.contains { QueueSubject.model($0) == name }
    let isFree = takes && places() > 0
    let (pulls, sweep) = inner.withLock { inner -> ([PullConsumer], Int?) in
      guard !inner.isStopping, inner.pausedUntil <= Self.now else { return ([], nil) }
      if inner.model != name {
        for old in inner.pulls { old.end() }
        inner.model = name
        inner.pulls = makePulls(name)
        inner.depths = nil
        inner.sweep = 0
      }
      return (inner.pulls, inner.sweep)
    }
    guard isFree else {
      for pull in pulls where pull.isOpen { pull.withdraw() }
      // What comes next is looked for by urgency again.
      inner.withLock { $0.sweep = 0 }
      return
    }
    do throws(NATSError) {
      if let sweep, pulls.indices.contains(sweep) {
        try pulls[sweep].pull(waits: false)
      } else {
        for pull in pulls { try pull.pull(waits: true) }
      }
    } catch {
      // The connection was lost meanwhile; the next beat finds another.
    }
  }

  private func makePulls(_ model: String) -> [PullConsumer] {
    settings.classes.enumerated().map { index, priorityClass in
      PullConsumer(
        jetStream, stream: settings.stream, consumer: "\(model)_\(priorityClass.rawValue)"
      ) { [weak self] pull, event in
        switch event {
        case .delivery(let delivery): self?.arrived(delivery)
        case .empty: self?.wasEmpty(index)
        case .silent: self?.inner.withLock { $0.sweep = 0 }
        case .refused(let status, let words):
          self?.complain("consumer \(pull.consumer): \(status) \(words)")
          self?.inner.withLock { $0.pausedUntil = Self.now + 2_000 }
        }
      }
    }
  }

  private func wasEmpty(_ index: Int) {
    inner.withLock { inner in
      guard let sweep = inner.sweep, sweep == index else { return }
      inner.sweep = sweep + 1 < inner.pulls.count ? sweep + 1 : nil
    }
    pullIfFree()
  }

  /// Says each trouble once.
  private func complain(_ words: String) {
    let isNew = inner.withLock { $0.complaints.count < 64 && $0.complaints.insert(words).inserted }
    if isNew { runtime.note(.warning, "the shared queue: \(words)") }
  }

  // MARK: a job arrives

  private func arrived(_ delivery: NATSDelivery) {
    let job: QueueJob
    do throws(QueueJob.Fault) { job = try QueueJob(delivery.message) } catch {
      complain("message \(delivery.sequence) of '\(delivery.message.subject.prefix(120))': \(error)")
      return delivery.say(.end, to: client)
    }
    let name = identity(job.client, passed: job.passed?.client).name
    let known = receipt(ofJob: job.id, of: name).flatMap { end(ofReceipt: $0, job: job.id) }
    let isFree = places() > 0
    let actions = inner.withLock { inner -> [QueueLeases.Action] in
      if let held = inner.held[job.id] {
        held.progress.withLock { $0.delivery = delivery }
      } else {
        inner.held[job.id] = Held(job, delivery, settled: known)
      }
      return inner.leases.delivered(
        job.id, client: job.client, count: delivery.count, isKnown: known != nil, isFree: isFree, at: Self.now
      )
    }
    carryOut(actions)
    pullIfFree()
  }

  /// The place of the receipt that this node gave for the job.
  /// - name: of the client that it must name
  private func receipt(ofJob id: JobID, of name: String) -> Int? {
    guard let index = runtime.journal.read({ $0.indexes(ofJobs: [id.rawValue])[id.rawValue] }),
      // What cannot be read is reported as damage, and is no end that could be sent again.
      let logged = try? runtime.journal.receipt(at: index)
    else { return nil }
    return logged.receipt.client == name ? index : nil
  }

  /// Whose job it is: the client that published it, or the one in whose name an entrance did which this
  /// node's operator trusts to know its clients.
  private func identity(_ client: String, passed: String?) -> Identity {
    var name = client
    if let passed, settings.entrances.contains(client), ClientDirectory.isValid(name: passed) {
      name = passed
    }
    return runtime.state.withLock { $0.clients.isActive(name) } ? .known(name) : .unknown(name)
  }

  private func carryOut(_ actions: [QueueLeases.Action]) {
    for action in actions {
      switch action {
      case .ask(let id): ask(id)
      case .admit(let id): take(id)
      case .renew(let id): renew(id)
      case .pass(let id, let delay):
        guard let held = drop(id) else { continue }
        held.delivery.say(.pass(after: delay == 0 ? nil : .milliseconds(delay)), to: client)
      case .reject(let id, let words, let isRequest):
        guard let held = drop(id) else { continue }
        say(held, .rejected(words, isRequest: isRequest))
        held.delivery.say(.end, to: client)
      case .acknowledge(let id): acknowledge(id)
      }
    }
  }

  /// Forgets a job that is no longer this node's.
  private func drop(_ id: JobID) -> Held? {
    guard let held = inner.withLock({ $0.held.removeValue(forKey: id) }) else { return nil }
    for subscription in held.progress.withLock({ $0.subscriptions }) { client.unsubscribe(subscription) }
    return held
  }

  private func held(_ id: JobID) -> Held? { inner.withLock { $0.held[id] } }

  private func renew(_ id: JobID) {
    guard let held = held(id) else { return }
    let sent = Self.now
    held.delivery.confirm(.working, to: client) { [weak self] isConfirmed in
      if isConfirmed { self?.inner.withLock { $0.leases.renewed(id, sent: sent) } }
    }
  }

  private func acknowledge(_ id: JobID) {
    guard let held = held(id) else { return }
    let isMine = held.progress.withLock { progress in
      defer { progress.isConfirming = true }
      return !progress.isConfirming
    }
    guard isMine else { return }
    held.delivery.confirm(.done, to: client) { [weak self] isConfirmed in
      held.progress.withLock { $0.isConfirming = false }
      guard isConfirmed, let self else { return }
      inner.withLock { $0.leases.acknowledged(id) }
      _ = drop(id)
    }
  }

  /// Asks whether another node runs the job.
  private func ask(_ id: JobID) {
    client.request(NATSMessage(subject: QueueSubject.running(id)), timeout: .seconds(2)) { [weak self] in
      guard let self else { return }
      switch $0 {
      case .success: learned(.somebody, of: id)
      case .failure(.noResponders): askClaimant(id, else: .nobody)
      case .failure(.timedOut): askClaimant(id, else: .silence)
      case .failure: learned(.cut, of: id)
      }
    }
  }

  private func learned(_ answer: QueueLeases.Answer, of id: JobID) {
    carryOut(inner.withLock { $0.leases.asked(id, answer) })
    pullIfFree()
  }

  /// Whether a node died after it had claimed the job's end, and what it says of it.
  private func askClaimant(_ id: JobID, else answer: QueueLeases.Answer) {
    guard let held = held(id) else { return }
    claims.standing(held.job) { [weak self] in
      guard let self else { return }
      switch $0 {
      case .success(nil): learned(answer, of: id)
      case .success(let claim?) where claim.claimant == claims.claimant: learned(.released, of: id)
      case .success(let claim?):
        held.progress.withLock { $0.claimBefore = claim.sequence }
        claims.inquire(claim, held.job) { [weak self] in
          guard let self else { return }
          switch $0 {
          case .receipt(let end):
            held.progress.withLock { $0.settled = end }
            learned(.ended, of: id)
          case .noReceipt: learned(.released, of: id)
          case .away: learned(.away, of: id)
          case .cut: learned(.cut, of: id)
          }
        }
      case .failure(.refused), .failure(.transport(.noResponders)):
        complainOfEnds()
        learned(answer, of: id)
      case .failure: learned(.cut, of: id)
      }
    }
  }

  private func complainOfEnds() {
    complain(
      "its stream '\(settings.ends)' is not there: 'hotpot queue init' makes it; no job ends until then")
  }

  /// Another node was given a job whose end this one has claimed.
  private func answerAsClaimant(_ message: NATSMessage) {
    guard let reply = message.reply, let (id, client, passed) = QueueClaims.question(message.payload)
    else { return }
    let name = identity(client, passed: passed).name
    let word = receipt(ofJob: id, of: name).flatMap { end(ofReceipt: $0, job: id) }
    // Whoever asked and hears nothing asks again.
    try? self.client.publish(
      NATSMessage(subject: reply, payload: word?.bytes ?? QueueClaims.noReceipt))
  }

  /// The end that a receipt on the disk stands for; its text is no longer here.
  private func end(ofReceipt index: Int, job: JobID) -> QueueWord? {
    guard let logged = try? runtime.journal.receipt(at: index) else { return nil }
    let receipt = logged.receipt
    var said = QueueWord.End(
      prompt: receipt.promptTokens, cached: receipt.cachedTokens, completion: receipt.completionTokens)
    switch receipt.finish {
    case .stop, .stopString: said.finish = "stop"
    case .length, .context: said.finish = "length"
    case .cancelled, .cancelledByClient, .cancelledByOperator, .expired:
      said.reason = "it was cut: \(receipt.finish.rawValue)"
    }
    said.receipt = logged.id
    said.line = String(decoding: logged.line, as: UTF8.self)
    said.amount = receipt.amount
    // Without a signature the line goes alone.
    said.signature = try? signing.sign(receiptLine: logged.line)
    return QueueWord(job: job, node: configuration.name, delivery: 1, .done(said, tokens: [], text: ""))
  }

  /// Listens to who asks for the job, or wants it cancelled.
  private func announce(_ held: Held) {
    let id = held.job.id
    var made: [UInt64] = []
    // Without a connection there is nobody to hear; the lease runs out.
    if let running = try? client.subscribe(
      QueueSubject.running(id),
      { [weak self] message in
        self?.reply(to: message, held)
      })
    {
      made.append(running)
    }
    if let cancel = try? client.subscribe(
      QueueSubject.cancel(id),
      { [weak self] message in
        guard let self else { return }
        reply(to: message, held)
        runtime.send(.cancelledByClient(id))
      })
    {
      made.append(cancel)
    }
    held.progress.withLock { $0.subscriptions += made }
  }

  private func reply(to message: NATSMessage, _ held: Held) {
    guard let reply = message.reply else { return }
    let tokens = held.progress.withLock { $0.tokensSent }
    let body: JSONValue = [
      "job": .string(held.job.id.hex), "node": .string(configuration.name), "tokens": JSONValue(tokens),
    ]
    // Whoever asked hears nothing, and asks again.
    try? client.publish(NATSMessage(subject: reply, payload: JSONWriter.bytes(body)))
  }

  // MARK: running it

  private func take(_ id: JobID) {
    guard let held = held(id) else { return }
    announce(held)
    renew(id)
    let caller = Admission.Caller(
      identity: identity(held.job.client, passed: held.job.passed?.client), origin: origin)
    do throws(Refusal) {
      try admission.inTurn(caller, bytes: held.job.body.count) { [weak self] in self?.admit(held, caller) }
    } catch {
      refused(held, error)
    }
  }

  private func admit(_ held: Held, _ caller: Admission.Caller) {
    let (job, id) = (held.job, held.job.id)
    do throws(Refusal) {
      let serving = try model.required()
      try check(job, serving)
      let dialect = try Self.dialect(of: job)
      var asked = try dialect.read(job.body, atMost: configuration.http.bodyLimit)
      // With another seed another node could not go on where this one stopped.
      if !asked.request.hasSeed {
        guard let seed = job.passed?.seed else {
          throw .request(
            .value, field: "seed", words: "'seed' is missing: a job of a shared queue names its seed")
        }
        asked.request.sampling.seed = seed
      }
      // The subject named the model: its other names mean the same. And it named the class.
      asked.request.model = nil
      asked.request.priority =
        asked.request.hasPriority
        ? job.priorityClass.nearest(to: asked.request.priority) : job.priorityClass.priority
      if let deadline = job.deadline {
        let left = deadline * 1_000 - NodeClock.now().wall
        guard left > 0 else { throw .timeLimit }
        asked.request.timeLimit = min(asked.request.timeLimit ?? left, left)
      }
      let state = try admission.admit(asked.request, id: id, from: caller) { [weak self] prompt in
        if job.passed != nil {
          let opening = QueueOpening(prompt)
          held.progress.withLock { $0.opening = opening }
          self?.say(held, .opening(opening))
        }
        return { [weak self] event in self?.hear(event, held) }
      }
      if state == .pending { tell(held, .pending) }
    } catch {
      refused(held, error)
    }
  }

  /// Whether the job is for this model, to the bit.
  private func check(_ job: QueueJob, _ serving: Serving) throws(Refusal) {
    let facts = serving.facts
    if let wanted = job.modelDigest, wanted != facts.modelDigest.hex {
      throw .modelNotServed(
        "SHA-256 \(wanted.prefix(16))", served: "SHA-256 \(facts.modelDigest.hex.prefix(16))")
    }
    if let wanted = job.numerics, wanted != facts.profile {
      throw .modelNotServed("profile \(wanted.prefix(16))", served: "profile \(facts.profile)")
    }
  }

  /// What the job names; otherwise a body with a prompt is for completions, any other for chats.
  static func dialect(of job: QueueJob) throws(Refusal) -> Dialect {
    guard let passed = job.passed else { return dialect(of: job.body) }
    guard let named = Dialect.all.first(where: { $0.name == passed.dialect }) else {
      throw .notTaken
    }
    return named
  }

  private static func dialect(of body: [UInt8]) -> Dialect {
    var limits = JSONText.Limits()
    limits.bytes = 64 << 20
    // What is no JSON is refused by either.
    guard let value = try? JSONText.parse(body, limits: limits), value["prompt"] != nil else {
      return .openAIChat
    }
    return .openAICompletions
  }

  private func hear(_ event: AnswerEvent, _ held: Held) {
    guard !held.progress.withLock({ $0.isLost }) else { return }
    switch event {
    case .admitted: tell(held, .queued)
    case .started: tell(held, .running)
    case .text(let text, _):
      held.progress.withLock { $0.text += text }
      chunk(text, held)
    case .finished(let end), .cut(let end, _):
      if let settled = held.progress.withLock({ $0.settled }) {
        return finish(held, settled, end.tokens ?? [], text: held.progress.withLock { $0.text })
      }
      guard end.receipt != nil else {
        // There is no receipt, so nothing was answered: somebody else may.
        return carryOut(inner.withLock { $0.leases.passed(held.job.id, after: QueueLeases.retry) })
      }
      let reason: String? = if case .cut(_, let refusal) = event { "\(refusal)" } else { nil }
      let text = held.progress.withLock { $0.text }
      signing.complete(.finished(end)) { [weak self] event in
        guard let self, case .finished(let end) = event else { return }
        finish(held, end, text: text, reason: reason)
      }
    case .refused(let refusal): refused(held, refusal)
    }
  }

  private func chunk(_ text: String, _ held: Held) {
    // Without it the end has all.
    guard let transcript = transcripts.find(held.job.id) else { return }
    let (from, asks) = held.progress.withLock { progress in
      progress.chunks += 1
      let asks = progress.unheardSince != nil || progress.chunks % Self.chunksBetweenAsking == 0
      return (progress.tokensSent, asks)
    }
    let tokens = transcript.output(from: from)
    held.progress.withLock { $0.tokensSent = from + tokens.count }
    let word = QueueWord(
      job: held.job.id, node: configuration.name, delivery: held.delivery.count,
      .chunk(from: from, tokens: tokens, text: text))
    let message = NATSMessage(subject: held.job.reply, payload: word.bytes)
    guard asks else {
      // A requester that misses one gets all of it again with the end.
      try? client.publish(message)
      return
    }
    client.request(message, timeout: .seconds(2)) { [weak self] in self?.heard($0, held) }
  }

  /// Whether somebody listens to a job's chunks.
  private func heard(_ result: Result<NATSMessage, NATSError>, _ held: Held) {
    let isGone = held.progress.withLock { progress -> Bool in
      switch result {
      case .success, .failure(.timedOut): progress.unheardSince = nil
      case .failure(.noResponders):
        let since = progress.unheardSince ?? Self.now
        progress.unheardSince = since
        return Self.now - since > Self.patience
      // That says something of this node's connection only.
      case .failure: break
      }
      return false
    }
    if isGone { runtime.send(.clientGone(held.job.id)) }
  }

  private func finish(_ held: Held, _ end: AnswerEnd, text: String, reason: String?) {
    var said = QueueWord.End(
      prompt: end.usage.prompt, cached: end.usage.cached, completion: end.usage.completion)
    said.finish = end.finishReason
    said.receipt = end.receipt
    said.line = end.inline?.line
    said.signature = end.inline?.signature
    said.nonce = end.nonce
    said.amount = end.amount
    said.reason = reason
    said.constraint = end.constraint
    said.share = end.nonceShare
    sayEnd(held, said, end.tokens ?? [], text: text)
  }

  /// The answer was computed again for an end that a receipt stands for. One that was cut cannot be
  /// told from its text: it goes without.
  private func finish(_ held: Held, _ settled: QueueWord, _ tokens: [Int32], text: String) {
    guard case .done(let said, _, _) = settled.body else { return }
    let isWhole = tokens.count == said.completion
    runtime.note(
      .info,
      "job \(held.job.id.short) was answered again: '\(settled.node)' has its receipt, and nothing is billed here"
    )
    sayEnd(held, said, isWhole ? tokens : [], text: isWhole ? text : "")
  }

  private func sayEnd(_ held: Held, _ said: QueueWord.End, _ tokens: [Int32], text: String) {
    // An answer that is longer than a message may be was sent in its chunks.
    let isShort = text.utf8.count < 256 << 10
    let word = QueueWord(
      job: held.job.id, node: configuration.name, delivery: held.delivery.count,
      .done(said, tokens: isShort ? tokens : [], text: isShort ? text : ""))
    sayEnd(held, word, attempt: 1)
  }

  /// Says the end until somebody has heard it, and acknowledges the job then: a requester whose
  /// connection broke is back after a moment. One that stays away is not waited for.
  private func sayEnd(_ held: Held, _ word: QueueWord, attempt: Int) {
    // Its first telling may be lost.
    if let opening = held.progress.withLock({ $0.opening }) { say(held, .opening(opening)) }
    let message = NATSMessage(subject: held.job.reply, payload: word.bytes)
    client.request(message, timeout: .seconds(2)) { [weak self] result in
      guard let self else { return }
      let mostEnds = inner.withLock { $0.isStopping } ? 0 : Self.mostEnds
      switch result {
      case .failure(.noResponders) where attempt < mostEnds, .failure(.disconnected) where attempt < mostEnds:
        DispatchQueue.global().asyncAfter(deadline: .now() + 2) { [weak self] in
          self?.sayEnd(held, word, attempt: attempt + 1)
        }
      case .success, .failure:
        carryOut(inner.withLock { $0.leases.ended(held.job.id, at: Self.now) })
        pullIfFree()
      }
    }
  }

  private func refused(_ held: Held, _ refusal: Refusal) {
    // Charged is charged, also where its answer is not computed again.
    if let settled = held.progress.withLock({ $0.settled }) { return finish(held, settled, [], text: "") }
    let id = held.job.id
    let actions = inner.withLock { inner -> [QueueLeases.Action] in
      switch Self.verdict(refusal) {
      case .another(let delay): inner.leases.passed(id, after: delay)
      case .nobody: inner.leases.refused(id, "\(refusal)", isRequest: refusal.isOfTheRequest)
      }
    }
    carryOut(actions)
    pullIfFree()
  }

  enum Verdict: Equatable {
    /// Another node may answer it, after so many milliseconds.
    case another(after: Int64)
    /// No node will.
    case nobody
  }

  /// What a refusal here means for the job elsewhere.
  static func verdict(_ refusal: Refusal) -> Verdict {
    switch refusal {
    case .noModel, .loading, .engineFailed, .stopping, .journalFailed, .diskFull, .overLimit, .auditFailed,
      .spoolFailed, .sharedQueue, .sharedQueueFull, .notTaken, .cancelled(by: .shutdown), .interrupted,
      .unread, .answersFull, .spoolFull,
      .queue(.draining), .failed:
      .another(after: 0)
    // Prices, limits and policies are each node's own.
    case .queue, .modelNotServed, .priorityForbidden, .clientLimit, .voucherRequired, .unpriced,
      .tooExpensive,
      .unreserved, .undecided, .unidentified:
      .another(after: 30_000)
    case .request, .emptyPrompt, .promptTooLong, .outputTooLong, .unknownToken, .noChatTemplate,
      .templateRefused, .sampling, .rejected, .timeLimit, .cancelled, .answerLost:
      .nobody
    }
  }

  private func tell(_ held: Held, _ state: QueueWord.State) {
    let facts = runtime.state.withLock { $0.facts }
    say(
      held,
      .state(state, modelDigest: facts?.modelDigest.hex ?? "", numerics: facts?.profile ?? ""))
  }

  private func say(_ held: Held, _ body: QueueWord.Body) {
    let word = QueueWord(
      job: held.job.id, node: configuration.name, delivery: held.delivery.count, body)
    // The requester may be gone; the receipt is in the journal.
    try? client.publish(NATSMessage(subject: held.job.reply, payload: word.bytes))
  }

  // MARK: the end of a job that another node may have

  /// Whether this node may write the receipt of a job now. A job of another door always; one of the
  /// shared queue under a lease that is alive, and whose end the server has written down for this node.
  func mayEnd(_ seal: Seal, _ then: @escaping @Sendable (Bool) -> Void) {
    let id = seal.job
    let (held, isAlive) = inner.withLock { ($0.held[id], $0.leases.isAlive(id, at: Self.now)) }
    guard let held else { return then(true) }
    if held.progress.withLock({ $0.settled }) != nil { return then(false) }
    guard isAlive else {
      // The server may have given the job to another node by now, and would not say so.
      letGo(held, "was held up for longer than its lease: it is not billed here, another node has it")
      return then(false)
    }
    let before = held.progress.withLock { progress in
      progress.isClaimed = true
      return progress.claimBefore
    }
    claims.claim(held.job, after: before) { [weak self] outcome in
      guard let self else { return then(false) }
      switch outcome {
      case .mine: then(true)
      case .others(let claim):
        letGo(held, "is not billed here: '\(claim.node)' has ended it")
        then(false)
      case .unknown(let error):
        switch error {
        case .transport(.noResponders), .refused: complainOfEnds()
        case .transport, .answer: break
        }
        // Until the lease is over, or the server is reached again.
        DispatchQueue.global().asyncAfter(deadline: .now() + 0.5) { [weak self] in
          if let self { mayEnd(seal, then) } else { then(false) }
        }
      }
    }
  }

  private func letGo(_ held: Held, _ words: String) {
    let id = held.job.id
    held.progress.withLock { $0.isLost = true }
    inner.withLock { $0.leases.lost(id) }
    _ = drop(id)
    runtime.note(.warning, "job \(id.short) \(words)")
  }

  // MARK: what screens and commands see

  /// As it is now. What waits was told at most five seconds ago.
  /// - passed: the requests of the HTTP door that other nodes answer
  func snapshot(passed: (now: Int, total: Int)?) -> SharedQueueSnapshot {
    let status = client.status
    return inner.withLock { inner in
      SharedQueueSnapshot(
        stream: settings.stream, server: status.server.map { settings.words($0) },
        version: status.info?.version,
        unreachedSince: status.isReady ? nil : inner.unreachedSince, trouble: status.trouble,
        depths: inner.depths,
        leases: inner.held.values.map {
          .init(job: $0.job.id.hex, client: $0.job.client, delivery: $0.delivery.count)
        }.sorted { $0.job < $1.job }, passedOn: passed?.now, passedOnInAll: passed?.total)
    }
  }

  /// Asks the server every five seconds what waits for the served model.
  private func lookAround() {
    let now = Self.now
    let isReady = client.status.isReady
    let names = inner.withLock { inner -> [String]? in
      if isReady {
        inner.unreachedSince = nil
      } else if inner.unreachedSince == nil {
        inner.unreachedSince = NodeClock.now().wall
      }
      guard isReady, !inner.pulls.isEmpty, now >= inner.nextLook else { return nil }
      inner.nextLook = now + 5_000
      return inner.pulls.map(\.consumer)
    }
    guard let names else { return }
    for (name, priorityClass) in zip(names, settings.classes) {
      jetStream.call("CONSUMER.INFO.\(settings.stream).\(name)") { [weak self] result in
        guard let self, case .success(let value) = result else { return }
        let depth = SharedQueueSnapshot.Depth(
          name: priorityClass.rawValue, waiting: value["num_pending"]?.integer ?? 0,
          leased: value["num_ack_pending"]?.integer ?? 0, redelivered: value["num_redelivered"]?.integer ?? 0,
          pulls: value["num_waiting"]?.integer ?? 0)
        inner.withLock { inner in
          var depths = (inner.depths ?? []).filter { $0.name != depth.name } + [depth]
          let order = SharedQueue.Class.allCases.map(\.rawValue)
          depths.sort { (order.firstIndex(of: $0.name) ?? 0) < (order.firstIndex(of: $1.name) ?? 0) }
          inner.depths = depths
        }
      }
    }
  }
}
