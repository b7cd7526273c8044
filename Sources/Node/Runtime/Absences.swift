// Absences.swift: when each operator was last here, so that they can be told what happened since.
// Keeps one small value per operator: counters that only grow, whose difference is reported. The
// words are in Control, the counting in NodeState+Life.swift. Start at Absences.
import Control
import Synchronization

/// When each operator was last here.
final class Absences: Sendable {
  private let left = Mutex<[String: (counts: LifeCounts, screens: Int)]>([:])
  /// Shorter absences are not reported.
  static let shortest: Microseconds = 20_000_000
  /// How many names are remembered; the one that left first is forgotten.
  private static let capacity = 256

  /// A screen of this operator opens.
  /// - Returns: the counters at the time of leaving, if they were away.
  func arrive(_ name: String, at now: Microseconds) -> LifeCounts? {
    left.withLock { left in
      guard let last = left[name] else {
        left[name] = (LifeCounts(), 1)
        return nil
      }
      left[name]?.screens += 1
      guard last.screens == 0, last.counts.time > 0, now - last.counts.time >= Self.shortest else {
        return nil
      }
      return last.counts
    }
  }

  /// A screen of this operator closed.
  func leave(_ name: String, _ counts: LifeCounts) {
    left.withLock { left in
      left[name] = (counts, max(0, (left[name]?.screens ?? 1) - 1))
      guard left.count > Self.capacity else { return }
      if let oldest = left.filter({ $0.value.screens == 0 })
        .min(by: { ($0.value.counts.time, $0.key) < ($1.value.counts.time, $1.key) })
      {
        left[oldest.key] = nil
      }
    }
  }
}
