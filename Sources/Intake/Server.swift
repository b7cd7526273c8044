// Server.swift: an HTTP/1.1 server on a thread of its own. Start at Server.init and
// Server.Configuration. It leaves out TLS (ssh and reverse proxies do that), compression, files and
// routing.

import JSON

/// Where a server listens.
public enum ListenAddress: Sendable, Equatable {
  /// A numeric IPv4 or IPv6 address of this machine; port 0 takes a free one.
  case tcp(host: String, port: UInt16)
  /// A socket file, created with mode 0600. Only these users may connect; root always may.
  case unix(path: String, users: [UInt32])
}

/// An HTTP server: one thread, one epoll, any number of connections up to its limit.
///
/// The handler is called on the server's thread with a complete request, and must not block: it
/// answers through the `Exchange` then or later, from any thread.
public final class Server: Sendable {
  public typealias Handler = @Sendable (Request, Exchange) -> Void

  public struct Configuration: Sendable {
    public var addresses: [ListenAddress] = [.tcp(host: "127.0.0.1", port: 8114)]
    public var limits = RequestParser.Limits()
    /// The hosts that a request over TCP may name. `name` allows every port, `name:port` that one.
    /// This is what keeps a web page that rebinds its DNS name to 127.0.0.1 out; a request over a
    /// Unix socket is not checked.
    public var hosts = ["localhost", "127.0.0.1", "[::1]"]
    /// Open connections. Over it room is made, in this order: for what has long been idle or about
    /// its head, for strangers that read or send slowly, for what is new; then new ones get 503. A
    /// request of a known sender is never broken off for that.
    public var maximumConnections = 4096
    /// From the first byte of a request to the end of its head: over it 408.
    public var headTimeout = Duration.seconds(10)
    /// From the end of the head to the end of the body: over it 408.
    public var bodyTimeout = Duration.seconds(60)
    /// Between requests: over it the connection is closed.
    public var idleTimeout = Duration.seconds(30)
    /// How long a peer may read nothing of what is ready for it.
    public var writeStallTimeout = Duration.seconds(20)
    /// How long a closed connection is still read, so that the peer gets its last answer.
    public var lingerTimeout = Duration.seconds(2)
    /// What may wait for a slow reader of one stream; over it the stream is dropped.
    public var streamBufferBytes = 1 << 20
    /// Request bodies being received, of all connections together: over it 503.
    public var receivedBodyBytes = 256 << 20
    /// Looks at a head before its body is read, on the server's thread: an answer ends the request
    /// there. For refusals that need no body, such as a wrong token or path.
    public var headCheck: (@Sendable (RequestHead, Peer) -> Response?)?
    /// Who sends it, asked when `headCheck` has let it pass. Without it everybody is known.
    public var standing: (@Sendable (RequestHead, Peer) -> Standing)?
    public var strangers = Strangers()
    /// How a refusal is written down.
    public var refusal: @Sendable (RequestRefusal) -> Response = { refusalResponse($0) }

    public init() {}
  }

  /// Whether the sender of a request is one that the server's owner knows.
  public enum Standing: Sendable { case known, stranger }

  /// What strangers may have, all of them together: one more name costs them nothing.
  public struct Strangers: Sendable {
    /// Connections that are sending a body; one more ends the one that has brought nothing for
    /// longest.
    public var uploads = 256
    /// Bytes of bodies being received; they take nothing of `receivedBodyBytes`.
    public var receivedBodyBytes = 64 << 20
    /// Bytes a second that each body must bring, on the average since the end of its head; 0: any.
    public var uploadRate = 1_024
    /// From then on.
    public var uploadGrace = Duration.seconds(10)

    public init() {}
  }

  private let running: RunningLoop
  /// The TCP ports that the server listens on, in the order of the configuration.
  public let ports: [UInt16]

  /// Binds all addresses, then serves on a new thread until `stop`, or until the server is dropped.
  public init(_ configuration: Configuration, handler: @escaping Handler) throws(ServerError) {
    let bound = try BoundAddresses(configuration.addresses)
    ports = bound.ports
    running = try RunningLoop(
      name: "hotpot-http", maximumConnections: configuration.maximumConnections, bound: bound,
      bodyBytes: configuration.receivedBodyBytes,
      strangerBytes: configuration.strangers.receivedBodyBytes
    ) { users, budget in
      HTTPService(
        configuration, users: users, bodies: budget, wallClock: wallClockSeconds, handler: handler)
    }
  }

  deinit { running.stop(grace: .zero) }

  public var statistics: LoopStatistics { running.current }

  /// What `body` sends on this server's exchanges goes out together: the loop is woken once, at the
  /// end. For a thread that has something for many streams at the same time.
  public func together(_ body: () -> Void) { running.corked(body) }

  /// Stops accepting, lets exchanges that run finish for at most `grace`, then closes what is left.
  public func stop(grace: Duration) { running.stop(grace: grace) }

  /// Waits until the server has stopped. It blocks the calling thread.
  public func waitUntilStopped() { running.ended.wait() }
}

/// The default form of a refusal: the error object of the OpenAI API.
public func refusalResponse(_ refusal: RequestRefusal) -> Response {
  let kind = refusal.status >= 500 ? "server_error" : "invalid_request_error"
  let error = JSONValue.object([
    ("message", .string(refusal.message)), ("type", .string(kind)), ("param", .null),
    ("code", .string(refusal.code)),
  ])
  var response = Response.json(JSONWriter.bytes(.object([("error", error)])), status: refusal.status)
  response.closes = true
  return response
}
