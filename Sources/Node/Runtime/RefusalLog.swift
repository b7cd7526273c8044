// RefusalLog.swift: the log's lines about jobs that were turned away or expired: one at once, and
// then a sum once a minute, so that a client that asks for ever does not fill the log. Start at see.
import Control
import Synchronization

final class RefusalLog: Sendable {
  private struct Entry {
    let client: String
    let words: String
    let since: Microseconds
    var more = 0
  }

  private let entries = Mutex<[String: Entry]>([:])
  private let note: @Sendable (String) -> Void
  private static let quiet: Microseconds = 60_000_000
  /// The most pairs of a client and a reason that are told apart within a minute.
  private static let most = 256

  /// - note: writes a line
  init(note: @escaping @Sendable (String) -> Void) { self.note = note }

  /// Whether the log says so elsewhere: an operator's act, or the node's own end.
  private static func isTold(_ refusal: Refusal) -> Bool {
    switch refusal {
    case .rejected, .cancelled, .interrupted, .failed, .stopping: true
    default: false
    }
  }

  func see(_ client: String, _ refusal: Refusal, at now: Microseconds) {
    if Self.isTold(refusal) { return }
    let words = "\(refusal)"
    let key = "\(client) \(words.withoutFigures)"
    let isFirst = entries.withLock { entries -> Bool in
      if entries[key] != nil {
        entries[key]?.more += 1
        return false
      }
      guard entries.count < Self.most else { return false }
      entries[key] = Entry(client: client, words: words, since: now)
      return true
    }
    if isFirst { note("turned a job of \(client) away: \(words)") }
  }

  /// Says how many more there were; to be called every second.
  func tell(at now: Microseconds) {
    let over = entries.withLock { entries -> [Entry] in
      let over = entries.filter { now - $0.value.since >= Self.quiet }
      for key in over.keys { entries[key] = nil }
      return over.values.filter { $0.more > 0 }.sorted { ($0.client, $0.words) < ($1.client, $1.words) }
    }
    for entry in over {
      note("turned \(entry.more) more of \(entry.client) away in a minute: \(entry.words)")
    }
  }
}
