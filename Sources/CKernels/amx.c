// amx.c: the level with AMX: prefill on tile registers (amx.h), everything else as with AVX-512.
// This file has only the unit's instructions and the request for the system's permission to use
// them. Start at amx.h.
#if defined(__x86_64__)
#define _GNU_SOURCE
#include "internal.h"

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma clang attribute push( \
    __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi"))), \
    apply_to = function)

// Has no state: the registers are in the unit itself.
typedef struct unit {
  char nothing;
} unit;

// The operand of LDTILECFG: palette 1, bytes per row and rows of each tile.
typedef struct tile_shapes {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_shapes;

_Static_assert(sizeof(tile_shapes) == 64, "the unit's format");

// Constants in memory, because a compiler may drop stores to a copy that only the unit reads.
static const tile_shapes shapes_32 = {1, 0, {0}, {64, 64, 64, 64, 64}, {16, 16, 16, 16, 16}};
static const tile_shapes shapes_16 = {1, 0, {0}, {64, 64, 32, 32, 64}, {16, 16, 16, 16, 8}};

#define TILE_BEGIN(u, width) ((void)(u), _tile_loadconfig((width) == 32 ? &shapes_32 : &shapes_16))
#define TILE_END(u) ((void)(u), _tile_release())
#define TILE_ZERO(u, n) ((void)(u), _tile_zero(n))
#define TILE_LOAD(u, n, p, stride) ((void)(u), _tile_loadd(n, p, stride))
#define TILE_STORE(u, n, p, stride) ((void)(u), _tile_stored(n, p, stride))
#define TILE_DOT(u, c, a, b) ((void)(u), _tile_dpbf16ps(c, a, b))
#include "amx.h"

#pragma clang attribute pop

// Linux lets a process use the tile registers only after it has asked, once, before it starts
// threads that use them.
static bool is_permitted(void) {
  enum { ARCH_GET_XCOMP_PERM = 0x1022, ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
  unsigned long granted = 0;
  if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) != 0) return false;
  return syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &granted) == 0 && (granted >> TILE_DATA & 1) != 0;
}

bool ck_amx_available(uint64_t enabled_state) {
  uint32_t a, b, c, d;
  const uint32_t tile = 1u << 24, bf16 = 1u << 22;
  const uint64_t tile_state = 3u << 17;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  return (d & (tile | bf16)) == (tile | bf16) && (enabled_state & tile_state) == tile_state && is_permitted();
}

void ck_amx_products(
    const ck_matrix *matrix, const ck_input *input, uint32_t tile, uint32_t tiles, uint32_t token, uint32_t tokens,
    const uint8_t *ahead, float *dst) {
  products(matrix, input, tile, tiles, token, tokens, ahead, dst);
}

void ck_amx_group(ck_profile profile, const void *blocks, uint32_t cols, void *group, uint32_t slot) {
  group_blocks(profile, blocks, cols, group, slot);
}

#endif
