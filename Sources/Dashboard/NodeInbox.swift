// NodeInbox.swift: carries the node's messages from its threads to the dashboard's. It is one lock
// and a pipe that wakes the poll. Only the newest snapshot is kept, so that a slow screen never
// builds a queue; streamed text is joined. Start at put and takeAll.
import Control
import Foundation
import Synchronization
import Terminal

final class NodeInbox: Sendable {
  /// Readable while messages wait.
  let descriptor: Int32
  private let writer: Int32
  private let state = Mutex(State())

  private struct State {
    var snapshot: NodeSnapshot?
    var messages: [NodeMessage] = []
    var isSignalled = false
  }

  /// The most messages other than snapshots that may wait; a stalled terminal must not fill the
  /// memory.
  private static let capacity = 10_000

  init() throws(ScreenError) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw .system(call: "pipe", code: errno) }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    descriptor = ends[0]
    writer = ends[1]
  }

  deinit {
    close(descriptor)
    close(writer)
  }

  /// Callable on any thread; returns at once.
  func put(_ message: NodeMessage) {
    let wakes = state.withLock { state in
      switch message {
      case .snapshot(let snapshot): state.snapshot = snapshot
      case .text(let job, let text):
        if case .text(let last, let before)? = state.messages.last, last == job, before.utf8.count < 65_536 {
          state.messages[state.messages.count - 1] = .text(job: job, before + text)
        } else {
          append(message, &state)
        }
      case .chat(.text(let text)):
        if case .chat(.text(let before))? = state.messages.last, before.utf8.count < 65_536 {
          state.messages[state.messages.count - 1] = .chat(.text(before + text))
        } else {
          append(message, &state)
        }
      case .chat(.thought(let text)):
        if case .chat(.thought(let before))? = state.messages.last, before.utf8.count < 65_536 {
          state.messages[state.messages.count - 1] = .chat(.thought(before + text))
        } else {
          append(message, &state)
        }
      case .welcome, .history, .past, .token, .statement, .reply, .job, .receipt, .chat, .pull, .link:
        append(message, &state)
      }
      defer { state.isSignalled = true }
      return !state.isSignalled
    }
    if wakes {
      var byte: UInt8 = 1
      // A full pipe already signals that something waits.
      _ = write(writer, &byte, 1)
    }
  }

  private func append(_ message: NodeMessage, _ state: inout State) {
    if state.messages.count < NodeInbox.capacity { state.messages.append(message) }
  }

  /// All waiting messages, the snapshot last, because replies and text belong before it.
  func takeAll() -> [NodeMessage] {
    var bytes = [UInt8](repeating: 0, count: 64)
    while read(descriptor, &bytes, bytes.count) == bytes.count {}
    return state.withLock { state in
      var result = state.messages
      if let snapshot = state.snapshot { result.append(.snapshot(snapshot)) }
      state = State()
      return result
    }
  }
}
