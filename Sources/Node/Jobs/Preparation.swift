// Preparation.swift: decides whose request is read, rendered and tokenised next, on separate
// threads.
//
// Rule: no work waits behind a stranger's, and no client's behind everything that another client
// sent. Why: a prompt of megabytes takes a second, and a name costs nothing. So: the operator
// first, then known clients in turn, each with one request at a time. Strangers take turns too,
// with one request of theirs at a time, on a thread of the lowest priority. Otherwise one stranger
// with four connections makes every client wait for half a minute.
//
// Waiting work is bounded, in requests and in bytes. What is done with a request is up to the
// caller (Routes). Start at add.
import Foundation
import Synchronization

package final class Preparation: Sendable {
  /// Whose work it is.
  package enum Party: Hashable, Sendable {
    /// The operator's, and the node's own.
    case own
    case client(String)
    case stranger(String)
  }

  package struct Bounds: Sendable {
    /// How many requests are processed at once; the operator's get one more.
    package var workers = 3
    /// Bytes of known clients' requests that wait or are being processed; one client may have at
    /// most half of them.
    package var clientBytes = 512 << 20
    /// How many requests of strangers may wait.
    package var strangers = 64
    package var strangerBytes = 64 << 20

    package init() {}
  }

  private struct Work: Sendable {
    let party: Party
    let bytes: Int
    /// False once nobody is waiting for it.
    let isWanted: @Sendable () -> Bool
    let run: @Sendable () -> Void
  }

  /// The waiting work of one kind of party: names in the order of their turns.
  private struct Lines: Sendable {
    private(set) var count = 0
    private var turns: [Party] = []
    private var lines: [Party: [Work]] = [:]

    mutating func append(_ work: Work) {
      if lines[work.party] == nil { turns.append(work.party) }
      lines[work.party, default: []].append(work)
      count += 1
    }

    /// The first request of the next name in turn that is not busy; the name moves to the end.
    mutating func next(besides busy: Set<Party>) -> Work? {
      guard let turn = turns.firstIndex(where: { !busy.contains($0) }) else { return nil }
      let party = turns.remove(at: turn)
      guard var line = lines[party], !line.isEmpty else { return nil }
      let work = line.removeFirst()
      count -= 1
      lines[party] = line.isEmpty ? nil : line
      if !line.isEmpty { turns.append(party) }
      return work
    }

    /// Removes requests that nobody is waiting for any more.
    mutating func dropUnwanted() -> [Work] {
      var dropped: [Work] = []
      for party in turns {
        guard let line = lines[party] else { continue }
        let kept = line.filter { $0.isWanted() }
        guard kept.count < line.count else { continue }
        dropped += line.filter { !$0.isWanted() }.prefix(line.count - kept.count)
        lines[party] = kept.isEmpty ? nil : kept
      }
      turns.removeAll { lines[$0] == nil }
      count -= dropped.count
      return dropped
    }
  }

  private struct Inner: Sendable {
    var own = Lines()
    var clients = Lines()
    var strangers = Lines()
    var busy: Set<Party> = []
    /// Working threads, except the strangers'.
    var workers = 0
    var strangersAreServed = false
    /// Bytes that wait or are being processed.
    var clientBytes = 0
    var bytesOf: [Party: Int] = [:]
    var strangerBytes = 0
  }

  private let bounds: Bounds
  private let inner = Mutex(Inner())
  private let queue = DispatchQueue(label: "hotpot-prepare", attributes: .concurrent)

  package init(_ bounds: Bounds) { self.bounds = bounds }

  /// Accepts a request. `run` is called once, on another thread, unless `isWanted` is false by
  /// then.
  package func add(
    _ party: Party, bytes: Int, isWanted: @escaping @Sendable () -> Bool = { true },
    _ run: @escaping @Sendable () -> Void
  ) throws(Refusal.Unread) {
    let work = Work(party: party, bytes: bytes, isWanted: isWanted, run: run)
    // Dropped work is released after the lock: its end may call anything.
    var dropped: [Work] = []
    let result = inner.withLock { inner -> Result<Start, Refusal.Unread> in
      if case .stranger = party, isFull(inner, bytes) {
        dropped = inner.strangers.dropUnwanted()
        inner.strangerBytes -= dropped.reduce(0) { $0 + $1.bytes }
      }
      if let refusal = refusal(inner, work) { return .failure(refusal) }
      switch party {
      case .own: inner.own.append(work)
      case .client:
        inner.clients.append(work)
        inner.clientBytes += bytes
        inner.bytesOf[party, default: 0] += bytes
      case .stranger:
        inner.strangers.append(work)
        inner.strangerBytes += bytes
        guard !inner.strangersAreServed else { return .success(.nothing) }
        inner.strangersAreServed = true
        return .success(.strangersThread)
      }
      let most = party == .own ? bounds.workers + 1 : bounds.workers
      // Strangers' work takes one thread from the others, but never the last one.
      guard inner.workers < most - 1 else { return .success(.nothing) }
      inner.workers += 1
      return .success(.worker)
    }
    dropped = []
    switch try result.get() {
    case .nothing: break
    case .worker: queue.async { self.serve() }
    case .strangersThread:
      let thread = Thread { self.serveStrangers() }
      thread.name = "prepare-others"
      thread.stackSize = 8 << 20
      thread.start()
    }
  }

  private enum Start { case nothing, worker, strangersThread }

  private func isFull(_ inner: Inner, _ bytes: Int) -> Bool {
    inner.strangers.count >= bounds.strangers || inner.strangerBytes + bytes > bounds.strangerBytes
  }

  private func refusal(_ inner: Inner, _ work: Work) -> Refusal.Unread? {
    switch work.party {
    case .own: return nil
    case .client:
      let own = inner.bytesOf[work.party] ?? 0
      // One request is always accepted, however large.
      if own > 0, own + work.bytes > bounds.clientBytes / 2 { return .tooMuch(bytes: own) }
      if own > 0, inner.clientBytes + work.bytes > bounds.clientBytes {
        return .tooMuch(bytes: inner.clientBytes)
      }
      return nil
    case .stranger:
      if inner.strangers.count >= bounds.strangers { return .tooMany(requests: inner.strangers.count) }
      if inner.strangerBytes > 0, inner.strangerBytes + work.bytes > bounds.strangerBytes {
        return .tooMuch(bytes: inner.strangerBytes)
      }
      return nil
    }
  }

  private func serve() {
    while true {
      let work = inner.withLock { inner -> Work? in
        guard let work = inner.own.next(besides: []) ?? inner.clients.next(besides: inner.busy) else {
          inner.workers -= 1
          return nil
        }
        if work.party != .own { inner.busy.insert(work.party) }
        return work
      }
      guard let work else { return }
      if work.isWanted() { work.run() }
      inner.withLock { inner in
        guard work.party != .own else { return }
        inner.busy.remove(work.party)
        inner.clientBytes -= work.bytes
        let left = (inner.bytesOf[work.party] ?? 0) - work.bytes
        inner.bytesOf[work.party] = left > 0 ? left : nil
      }
    }
  }

  private func serveStrangers() {
    // On Linux each thread has its own nice value. If setting it fails, strangers compete with
    // everyone else.
    _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
    while true {
      let work = inner.withLock { inner -> Work? in
        let work = inner.strangers.next(besides: [])
        if work == nil { inner.strangersAreServed = false }
        return work
      }
      guard let work else { return }
      if work.isWanted() { work.run() }
      inner.withLock { $0.strangerBytes -= work.bytes }
    }
  }
}
