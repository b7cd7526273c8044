// Notifier.swift: runs the owner's command when something needs the operator: a job that waits, a
// failed audit, a new alarm. One at a time; what comes meanwhile goes into the next. Start at see.
import Accounting
import Control
import Foundation
import Synchronization

final class Notifier: Sendable {
  /// What the operator should know of, at one moment.
  struct Sight: Sendable, Equatable {
    /// Clients of the jobs that wait, by the jobs' ids.
    var waiting: [String: String]
    var failedAudits: Int
    var alarms: [String]
  }

  private struct Inner {
    var last: Sight?
    var pending: [String] = []
    var isRunning = false
  }

  private let inner = Mutex(Inner())
  private let run: @Sendable (_ command: [String], _ news: String) -> Void

  /// - run: runs a command to its end
  init(run: @escaping @Sendable (_ command: [String], _ news: String) -> Void = Notifier.execute) {
    self.run = run
  }

  /// What is new since the last time, in words; empty for the first.
  static func news(_ old: Sight?, _ new: Sight) -> [String] {
    guard let old else { return [] }
    var news: [String] = []
    let came = new.waiting.filter { old.waiting[$0.key] == nil }
    if came.count == 1, let client = came.values.first {
      news.append("a job of \(client) waits for approval")
    } else if came.count > 1 {
      news.append("\(came.count) jobs wait for approval")
    }
    if new.failedAudits > old.failedAudits { news.append("an audit failed") }
    let known = Set(old.alarms.map(\.withoutFigures))
    return news + new.alarms.filter { !known.contains($0.withoutFigures) }
  }

  func see(_ sight: Sight, _ configuration: NodeConfiguration, hour: Int) {
    let isQuiet = configuration.notify.isEmpty || configuration.quietHours?.contains(hour) ?? false
    let starts = inner.withLock { inner -> Bool in
      defer { inner.last = sight }
      guard !isQuiet else { return false }
      inner.pending = (inner.pending + Self.news(inner.last, sight)).suffix(20)
      guard !inner.pending.isEmpty, !inner.isRunning else { return false }
      inner.isRunning = true
      return true
    }
    guard starts else { return }
    let command = configuration.notify
    DispatchQueue.global(qos: .utility).async { [self] in
      while true {
        let words = inner.withLock { inner -> String? in
          if inner.pending.isEmpty { inner.isRunning = false }
          defer { inner.pending = [] }
          return inner.pending.isEmpty ? nil : inner.pending.joined(separator: "; ")
        }
        guard let words else { return }
        run(command, "hotpot \(configuration.name): \(words)")
      }
    }
  }

  private static func execute(_ command: [String], _ news: String) {
    guard let program = command.first else { return }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = Array(command.dropFirst()) + [news]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    // A command that cannot be started is no reason to stop; `config check` names a missing one.
    guard (try? process.run()) != nil else { return }
    process.waitUntilExit()
  }
}

extension NodeState {
  var sight: Notifier.Sight {
    let waiting = jobs.filter { $0.value.state == .pending }
    return Notifier.Sight(
      waiting: Dictionary(uniqueKeysWithValues: waiting.map { ($0.key.hex, $0.value.request.identity.name) }),
      failedAudits: receipts.failed, alarms: alarms)
  }
}
