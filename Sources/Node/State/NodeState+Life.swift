// NodeState+Life.swift: counters for operators who come back and want to know what happened. Start
// at lifeCounts.
import Accounting
import Control

/// Counters over the node's life so far; they only grow.
struct LifeCounts: Sendable, Equatable {
  var time: Microseconds = 0
  var done = 0
  var refused = 0
  var failed = 0
  var tokens = 0
  var earned: MicroUnits = 0
  var alarms = 0
}

/// A configured limit that is exceeded, and the words with its current figure.
struct OverLimit: Sendable, Equatable {
  enum Kind: Sendable { case temperature, memory, disk }
  let kind: Kind
  let words: String
}

/// What the log says about limits: that one is exceeded, with its figure at that moment, and that
/// none is any longer. It does not follow the figure, and a figure that oscillates around its limit
/// causes at most one alarm per minute.
struct LimitLog: Sendable {
  enum Line: Sendable, Equatable {
    case nothing
    case begins(String)
    case ends
  }

  static let quiet: Microseconds = 60_000_000
  private var current: OverLimit.Kind?
  /// The current alarm's beginning has been logged.
  private var isTold = false
  /// When the last end was logged.
  private var lastEnd: [OverLimit.Kind: Microseconds] = [:]

  mutating func see(_ over: OverLimit?, at now: Microseconds) -> Line {
    guard let over else {
      guard let ended = current else { return .nothing }
      current = nil
      guard isTold else { return .nothing }
      isTold = false
      lastEnd[ended] = now
      return .ends
    }
    if over.kind == current, isTold { return .nothing }
    let wasTold = isTold
    current = over.kind
    // One alarm replaces another: if that one was logged, the end is logged too.
    isTold = wasTold || lastEnd[over.kind].map { now - $0 >= Self.quiet } ?? true
    return isTold ? .begins(over.words) : .nothing
  }
}

extension String {
  /// The words without their figures, by which two messages count as the same alarm.
  var withoutFigures: String {
    String(String.UnicodeScalarView(unicodeScalars.filter { !("0"..."9").contains($0) && $0 != "." }))
  }
}

/// Alarms since the start, numbered; only the newest are kept.
struct AlarmHistory: Sendable {
  private(set) var count = 0
  private var recent: [(number: Int, kind: String, text: String)] = []
  private var current: Set<String> = []

  /// Records current problems; one that was not present a moment ago is new. A problem whose figure
  /// changes is the same.
  mutating func see(_ alarms: [String]) {
    if alarms.isEmpty && current.isEmpty { return }
    var kinds: Set<String> = []
    for text in alarms {
      let kind = text.withoutFigures
      kinds.insert(kind)
      guard !current.contains(kind) else { continue }
      count += 1
      recent.append((count, kind, text))
    }
    if recent.count > 64 { recent.removeFirst(recent.count - 64) }
    current = kinds
  }

  /// Each once, newest last, at most 8; includes problems that began earlier and persist.
  func since(_ number: Int) -> [String] {
    var found: [(kind: String, text: String)] = []
    for entry in recent where entry.number > number || current.contains(entry.kind) {
      found.removeAll { $0.kind == entry.kind }
      found.append((entry.kind, entry.text))
    }
    return found.suffix(8).map(\.text)
  }
}

extension NodeState {
  func lifeCounts(at now: Moment) -> LifeCounts {
    LifeCounts(
      time: now.wall, done: life.done, refused: life.refused, failed: life.failed, tokens: counts.generated,
      earned: ledger.total(LedgerQuery()).amount.micro, alarms: alarmHistory.count)
  }

  /// What happened at the node since `before`.
  func absence(since before: LifeCounts, at now: Moment) -> AbsenceSummary {
    let after = lifeCounts(at: now)
    return AbsenceSummary(
      since: before.time, now: now.wall, done: after.done - before.done,
      refused: after.refused - before.refused, failed: after.failed - before.failed,
      earned: after.earned - before.earned, currency: configuration.currency,
      tokens: after.tokens - before.tokens, alarms: alarmHistory.since(before.alarms))
  }

  /// Another client's job has ended, or was refused.
  mutating func countLife(_ state: JobState) {
    switch state {
    case .done: life.done += 1
    case .rejected, .expired: life.refused += 1
    case .failed, .interrupted: life.failed += 1
    case .pending, .queued, .running, .held, .cancelled: break
    }
  }
}
