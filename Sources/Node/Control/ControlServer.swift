// ControlServer.swift: the node's side of the control socket: dashboards and scripts, here and behind ssh.
// The socket in the state directory is 0600; a second one, if the configuration names it, is for other users of the
// machine. Who a peer is comes from the kernel (ControlAccess), what he may do from one table (Role), and both are asked
// here before anything is done. Leaves out what commands do (OperatorSession). Start at init.
import Accounting
import Control
import Foundation
import Intake
import Receipts
import Scheduling
import Synchronization

final class ControlServer: Sendable {
  private let servers: [LineServer]

  /// The peers of one socket by their numbers there.
  private final class Sessions: Sendable {
    let byPeer = Mutex<[UInt64: ControlSession]>([:])
  }

  init(node: NodeService) throws(ServerError) {
    var servers = [try Self.listen(node.options.stateDirectory + "/control.sock", node)]
    if let path = node.options.configuration.control.socket {
      servers.append(try Self.listen(path, node))
      // Whoever connects is asked for by the kernel's word, so that the file itself may be open to all.
      guard chmod(path, 0o666) == 0 else { throw .system("chmod '\(path)'", errno: errno) }
    }
    self.servers = servers
  }

  private static func listen(_ path: String, _ node: NodeService) throws(ServerError) -> LineServer {
    let sessions = Sessions()
    let lines = SnapshotLines()
    let access = node.options.configuration.control
    let owner = geteuid()
    var settings = LineServer.Configuration(path: path, users: [owner])
    settings.accepts = { access.identify(uid: $0.uid, owner: owner, .system) != nil }
    // A submitted job's body comes in one line.
    settings.lineBytes = node.options.configuration.http.bodyLimit * 2
    settings.bufferBytes = 16 << 20
    // Without a word its client could not tell this from being a stranger.
    settings.refusal = ControlProtocol.line(
      ControlReply.refused(tag: 0, reason: "the node has no room for one more connection; try again"))
    return try LineServer(
      settings,
      LineServer.Callbacks(
        onOpen: { [weak node] peer in
          guard let node, let identity = access.identify(uid: peer.credentials.uid, owner: owner, .system)
          else { return peer.close() }
          sessions.byPeer.withLock {
            $0[peer.id] = ControlSession(node: node, peer: peer, identity: identity, lines: lines)
          }
        },
        onLine: { peer, line in sessions.byPeer.withLock { $0[peer.id] }?.take(line) },
        onClose: { peer, _ in sessions.byPeer.withLock { $0.removeValue(forKey: peer.id) }?.close() }))
  }

  func stop() {
    for server in servers {
      server.stop(grace: .milliseconds(500))
      server.waitUntilStopped()
    }
  }
}

/// The newest snapshot as a line: encoded once, however many screens get it.
private final class SnapshotLines: Sendable {
  private let newest = Mutex<(sequence: UInt64, line: [UInt8])>((0, []))

  func line(_ snapshot: NodeSnapshot) -> [UInt8] {
    newest.withLock { newest in
      if newest.sequence != snapshot.sequence || newest.line.isEmpty {
        newest = (
          snapshot.sequence, ControlProtocol.line(ControlReply.message(NodeMessage.snapshot(snapshot)))
        )
      }
      return newest.line
    }
  }
}

/// One peer on the control socket.
private final class ControlSession: Sendable {
  private let node: NodeService
  private let peer: LinePeer
  private let lines: SnapshotLines
  private let inner: Mutex<Inner>

  private struct Inner {
    var role: Role
    var who: Operator
    /// Whose jobs this peer sends; nil: its own as an operator.
    var client: Identity?
    /// Something was asked: who it is for cannot be said any more.
    var hasBegun = false
    /// Closed from here: what still comes is not read.
    var hasEnded = false
    var hasBeenDenied = false
    var operatorSession: OperatorSession?
    /// Jobs that end with the connection.
    var jobs: Set<JobID> = []
    /// Snapshots sent and not yet seen.
    var unseen = 0
    /// The newest snapshot that waits until an older one has been seen.
    var waiting: [UInt8]?
  }

  /// Snapshots that may be under way to a peer at once.
  private static let underWay = 2

  init(node: NodeService, peer: LinePeer, identity: ControlAccess.Identity, lines: SnapshotLines) {
    self.node = node
    self.peer = peer
    self.lines = lines
    inner = Mutex(Inner(role: identity.role, who: Operator(identity.name)))
  }

  private var who: Operator { inner.withLock { $0.who } }

  private func send(_ reply: ControlReply) { peer.send(ControlProtocol.line(reply)) }

  func close() {
    let (session, jobs) = inner.withLock { inner in
      defer {
        inner.operatorSession = nil
        inner.jobs = []
      }
      return (inner.operatorSession, inner.jobs)
    }
    session?.close()
    for job in jobs.sorted() { node.send(.clientGone(job)) }
  }

  /// The session that commands go to; made with the first word that needs it.
  private func session() -> OperatorSession {
    inner.withLock { inner in
      if let session = inner.operatorSession { return session }
      let session = OperatorSession(node: node, who: inner.who, role: inner.role) { [weak self] in
        self?.deliver($0)
      }
      inner.operatorSession = session
      return session
    }
  }

  private func deliver(_ message: NodeMessage) {
    guard case .snapshot(let snapshot) = message else {
      peer.send(ControlProtocol.line(ControlReply.message(message)))
      return
    }
    let line = lines.line(snapshot)
    let isDue = inner.withLock { inner -> Bool in
      guard inner.unseen < Self.underWay else {
        inner.waiting = line
        return false
      }
      inner.unseen += 1
      return true
    }
    if isDue { peer.send(line) }
  }

  private func seen() {
    let next = inner.withLock { inner -> [UInt8]? in
      inner.unseen = max(0, inner.unseen - 1)
      guard let line = inner.waiting else { return nil }
      inner.waiting = nil
      inner.unseen += 1
      return line
    }
    if let next { peer.send(next) }
  }

  func take(_ line: [UInt8]) {
    let hasEnded = inner.withLock { $0.hasEnded }
    guard !hasEnded else { return }
    guard let request = ControlProtocol.parse(ControlRequest.self, line) else {
      let reason =
        "this node (hotpot \(node.options.version), control protocol \(ControlProtocol.version)) cannot read that line; use the same release of hotpot here and there"
      // It may have been to take rights away: then nothing that follows may have them.
      let mayHaveRestricted = inner.withLock { !$0.hasBegun } || ControlProtocol.concernsRights(line)
      send(.refused(tag: 0, reason: reason))
      guard mayHaveRestricted else { return }
      node.note(.warning, who: who.name, "was refused: what says who it is for cannot be read")
      return end()
    }
    if request.limitsRights, let stray = ControlProtocol.unreadKey(of: request, in: line) {
      let reason = "this node does not know '\(stray.prefix(40))', and would let more through than was asked"
      send(.refused(tag: request.tag, reason: reason))
      guard request.concernsConnection else { return }
      node.note(.warning, who: who.name, "was refused: \(reason)")
      return end()
    }
    if case .hello(let version, _, _) = request, version != ControlProtocol.version {
      greet()
      send(
        .refused(
          tag: 0,
          reason:
            "you speak control protocol \(version), this node \(ControlProtocol.version) (hotpot \(node.options.version)); use the same release of hotpot here and there"
        ))
      return end()
    }
    guard mayAsk(request) else { return }
    switch request {
    case .restrict(let role, let name, let key): restrict(role, name, key)
    case .hello(_, let every, let readOnly):
      inner.withLock { inner in
        inner.hasBegun = true
        if readOnly { inner.role = min(inner.role, .viewer) }
      }
      greet()
      if every > 0 { session().subscribe(every: Int64(min(max(every, 100), 3_600_000)) * 1_000) }
    case .seen: seen()
    case .command(let tag, let command): session().perform(command, tag: tag)
    case .snapshot(let tag): send(.snapshot(tag: tag, node.snapshot()))
    case .submit(let tag, let chat, let body):
      prepare(tag, bytes: body.utf8.count) { [self] in
        submit(tag, chat ? .openAIChat : .openAICompletions, body: body)
      }
    case .clients(let tag): send(.clients(tag: tag, node.clientRows()))
    case .addClient(let tag, let name):
      answer(tag, node.addClient(name, by: who)) { .token(tag: tag, name: name, token: $0) }
    case .revokeClient(let tag, let name):
      answer(tag, node.revokeClient(name, by: who)) { .done(tag: tag, words: "revoked \(name)") }
    case .limitClient(let tag, let name, let budget):
      answer(tag, node.limitClient(name, budget: budget, by: who)) { .done(tag: tag, words: $0) }
    case .settle(let tag, let client, let amount, let reference):
      answer(tag, node.settle(client, amount, reference, by: who)) { .done(tag: tag, words: $0) }
    case .correct(let tag, let client, let amount, let reason):
      answer(tag, node.correct(client, amount, reason, by: who)) { .done(tag: tag, words: $0) }
    case .cosign(let tag, let checkpoint, let signature, let witnesses):
      let isOwner = inner.withLock { $0.role == .owner }
      answer(tag, node.cosign(checkpoint, signature, isOwner ? witnesses : nil, by: who)) {
        .done(tag: tag, words: $0)
      }
    case .earnings(let tag, let since):
      answer(tag, node.earningsTable(since: since)) { .earnings(tag: tag, table: $0) }
    case .statement(let tag, let client, let since, let until, let form):
      prepare(tag, bytes: 0) { [self] in
        answer(tag, node.statement(of: client, since: since, until: until, form: form, by: who)) {
          .statement(tag: tag, text: $0.text, signature: $0.signature)
        }
      }
    case .setLimits(let tag, let name, let changes):
      answer(tag, node.setLimits(name, changes, by: who)) { .done(tag: tag, words: $0) }
    case .setKey(let tag, let name, let key):
      answer(tag, node.setKey(name, key, by: who)) { .done(tag: tag, words: $0) }
    case .voucher(let tag, let client, let text, let signature):
      prepare(tag, bytes: 0) { [self] in
        answer(tag, node.takeVoucher(text, signature: signature, from: client)) {
          .done(tag: tag, words: "\($0.client) promised \($0.amount) \($0.currency) in all")
        }
      }
    case .exportVoucher(let tag, let client):
      answer(tag, node.voucherProof(of: client)) {
        .voucher(tag: tag, text: $0.text, signature: $0.signature, key: $0.key)
      }
    case .exportReceipt(let tag, let id, let earlier):
      do throws(JournalError) {
        send(.bundle(tag: tag, text: try node.bundle(id, earlier: earlier).text))
      } catch {
        send(.refused(tag: tag, reason: "\(error)"))
      }
    }
  }

  private func greet() {
    send(
      .hello(
        version: ControlProtocol.version, node: node.options.configuration.name,
        software: node.options.version))
  }

  /// The one place where rights are asked for.
  private func mayAsk(_ request: ControlRequest) -> Bool {
    let least = request.leastRole
    let (role, isAllowed, isFirst) = inner.withLock { inner in
      if case .restrict = request {} else { inner.hasBegun = true }
      let isAllowed = inner.role.may(request)
      defer { if !isAllowed { inner.hasBeenDenied = true } }
      return (inner.role, isAllowed, !isAllowed && !inner.hasBeenDenied)
    }
    guard !isAllowed else { return true }
    // Once a connection: a script that tries for ever fills no log.
    if isFirst {
      node.note(.warning, who: who.name, "was refused: \(role.rawValue), wanted \(least.rawValue)")
    }
    send(.denied(tag: request.tag, reason: Role.refusal(role, wants: least)))
    return false
  }

  // MARK: who it is

  /// Takes rights away from this connection, and gives it the name of the one it is for.
  private func restrict(_ role: Role?, _ name: String?, _ key: String?) {
    if let problem = restricted(role, name, key) {
      node.note(.warning, who: who.name, "was refused: \(problem)")
      send(.denied(tag: 0, reason: problem))
      end()
    }
  }

  /// Nothing more is taken, nor what has come already.
  private func end() {
    inner.withLock { $0.hasEnded = true }
    peer.close()
  }

  /// - Returns: why not, in words.
  private func restricted(_ role: Role?, _ name: String?, _ key: String?) -> String? {
    let before = inner.withLock { ($0.role, $0.who, $0.hasBegun) }
    guard !before.2 else { return "who a connection is for must be said first" }
    guard role != nil || key != nil else { return "neither a role nor a key says what rights are left" }
    if let name, !ControlAccess.Entry.isName(name) {
      return "'\(name.prefix(64))' is no name, wanted 1 to 64 letters, digits, '.', '_', '-', '@' or '+'"
    }
    if let key, !ControlAccess.Entry.isFingerprint(key) {
      return
        "'\(key.prefix(64))' is no fingerprint, wanted 'SHA256:' and 43 characters as 'ssh-keygen -l' prints them"
    }
    var now = (role: min(before.0, role ?? before.0), name: name)
    var client: Identity?
    if role == .client {
      guard before.0 == .owner else { return "only the owner's account speaks for clients" }
      switch clientIdentity(name, key) {
      case .success(let identity): client = identity
      case .failure(let problem): return problem.description
      }
      now.name = client?.name
    } else if let key {
      let found = node.options.configuration.control.identify(key: key)
      if role == nil {
        guard let found else {
          return "no key \(key) stands under 'control' in this node's configuration"
        }
        now.role = min(before.0, found.role)
      }
      now.name = name ?? found?.name ?? String(key.prefix(19))
    }
    // Only the owner's account may speak in another's name; of anybody else's it is told whose account it was.
    let shown = now.name.map { before.0 == .owner ? $0 : "\(before.1.name)/\($0)" } ?? before.1.name
    inner.withLock { inner in
      inner.hasBegun = true
      inner.role = now.role
      inner.who = Operator(shown)
      inner.client = client
    }
    return nil
  }

  /// The client with that name, or whose key that is; a key that nobody has told is a stranger's.
  private func clientIdentity(_ name: String?, _ key: String?) -> Result<Identity, AdministrationError> {
    if let name {
      guard node.state.withLock({ $0.clients.isActive(name) }) else {
        return .failure(
          AdministrationError("there is no active client '\(name)'; 'hotpot clients add \(name)' makes one"))
      }
      return .success(.known(name))
    }
    guard let key else { return .failure(AdministrationError("a client wants a name or a key")) }
    let known = node.state.withLock { state in
      state.clientKeys.filter { state.clients.isActive($0.key) }
    }
    if let owner = known.filter({ SSHPublicKey(parsing: $0.value)?.fingerprint == key }).keys.min() {
      return .success(.known(owner))
    }
    return .success(.unknown(String(SHA256.hash(Array(key.utf8)).hex.prefix(12))))
  }

  private func answer<Value>(
    _ tag: UInt64, _ result: Result<Value, AdministrationError>, _ reply: (Value) -> ControlReply
  ) {
    switch result {
    case .success(let value): send(reply(value))
    case .failure(let error): send(.refused(tag: tag, reason: error.description))
    }
  }

  /// Does what takes a while, in the turn of whose connection it is.
  private func prepare(_ tag: UInt64, bytes: Int, _ body: @escaping @Sendable () -> Void) {
    do throws(Refusal) {
      try node.admission.inTurn(caller, bytes: bytes, body)
    } catch {
      refuse(tag, .openAIChat, error)
    }
  }

  /// As whom this peer's jobs are asked for.
  private var caller: Admission.Caller {
    inner.withLock { $0.client }.map { Admission.Caller(identity: $0, origin: node.origin) } ?? .operator
  }

  private func submit(_ tag: UInt64, _ dialect: Dialect, body: String) {
    let id = Admission.makeJobID()
    let caller = caller
    inner.withLock { _ = $0.jobs.insert(id) }
    do throws(Refusal) {
      var asked = try dialect.read(Array(body.utf8), atMost: node.options.configuration.http.bodyLimit)
      let shape = asked
      if asked.request.model == "" { asked.request.model = nil }
      _ = try node.admission.admit(asked.request, id: id, from: caller) { prompt in
        let writer = dialect.writer(
          AnswerShape(shape, job: id, prompt: prompt, created: NodeService.now().wall / 1_000_000))
        let responder = Responder(writer) { [weak self] in self?.send($0, tag, of: id) }
        return { responder.take($0) }
      }
      if caller.origin == .chat {
        node.note(.act, who: who.name, "submitted job \(id.short)")
      }
      node.publishNow()
    } catch {
      inner.withLock { _ = $0.jobs.remove(id) }
      refuse(tag, dialect, error)
    }
  }

  private func refuse(_ tag: UInt64, _ dialect: Dialect, _ refusal: Refusal) {
    let response = dialect.refuse(refusal)
    send(.chunk(tag: tag, data: String(decoding: response.body, as: UTF8.self)))
    send(.ended(tag: tag, status: response.status))
  }

  /// A peer reads events and then a status: 200 after a stream.
  private func send(_ piece: AnswerPiece, _ tag: UInt64, of job: JobID) {
    switch piece {
    case .begin, .comment: break
    case .event(let line): send(.chunk(tag: tag, data: String(decoding: line, as: UTF8.self)))
    case .end: ended(tag, job, status: 200)
    case .whole(let response):
      send(.chunk(tag: tag, data: String(decoding: response.body, as: UTF8.self)))
      ended(tag, job, status: response.status)
    }
  }

  private func ended(_ tag: UInt64, _ job: JobID, status: Int) {
    inner.withLock { _ = $0.jobs.remove(job) }
    send(.ended(tag: tag, status: status))
  }
}

/// What an operator asked for that cannot be done, in words.
package struct AdministrationError: Error, Sendable, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}

extension NodeService {
  /// Takes a witness' signature over a checkpoint of this log, by a key that its owner trusts.
  /// - ownersWitnesses: keys that the owner trusts from now on; nil from anybody else
  func cosign(
    _ text: String, _ signature: String, _ ownersWitnesses: String?, by who: Operator
  ) -> Result<String, AdministrationError> {
    guard let notary else { return .failure(AdministrationError("this node signs no checkpoints")) }
    let cosigned: Cosignature
    do throws(NotaryError) {
      cosigned = try notary.accept(cosignature: signature, over: text, ownersWitnesses: ownersWitnesses)
    } catch {
      if case .signature(.unknownSigner(let fingerprint)) = error, ownersWitnesses == nil {
        return .failure(
          AdministrationError(
            "\(fingerprint) is no witness that this node's owner trusts; the owner brings a key's first cosignature with '--witnesses FILE'"
          ))
      }
      return .failure(AdministrationError("\(error)"))
    }
    send(.witnessed(size: UInt64(clamping: cosigned.checkpoint.size)))
    let words = "witnessed up to \(counted(Int(cosigned.checkpoint.size), "receipt")) by \(cosigned.witness)"
    note(.act, who: who.name, words)
    return .success(words)
  }

  package func clientRows() -> [ClientRow] {
    state.withLock { state in
      state.clients.entries.map { entry in
        let account = state.ledger.account(of: entry.name)
        let totals = state.ledger.total(LedgerQuery(client: entry.name))
        let limits = state.clientLimits[entry.name]
        return ClientRow(
          name: entry.name, added: entry.added, revoked: entry.revoked,
          budget: limits?.budget?.micro, posted: account.posted.micro,
          reserved: account.reserved.micro, settled: account.settled.micro, jobs: totals.jobs,
          tokens: totals.promptTokens + totals.completionTokens, models: limits?.models,
          tokensPerJob: limits?.tokensPerJob, jobsAtOnce: limits?.jobsAtOnce,
          tokensPerDay: limits?.tokensPerDay,
          key: state.clientKeys[entry.name].flatMap { SSHPublicKey(parsing: $0)?.fingerprint },
          voucher: state.vouchers.voucher(of: entry.name)?.amount.micro)
      }
    }
  }

  /// - Returns: the token, which is shown once and kept as its SHA-256 only.
  package func addClient(_ name: String, by who: Operator) -> Result<String, AdministrationError> {
    guard ClientDirectory.isValid(name: name) else {
      return .failure(
        AdministrationError(
          "'\(name.prefix(80))' cannot be a client's name; wanted 1 to 64 letters, digits, '.', '_', '-' or '@'"
        ))
    }
    guard !state.withLock({ $0.clients.isActive(name) }) else {
      return .failure(
        AdministrationError("there is a client '\(name)' already; 'hotpot clients revoke' ends it"))
    }
    let token = ClientDirectory.makeToken()
    let digest = ClientDirectory.digest(of: token)
    do throws(JournalError) {
      try journal.append([.clientAdded(ClientAdded(client: name, tokenSHA256: digest))], at: Self.now().wall)
    } catch {
      return .failure(AdministrationError("\(error)"))
    }
    send(.clientAdded(name: name, digest: digest))
    note(.act, who: who.name, "added client \(name)")
    return .success(token)
  }

  package func revokeClient(_ name: String, by who: Operator) -> Result<Void, AdministrationError> {
    guard state.withLock({ $0.clients.isActive(name) }) else {
      return .failure(AdministrationError("there is no active client '\(name.prefix(80))'"))
    }
    do throws(JournalError) {
      try journal.append(
        [.clientRevoked(ClientRevoked(client: name, reason: "by \(who.name)"))], at: Self.now().wall)
    } catch {
      return .failure(AdministrationError("\(error)"))
    }
    send(.clientRevoked(name: name))
    note(.act, who: who.name, "revoked client \(name)")
    return .success(())
  }

  /// The older request, of the budget alone; an empty text lifts it.
  func limitClient(_ name: String, budget: String?, by who: Operator) -> Result<String, AdministrationError> {
    setLimits(name, LimitChanges(budget: budget?.isEmpty == true ? "none" : budget), by: who)
  }

  package func settle(
    _ client: String, _ amount: String, _ reference: String, by who: Operator
  ) -> Result<String, AdministrationError> {
    checked(amount, reference, upTo: 120, "a payment wants a reference").flatMap { money in
      book(.settled(client: client, amount: money, reference: reference, by: who)) {
        $0.settle(client, money, reference, by: who, at: $1, &$2)
      }
    }
  }

  /// - amount: what the client owes more; negative gives back
  package func correct(
    _ client: String, _ amount: String, _ reason: String, by who: Operator
  ) -> Result<String, AdministrationError> {
    checked(amount, reason, upTo: 200, "a correction wants a reason").flatMap { money in
      book(.corrected(client: client, amount: money, reason: reason, by: who)) {
        $0.correct(client, money, reason, by: who, at: $1, &$2)
      }
    }
  }

  /// The amount of a transfer, if it is one and its words are a line of at most so many bytes.
  private func checked(
    _ amount: String, _ words: String, upTo bytes: Int, _ wanted: String
  ) -> Result<Amount, AdministrationError> {
    guard (1...bytes).contains(words.utf8.count), words.unicodeScalars.allSatisfy({ $0.value >= 0x20 }) else {
      return .failure(AdministrationError("\(wanted) of 1 to \(bytes) bytes"))
    }
    do throws(AccountingError) { return .success(try Amount(parsing: amount)) } catch {
      return .failure(AdministrationError("\(error)"))
    }
  }

  /// A transfer by an operator: said to be done when it is on the disk.
  /// - event: the same for the trace
  private func book(
    _ event: NodeEvent, _ act: (inout NodeState, Moment, inout [NodeEffect]) -> CommandReply
  ) -> Result<String, AdministrationError> {
    let reply = decide { state, now, effects in
      let reply = act(&state, now, &effects)
      options.trace?.record(.event(event), at: now, effects)
      return reply
    }
    do throws(JournalError) {
      // Tells when all that was queued before is on the disk, or why it is not.
      try journal.append([], at: Self.now().wall)
    } catch {
      send(.journalFailed("\(error)"))
      return .failure(AdministrationError("it is not in the journal: \(error)"))
    }
    switch reply {
    case .done(let words): return .success(words)
    case .refused(let words): return .failure(AdministrationError(words))
    }
  }
}
