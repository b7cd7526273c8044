// SteppedLoop.swift: the same loop without its thread: a test holds the clock and turns it by hand.
// Everything that a running server does goes through here as well; only the sleeping is left out.

import CSystem

@testable import Intake

/// A loop that a test turns. Its connections are socket pairs, and its time moves only by `advance`.
final class SteppedLoop {
  private final class Clock { var now: Int64 = 1_000_000_000 }

  private let clock = Clock()
  private let loop: Loop
  private let service: any Service

  init(
    _ configuration: Server.Configuration, wallClock: @escaping () -> Int64 = { 784_111_777 },
    handler: @escaping Server.Handler
  ) throws(ServerError) {
    loop = try Loop(
      mailbox: Mailbox(), maximumConnections: configuration.maximumConnections,
      clock: { [clock] in clock.now })
    service = HTTPService(
      configuration, users: [],
      bodies: BodyBudget(
        known: configuration.receivedBodyBytes, strangers: configuration.strangers.receivedBodyBytes),
      wallClock: wallClock, handler: handler)
  }

  init(
    lines configuration: LineServer.Configuration, _ callbacks: LineServer.Callbacks
  ) throws(ServerError) {
    loop = try Loop(
      mailbox: Mailbox(), maximumConnections: configuration.maximumConnections,
      clock: { [clock] in clock.now })
    service = LineService(configuration, users: configuration.users, callbacks)
  }

  deinit { loop.forEachConnection { $0.close(.stopped) } }

  /// The client's end of a new connection, non-blocking. The peer is what the service sees; nil is the truth.
  func connect(
    as peer: Peer? = .tcp(address: "127.0.0.1", port: 1)
  ) throws(ServerError) -> Int32 {
    var ends: [Int32] = [0, 0]
    let result = csystem_socketpair(&ends)
    if result < 0 { throw .system("socketpair", errno: -result) }
    loop.adopt(ends[0], service, as: peer)
    return ends[1]
  }

  /// Accepts from a listening socket, which the loop owns from here on.
  func listen(_ descriptor: Int32) throws(ServerError) { try loop.listen(descriptor, service) }

  /// Does all that is due and ready now, without waiting: some turns, for what one turn makes ready.
  func turn() { for _ in 0..<4 { loop.turn(wait: 0) } }

  func advance(_ duration: Duration) {
    clock.now += duration.nanoseconds
    turn()
  }

  func stop(grace: Duration) {
    loop.mailbox.post(.stop(deadlineNanoseconds: clock.now.clampedSum(grace.nanoseconds)))
    turn()
  }

  var isStopped: Bool { loop.isStopped }

  var statistics: LoopStatistics {
    var figures = loop.statistics
    figures.openConnections = loop.openCount
    return figures
  }

  /// Makes system calls fail: the closure answers an errno, or 0 to let the call through.
  func injectFaults(_ fault: ((Syscall) -> Int32)?) { loop.fault = fault }
}
