// Absence.swift: what happened while an operator was away, for the moment of coming back.
// Differences of counters that only grow, so that nothing is kept for somebody who never returns but one small value.
// Start at Absences.
import Accounting
import Synchronization

/// What a node did between an operator's last look and this one.
public struct AbsenceSummary: Codable, Sendable, Equatable {
  /// When he left.
  public let since: Microseconds
  public let now: Microseconds
  public let done: Int
  /// Rejected, expired, or turned away at once.
  public let refused: Int
  public let failed: Int
  public let earned: MicroUnits
  public let currency: String
  public let tokens: Int
  /// What was wrong meanwhile, newest last, at most 8 and each once; also what is over by now.
  public let alarms: [String]

  public init(
    since: Microseconds, now: Microseconds, done: Int, refused: Int, failed: Int, earned: MicroUnits,
    currency: String, tokens: Int, alarms: [String]
  ) {
    self.since = since
    self.now = now
    self.done = done
    self.refused = refused
    self.failed = failed
    self.earned = earned
    self.currency = currency
    self.tokens = tokens
    self.alarms = alarms
  }

  /// For one line of a screen: `away 2h 05m: 14 jobs done, 0.0231 EUR earned, 2 refused, no alarm`.
  public var words: String {
    let minutes = max(0, (now - since) / 60_000_000)
    let time =
      minutes >= 1_440
      ? "\(minutes / 1_440)d \(minutes % 1_440 / 60)h"
      : minutes >= 60 ? "\(minutes / 60)h \(minutes % 60)m" : "\(minutes)m"
    var parts = ["\(done) \(done == 1 ? "job" : "jobs") done"]
    if failed > 0 { parts.append("\(failed) failed") }
    parts.append("\(Amount(micro: earned)) \(currency) earned")
    parts.append("\(refused) refused")
    parts.append(alarms.isEmpty ? "no alarm" : "ALARM: \(alarms.joined(separator: "; "))")
    return "away \(time): " + parts.joined(separator: ", ")
  }
}

/// Who is welcomed, in what role, and with what news.
public struct Welcome: Codable, Sendable, Equatable {
  public let name: String
  public let role: Role
  /// nil for somebody who was never here, or left a moment ago.
  public let absence: AbsenceSummary?

  public init(name: String, role: Role, absence: AbsenceSummary?) {
    self.name = name
    self.role = role
    self.absence = absence
  }
}

/// Counters of the node's life so far; only grow.
struct LifeCounts: Sendable, Equatable {
  var time: Microseconds = 0
  var done = 0
  var refused = 0
  var failed = 0
  var tokens = 0
  var earned: MicroUnits = 0
  var alarms = 0
}

/// When each operator was last here.
final class Absences: Sendable {
  private let left = Mutex<[String: (counts: LifeCounts, screens: Int)]>([:])
  /// Shorter absences are not worth a word.
  static let shortest: Microseconds = 20_000_000
  /// Names that are remembered; the one that left first is forgotten.
  private static let capacity = 256

  /// A screen of this operator opens.
  /// - Returns: what he left behind, where he was away.
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

extension NodeService {
  /// A screen of this operator opens.
  func welcome(_ who: Operator, _ role: Role) -> Welcome {
    let now = Self.now()
    let before = absences.arrive(who.name, at: now.wall)
    return Welcome(
      name: who.name, role: role,
      absence: before.map { before in state.withLock { $0.absence(since: before, at: now) } })
  }

  /// A screen of this operator closed.
  func farewell(_ who: Operator) {
    absences.leave(who.name, state.withLock { $0.lifeCounts(at: Self.now()) })
  }
}
