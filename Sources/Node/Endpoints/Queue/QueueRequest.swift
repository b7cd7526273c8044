// QueueRequest.swift: one job for the shared queue, from the side of who asks: published, followed
// over whichever nodes take it, cancelled. What its words mean is in QueueRuns. Start at submit.
import JSON
import NATS
import Scheduling
import Synchronization

package final class QueueRequest: Sendable {
  package enum Event: Sendable, Equatable {
    /// The queue has it.
    case stored
    /// The queue is full: try again later.
    case full(String)
    /// It could not be given to the queue.
    case failed(String)
    case run(QueueRuns.Event)
  }

  private struct State: Sendable {
    var runs: QueueRuns
    var subscription: UInt64?
    var sequence: Int?
  }

  package let job: QueueJob
  private let client: NATSClient
  private let jetStream: JetStream
  private let stream: String
  private let event: @Sendable (Event) -> Void
  private let state: Mutex<State>

  /// - event: called on the client's thread, in order; must not block
  package init(
    _ client: NATSClient, _ queue: SharedQueue, job: QueueJob, event: @escaping @Sendable (Event) -> Void
  ) {
    self.client = client
    self.job = job
    self.event = event
    jetStream = JetStream(client, domain: queue.domain)
    stream = queue.stream
    state = Mutex(State(runs: QueueRuns(job: job.id)))
  }

  /// Listens first, then publishes.
  /// - model: whose nodes are to take it
  package func submit(model: String) {
    do throws(NATSError) {
      // It lives until its end, or until `leave`.
      let subscription = try client.subscribe(job.reply) { self.take($0) }
      state.withLock { $0.subscription = subscription }
    } catch {
      return event(.failed("\(error)"))
    }
    jetStream.publish(job.message(model: model)) { [self] result in
      switch result {
      case .success(let stored):
        state.withLock { $0.sequence = stored.sequence }
        guard !stored.isDuplicate else {
          leave()
          return event(.failed("the queue had a job of that id already"))
        }
        event(.stored)
      case .failure(let error):
        leave()
        switch error {
        case .transport(.noResponders):
          event(.failed("there is no stream for jobs: 'hotpot queue init' makes it"))
        case .refused(_, let number, _) where JetStreamError.streamFull.contains(number):
          event(.full("\(error)"))
        case .transport, .refused, .answer: event(.failed("\(error)"))
        }
      }
    }
  }

  private func take(_ message: NATSMessage) {
    guard let word = QueueWord(parsing: message.payload) else { return }
    // The node wants to hear that its end was heard; if this is lost it says it again.
    if let reply = message.reply { try? client.publish(NATSMessage(subject: reply)) }
    let (events, ended) = state.withLock { state -> ([QueueRuns.Event], UInt64?) in
      let events = state.runs.take(word)
      guard state.runs.hasEnded else { return (events, nil) }
      defer { state.subscription = nil }
      return (events, state.subscription)
    }
    if let ended { client.unsubscribe(ended) }
    for found in events { event(.run(found)) }
  }

  /// Ends it: at the node that has it, or else in the queue.
  /// - done: whether it was found
  package func cancel(_ done: @escaping @Sendable (Bool) -> Void) {
    client.request(NATSMessage(subject: QueueSubject.cancel(job.id)), timeout: .seconds(2)) { [self] result in
      if case .success = result { return done(true) }
      guard let sequence = state.withLock({ $0.sequence }) else { return done(false) }
      jetStream.call("STREAM.MSG.DELETE.\(stream)", ["seq": JSONValue(sequence)]) { result in
        if case .success = result { done(true) } else { done(false) }
      }
    }
  }

  /// No more is listened to.
  package func leave() {
    let subscription = state.withLock { state -> UInt64? in
      defer { state.subscription = nil }
      return state.subscription
    }
    if let subscription { client.unsubscribe(subscription) }
  }

  package var tokens: [Int32] { state.withLock { $0.runs.tokens } }
  package var text: String { state.withLock { $0.runs.text } }
}
