// NodeService.swift: one running node: the state machine under a lock, and the threads that do what it wants.
//
// Rule: decisions are made under the lock, and done outside it. Why: a write, a socket or a model must never hold up
// the engine or a screen. So: `send` applies an event, then performs its effects. Otherwise one slow disk would freeze
// every stream.
//
// Threads: the engine's own, the journal's and the notary's queues, one loop for HTTP and one for the control socket,
// two workers for tokenising, a timer. Leaves out deciding (State), routes (HTTP) and screens. Start at start().
import Accounting
import Dispatch
import Foundation
import Inference
import Intake
import Receipts
import Scheduling
import Synchronization

/// What a node is started with.
public struct NodeOptions: Sendable {
  public var configuration: NodeConfiguration
  /// Made if it is not there, 0700.
  public var stateDirectory: String
  public var version: String
  public var isDemo = false
  /// Finds the file of a model by name or path, nil being the configuration's or the only one.
  /// Throws in words for the operator.
  public var findModel: @Sendable (String?) throws(ServingError) -> ModelFile
  /// Gets all that happens to the state machine.
  public var trace: TraceRecorder?
  /// Lines of the log, as they come. Must not block.
  public var log: @Sendable (LogLine) -> Void = { _ in }

  public init(
    configuration: NodeConfiguration, stateDirectory: String, version: String,
    findModel: @escaping @Sendable (String?) throws(ServingError) -> ModelFile
  ) {
    self.configuration = configuration
    self.stateDirectory = stateDirectory
    self.version = version
    self.findModel = findModel
  }
}

/// Why a node did not start.
public enum NodeStartError: Error, Sendable, CustomStringConvertible {
  /// The state directory is another node's.
  case inUse(String, hint: String?)
  case journal(JournalError)
  case listen(ServerError)
  /// The configuration names another currency than the one that the journal's receipts are in.
  case currency(found: String, books: String)

  public var description: String {
    switch self {
    case .inUse(let words, _): words
    case .journal(let error): "\(error)"
    case .listen(let error): "\(error)"
    case .currency(let found, let books):
      "the currency is '\(found)' in the configuration, the books in this state directory are kept in '\(books)'"
    }
  }

  public var hint: String? {
    switch self {
    case .inUse(_, let hint): hint
    case .journal(let error): error.hint
    case .currency(let found, let books):
      "set 'currency' to '\(books)', or keep books in '\(found)' in another '--state'"
    case .listen: "another program may use the address; 'http.listen' in the config or --listen chooses one"
    }
  }
}

/// A node: engine, scheduler, journal, sockets.
public final class NodeService: Sendable {
  public let options: NodeOptions
  let state: Mutex<NodeState>
  let transcripts = Transcripts()
  let asynchronous = AsynchronousAnswers()
  let archive = TranscriptArchive()
  let absences = Absences()
  let journal: Journal
  private let lock: StateLock
  let spool: Spool?
  private let parts = Mutex(Parts())
  private let ended = DispatchSemaphore(value: 0)
  /// Tokenising and templates: two at a time, so that a huge prompt does not hold up all others.
  let workers: OperationQueue
  /// Damage that the journal was opened with; the node is read-only then.
  public let damage: Damage?

  struct Parts {
    var serving: Serving?
    var loop: EngineLoop?
    var notary: Notary?
    var server: Server?
    var control: ControlServer?
    var timer: NodeTimer?
    var watch: MachineWatch?
    var subscribers: [UInt64: Subscriber] = [:]
    var nextSubscriber: UInt64 = 1
    var pull: Task<Void, Never>?
    var isStopped = false
  }

  /// A screen that wants to know.
  struct Subscriber: Sendable {
    let deliver: @Sendable (NodeMessage) -> Void
    /// Least microseconds between snapshots.
    let interval: Microseconds
    var last: Microseconds = .min / 2
  }

  /// Opens state directory and journal; serves nothing yet.
  public init(_ options: NodeOptions) throws(NodeStartError) {
    self.options = options
    let now = Self.now()
    let notices = Notices()
    do throws(JournalError) {
      lock = try StateLock(state: options.stateDirectory)
      let opened = try Journal.open(state: options.stateDirectory, time: now.wall) { notices.forward($0) }
      journal = opened.journal
      damage = opened.opening.damage
    } catch .locked(let path, let process) {
      let error = JournalError.locked(path: path, process: process)
      throw .inUse(error.description, hint: error.hint)
    } catch {
      throw .journal(error)
    }
    do throws(FileError) {
      spool = try Spool(state: options.stateDirectory)
    } catch {
      throw .journal(.file(error))
    }
    workers = OperationQueue()
    workers.maxConcurrentOperationCount = 2
    workers.name = "hotpot-prepare"
    let address = options.configuration.http.listen.map { "http://\($0)" }
    var first = NodeState(
      configuration: options.configuration, policy: options.configuration.policy, version: options.version,
      isDemo: options.isDemo, address: address, now: now)
    let recent = Self.recent(journal)
    // Amounts of two currencies cannot stand in one book.
    if let other = recent.last(where: { $0.receipt.currency != options.configuration.currency }) {
      throw .currency(found: options.configuration.currency, books: other.receipt.currency)
    }
    let open = Self.unverified(journal)
    let problems = first.restore(
      from: journal.catalog(), recent: recent, unsigned: open.unsigned, failed: open.failed, at: now)
    state = Mutex(first)
    if let trace = options.trace { beginTrace(trace, first, at: now) }
    notices.connect(self)
    for problem in problems { note(.error, problem) }
    if let recovered = opened(opening: damage) { note(.error, recovered) }
  }

  private func opened(opening damage: Damage?) -> String? { damage.map { "the journal is damaged: \($0)" } }

  private static func recent(_ journal: Journal) -> [LoggedReceipt] {
    let size = journal.read { $0.counts.logged }
    var found: [LoggedReceipt] = []
    for index in max(0, size - ReceiptBook.rememberedRows)..<size {
      // A line that cannot be read is damage that opening the journal has reported.
      if let receipt = try? journal.receipt(at: index) { found.append(receipt) }
    }
    return found
  }

  /// The most unsigned receipts that a start reads one by one: a second's worth. Where more are unsigned, as where
  /// ssh-keygen was missing for weeks, the older ones count as not verified until the next start.
  private static let mostUnsigned = 20_000

  /// Receipts that do not count as verified: those above the last signed checkpoint, and those that failed an audit.
  private static func unverified(_ journal: Journal) -> (
    unsigned: [Receipts.Receipt], failed: [Receipts.Receipt]
  ) {
    let counts = journal.read { $0.counts }
    let wrong = Set(journal.read { $0.failedReceipts })
    // A line that cannot be read is damage that opening the journal has reported.
    func receipt(_ index: Int) -> Receipts.Receipt? { (try? journal.receipt(at: index))?.receipt }
    let unsigned = (counts.signed..<max(counts.signed, counts.logged)).suffix(mostUnsigned)
      .compactMap { index -> Receipts.Receipt? in
        guard var receipt = receipt(index) else { return nil }
        if wrong.contains(index) { receipt.amount = 0 }
        return receipt
      }
    return (unsigned, wrong.sorted().compactMap(receipt))
  }

  /// The journal speaks before there is a node to listen.
  private final class Notices: Sendable {
    private let node = Mutex<NodeReference>(NodeReference())
    struct NodeReference { weak var service: NodeService? }

    func connect(_ service: NodeService) { node.withLock { $0.service = service } }

    func forward(_ notice: JournalNotice) {
      guard let service = node.withLock({ $0.service }) else { return }
      service.hear(notice)
    }
  }

  // MARK: start and stop

  /// Begins to serve: sockets first, then the model, in the background.
  public func start() throws(NodeStartError) {
    startNotary()
    if let damage { send(.journalFailed("\(damage)")) }
    record([
      .nodeStarted(
        NodeStarted(
          version: options.version, key: parts.withLock { $0.notary?.key.fingerprint } ?? "",
          numerics: "N1", currency: options.configuration.currency))
    ])
    do throws(ServerError) {
      let server = try makeServer()
      let control = try ControlServer(node: self)
      parts.withLock {
        $0.server = server
        $0.control = control
      }
    } catch {
      throw .listen(error)
    }
    let timer = NodeTimer { [weak self] in self?.beat() }
    let watch = MachineWatch(
      stateDirectory: options.stateDirectory, network: { [weak self] in self?.traffic }
    ) {
      [weak self] in self?.send(.telemetry($0, joules: $1))
    }
    parts.withLock {
      $0.timer = timer
      $0.watch = watch
    }
    timer.start()
    watch.start()
    loadModel(named: options.configuration.model)
  }

  private func startNotary() {
    let keyPath = options.stateDirectory + "/key"
    let keygen = SSHKeygen()
    do throws(SignatureError) {
      let key = try keygen.makeKey(at: keyPath)
      let notary = Notary(
        journal: journal, state: options.stateDirectory, key: key, keyPath: keyPath, keygen: keygen,
        clock: { Self.now().wall }
      ) { [weak self] in self?.hear($0) }
      parts.withLock { $0.notary = notary }
      state.withLock { $0.receipts.keyFingerprint = key.fingerprint }
      notary.start()
    } catch {
      send(.signingFailed("\(error)"))
    }
  }

  /// Loads a model on a thread of its own, in place of what is there.
  func loadModel(named name: String?) {
    let thread = Thread { [self] in
      // The engine's own threads are made by this one, and take over its name.
      Thread.current.name = "engine-worker"
      send(.loading(fraction: nil))
      let serving: Serving
      do throws(ServingError) {
        let file = try options.findModel(name)
        serving = try Serving.load(file, configuration: options.configuration)
      } catch {
        send(.noModel("\(error)\(error.hint.map { "; \($0)" } ?? "")"))
        return
      }
      for warning in serving.tokenizer.warnings { note(.warning, warning) }
      install(serving)
    }
    thread.name = "load"
    thread.stackSize = 4 << 20
    thread.start()
  }

  private func install(_ serving: Serving) {
    let loop = EngineLoop(
      engine: serving.engine, transcripts: transcripts,
      node: EngineLoop.Node(
        nextStep: { [weak self] in self?.nextStep() },
        report: { [weak self] number, results, duration in
          self?.send(.stepped(number: number, results: results, duration: duration))
        },
        nextDeadline: { [weak self] in self?.state.withLock { $0.nextDeadline } },
        failed: { [weak self] in self?.send(.engineFailed($0)) },
        audited: { [weak self] in self?.audited($0) },
        together: { [weak self] body in
          if let server = self?.parts.withLock({ $0.server }) { server.together(body) } else { body() }
        }))
    let old = parts.withLock { parts -> EngineLoop? in
      let old = parts.loop
      parts.serving = serving
      parts.loop = loop
      return old
    }
    old?.stop()
    send(.engineReady(serving.facts))
    loop.start()
    runSpooled()
  }

  var serving: Serving? { parts.withLock { $0.serving } }
  var notary: Notary? { parts.withLock { $0.notary } }
  /// Bytes of the HTTP sockets so far.
  private var traffic: (received: UInt64, sent: UInt64)? {
    parts.withLock { $0.server }.map { ($0.statistics.receivedBytes, $0.statistics.sentBytes) }
  }

  /// TCP ports that HTTP is served on.
  public var ports: [UInt16] { parts.withLock { $0.server?.ports } ?? [] }

  /// Ends: finishes what runs if `drain`, then stops all threads. Returns at once; `waitUntilStopped` waits.
  public func stop(drain: Bool, by who: String) {
    perform(
      state.withLock { state in
        var effects: [NodeEffect] = []
        let now = Self.now()
        _ = state.act(.shutdown(drain: drain), by: Operator(who), at: now, &effects)
        options.trace?.record(.act(.shutdown(drain: drain), by: Operator(who)), at: now, effects)
        return effects
      })
  }

  /// Blocks until the node has stopped.
  public func waitUntilStopped() {
    ended.wait()
    ended.signal()
  }

  private func finish() {
    let parts = self.parts.withLock { parts -> Parts? in
      guard !parts.isStopped else { return nil }
      parts.isStopped = true
      return parts
    }
    guard let parts else { return }
    let thread = Thread { [self] in
      parts.timer?.stop()
      parts.watch?.stop()
      parts.loop?.stop()
      parts.pull?.cancel()
      parts.server?.stop(grace: .seconds(2))
      parts.server?.waitUntilStopped()
      let done = DispatchSemaphore(value: 0)
      journal.append(
        [.nodeStopped(NodeStopped(reason: "shutdown"))], at: Self.now().wall
      ) { _ in done.signal() }
      _ = done.wait(timeout: .now() + 5)
      parts.notary?.stop()
      journal.close()
      broadcast(.link(.ended(reason: "the node stopped")))
      parts.control?.stop()
      ended.signal()
    }
    thread.start()
  }

  // MARK: events and effects

  /// One event: decided under the lock, done outside it.
  func send(_ event: NodeEvent) {
    perform(
      state.withLock { state in
        let now = Self.now()
        let effects = state.apply(event, at: now)
        options.trace?.record(.event(event), at: now, effects)
        return effects
      })
  }

  func note(_ level: LogLevel, who: String? = nil, _ text: String) { send(.note(level, who: who, text)) }

  private func nextStep() -> StepPlan? {
    let next = state.withLock { state -> (plan: StepPlan, effects: [NodeEffect])? in
      let now = Self.now()
      let next = state.nextStep(at: now)
      if let next { options.trace?.record(.plan, at: now, next.effects) }
      return next
    }
    guard let (plan, effects) = next else { return nil }
    perform(effects)
    return plan
  }

  func perform(_ effects: [NodeEffect]) {
    var records: [Record] = []
    var isOver = false
    for effect in effects {
      switch effect {
      case .answer(let id, let event): answer(id, event)
      case .forget(let id): forget(id)
      case .seal(let seal): self.seal(seal)
      case .record(let record): records.append(record)
      case .log(let line): options.log(line)
      case .wakeEngine: parts.withLock { $0.loop }?.signal()
      case .stop: isOver = true
      }
    }
    if !records.isEmpty { record(records) }
    // The last records come before the journal's end.
    if isOver { finish() }
  }

  func record(_ records: [Record]) {
    journal.append(records, at: Self.now().wall) { [weak self] result in
      if case .failure(let error) = result { self?.journalRefused(error) }
    }
  }

  private func journalRefused(_ error: JournalError) {
    switch error {
    case .refused: note(.error, "\(error)")
    case .closed: break
    case .locked, .file, .readOnly, .stopped, .noReceipt: send(.journalFailed("\(error)"))
    }
  }

  private func answer(_ id: JobID, _ event: AnswerEvent) {
    guard let transcript = transcripts.find(id) else { return }
    guard case .finished(var end) = event else { return transcript.sink(event) }
    if end.receipt != nil { end.nonce = transcript.nonces.hex }
    end.tokens = Array(transcript.output.prefix(end.usage.completion))
    transcript.sink(.finished(end))
  }

  private func forget(_ id: JobID) {
    transcripts.remove(id)
    guard let spool else { return }
    do throws(FileError) {
      try spool.remove(job: id.rawValue)
    } catch {
      note(.warning, "the spooled request of job \(id.hex.prefix(8)) stays on disk: \(error)")
    }
  }

  // MARK: receipts

  private func seal(_ seal: Seal) {
    guard let transcript = transcripts.find(seal.job), let facts = state.withLock({ $0.facts }) else {
      return send(.note(.error, who: nil, "job \(seal.job.hex) has no content to receipt"))
    }
    let receipt = transcript.receipt(
      seal, facts: facts, node: notary?.key.fingerprint ?? "", currency: options.configuration.currency)
    journal.append([.receipt(receipt)], at: Self.now().wall) { [weak self] result in
      guard let self else { return }
      switch result {
      case .success(let appended):
        guard let logged = appended.first, case .receipt(let receipt) = logged.entry.record,
          let id = logged.receiptID
        else { return }
        archive.keep(
          transcript, receipt: receipt, id: id, for: options.configuration.audits.keepTranscripts,
          at: Self.now().monotonic)
        send(.receiptLogged(seal.job, index: UInt64(clamping: receipt.index), id: id))
      case .failure(let error):
        send(.note(.error, who: nil, "job \(seal.job.hex.prefix(8)) gets no receipt: \(error)"))
        send(.receiptRefused(seal.job))
        journalRefused(error)
      }
    }
  }

  private func hear(_ notice: JournalNotice) {
    switch notice {
    case .committed: notary?.committed()
    case .sealed(let segment): notary?.sealed(segment: segment)
    case .lowSpace(let isLow): send(.lowSpace(isLow))
    case .stopped(let error): send(.journalFailed("\(error)"))
    }
  }

  private func hear(_ notice: NotaryNotice) {
    switch notice {
    case .signed(let checkpoint):
      send(.checkpointSigned(size: UInt64(checkpoint.size), time: checkpoint.time))
    case .sealed: break
    case .failed(let error): send(.signingFailed("\(error)"))
    }
  }

  private func audited(_ transcript: Transcript) {
    guard let audit = transcript.audit, let facts = state.withLock({ $0.facts }) else { return }
    let difference = transcript.difference(facts: facts)
    archive.audited(audit.id)
    send(.audited(receipt: audit.id, difference.map { .failed("\($0)") } ?? .audited))
    record([
      .audit(
        difference?.audit(of: audit.receipt.index) ?? Audit(receipt: audit.receipt.index, outcome: .identical)
      )
    ])
  }

  /// Re-executes a receipt now, or when the engine is idle.
  func verify(receipt: String) -> CommandReply {
    guard let kept = archive.find(receipt) else {
      return .refused(
        "the transcript of receipt \(receipt.prefix(8)) is no longer in memory; 'hotpot verify' with the client's transcript checks it"
      )
    }
    guard let serving else { return .refused("no model is loaded") }
    let id = makeJobID()
    guard let prepared = serving.prepareAudit(of: kept, id: id, sink: { _ in }) else {
      return .refused("receipt \(receipt.prefix(8)) has no output to check")
    }
    transcripts.add(prepared.transcript)
    send(.audited(receipt: receipt, .running))
    send(.submitted(prepared.job))
    return .done("verifying receipt \(receipt.prefix(8)) when the engine is idle")
  }

  // MARK: jobs

  /// A fresh id: random, so that no client guesses another's.
  func makeJobID() -> JobID {
    var generator = SystemRandomNumberGenerator()
    return JobID(generator.next())
  }

  // MARK: screens

  /// Adds a screen: it gets a snapshot at once, and then at most one each interval.
  func subscribe(every interval: Microseconds, _ deliver: @escaping @Sendable (NodeMessage) -> Void) -> UInt64
  {
    let id = parts.withLock { parts -> UInt64 in
      let id = parts.nextSubscriber
      parts.nextSubscriber += 1
      parts.subscribers[id] = Subscriber(deliver: deliver, interval: interval, last: Self.now().monotonic)
      return id
    }
    deliver(.snapshot(snapshot()))
    return id
  }

  func unsubscribe(_ id: UInt64) { parts.withLock { _ = $0.subscribers.removeValue(forKey: id) } }

  public func snapshot() -> NodeSnapshot { state.withLock { $0.snapshot(at: Self.now()) } }

  func broadcast(_ message: NodeMessage) {
    for subscriber in parts.withLock({ Array($0.subscribers.values) }) { subscriber.deliver(message) }
  }

  /// Four times a second: time passes, screens that are due get the newest snapshot.
  private func beat() {
    let now = Self.now()
    send(.tick)
    startAudit(at: now)
    publish(at: now)
  }

  /// Screens see an act's result at once, not at the next beat.
  func publishNow() { publish(at: Self.now(), force: true) }

  private func publish(at now: Moment, force: Bool = false) {
    let due = parts.withLock { parts -> [@Sendable (NodeMessage) -> Void] in
      var due: [@Sendable (NodeMessage) -> Void] = []
      for (id, subscriber) in parts.subscribers
      where force || now.monotonic - subscriber.last >= subscriber.interval - 20_000 {
        parts.subscribers[id]?.last = now.monotonic
        due.append(subscriber.deliver)
      }
      return due
    }
    guard !due.isEmpty else { return }
    let message = NodeMessage.snapshot(snapshot())
    for deliver in due { deliver(message) }
  }

  private func startAudit(at now: Moment) {
    archive.expire(at: now.monotonic)
    guard options.configuration.audits.share > 0, state.withLock({ $0.isIdle }) else { return }
    guard let receipt = archive.nextToAudit(share: options.configuration.audits.share) else { return }
    if case .refused(let words) = verify(receipt: receipt) { note(.warning, "audit: \(words)") }
  }

  // MARK: pulling

  func pull(_ name: String) -> CommandReply {
    guard let model = ModelCatalog.model(named: name) else {
      return .refused("no model called '\(name)' can be pulled from here")
    }
    return parts.withLock { parts in
      guard parts.pull == nil else { return .refused("a model is being pulled already") }
      parts.pull = Task { [weak self] in await self?.run(pull: model.name) }
      return .done("pulling \(name)")
    }
  }

  func cancelPull() -> CommandReply {
    guard let task = parts.withLock({ $0.pull }) else { return .refused("nothing is being pulled") }
    task.cancel()
    return .done("the pull is being cancelled")
  }

  private func run(pull name: String) async {
    func tell(_ phase: PullProgress.Phase, _ bytes: Int, _ total: Int?, _ detail: String?) {
      broadcast(
        .pull(
          PullProgress(
            model: name, phase: phase, bytes: Int64(bytes), total: total.map { Int64($0) }, detail: detail)))
    }
    tell(.starting, 0, nil, nil)
    do {
      let pull = try ModelPull(name, store: ModelStore())
      for try await progress in pull.events() {
        switch progress.state {
        case .starting: tell(.starting, progress.bytes, progress.total, nil)
        case .downloading: tell(.fetching, progress.bytes, progress.total, nil)
        case .unpacking, .verifying: tell(.checking, progress.bytes, progress.total, nil)
        case .finished: tell(.loading, progress.bytes, progress.total, nil)
        }
      }
      if Task.isCancelled { throw CancellationError() }
      note(.info, "pulled \(name)")
      tell(.done, 0, nil, nil)
      loadModel(named: name)
    } catch is CancellationError {
      tell(.cancelled, 0, nil, nil)
    } catch {
      note(.error, "pulling \(name): \(error)")
      tell(.failed, 0, nil, "\(error)")
    }
    parts.withLock { $0.pull = nil }
  }

  // MARK: time

  /// Both clocks now.
  static func now() -> Moment {
    var wall = timespec()
    var monotonic = timespec()
    clock_gettime(CLOCK_REALTIME, &wall)
    clock_gettime(CLOCK_MONOTONIC, &monotonic)
    var local = tm()
    var seconds = wall.tv_sec
    localtime_r(&seconds, &local)
    return Moment(
      wall: Int64(wall.tv_sec) * 1_000_000 + Int64(wall.tv_nsec) / 1_000,
      monotonic: Int64(monotonic.tv_sec) * 1_000_000 + Int64(monotonic.tv_nsec) / 1_000,
      utcOffset: local.tm_gmtoff)
  }
}

/// Calls back four times a second on a thread of its own.
final class NodeTimer: Sendable {
  private let beat: @Sendable () -> Void
  private let isStopped = Atomic<Bool>(false)

  init(_ beat: @escaping @Sendable () -> Void) { self.beat = beat }

  func start() {
    let thread = Thread { [self] in
      while !isStopped.load(ordering: .relaxed) {
        Thread.sleep(forTimeInterval: 0.25)
        beat()
      }
    }
    thread.name = "beat"
    thread.stackSize = 1 << 20
    thread.start()
  }

  func stop() { isStopped.store(true, ordering: .relaxed) }
}
