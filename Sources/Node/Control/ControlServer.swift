// ControlServer.swift: the node's side of the control socket: dashboards and scripts of this machine.
// The socket is 0600 and its peers' uid is checked by the kernel's word. Leaves out what commands do
// (OperatorSession). Start at init.
import Accounting
import Foundation
import Intake
import Receipts
import Synchronization

final class ControlServer: Sendable {
  private let server: LineServer
  private let sessions: Sessions

  private final class Sessions: Sendable {
    let byPeer = Mutex<[UInt64: ControlSession]>([:])
  }

  init(node: NodeService) throws(ServerError) {
    let sessions = Sessions()
    self.sessions = sessions
    var settings = LineServer.Configuration(
      path: node.options.stateDirectory + "/control.sock", users: [geteuid()])
    // A submitted job's body comes in one line.
    settings.lineBytes = node.options.configuration.http.bodyLimit * 2
    settings.bufferBytes = 16 << 20
    server = try LineServer(
      settings,
      LineServer.Callbacks(
        onOpen: { [weak node] peer in
          guard let node else { return peer.close() }
          sessions.byPeer.withLock { $0[peer.id] = ControlSession(node: node, peer: peer) }
        },
        onLine: { peer, line in sessions.byPeer.withLock { $0[peer.id] }?.take(line) },
        onClose: { peer, _ in sessions.byPeer.withLock { $0.removeValue(forKey: peer.id) }?.close() }))
  }

  func stop() {
    server.stop(grace: .milliseconds(500))
    server.waitUntilStopped()
  }
}

/// One peer on the control socket.
private final class ControlSession: Sendable {
  private let node: NodeService
  private let peer: LinePeer
  private let who: Operator
  private let inner = Mutex(Inner())

  private struct Inner {
    var operatorSession: OperatorSession?
    var isReadOnly = false
    var jobs: Set<UInt64> = []
  }

  init(node: NodeService, peer: LinePeer) {
    self.node = node
    self.peer = peer
    who = Operator(Self.userName(peer.credentials.uid))
  }

  private static func userName(_ uid: UInt32) -> String {
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: 4096)
    guard getpwuid_r(uid, &entry, &buffer, buffer.count, &found) == 0, found != nil, let name = entry.pw_name
    else {
      return "uid \(uid)"
    }
    return String(cString: name)
  }

  private func send(_ reply: ControlReply) { peer.send(ControlProtocol.line(reply)) }

  func close() {
    let session = inner.withLock { inner -> OperatorSession? in
      defer { inner.operatorSession = nil }
      return inner.operatorSession
    }
    session?.close()
  }

  /// The session that commands go to; made with the first word that needs it.
  private func session() -> OperatorSession {
    inner.withLock { inner in
      if let session = inner.operatorSession { return session }
      let peer = peer
      let session = OperatorSession(node: node, who: who, isReadOnly: inner.isReadOnly) { message in
        // Of snapshots only the newest matters: a peer that has not read the last one skips this one.
        if case .snapshot = message, peer.waitingBytes > 256 << 10 { return }
        peer.send(ControlProtocol.line(ControlReply.message(message)))
      }
      inner.operatorSession = session
      return session
    }
  }

  func take(_ line: [UInt8]) {
    guard let request = ControlProtocol.parse(ControlRequest.self, line) else {
      return send(
        .refused(
          tag: 0, reason: "this node (control protocol \(ControlProtocol.version)) cannot read that line"))
    }
    switch request {
    case .hello(let version, let every, let readOnly):
      send(
        .hello(
          version: ControlProtocol.version, node: node.options.configuration.name,
          software: node.options.version))
      guard version == ControlProtocol.version else {
        send(
          .refused(
            tag: 0,
            reason:
              "you speak control protocol \(version), this node \(ControlProtocol.version); use the same release of hotpot"
          ))
        return peer.close()
      }
      inner.withLock { $0.isReadOnly = readOnly }
      if every > 0 { session().subscribe(every: Int64(max(every, 100)) * 1_000) }
    case .command(let tag, let command): session().perform(command, tag: tag)
    case .snapshot(let tag): send(.snapshot(tag: tag, node.snapshot()))
    case .submit(let tag, let chat, let body):
      guard mayAct(tag) else { return }
      node.workers.addOperation { [self] in submit(tag, chat: chat, body: body) }
    case .clients(let tag): send(.clients(tag: tag, node.clientRows()))
    case .addClient(let tag, let name):
      guard mayAct(tag) else { return }
      answer(tag, node.addClient(name, by: who)) { .token(tag: tag, name: name, token: $0) }
    case .revokeClient(let tag, let name):
      guard mayAct(tag) else { return }
      answer(tag, node.revokeClient(name, by: who)) { .done(tag: tag, words: "revoked \(name)") }
    case .limitClient(let tag, let name, let budget):
      guard mayAct(tag) else { return }
      answer(tag, node.limitClient(name, budget: budget, by: who)) { .done(tag: tag, words: $0) }
    case .settle(let tag, let client, let amount, let reference):
      guard mayAct(tag) else { return }
      answer(tag, node.settle(client, amount, reference, by: who)) { .done(tag: tag, words: $0) }
    case .cosign(let tag, let checkpoint, let signature, let witnesses):
      guard mayAct(tag) else { return }
      answer(tag, node.cosign(checkpoint, signature, witnesses, by: who)) { .done(tag: tag, words: $0) }
    case .earnings(let tag, let since):
      answer(tag, node.earningsTable(since: since)) { .earnings(tag: tag, table: $0) }
    case .statement(let tag, let client, let since, let csv):
      // A signature is an act of the node.
      guard mayAct(tag) else { return }
      node.workers.addOperation { [self] in
        answer(tag, node.statement(of: client, since: since, isCSV: csv, by: who)) {
          .statement(tag: tag, text: $0.text, signature: $0.signature)
        }
      }
    case .setLimits(let tag, let name, let changes):
      guard mayAct(tag) else { return }
      answer(tag, node.setLimits(name, changes, by: who)) { .done(tag: tag, words: $0) }
    case .setKey(let tag, let name, let key):
      guard mayAct(tag) else { return }
      answer(tag, node.setKey(name, key, by: who)) { .done(tag: tag, words: $0) }
    case .voucher(let tag, let client, let text, let signature):
      guard mayAct(tag) else { return }
      node.workers.addOperation { [self] in
        answer(tag, node.takeVoucher(text, signature: signature, from: client)) {
          .done(tag: tag, words: "\($0.client) promised \($0.amount) \($0.currency) in all")
        }
      }
    case .exportVoucher(let tag, let client):
      answer(tag, node.voucherProof(of: client)) {
        .voucher(tag: tag, text: $0.text, signature: $0.signature, key: $0.key)
      }
    case .exportReceipt(let tag, let id):
      do throws(JournalError) {
        send(.bundle(tag: tag, text: try node.bundle(id).text))
      } catch {
        send(.refused(tag: tag, reason: "\(error)"))
      }
    }
  }

  private func mayAct(_ tag: UInt64) -> Bool {
    guard inner.withLock({ $0.isReadOnly }) else { return true }
    send(.refused(tag: tag, reason: "you may look and not act here (read-only)"))
    return false
  }

  private func answer<Value>(
    _ tag: UInt64, _ result: Result<Value, AdministrationError>, _ reply: (Value) -> ControlReply
  ) {
    switch result {
    case .success(let value): send(reply(value))
    case .failure(let error): send(.refused(tag: tag, reason: error.description))
    }
  }

  private func submit(_ tag: UInt64, chat: Bool, body: String) {
    let id = node.makeJobID()
    let relay = AnswerRelay()
    do throws(APIError) {
      let request = try node.decode(Array(body.utf8), isChat: chat)
      let tokens = try node.submitOwn(request, id: id, sink: { relay.take($0) }).get()
      let responder = Responder(
        shape: node.shape(request, id: id, model: request.model, prompt: tokens),
        output: AnswerOutput(
          event: { [weak self] in self?.send(.chunk(tag: tag, data: $0)) },
          end: { [weak self] in self?.send(.ended(tag: tag, status: $0)) }))
      relay.connect { responder.take($0) }
    } catch {
      send(.chunk(tag: tag, data: String(decoding: JSONWriter.bytes(error.json), as: UTF8.self)))
      send(.ended(tag: tag, status: error.status))
    }
  }
}

/// What an operator asked for that cannot be done, in words.
package struct AdministrationError: Error, Sendable, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}

extension NodeService {
  /// Takes a witness' signature over a checkpoint of this log.
  func cosign(
    _ text: String, _ signature: String, _ witnesses: String, by who: Operator
  ) -> Result<String, AdministrationError> {
    guard let notary else { return .failure(AdministrationError("this node signs no checkpoints")) }
    do throws(NotaryError) {
      try notary.accept(cosignature: signature, over: text, allowedWitnesses: witnesses)
    } catch {
      return .failure(AdministrationError("\(error)"))
    }
    guard let cosigned = notary.cosignature else {
      return .failure(AdministrationError("the signature was not kept"))
    }
    send(.witnessed(size: UInt64(clamping: cosigned.checkpoint.size)))
    let words = "witnessed up to \(cosigned.checkpoint.size) receipts by \(cosigned.witness)"
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

  func revokeClient(_ name: String, by who: Operator) -> Result<Void, AdministrationError> {
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

  func settle(
    _ client: String, _ amount: String, _ reference: String, by who: Operator
  ) -> Result<String, AdministrationError> {
    guard (1...120).contains(reference.utf8.count), reference.unicodeScalars.allSatisfy({ $0.value >= 0x20 })
    else {
      return .failure(AdministrationError("a payment wants a reference of 1 to 120 bytes"))
    }
    let money: Amount
    do throws(AccountingError) { money = try Amount(parsing: amount) } catch {
      return .failure(AdministrationError("\(error)"))
    }
    let (reply, effects) = state.withLock { state in
      var effects: [NodeEffect] = []
      let reply = state.settle(client, money, reference, by: who, at: Self.now(), &effects)
      return (reply, effects)
    }
    perform(effects)
    switch reply {
    case .done(let words): return .success(words)
    case .refused(let words): return .failure(AdministrationError(words))
    }
  }
}
