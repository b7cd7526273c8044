// Absence.swift: what happened while an operator was away, in words for when they return. The
// counters that it is computed from are Node's. Start at AbsenceSummary.
import Accounting

/// What a node did between an operator's last look and this one.
package struct AbsenceSummary: Codable, Sendable, Equatable {
  /// When they left.
  package let since: Microseconds
  package let now: Microseconds
  package let done: Int
  /// Rejected, expired, or refused at once.
  package let refused: Int
  package let failed: Int
  package let earned: MicroUnits
  package let currency: String
  package let tokens: Int
  /// What was wrong meanwhile, newest last, at most 8 without repeats; includes what is over by
  /// now.
  package let alarms: [String]

  package init(
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
  package var words: String {
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

/// Who is connected, in which role, and what happened meanwhile.
package struct Welcome: Codable, Sendable, Equatable {
  package let name: String
  package let role: Role
  /// nil for someone who was never here before, or left only a moment ago.
  package let absence: AbsenceSummary?
  /// The conversations that they left; nil if there are none.
  package let chats: ChatBook?

  package init(name: String, role: Role, absence: AbsenceSummary?, chats: ChatBook? = nil) {
    self.name = name
    self.role = role
    self.absence = absence
    self.chats = chats
  }
}
