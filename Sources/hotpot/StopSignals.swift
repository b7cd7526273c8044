// StopSignals.swift: the signals that end a node, and those that it ignores. Start at take.

import Foundation
import Node
import Terminal

/// How a node is asked to end.
enum StopSignals {
  /// From now on the node ignores signals that mean nothing to it and would end a process by
  /// default. Only requests to end still end it, after its jobs. Programs that it starts get the
  /// default actions.
  static func ignoreOthers() {
    // 34 to 64 are the real-time signals that glibc leaves to programs.
    let stray =
      [SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGSTKFLT, SIGPIPE] + Array(34...64)
    for number in stray { signal(number, SIG_IGN) }
  }

  /// From now on the first SIGTERM or SIGINT ends the node after its jobs, and a second one at
  /// once; SIGHUP reads the configuration again. This holds until the process ends. If there is no
  /// descriptor left for it, these signals keep their default action.
  /// - stopping: called once, with the first signal
  static func take(for node: NodeService, stopping: @escaping @Sendable () -> Void = {}) {
    take(hangup: { node.reload(by: "SIGHUP") }) { isFirst, name in
      if isFirst { stopping() }
      node.stop(drain: isFirst, by: name)
    }
  }

  /// From now on the first SIGTERM or SIGINT ends something that has nothing to finish.
  static func take(_ stop: @escaping @Sendable () -> Void) { take(hangup: {}) { _, _ in stop() } }

  private static func take(
    hangup: @escaping @Sendable () -> Void,
    _ stop: @escaping @Sendable (_ isFirst: Bool, _ name: String) -> Void
  ) {
    guard let signals = SignalPipe([SIGTERM, SIGINT, SIGHUP, SIGPWR]) else { return }
    let thread = Thread {
      var isFirst = true
      while true {
        var wait = pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0)
        _ = poll(&wait, 1, -1)
        for signal in signals.next() {
          if signal == SIGHUP {
            hangup()
            continue
          }
          stop(isFirst, name(signal))
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
