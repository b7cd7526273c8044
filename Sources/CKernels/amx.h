// amx.h: products of 16 weight rows with 16 tokens on tile registers: one algorithm, compiled twice. amx.c gives it the AMX unit;
// amx_emulated.c a model of the unit in C, with which tests prove the algorithm's bits on machines that have none.
// A file defines the operations on tiles, named here, then includes this one:
//   unit (type of the state)   TILE_BEGIN(u, width) TILE_END(u)   TILE_ZERO(u, n) TILE_LOAD(u, n, p, stride)
//   TILE_STORE(u, n, p, stride)   TILE_DOT(u, c, a, b): c += a * b, a signed bytes, b unsigned, four to a sum
// Left out: fewer than 16 tokens, float weights and all other kernels, which are the AVX-512 level's; so are the records of
// activations, whose digits lie as the unit wants them. Start at products.
#include "internal.h"

#include <immintrin.h>

enum {
  // the tiles: sums of the high and low digits (16 tokens, 16 rows), the digits (16 tokens, width), weights (width / 4, 16 rows of 4)
  HIGH_SUMS = 0,
  LOW_SUMS = 1,
  HIGH_DIGITS = 2,
  LOW_DIGITS = 3,
  WEIGHTS = 4,
  TILE_TOKENS = 16,
  // blocks of 32 columns whose sums are made before they are scaled: as many as share a header
  RUN = 8,
};

// 32 columns of 16 rows, with the factors of N1 item 3.
typedef struct wide_block {
  // 8 groups of 4 columns; in a group byte 4 row + column
  uint8_t w[8][64];
  float dw[16];
  float mw[16];
  int32_t sc[2][16];
  int32_t mn[2][16];
} wide_block;

CK_INLINE __m512 halves_float(const uint8_t *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}

CK_INLINE __m512i signed_ints(const uint8_t *p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p));
}

CK_INLINE __m512i unsigned_ints(const uint8_t *p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
}

static void widen(const ck_traits *traits, const uint8_t *tile, uint32_t cols, uint32_t block, wide_block *out) {
  const uint8_t *header = NULL;
  const uint8_t *scales = ck_scales_at(traits, tile, block, &header);
  __m512 d = halves_float(header != NULL ? header : scales);
  __m512 m = _mm512_setzero_ps();
  __m512 sign = _mm512_set1_ps(-0.0f);
  switch (traits->scales) {
    case CK_SCALES_NONE:
    case CK_SCALES_D: break;
    case CK_SCALES_DM: m = halves_float(scales + 32); break;
    case CK_SCALES_SUPER: d = _mm512_mul_ps(d, _mm512_cvtepi32_ps(signed_ints(scales))); break;
    case CK_SCALES_SUPER_MIN:
      d = _mm512_mul_ps(d, _mm512_cvtepi32_ps(unsigned_ints(scales)));
      m = _mm512_mul_ps(halves_float(header + 32), _mm512_cvtepi32_ps(unsigned_ints(scales + 16)));
      m = _mm512_xor_ps(m, sign);
      break;
    case CK_SCALES_HALVES:
      for (int h = 0; h < 2; h++) _mm512_storeu_si512(out->sc[h], signed_ints(scales + 16 * h));
      break;
    case CK_SCALES_HALVES_MIN:
      for (int h = 0; h < 2; h++) {
        __m512i both = unsigned_ints(scales + 16 * h);
        _mm512_storeu_si512(out->sc[h], _mm512_and_si512(both, _mm512_set1_epi32(15)));
        _mm512_storeu_si512(out->mn[h], _mm512_srli_epi32(both, 4));
      }
      m = _mm512_xor_ps(halves_float(header + 32), sign);
      break;
  }
  _mm512_storeu_ps(out->dw, d);
  _mm512_storeu_ps(out->mw, m);
  const uint8_t *low = tile + ck_scales_bytes(traits, cols) + (size_t)block * ck_quants_bytes(traits);
  const uint8_t *high = low + traits->low_bits * 64;
  __m512i low_mask = _mm512_set1_epi8((char)((1u << traits->low_bits) - 1));
  __m512i high_mask = _mm512_set1_epi8((char)((1u << traits->high_bits) - 1));
  const __m512i table = _mm512_xor_si512(
      _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)ck_codebook)), _mm512_set1_epi8((char)128));
  for (uint32_t g = 0; g < 8; g++) {
    // what a shift of 16 bits brings in from the neighbour the mask takes away
    __m512i w = _mm512_loadu_si512(low + ck_plane_vector(traits->low_bits, g) * 64);
    w = _mm512_and_si512(_mm512_srl_epi16(w, _mm_cvtsi32_si128((int)ck_plane_shift(traits->low_bits, g))), low_mask);
    if (traits->high_bits != 0) {
      __m512i bits = _mm512_loadu_si512(high + ck_plane_vector(traits->high_bits, g) * 64);
      bits = _mm512_srl_epi16(bits, _mm_cvtsi32_si128((int)ck_plane_shift(traits->high_bits, g)));
      bits = _mm512_sll_epi16(_mm512_and_si512(bits, high_mask), _mm_cvtsi32_si128(traits->low_bits));
      w = _mm512_or_si512(w, bits);
    }
    if (traits->codebook) w = _mm512_shuffle_epi8(table, w);
    _mm512_storeu_si512(out->w[g], w);
  }
}

CK_INLINE __m512 broadcast_float(const uint8_t *p) {
  float value;
  memcpy(&value, p, 4);
  return _mm512_set1_ps(value);
}

CK_INLINE int32_t load_int(const uint8_t *p) {
  int32_t value;
  memcpy(&value, p, 4);
  return value;
}

CK_INLINE size_t record_bytes(ck_profile profile) {
  return profile == CK_A8 ? 48 : 80;
}

// The chain of N1 item 3 over `count` blocks, 16 tokens in 16 registers.
// - sums: (count, parts, digits, 16 tokens, 16 rows), where parts is 2 for scales of 16 columns and digits 1 for A8
// - dst: (16 tokens, 16 rows), from the blocks before
CK_INLINE void scale(
    const ck_scales kind, const ck_profile profile, int32_t bias, const wide_block *wide, uint32_t count, const int32_t *sums,
    const uint8_t *records, size_t stride, float *dst) {
  const bool halves = kind == CK_SCALES_HALVES || kind == CK_SCALES_HALVES_MIN;
  const uint32_t parts = halves ? 2 : 1;
  const uint32_t digits = profile == CK_A8 ? 1 : 2;
  const unsigned low_bits = profile == CK_A15 ? 8 : 4;
  __m512 acc[TILE_TOKENS];
  for (uint32_t t = 0; t < TILE_TOKENS; t++) acc[t] = _mm512_loadu_ps(dst + 16 * t);
  for (uint32_t b = 0; b < count; b++, wide++, sums += parts * digits * 256, records += record_bytes(profile)) {
    __m512 dw = _mm512_loadu_ps(wide->dw);
    __m512 mw = _mm512_loadu_ps(wide->mw);
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < TILE_TOKENS; t++) {
      const uint8_t *record = records + stride * t;
      __m512i part[2];
      for (uint32_t h = 0; h < parts; h++) {
        const int32_t *from = sums + h * digits * 256 + 16 * t;
        part[h] = _mm512_loadu_si512(from);
        if (digits == 2) part[h] = _mm512_add_epi32(_mm512_slli_epi32(part[h], low_bits), _mm512_loadu_si512(from + 256));
        int32_t sum = load_int(record + 8 + 4 * h) + (halves ? 0 : load_int(record + 12));
        part[h] = _mm512_sub_epi32(part[h], _mm512_set1_epi32(bias * sum));
        if (halves) part[h] = _mm512_mullo_epi32(part[h], _mm512_loadu_si512(wide->sc[h]));
      }
      __m512i isum = halves ? _mm512_add_epi32(part[0], part[1]) : part[0];
      acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum), _mm512_mul_ps(dw, broadcast_float(record)), acc[t]);
      if (kind == CK_SCALES_DM || kind == CK_SCALES_SUPER_MIN) {
        acc[t] = _mm512_fmadd_ps(mw, broadcast_float(record + 4), acc[t]);
      }
      if (kind == CK_SCALES_HALVES_MIN) {
        __m512i minimum = _mm512_add_epi32(
            _mm512_mullo_epi32(_mm512_loadu_si512(wide->mn[0]), _mm512_set1_epi32(load_int(record + 8))),
            _mm512_mullo_epi32(_mm512_loadu_si512(wide->mn[1]), _mm512_set1_epi32(load_int(record + 12))));
        __m512 sum = _mm512_mul_ps(broadcast_float(record), _mm512_cvtepi32_ps(minimum));
        acc[t] = _mm512_fmadd_ps(mw, sum, acc[t]);
      }
    }
  }
  for (uint32_t t = 0; t < TILE_TOKENS; t++) _mm512_storeu_ps(dst + 16 * t, acc[t]);
}

#define SCALE(name, kind)                                                                                            \
  static __attribute__((noinline)) void name(                                                                        \
      ck_profile profile, int32_t bias, const wide_block *wide, uint32_t count, const int32_t *sums,                 \
      const uint8_t *records, size_t stride, float *dst) {                                                           \
    switch (profile) {                                                                                               \
      case CK_A8: scale(kind, CK_A8, bias, wide, count, sums, records, stride, dst); break;                          \
      case CK_A12: scale(kind, CK_A12, bias, wide, count, sums, records, stride, dst); break;                        \
      case CK_A15: scale(kind, CK_A15, bias, wide, count, sums, records, stride, dst); break;                        \
    }                                                                                                                \
  }

SCALE(scale_d, CK_SCALES_D)
SCALE(scale_dm, CK_SCALES_DM)
SCALE(scale_super, CK_SCALES_SUPER)
SCALE(scale_super_min, CK_SCALES_SUPER_MIN)
SCALE(scale_halves, CK_SCALES_HALVES)
SCALE(scale_halves_min, CK_SCALES_HALVES_MIN)

// One tile of 16 rows against `groups` times 16 tokens. dst: (16 groups, 16 rows)
static void tile_products(
    unit *u, const ck_traits *traits, ck_profile profile, const uint8_t *tile, uint32_t cols, const uint8_t *records,
    size_t stride, uint32_t groups, float *dst) {
  _Alignas(64) int32_t sums[RUN * 2 * 2 * 256];
  _Alignas(64) wide_block wide[RUN];
  const bool halves = traits->scales == CK_SCALES_HALVES || traits->scales == CK_SCALES_HALVES_MIN;
  const uint32_t parts = halves ? 2 : 1;
  const uint32_t blocks = cols / 32;
  memset(dst, 0, (size_t)groups * TILE_TOKENS * 16 * sizeof(float));
  for (uint32_t start = 0; start < blocks; start += RUN) {
    uint32_t count = blocks - start < RUN ? blocks - start : RUN;
    for (uint32_t b = 0; b < count; b++) widen(traits, tile, cols, start + b, &wide[b]);
    for (uint32_t g = 0; g < groups; g++) {
      const uint8_t *first = records + stride * TILE_TOKENS * g + record_bytes(profile) * start;
      int32_t *to = sums;
      for (uint32_t b = 0; b < count; b++) {
        for (uint32_t h = 0; h < parts; h++) {
          const uint8_t *digits = first + record_bytes(profile) * b + 16 + 16 * h;
          TILE_LOAD(u, WEIGHTS, wide[b].w[4 * h], 64);
          TILE_LOAD(u, HIGH_DIGITS, digits, stride);
          TILE_ZERO(u, HIGH_SUMS);
          TILE_DOT(u, HIGH_SUMS, HIGH_DIGITS, WEIGHTS);
          TILE_STORE(u, HIGH_SUMS, to, 64);
          to += 256;
          if (profile == CK_A8) continue;
          TILE_LOAD(u, LOW_DIGITS, digits + 32, stride);
          TILE_ZERO(u, LOW_SUMS);
          TILE_DOT(u, LOW_SUMS, LOW_DIGITS, WEIGHTS);
          TILE_STORE(u, LOW_SUMS, to, 64);
          to += 256;
        }
      }
      float *chain = dst + (size_t)g * TILE_TOKENS * 16;
      switch (traits->scales) {
        case CK_SCALES_NONE: break;
        case CK_SCALES_D: scale_d(profile, traits->bias, wide, count, sums, first, stride, chain); break;
        case CK_SCALES_DM: scale_dm(profile, traits->bias, wide, count, sums, first, stride, chain); break;
        case CK_SCALES_SUPER: scale_super(profile, traits->bias, wide, count, sums, first, stride, chain); break;
        case CK_SCALES_SUPER_MIN: scale_super_min(profile, traits->bias, wide, count, sums, first, stride, chain); break;
        case CK_SCALES_HALVES: scale_halves(profile, traits->bias, wide, count, sums, first, stride, chain); break;
        case CK_SCALES_HALVES_MIN: scale_halves_min(profile, traits->bias, wide, count, sums, first, stride, chain); break;
      }
    }
  }
}

static void products(
    const ck_matrix *matrix, const ck_input *input, uint32_t tile, uint32_t tiles, uint32_t token, uint32_t tokens,
    const uint8_t *ahead, float *dst) {
  const ck_traits *traits = ck_traits_of(matrix->type);
  uint32_t groups = traits->scales == CK_SCALES_NONE ? 0 : tokens / TILE_TOKENS;
  if (groups == 0) {
    ck_kernels_avx512.products(matrix, input, tile, tiles, token, tokens, ahead, dst);
    return;
  }
  unit u;
  bool halves = traits->scales == CK_SCALES_HALVES || traits->scales == CK_SCALES_HALVES_MIN;
  size_t tile_bytes = ck_tile_bytes(matrix->type, matrix->cols);
  uint32_t whole = groups * TILE_TOKENS;
  TILE_BEGIN(&u, halves ? 16 : 32);
  for (uint32_t i = 0; i < tiles; i++) {
    tile_products(
        &u, traits, input->profile, matrix->data + tile_bytes * (tile + i), matrix->cols,
        input->blocks + input->block_stride * token, input->block_stride, groups, dst + (size_t)i * tokens * 16);
  }
  TILE_END(&u);
  for (uint32_t i = 0; i < tiles && whole < tokens; i++) {
    ck_kernels_avx512.products(
        matrix, input, tile + i, 1, token + whole, tokens - whole, ahead, dst + ((size_t)i * tokens + whole) * 16);
  }
}
