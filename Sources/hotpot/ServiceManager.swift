// ServiceManager.swift: tells the service manager that started the node when it is ready, what it
// is doing, that it is alive, and when it stops. It speaks the protocol of sd_notify(3) without the
// library. Without a service manager it does nothing. Start at init and watch.

import CSystem
import Control
import Foundation
import Node
import Synchronization

final class ServiceManager: Sendable {
  private let address: String
  /// Seconds between two signs of life; nil if none are wanted.
  private let interval: Double?
  private let isStopped = Atomic<Bool>(false)

  /// Nil if there is no service manager.
  init?(_ environment: [String: String] = ProcessInfo.processInfo.environment) {
    guard let address = environment["NOTIFY_SOCKET"], !address.isEmpty else { return nil }
    self.address = address
    // A watchdog that names a process is meant for that process only.
    let isOurs = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
    if isOurs, let text = environment["WATCHDOG_USEC"], let microseconds = UInt64(text), microseconds > 0 {
      interval = Double(microseconds) / 2_000_000
    } else {
      interval = nil
    }
    // Programs that this one starts are not the service.
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] { unsetenv(name) }
  }

  /// Sends one message. A failure is ignored: the manager then misses the message and acts on that.
  private func tell(_ lines: String...) { _ = csystem_notify(address, lines.joined(separator: "\n")) }

  /// Called when the sockets are open: reports readiness, and from now on the activity and signs of
  /// life.
  ///
  /// A sign of life is sent only after the node has made a snapshot. A snapshot needs the lock that
  /// every decision needs, and the loop that publishes it. A node that hangs in either sends
  /// nothing, and is restarted.
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
