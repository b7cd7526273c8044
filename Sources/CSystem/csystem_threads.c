// csystem_threads.c: barriers and gates over futexes. Start at wait_change.
#define _GNU_SOURCE
#include "csystem_threads.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint32_t load(const uint32_t *word) {
  return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

// Tells the processor that this thread spins.
static void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Waits until *word differs from `seen`; returns false if it had to sleep.
static bool wait_change(uint32_t *word, uint32_t *sleepers, uint32_t seen, uint32_t spin_ns) {
  if (load(word) != seen) return true;
  uint64_t start = now_ns();
  do {
    for (int i = 0; i < 16; i++) {
      pause_briefly();
      if (load(word) != seen) return true;
    }
  } while (now_ns() - start < spin_ns);
  __atomic_fetch_add(sleepers, 1, __ATOMIC_SEQ_CST);
  while (load(word) == seen) syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
  __atomic_fetch_sub(sleepers, 1, __ATOMIC_SEQ_CST);
  return false;
}

static void change(uint32_t *word, const uint32_t *sleepers) {
  __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
  if (load(sleepers) != 0) syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void csystem_barrier_init(csystem_barrier *barrier, uint32_t parties) {
  memset(barrier, 0, sizeof *barrier);
  barrier->parties = parties;
}

void csystem_barrier_wait(csystem_barrier *barrier, uint32_t spin_ns) {
  uint32_t phase = load(&barrier->phase);
  if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_SEQ_CST) == load(&barrier->parties)) {
    __atomic_store_n(&barrier->arrived, 0, __ATOMIC_SEQ_CST);
    change(&barrier->phase, &barrier->sleepers);
    return;
  }
  if (!wait_change(&barrier->phase, &barrier->sleepers, phase, spin_ns)) {
    __atomic_fetch_add(&barrier->sleeps, 1, __ATOMIC_SEQ_CST);
  }
}

void csystem_barrier_set_parties(csystem_barrier *barrier, uint32_t parties) {
  __atomic_store_n(&barrier->parties, parties, __ATOMIC_SEQ_CST);
}

uint32_t csystem_barrier_sleepers(const csystem_barrier *barrier) {
  return load(&barrier->sleepers);
}

uint32_t csystem_barrier_sleeps(const csystem_barrier *barrier) {
  return load(&barrier->sleeps);
}

void csystem_gate_init(csystem_gate *gate) {
  memset(gate, 0, sizeof *gate);
}

uint32_t csystem_gate_value(const csystem_gate *gate) {
  return load(&gate->value);
}

void csystem_gate_advance(csystem_gate *gate) {
  change(&gate->value, &gate->sleepers);
}

uint32_t csystem_gate_wait(csystem_gate *gate, uint32_t seen, uint32_t spin_ns) {
  (void)wait_change(&gate->value, &gate->sleepers, seen, spin_ns);
  return load(&gate->value);
}
