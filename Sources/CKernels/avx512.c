// avx512.c: the level with AVX-512 and VNNI. A tile's 16 rows are the lanes; four columns of
// activations are broadcast from memory into vpdpbusd. Digits (byte limbs) of an activation v: A8
// has v itself; A12 hi = (v + 8) >> 4 and lo = v - 16 hi; A15 hi = (v + 128) >> 8 and lo = v - 256
// hi; all in -128 ... 127. Start at tile_products.
#if defined(__x86_64__)
#include "internal.h"

#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi"))), \
    apply_to = function)

typedef __m512 lanes;

CK_INLINE lanes l_zero(void) { return _mm512_setzero_ps(); }
CK_INLINE lanes l_set1(float x) { return _mm512_set1_ps(x); }
CK_INLINE lanes l_load(const float *x) { return _mm512_loadu_ps(x); }
CK_INLINE void l_store(float *y, lanes v) { _mm512_storeu_ps(y, v); }
CK_INLINE lanes l_add(lanes a, lanes b) { return _mm512_add_ps(a, b); }
CK_INLINE lanes l_sub(lanes a, lanes b) { return _mm512_sub_ps(a, b); }
CK_INLINE lanes l_mul(lanes a, lanes b) { return _mm512_mul_ps(a, b); }
CK_INLINE lanes l_div(lanes a, lanes b) { return _mm512_div_ps(a, b); }
CK_INLINE lanes l_fma(lanes a, lanes b, lanes c) { return _mm512_fmadd_ps(a, b, c); }
CK_INLINE lanes l_max(lanes a, lanes b) { return _mm512_max_ps(a, b); }
CK_INLINE lanes l_min(lanes a, lanes b) { return _mm512_min_ps(a, b); }
CK_INLINE lanes l_negate(lanes a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
CK_INLINE lanes l_half(const uint16_t *x) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)x)); }
CK_INLINE lanes l_short(const int16_t *x) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const void *)x)));
}
CK_INLINE void l_store_short(int16_t *y, lanes v) {
  _mm256_storeu_si256((void *)y, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
}
CK_INLINE lanes l_magnitude(lanes v) { return _mm512_abs_ps(v); }
CK_INLINE lanes l_pow2(lanes p, lanes n) {
  return _mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(n), 23)));
}
CK_INLINE lanes l_zero_below(lanes x, float bound, lanes y) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(bound), _CMP_NLT_UQ), y);
}
CK_INLINE lanes l_keep_nan(lanes x, lanes y) {
  lanes nan = _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000));
  return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), nan);
}
CK_INLINE float l_sum(lanes v) {
  __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
CK_INLINE float l_largest(lanes v) { return _mm512_reduce_max_ps(v); }
CK_INLINE bool l_finite(lanes v) {
  __m512i magnitude = _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
  return _mm512_cmpge_epi32_mask(magnitude, _mm512_set1_epi32(0x7f800000)) == 0;
}
CK_INLINE uint32_t l_above(lanes v, lanes bound, bool at_least) {
  return at_least ? _mm512_cmp_ps_mask(v, bound, _CMP_GE_OQ) : _mm512_cmp_ps_mask(v, bound, _CMP_GT_OQ);
}

typedef __m512i words;

CK_INLINE words w_zero(void) { return _mm512_setzero_si512(); }
CK_INLINE words w_load(const int16_t *x) { return _mm512_loadu_si512(x); }
CK_INLINE words w_pair(const int16_t *x) {
  int32_t pair;
  memcpy(&pair, x, 4);
  return _mm512_set1_epi32(pair);
}
CK_INLINE words w_dot(words sum, words x, words y) {
  // The compiler would emit two instructions for the intrinsic.
  __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y));
  return sum;
}
CK_INLINE lanes w_float(words x) { return _mm512_cvtepi32_ps(x); }

// 32 registers: up to 24 sums
#define SCORE_PAGES_FEW 4
#define SCORE_PAGES_SOME 4
#define SCORE_PAGES_MANY 2
#define SCORE_MAX_ROWS 6
#define MIX_VECTORS 4
#include "lanes.h"
#include "recurrence.h"
#include "unpack.h"

// ---------------------------------------------------------------- activations

CK_INLINE size_t record_bytes(ck_profile profile) {
  return profile == CK_A8 ? 48 : 80;
}

// Bits of the low digit, if there are two digits.
CK_INLINE unsigned low_bits_of(ck_profile profile) {
  return profile == CK_A15 ? 8 : 4;
}

// The digits of a block's integers as its record stores them: low and high half, then both again
// for the low digits.
CK_INLINE void store_digits(ck_profile profile, __m512i v0, __m512i v1, uint8_t *to) {
  if (profile == CK_A8) {
    _mm_storeu_si128((void *)to, _mm512_cvtepi32_epi8(v0));
    _mm_storeu_si128((void *)(to + 16), _mm512_cvtepi32_epi8(v1));
    return;
  }
  const unsigned bits = low_bits_of(profile);
  const __m512i half = _mm512_set1_epi32(1 << (bits - 1));
  __m512i high0 = _mm512_srai_epi32(_mm512_add_epi32(v0, half), bits);
  __m512i high1 = _mm512_srai_epi32(_mm512_add_epi32(v1, half), bits);
  __m512i low0 = _mm512_sub_epi32(v0, _mm512_slli_epi32(high0, bits));
  __m512i low1 = _mm512_sub_epi32(v1, _mm512_slli_epi32(high1, bits));
  // Each quarter has four bytes of each of the four vectors; digits have 8 bits, so nothing
  // saturates.
  __m512i bytes = _mm512_packs_epi16(_mm512_packs_epi32(high0, high1), _mm512_packs_epi32(low0, low1));
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  _mm512_storeu_si512(to, _mm512_permutexvar_epi32(order, bytes));
}

typedef enum reduction { LARGEST, SUM } reduction;

CK_INLINE __m512i reduced(const reduction kind, __m512i a, __m512i b) {
  return kind == LARGEST ? _mm512_max_epu32(a, b) : _mm512_add_epi32(a, b);
}

// Reduces the lanes of each of four vectors in as many steps as one vector takes.
CK_INLINE __m128i reduce_4(const reduction kind, __m512i a, __m512i b, __m512i c, __m512i d) {
  __m512i ab = reduced(kind, _mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  __m512i cd = reduced(kind, _mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  // Each quarter now holds one lane of each vector.
  __m512i all = reduced(kind, _mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  all = reduced(kind, all, _mm512_shuffle_i32x4(all, all, 0x4e));
  all = reduced(kind, all, _mm512_shuffle_i32x4(all, all, 0xb1));
  return _mm512_castsi512_si128(all);
}

CK_INLINE bool quantise_4_blocks(ck_profile profile, float most, const float *x, uint8_t *to) {
  const size_t bytes = record_bytes(profile);
  const __m128 top = _mm_set1_ps(most);
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512 in[8];
  __m512i largest[4], v[8];
#pragma clang loop unroll(full)
  for (int b = 0; b < 4; b++) {
    in[2 * b] = _mm512_loadu_ps(x + 32 * b);
    in[2 * b + 1] = _mm512_loadu_ps(x + 32 * b + 16);
    largest[b] = _mm512_max_epu32(
        _mm512_and_si512(_mm512_castps_si512(in[2 * b]), magnitude),
        _mm512_and_si512(_mm512_castps_si512(in[2 * b + 1]), magnitude));
  }
  const __m128i infinite = _mm_set1_epi32(0x7f800000);
  __m128i amax_bits = reduce_4(LARGEST, largest[0], largest[1], largest[2], largest[3]);
  if (_mm_cmpge_epu32_mask(amax_bits, infinite) != 0) return false;
  __m128 amax = _mm_castsi128_ps(amax_bits);
  __m128 id = _mm_div_ps(top, amax);
  __mmask8 some = _mm_cmplt_epu32_mask(_mm_castps_si128(id), infinite);
  id = _mm_maskz_mov_ps(some, id);
  __m128 d = _mm_maskz_div_ps(some, amax, top);
#pragma clang loop unroll(full)
  for (int b = 0; b < 4; b++) {
    __m512 each = _mm512_broadcastss_ps(_mm_permutevar_ps(id, _mm_set1_epi32(b)));
    v[2 * b] = _mm512_cvtps_epi32(_mm512_mul_ps(in[2 * b], each));
    v[2 * b + 1] = _mm512_cvtps_epi32(_mm512_mul_ps(in[2 * b + 1], each));
    store_digits(profile, v[2 * b], v[2 * b + 1], to + bytes * b + 16);
  }
  __m128i low = reduce_4(SUM, v[0], v[2], v[4], v[6]);
  __m128i high = reduce_4(SUM, v[1], v[3], v[5], v[7]);
  __m128 s = _mm_mul_ps(d, _mm_cvtepi32_ps(_mm_add_epi32(low, high)));
  // Each block's d, s and two sums.
  __m128i ds_low = _mm_castps_si128(_mm_unpacklo_ps(d, s)), ds_high = _mm_castps_si128(_mm_unpackhi_ps(d, s));
  __m128i sums_low = _mm_unpacklo_epi32(low, high), sums_high = _mm_unpackhi_epi32(low, high);
  _mm_storeu_si128((void *)to, _mm_unpacklo_epi64(ds_low, sums_low));
  _mm_storeu_si128((void *)(to + bytes), _mm_unpackhi_epi64(ds_low, sums_low));
  _mm_storeu_si128((void *)(to + 2 * bytes), _mm_unpacklo_epi64(ds_high, sums_high));
  _mm_storeu_si128((void *)(to + 3 * bytes), _mm_unpackhi_epi64(ds_high, sums_high));
  return true;
}

CK_INLINE bool quantise_as(const ck_profile profile, const float *x, uint32_t cols, uint8_t *to) {
  const float top = ck_profile_top(profile);
  // The input may still be in other cores' caches: prefetching all of it at once overlaps those
  // transfers.
  for (uint32_t i = 0; i < cols; i += 16) _mm_prefetch((const char *)(x + i), _MM_HINT_T0);
  const size_t bytes = record_bytes(profile);
  uint32_t blocks = cols / 32;
  for (; blocks >= 4; blocks -= 4, x += 4 * 32, to += 4 * bytes) {
    if (!quantise_4_blocks(profile, top, x, to)) return false;
  }
  if (blocks == 0) return true;
  float rest[4 * 32] = {0};
  uint8_t made[4 * 80];
  memcpy(rest, x, blocks * 32 * sizeof *rest);
  if (!quantise_4_blocks(profile, top, rest, made)) return false;
  memcpy(to, made, blocks * bytes);
  return true;
}

static bool quantise(ck_profile profile, const float *x, uint32_t cols, void *out) {
  switch (profile) {
    case CK_A8: return quantise_as(CK_A8, x, cols, out);
    case CK_A12: return quantise_as(CK_A12, x, cols, out);
    case CK_A15: break;
  }
  return quantise_as(CK_A15, x, cols, out);
}

static void blocks_read(
    ck_profile profile, const void *blocks, uint32_t block, int16_t *v, float *d, float *s) {
  const uint8_t *record = (const uint8_t *)blocks + record_bytes(profile) * block;
  memcpy(d, record, 4);
  memcpy(s, record + 4, 4);
  for (int i = 0; i < 32; i++) {
    int16_t digit = (int8_t)record[16 + i];
    v[i] = profile == CK_A8 ? digit : (int16_t)(digit * (1 << low_bits_of(profile)) + (int8_t)record[48 + i]);
  }
}

// ---------------------------------------------------------------- weights

CK_INLINE __m512i broadcast(const uint8_t *p) {
  int32_t word;
  memcpy(&word, p, 4);
  return _mm512_set1_epi32(word);
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

// Sum over groups first ..< end of w * v, exact, minus the bias of the weights times `sum`.
CK_INLINE __m512i dot(
    const ck_profile profile, const int bias, const __m512i w[8], const uint8_t *digits, int first, int end,
    int32_t sum) {
  __m512i low = bias == 0 ? _mm512_setzero_si512() : _mm512_set1_epi32(-bias * sum);
  if (profile == CK_A8) {
    for (int g = first; g < end; g++) low = _mm512_dpbusd_epi32(low, w[g], broadcast(digits + 4 * g));
    return low;
  }
  __m512i high = _mm512_setzero_si512();
  for (int g = first; g < end; g++) {
    high = _mm512_dpbusd_epi32(high, w[g], broadcast(digits + 4 * g));
    low = _mm512_dpbusd_epi32(low, w[g], broadcast(digits + 32 + 4 * g));
  }
  return _mm512_add_epi32(_mm512_slli_epi32(high, low_bits_of(profile)), low);
}

CK_INLINE __m512 bytes_float(const uint8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p)));
}

// A block's scales, of 16 rows: its factor and what its minimums are multiplied by, and of halves, or of
// odd numbers, the integers.
typedef struct block_scales {
  __m512 d;
  __m512 m;
  __m512i sc[2];
  __m512i mn[2];
  __m512i side;
} block_scales;

// - d, dmin: those of its 256 columns, where there are such
// - at: moved to the next block
CK_INLINE block_scales scales_of(
    const ck_shape s, __m512 d, __m512 dmin, const uint8_t **at, const uint8_t *quants) {
  const uint8_t *scales = *at;
  __m512i none = _mm512_setzero_si512();
  block_scales b = {.d = d, .m = dmin, .sc = {none, none}, .mn = {none, none}, .side = none};
  switch (s.scales) {
    case CK_SCALES_D:
      b.d = l_half((const void *)scales);
      scales += 32;
      break;
    case CK_SCALES_DM:
      b.d = l_half((const void *)scales);
      b.m = l_half((const void *)(scales + 32));
      scales += 64;
      break;
    case CK_SCALES_POWER:
      b.d = powers(scales);
      scales += 16;
      break;
    case CK_SCALES_SUPER: {
      __m128i bytes = _mm_loadu_si128((const void *)scales);
      b.d = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
      scales += 16;
      break;
    }
    case CK_SCALES_SUPER_MIN:
      b.d = _mm512_mul_ps(d, bytes_float(scales));
      b.m = l_negate(_mm512_mul_ps(dmin, bytes_float(scales + 16)));
      scales += 32;
      break;
    case CK_SCALES_HALVES:
      for (int h = 0; h < 2; h++) {
        b.sc[h] = _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(scales + 16 * h)));
      }
      scales += 32;
      break;
    case CK_SCALES_HALVES_MIN:
      for (int h = 0; h < 2; h++) {
        __m512i both = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(scales + 16 * h)));
        b.sc[h] = _mm512_and_si512(both, _mm512_set1_epi32(15));
        b.mn[h] = _mm512_srli_epi32(both, 4);
      }
      b.m = l_negate(dmin);
      scales += 32;
      break;
    case CK_SCALES_ODD:
    case CK_SCALES_ODD_HALVES:
      b.side = sides(s, scales, quants);
      if (s.scales == CK_SCALES_ODD) b.d = _mm512_mul_ps(d, _mm512_cvtepi32_ps(odd_scales(s, b.side, 0)));
      for (int h = 0; h < 2 && ck_is_halves(s.scales); h++) b.sc[h] = odd_scales(s, b.side, h);
      scales += 16 * ck_grids[s.book].side_bytes;
      break;
    case CK_SCALES_SHARED:
    case CK_SCALES_NONE: break;
  }
  *at = scales;
  return b;
}

// The factor of 256 columns, and that of their minimums; moves `at` behind them.
CK_INLINE __m512 shared_scales(const ck_shape s, const uint8_t **at, __m512 *dmin) {
  __m512 d = l_half((const void *)*at);
  const float factor = ck_grids[s.book].factor;
  if (factor != 1) d = _mm512_mul_ps(d, _mm512_set1_ps(factor));
  *at += 32;
  if (s.scales == CK_SCALES_SUPER_MIN || s.scales == CK_SCALES_HALVES_MIN) {
    *dmin = l_half((const void *)*at);
    *at += 32;
  }
  return d;
}

// One tile of 16 rows against T tokens: the chain of N1 item 3 in T registers.
CK_INLINE void tile_products(
    const ck_shape s, const ck_profile profile, const uint32_t T, const uint8_t *scales, const uint8_t *quants,
    ck_ahead ahead, uint32_t blocks, const uint8_t *records, size_t stride, float *dst) {
  const bool super = ck_is_super(s.scales);
  const bool halves = ck_is_halves(s.scales);
  const int lines = ck_lines(s.low_bits, s.high_bits, s.book);
  const uint32_t run = super ? 8 : 1;
  __m512 sums[16];
  for (uint32_t t = 0; t < T; t++) sums[t] = _mm512_setzero_ps();
  for (uint32_t start = 0; start < blocks; start += run) {
    __m512 d = _mm512_setzero_ps();
    __m512 dmin = _mm512_setzero_ps();
    if (super) d = shared_scales(s, &scales, &dmin);
    for (uint32_t i = 0; i < run; i++) {
      __m512i w[8];
      const block_scales b = scales_of(s, d, dmin, &scales, quants);
      unpack(s, quants, b.side, w);
      // With few tokens a tile is memory-bound, and its own loads are too few to hide the latency:
      // prefetch.
      _mm_prefetch((const char *)(scales + ahead.scales), _MM_HINT_T1);
      for (int line = 0; line < lines; line++) {
        _mm_prefetch((const char *)(quants + ahead.quants + 64 * line), _MM_HINT_T1);
        _mm_prefetch((const char *)(quants + ahead.near + 64 * line), _MM_HINT_T0);
      }
#pragma clang loop unroll(full)
      for (uint32_t t = 0; t < T; t++) {
        const uint8_t *record = records + stride * t;
        const uint8_t *digits = record + 16;
        __m512i isum;
        if (halves) {
          __m512i first = dot(profile, s.bias, w, digits, 0, 4, load_int(record + 8));
          __m512i second = dot(profile, s.bias, w, digits, 4, 8, load_int(record + 12));
          isum = _mm512_add_epi32(_mm512_mullo_epi32(first, b.sc[0]), _mm512_mullo_epi32(second, b.sc[1]));
        } else {
          isum = dot(profile, s.bias, w, digits, 0, 8, load_int(record + 8) + load_int(record + 12));
        }
        __m512 scale = _mm512_mul_ps(b.d, broadcast_float(record));
        sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum), scale, sums[t]);
        if (s.scales == CK_SCALES_DM || s.scales == CK_SCALES_SUPER_MIN) {
          sums[t] = _mm512_fmadd_ps(b.m, broadcast_float(record + 4), sums[t]);
        }
        if (s.scales == CK_SCALES_HALVES_MIN) {
          __m512i minimum = _mm512_add_epi32(
              _mm512_mullo_epi32(b.mn[0], broadcast(record + 8)),
              _mm512_mullo_epi32(b.mn[1], broadcast(record + 12)));
          __m512 sum = _mm512_mul_ps(broadcast_float(record), _mm512_cvtepi32_ps(minimum));
          sums[t] = _mm512_fmadd_ps(b.m, sum, sums[t]);
        }
      }
      quants += lines * 64;
      records += record_bytes(profile);
    }
  }
  for (uint32_t t = 0; t < T; t++) _mm512_storeu_ps(dst + 16 * t, sums[t]);
}

typedef struct job {
  const uint8_t *tile;
  size_t scales_bytes;
  ck_ahead ahead;
  uint32_t blocks;
  const uint8_t *records;
  size_t stride;
  uint32_t tokens;
  float *dst;
} job;

#define TILE(name, s, profile, T)                                                                     \
  static __attribute__((noinline)) void name##_##T(const job *j, uint32_t token) {                    \
    tile_products(                                                                                    \
        s, profile, T, j->tile, j->tile + j->scales_bytes, j->ahead, j->blocks,                       \
        j->records + j->stride * token, j->stride, j->dst + 16 * token);                              \
  }

#define TILES(name, s, profile)                                      \
  TILE(name, s, profile, 1)                                          \
  TILE(name, s, profile, 2)                                          \
  TILE(name, s, profile, 4)                                          \
  TILE(name, s, profile, 8)                                          \
  static void name(const job *j) {                                   \
    uint32_t token = 0;                                              \
    for (; j->tokens - token >= 8; token += 8) name##_8(j, token);   \
    if (((j->tokens - token) & 4) != 0) {                            \
      name##_4(j, token);                                            \
      token += 4;                                                    \
    }                                                                \
    if (((j->tokens - token) & 2) != 0) {                            \
      name##_2(j, token);                                            \
      token += 2;                                                    \
    }                                                                \
    if (token < j->tokens) name##_1(j, token);                       \
  }

#define TYPE(type, name, number, values, bytes, d, m, ...)                         \
  static const ck_shape name##_shape = {__VA_ARGS__}; \
  TILES(name##_a8, name##_shape, CK_A8)               \
  TILES(name##_a12, name##_shape, CK_A12)             \
  TILES(name##_a15, name##_shape, CK_A15)

CK_BLOCK_TYPES(TYPE)

// ---------------------------------------------------------------- float weights

CK_INLINE __m512 float_weights(const ck_type type, const uint8_t *p) {
  if (type == CK_F32) return _mm512_loadu_ps(p);
  if (type == CK_F16) return l_half((const void *)p);
  __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

// N tiles against T tokens, N * T chains.
CK_INLINE void float_tile(
    const ck_type type, const uint32_t N, const uint32_t T, const uint8_t *tile, size_t tile_bytes,
    ptrdiff_t ahead, uint32_t cols, const float *x, size_t stride, float *dst, size_t dst_stride) {
  const size_t step = type == CK_F32 ? 64 : 32;
  __m512 sums[16];
  for (uint32_t i = 0; i < N * T; i++) sums[i] = _mm512_setzero_ps();
  for (uint32_t k = 0; k < cols; k++) {
    __m512 w[4];
    for (uint32_t n = 0; n < N; n++) {
      w[n] = float_weights(type, tile + tile_bytes * n + step * k);
      if (N == 4 && (type == CK_F32 || k % 2 == 0)) {
        _mm_prefetch((const char *)(tile + tile_bytes * n + step * k + ahead), _MM_HINT_T1);
      }
    }
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < T; t++) {
      __m512 v = _mm512_set1_ps(x[stride * t + k]);
      for (uint32_t n = 0; n < N; n++) sums[n * T + t] = _mm512_fmadd_ps(w[n], v, sums[n * T + t]);
    }
  }
  for (uint32_t n = 0; n < N; n++) {
    for (uint32_t t = 0; t < T; t++) _mm512_storeu_ps(dst + dst_stride * n + 16 * t, sums[n * T + t]);
  }
}

typedef struct float_job {
  const uint8_t *tile;
  size_t tile_bytes;
  ptrdiff_t ahead;
  uint32_t cols;
  const float *x;
  size_t stride;
  float *dst;
  size_t dst_stride;
} float_job;

#define FLOAT_TILE(name, type, N, T)                                                                      \
  static __attribute__((noinline)) void name##_##N##_##T(const float_job *j, uint32_t n, uint32_t t) {    \
    float_tile(                                                                                           \
        type, N, T, j->tile + j->tile_bytes * n, j->tile_bytes, j->ahead, j->cols, j->x + j->stride * t,  \
        j->stride, j->dst + j->dst_stride * n + 16 * t, j->dst_stride);                                   \
  }

#define FLOAT_TYPE(name, type)                                                                        \
  FLOAT_TILE(name, type, 4, 1)                                                                        \
  FLOAT_TILE(name, type, 4, 2)                                                                        \
  FLOAT_TILE(name, type, 4, 4)                                                                        \
  FLOAT_TILE(name, type, 1, 1)                                                                        \
  FLOAT_TILE(name, type, 1, 2)                                                                        \
  FLOAT_TILE(name, type, 1, 4)                                                                        \
  FLOAT_TILE(name, type, 1, 16)                                                                       \
  static void name(const float_job *j, uint32_t tiles, uint32_t tokens) {                             \
    uint32_t n = 0;                                                                                   \
    for (; tiles - n >= 4; n += 4) {                                                                  \
      uint32_t t = 0;                                                                                 \
      for (; tokens - t >= 4; t += 4) name##_4_4(j, n, t);                                            \
      for (; tokens - t >= 2; t += 2) name##_4_2(j, n, t);                                            \
      if (t < tokens) name##_4_1(j, n, t);                                                            \
    }                                                                                                 \
    for (; n < tiles; n++) {                                                                          \
      uint32_t t = 0;                                                                                 \
      for (; tokens - t >= 16; t += 16) name##_1_16(j, n, t);                                         \
      for (; tokens - t >= 4; t += 4) name##_1_4(j, n, t);                                            \
      for (; tokens - t >= 2; t += 2) name##_1_2(j, n, t);                                            \
      if (t < tokens) name##_1_1(j, n, t);                                                            \
    }                                                                                                 \
  }

FLOAT_TYPE(f32, CK_F32)
FLOAT_TYPE(f16, CK_F16)
FLOAT_TYPE(bf16, CK_BF16)

static void float_products(
    const ck_matrix *matrix, const ck_input *input, uint32_t tile, uint32_t tiles, uint32_t token,
    uint32_t tokens, const uint8_t *ahead, float *dst) {
  size_t tile_bytes = ck_tile_bytes(matrix->type, matrix->cols);
  float_job j = {
      .tile = matrix->data + tile_bytes * tile,
      .tile_bytes = tile_bytes,
      // four big tiles side by side prefetch within themselves
      .ahead = tile_bytes > 2 * CK_BIG_TILE ? CK_AHEAD / 4
                                            : distance_to(ahead, matrix->data + tile_bytes * tile),
      .cols = matrix->cols,
      .x = input->values + input->value_stride * token,
      .stride = input->value_stride,
      .dst = dst,
      .dst_stride = (size_t)tokens * 16,
  };
  switch (matrix->type) {
    case CK_F32: f32(&j, tiles, tokens); break;
    case CK_F16: f16(&j, tiles, tokens); break;
    default: bf16(&j, tiles, tokens); break;
  }
}

#define RUN(name)                              \
  (input->profile == CK_A15   ? name##_a15(&j) \
   : input->profile == CK_A12 ? name##_a12(&j) \
                              : name##_a8(&j))

// float types have separate kernels
#define NO_KERNEL(type, ...) \
  case CK_##type: break;

#define RUN_TYPE(type, name, ...) \
  case CK_##type: RUN(name); break;

void ck_avx512_products(
    const ck_matrix *matrix, const ck_input *input, uint32_t tile, uint32_t tiles, uint32_t token,
    uint32_t tokens, const uint8_t *ahead, float *dst) {
  if (!ck_type_takes_blocks(matrix->type)) {
    float_products(matrix, input, tile, tiles, token, tokens, ahead, dst);
    return;
  }
  size_t tile_bytes = ck_tile_bytes(matrix->type, matrix->cols);
  job j = {
      .tile = matrix->data + tile_bytes * tile,
      .scales_bytes = ck_scales_bytes(ck_traits_of(matrix->type), matrix->cols),
      .ahead = ck_ahead_of(tile_bytes, distance_to(ahead, matrix->data + tile_bytes * tile)),
      .blocks = matrix->cols / 32,
      .records = input->blocks + input->block_stride * token,
      .stride = input->block_stride,
      .tokens = tokens,
      .dst = dst,
  };
  for (uint32_t i = 0; i < tiles; i++) {
    switch (matrix->type) {
      CK_BLOCK_TYPES(RUN_TYPE)
      CK_FLOAT_TYPES(NO_KERNEL)
    }
    j.tile += tile_bytes;
    j.dst += (size_t)tokens * 16;
  }
}

#include "pairs.h"

// ---------------------------------------------------------------- positions

static void rope(
    ck_rope_style style, float *x, uint32_t heads, uint32_t head_size, uint32_t pairs, const float *table) {
  for (uint32_t h = 0; h < heads; h++) {
    float *head = x + (size_t)h * head_size;
    if (style == CK_ROPE_INTERLEAVED) {
      const __m512 flip = _mm512_castsi512_ps(_mm512_set1_epi64(0x80000000));
      for (uint32_t i = 0; i < 2 * pairs; i += 16) {
        uint32_t left = 2 * pairs - i;
        __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
        __m512 v = _mm512_maskz_loadu_ps(mask, head + i);
        __m512 angles = _mm512_maskz_loadu_ps(mask, table + i);
        __m512 swapped = _mm512_permute_ps(v, 0xb1);
        __m512 sine = _mm512_xor_ps(_mm512_movehdup_ps(angles), flip);
        __m512 straight = _mm512_mul_ps(v, _mm512_moveldup_ps(angles));
        _mm512_mask_storeu_ps(head + i, mask, _mm512_fmadd_ps(swapped, sine, straight));
      }
    } else {
      const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
      const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
      for (uint32_t i = 0; i < pairs; i += 16) {
        uint32_t left = pairs - i;
        uint32_t low = left >= 8 ? 16 : 2 * left;
        uint32_t high = left >= 16 ? 16 : left > 8 ? 2 * left - 16 : 0;
        __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
        __m512 t0 = _mm512_maskz_loadu_ps((__mmask16)((1u << low) - 1), table + 2 * i);
        __m512 t1 = _mm512_maskz_loadu_ps((__mmask16)((1u << high) - 1), table + 2 * i + 16);
        __m512 cosine = _mm512_permutex2var_ps(t0, even, t1);
        __m512 sine = _mm512_permutex2var_ps(t0, odd, t1);
        __m512 x0 = _mm512_maskz_loadu_ps(mask, head + i);
        __m512 x1 = _mm512_maskz_loadu_ps(mask, head + pairs + i);
        __m512 o0 = _mm512_fmadd_ps(l_negate(x1), sine, _mm512_mul_ps(x0, cosine));
        __m512 o1 = _mm512_fmadd_ps(x0, sine, _mm512_mul_ps(x1, cosine));
        _mm512_mask_storeu_ps(head + i, mask, o0);
        _mm512_mask_storeu_ps(head + pairs + i, mask, o1);
      }
    }
  }
}

#pragma clang attribute pop

#define TABLE(name, tile_kernel, grouping, bytes, together)\
  const ck_kernels name = {     \
    .quantise = quantise,       \
    .group = grouping,          \
    .group_bytes = bytes,       \
    .takes_tiles = together,    \
    .blocks_read = blocks_read, \
    .products = tile_kernel,    \
    .rms_norm = rms_norm,       \
    .exp = vector_exp,          \
    .silu = vector_silu,        \
    .tanh = vector_tanh,        \
    .gate = vector_gate,        \
    .add = vector_add,          \
    .sigmoid_gate = vector_sigmoid_gate, \
    .softplus = vector_softplus, \
    .unit = unit,               \
    .convolve = convolve,       \
    .recur = recur,             \
    .integers = integers,       \
    .all_finite = all_finite,   \
    .rope = rope,               \
    .scores = scores,           \
    .weights = weights_of,      \
    .sum = sum_of,              \
    .tree = tree_of,            \
    .mix = mix,                 \
    .maximum = maximum_of,      \
    .find_above = find_above,   \
  };

TABLE(ck_kernels_avx512, many_products, pair_up, sizeof(pair_block), false)
TABLE(ck_kernels_amx, ck_amx_products, ck_amx_group, sizeof(ck_group_block), true)
TABLE(ck_kernels_amx_emulated, ck_amx_emulated_products, ck_amx_emulated_group, sizeof(ck_group_block), true)

#endif
