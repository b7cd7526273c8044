// HTTPService.swift: what all HTTP connections of one address share: settings, the host check, the
// date.

import Glibc
import TLS

/// Memory for request bodies being received, shared by the addresses of one server. Strangers'
/// bodies are counted separately, so that they keep nobody else's out; so are strangers'
/// connections that are sending one.
final class BodyBudget {
  private struct Part {
    let limit: Int
    var used = 0

    mutating func reserve(_ count: Int) -> Bool {
      guard count <= limit - used else { return false }
      used += count
      return true
    }
  }

  private var known: Part
  private var strangers: Part
  var strangerUploads = 0

  init(known: Int, strangers: Int) {
    self.known = Part(limit: known)
    self.strangers = Part(limit: strangers)
  }

  func reserve(_ count: Int, _ standing: Server.Standing) -> Bool {
    switch standing {
    case .known: known.reserve(count)
    case .stranger: strangers.reserve(count)
    }
  }

  func release(_ count: Int, _ standing: Server.Standing) {
    switch standing {
    case .known: known.used = max(0, known.used - count)
    case .stranger: strangers.used = max(0, strangers.used - count)
    }
  }
}

final class HTTPService: Service {
  struct Times {
    let handshake: Int64
    let head: Int64
    let body: Int64
    let idle: Int64
    let writeStall: Int64
    let linger: Int64
    let grace: Int64
  }

  let configuration: Server.Configuration
  let times: Times
  let handler: Server.Handler
  let refusal: [UInt8]
  private let users: [UInt32]
  let bodies: BodyBudget
  /// TLS connections whose handshake is not complete.
  var handshakes = 0
  private let hosts: [Host]
  private let wallClock: () -> Int64
  private var dateSecond = Int64.min
  private var dateText = ""

  init(
    _ configuration: Server.Configuration, users: [UInt32], bodies: BodyBudget,
    wallClock: @escaping () -> Int64, handler: @escaping Server.Handler
  ) {
    self.configuration = configuration
    self.users = users
    self.bodies = bodies
    self.wallClock = wallClock
    self.handler = handler
    times = Times(
      handshake: configuration.handshakeTimeout.nanoseconds, head: configuration.headTimeout.nanoseconds,
      body: configuration.bodyTimeout.nanoseconds,
      idle: configuration.idleTimeout.nanoseconds, writeStall: configuration.writeStallTimeout.nanoseconds,
      linger: configuration.lingerTimeout.nanoseconds,
      grace: configuration.strangers.uploadGrace.nanoseconds)
    hosts = configuration.hosts.map { Host($0) }
    let response = configuration.refusal(.tooManyConnections)
    var output = OutputBuffer()
    ResponseHead(
      status: response.status, fields: response.fields, framing: .length(response.body.count),
      minorVersion: 1, keepsAlive: false, date: httpDate(wallClock())
    ).write(to: &output)
    // A peer that wants TLS can't read a plain answer.
    refusal = configuration.tls == nil ? output.bytes + response.body : []
  }

  func connect(_ seat: Connection.Seat) -> Connection? {
    if case .local(let credentials) = seat.peer, credentials.uid != 0, !users.contains(credentials.uid) {
      return nil
    }
    guard let identity = configuration.tls, case .tcp = seat.peer else {
      return HTTPConnection(seat, service: self, secure: nil)
    }
    do throws(TLSError) {
      return HTTPConnection(seat, service: self, secure: try SecureLink(identity))
    } catch {
      // There is no memory for it.
      return nil
    }
  }

  /// Why this server refuses the head, beyond its grammar.
  func check(_ head: RequestHead, _ peer: Peer) -> RequestRefusal? {
    if head.fields.count(of: "origin") > 0 { return .originRefused }
    switch peer {
    case .local: return nil
    case .tcp:
      // Browsers always send Host, so an HTTP/1.0 request without one does not come from a page
      // that rebinds DNS.
      guard let authority = head.authority else { return nil }
      let asked = Host(authority)
      let isServed = hosts.contains { $0.name == asked.name && ($0.port == nil || $0.port == asked.port) }
      return isServed ? nil : .hostNotServed(authority)
    }
  }

  func date() -> String {
    let second = wallClock()
    if second != dateSecond {
      dateSecond = second
      dateText = httpDate(second)
    }
    return dateText
  }
}

/// `name[:port]`, with the name in lower case and without a trailing port.
struct Host: Equatable {
  let name: String
  let port: String?

  init(_ text: String) {
    let lower = text.lowercased()
    let afterLiteral = lower.lastIndex(of: "]").map { lower.index(after: $0) } ?? lower.startIndex
    if let colon = lower[afterLiteral...].firstIndex(of: ":") {
      name = String(lower[..<colon])
      let digits = String(lower[lower.index(after: colon)...])
      port = digits.isEmpty ? nil : digits
    } else {
      name = lower
      port = nil
    }
  }
}

/// IMF-fixdate (RFC 9110, 5.6.7), such as "Sun, 06 Nov 1994 08:49:37 GMT".
func httpDate(_ seconds: Int64) -> String {
  var time = time_t(seconds)
  var parts = tm()
  guard gmtime_r(&time, &parts) != nil else { return "Thu, 01 Jan 1970 00:00:00 GMT" }
  let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
  let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
  func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
  let day = days[Int(parts.tm_wday) % 7]
  let month = months[Int(parts.tm_mon) % 12]
  let clock = "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
  return "\(day), \(two(parts.tm_mday)) \(month) \(Int(parts.tm_year) + 1900) \(clock) GMT"
}

func wallClockSeconds() -> Int64 { Int64(time(nil)) }

/// CLOCK_MONOTONIC, in nanoseconds.
func monotonicNanoseconds() -> Int64 {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
}
