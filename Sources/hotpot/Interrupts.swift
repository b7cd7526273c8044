// Interrupts.swift: Ctrl-C as a counter that loops check, instead of the end of the process.

import Foundation
import Synchronization

enum Interrupts {
  private static let count = Atomic<Int>(0)

  /// From now on Ctrl-C is counted; a system call that it interrupts fails with EINTR.
  static func watch() {
    // Initialized before the handler may run: a handler must not be the first to touch it.
    count.store(0, ordering: .relaxed)
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in Interrupts.count.add(1, ordering: .relaxed) }
    sigemptyset(&action.sa_mask)
    action.sa_flags = 0
    sigaction(SIGINT, &action, nil)
  }

  static var seen: Bool { count.load(ordering: .relaxed) > 0 }
  static func forget() { count.store(0, ordering: .relaxed) }
}
