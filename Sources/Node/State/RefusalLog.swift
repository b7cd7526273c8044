// RefusalLog.swift: refusals in the log: one line a minute for a client, which counts those that had
// none, so that a client in a loop doesn't push everything else out. Refusals of the operator's own
// requests are on the operator's screen. Start at NodeState.turnAway.
import Control

struct RefusalLog: Sendable {
  /// The time of each client's last line, and its refusals since then.
  private var lines: [String: (at: Microseconds, more: Int)] = [:]
  private static let interval: Microseconds = 60_000_000
  private static let remembered = 256

  /// - Returns: how many refusals since the last line are without one; nil if this one gets none
  ///   either.
  mutating func see(_ who: String, at now: Microseconds) -> Int? {
    if let line = lines[who], now >= line.at, now - line.at < Self.interval {
      lines[who] = (line.at, line.more + 1)
      return nil
    }
    let more = lines[who]?.more ?? 0
    if lines.count >= Self.remembered {
      lines = lines.filter { now >= $0.value.at && now - $0.value.at < Self.interval }
      if lines.count >= Self.remembered { lines = [:] }
    }
    lines[who] = (now, 0)
    return more
  }
}

extension NodeState {
  /// A line about a refused request. Strangers share theirs, because their names are free to make
  /// up.
  mutating func turnAway(
    _ identity: Identity, _ reason: String, at now: Moment, _ effects: inout [NodeEffect]
  ) {
    guard let more = refusalLog.see(identity.isKnown ? identity.name : "", at: now.monotonic) else { return }
    let rest = more > 0 ? ", and \(counted(more, "request")) before it" : ""
    note(.info, "refused a request of \(identity.name)\(rest): \(reason)", at: now, &effects)
  }
}
