// ControlServer.swift: the node's side of the control socket: dashboards and scripts, local and
// behind ssh. The socket in the state directory is 0600; a second one, if configured, is for other
// users of the machine. The kernel says who a peer is (ControlAccess), one table says what they may
// do (Role), and both are checked here before anything is done. What commands do is in
// OperatorSession, what verbs do in Verb.swift. Start at init.
import Accounting
import Control
import Foundation
import Intake
import Receipts
import Scheduling
import Synchronization

final class ControlServer: Sendable {
  private let servers: [LineServer]
  /// Of all sockets.
  private let sessions: [Sessions]

  /// The peers of one socket by their number on it.
  private final class Sessions: Sendable {
    let byPeer = Mutex<[UInt64: ControlSession]>([:])
  }

  init(node: NodeHandle) throws(ServerError) {
    let paths = [node.stateDirectory + "/control.sock", node.configuration.control.socket].compactMap { $0 }
    sessions = paths.map { _ in Sessions() }
    var servers: [LineServer] = []
    for (path, sessions) in zip(paths, sessions) {
      servers.append(try Self.listen(path, node, sessions))
    }
    if let path = node.configuration.control.socket {
      // The kernel identifies every peer, so the file itself may be open to all.
      guard chmod(path, 0o666) == 0 else { throw .system("chmod '\(path)'", errno: errno) }
    }
    self.servers = servers
  }

  private static func listen(
    _ path: String, _ node: NodeHandle, _ sessions: Sessions
  ) throws(ServerError) -> LineServer {
    let lines = SnapshotLines()
    let owner = geteuid()
    var settings = LineServer.Configuration(path: path, users: [owner])
    settings.accepts = { node.configuration.control.identify(uid: $0.uid, owner: owner, .system) != nil }
    // The body of a submitted job is part of one line.
    settings.lineBytes = node.configuration.http.bodyLimit * 2
    settings.bufferBytes = 16 << 20
    // Without a message its client could not tell this from a refused user.
    settings.refusal = ControlProtocol.line(
      ControlReply.refused(tag: 0, reason: "the node has no room for one more connection; try again"))
    return try LineServer(
      settings,
      LineServer.Callbacks(
        onOpen: { peer in
          let access = node.configuration.control
          guard let identity = access.identify(uid: peer.credentials.uid, owner: owner, .system)
          else { return peer.close() }
          sessions.byPeer.withLock {
            $0[peer.id] = ControlSession(node: node, peer: peer, identity: identity, lines: lines)
          }
        },
        onLine: { peer, line in sessions.byPeer.withLock { $0[peer.id] }?.take(line) },
        onClose: { peer, _ in sessions.byPeer.withLock { $0.removeValue(forKey: peer.id) }?.close() }))
  }

  /// The configuration gives other rights now. Who has others than before is cut off, and finds the
  /// new ones when connecting again.
  func recheckRights() {
    for session in sessions.flatMap({ $0.byPeer.withLock { Array($0.values) } }) { session.recheckRights() }
  }

  func stop() {
    for server in servers {
      server.stop(grace: .milliseconds(500))
      server.waitUntilStopped()
    }
  }
}

/// The newest snapshot as a line, encoded only once for all screens.
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
  private let node: NodeHandle
  private let peer: LinePeer
  private let lines: SnapshotLines
  private let inner: Mutex<Inner>

  private struct Inner {
    var role: Role
    var who: Operator
    /// The SSH key whose holder the connection is for.
    var key: String?
    /// What the configuration gave, before the peer itself asked for less.
    var given: ControlAccess.Person?
    /// Whose jobs this peer submits; nil: its own as an operator.
    var client: Identity?
    /// The peer has sent a request, so whom it is for can no longer be said.
    var hasBegun = false
    /// The session was closed by the node: further input is not read.
    var hasEnded = false
    var hasBeenDenied = false
    var operatorSession: OperatorSession?
    /// Jobs that end with the connection.
    var jobs: Set<JobID> = []
    /// How many snapshots were sent and not yet acknowledged.
    var unseen = 0
    /// The newest snapshot, which waits until an older one is acknowledged.
    var waiting: [UInt8]?
  }

  /// How many snapshots may be in transit to a peer at once.
  private static let underWay = 2

  init(node: NodeHandle, peer: LinePeer, identity: ControlAccess.Person, lines: SnapshotLines) {
    self.node = node
    self.peer = peer
    self.lines = lines
    inner = Mutex(Inner(role: identity.role, who: Operator(identity.name), given: identity))
  }

  /// Ends the session if the configuration gives its peer other rights now.
  func recheckRights() {
    let access = node.configuration.control
    var now = access.identify(uid: peer.credentials.uid, owner: geteuid(), .system)
    let (key, given) = inner.withLock { ($0.key, $0.given) }
    if let key, let base = now {
      now = access.identify(key: key).map {
        ControlAccess.Person(role: min(base.role, $0.role), name: $0.name)
      }
    }
    guard now != given else { return }
    node.runtime.note(
      .act, who: who.name, "is cut off: the configuration gives \(now?.role.rawValue ?? "no") rights now")
    end()
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
    for job in jobs.sorted() { node.runtime.send(.clientGone(job)) }
  }

  /// The session that executes commands; made for the first one that needs it.
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
    if let request = ControlProtocol.parse(ControlRequest.self, line) {
      take(request, line)
    } else if let request = ControlProtocol.parse(VerbRequest.self, line) {
      take(request, line)
    } else {
      let reason =
        "this node (hotpot \(node.version), control protocol \(ControlProtocol.version)) cannot read that line; use the same release of hotpot here and there"
      // The line may have been meant to take rights away, so nothing that follows may have them.
      let mayHaveRestricted = inner.withLock { !$0.hasBegun } || ControlProtocol.concernsRights(line)
      send(.refused(tag: 0, reason: reason))
      guard mayHaveRestricted else { return }
      node.runtime.note(
        .warning, who: who.name, "was refused: what says who it is for cannot be read")
      end()
    }
  }

  /// Why a line that takes rights or means away is not taken: a part of it would be passed over.
  private func unread(_ request: some Encodable, _ line: [UInt8]) -> String? {
    ControlProtocol.unreadKey(of: request, in: line).map {
      "this node does not know '\($0.prefix(40))', and would let more through than was asked"
    }
  }

  private func take(_ request: VerbRequest, _ line: [UInt8]) {
    let verb = type(of: request.verb)
    if verb.limitsRights, let reason = unread(request, line) {
      return send(.refused(tag: request.tag, reason: reason))
    }
    guard mayAsk(request.tag, least: verb.right, { $0 != .client && $0 >= verb.right }) else { return }
    let desk = inner.withLock {
      VerbDesk(
        accounts: node.accounts, signing: node.signing, receipts: node.receipts,
        publication: node.publication, who: $0.who, role: $0.role)
    }
    guard verb.usesThread else { return send(request.answer(desk)) }
    prepare(request.tag, bytes: 0) { [self] in send(request.answer(desk)) }
  }

  private func take(_ request: ControlRequest, _ line: [UInt8]) {
    if request.concernsConnection, let reason = unread(request, line) {
      send(.refused(tag: request.tag, reason: reason))
      node.runtime.note(.warning, who: who.name, "was refused: \(reason)")
      return end()
    }
    if case .hello(let version, _, _) = request, version != ControlProtocol.version {
      greet()
      send(
        .refused(
          tag: 0,
          reason:
            "you speak control protocol \(version), this node \(ControlProtocol.version) (hotpot \(node.version)); use the same release of hotpot here and there"
        ))
      return end()
    }
    let begins = if case .restrict = request { false } else { true }
    guard mayAsk(request.tag, least: request.leastRole, begins: begins, { $0.may(request) }) else { return }
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
    case .snapshot(let tag): send(.snapshot(tag: tag, node.screens.snapshot()))
    case .submit(let tag, let chat, let body):
      prepare(tag, bytes: body.utf8.count) { [self] in
        submit(tag, chat ? .openAIChat : .openAICompletions, body: body)
      }
    }
  }

  private func greet() {
    send(
      .hello(
        version: ControlProtocol.version, node: node.configuration.name,
        software: node.version))
  }

  /// The only place where rights are checked.
  /// - begins: whether from now on whom the connection is for can no longer be said
  private func mayAsk(
    _ tag: UInt64, least: Role, begins: Bool = true, _ may: (Role) -> Bool
  ) -> Bool {
    let (role, isAllowed, isFirst) = inner.withLock { inner in
      if begins { inner.hasBegun = true }
      let isAllowed = may(inner.role)
      defer { if !isAllowed { inner.hasBeenDenied = true } }
      return (inner.role, isAllowed, !isAllowed && !inner.hasBeenDenied)
    }
    guard !isAllowed else { return true }
    // Once per connection, so that a script that retries for ever does not fill the log.
    if isFirst {
      node.runtime.note(.warning, who: who.name, "was refused: \(role.rawValue), wanted \(least.rawValue)")
    }
    send(.denied(tag: tag, reason: Role.refusal(role, wants: least)))
    return false
  }

  // MARK: who it is

  /// Takes rights away from this connection, and gives it the name of the person it is for.
  private func restrict(_ role: Role?, _ name: String?, _ key: String?) {
    if let problem = restricted(role, name, key) {
      node.runtime.note(.warning, who: who.name, "was refused: \(problem)")
      send(.denied(tag: 0, reason: problem))
      end()
    }
  }

  /// Reads nothing more, and ignores what has already arrived.
  private func end() {
    inner.withLock { $0.hasEnded = true }
    peer.close()
  }

  /// - Returns: why it was refused, in words.
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
      let found = node.configuration.control.identify(key: key)
      if role == nil {
        guard let found else {
          return "no key \(key) stands under 'control' in this node's configuration"
        }
        now.role = min(before.0, found.role)
        inner.withLock { inner in
          inner.key = key
          inner.given = ControlAccess.Person(role: now.role, name: found.name)
        }
      }
      now.name = name ?? found?.name ?? String(key.prefix(19))
    }
    // Only the owner's account may speak in another's name; for everyone else the account is logged
    // too.
    let shown = now.name.map { before.0 == .owner ? $0 : "\(before.1.name)/\($0)" } ?? before.1.name
    inner.withLock { inner in
      inner.hasBegun = true
      inner.role = now.role
      inner.who = Operator(shown)
      inner.client = client
    }
    return nil
  }

  /// The client with that name, or with that key; a key without a client belongs to a stranger.
  private func clientIdentity(_ name: String?, _ key: String?) -> Result<Identity, AdministrationError> {
    if let name {
      guard node.runtime.state.withLock({ $0.clients.isActive(name) }) else {
        return .failure(
          AdministrationError("there is no active client '\(name)'; 'hotpot clients add \(name)' makes one"))
      }
      return .success(.known(name))
    }
    guard let key else { return .failure(AdministrationError("a client wants a name or a key")) }
    let known = node.runtime.state.withLock { state in
      state.clientKeys.filter { state.clients.isActive($0.key) }
    }
    if let owner = known.filter({ SSHPublicKey(parsing: $0.value)?.fingerprint == key }).keys.min() {
      return .success(.known(owner))
    }
    return .success(.unknown(String(SHA256.hash(Array(key.utf8)).hex.prefix(12))))
  }

  /// Does slow work, in the turn of the connection's owner.
  private func prepare(_ tag: UInt64, bytes: Int, _ body: @escaping @Sendable () -> Void) {
    do throws(Refusal) {
      try node.admission.inTurn(caller, bytes: bytes, body)
    } catch {
      refuse(tag, .openAIChat, error)
    }
  }

  /// As whom this peer's jobs are submitted.
  private var caller: Admission.Caller {
    inner.withLock { $0.client }.map { Admission.Caller(identity: $0, origin: node.origin) } ?? .operator
  }

  private func submit(_ tag: UInt64, _ dialect: Dialect, body: String) {
    let id = Admission.makeJobID()
    let caller = caller
    inner.withLock { _ = $0.jobs.insert(id) }
    do throws(Refusal) {
      var asked = try dialect.read(Array(body.utf8), atMost: node.configuration.http.bodyLimit)
      let shape = asked
      if asked.request.model == "" { asked.request.model = nil }
      _ = try node.admission.admit(asked.request, id: id, from: caller) { prompt in
        let writer = dialect.writer(
          AnswerShape(shape, job: id, prompt: prompt, created: NodeClock.now().wall / 1_000_000))
        let responder = Responder(
          writer, completion: shape.form.hasInlineReceipt ? node.signing.complete : nil
        ) { [weak self] in self?.send($0, tag, of: id) }
        return { responder.take($0) }
      }
      if caller.origin == .chat {
        node.runtime.note(.act, who: who.name, "submitted job \(id.short)")
      }
      node.screens.publishNow()
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

  /// A peer gets events and then a status: 200 after a stream.
  private func send(_ piece: AnswerPiece, _ tag: UInt64, of job: JobID) {
    switch piece {
    case .begin, .beginLines, .comment: break
    case .event(let line), .named(_, let line), .line(let line):
      send(.chunk(tag: tag, data: String(decoding: line, as: UTF8.self)))
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
