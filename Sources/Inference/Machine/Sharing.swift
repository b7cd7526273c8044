// Sharing.swift: how the workers of a team divide numbered work among them. A worker first takes
// the numbers of its own share, in order; then it steals those that other workers haven't reached.

import CKernels

extension Team {
  /// Calls `body` with each number below `count` that this worker takes, and whether it's the last
  /// one of the worker's own share, or stolen.
  /// - counters: one for each worker, zero before the first takes
  @inline(__always)
  func share(
    _ worker: Int, _ counters: UnsafeMutablePointer<ck_counter>, _ count: Int, _ body: (Int, Bool) -> Void
  ) {
    let active = active
    var owner = worker
    for _ in 0..<active {
      let first = count * owner / active
      let end = count * (owner + 1) / active
      let limit = UInt32(end - first)
      while true {
        let taken = ck_counter_take_below(counters + owner, limit)
        if taken == limit { break }
        let index = first + Int(taken)
        body(index, owner != worker || index + 1 == end)
      }
      owner = owner + 1 == active ? 0 : owner + 1
    }
  }

  @inline(__always)
  func share(
    _ worker: Int, _ counters: UnsafeMutablePointer<ck_counter>, _ count: Int, _ body: (Int) -> Void
  ) {
    share(worker, counters, count) { index, _ in body(index) }
  }

  /// Divides rows of activations. Many rows are claimed 16 at a time, because claiming one costs
  /// more than its work.
  @inline(__always)
  func shareRows(
    _ worker: Int, _ counters: UnsafeMutablePointer<ck_counter>, _ count: Int, _ body: (Int) -> Void
  ) {
    let together = count >= 64 * active ? 16 : 1
    share(worker, counters, (count + together - 1) / together) { index in
      for row in index * together..<min(count, (index + 1) * together) { body(row) }
    }
  }
}

extension UnsafeMutablePointer {
  /// Memory for values of one or more whole cache lines, so that threads that use one value do not
  /// slow down those that use its neighbour (no false sharing).
  static func alignedToLines(capacity: Int) -> UnsafeMutablePointer<Pointee> {
    let bytes = capacity * MemoryLayout<Pointee>.stride
    return UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
      .bindMemory(to: Pointee.self, capacity: capacity)
  }
}
