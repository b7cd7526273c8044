// KernelThreadTests.swift: barriers, gates and counters under real threads, spinning and sleeping.

import CKernels
import CSystem
import Foundation
import Testing

/// Memory that threads of a test share. Unchecked: every access is ordered by the primitive under test.
private final class Shared<Value>: @unchecked Sendable {
  let pointer = UnsafeMutablePointer<Value>.allocate(capacity: 1)
  init(_ value: Value) { pointer.initialize(to: value) }
  deinit { pointer.deallocate() }
}

/// Runs `body` on threads of its own and waits for all.
private func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  let group = DispatchGroup()
  for index in 0..<count {
    group.enter()
    Thread.detachNewThread {
      body(index)
      group.leave()
    }
  }
  group.wait()
}

@Suite struct KernelThreadTests {
  @Test(arguments: [UInt32(0), 50_000], [1, 2, 5]) func aBarrierSeparatesPhases(spin: UInt32, parties: Int) {
    let barrier = Shared(csystem_barrier())
    csystem_barrier_init(barrier.pointer, UInt32(parties))
    let rounds = 500
    let wrong = Shared(ck_counter())
    ck_counter_set(wrong.pointer, 0)
    let progress = UnsafeMutablePointer<Int>.allocate(capacity: parties)
    progress.initialize(repeating: 0, count: parties)
    defer { progress.deallocate() }
    let address = Int(bitPattern: progress)
    onThreads(parties) { index in
      guard let progress = UnsafeMutablePointer<Int>(bitPattern: address) else { return }
      for round in 1...rounds {
        progress[index] = round
        csystem_barrier_wait(barrier.pointer, spin)
        for other in 0..<parties where progress[other] != round { _ = ck_counter_take(wrong.pointer) }
        csystem_barrier_wait(barrier.pointer, spin)
      }
    }
    #expect(ck_counter_take(wrong.pointer) == 0)
  }

  @Test func aBarrierMeetsWithFewerPartiesAndCountsWhoSlept() {
    let barrier = Shared(csystem_barrier())
    csystem_barrier_init(barrier.pointer, 3)
    onThreads(3) { _ in csystem_barrier_wait(barrier.pointer, 1_000_000) }
    let before = csystem_barrier_sleeps(barrier.pointer)
    #expect(before <= 2)
    csystem_barrier_set_parties(barrier.pointer, 2)
    onThreads(2) { index in
      if index == 1 {
        // Comes once the other one sleeps.
        while csystem_barrier_sleepers(barrier.pointer) == 0 { sched_yield() }
      }
      csystem_barrier_wait(barrier.pointer, 0)
    }
    #expect(csystem_barrier_sleeps(barrier.pointer) == before + 1)
    csystem_barrier_set_parties(barrier.pointer, 1)
    csystem_barrier_wait(barrier.pointer, 0)
    #expect(csystem_barrier_sleeps(barrier.pointer) == before + 1)
  }

  @Test(arguments: [UInt32(0), 20_000]) func aGateWakesEveryWaiter(spin: UInt32) {
    let gate = Shared(csystem_gate())
    let done = Shared(csystem_barrier())
    csystem_gate_init(gate.pointer)
    csystem_barrier_init(done.pointer, 4)
    let seen = Shared(ck_counter())
    ck_counter_set(seen.pointer, 0)
    onThreads(4) { index in
      for round in UInt32(0)..<300 {
        if index == 0 {
          csystem_gate_advance(gate.pointer)
        } else if csystem_gate_wait(gate.pointer, round, spin) == round + 1 {
          _ = ck_counter_take(seen.pointer)
        }
        csystem_barrier_wait(done.pointer, spin)
      }
    }
    #expect(csystem_gate_value(gate.pointer) == 300)
    #expect(ck_counter_take(seen.pointer) == 900)
  }

  @Test func aCounterGivesEveryNumberOnce() {
    let counter = Shared(ck_counter())
    ck_counter_set(counter.pointer, 7)
    let sum = Shared(ck_counter())
    ck_counter_set(sum.pointer, 0)
    let taken = UnsafeMutablePointer<UInt8>.allocate(capacity: 4007)
    taken.initialize(repeating: 0, count: 4007)
    defer { taken.deallocate() }
    let address = Int(bitPattern: taken)
    onThreads(4) { _ in
      guard let taken = UnsafeMutablePointer<UInt8>(bitPattern: address) else { return }
      for _ in 0..<1000 { taken[Int(ck_counter_take(counter.pointer))] += 1 }
    }
    #expect((0..<7).allSatisfy { taken[$0] == 0 })
    #expect((7..<4007).allSatisfy { taken[$0] == 1 })
  }

  @Test func theFloatingPointEnvironmentIsSetAndChecked() {
    ck_set_fp_environment()
    #expect(ck_check_fp_environment())
    #expect(Float.leastNonzeroMagnitude * 1 > 0)
  }
}
