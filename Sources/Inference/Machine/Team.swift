// Team.swift: the engine's own threads, which wait for work and do it together. They know nothing
// about the work. Start at run(_:).

import CKernels
import CSystem
import Glibc

/// Threads that run one body together, the caller's thread among them as worker 0.
///
/// The rule: `run` is called by one thread at a time. It exists because the gate and the barrier
/// count on a fixed number of parties. `Engine` keeps it with its flag; a second caller would
/// release workers into the wrong body.
///
/// Workers spin for a bounded time between bodies and at barriers, then sleep in the kernel, so
/// that an idle engine uses no processor and a busy one hardly any system call.
final class Team: Sendable {
  let count: Int
  // Safe, though the compiler can't see it: what is behind the pointers is an atomic, or is
  // written by worker 0 before the gate advances and read by the others after it.
  nonisolated(unsafe) private let shared: UnsafeMutablePointer<Shared>
  nonisolated(unsafe) private let threads: UnsafeMutableBufferPointer<pthread_t>

  private struct Shared {
    /// One for each worker, so that those who are not needed sleep on.
    let gates: UnsafeMutablePointer<csystem_gate>
    let barrier: UnsafeMutablePointer<csystem_barrier>
    let spin: UInt32
    var active: Int
    var body: ((Int) -> Void)?
    var isEnding = false

    func free() {
      gates.deallocate()
      barrier.deallocate()
    }
  }

  private struct Start {
    let shared: UnsafeMutablePointer<Shared>
    let worker: Int
  }

  /// Starts `count - 1` threads. If there are more threads than processors, spinning would take the
  /// processor from the thread that is waited for, so it is cut short.
  init(count: Int, processors: Int) throws(EngineError) {
    let count = max(count, 1)
    self.count = count
    let gates = UnsafeMutablePointer<csystem_gate>.alignedToLines(capacity: count)
    let barrier = UnsafeMutablePointer<csystem_barrier>.alignedToLines(capacity: 1)
    for worker in 0..<count { csystem_gate_init(gates + worker) }
    csystem_barrier_init(barrier, UInt32(count))
    shared = .allocate(capacity: 1)
    let spin: UInt32 = count > processors ? 1_000 : 50_000
    shared.initialize(to: Shared(gates: gates, barrier: barrier, spin: spin, active: count))
    threads = .allocate(capacity: count)
    threads.initialize(repeating: pthread_t())
    // Signals are for the threads of the program, not for these.
    var all = sigset_t()
    var old = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &old)
    defer { pthread_sigmask(SIG_SETMASK, &old, nil) }
    for worker in 1..<count {
      let start = UnsafeMutablePointer<Start>.allocate(capacity: 1)
      start.initialize(to: Start(shared: shared, worker: worker))
      let code = pthread_create(&threads[worker], nil, Team.main, start)
      guard code == 0 else {
        start.deallocate()
        end(started: worker)
        throw EngineError.noThread(wanted: count, message: String(cString: strerror(code)))
      }
    }
  }

  deinit {
    end(started: count)
  }

  private func end(started: Int) {
    shared.pointee.isEnding = true
    for worker in 1..<max(started, 1) { csystem_gate_advance(shared.pointee.gates + worker) }
    for worker in 1..<max(started, 1) { pthread_join(threads[worker], nil) }
    threads.deallocate()
    shared.pointee.free()
    shared.deinitialize(count: 1)
    shared.deallocate()
  }

  /// Calls `body` once on each of the first `workers` workers (nil: all), with its number, and
  /// returns when all have returned.
  func run(workers: Int? = nil, _ body: (Int) -> Void) {
    ck_set_fp_environment()
    let active = min(max(workers ?? count, 1), count)
    shared.pointee.active = active
    if active == 1 {
      body(0)
      return
    }
    csystem_barrier_set_parties(shared.pointee.barrier, UInt32(active))
    withoutActuallyEscaping(body) { body in
      shared.pointee.body = body
      for worker in 1..<active { csystem_gate_advance(shared.pointee.gates + worker) }
      body(0)
      barrier()
      shared.pointee.body = nil
    }
  }

  /// How many workers take part in the current run, or took part in the last one.
  var active: Int { shared.pointee.active }

  /// How many times a worker waited so long that it went to sleep.
  var sleeps: UInt32 { csystem_barrier_sleeps(shared.pointee.barrier) }

  /// Waits, inside a body, until every worker has reached the same point.
  func barrier() {
    if active > 1 { csystem_barrier_wait(shared.pointee.barrier, shared.pointee.spin) }
  }

  private static let main: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { raw in
    guard let pointer = raw?.assumingMemoryBound(to: Start.self) else { return nil }
    let start = pointer.move()
    pointer.deallocate()
    let shared = start.shared
    ck_set_fp_environment()
    var seen: UInt32 = 0
    while true {
      seen = csystem_gate_wait(shared.pointee.gates + start.worker, seen, shared.pointee.spin)
      if shared.pointee.isEnding { return nil }
      shared.pointee.body?(start.worker)
      csystem_barrier_wait(shared.pointee.barrier, shared.pointee.spin)
    }
  }
}
