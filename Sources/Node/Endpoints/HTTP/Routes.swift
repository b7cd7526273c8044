// Routes.swift: what each path of the HTTP interface does. Names are OpenAI's where OpenAI has one.
// Leaves out parsing HTTP (Intake), requests for tokens (Dialect) and deciding (NodeState).
// Start at handle; a request for tokens goes to complete.
import Control
import Foundation
import Inference
import Intake
import JSON
import Receipts
import Scheduling
import Synchronization

extension NodeService {
  // MARK: the server

  func makeServer() throws(ServerError) -> Server? {
    let http = options.configuration.http
    var settings = Server.Configuration()
    settings.addresses = []
    settings.hosts += http.hosts
    if let listen = http.listen {
      let (host, port) = try Self.split(listen)
      settings.addresses.append(.tcp(host: host, port: port))
      settings.hosts.append(host.contains(":") ? "[\(host)]" : host)
    }
    if let socket = http.socket { settings.addresses.append(.unix(path: socket, users: [geteuid()])) }
    guard !settings.addresses.isEmpty else { return nil }
    settings.maximumConnections = http.connections
    settings.limits.bodyBytes = http.bodyLimit
    _ = raiseFileLimit(to: http.connections + 256)
    settings.headCheck = { [weak self] head, peer in self?.check(head, peer) }
    settings.standing = { [weak self] head, _ in
      if case .success(.known) = self?.identify(head) { .known } else { .stranger }
    }
    let strangers = options.configuration.strangers
    settings.strangers.uploads = strangers.uploads
    settings.strangers.uploadRate = strangers.uploadRate
    settings.strangers.receivedBodyBytes = strangers.requestBytes
    return try Server(settings) { [weak self] request, exchange in
      guard let self else { return }
      handle(request, exchange)
    }
  }

  /// `127.0.0.1:8114`, `[::1]:8114` or `8114`.
  static func split(_ listen: String) throws(ServerError) -> (host: String, port: UInt16) {
    do throws(ListenProblem) { return try NodeConfiguration.HTTP.address(listen) } catch {
      throw .addressInvalid(listen)
    }
  }

  private enum Route {
    case tokens(Dialect)
    case models, model(String), health, metrics, node, vouchers
    case job(String), receipt(String), proof(String), checkpoint

    init?(_ path: String) {
      let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(String.init)
      if let dialect = Dialect.all.first(where: { $0.path == parts }) {
        self = .tokens(dialect)
        return
      }
      switch parts {
      case ["v1", "models"]: self = .models
      case ["v1", "checkpoint"]: self = .checkpoint
      case ["v1", "node"]: self = .node
      case ["v1", "vouchers"]: self = .vouchers
      case ["health"]: self = .health
      case ["metrics"]: self = .metrics
      default:
        guard parts.count >= 3, parts[0] == "v1" else { return nil }
        let name = parts[2...].joined(separator: "/")
        guard !name.isEmpty else { return nil }
        switch parts[1] {
        // Names of models may hold a slash.
        case "models": self = .model(name.removingPercentEncoding ?? name)
        case "jobs" where parts.count == 3: self = .job(name)
        case "receipts" where parts.count == 3: self = .receipt(name)
        case "receipts" where parts.count == 4 && parts[3] == "proof": self = .proof(parts[2])
        default: return nil
        }
      }
    }

    var methods: [Intake.Method] {
      switch self {
      case .tokens: [.post]
      case .job: [.get, .head, .delete]
      case .vouchers: [.get, .head, .post]
      case .models, .model, .health, .metrics, .node, .receipt, .proof, .checkpoint: [.get, .head]
      }
    }

    /// Whoever reaches the address may read these: they name no client and no content.
    var isOpen: Bool {
      switch self {
      case .health, .metrics, .node, .checkpoint: true
      case .tokens, .models, .model, .job, .receipt, .proof, .vouchers: false
      }
    }
  }

  /// Refusals that need no body, before one is read.
  private func check(_ head: RequestHead, _ peer: Peer) -> Response? {
    guard let route = Route(head.path) else {
      return APIError.notFound("there is nothing at '\(head.path.prefix(200))'").response
    }
    guard route.methods.contains(head.method) else {
      let allowed = route.methods.map(\.rawValue).joined(separator: ", ")
      return APIError(
        status: 405, type: .request, code: "method_not_allowed",
        message: "\(head.method.rawValue) is not possible here, wanted \(allowed)"
      ).response.with("Allow", allowed)
    }
    if !route.isOpen, case .failure(let error) = identify(head) { return error.response }
    if head.method == .post, !head.isJSON {
      return APIError(
        status: 415, type: .request, code: "unsupported_media_type",
        message: "the body's Content-Type is not application/json"
      ).response
    }
    return nil
  }

  private func identify(_ head: RequestHead) -> Result<Identity, APIError> {
    let token = head.bearerToken.map { String(decoding: $0, as: UTF8.self) }
    do throws(Refusal) { return .success(try admission.identify(token: token)) } catch {
      return .failure(APIError(error))
    }
  }

  /// One request, on the server's thread.
  private func handle(_ request: Request, _ exchange: Exchange) {
    guard let route = Route(request.head.path) else { return }
    switch route {
    case .health: exchange.respond(health())
    case .metrics:
      exchange.respond(
        Response(
          status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: Array(metrics().utf8)))
    case .node: exchange.respond(.json(JSONWriter.bytes(nodeCard())))
    case .checkpoint: exchange.respond(checkpoint(request.head.query))
    case .tokens, .models, .model, .job, .receipt, .proof, .vouchers:
      switch identify(request.head) {
      case .failure(let error): exchange.respond(error.response)
      case .success(let identity): handle(route, request, identity, exchange)
      }
    }
  }

  private func handle(_ route: Route, _ request: Request, _ identity: Identity, _ exchange: Exchange) {
    switch route {
    case .tokens(let dialect):
      let caller = Admission.Caller(identity: identity, origin: origin)
      prepare(request, caller, exchange) { [self] in complete(request, dialect, caller, exchange) }
    case .models: exchange.respond(models())
    case .model(let name): exchange.respond(model(name))
    case .job(let text):
      if request.head.method == .delete {
        cancelJob(text, identity, exchange)
      } else {
        job(text, identity, isFetched: request.head.method == .get, exchange)
      }
    case .receipt(let id): exchange.respond(receipt(id, identity))
    case .proof(let id): exchange.respond(proof(id, identity))
    case .vouchers:
      guard request.head.method == .post else {
        exchange.respond(account(of: identity))
        return
      }
      // Verifying is a process: never on the server's thread.
      prepare(request, Admission.Caller(identity: identity, origin: origin), exchange) { [self] in
        exchange.respond(takeVoucher(request.body, identity))
      }
    case .health, .metrics, .node, .checkpoint: break
    }
  }

  /// Does something with a request that takes a while, in its client's turn.
  private func prepare(
    _ request: Request, _ caller: Admission.Caller, _ exchange: Exchange,
    _ body: @escaping @Sendable () -> Void
  ) {
    do throws(Refusal) {
      try admission.inTurn(caller, bytes: request.body.count, isWanted: { !exchange.isGone }, body)
    } catch {
      exchange.respond(APIError(error).response)
    }
  }

  // MARK: tokens

  private func complete(
    _ request: Request, _ dialect: Dialect, _ caller: Admission.Caller, _ exchange: Exchange
  ) {
    guard !exchange.isGone else { return }
    do throws(Refusal) {
      let asked = try dialect.read(request.body, atMost: options.configuration.http.bodyLimit)
      if request.head.fields.has(token: "respond-async", in: "prefer") {
        let response = try accept(
          asked, dialect, body: request.body, from: caller, isWanted: { !exchange.isGone })
        guard response.status == 202 else {
          exchange.respond(response)
          return
        }
        // A promise: the client may leave now, so the job must outlive this process.
        whenRecorded { error in
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

  var origin: JobOrigin { options.isDemo ? .demo : .client }

  /// The client waits on its connection.
  private func run(
    _ asked: AskedAnswer, _ dialect: Dialect, _ caller: Admission.Caller, _ exchange: Exchange
  ) throws(Refusal) {
    let id = Admission.makeJobID()
    var responder: Responder?
    let state = try admission.admit(asked.request, id: id, from: caller, isWanted: { !exchange.isGone }) {
      prompt in
      let shape = AnswerShape(asked, job: id, prompt: prompt, created: Self.now().wall / 1_000_000)
      let made = Responder(dialect.writer(shape)) { exchange.send($0) }
      responder = made
      return { made.take($0) }
    }
    exchange.onGone { [weak self] _ in self?.send(.clientGone(id)) }
    if state == .pending {
      responder?.wait()
      publishNow()
    }
  }

  // MARK: reading

  private func models() -> Response {
    let list = serving.map { [modelCard($0)] } ?? []
    return .json(JSONWriter.bytes(["object": "list", "data": .array(list)]))
  }

  private func model(_ name: String) -> Response {
    guard let serving, serving.name == name else {
      return APIError(
        status: 404, type: .request, code: "model_not_found",
        message: "the model '\(name.prefix(200))' is not served here", parameter: "model"
      ).response
    }
    return .json(JSONWriter.bytes(modelCard(serving)))
  }

  private func modelCard(_ serving: Serving) -> JSONValue {
    [
      "id": .string(serving.name), "object": "model",
      "created": JSONValue(state.withLock { $0.started.wall } / 1_000_000),
      "owned_by": "hotpot", "max_model_len": JSONValue(serving.facts.contextLength),
      "sha256": .string(serving.facts.modelDigest.hex),
    ]
  }

  private func health() -> Response {
    let (serving, why, closed) = state.withLock { ($0.servingState, $0.whyIdle, $0.closed) }
    let isUp =
      switch serving {
      case .serving, .paused: closed == nil
      case .noModel, .loading, .draining, .readOnly, .failed, .stopping: false
      }
    var members: [JSONValue.Member] = [
      (key: "status", value: .string(serving.rawValue)), (key: "admitting", value: .bool(isUp)),
    ]
    if let closed { members.append((key: "why_closed", value: .string("\(closed)"))) }
    if let why { members.append((key: "why_idle", value: .string(why))) }
    return .json(JSONWriter.bytes(.object(members)), status: isUp ? 200 : 503)
  }

  /// What anyone may know of this node: `GET /v1/node`.
  private func nodeCard() -> JSONValue {
    let configuration = options.configuration
    let (serving, facts) = state.withLock { ($0.servingState, $0.facts) }
    let prices = configuration.prices.rules.map { rule -> JSONValue in
      var members: [JSONValue.Member] = []
      if let model = rule.model { members.append((key: "model", value: .string(model))) }
      if let hours = rule.hours {
        members.append((key: "hours", value: .string("\(hours.from)-\(hours.to)")))
      }
      members += [
        (key: "prompt", value: .string(rule.price.prompt.description)),
        (key: "cached", value: .string(rule.price.cached.description)),
        (key: "completion", value: .string(rule.price.completion.description)),
        (key: "minimum", value: .string(rule.price.minimum.description)),
      ]
      return .object(members)
    }
    // Prices made for one client are nobody else's business.
    let open = zip(configuration.prices.rules, prices).filter { $0.0.client == nil }.map(\.1)
    return [
      "object": "node", "name": .string(configuration.name), "version": .string(options.version),
      "status": .string(serving.rawValue), "demo": .bool(options.isDemo),
      "key": notary.map { .string($0.key.text) } ?? .null,
      "key_fingerprint": notary.map { .string($0.key.fingerprint) } ?? .null,
      "model": facts.map { .string($0.model) } ?? .null,
      "model_sha256": facts.map { .string($0.modelDigest.hex) } ?? .null,
      "numerics": facts.map { .string($0.profile) } ?? .null, "currency": .string(configuration.currency),
      "prices_per_million_tokens": .array(open),
    ]
  }

  /// A job of this client; another's is as if it were not there.
  /// - isFetched: whether the client has the answer then; it may ask again for a while
  private func job(_ text: String, _ identity: Identity, isFetched: Bool, _ exchange: Exchange) {
    guard let id = JobID(hex: text) else {
      exchange.respond(absent(text))
      return
    }
    switch asynchronous.find(id, client: identity.name) {
    case .kept:
      // From the disk: never on the server's thread.
      asynchronous.queue.async { [self] in
        exchange.respond(
          asynchronous.read(id) { job in
            journal.read { catalog in catalog.index(ofJob: job).flatMap { catalog.id(of: $0) } }
          })
        if isFetched { asynchronous.fetched(id, at: Self.now()) }
      }
    case .held(let response):
      exchange.respond(response)
      if isFetched { asynchronous.fetched(id, at: Self.now()) }
    case .accepted: exchange.respond(status(of: id, identity, isAwaited: true) ?? Self.accepted(id))
    case nil: exchange.respond(status(of: id, identity, isAwaited: false) ?? absent(text))
    }
  }

  private func absent(_ job: String) -> Response {
    APIError.notFound("no job of yours has the id '\(job.prefix(40))'").response
  }

  /// How far a job is; nil where this run of the node does not know it.
  /// - isAwaited: its answer is still to come, though it may have ended: its end is written first
  private func status(of id: JobID, _ identity: Identity, isAwaited: Bool) -> Response? {
    guard let row = state.withLock({ $0.row(id, at: Self.now()) }), row.client == identity.name else {
      return nil
    }
    var members: [JSONValue.Member] = [
      (key: "id", value: .string(row.id)), (key: "object", value: "job"),
      (key: "status", value: .string(row.state.rawValue)),
      (key: "model", value: .string(row.model)), (key: "prompt_tokens", value: JSONValue(row.promptTokens)),
      (key: "completion_tokens", value: JSONValue(row.outputTokens)),
      (key: "max_tokens", value: JSONValue(row.outputLimit)),
    ]
    if let detail = row.stateDetail { members.append((key: "detail", value: .string(detail))) }
    if let receipt = row.receipt { members.append((key: "receipt", value: .string(receipt))) }
    // Whoever was not there to hear the end, and is charged, gets what they paid for and what opens the receipt, as long as
    // transcripts are kept.
    if let kept = archive.find(job: id) { members += ReceiptMembers.all(kept) }
    return .json(JSONWriter.bytes(.object(members)), status: row.state.hasEnded && !isAwaited ? 200 : 202)
  }

  private func cancelJob(_ text: String, _ identity: Identity, _ exchange: Exchange) {
    guard let id = JobID(hex: text) else {
      exchange.respond(absent(text))
      return
    }
    if let row = state.withLock({ $0.row(id, at: Self.now()) }), row.client == identity.name {
      if row.state.hasEnded {
        exchange.respond(
          APIError(
            status: 409, type: .request, code: "ended",
            message: "the job has ended: \(row.state.rawValue)"
          ).response)
        return
      }
      send(.cancelledByClient(id))
    } else if takeWaiting(id, client: identity.name) {
      cancelWaiting(id, client: identity.name)
    } else {
      exchange.respond(absent(text))
      return
    }
    // A promise: said once it outlives a crash. Ends of asynchronous jobs pass this queue on their
    // way to the journal.
    asynchronous.queue.async { [self] in
      whenRecorded { error in
        let refused = error.map {
          APIError.unavailable("read_only", "the end cannot be kept: \($0)", retryAfter: nil)
        }
        exchange.respond(
          refused?.response
            ?? .json(JSONWriter.bytes(["id": .string(id.hex), "object": "job", "status": "cancelled"])))
      }
    }
  }

  // MARK: receipts

  private func receipt(_ id: String, _ identity: Identity) -> Response {
    switch logged(id, identity) {
    case .failure(let error): error.response
    case .success(let receipt):
      Response(status: 200, contentType: "application/json", body: receipt.line)
        .with("Hotpot-Receipt-Status", "\(receipt.status.seal)")
    }
  }

  private func proof(_ id: String, _ identity: Identity) -> Response {
    switch logged(id, identity) {
    case .failure(let error): return error.response
    case .success(let receipt):
      guard let current = notary?.current, current.checkpoint.size > receipt.receipt.index,
        let proof = journal.proof(of: receipt.receipt.index, under: current.checkpoint)
      else {
        return APIError.unavailable(
          "unsigned", "the receipt is logged and not yet under a signed checkpoint", retryAfter: 2
        ).response
      }
      return .text(proof.text)
    }
  }

  /// The newest signed checkpoint; with `from=SIZE` the proof that its log continues the one of that size, and with
  /// `to=SIZE` the same for an earlier state of it.
  private func checkpoint(_ query: String?) -> Response {
    guard let current = notary?.current else {
      return APIError.unavailable("unsigned", "no checkpoint has been signed yet", retryAfter: 2).response
    }
    if let query {
      let parts = query.split(separator: "&", maxSplits: 1, omittingEmptySubsequences: false)
      let to =
        parts.count == 1
        ? current.checkpoint.size : parts[1].hasPrefix("to=") ? Int(parts[1].dropFirst(3)) : nil
      guard parts[0].hasPrefix("from="), let from = Int(parts[0].dropFirst(5)), let to, from >= 0, from <= to,
        to <= current.checkpoint.size, let proof = journal.consistency(from: from, to: to)
      else {
        return APIError.invalid(
          "from",
          "the query is '\(query.prefix(40))', wanted from=SIZE or from=SIZE&to=SIZE with sizes of 0 to \(current.checkpoint.size)"
        ).response
      }
      return .text(proof.text)
    }
    return .text(current.checkpoint.text + "\n" + current.signature)
  }

  /// A receipt of this client.
  private func logged(_ id: String, _ identity: Identity) -> Result<LoggedReceipt, APIError> {
    let absent = APIError.notFound("no receipt of yours has the id '\(id.prefix(40))'")
    guard let index = journal.read({ $0.indexes(idPrefix: id, limit: 1).first }), id.utf8.count == 16 else {
      return .failure(absent)
    }
    do throws(JournalError) {
      let receipt = try journal.receipt(at: index)
      return receipt.receipt.client == identity.name ? .success(receipt) : .failure(absent)
    } catch {
      return .failure(.unavailable("journal", "\(error)", retryAfter: nil))
    }
  }
}
