// csystem_threads.h: how threads wait for each other: they spin for a bounded time, then sleep in
// the kernel. All state is in the caller's memory. Not here: how they divide their work (CKernels).
// Start at csystem_barrier_wait.
#ifndef CSYSTEM_THREADS_H
#define CSYSTEM_THREADS_H

#include <stdint.h>

#pragma clang assume_nonnull begin

/// A point where `parties` threads wait for each other, in the caller's memory, any number of
/// times.
typedef struct csystem_barrier {
  uint32_t parties;
  uint32_t reserved[15];
  uint32_t arrived;
  uint32_t padding[15];
  uint32_t phase;
  uint32_t sleepers;
  uint32_t sleeps;
  uint32_t rest[13];
} csystem_barrier;

void csystem_barrier_init(csystem_barrier *barrier, uint32_t parties);

/// Sets the number of parties; call it only while no thread is on its way to the barrier.
void csystem_barrier_set_parties(csystem_barrier *barrier, uint32_t parties);

/// How many parties are asleep now.
uint32_t csystem_barrier_sleepers(const csystem_barrier *barrier);

/// How many times a party had to sleep.
uint32_t csystem_barrier_sleeps(const csystem_barrier *barrier);

/// Waits for all parties: spins for about `spin_ns` nanoseconds, then sleeps in the kernel.
/// Everything that any party wrote before is visible to all parties afterwards.
void csystem_barrier_wait(csystem_barrier *barrier, uint32_t spin_ns);

/// A count that threads wait on: work is posted by advancing it.
typedef struct csystem_gate {
  uint32_t value;
  uint32_t sleepers;
  uint32_t rest[14];
} csystem_gate;

void csystem_gate_init(csystem_gate *gate);

uint32_t csystem_gate_value(const csystem_gate *gate);

/// Adds one and wakes every waiter.
void csystem_gate_advance(csystem_gate *gate);

/// Waits until the value differs from `seen`, spinning for about `spin_ns` first; returns the new
/// value.
uint32_t csystem_gate_wait(csystem_gate *gate, uint32_t seen, uint32_t spin_ns);

#pragma clang assume_nonnull end

#endif
