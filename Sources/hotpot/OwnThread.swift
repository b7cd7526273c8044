// OwnThread.swift: runs work that computes for seconds on a thread of its own. On the cooperative
// pool it would starve every task.

import Foundation

enum OwnThread {
  static func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      let thread = Thread {
        continuation.resume(with: Result { try work() })
      }
      thread.stackSize = 8 << 20
      thread.name = "engine"
      thread.start()
    }
  }
}
