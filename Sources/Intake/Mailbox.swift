// Mailbox.swift: how other threads talk to the loop's thread. Rule: only the loop's thread touches
// a connection. Reason: a token written from the engine's thread would race the loop's own write.
// So other threads post a command here; an eventfd wakes the loop, and only if it sleeps.

import CSystem
import Synchronization

enum ExchangeAction: Sendable {
  case respond(Response)
  case begin(status: Int, fields: [(name: String, value: String)], heartbeatNanoseconds: Int64?)
  case send([UInt8])
  case finish
  case abort
}

enum LoopCommand: Sendable {
  case exchange(connection: UInt64, serial: UInt64, ExchangeAction)
  case line(connection: UInt64, [UInt8])
  /// Close now for that reason, or, if nil, after what is waiting has been written.
  case closeLine(connection: UInt64, Gone?)
  /// Stop accepting, finish running exchanges, and end at that time at the latest.
  case stop(deadlineNanoseconds: Int64)
}

final class Mailbox: Sendable {
  private struct State {
    var commands: [LoopCommand] = []
    var loopSleeps = false
    /// Threads that are about to post more.
    var corks = 0
    var isClosed = false
  }

  private let state = Mutex(State())
  let descriptor: Int32

  init() throws(ServerError) {
    descriptor = csystem_eventfd()
    if descriptor < 0 { throw .system("eventfd", errno: -descriptor) }
  }

  deinit { _ = csystem_close(descriptor) }

  /// Posts a command; one posted after the loop ended is dropped.
  func post(_ command: LoopCommand) {
    let mustWake = state.withLock { state in
      guard !state.isClosed else { return false }
      state.commands.append(command)
      guard state.corks == 0 else { return false }
      defer { state.loopSleeps = false }
      return state.loopSleeps
    }
    // Writing to an open eventfd cannot fail, and this one is open as long as the mailbox exists.
    if mustWake { _ = csystem_wake(descriptor) }
  }

  /// Posts all that `body` posts with a single wake at its end.
  func corked(_ body: () -> Void) {
    state.withLock { $0.corks += 1 }
    body()
    let mustWake = state.withLock { state in
      state.corks -= 1
      guard state.corks == 0, !state.commands.isEmpty, !state.isClosed else { return false }
      defer { state.loopSleeps = false }
      return state.loopSleeps
    }
    if mustWake { _ = csystem_wake(descriptor) }
  }

  func take() -> [LoopCommand] {
    state.withLock { state in
      guard !state.commands.isEmpty else { return [] }
      defer { state.commands = [] }
      return state.commands
    }
  }

  /// True if there is nothing to do, so that the next post wakes the loop.
  func goToSleep() -> Bool {
    state.withLock { state in
      state.loopSleeps = state.commands.isEmpty
      return state.loopSleeps
    }
  }

  func wakeUp() {
    state.withLock { $0.loopSleeps = false }
    _ = csystem_wake_clear(descriptor)
  }

  func close() {
    state.withLock { state in
      state.isClosed = true
      state.commands = []
    }
  }
}
