// FleetApp.swift: a fleet's screen on a terminal. It passes keys and the nodes' messages to the
// model, and lends the terminal to one node's own dashboard. Like DashboardApp it waits for no
// node: each has an inbox. Waiting and painting are in ScreenLoop.swift, the table in
// FleetModel.swift and FleetView.swift; the caller makes the connections. Start at run.
import Control
import Foundation
import Terminal

package final class FleetApp {
  private let connections: [any NodeConnection]
  private let inboxes: [NodeInbox]
  private let loop: ScreenLoop
  private var model: FleetModel

  /// Lends the terminal to another program: starts it and returns its process, or why it could not
  /// be started.
  package typealias Attach = (_ host: String) -> Result<pid_t, LinkError>

  /// Takes over the terminal. Call it and `run` on one thread.
  package init(
    nodes: [(host: String, connection: any NodeConnection)], options: DashboardOptions,
    environment: [String: String]
  ) throws(ScreenError) {
    connections = nodes.map(\.connection)
    var inboxes: [NodeInbox] = []
    for _ in nodes { inboxes.append(try NodeInbox()) }
    self.inboxes = inboxes
    // Keys repaint at once, the nodes' figures twice a second.
    loop = try ScreenLoop(environment: environment, frameInterval: 500_000)
    let screen = loop.screen
    model = FleetModel(
      hosts: nodes.map(\.host), size: screen.size, glyphs: screen.capabilities.glyphs, theme: options.theme,
      isReadOnly: options.isReadOnly, bell: options.bell)
  }

  /// Runs until the operator quits or the terminal is gone. All nodes go on serving.
  package func run(attach: Attach) -> DashboardExit {
    for (connection, inbox) in zip(connections, inboxes) { connection.start { inbox.put($0) } }
    while loop.exit == nil { turn(attach) }
    for connection in connections { connection.close() }
    return loop.close()
  }

  private func turn(_ attach: Attach) {
    let (instant, events) = loop.wait(for: inboxes.map(\.descriptor))
    for event in events {
      switch event {
      case .input(let input): take(.input(input), instant, attach, isUrgent: true)
      case .resized(let size): take(.resized(size), instant, attach, isUrgent: true)
      case .readable(let index):
        for message in inboxes[index].takeAll() {
          take(.node(index, message), instant, attach, isUrgent: false)
        }
      case .tick: take(.tick, instant, attach, isUrgent: false)
      }
    }
    loop.paint(at: instant) { view(model) }
  }

  private func take(_ message: FleetMessage, _ instant: Instant, _ attach: Attach, isUrgent: Bool) {
    for effect in model.update(message, at: instant) {
      switch effect {
      case .send(let index, let command, let tag): connections[index].send(command, tag: tag)
      case .attach(let index): give(index, attach)
      case .bell: loop.send(.bell)
      case .repaint: loop.screen.invalidate()
      case .leave: loop.exit = .left
      }
    }
    loop.invalidate(isUrgent: isUrgent)
  }

  // MARK: one node's own dashboard

  /// Lends the terminal to another program until it ends. Messages of the nodes wait in their
  /// inboxes meanwhile.
  private func give(_ index: Int, _ attach: Attach) {
    let host = model.nodes[index].host
    loop.lend {
      switch attach(host) {
      case .failure(let problem): _ = model.update(.note("\(problem)", isError: true), at: .now)
      case .success(let process):
        let code = wait(for: process)
        if code != 0 {
          _ = model.update(.note("\(host): its dashboard ended with code \(code)", isError: true), at: .now)
        }
      }
    }
    _ = model.update(.resized(loop.screen.size), at: .now)
  }

  /// Passes a changed window size and a hang-up on to the program that has the terminal.
  private func wait(for process: pid_t) -> Int32 {
    var status: Int32 = 0
    while true {
      let ended = waitpid(process, &status, WNOHANG)
      if ended == process || (ended < 0 && errno == ECHILD) { break }
      var waits = [pollfd(fd: loop.signals?.descriptor ?? -1, events: Int16(POLLIN), revents: 0)]
      guard poll(&waits, 1, 100) > 0 else { continue }
      for signal in loop.signals?.next() ?? [] {
        switch signal {
        case SIGWINCH: kill(process, SIGWINCH)
        case SIGHUP, SIGTERM:
          kill(process, SIGHUP)
          loop.exit = DashboardExit(stop: signal) ?? .hangup
        default: break
        }
      }
    }
    return status & 0x7F != 0 ? 128 + (status & 0x7F) : (status >> 8) & 0xFF
  }
}
