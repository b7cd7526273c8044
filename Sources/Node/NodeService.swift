// NodeService.swift: one running node: made of its parts, started and stopped. It composes them and
// does nothing else.
//
// Threads: the engine's own, the journal's and the notary's queues, one loop for HTTP and one for
// the control socket, some for tokenising (Preparation), a timer. Not here: deciding (NodeState),
// the lock and effects (Runtime), models (ServedModel), turning requests into jobs (Admission),
// receipts and accounts (ReceiptLog, Accounts), sockets (HTTPEndpoint, ControlServer).
// Start at init and start.
import Accounting
import Control
import Dispatch
import Foundation
import Inference
import Intake
import Receipts
import Scheduling
import Synchronization

/// A node: engine, scheduler, journal, sockets.
package final class NodeService: Sendable {
  package let options: NodeOptions
  let runtime: Runtime
  let configuration: LiveConfiguration
  let transcripts = Transcripts()
  let archive = TranscriptArchive()
  let screens: Screens
  let signing: Signing
  let witnessing: Witnessing
  package let accounts: Accounts
  let model: ServedModel
  let admission: Admission
  let receipts: ReceiptLog
  let publication: Publication
  let asynchronous: AsynchronousJobs
  private let http: HTTPEndpoint
  /// nil if no shared queue is configured.
  let queue: QueueDoor?
  let entrance: QueueEntrance?
  /// The way to the shared queue.
  private let tunnel: WatchedTunnel?
  private let lock: StateLock
  private let seconds = EverySecond()
  private let notifier = Notifier()
  private let refusals: RefusalLog
  private let running = Mutex(Running())
  private let ended = DispatchSemaphore(value: 0)
  /// Damage found when the journal was opened; the node is read-only then.
  package let damage: Damage?

  /// The parts that a start creates.
  private struct Running {
    var server: Server?
    var control: ControlServer?
    var timer: NodeTimer?
    var watch: MachineWatch?
    var hasBeenTold = false
    var isStopped = false
  }

  /// Opens the state directory and the journal; serves nothing yet.
  package init(_ options: NodeOptions) throws(NodeStartError) {
    self.options = options
    let (configuration, directory) = (options.configuration, options.stateDirectory)
    let now = NodeClock.now()
    let node = Reference()
    let journal: Journal
    do throws(JournalError) {
      lock = try StateLock(state: directory)
      // A node that does not lock the directory may be serving it: one of an earlier release, or
      // one over a network file system.
      if Self.isServed(directory) {
        throw .locked(path: directory + "/control.sock", process: 0)
      }
      let opened = try Journal.open(state: directory, time: now.wall) { node.service?.receipts.hear($0) }
      journal = opened.journal
      damage = opened.opening.damage
    } catch .locked(let path, let process) {
      let error = JournalError.locked(path: path, process: process)
      throw .inUse(error.description, hint: error.hint)
    } catch {
      throw .journal(error)
    }
    let spool: Spool
    let answers: AsynchronousAnswers
    do throws(FileError) {
      spool = try Spool(state: directory)
      answers = AsynchronousAnswers(try AnswerFiles(state: directory), configuration.answers)
    } catch {
      throw .journal(.file(error))
    }
    var state = NodeState(
      configuration: configuration, policy: configuration.policy, version: options.version,
      isDemo: options.isDemo, address: configuration.http.address, now: now)
    let problems = try Self.restore(&state, from: journal, at: now)
    options.trace?.begin(state, receipts: journal.read { $0.counts.logged }, at: now)

    runtime = Runtime(
      state, journal: journal, trace: options.trace, performer: Self.performer(node, log: options.log))
    let live = LiveConfiguration(configuration, read: options.readConfiguration)
    self.configuration = live
    refusals = RefusalLog { node.service?.runtime.note(.info, $0) }
    screens = Screens(runtime) {
      node.service.flatMap { service in
        service.queue?.snapshot(passed: service.entrance?.counts)
      }
    }
    signing = Signing(runtime, stateDirectory: directory)
    witnessing = Witnessing(
      runtime, signing: signing, configuration: configuration, stateDirectory: directory)
    publication = Publication(
      runtime, signing: signing, configuration: live, version: options.version,
      stateDirectory: directory)
    accounts = Accounts(
      runtime, signing: signing, currency: configuration.currency, isDemo: options.isDemo)
    model = ServedModel(
      runtime, transcripts: transcripts, configuration: configuration, listener: Self.listener(node),
      find: options.findModel)
    var bounds = Preparation.Bounds()
    bounds.strangers = configuration.strangers.requests
    bounds.strangerBytes = configuration.strangers.requestBytes
    admission = Admission(
      runtime: runtime, model: model, transcripts: transcripts, preparation: Preparation(bounds),
      refusals: refusals,
      aliases: { live.current.http.modelNames })
    let origin: JobOrigin = options.isDemo ? .demo : .client
    asynchronous = AsynchronousJobs(
      runtime, admission: admission, model: model, transcripts: transcripts, screens: screens,
      answers: answers, spool: spool, stateDirectory: directory, configuration: configuration, origin: origin)
    receipts = ReceiptLog(
      runtime, signing: signing, transcripts: transcripts, archive: archive, model: model,
      admission: admission, configuration: live, keeping: Self.keeping(node))
    var shared = configuration.queue.shared
    do throws(SSHTunnel.Failure) {
      let way = try shared?.tunnelled()
      shared = way?.queue ?? shared
      tunnel = way.map { way in
        WatchedTunnel(way.tunnel) { node.service?.runtime.note(.warning, "the shared queue: \($0)") }
      }
    } catch {
      throw .tunnel(error)
    }
    entrance = shared.flatMap { [runtime] shared in
      shared.entrance.map {
        QueueEntrance(
          shared, $0, runtime, name: configuration.name, version: options.version,
          stateDirectory: directory)
      }
    }
    http = HTTPEndpoint(
      runtime, admission: admission, model: model, accounts: accounts, signing: signing,
      screens: screens,
      archive: archive, asynchronous: asynchronous, witnessing: witnessing,
      publication: publication, entrance: entrance,
      configuration: live,
      version: options.version, isDemo: options.isDemo, origin: origin)
    queue = shared.map { [runtime, admission, model, transcripts, signing] in
      QueueDoor(
        $0, runtime, admission: admission, model: model, transcripts: transcripts, signing: signing,
        configuration: configuration, version: options.version, origin: origin)
    }
    node.connect(self)
    for problem in problems { runtime.note(.error, problem) }
    for notice in options.notices { runtime.note(.warning, "\(notice)") }
    if let damage { runtime.note(.error, "the journal is damaged: \(damage)") }
  }

  /// The parts that the control socket and screens may use.
  var handle: NodeHandle {
    NodeHandle(
      runtime: runtime, admission: admission, model: model, transcripts: transcripts,
      archive: archive,
      accounts: accounts, signing: signing, receipts: receipts, publication: publication,
      screens: screens,
      live: configuration,
      administration: Administration(
        runtime: runtime, accounts: accounts, live: configuration, file: options.configurationFile),
      stateDirectory: options.stateDirectory,
      version: options.version,
      origin: options.isDemo ? .demo : .client)
  }

  /// Writes a receipt, unless the job is one of the shared queue that another node has by now.
  private func seal(_ seal: Seal) {
    guard let queue else { return receipts.seal(seal) }
    queue.mayEnd(seal) { [self] mayEnd in
      if mayEnd { receipts.seal(seal) } else { runtime.send(.receiptRefused(seal.job)) }
    }
  }

  package func snapshot() -> NodeSnapshot { screens.snapshot() }

  /// Reads the configuration again and applies what may change while the node runs, whole or not at
  /// all; what waits for a restart is named. Waits for the disk.
  @discardableResult
  package func reload(by who: String) -> CommandReply { configuration.reload(runtime, by: Operator(who)) }

  // MARK: wiring the parts

  /// Refers to the node for its own parts, which are made before it is. Earlier messages are
  /// dropped.
  private final class Reference: Sendable {
    private struct Inner { weak var service: NodeService? }
    private let inner = Mutex(Inner())

    var service: NodeService? { inner.withLock { $0.service } }
    func connect(_ service: NodeService) { inner.withLock { $0.service = service } }
  }

  private static func performer(
    _ node: Reference, log: @escaping @Sendable (LogLine) -> Void
  ) -> Runtime.Performer {
    Runtime.Performer(
      answer: { id, event in
        guard let service = node.service else { return }
        let client = service.transcripts.find(id)?.client
        service.transcripts.answer(id, event)
        // What another node answers was not turned away.
        if case .refused(let refusal) = event, let client, !(service.entrance?.took(id) ?? false) {
          service.refusals.see(client, refusal, at: NodeClock.now().monotonic)
        }
      },
      forget: { id in
        node.service?.transcripts.remove(id)
        node.service?.asynchronous.answers.forgotten(id, at: NodeClock.now())
      },
      prepare: { node.service?.asynchronous.prepareAnswer($0, $1) },
      seal: { node.service?.seal($0) }, end: { node.service?.asynchronous.conclude($0) },
      wakeEngine: { node.service?.model.wake() }, stop: { node.service?.finish() }, log: log)
  }

  private static func listener(_ node: Reference) -> ServedModel.Listener {
    ServedModel.Listener(
      audited: { node.service?.receipts.audited($0) },
      together: { body in
        if let server = node.service?.running.withLock({ $0.server }) {
          server.together(body)
        } else {
          body()
        }
      },
      isReady: { node.service?.asynchronous.runSpooled() },
      pulls: { node.service?.screens.broadcast(.pull($0)) })
  }

  private static func keeping(_ node: Reference) -> ReceiptLog.Keeping {
    ReceiptLog.Keeping(
      isKept: { node.service?.asynchronous.answers.isAlive($0) ?? false },
      keep: { node.service?.asynchronous.keepAnswer(of: $0, then: $1) },
      ended: { node.service?.asynchronous.ended($0) },
      held: { node.service?.asynchronous.answers.held($0, at: NodeClock.now()) })
  }

  // MARK: restoring the state from the journal

  /// Whether someone answers on the control socket.
  private static func isServed(_ state: String) -> Bool {
    do throws(ServerError) {
      _ = try LineClient(path: state + "/control.sock", timeout: .seconds(1))
      return true
    } catch {
      // Any other problem with the socket is reported when the node binds it.
      return false
    }
  }

  /// - Returns: what was inconsistent, in words.
  private static func restore(
    _ state: inout NodeState, from journal: Journal, at now: Moment
  ) throws(NodeStartError) -> [String] {
    let recent = recent(journal)
    let currency = state.configuration.currency
    // The books cannot mix amounts of two currencies.
    if let other = recent.last(where: { $0.receipt.currency != currency }) {
      throw .currency(found: currency, books: other.receipt.currency)
    }
    let open = unverified(journal)
    return state.restore(
      from: journal.catalog(), recent: recent, unsigned: open.unsigned, failed: open.failed, at: now)
  }

  private static func recent(_ journal: Journal) -> [LoggedReceipt] {
    let size = journal.read { $0.counts.logged }
    var found: [LoggedReceipt] = []
    for index in max(0, size - ReceiptBook.rememberedRows)..<size {
      // Opening the journal has reported unreadable lines as damage.
      if let receipt = try? journal.receipt(at: index) { found.append(receipt) }
    }
    return found
  }

  /// The largest number of unsigned receipts that a start reads one by one: a second's worth. If
  /// more are unsigned, for example because ssh-keygen was missing for weeks, the older ones count
  /// as not verified until the next start.
  /// until the next start.
  private static let mostUnsigned = 20_000

  /// Receipts that do not count as verified: those above the last signed checkpoint, and those that
  /// failed an audit.
  private static func unverified(_ journal: Journal) -> (
    unsigned: [NodeState.UnsignedReceipt], failed: [Receipts.Receipt]
  ) {
    let counts = journal.read { $0.counts }
    let wrong = Set(journal.read { $0.failedReceipts })
    // Opening the journal has reported unreadable lines as damage.
    func receipt(_ index: Int) -> Receipts.Receipt? { (try? journal.receipt(at: index))?.receipt }
    let unsigned = (counts.signed..<max(counts.signed, counts.logged)).suffix(mostUnsigned)
      .compactMap { index in
        receipt(index).map { NodeState.UnsignedReceipt(receipt: $0, counts: !wrong.contains(index)) }
      }
    return (unsigned, wrong.sorted().compactMap(receipt))
  }

  // MARK: start and stop

  /// Begins to serve: sockets first, then the model, in the background.
  ///
  /// Nothing is written to the journal before the sockets are bound: a node that cannot serve
  /// leaves no trace in it.
  package func start() throws(NodeStartError) {
    try makeKey()
    if let damage { runtime.send(.journalFailed("\(damage)")) }
    asynchronous.recover(isDamaged: damage != nil)
    do throws(ServerError) {
      let server = try http.makeServer()
      let control = try ControlServer(node: handle)
      running.withLock { ($0.server, $0.control) = (server, control) }
      configuration.add(
        ConfigurationFollower { [http] old, new in
          http.reloadCertificate()
          if old.control != new.control { control.recheckRights() }
        })
    } catch {
      throw .listen(error)
    }
    runtime.record([
      .nodeStarted(
        NodeStarted(
          version: options.version, key: signing.notary?.key.fingerprint ?? "",
          numerics: "N1", currency: options.configuration.currency))
    ])
    signing.notary?.start()
    let timer = NodeTimer { [weak self] in self?.beat() }
    let watch = MachineWatch(
      stateDirectory: options.stateDirectory, network: { [weak self] in self?.traffic }
    ) {
      [weak self] in self?.runtime.send(.telemetry($0, joules: $1))
    }
    running.withLock { ($0.timer, $0.watch) = (timer, watch) }
    timer.start()
    watch.start()
    tunnel?.start()
    queue?.start()
    entrance?.start()
    model.load(named: options.configuration.model)
  }

  /// Reads the certificate of the HTTP door again; connections that are open keep theirs. A refused
  /// one changes nothing. The log says either.
  package func reloadCertificate() { http.reloadCertificate() }

  /// Loads the key, or makes one; it signs nothing yet.
  func makeKey() throws(NodeStartError) {
    do throws(SignatureError) { try signing.makeKey() } catch { throw .key(error) }
  }

  /// Four times a second: advances time, and sends the newest snapshot to screens that are due.
  private func beat() {
    let now = NodeClock.now()
    runtime.send(.tick)
    if seconds.isDue(at: now.monotonic) {
      runtime.journal.watchSpace()
      refusals.tell(at: now.monotonic)
      notifier.see(runtime.state.withLock { $0.sight }, configuration.current, hour: now.hour)
      asynchronous.answers.expire(at: now)
      witnessing.ask(at: now.monotonic)
    }
    queue?.beat()
    receipts.startAudit(at: now)
    screens.publish(at: now)
  }

  /// Bytes over the HTTP sockets so far.
  private var traffic: (received: UInt64, sent: UInt64)? {
    running.withLock { $0.server }.map { ($0.statistics.receivedBytes, $0.statistics.sentBytes) }
  }

  /// TCP ports of the HTTP server.
  package var ports: [UInt16] { running.withLock { $0.server?.ports } ?? [] }

  /// Stops the node: with `drain`, finishes running jobs first; then stops all threads. Returns at
  /// once; `waitUntilStopped` waits. A second call waits for nothing: no last signature, no client
  /// that is still reading.
  package func stop(drain: Bool, by who: String) {
    _ = runtime.act(.shutdown(drain: drain), by: Operator(who))
    let wasTold = running.withLock { running -> Bool in
      defer { running.hasBeenTold = true }
      return running.hasBeenTold && !drain
    }
    guard wasTold else { return }
    signing.notary?.cancel()
    running.withLock { $0.server }?.stop(grace: .zero)
  }

  /// Blocks until the node has stopped.
  package func waitUntilStopped() {
    ended.wait()
    ended.signal()
  }

  private func finish() {
    let running = self.running.withLock { running -> Running? in
      guard !running.isStopped else { return nil }
      running.isStopped = true
      return running
    }
    guard let running else { return }
    let thread = Thread { [self] in
      running.timer?.stop()
      running.watch?.stop()
      model.stop()
      queue?.stop()
      entrance?.stop()
      tunnel?.stop()
      running.server?.stop(grace: .seconds(2))
      running.server?.waitUntilStopped()
      // Lets answers being written reach the disk, and their ends the journal.
      asynchronous.answers.queue.sync {}
      let done = DispatchSemaphore(value: 0)
      runtime.journal.append(
        [.nodeStopped(NodeStopped(reason: "shutdown"))], at: NodeClock.now().wall
      ) { _ in done.signal() }
      _ = done.wait(timeout: .now() + 5)
      signing.notary?.stop()
      runtime.journal.close()
      screens.broadcast(.link(.ended(reason: "the node stopped")))
      running.control?.stop()
      ended.signal()
    }
    thread.start()
  }
}
