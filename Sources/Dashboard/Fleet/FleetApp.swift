// FleetApp.swift: the one thread of a fleet's screen: keys, many nodes, signals; and a way to one node's own dashboard.
// Like DashboardApp it waits for no node: each has a mailbox. Leaves out the table (FleetModel.swift, FleetView.swift)
// and how a node is reached (the connections). Start at run.
import Foundation
import Node
import Terminal

public final class FleetApp {
  private let connections: [any NodeConnection]
  private let mailboxes: [Mailbox]
  private let environment: [String: String]
  private var model: FleetModel
  private var screen: CursesScreen
  private let signals: SignalPipe?
  private var needsPaint = true
  private var isUrgent = true
  private var lastPaint: Microseconds = 0
  private var lastTick: Microseconds = 0
  private var exit: DashboardExit?

  /// Gives the terminal to another program: starts it and returns its process, or why it cannot be started.
  public typealias Attach = (_ host: String) -> Result<pid_t, LinkError>

  /// Takes the terminal. Call it and `run` on one thread.
  public init(
    nodes: [(host: String, connection: any NodeConnection)], options: DashboardOptions,
    environment: [String: String]
  ) throws(ScreenError) {
    connections = nodes.map(\.connection)
    var mailboxes: [Mailbox] = []
    for _ in nodes { mailboxes.append(try Mailbox()) }
    self.mailboxes = mailboxes
    self.environment = environment
    (screen, signals) = try CursesScreen.take(environment)
    model = FleetModel(
      hosts: nodes.map(\.host), size: screen.size, glyphs: screen.capabilities.glyphs, theme: options.theme,
      isReadOnly: options.isReadOnly, bell: options.bell)
  }

  /// Runs until the operator leaves or the terminal is gone. All nodes serve on.
  public func run(attach: Attach) -> DashboardExit {
    for (connection, mailbox) in zip(connections, mailboxes) { connection.start { mailbox.put($0) } }
    var result = exit
    while result == nil {
      turn(attach)
      result = exit
    }
    for connection in connections { connection.close() }
    screen.close()
    signals?.close()
    return result ?? .left
  }

  private func turn(_ attach: Attach) {
    var waits = [
      pollfd(fd: screen.descriptor, events: Int16(POLLIN | (screen.isStalled ? POLLOUT : 0)), revents: 0),
      pollfd(fd: signals?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
    ]
    waits += mailboxes.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
    _ = poll(&waits, nfds_t(waits.count), timeout(.now))
    let moment = Moment.now
    if waits[1].revents != 0 { for signal in signals?.next() ?? [] { take(signal: signal, moment) } }
    if waits[0].revents & Int16(POLLOUT) != 0, screen.flush() == .hangup { exit = .hangup }
    if waits[0].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 { readKeys(moment, attach) }
    // What has come was read just now.
    if let due = screen.inputDue, moment.steady >= due {
      for input in screen.expireInput(at: moment.steady) {
        take(.input(input), moment, attach, isUrgent: true)
      }
    }
    for (index, mailbox) in mailboxes.enumerated() where waits[index + 2].revents != 0 {
      for message in mailbox.takeAll() { take(.node(index, message), moment, attach, isUrgent: false) }
    }
    if moment.steady - lastTick >= 1_000_000 {
      lastTick = moment.steady
      take(.tick, moment, attach, isUrgent: false)
    }
    if exit == nil { paint(moment) }
  }

  private func timeout(_ moment: Moment) -> Int32 {
    var until = lastTick + 1_000_000 - moment.steady
    if let due = screen.inputDue { until = min(until, due - moment.steady) }
    if needsPaint && !screen.isStalled {
      until = isUrgent ? 0 : min(until, lastPaint + 500_000 - moment.steady)
    }
    return Int32(clamping: max(0, (until + 999) / 1000))
  }

  private func readKeys(_ moment: Moment, _ attach: Attach) {
    switch screen.read(at: moment.steady) {
    case .hangup: exit = .hangup
    case .inputs(let inputs):
      for input in inputs { take(.input(input), moment, attach, isUrgent: true) }
    }
  }

  private func take(signal: Int32, _ moment: Moment) {
    switch signal {
    case SIGWINCH: resized(moment)
    case SIGHUP: exit = .hangup
    case SIGTERM, SIGINT: exit = DashboardExit(stop: signal)
    case SIGCONT:
      screen.retake()
      resized(moment)
    default: break
    }
  }

  private func resized(_ moment: Moment) {
    _ = screen.refreshSize()
    _ = model.update(.resized(screen.size), at: moment)
    needsPaint = true
    isUrgent = true
  }

  private func take(_ message: FleetMessage, _ moment: Moment, _ attach: Attach, isUrgent: Bool) {
    for command in model.update(message, at: moment) {
      switch command {
      case .send(let index, let command, let tag): connections[index].send(command, tag: tag)
      case .attach(let index): give(index, attach)
      case .bell: screen.send(.bell)
      case .repaint: screen.invalidate()
      case .leave: exit = .left
      }
    }
    needsPaint = true
    if isUrgent { self.isUrgent = true }
  }

  // MARK: one node's own dashboard

  /// The terminal is another program's until it ends; what the nodes say meanwhile waits in their mailboxes.
  private func give(_ index: Int, _ attach: Attach) {
    let host = model.nodes[index].host
    screen.close()
    switch attach(host) {
    case .failure(let problem): _ = model.update(.note("\(problem)", isError: true), at: .now)
    case .success(let process):
      let code = wait(for: process)
      if code != 0 {
        _ = model.update(.note("\(host): its dashboard ended with code \(code)", isError: true), at: .now)
      }
    }
    do throws(ScreenError) {
      screen = try CursesScreen(environment: environment)
    } catch {
      exit = .hangup
      return
    }
    _ = model.update(.resized(screen.size), at: .now)
    needsPaint = true
    isUrgent = true
  }

  /// Hands a changed size and a hang-up on to the program that has the terminal.
  private func wait(for process: pid_t) -> Int32 {
    var status: Int32 = 0
    while true {
      let ended = waitpid(process, &status, WNOHANG)
      if ended == process || (ended < 0 && errno == ECHILD) { break }
      var waits = [pollfd(fd: signals?.descriptor ?? -1, events: Int16(POLLIN), revents: 0)]
      guard poll(&waits, 1, 100) > 0 else { continue }
      for signal in signals?.next() ?? [] {
        switch signal {
        case SIGWINCH: kill(process, SIGWINCH)
        case SIGHUP, SIGTERM:
          kill(process, SIGHUP)
          exit = DashboardExit(stop: signal) ?? .hangup
        default: break
        }
      }
    }
    return status & 0x7F != 0 ? 128 + (status & 0x7F) : (status >> 8) & 0xFF
  }

  private func paint(_ moment: Moment) {
    guard needsPaint, !screen.isStalled else { return }
    if !isUrgent && moment.steady - lastPaint < 500_000 { return }
    needsPaint = false
    isUrgent = false
    lastPaint = moment.steady
    if screen.present(view(model)) == .hangup { exit = .hangup }
  }
}
