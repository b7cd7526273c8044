// ServiceManager.swift: what a node tells the service manager that started it: that it is ready,
// what it does, that it still lives, that it stops. Source: sd_notify(3), the protocol alone; no
// library. Silent where nobody listens.
// Start at init and watch.

import CSystem
import Control
import Foundation
import Node
import Synchronization

final class ServiceManager: Sendable {
  private let address: String
  /// Between two signs of life; nil where none are wanted.
  private let interval: Double?
  private let isStopped = Atomic<Bool>(false)

  /// nil where no service manager waits.
  init?(_ environment: [String: String] = ProcessInfo.processInfo.environment) {
    guard let address = environment["NOTIFY_SOCKET"], !address.isEmpty else { return nil }
    self.address = address
    // Meant for this process, if it says for which.
    let isOurs = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
    if isOurs, let text = environment["WATCHDOG_USEC"], let microseconds = UInt64(text), microseconds > 0 {
      interval = Double(microseconds) / 2_000_000
    } else {
      interval = nil
    }
    // Programs that this one starts are not the service.
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] { unsetenv(name) }
  }

  /// One message; failing is nobody's business but the manager's, who then misses it.
  private func tell(_ lines: String...) { _ = csystem_notify(address, lines.joined(separator: "\n")) }

  /// The sockets are open: says that it is ready, and from now on what it does and that it lives.
  ///
  /// A sign of life is sent only after the node has made a snapshot: that takes the lock that every
  /// decision takes, and the beat that publishes it. A node that hangs there is silent, and is
  /// started anew.
  func watch(_ node: NodeService) {
    tell("READY=1", "STATUS=\(Self.status(node.snapshot().node))", "MAINPID=\(getpid())")
    let thread = Thread { [self, weak node] in
      var last = ""
      var sinceAlive = 0.0
      let step = min(5, interval ?? 5)
      while !isStopped.load(ordering: .relaxed), let snapshot = node?.snapshot() {
        let status = Self.status(snapshot.node)
        if status != last {
          tell("STATUS=\(status)")
          last = status
        }
        if let interval, sinceAlive >= interval - 0.001 {
          tell("WATCHDOG=1")
          sinceAlive = 0
        }
        Thread.sleep(forTimeInterval: step)
        sinceAlive += step
      }
    }
    thread.name = "notify"
    thread.stackSize = 1 << 20
    if interval != nil { tell("WATCHDOG=1") }
    thread.start()
  }

  func stopping() { tell("STOPPING=1", "STATUS=finishing what runs") }

  func end() { isStopped.store(true, ordering: .relaxed) }

  private static func status(_ node: NodeSummary) -> String {
    var words = node.state.rawValue.replacingOccurrences(of: "_", with: " ")
    if let model = node.model { words += ", \(model)" }
    if let alarm = node.alarms.first { words += ", alarm: \(alarm)" }
    if node.waitingApproval > 0 { words += ", \(node.waitingApproval) waiting for approval" }
    return Console.oneLine(words)
  }
}
