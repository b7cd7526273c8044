// amx_emulated.c: the algorithm of the AMX level on a model of the unit in C, for tests on machines
// without one. Needs AVX-512. The model follows the operations of LDTILECFG, TILEZERO, TILELOADD,
// TILESTORED and TDPBF16PS in Intel's manual (volume 2): rows and bytes outside a tile's shape
// become zero, subnormal numbers are treated as zero, and shapes that do not fit are faults.
#if defined(__x86_64__)
#include "internal.h"

#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi"))), apply_to = function)

typedef struct unit {
  uint8_t tiles[8][16][64];
  uint32_t rows[8];
  uint32_t row_bytes[8];
} unit;

static void begin(unit *u, uint32_t columns) {
  static const uint8_t rows[8] = {16, 16, 16, 16, 0};
  memset(u, 0, sizeof *u);
  for (int n = 0; n < 4; n++) {
    u->rows[n] = rows[n];
    u->row_bytes[n] = n < 2 ? 64 : 2 * columns;
  }
  u->rows[4] = columns / 2;
  u->row_bytes[4] = 64;
}

static void zero(unit *u, int n) {
  if (u->rows[n] == 0) __builtin_trap();
  memset(u->tiles[n], 0, sizeof u->tiles[n]);
}

static void load(unit *u, int n, const void *from, size_t stride) {
  zero(u, n);
  for (uint32_t r = 0; r < u->rows[n]; r++) memcpy(u->tiles[n][r], (const uint8_t *)from + stride * r, u->row_bytes[n]);
}

static void store(const unit *u, int n, void *to, size_t stride) {
  if (u->rows[n] == 0) __builtin_trap();
  for (uint32_t r = 0; r < u->rows[n]; r++) memcpy((uint8_t *)to + stride * r, u->tiles[n][r], u->row_bytes[n]);
}

static float flushed(float x) {
  return (ck_float_bits(x) & 0x7f800000) == 0 ? ck_bits_float(ck_float_bits(x) & 0x80000000) : x;
}

static float brain(const uint8_t *bytes) {
  return flushed(ck_bits_float((uint32_t)bytes[1] << 24 | (uint32_t)bytes[0] << 16));
}

static void dot(unit *u, int c, int a, int b) {
  uint32_t depth = u->row_bytes[a] / 4;
  if (u->rows[c] != u->rows[a] || depth != u->rows[b] || u->row_bytes[c] != u->row_bytes[b] || depth == 0) __builtin_trap();
  for (uint32_t m = 0; m < u->rows[c]; m++) {
    for (uint32_t k = 0; k < depth; k++) {
      for (uint32_t n = 0; n < u->row_bytes[c] / 4; n++) {
        float sum;
        memcpy(&sum, &u->tiles[c][m][4 * n], 4);
        for (uint32_t i = 0; i < 2; i++) {
          sum += brain(&u->tiles[a][m][4 * k + 2 * i]) * brain(&u->tiles[b][k][4 * n + 2 * i]);
          sum = flushed(sum);
        }
        memcpy(&u->tiles[c][m][4 * n], &sum, 4);
      }
    }
  }
}

#define TILE_BEGIN(u, width) begin(u, width)
#define TILE_END(u) ((void)(u))
#define TILE_ZERO(u, n) zero(u, n)
#define TILE_LOAD(u, n, p, stride) load(u, n, p, stride)
#define TILE_STORE(u, n, p, stride) store(u, n, p, stride)
#define TILE_DOT(u, c, a, b) dot(u, c, a, b)
#include "amx.h"

#pragma clang attribute pop

void ck_amx_emulated_products(
    const ck_matrix *matrix, const ck_input *input, uint32_t tile, uint32_t tiles, uint32_t token, uint32_t tokens,
    const uint8_t *ahead, float *dst) {
  products(matrix, input, tile, tiles, token, tokens, ahead, dst);
}

void ck_amx_emulated_group(ck_profile profile, const void *blocks, uint32_t cols, void *group, uint32_t slot) {
  group_blocks(profile, blocks, cols, group, slot);
}

#endif
