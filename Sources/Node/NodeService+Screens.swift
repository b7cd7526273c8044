// NodeService+Screens.swift: screens that want to know, and the beat by which time passes. Start at subscribe.
import Control
import Synchronization

extension NodeService {
  /// Adds a screen: it gets a snapshot at once, and then at most one each interval.
  func subscribe(every interval: Microseconds, _ deliver: @escaping @Sendable (NodeMessage) -> Void) -> UInt64
  {
    let id = parts.withLock { parts -> UInt64 in
      let id = parts.nextSubscriber
      parts.nextSubscriber += 1
      parts.subscribers[id] = Subscriber(deliver: deliver, interval: interval, last: Self.now().monotonic)
      return id
    }
    deliver(.snapshot(snapshot()))
    return id
  }

  func unsubscribe(_ id: UInt64) { parts.withLock { _ = $0.subscribers.removeValue(forKey: id) } }

  package func snapshot() -> NodeSnapshot { state.withLock { $0.snapshot(at: Self.now()) } }

  func broadcast(_ message: NodeMessage) {
    for subscriber in parts.withLock({ Array($0.subscribers.values) }) { subscriber.deliver(message) }
  }

  /// Four times a second: time passes, screens that are due get the newest snapshot.
  func beat() {
    let now = Self.now()
    send(.tick)
    if seconds.isDue(at: now.monotonic) {
      journal.watchSpace()
      asynchronous.expire(at: now)
    }
    startAudit(at: now)
    publish(at: now)
  }

  /// Screens see an act's result at once, not at the next beat.
  func publishNow() { publish(at: Self.now(), force: true) }

  private func publish(at now: Moment, force: Bool = false) {
    let due = parts.withLock { parts -> [@Sendable (NodeMessage) -> Void] in
      var due: [@Sendable (NodeMessage) -> Void] = []
      for (id, subscriber) in parts.subscribers
      where force || now.monotonic - subscriber.last >= subscriber.interval - 20_000 {
        parts.subscribers[id]?.last = now.monotonic
        due.append(subscriber.deliver)
      }
      return due
    }
    guard !due.isEmpty else { return }
    let message = NodeMessage.snapshot(snapshot())
    for deliver in due { deliver(message) }
  }

  private func startAudit(at now: Moment) {
    archive.expire(at: now.monotonic)
    guard options.configuration.audits.share > 0, state.withLock({ $0.isIdle }) else { return }
    guard let receipt = archive.nextToAudit(share: options.configuration.audits.share) else { return }
    if case .refused(let words) = verify(receipt: receipt) {
      send(.audited(receipt: receipt, .notRun(words)))
    }
  }
}
