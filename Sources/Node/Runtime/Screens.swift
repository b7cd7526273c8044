// Screens.swift: screens that subscribe to snapshots, and operators who come back. Start at
// subscribe.
import Control
import Synchronization

final class Screens: Sendable {
  private let runtime: Runtime
  private let absences = Absences()
  private let inner = Mutex(Inner())

  private struct Inner {
    var subscribers: [UInt64: Subscriber] = [:]
    /// By the operator's name, with the time when they were kept.
    var chats: [String: (at: Microseconds, book: ChatBook)] = [:]
    var next: UInt64 = 1
  }

  private struct Subscriber: Sendable {
    let deliver: @Sendable (NodeMessage) -> Void
    let screen: AttachedScreen
    /// Minimum number of microseconds between snapshots.
    let interval: Microseconds
    var last: Microseconds = .min / 2
  }

  init(_ runtime: Runtime) { self.runtime = runtime }

  /// Adds a screen: it gets a snapshot at once, and then at most one per interval.
  func subscribe(
    every interval: Microseconds, _ who: Operator, _ role: Role,
    _ deliver: @escaping @Sendable (NodeMessage) -> Void
  ) -> UInt64 {
    let now = NodeClock.now()
    let id = inner.withLock { inner -> UInt64 in
      let id = inner.next
      inner.next += 1
      inner.subscribers[id] = Subscriber(
        deliver: deliver, screen: AttachedScreen(name: who.name, role: role, since: now.wall),
        interval: interval, last: now.monotonic)
      return id
    }
    deliver(.snapshot(snapshot()))
    return id
  }

  /// The node now, with the screens that are attached.
  func snapshot() -> NodeSnapshot {
    var snapshot = runtime.snapshot()
    snapshot.attached = inner.withLock { inner in
      inner.subscribers.sorted { $0.key < $1.key }.map(\.value.screen)
    }
    return snapshot
  }

  func unsubscribe(_ id: UInt64) { inner.withLock { _ = $0.subscribers.removeValue(forKey: id) } }

  func broadcast(_ message: NodeMessage) {
    for subscriber in inner.withLock({ Array($0.subscribers.values) }) { subscriber.deliver(message) }
  }

  /// Screens see an act's result at once, not at the next beat.
  func publishNow() { publish(at: NodeClock.now(), force: true) }

  /// Sends the newest snapshot to all screens that are due.
  func publish(at now: Moment, force: Bool = false) {
    let due = inner.withLock { inner -> [@Sendable (NodeMessage) -> Void] in
      var due: [@Sendable (NodeMessage) -> Void] = []
      for (id, subscriber) in inner.subscribers
      where force || now.monotonic - subscriber.last >= subscriber.interval - 20_000 {
        inner.subscribers[id]?.last = now.monotonic
        due.append(subscriber.deliver)
      }
      return due
    }
    guard !due.isEmpty else { return }
    let message = NodeMessage.snapshot(snapshot())
    for deliver in due { deliver(message) }
  }

  /// Keeps an operator's conversations until the node ends; of many operators those of the newest.
  func keep(_ book: ChatBook, of who: Operator) {
    let book = book.bounded
    let isEmpty = book.conversations.allSatisfy { $0.messages.isEmpty }
    inner.withLock { inner in
      inner.chats[who.name] = isEmpty ? nil : (NodeClock.now().monotonic, book)
      if inner.chats.count > Self.mostBooks,
        let oldest = inner.chats.min(by: { $0.value.at < $1.value.at })?.key
      {
        inner.chats[oldest] = nil
      }
    }
  }

  private static let mostBooks = 32

  /// A screen of this operator opens.
  func welcome(_ who: Operator, _ role: Role) -> Welcome {
    let now = NodeClock.now()
    let before = absences.arrive(who.name, at: now.wall)
    return Welcome(
      name: who.name, role: role,
      absence: before.map { before in runtime.state.withLock { $0.absence(since: before, at: now) } },
      chats: role < .operator ? nil : inner.withLock { $0.chats[who.name]?.book })
  }

  /// A screen of this operator closed.
  func farewell(_ who: Operator) {
    absences.leave(who.name, runtime.state.withLock { $0.lifeCounts(at: NodeClock.now()) })
  }
}
