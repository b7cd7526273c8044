// Log.swift: `hotpot log`: what happened on a running node and who did it, as the log pane shows it.

import Control
import Foundation
import Node

extension Command {
  static let log = Command(
    name: "log", summary: "what happened on a running node, and who did it",
    details: """
      Prints the newest lines that the node remembers, at most 200; with -f also those that come. --job and --client choose
      lines that name one, --level those that are at least as severe: info, act, warning, error. A node with a dashboard
      writes all lines to the file 'log' in its state directory too, one without to standard error, which systemd keeps.
      """,
    options: NodeSetup.commonOptions + [
      .json, Option("follow", letter: "f", "go on with the lines that come, until the node ends"),
      Option("lines", letter: "n", value: "N", "at most so many of the past; default 200"),
      Option("level", value: "WORD", "only info, act, warning or error and what is worse"),
      Option("job", value: "ID", "only lines that name this job"),
      Option("client", value: "NAME", "only lines that name this client"),
    ]
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    let most = try arguments.int("lines", in: 0...200) ?? 200
    let least = try arguments.string("level").map { word in
      guard let level = LogLevel(rawValue: word) else {
        throw Failure(.usage, "option '--level' wants info, act, warning or error, found '\(word)'")
      }
      return level
    }
    let job = arguments.string("job").map { String($0.prefix(8)) }
    func isWanted(_ line: LogLine) -> Bool {
      let order = LogLevel.allCases
      return order.firstIndex(of: line.level) ?? 0 >= least.flatMap(order.firstIndex(of:)) ?? 0
        && (job.map { line.text.contains($0) } ?? true)
        && (arguments.string("client").map { line.text.contains($0) || line.who == $0 } ?? true)
    }
    func show(_ lines: some Sequence<LogLine>) throws {
      for line in lines {
        if arguments.has("json") { try Console.print(json: line) } else { Console.print(line.printed) }
      }
    }
    let control = try ControlClient(arguments)
    var lines = try control.snapshot().log
    try show(lines.filter(isWanted).suffix(most))
    Console.endWhenNobodyReads()
    while arguments.has("follow") {
      try await Task.sleep(for: .milliseconds(500))
      let last = lines.last?.sequence ?? 0
      lines = try control.snapshot().log
      try show(lines.filter { $0.sequence > last && isWanted($0) })
    }
    return .ok
  }
}
