// NodeService.swift: one running node: the state machine under a lock, and the threads that do what it wants.
//
// Rule: decisions are made under the lock, and done outside it. Why: a write, a socket or a model must never hold up
// the engine or a screen. So: `send` applies an event, then performs its effects. Otherwise one slow disk would freeze
// every stream.
//
// Threads: the engine's own, the journal's and the notary's queues, one loop for HTTP and one for the control socket,
// some for tokenising (Jobs/Preparation.swift), a timer. Leaves out deciding (State), routes (Endpoints/HTTP), what effects do
// (NodeService+Effects.swift), receipts, screens and pulls (the files beside it). Start at start().
import Accounting
import Control
import Dispatch
import Foundation
import Inference
import Intake
import Receipts
import Scheduling
import Synchronization

/// What a node is started with.
package struct NodeOptions: Sendable {
  package var configuration: NodeConfiguration
  /// Made if it is not there, 0700.
  package var stateDirectory: String
  package var version: String
  package var isDemo = false
  /// Finds the file of a model by name or path, nil being the configuration's or the only one.
  /// Throws in words for the operator.
  package var findModel: @Sendable (String?) throws(ServingError) -> ModelFile
  /// Gets all that happens to the state machine.
  package var trace: TraceRecorder?
  /// Lines of the log, as they come. Must not block.
  package var log: @Sendable (LogLine) -> Void = { _ in }

  package init(
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
package enum NodeStartError: Error, Sendable, CustomStringConvertible {
  /// The state directory is another node's.
  case inUse(String, hint: String?)
  case journal(JournalError)
  case listen(ServerError)
  /// `key` and `key.pub` do not belong together: receipts would name a node that does not exist.
  case key(SignatureError)
  /// The configuration names another currency than the one that the journal's receipts are in.
  case currency(found: String, books: String)

  package var description: String {
    switch self {
    case .inUse(let words, _): words
    case .journal(let error): "\(error)"
    case .listen(let error): "\(error)"
    case .key(let error): "the node's key: \(error)"
    case .currency(let found, let books):
      "the currency is '\(found)' in the configuration, the books in this state directory are kept in '\(books)'"
    }
  }

  package var hint: String? {
    switch self {
    case .inUse(_, let hint): hint
    case .journal(let error): error.hint
    case .key(let error): error.hint
    case .currency(let found, let books):
      "set 'currency' to '\(books)', or keep books in '\(found)' in another '--state'"
    case .listen(let error): Self.hint(error)
    }
  }

  private static func hint(_ error: ServerError) -> String? {
    switch error {
    case .addressInUse(let address) where address.hasPrefix("/"):
      "another program serves that socket; 'hotpot attach' shows a node that does"
    case .addressInUse:
      "another program may use the address: 'ss -ltnp' shows which; 'http.listen' in the config or --listen chooses another"
    case .addressInvalid:
      "'ip address' shows the addresses of this machine; 127.0.0.1 is always one, 0.0.0.0 stands for all"
    case .pathTooLong(let path, _) where path.hasSuffix("/control.sock"):
      "name a shorter directory: with --state DIR, or with TMPDIR for a demo"
    case .pathTooLong: "name a shorter path in the config"
    case .notASocket: "move it away, or name another path in the config"
    case .system(let call, EACCES) where call.hasSuffix("'"):
      "its directory must be one that this user may write"
    case .system(_, EACCES): "ports below 1024 are root's: choose a higher one with --listen or 'http.listen'"
    case .system(_, EMFILE), .system(_, ENFILE):
      "'ulimit -n' is too low, or the machine has no descriptors left"
    case .system(let call, ENOENT) where call.hasSuffix("'"): "make its directory first"
    case .system, .noServer, .connectionClosed, .timedOut, .lineTooLong: nil
    }
  }
}

/// A node: engine, scheduler, journal, sockets.
package final class NodeService: Sendable {
  package let options: NodeOptions
  let state: Mutex<NodeState>
  let transcripts = Transcripts()
  let asynchronous: AsynchronousAnswers
  let archive = TranscriptArchive()
  let seconds = EverySecond()
  let absences = Absences()
  let journal: Journal
  private let lock: StateLock
  let spool: Spool
  let parts = Mutex(Parts())
  private let ended = DispatchSemaphore(value: 0)
  /// Tokenising and templates, and what else takes a while.
  let preparation: Preparation
  /// What strangers keep in the spool.
  let strangersSpool: SpoolShare
  /// Damage that the journal was opened with; the node is read-only then.
  package let damage: Damage?

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
    /// Accepted by earlier runs, and not yet running: their model is not there.
    var waiting: [SpooledJob] = []
    var hasBeenTold = false
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
  package init(_ options: NodeOptions) throws(NodeStartError) {
    self.options = options
    let now = Self.now()
    let notices = Notices()
    do throws(JournalError) {
      lock = try StateLock(state: options.stateDirectory)
      // A node that does not lock the directory may serve it: one of an earlier release, or over a network file system.
      if Self.isServed(options.stateDirectory) {
        throw .locked(path: options.stateDirectory + "/control.sock", process: 0)
      }
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
      asynchronous = AsynchronousAnswers(
        try AnswerFiles(state: options.stateDirectory), options.configuration.answers)
    } catch {
      throw .journal(.file(error))
    }
    let strangers = options.configuration.strangers
    var bounds = Preparation.Bounds()
    bounds.strangers = strangers.requests
    bounds.strangerBytes = strangers.requestBytes
    preparation = Preparation(bounds)
    strangersSpool = SpoolShare(limit: strangers.spoolBytes)
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

  /// Whether somebody answers on the control socket.
  private static func isServed(_ state: String) -> Bool {
    do throws(ServerError) {
      _ = try LineClient(path: state + "/control.sock", timeout: .seconds(1))
      return true
    } catch {
      // Whatever else is wrong with the place is said when the node binds it.
      return false
    }
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
    unsigned: [NodeState.UnsignedReceipt], failed: [Receipts.Receipt]
  ) {
    let counts = journal.read { $0.counts }
    let wrong = Set(journal.read { $0.failedReceipts })
    // A line that cannot be read is damage that opening the journal has reported.
    func receipt(_ index: Int) -> Receipts.Receipt? { (try? journal.receipt(at: index))?.receipt }
    let unsigned = (counts.signed..<max(counts.signed, counts.logged)).suffix(mostUnsigned)
      .compactMap { index in
        receipt(index).map { NodeState.UnsignedReceipt(receipt: $0, counts: !wrong.contains(index)) }
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
  ///
  /// Nothing is written to the journal before the sockets are bound: a node that cannot serve leaves no trace in it.
  package func start() throws(NodeStartError) {
    try makeNotary()
    if let damage { send(.journalFailed("\(damage)")) }
    recover()
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
    record([
      .nodeStarted(
        NodeStarted(
          version: options.version, key: parts.withLock { $0.notary?.key.fingerprint } ?? "",
          numerics: "N1", currency: options.configuration.currency))
    ])
    notary?.start()
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

  /// The key, made if there is none, and who signs with it; it signs nothing yet.
  func makeNotary() throws(NodeStartError) {
    let keyPath = options.stateDirectory + "/key"
    let keygen = SSHKeygen()
    do throws(SignatureError) {
      let key = try keygen.makeKey(at: keyPath)
      do throws(SignatureError) {
        try keygen.checkKey(at: keyPath)
      } catch .foreignKey(let path, let found, let wanted) {
        throw .foreignKey(path: path, found: found, wanted: wanted)
      } catch {
        note(
          .warning, "whether '\(keyPath).pub' is the public half of '\(keyPath)' cannot be checked: \(error)")
      }
      let notary = Notary(
        journal: journal, state: options.stateDirectory, key: key, keyPath: keyPath, keygen: keygen,
        clock: { Self.now().wall }
      ) { [weak self] in self?.hear($0) }
      parts.withLock { $0.notary = notary }
      state.withLock { $0.receipts.keyFingerprint = key.fingerprint }
    } catch {
      switch error {
      // Everything that this node signs and says would bear a name that is nobody's.
      case .badKey, .foreignKey: throw .key(error)
      case .missing, .hung, .cancelled, .failed, .file, .format, .wrongNamespace, .unknownSigner,
        .notAllowed, .doesNotHold:
        send(.signingFailed("\(error)"))
      }
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
        let words = "\(error)\(error.hint.map { "; \($0)" } ?? "")"
        // Serving goes on without it, so this must be seen where nobody looks at the state.
        note(.error, "no model is loaded: \(words)")
        send(.noModel(words))
        return
      }
      for warning in serving.tokenizer.warnings + serving.chatWarnings { note(.warning, warning) }
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

  var admission: Admission {
    Admission(
      node: Admission.Node(
        identify: { [self] (token) throws(ClientDirectory.Refusal) in
          try state.withLock { state throws(ClientDirectory.Refusal) in
            try state.clients.identify(token: token)
          }
        },
        serving: { [self] () throws(Refusal) in
          guard let serving else { throw state.withLock { $0.modelRefusal } }
          return serving
        },
        terms: { [self] (job) throws(Refusal) in
          try state.withLock { state throws(Refusal) in try state.terms(for: job, at: Self.now()) }
        },
        submit: { [self] job in
          send(.submitted(job))
          return state.withLock { $0.jobs[job.id]?.state }
        }),
      transcripts: transcripts, preparation: preparation)
  }

  var notary: Notary? { parts.withLock { $0.notary } }
  /// Bytes of the HTTP sockets so far.
  private var traffic: (received: UInt64, sent: UInt64)? {
    parts.withLock { $0.server }.map { ($0.statistics.receivedBytes, $0.statistics.sentBytes) }
  }

  /// TCP ports that HTTP is served on.
  package var ports: [UInt16] { parts.withLock { $0.server?.ports } ?? [] }

  /// Ends: finishes what runs if `drain`, then stops all threads. Returns at once; `waitUntilStopped` waits.
  /// Told a second time, it waits for nobody: no last signature, no client that still reads.
  package func stop(drain: Bool, by who: String) {
    decide { state, now, effects in
      _ = state.act(.shutdown(drain: drain), by: Operator(who), at: now, &effects)
      options.trace?.record(.act(.shutdown(drain: drain), by: Operator(who)), at: now, effects)
    }
    let parts = parts.withLock { parts -> Parts? in
      defer { parts.hasBeenTold = true }
      return parts.hasBeenTold && !drain ? parts : nil
    }
    guard let parts else { return }
    parts.notary?.cancel()
    parts.server?.stop(grace: .zero)
  }

  /// Blocks until the node has stopped.
  package func waitUntilStopped() {
    ended.wait()
    ended.signal()
  }

  func finish() {
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
      // Answers on their way to the disk reach it, and their ends the journal.
      asynchronous.queue.sync {}
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
}
