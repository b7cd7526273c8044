// HTTPEndpoint.swift: the node over HTTP: its server, and who may request what before a body is
// read. Not here: parsing HTTP (Intake), the table of paths (Routes.swift), the handlers (the files
// beside it).
// Start at makeServer and handle.
import Control
import Foundation
import Intake
import JSON
import Receipts
import Scheduling
import Synchronization
import TLS

final class HTTPEndpoint: Sendable {
  let runtime: Runtime
  let admission: Admission
  let model: ServedModel
  let accounts: Accounts
  let signing: Signing
  let screens: Screens
  let archive: TranscriptArchive
  let asynchronous: AsynchronousJobs
  let witnessing: Witnessing
  let publication: Publication
  /// Where requests go that this node cannot take; nil where it shares no queue, or nothing of it.
  let entrance: QueueEntrance?
  private let live: LiveConfiguration
  let version: String
  let isDemo: Bool
  /// The origin of jobs that arrive over HTTP.
  let origin: JobOrigin
  private let identity = Mutex<TLSIdentity?>(nil)

  init(
    _ runtime: Runtime, admission: Admission, model: ServedModel, accounts: Accounts, signing: Signing,
    screens: Screens, archive: TranscriptArchive, asynchronous: AsynchronousJobs,
    witnessing: Witnessing, publication: Publication, entrance: QueueEntrance?,
    configuration: LiveConfiguration, version: String,
    isDemo: Bool, origin: JobOrigin
  ) {
    self.runtime = runtime
    self.admission = admission
    self.model = model
    self.accounts = accounts
    self.signing = signing
    self.screens = screens
    self.archive = archive
    self.asynchronous = asynchronous
    self.witnessing = witnessing
    self.publication = publication
    self.entrance = entrance
    live = configuration
    self.version = version
    self.isDemo = isDemo
    self.origin = origin
  }

  /// As it is now.
  var configuration: NodeConfiguration { live.current }

  // MARK: the server

  func makeServer() throws(ServerError) -> Server? {
    let http = configuration.http
    var settings = Server.Configuration()
    settings.addresses = []
    settings.hosts += http.hosts
    if let listen = http.listen {
      let (host, port) = try Self.address(listen)
      settings.addresses.append(.tcp(host: host, port: port))
      settings.hosts.append(host.contains(":") ? "[\(host)]" : host)
    }
    if http.listen != nil, let tls = http.tls {
      do throws(TLSError) {
        let made = try TLSIdentity(certificate: tls.certificate, key: tls.key)
        identity.withLock { $0 = made }
        settings.tls = made
      } catch {
        throw .tls(error)
      }
    }
    if let socket = http.socket { settings.addresses.append(.unix(path: socket, users: [geteuid()])) }
    guard !settings.addresses.isEmpty else { return nil }
    settings.maximumConnections = http.connections
    settings.limits.bodyBytes = http.bodyLimit
    _ = raiseFileLimit(to: http.connections + 256)
    settings.headCheck = { [weak self] head, peer in self?.check(head) }
    settings.standing = { [weak self] head, _ in
      self?.isKnown(head) ?? false ? .known : .stranger
    }
    let strangers = configuration.strangers
    settings.strangers.uploads = strangers.uploads
    settings.strangers.uploadRate = strangers.uploadRate
    settings.strangers.receivedBodyBytes = strangers.requestBytes
    return try Server(settings) { [weak self] request, exchange in
      guard let self else { return }
      handle(request, exchange)
    }
  }

  func reloadCertificate() {
    guard let identity = identity.withLock({ $0 }) else { return }
    do throws(TLSError) {
      try identity.reload()
      runtime.note(.info, "the certificate '\(identity.certificate)' was read again")
    } catch {
      runtime.note(.error, "the certificate stays as it was: \(error)")
    }
  }

  private static func address(_ listen: String) throws(ServerError) -> (host: String, port: UInt16) {
    do throws(ListenProblem) { return try NodeConfiguration.HTTP.address(listen) } catch {
      throw .addressInvalid(listen)
    }
  }

  // MARK: who may send what

  /// Refusals that need no body, before one is read.
  private func check(_ head: RequestHead) -> Response? {
    let routes = Route.at(head.path)
    guard !routes.isEmpty else {
      return APIError.notFound("there is nothing at '\(head.path.prefix(200))'").response
    }
    guard let route = routes.first(where: { $0.route.methods.contains(head.method) })?.route else {
      let allowed = routes.flatMap(\.route.methods).map(\.rawValue).joined(separator: ", ")
      return APIError(
        status: 405, type: .request, code: "method_not_allowed",
        message: "\(head.method.rawValue) is not possible here, wanted \(allowed)"
      ).response.with("Allow", allowed)
    }
    if case .client = route.handler {
      do throws(Refusal) { _ = try identify(head) } catch { return APIError(error).response }
    }
    // What everyone may post is a checkpoint, which is text.
    if case .anyone = route.handler { return nil }
    if head.method == .post, !head.isJSON {
      return APIError(
        status: 415, type: .request, code: "unsupported_media_type",
        message: "the body's Content-Type is not application/json"
      ).response
    }
    return nil
  }

  private func identify(_ head: RequestHead) throws(Refusal) -> Identity {
    // Anthropic's clients name their token otherwise.
    let token = head.bearerToken ?? head.fields.firstBytes("x-api-key").map { Array($0) }
    return try admission.identify(token: token.map { String(decoding: $0, as: UTF8.self) })
  }

  private func isKnown(_ head: RequestHead) -> Bool {
    do throws(Refusal) { return try identify(head).isKnown } catch { return false }
  }

  /// One request, on the server's thread.
  private func handle(_ request: Request, _ exchange: Exchange) {
    let found = Route.at(request.head.path).first { $0.route.methods.contains(request.head.method) }
    guard let (route, names) = found else { return }
    let call = Call(request: request, exchange: exchange, names: names)
    switch route.handler {
    case .anyone(let handler): handler(self, call)
    case .client(let handler):
      do throws(Refusal) { handler(self, call, try identify(request.head)) } catch {
        exchange.respond(APIError(error).response)
      }
    }
  }

  /// Does slow work on a request, in its client's turn.
  func inTurn(
    _ caller: Admission.Caller, _ call: Call, _ body: @escaping @Sendable () -> Void
  ) {
    let exchange = call.exchange
    do throws(Refusal) {
      try admission.inTurn(
        caller, bytes: call.request.body.count, isWanted: { !exchange.isGone }, body)
    } catch {
      exchange.respond(APIError(error).response)
    }
  }

  func caller(_ identity: Identity) -> Admission.Caller {
    Admission.Caller(identity: identity, origin: origin)
  }
}
