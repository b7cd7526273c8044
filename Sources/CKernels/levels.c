// levels.c: which instruction sets the machine offers, and the table of kernels of each.
// Start at ck_kernels_at; ck_level_available says which levels this machine has.
#include "internal.h"

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t enabled_state(void) {
  uint32_t low;
  uint32_t high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

bool ck_level_available(ck_level level) {
  if (level == CK_SCALAR) return true;
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
  const uint32_t osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29, fma = 1u << 12;
  const uint32_t wanted = osxsave | avx | f16c | fma;
  if ((c & wanted) != wanted) return false;
  uint64_t state = enabled_state();
  if ((state & 0x6) != 0x6) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  const uint32_t avx2 = 1u << 5;
  if ((b & avx2) == 0) return false;
  if (level == CK_AVX2) return true;
  const uint32_t f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31, vnni = 1u << 11;
  bool avx512 = (b & (f | dq | bw | vl)) == (f | dq | bw | vl) && (c & vnni) != 0 && (state & 0xe6) == 0xe6;
  return avx512 && (level != CK_AMX || ck_amx_available(state));
}

// AMD's cores since Zen 4 have units of their own for additions; on Intel's an addition takes the place of a
// product.
bool ck_pairs_pay(void) {
  uint32_t a, b, c, d;
  // "AuthenticAMD"
  return __get_cpuid(0, &a, &b, &c, &d) && b == 0x68747541 && d == 0x69746e65 && c == 0x444d4163;
}

#else

bool ck_pairs_pay(void) {
  return false;
}

// Other machines have the twins alone, whose bits are those of every level.
bool ck_level_available(ck_level level) {
  return level == CK_SCALAR;
}

#endif

const char *ck_level_name(ck_level level) {
  switch (level) {
    case CK_SCALAR: return "scalar";
    case CK_AVX2: return "avx2";
    case CK_AVX512: return "avx512";
    case CK_AMX: return "amx";
    case CK_AMX_EMULATED: return "amx-emulated";
  }
  return "unknown";
}

const ck_kernels *ck_kernels_at(ck_level level) {
  switch (level) {
    case CK_SCALAR: return &ck_kernels_scalar;
#if defined(__x86_64__)
    case CK_AVX2: return &ck_kernels_avx2;
    case CK_AVX512: return &ck_kernels_avx512;
    case CK_AMX: return &ck_kernels_amx;
    case CK_AMX_EMULATED: return &ck_kernels_amx_emulated;
#else
    default: break;
#endif
  }
  return &ck_kernels_scalar;
}

ck_level ck_best_level(void) {
  for (int level = CK_LEVEL_COUNT - 1; level > CK_SCALAR; level--) {
    if (ck_level_available((ck_level)level) && ck_self_test((ck_level)level)) return (ck_level)level;
  }
  return CK_SCALAR;
}
