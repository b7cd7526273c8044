// NodeTimer.swift: the clocks of a node, and its timer. Start at NodeClock.now.
import Control
import Foundation
import Synchronization

enum NodeClock {
  /// Both clocks now.
  static func now() -> Moment {
    var wall = timespec()
    var monotonic = timespec()
    clock_gettime(CLOCK_REALTIME, &wall)
    clock_gettime(CLOCK_MONOTONIC, &monotonic)
    var local = tm()
    var seconds = wall.tv_sec
    localtime_r(&seconds, &local)
    return Moment(
      wall: Int64(wall.tv_sec) * 1_000_000 + Int64(wall.tv_nsec) / 1_000,
      monotonic: Int64(monotonic.tv_sec) * 1_000_000 + Int64(monotonic.tv_nsec) / 1_000,
      utcOffset: local.tm_gmtoff)
  }
}

/// Selects one beat per second.
final class EverySecond: Sendable {
  private let last = Mutex<Microseconds>(.min / 2)

  func isDue(at now: Microseconds) -> Bool {
    last.withLock { last in
      guard now - last >= 1_000_000 else { return false }
      last = now
      return true
    }
  }
}

/// Calls back four times a second on a separate thread.
final class NodeTimer: Sendable {
  private let beat: @Sendable () -> Void
  private let isStopped = Atomic<Bool>(false)

  init(_ beat: @escaping @Sendable () -> Void) { self.beat = beat }

  func start() {
    let thread = Thread { [self] in
      while !isStopped.load(ordering: .relaxed) {
        Thread.sleep(forTimeInterval: 0.25)
        beat()
      }
    }
    thread.name = "beat"
    thread.stackSize = 1 << 20
    thread.start()
  }

  func stop() { isStopped.store(true, ordering: .relaxed) }
}
