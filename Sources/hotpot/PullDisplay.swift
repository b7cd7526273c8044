// PullDisplay.swift: shows a pull's progress on standard error: on a terminal as a bar that redraws
// itself, elsewhere as a line per tenth. Ctrl-C and other requests to end stop python3 first and
// then the program. A pull from an address resumes there the next time.

import Foundation
import Inference
import Synchronization
import Terminal

enum PullDisplay {
  private struct Shown {
    var state = PullProgress.State.starting
    var tenth = -1
    var drawn: ContinuousClock.Instant?
    var flaw: String?
  }

  static func run(_ pull: ModelPull) async throws -> StoredModel {
    let ends = [SIGINT, SIGTERM, SIGHUP].filter { !isIgnored($0) }
    let signals = SignalPipe(ends)
    defer { for signal in ends { Glibc.signal(signal, SIG_DFL) } }
    let work = Task { try await show(pull) }
    let taken = Mutex<Int32?>(nil)
    let watcher = Task {
      while !Task.isCancelled, let signals {
        if let first = signals.next().first {
          taken.withLock { $0 = first }
          return work.cancel()
        }
        // A cancelled sleep ends the loop.
        try? await Task.sleep(for: .milliseconds(50))
      }
    }
    defer { watcher.cancel() }
    do {
      return try await work.value
    } catch {
      // The child has ended: now the signal takes its default action, so that shells see the usual
      // status.
      if let signal = taken.withLock({ $0 }) {
        Glibc.signal(signal, SIG_DFL)
        // Sent to the process: this thread of the pool has all signals blocked.
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, signal)
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
        kill(getpid(), signal)
        exit(128 + signal)
      }
      throw error
    }
  }

  /// Ignored, as a shell's background or nohup leaves it.
  private static func isIgnored(_ signal: Int32) -> Bool {
    var action = sigaction()
    guard sigaction(signal, nil, &action) == 0 else { return false }
    return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  private static func show(_ pull: ModelPull) async throws -> StoredModel {
    let isTerminal = Console.obeys(STDERR_FILENO)
    let shown = Mutex(Shown())
    do {
      let model = try await pull.run { progress in
        let (flaw, text) = shown.withLock { shown in
          (newFlaw(progress, &shown), line(for: progress, &shown, isTerminal: isTerminal))
        }
        if let flaw {
          Console.progress(nil)
          Console.note("hotpot: \(flaw)\n")
        }
        if let text { if isTerminal { Console.progress(text) } else { Console.note(text) } }
      }
      Console.progress(nil)
      return model
    } catch {
      Console.progress(nil)
      throw error
    }
  }

  /// What is wrong with the file on disk, reported once.
  private static func newFlaw(_ progress: PullProgress, _ shown: inout Shown) -> String? {
    guard let flaw = progress.flaw, shown.flaw == nil else { return nil }
    shown.flaw = flaw
    return flaw
  }

  private static func line(for progress: PullProgress, _ shown: inout Shown, isTerminal: Bool) -> String? {
    let isNew = progress.state != shown.state
    if isNew {
      shown.state = progress.state
      shown.tenth = -1
    }
    guard progress.state != .finished, progress.state != .starting else { return nil }
    let share = progress.total.map { $0 > 0 ? min(Double(progress.bytes) / Double($0), 1) : 1 }
    if isTerminal {
      let now = ContinuousClock.now
      if !isNew, let last = shown.drawn, now - last < .milliseconds(80), share != 1 { return nil }
      shown.drawn = now
      return bar(progress, share)
    }
    let tenth = share.map { Int($0 * 10) } ?? progress.bytes >> 24
    guard tenth != shown.tenth else { return nil }
    shown.tenth = tenth
    let part = share.map { " \(Int($0 * 100))%" } ?? ""
    return "hotpot: \(progress.state.rawValue)\(part), \(Sizes.megabytes(progress.bytes))\n"
  }

  private static func bar(_ progress: PullProgress, _ share: Double?) -> String {
    let width = 30
    guard let share, let total = progress.total else {
      return "\(progress.state.rawValue) \(Sizes.megabytes(progress.bytes))"
    }
    let full = Int(share * Double(width))
    let bar = String(repeating: "#", count: full) + String(repeating: "-", count: width - full)
    return "\(progress.state.rawValue) [\(bar)] \(Int(share * 100))% "
      + "\(Sizes.megabytes(progress.bytes)) of \(Sizes.megabytes(total))"
  }
}
