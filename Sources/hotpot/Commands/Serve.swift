// Serve.swift: `hotpot serve`: the node without a dashboard, in the foreground, logging to standard
// error.

import Foundation
import Node

extension Command {
  static let serve = Command(
    name: "serve", summary: "run the node without a dashboard",
    details: """
      Serves OpenAI's HTTP interface and the control socket until SIGTERM or Ctrl-C, which finish what runs; a second one
      stops at once. SIGHUP reads the configuration and the certificate of 'http.tls' again and applies what may change while
      it runs; other signals that end programs by default, such as SIGUSR1, are survived. Logs go to standard error. Tells
      systemd when it is ready and that it lives (Type=notify, WatchdogSec=).
      """,
    options: NodeSetup.servingOptions
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    StopSignals.ignoreOthers()
    var options = try NodeSetup.options(arguments)
    options.log = { Console.note($0.printed + "\n") }
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
