// threads.c: how worker threads meet: spin for a bounded time, then sleep in the kernel. And the rounding mode.
// All state is in the caller's memory. Start at ck_barrier_wait.
#define _GNU_SOURCE
#include "internal.h"

#include <immintrin.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void ck_set_fp_environment(void) {
  _mm_setcsr(0x1F80);
}

bool ck_check_fp_environment(void) {
  // the low six bits are sticky flags, not settings
  return (_mm_getcsr() & 0xFFC0) == 0x1F80;
}

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint32_t load(const uint32_t *word) {
  return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

// Waits until *word differs from `seen`; false where it had to sleep.
static bool wait_change(uint32_t *word, uint32_t *sleepers, uint32_t seen, uint32_t spin_ns) {
  if (load(word) != seen) return true;
  uint64_t start = now_ns();
  do {
    for (int i = 0; i < 16; i++) {
      _mm_pause();
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

void ck_barrier_init(ck_barrier *barrier, uint32_t parties) {
  memset(barrier, 0, sizeof *barrier);
  barrier->parties = parties;
}

void ck_barrier_wait(ck_barrier *barrier, uint32_t spin_ns) {
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

void ck_barrier_set_parties(ck_barrier *barrier, uint32_t parties) {
  __atomic_store_n(&barrier->parties, parties, __ATOMIC_SEQ_CST);
}

uint32_t ck_barrier_sleepers(const ck_barrier *barrier) {
  return load(&barrier->sleepers);
}

uint32_t ck_barrier_sleeps(const ck_barrier *barrier) {
  return load(&barrier->sleeps);
}

void ck_gate_init(ck_gate *gate) {
  memset(gate, 0, sizeof *gate);
}

uint32_t ck_gate_value(const ck_gate *gate) {
  return load(&gate->value);
}

void ck_gate_advance(ck_gate *gate) {
  change(&gate->value, &gate->sleepers);
}

uint32_t ck_gate_wait(ck_gate *gate, uint32_t seen, uint32_t spin_ns) {
  (void)wait_change(&gate->value, &gate->sleepers, seen, spin_ns);
  return load(&gate->value);
}

void ck_counter_set(ck_counter *counter, uint32_t value) {
  __atomic_store_n(&counter->next, value, __ATOMIC_SEQ_CST);
}

uint32_t ck_counter_take(ck_counter *counter) {
  return __atomic_fetch_add(&counter->next, 1, __ATOMIC_SEQ_CST);
}

uint32_t ck_counter_take_run(ck_counter *counter, uint32_t limit, uint32_t most_taken, uint32_t *count) {
  uint32_t seen = load(&counter->next);
  if (seen >= limit) return limit;
  // A quarter of what is left, so that others find something until near the end.
  uint32_t wanted = most(least((limit - seen) / 4, most_taken), 1);
  uint32_t taken = __atomic_fetch_add(&counter->next, wanted, __ATOMIC_SEQ_CST);
  if (taken >= limit) return limit;
  *count = least(wanted, limit - taken);
  return taken;
}

uint32_t ck_counter_take_below(ck_counter *counter, uint32_t limit) {
  if (load(&counter->next) >= limit) return limit;
  uint32_t taken = ck_counter_take(counter);
  return taken < limit ? taken : limit;
}
