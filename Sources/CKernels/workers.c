// workers.c: what the threads of one computation need from the kernels: the rounding mode, and
// counters that they take work from. Not here: how they wait for each other (CSystem's
// csystem_threads.c). Start at ck_counter_take.
#include "internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

void ck_set_fp_environment(void) {
  _mm_setcsr(0x1F80);
}

bool ck_check_fp_environment(void) {
  // the low six bits are sticky flags, not settings
  return (_mm_getcsr() & 0xFFC0) == 0x1F80;
}

#elif defined(__aarch64__)

// All settings of FPCR are zero for the same: nearest even, no flush to zero, no traps, and NaNs that
// keep their payload.
void ck_set_fp_environment(void) {
  __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
}

bool ck_check_fp_environment(void) {
  uint64_t control;
  __asm__ volatile("mrs %0, fpcr" : "=r"(control));
  // trap enables, FZ16, stride, rounding mode, FZ, DN, AHP
  return (control & 0x07ff9f00) == 0;
}

#else
#error "nothing is known about this machine's rounding"
#endif

static uint32_t load(const uint32_t *word) {
  return __atomic_load_n(word, __ATOMIC_SEQ_CST);
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
  // A quarter of what is left, so that other workers find some until near the end.
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
