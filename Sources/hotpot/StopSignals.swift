// StopSignals.swift: the signals that a node hears, and those that it survives. Start at take.

import Foundation
import Node
import Terminal

/// How a node is told to end.
enum StopSignals {
  /// From now on signals that would end a process that does not know them, and that mean nothing to
  /// a node, do nothing:
  /// only requests to end end it, after its jobs. Programs that it starts have the defaults.
  static func ignoreOthers() {
    // 34 to 64 are the real-time signals that glibc leaves to programs.
    let stray =
      [SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGSTKFLT, SIGPIPE] + Array(34...64)
    for number in stray { signal(number, SIG_IGN) }
  }

  /// From now on SIGTERM and SIGINT end the node after its jobs, a second one at once; SIGHUP is
  /// survived. Until the process ends; one that has no descriptor left for this is ended by them as
  /// by default.
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
