// Serve.swift: `hotpot serve`: the node without a dashboard, in the foreground, logging to standard error.

import Control
import Foundation
import Node
import Terminal

extension Command {
  static let serve = Command(
    name: "serve", summary: "run the node without a dashboard",
    details: """
      Serves OpenAI's HTTP interface and the control socket until SIGTERM or Ctrl-C, which finish what runs; a second one
      stops at once. Other signals that end programs by default, such as SIGHUP and SIGUSR1, are survived. Logs go to standard error. Tells systemd when it is ready and that it lives
      (Type=notify, WatchdogSec=).
      """,
    options: NodeSetup.servingOptions
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    StopSignals.ignoreOthers()
    var options = try NodeSetup.options(arguments)
    let printer = LogPrinter()
    options.log = { printer.print($0) }
    let node = try NodeService(options)
    if let damage = node.damage {
      throw Failure(
        .badData, "the journal is damaged: \(damage)",
        hint:
          "keep a copy of '\(options.stateDirectory)'; 'hotpot receipts repair' shows what is damaged and what can be done"
      )
    }
    try node.start()
    for port in node.ports { Console.note("hotpot: serving http on port \(port)\n") }
    let manager = ServiceManager()
    manager?.watch(node)
    StopSignals.take(for: node) { manager?.stopping() }
    try await OwnThread.run { node.waitUntilStopped() }
    manager?.end()
    return .ok
  }
}

/// Lines of the log on standard error, as systemd and people like them.
final class LogPrinter: Sendable {
  func print(_ line: LogLine) { Console.note(Self.text(line) + "\n") }

  static func text(_ line: LogLine) -> String {
    let seconds = Double(line.time) / 1_000_000
    let stamp = Date(timeIntervalSince1970: seconds).formatted(.iso8601)
    let who = line.who.map { " \($0)" } ?? ""
    return "\(stamp) \(line.level.rawValue)\(who): \(Console.oneLine(line.text))"
  }
}

/// How a node is told to end.
enum StopSignals {
  /// From now on signals that would end a process that does not know them, and that mean nothing to a node, do nothing:
  /// only requests to end end it, after its jobs. Programs that it starts have the defaults.
  static func ignoreOthers() {
    // 34 to 64 are the real-time signals that glibc leaves to programs.
    let stray =
      [SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGSTKFLT, SIGPIPE] + Array(34...64)
    for number in stray { signal(number, SIG_IGN) }
  }

  /// From now on SIGTERM and SIGINT end the node after its jobs, a second one at once; SIGHUP is survived. Until the
  /// process ends; one that has no descriptor left for this is ended by them as by default.
  /// - stopping: called once, with the first of them
  static func take(for node: NodeService, stopping: @escaping @Sendable () -> Void = {}) {
    guard let signals = SignalPipe([SIGTERM, SIGINT, SIGHUP, SIGPWR]) else { return }
    let thread = Thread {
      var isFirst = true
      while true {
        var wait = pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0)
        _ = poll(&wait, 1, -1)
        for signal in signals.next() where signal != SIGHUP {
          if isFirst { stopping() }
          node.stop(drain: isFirst, by: name(signal))
          isFirst = false
        }
      }
    }
    thread.name = "hotpot-signals"
    thread.stackSize = 512 << 10
    thread.start()
  }

  private static func name(_ signal: Int32) -> String {
    switch signal {
    case SIGTERM: "SIGTERM"
    case SIGINT: "SIGINT"
    case SIGPWR: "SIGPWR: the power fails"
    default: "signal \(signal)"
    }
  }
}
