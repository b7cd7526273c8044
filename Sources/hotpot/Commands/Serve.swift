// Serve.swift: `hotpot serve`: the node without a dashboard, in the foreground, logging to standard error.

import Foundation
import Node
import Synchronization

extension Command {
  static let serve = Command(
    name: "serve", summary: "run the node without a dashboard",
    details: """
      Serves OpenAI's HTTP interface and the control socket until SIGTERM or Ctrl-C, which finish what runs; a second one
      stops at once. SIGHUP is survived. Logs go to standard error. Tells systemd when it is ready and that it lives
      (Type=notify, WatchdogSec=).
      """,
    options: NodeSetup.servingOptions
  ) { arguments in
    _ = try arguments.operands(0...0, "")
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
    let signals = StopSignals(node: node) { manager?.stopping() }
    try await OwnThread.run { node.waitUntilStopped() }
    signals.end()
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

/// SIGTERM and SIGINT end a node after its jobs, a second one at once; SIGHUP is survived.
final class StopSignals: Sendable {
  private nonisolated(unsafe) let sources: [any DispatchSourceSignal]

  /// - stopping: called once, with the first of them
  init(node: NodeService, stopping: @escaping @Sendable () -> Void = {}) {
    signal(SIGHUP, SIG_IGN)
    let asked = AskedTwice()
    sources = [SIGTERM, SIGINT].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        let isFirst = asked.first()
        if isFirst { stopping() }
        node.stop(drain: isFirst, by: number == SIGTERM ? "SIGTERM" : "SIGINT")
      }
      source.resume()
      return source
    }
  }

  func end() { for source in sources { source.cancel() } }
}

/// Answers true the first time only.
private final class AskedTwice: Sendable {
  private let isAsked = Atomic<Bool>(false)
  func first() -> Bool { !isAsked.exchange(true, ordering: .relaxed) }
}
