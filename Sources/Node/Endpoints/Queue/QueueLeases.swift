// QueueLeases.swift: which jobs of the shared queue this node has, and what is said about them when:
// a value without a clock and a connection. Not here: running them (QueueDoor). Start at delivered.
//
// Rule: a job is ended, and billed, only under a lease that is known to be alive, and by the node that
// the server wrote its end down for. Why: a node that was stopped for longer than its lease goes on as
// if nothing had happened, while another runs the job; and one may die between its receipt and its
// acknowledgement. Otherwise one job has two receipts.
import Scheduling

struct QueueLeases: Sendable {
  /// Of a clock that goes on while the machine sleeps.
  typealias Milliseconds = Int64

  enum Action: Sendable, Equatable {
    /// Ask whether another node has it; `asked` is to follow.
    case ask(JobID)
    /// Run it.
    case admit(JobID)
    /// The lease begins anew; `renewed` follows once the server has confirmed.
    case renew(JobID)
    /// Somebody else is to have it, now or after so long.
    case pass(JobID, after: Milliseconds)
    /// Nobody is to have it: it leaves the queue, and its requester is told why.
    /// - isRequest: the request itself is at fault
    case reject(JobID, String, isRequest: Bool = false)
    /// Acknowledge its end, until that is confirmed; `acknowledged` follows.
    case acknowledge(JobID)
  }

  enum Phase: Sendable, Equatable {
    /// Whether another node has it is being asked.
    case asking
    /// It is this node's: waiting, computed, or being written to the disk.
    case held
    /// Its end was sent; the acknowledgement is not confirmed.
    case ending
  }

  struct Lease: Sendable {
    let client: String
    var phase: Phase
    var deliveries: Int
    /// When the renewal was sent that was confirmed last.
    var confirmed: Milliseconds
    var nextRenewal: Milliseconds
  }

  /// A job that was given out this often is wrong in itself.
  static let mostDeliveries = 5
  /// How often a job is given out while the node that claimed its end is away.
  static let mostAbsences = 20
  /// How long a job that this node could not answer is left to others.
  static let retry: Milliseconds = 5_000

  let wait: Milliseconds
  private(set) var leases: [JobID: Lease] = [:]

  /// - wait: how long the server keeps a lease
  init(wait: Milliseconds) { self.wait = wait }

  /// Between renewals.
  private var interval: Milliseconds { wait / 3 }

  /// A job arrived.
  /// - isKnown: this node has a receipt for it on the disk
  /// - isFree: there is a place for it
  mutating func delivered(
    _ id: JobID, client: String, count: Int, isKnown: Bool, isFree: Bool, at now: Milliseconds
  ) -> [Action] {
    if var lease = leases[id] {
      // Ours lapsed while nobody else was there: the newest delivery is the lease now.
      guard lease.client == client else { return [.reject(id, "a job of that id is another client's")] }
      lease.deliveries = max(lease.deliveries, count)
      lease.confirmed = now
      lease.nextRenewal = now + interval
      leases[id] = lease
      return lease.phase == .ending ? [.acknowledge(id)] : []
    }
    guard isFree else { return [.pass(id, after: 0)] }
    let asks = count > 1 && !isKnown
    leases[id] = Lease(
      client: client, phase: asks ? .asking : .held, deliveries: count, confirmed: now,
      nextRenewal: now + interval)
    return [asks ? .ask(id) : .admit(id)]
  }

  enum Answer: Sendable, Equatable {
    case somebody, nobody
    /// Its end was claimed by a node that has no receipt of it and gives way, or by this node before
    /// it died.
    case released
    /// The node that claimed its end has its receipt: the answer is computed once more, without one.
    case ended
    /// The node that claimed its end is not reached: it may have a receipt.
    case away
    /// Somebody is to have it who says nothing: a node that was stopped, or its connection. Its lease
    /// is over, so it lets go when it goes on.
    case silence
    /// The connection was lost meanwhile.
    case cut
  }

  /// Whether another node has the job, for one that was to be asked about.
  mutating func asked(_ id: JobID, _ answer: Answer) -> [Action] {
    guard let lease = leases[id], lease.phase == .asking else { return [] }
    switch answer {
    case .nobody, .silence:
      guard lease.deliveries <= Self.mostDeliveries else {
        leases[id] = nil
        return [.reject(id, "it was given out \(lease.deliveries) times, and nobody answered it")]
      }
      return hold(id)
    case .released, .ended: return hold(id)
    case .away:
      // It is waited for, a quarter of an hour in all; it may be gone for ever.
      guard lease.deliveries <= Self.mostAbsences else { return hold(id) }
      leases[id] = nil
      return [.pass(id, after: min(Self.retry * Int64(lease.deliveries), 60_000))]
    case .somebody, .cut:
      leases[id] = nil
      return [.pass(id, after: wait)]
    }
  }

  private mutating func hold(_ id: JobID) -> [Action] {
    leases[id]?.phase = .held
    return [.admit(id)]
  }

  /// The server confirmed a renewal.
  ///
  /// It confirms one of a lease that has run out as well, also if another node has the job by then:
  /// so only what was sent under a lease that was alive counts.
  /// - sent: when it was sent: the lease lives for `wait` from then on at least
  mutating func renewed(_ id: JobID, sent: Milliseconds) {
    guard let confirmed = leases[id]?.confirmed, isAlive(id, at: sent) else { return }
    leases[id]?.confirmed = max(confirmed, sent)
  }

  /// What is due.
  mutating func tick(at now: Milliseconds) -> [Action] {
    var actions: [Action] = []
    for (id, lease) in leases.sorted(by: { $0.key.rawValue < $1.key.rawValue }) where lease.nextRenewal <= now
    {
      switch lease.phase {
      case .asking, .held:
        let next = now + interval
        leases[id]?.nextRenewal = next
        actions.append(.renew(id))
      case .ending:
        leases[id]?.nextRenewal = now + 2_000
        actions.append(.acknowledge(id))
      }
    }
    return actions
  }

  /// Whether the job may be ended now. If not, another node may have it.
  func isAlive(_ id: JobID, at now: Milliseconds) -> Bool {
    guard let lease = leases[id] else { return false }
    // A tenth for the way to the server and for clocks that run apart.
    return now - lease.confirmed < wait - wait / 10
  }

  func holds(_ id: JobID) -> Bool { leases[id] != nil }

  /// The end was sent, and its receipt is on the disk.
  mutating func ended(_ id: JobID, at now: Milliseconds) -> [Action] {
    guard leases[id] != nil else { return [] }
    leases[id]?.phase = .ending
    leases[id]?.nextRenewal = now + 2_000
    return [.acknowledge(id)]
  }

  mutating func acknowledged(_ id: JobID) { leases[id] = nil }

  /// This node will not answer it; somebody else may.
  mutating func passed(_ id: JobID, after delay: Milliseconds) -> [Action] {
    guard leases.removeValue(forKey: id) != nil else { return [] }
    return [.pass(id, after: delay)]
  }

  /// Nobody will answer it.
  mutating func refused(_ id: JobID, _ words: String, isRequest: Bool = false) -> [Action] {
    guard leases.removeValue(forKey: id) != nil else { return [] }
    return [.reject(id, words, isRequest: isRequest)]
  }

  /// Another node has it: nothing is said about it any more.
  mutating func lost(_ id: JobID) { leases[id] = nil }
}
