// Server.swift: an HTTP/1.1 server on its own thread. Start at Server.init and
// Server.Configuration. Not here: TLS's records and certificates (TLS), compression, files and
// routing.

import JSON
import TLS

/// Where a server listens.
public enum ListenAddress: Sendable, Equatable {
  /// A numeric IPv4 or IPv6 address of this machine; port 0 picks a free one.
  case tcp(host: String, port: UInt16)
  /// A socket file, created with mode 0600. Only these users may connect; root always may.
  case unix(path: String, users: [UInt32])
}

/// An HTTP server: one thread, one epoll, any number of connections up to its limit.
///
/// The handler is called on the server's thread with a complete request and must not block: it
/// answers through the `Exchange`, at once or later, from any thread.
public final class Server: Sendable {
  public typealias Handler = @Sendable (Request, Exchange) -> Void

  public struct Configuration: Sendable {
    public var addresses: [ListenAddress] = [.tcp(host: "127.0.0.1", port: 8114)]
    public var limits = RequestParser.Limits()
    /// Who this server is, for TLS on all its TCP addresses; nil serves plain HTTP there. A Unix
    /// socket is always plain.
    public var tls: TLSIdentity?
    /// From the accept to the end of a TLS handshake; a slower connection is closed.
    public var handshakeTimeout = Duration.seconds(10)
    /// TLS handshakes at a time; one more ends the one that has sent nothing for longest.
    public var handshakes = 256
    /// The hosts that a request over TCP may name. `name` allows every port, `name:port` that one.
    /// This keeps out web pages that rebind their DNS name to 127.0.0.1; requests over a Unix
    /// socket are not checked.
    public var hosts = ["localhost", "127.0.0.1", "[::1]"]
    /// Open connections. Above the limit others are closed in this order: those that have long been
    /// idle or in their head, strangers that read or send slowly, new ones; after that new
    /// connections get 503. A known sender's request is never broken off for this.
    public var maximumConnections = 4096
    /// From the first byte of a request to the end of its head; longer gives 408.
    public var headTimeout = Duration.seconds(10)
    /// From the end of the head to the end of the body; longer gives 408.
    public var bodyTimeout = Duration.seconds(60)
    /// Between requests; after that the connection is closed.
    public var idleTimeout = Duration.seconds(30)
    /// How long a peer may leave waiting output unread.
    public var writeStallTimeout = Duration.seconds(20)
    /// How long a closed connection is still read, so that the peer gets its last answer.
    public var lingerTimeout = Duration.seconds(2)
    /// Bytes that may wait for a slow reader of one stream; above that the stream is dropped.
    public var streamBufferBytes = 1 << 20
    /// Bytes of request bodies being received, of all connections together; more gives 503.
    public var receivedBodyBytes = 256 << 20
    /// Looks at a head before its body is read, on the server's thread: a response ends the request
    /// at once. For refusals that need no body, such as a wrong token or path.
    public var headCheck: (@Sendable (RequestHead, Peer) -> Response?)?
    /// Whether the sender is known, asked after `headCheck` has let the head pass. Without it every
    /// sender is known.
    public var standing: (@Sendable (RequestHead, Peer) -> Standing)?
    public var strangers = Strangers()
    /// How a refusal is written as a response.
    public var refusal: @Sendable (RequestRefusal) -> Response = { refusalResponse($0) }

    public init() {}
  }

  /// Whether the sender of a request is one that the server's owner knows.
  public enum Standing: Sendable { case known, stranger }

  /// Bounds for all strangers together, because they can make up another name for free.
  public struct Strangers: Sendable {
    /// Connections that are sending a body; one more ends the one that has sent nothing for
    /// longest.
    public var uploads = 256
    /// Bytes of bodies being received; they don't count towards the server's `receivedBodyBytes`.
    public var receivedBodyBytes = 64 << 20
    /// The average rate in bytes per second that each body must keep since the end of its head; 0:
    /// any.
    public var uploadRate = 1_024
    /// How far a body may fall behind that rate.
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

  /// All that `body` sends on this server's exchanges is sent together: the loop is woken once, at
  /// the end. For a thread that has data for many streams at the same time.
  public func together(_ body: () -> Void) { running.corked(body) }

  /// Stops accepting, gives running exchanges at most `grace` to finish, then closes the rest.
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
