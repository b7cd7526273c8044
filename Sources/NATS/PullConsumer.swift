// PullConsumer.swift: takes messages from one consumer of a stream: one at a time, at once or when
// one comes. Every wait has an end: servers leave some pulls unanswered. Start at PullConsumer.pull.

import JSON
import Synchronization

package final class PullConsumer: Sendable {
  package enum Event: Sendable, Equatable {
    case delivery(NATSDelivery)
    /// The pull is over without a message; another may be made.
    case empty
    /// The server refused it, in its words.
    case refused(status: Int, String)
    /// Nothing was heard for too long: the connection or the consumer is gone.
    case silent
  }

  /// How long a pull may wait for a message.
  package static let patience = Duration.seconds(30)
  /// How often the server shows meanwhile that it still knows the pull.
  static let heartbeat = Duration.seconds(5)

  private struct State: Sendable {
    var subscription: UInt64?
    var inbox = ""
    var number = 0
    /// The last thing that was heard of the pull that is open.
    var heard: ContinuousClock.Instant?
    var waits = false
    /// Subscriptions that were given up, on which something may still be on its way, until then.
    var retired: [(id: UInt64, until: ContinuousClock.Instant)] = []
  }

  package let consumer: String
  private let jetStream: JetStream
  private let subject: String
  private let event: @Sendable (PullConsumer, Event) -> Void
  private let state = Mutex(State())

  /// - event: called on the client's thread; must not block
  package init(
    _ jetStream: JetStream, stream: String, consumer: String,
    event: @escaping @Sendable (PullConsumer, Event) -> Void
  ) {
    self.jetStream = jetStream
    self.consumer = consumer
    subject = "\(jetStream.prefix).CONSUMER.MSG.NEXT.\(stream).\(consumer)"
    self.event = event
  }

  /// Whether a pull is open.
  package var isOpen: Bool { state.withLock { $0.heard != nil } }

  /// Asks for one message, if no pull is open.
  /// - waits: until one comes; otherwise only for one that is there
  package func pull(waits: Bool) throws(NATSError) {
    let client = jetStream.client
    let begun = state.withLock { state -> (reply: String, inbox: String, isNew: Bool)? in
      guard state.heard == nil else { return nil }
      let isNew = state.subscription == nil
      if isNew { state.inbox = client.makeInbox("pull") }
      state.number += 1
      state.heard = .now
      state.waits = waits
      return ("\(state.inbox).\(state.number)", state.inbox, isNew)
    }
    guard let begun else { return }
    do throws(NATSError) {
      if begun.isNew {
        let id = try client.subscribe(begun.inbox + ".*") { [weak self] in self?.take($0) }
        state.withLock { $0.subscription = id }
      }
      let body: JSONValue =
        waits
        ? [
          "batch": 1, "expires": JSONValue(Self.patience.milliseconds * 1_000_000),
          "idle_heartbeat": JSONValue(Self.heartbeat.milliseconds * 1_000_000),
        ] : ["batch": 1, "no_wait": true]
      try client.publish(NATSMessage(subject: subject, reply: begun.reply, payload: JSONWriter.bytes(body)))
    } catch {
      state.withLock { $0.heard = nil }
      throw error
    }
  }

  /// Takes an open pull back: the server gives the next message to somebody else. One that is on its
  /// way already still comes, as an event.
  package func withdraw() {
    let old = state.withLock { state -> UInt64? in
      state.heard = nil
      guard let old = state.subscription else { return nil }
      state.subscription = nil
      state.retired.append((old, .now + .seconds(10)))
      return old
    }
    if let old { jetStream.client.unsubscribe(old, keepsHandler: true) }
  }

  /// Ends it for good.
  package func end() {
    let old = state.withLock { state -> [UInt64] in
      state.heard = nil
      defer { (state.subscription, state.retired) = (nil, []) }
      return state.retired.map(\.id) + (state.subscription.map { [$0] } ?? [])
    }
    for id in old { jetStream.client.unsubscribe(id) }
  }

  /// To be called now and then: gives up a pull of which nothing is heard.
  package func check(at now: ContinuousClock.Instant = .now) {
    let over = state.withLock { state -> [UInt64] in
      defer { state.retired.removeAll { $0.until <= now } }
      return state.retired.filter { $0.until <= now }.map(\.id)
    }
    for id in over { jetStream.client.unsubscribe(id) }
    let isSilent = state.withLock { state -> Bool in
      guard let heard = state.heard else { return false }
      // Without heartbeats two seconds are ten thousand times what an answer takes.
      guard now - heard > (state.waits ? Self.heartbeat * 2 : .seconds(2)) else { return false }
      state.heard = nil
      return true
    }
    if isSilent { event(self, .silent) }
  }

  private func take(_ message: NATSMessage) {
    guard let status = message.status else {
      // Its subject is that of the stream: only the subscription tells that it is ours.
      guard let delivery = NATSDelivery(message) else { return }
      state.withLock { $0.heard = nil }
      return event(self, .delivery(delivery))
    }
    let ends = state.withLock { state -> Bool in
      // Of a pull before this one.
      guard state.heard != nil, message.subject == "\(state.inbox).\(state.number)" else { return false }
      state.heard = status == 100 ? .now : nil
      return status != 100
    }
    guard ends else { return }
    switch status {
    case 404, 408: event(self, .empty)
    default: event(self, .refused(status: status, message.headers?.words ?? ""))
    }
  }
}
