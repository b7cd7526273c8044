// NodeState+Life.swift: counters for somebody who comes back and asks what happened. Start at lifeCounts.
import Accounting

/// Alarms since the start, each with its number; the newest only.
struct AlarmHistory: Sendable {
  private(set) var count = 0
  private var recent: [(number: Int, text: String)] = []
  private var current: Set<String> = []

  /// What is wrong now; what was not wrong a moment ago is new.
  mutating func see(_ alarms: [String]) {
    if alarms.isEmpty && current.isEmpty { return }
    for text in alarms where !current.contains(text) {
      count += 1
      recent.append((count, text))
    }
    if recent.count > 64 { recent.removeFirst(recent.count - 64) }
    current = Set(alarms)
  }

  /// Each text once, newest last, at most 8; what was wrong before and still is comes too.
  func since(_ number: Int) -> [String] {
    var texts: [String] = []
    for entry in recent where entry.number > number || current.contains(entry.text) {
      texts.removeAll { $0 == entry.text }
      texts.append(entry.text)
    }
    return Array(texts.suffix(8))
  }
}

extension NodeState {
  func lifeCounts(at now: Moment) -> LifeCounts {
    LifeCounts(
      time: now.wall, done: life.done, refused: life.refused, failed: life.failed, tokens: counts.generated,
      earned: ledger.total(LedgerQuery()).amount.micro, alarms: alarmHistory.count)
  }

  /// What became of the node since `before`.
  func absence(since before: LifeCounts, at now: Moment) -> AbsenceSummary {
    let after = lifeCounts(at: now)
    return AbsenceSummary(
      since: before.time, now: now.wall, done: after.done - before.done,
      refused: after.refused - before.refused, failed: after.failed - before.failed,
      earned: after.earned - before.earned, currency: configuration.currency,
      tokens: after.tokens - before.tokens, alarms: alarmHistory.since(before.alarms))
  }

  /// One more job of somebody else's has ended, or was turned away.
  mutating func countLife(_ state: JobState) {
    switch state {
    case .done: life.done += 1
    case .rejected, .expired: life.refused += 1
    case .failed, .interrupted: life.failed += 1
    case .pending, .queued, .running, .held, .cancelled: break
    }
  }
}
