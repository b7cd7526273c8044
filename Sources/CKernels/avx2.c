// avx2.c: the level with AVX2, FMA and F16C. A tile's rows are the lanes, 8 at a time. Weights are
// widened to 16-bit pairs of columns (0, 2) and (1, 3) of a group; activations are stored in that
// order; vpmaddwd multiplies them. Start at half_products.
#if defined(__x86_64__)
#include "internal.h"

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi"))), apply_to = function)

typedef struct lanes {
  __m256 a;
  __m256 b;
} lanes;

#define BOTH(x, y) ((lanes){(x), (y)})

CK_INLINE lanes l_zero(void) { return BOTH(_mm256_setzero_ps(), _mm256_setzero_ps()); }
CK_INLINE lanes l_set1(float x) { return BOTH(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
CK_INLINE lanes l_load(const float *x) { return BOTH(_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)); }
CK_INLINE void l_store(float *y, lanes v) {
  _mm256_storeu_ps(y, v.a);
  _mm256_storeu_ps(y + 8, v.b);
}
CK_INLINE lanes l_add(lanes x, lanes y) { return BOTH(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
CK_INLINE lanes l_sub(lanes x, lanes y) { return BOTH(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
CK_INLINE lanes l_mul(lanes x, lanes y) { return BOTH(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
CK_INLINE lanes l_div(lanes x, lanes y) { return BOTH(_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)); }
CK_INLINE lanes l_fma(lanes x, lanes y, lanes z) {
  return BOTH(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b));
}
CK_INLINE lanes l_max(lanes x, lanes y) { return BOTH(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); }
CK_INLINE lanes l_min(lanes x, lanes y) { return BOTH(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)); }
CK_INLINE __m256 negated(__m256 x) { return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f)); }
CK_INLINE lanes l_negate(lanes x) { return BOTH(negated(x.a), negated(x.b)); }
CK_INLINE __m256 half8(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
CK_INLINE lanes l_half(const uint16_t *x) { return BOTH(half8(x), half8(x + 8)); }
CK_INLINE __m256 short8(const int16_t *x) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const void *)x)));
}
CK_INLINE lanes l_short(const int16_t *x) { return BOTH(short8(x), short8(x + 8)); }
CK_INLINE void l_store_short(int16_t *y, lanes v) {
  __m256i packed = _mm256_packs_epi32(_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b));
  _mm256_storeu_si256((void *)y, _mm256_permute4x64_epi64(packed, 0xd8));
}
CK_INLINE __m256 magnitude8(__m256 v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
CK_INLINE lanes l_magnitude(lanes v) { return BOTH(magnitude8(v.a), magnitude8(v.b)); }
CK_INLINE __m256 pow2(__m256 p, __m256 n) {
  __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(n), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
}
CK_INLINE lanes l_pow2(lanes p, lanes n) { return BOTH(pow2(p.a, n.a), pow2(p.b, n.b)); }
CK_INLINE lanes l_zero_below(lanes x, float bound, lanes y) {
  __m256 limit = _mm256_set1_ps(bound);
  return BOTH(
      _mm256_and_ps(_mm256_cmp_ps(x.a, limit, _CMP_NLT_UQ), y.a),
      _mm256_and_ps(_mm256_cmp_ps(x.b, limit, _CMP_NLT_UQ), y.b));
}
CK_INLINE lanes l_keep_nan(lanes x, lanes y) {
  __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000));
  return BOTH(
      _mm256_blendv_ps(y.a, nan, _mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q)),
      _mm256_blendv_ps(y.b, nan, _mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q)));
}
CK_INLINE float l_sum(lanes v) {
  __m256 eight = _mm256_add_ps(v.a, v.b);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
CK_INLINE float l_largest(lanes v) {
  __m256 eight = _mm256_max_ps(v.a, v.b);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
CK_INLINE bool finite8(__m256 v) {
  __m256i magnitude = _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff));
  __m256i above = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f7fffff));
  return _mm256_testz_si256(above, above);
}
CK_INLINE bool l_finite(lanes v) { return finite8(v.a) && finite8(v.b); }
CK_INLINE uint32_t l_above(lanes v, lanes bound, bool at_least) {
  __m256 a;
  __m256 b;
  if (at_least) {
    a = _mm256_cmp_ps(v.a, bound.a, _CMP_GE_OQ);
    b = _mm256_cmp_ps(v.b, bound.b, _CMP_GE_OQ);
  } else {
    a = _mm256_cmp_ps(v.a, bound.a, _CMP_GT_OQ);
    b = _mm256_cmp_ps(v.b, bound.b, _CMP_GT_OQ);
  }
  return (uint32_t)_mm256_movemask_ps(a) | (uint32_t)_mm256_movemask_ps(b) << 8;
}

typedef struct words {
  __m256i a;
  __m256i b;
} words;

CK_INLINE words w_zero(void) { return (words){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
CK_INLINE words w_load(const int16_t *x) {
  return (words){_mm256_loadu_si256((const void *)x), _mm256_loadu_si256((const void *)(x + 16))};
}
CK_INLINE words w_pair(const int16_t *x) {
  int32_t pair;
  memcpy(&pair, x, 4);
  return (words){_mm256_set1_epi32(pair), _mm256_set1_epi32(pair)};
}
CK_INLINE words w_dot(words sum, words x, words y) {
  return (words){
      _mm256_add_epi32(sum.a, _mm256_madd_epi16(x.a, y.a)), _mm256_add_epi32(sum.b, _mm256_madd_epi16(x.b, y.b))};
}
CK_INLINE lanes w_float(words x) { return BOTH(_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)); }

// 16 registers of 8 lanes: up to 6 sums of 16 lanes
#define SCORE_PAGES_FEW 2
#define SCORE_PAGES_SOME 1
#define SCORE_PAGES_MANY 1
#define SCORE_MAX_ROWS 3
#define MIX_VECTORS 1
#include "lanes.h"
#include "recurrence.h"

// ---------------------------------------------------------------- activations

static bool quantise(ck_profile profile, const float *x, uint32_t cols, void *out) {
  ck_record *record = out;
  float top = ck_profile_top(profile);
  __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  for (uint32_t b = 0; b < cols / 32; b++, record++) {
    __m256 in[4];
    __m256i largest = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
      in[i] = _mm256_loadu_ps(x + (size_t)b * 32 + 8 * i);
      largest = _mm256_max_epu32(largest, _mm256_and_si256(_mm256_castps_si256(in[i]), magnitude));
    }
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    __m128i two = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    uint32_t amax_bits = (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(two, _mm_shuffle_epi32(two, 0xb1)));
    if (amax_bits >= 0x7f800000) return false;
    float amax = ck_bits_float(amax_bits);
    float id = top / amax;
    record->d = amax / top;
    if (ck_float_bits(id) >= 0x7f800000) {
      id = 0;
      record->d = 0;
    }
    __m256i v[4];
    for (int i = 0; i < 4; i++) v[i] = _mm256_cvtps_epi32(_mm256_mul_ps(in[i], _mm256_set1_ps(id)));
    for (int h = 0; h < 2; h++) {
      __m256i both = _mm256_add_epi32(v[2 * h], v[2 * h + 1]);
      __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
      sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
      record->sum[h] = _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
    }
    record->s = record->d * (float)(record->sum[0] + record->sum[1]);
    // columns 0 1 2 3 of each group to 0 2 1 3
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    for (int i = 0; i < 4; i++) {
      __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v[i]), _mm256_extracti128_si256(v[i], 1));
      _mm_storeu_si128((void *)(record->digits + 16 * i), _mm_shuffle_epi8(words, order));
    }
  }
  return true;
}

static void blocks_read(
    ck_profile profile, const void *blocks, uint32_t block, int16_t *v, float *d, float *s) {
  (void)profile;
  const ck_record *record = (const ck_record *)blocks + block;
  *d = record->d;
  *s = record->s;
  for (int i = 0; i < 32; i++) {
    int at = i / 4 * 4 + (i % 4 == 1 ? 2 : i % 4 == 2 ? 1 : i % 4);
    memcpy(&v[i], record->digits + 2 * at, 2);
  }
}

// ---------------------------------------------------------------- weights

CK_INLINE __m256i load32(const uint8_t *p) { return _mm256_loadu_si256((const void *)p); }

CK_INLINE __m256i moved(__m256i v, int shift, int to, int mask) {
  __m256i at = shift > to ? _mm256_srli_epi16(v, shift - to)
      : shift < to        ? _mm256_slli_epi16(v, to - shift)
                          : v;
  return _mm256_and_si256(at, _mm256_set1_epi8((char)mask));
}

// The stored integers of group g of 8 rows as bytes; `quants` already points at the rows' half of the
// first vector.
CK_INLINE __m256i stored_integers(const ck_shape s, const uint8_t *quants, int g) {
  const uint8_t *high = quants + s.low_bits * 64;
  __m256i w;
  if (s.low_bits == 8) {
    w = load32(quants + 64 * g);
  } else if (s.low_bits == 4) {
    w = moved(load32(quants + 64 * (g % 4)), g / 4 * 4, 0, 15);
  } else {
    w = moved(load32(quants + 64 * (g / 4)), g % 4 * 2, 0, 3);
  }
  if (s.high_bits == 1) {
    w = _mm256_or_si256(w, moved(load32(high), g, s.low_bits, 1 << s.low_bits));
  }
  if (s.high_bits == 2) {
    w = _mm256_or_si256(w, moved(load32(high + 64 * (g / 4)), g % 4 * 2, s.low_bits, 3 << s.low_bits));
  }
  return w;
}

// The weights of stored integers, plus their bias.
CK_INLINE __m256i weights_of_stored(const ck_shape s, __m256i stored) {
  if (s.book == CK_BOOK_NONE) return stored;
  __m128i values = _mm_loadu_si128((const void *)ck_books[s.book]);
  values = _mm_add_epi8(values, _mm_set1_epi8((char)s.bias));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), stored);
}

// The sides of 8 rows (ck_grid). `scales` points at those of 16.
CK_INLINE __m256i sides(const ck_shape s, const uint8_t *scales, const uint8_t *quants, uint32_t half) {
  const ck_grid grid = ck_grids[s.book];
  __m256i side = _mm256_setzero_si256();
  if (grid.side_bytes == 1) side = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(scales + 8 * half)));
  if (grid.side_bytes >= 2) side = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(scales + 16 * half)));
  if (grid.side_bytes == 3) {
    __m256i third = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(scales + 32 + 8 * half)));
    side = _mm256_or_si256(side, _mm256_slli_epi32(third, 16));
  }
  if (!grid.has_spare) return side;
  // Bits 25, 27, 29 and 31 of the signs move together.
  __m256i spare = _mm256_srli_epi32(load32(quants + ck_index_bytes(s.book)), 25);
  spare = _mm256_and_si256(spare, _mm256_set1_epi32(0x55));
  spare = _mm256_and_si256(_mm256_or_si256(spare, _mm256_srli_epi32(spare, 1)), _mm256_set1_epi32(0x33));
  spare = _mm256_and_si256(_mm256_or_si256(spare, _mm256_srli_epi32(spare, 2)), _mm256_set1_epi32(0x0f));
  return _mm256_or_si256(side, _mm256_slli_epi32(spare, 8 * grid.side_bytes));
}

// The scales of 8 rows from their sides: of all columns, or of a half.
CK_INLINE __m256i odd_scales(const ck_shape s, __m256i side, int half) {
  const ck_grid grid = ck_grids[s.book];
  __m256i n = _mm256_srli_epi32(side, grid.scale_at + 4 * half);
  n = _mm256_and_si256(n, _mm256_set1_epi32(grid.scale_mask));
  return _mm256_add_epi32(_mm256_add_epi32(n, n), _mm256_set1_epi32(1));
}

// The plane of signs, complete: where a sign is the parity of seven, as in unpack.h.
CK_INLINE __m256i sign_plane(const ck_shape s, const uint8_t *quants) {
  __m256i signs = load32(quants + ck_index_bytes(s.book));
  if (!ck_grids[s.book].has_spare) return signs;
  signs = _mm256_and_si256(signs, _mm256_set1_epi32(0x55ffffff));
  __m256i parity = _mm256_xor_si256(signs, _mm256_srli_epi32(signs, 1));
  parity = _mm256_xor_si256(parity, _mm256_srli_epi32(parity, 16));
  parity = _mm256_xor_si256(parity, _mm256_srli_epi32(parity, 8));
  parity = _mm256_and_si256(parity, _mm256_set1_epi32(0x55));
  return _mm256_or_si256(signs, _mm256_slli_epi32(parity, 25));
}

// Point p of 8 rows.
CK_INLINE __m256i points_at(const ck_shape s, const uint8_t *indices, __m256i side, int p) {
  const ck_grid grid = ck_grids[s.book];
  __m256i index = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(indices + 16 * p)));
  if (grid.high_bits != 0) {
    __m256i high = _mm256_srli_epi32(side, grid.high_at + grid.high_step * p);
    high = _mm256_and_si256(high, _mm256_set1_epi32((1 << grid.high_bits) - 1));
    index = _mm256_or_si256(index, _mm256_slli_epi32(high, 8));
  }
  return _mm256_i32gather_epi32((const int *)ck_points + grid.first, index, 4);
}

// The stored integers of group g of 8 rows, from the point that it belongs to.
CK_INLINE __m256i grid_integers(const ck_shape s, __m256i point, __m256i side, __m256i signs, int g) {
  const ck_grid grid = ck_grids[s.book];
  if (grid.columns == 8) point = moved(point, g % 2 * 4, 0, 15);
  if (grid.delta_at < 0) return _mm256_or_si256(point, moved(signs, g, s.low_bits, 1 << s.low_bits));
  __m256i bit = _mm256_set1_epi32((int)(1u << (grid.delta_at + grid.delta_step * (g / 2))));
  __m256i delta = _mm256_cmpeq_epi32(_mm256_and_si256(side, bit), bit);
  return _mm256_or_si256(point, _mm256_and_si256(delta, _mm256_set1_epi8((char)(1 << s.low_bits))));
}

CK_INLINE __m256i broadcast(const void *p) {
  int32_t word;
  memcpy(&word, p, 4);
  return _mm256_set1_epi32(word);
}

CK_INLINE __m256 signed_bytes(const uint8_t *p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
}

CK_INLINE __m256 unsigned_bytes(const uint8_t *p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p)));
}

// As ck_power_float.
CK_INLINE __m256 powers(const uint8_t *p) {
  __m256i exponent = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p));
  __m256i one = _mm256_set1_epi32(1);
  __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(exponent, one), 23);
  __m256i subnormal = _mm256_slli_epi32(_mm256_add_epi32(exponent, one), 21);
  return _mm256_castsi256_ps(_mm256_blendv_epi8(subnormal, normal, _mm256_cmpgt_epi32(exponent, one)));
}

// Eight rows of a tile against T tokens. `scales` and `quants` point at the first block; `half` is
// 0 or 1.
CK_INLINE void half_products(
    const ck_shape s, const uint32_t T, const uint8_t *scales, const uint8_t *quants, uint32_t half,
    ck_ahead ahead, uint32_t blocks, const ck_record *records, size_t stride, float *dst) {
  const bool super = ck_is_super(s.scales);
  const bool halves = ck_is_halves(s.scales);
  const ck_grid grid = ck_grids[s.book];
  const int lines = ck_lines(s.low_bits, s.high_bits, s.book);
  const uint32_t run = super ? 8 : 1;
  __m256 sums[4];
  quants += 32 * half;
  for (uint32_t t = 0; t < T; t++) sums[t] = _mm256_setzero_ps();
  for (uint32_t start = 0; start < blocks; start += run) {
    __m256 d = _mm256_setzero_ps();
    __m256 dmin = _mm256_setzero_ps();
    if (super) {
      d = half8(scales + 16 * half);
      if (grid.factor != 1) d = _mm256_mul_ps(d, _mm256_set1_ps(grid.factor));
      scales += 32;
      if (s.scales == CK_SCALES_SUPER_MIN || s.scales == CK_SCALES_HALVES_MIN) {
        dmin = half8(scales + 16 * half);
        scales += 32;
      }
    }
    for (uint32_t i = 0; i < run; i++) {
      __m256 dw = d;
      __m256 mw = dmin;
      __m256i sc[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
      __m256i mn[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
      const uint8_t *at = scales + 8 * half;
      // of types with a grid
      const uint8_t *indices = quants - 24 * half;
      __m256i side = _mm256_setzero_si256();
      __m256i signs = _mm256_setzero_si256();
      __m256i point = _mm256_setzero_si256();
      switch (s.scales) {
        case CK_SCALES_D:
          dw = half8(scales + 16 * half);
          scales += 32;
          break;
        case CK_SCALES_DM:
          dw = half8(scales + 16 * half);
          mw = half8(scales + 32 + 16 * half);
          scales += 64;
          break;
        case CK_SCALES_POWER:
          dw = powers(at);
          scales += 16;
          break;
        case CK_SCALES_SUPER:
          dw = _mm256_mul_ps(d, signed_bytes(at));
          scales += 16;
          break;
        case CK_SCALES_SUPER_MIN:
          dw = _mm256_mul_ps(d, unsigned_bytes(at));
          mw = negated(_mm256_mul_ps(dmin, unsigned_bytes(at + 16)));
          scales += 32;
          break;
        case CK_SCALES_HALVES:
          for (int h = 0; h < 2; h++) {
            sc[h] = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(at + 16 * h)));
          }
          scales += 32;
          break;
        case CK_SCALES_HALVES_MIN:
          for (int h = 0; h < 2; h++) {
            __m256i both = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(at + 16 * h)));
            sc[h] = _mm256_and_si256(both, _mm256_set1_epi32(15));
            mn[h] = _mm256_srli_epi32(both, 4);
          }
          mw = negated(dmin);
          scales += 32;
          break;
        case CK_SCALES_ODD:
        case CK_SCALES_ODD_HALVES:
          side = sides(s, scales, quants, half);
          if (grid.delta_at < 0) signs = sign_plane(s, quants);
          if (s.scales == CK_SCALES_ODD) dw = _mm256_mul_ps(d, _mm256_cvtepi32_ps(odd_scales(s, side, 0)));
          for (int h = 0; h < 2 && halves; h++) sc[h] = odd_scales(s, side, h);
          scales += 16 * grid.side_bytes;
          break;
        case CK_SCALES_SHARED:
        case CK_SCALES_NONE: break;
      }
      // prefetches the following tiles into the L2 cache; the second half finds its own in L1
      if (half == 0) {
        _mm_prefetch((const char *)(scales + ahead.scales), _MM_HINT_T1);
        for (int line = 0; line < lines; line++) {
          _mm_prefetch((const char *)(quants + ahead.quants + 64 * line), _MM_HINT_T1);
        }
      }
      __m256i isums[4];
      __m256i first[4];
      for (uint32_t t = 0; t < T; t++) {
        const ck_record *record = (const void *)((const uint8_t *)records + stride * t);
        int32_t bias = s.bias * (halves ? record->sum[0] : record->sum[0] + record->sum[1]);
        isums[t] = s.bias == 0 ? _mm256_setzero_si256() : _mm256_set1_epi32(-bias);
        first[t] = _mm256_setzero_si256();
      }
#pragma clang loop unroll(full)
      for (int g = 0; g < 8; g++) {
        if (halves && g == 4) {
          for (uint32_t t = 0; t < T; t++) {
            const ck_record *record = (const void *)((const uint8_t *)records + stride * t);
            first[t] = _mm256_mullo_epi32(isums[t], sc[0]);
            isums[t] = _mm256_set1_epi32(-s.bias * record->sum[1]);
          }
        }
        __m256i w;
        if (grid.columns == 0) {
          w = stored_integers(s, quants, g);
        } else {
          if (grid.columns == 4 || g % 2 == 0) point = points_at(s, indices, side, 4 * g / grid.columns);
          w = grid_integers(s, point, side, signs, g);
        }
        w = weights_of_stored(s, w);
        __m256i even = _mm256_and_si256(w, _mm256_set1_epi16(255));
        __m256i odd = _mm256_srli_epi16(w, 8);
        for (uint32_t t = 0; t < T; t++) {
          const ck_record *record = (const void *)((const uint8_t *)records + stride * t);
          isums[t] = _mm256_add_epi32(
              isums[t], _mm256_madd_epi16(even, broadcast(record->digits + 8 * g)));
          isums[t] = _mm256_add_epi32(
              isums[t], _mm256_madd_epi16(odd, broadcast(record->digits + 8 * g + 4)));
        }
      }
      for (uint32_t t = 0; t < T; t++) {
        const ck_record *record = (const void *)((const uint8_t *)records + stride * t);
        __m256i isum = isums[t];
        if (halves) isum = _mm256_add_epi32(first[t], _mm256_mullo_epi32(isum, sc[1]));
        __m256 scale = _mm256_mul_ps(dw, _mm256_set1_ps(record->d));
        sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(isum), scale, sums[t]);
        if (s.scales == CK_SCALES_DM || s.scales == CK_SCALES_SUPER_MIN) {
          sums[t] = _mm256_fmadd_ps(mw, _mm256_set1_ps(record->s), sums[t]);
        }
        if (s.scales == CK_SCALES_HALVES_MIN) {
          __m256i minimum = _mm256_add_epi32(
              _mm256_mullo_epi32(mn[0], broadcast(&record->sum[0])),
              _mm256_mullo_epi32(mn[1], broadcast(&record->sum[1])));
          __m256 sum = _mm256_mul_ps(_mm256_set1_ps(record->d), _mm256_cvtepi32_ps(minimum));
          sums[t] = _mm256_fmadd_ps(mw, sum, sums[t]);
        }
      }
      quants += lines * 64;
      records++;
    }
  }
  for (uint32_t t = 0; t < T; t++) _mm256_storeu_ps(dst + 16 * t + 8 * half, sums[t]);
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

#define TILE(name, s, T)                                                                      \
  static __attribute__((noinline)) void name##_##T(const job *j, uint32_t token) {            \
    for (uint32_t half = 0; half < 2; half++) {                                               \
      half_products(                                                                          \
          s, T, j->tile, j->tile + j->scales_bytes, half, j->ahead, j->blocks,                \
          (const ck_record *)(const void *)(j->records + j->stride * token), j->stride,       \
          j->dst + 16 * token);                                                               \
    }                                                                                         \
  }

#define TYPE(type, name, number, values, bytes, d, m, ...)                                      \
  static const ck_shape name##_shape = {__VA_ARGS__};              \
  TILE(name, name##_shape, 1)                                      \
  TILE(name, name##_shape, 2)                                      \
  TILE(name, name##_shape, 4)                                      \
  static void name(const job *j) {                                 \
    uint32_t token = 0;                                            \
    for (; j->tokens - token >= 4; token += 4) name##_4(j, token); \
    if (((j->tokens - token) & 2) != 0) {                          \
      name##_2(j, token);                                          \
      token += 2;                                                  \
    }                                                              \
    if (token < j->tokens) name##_1(j, token);                     \
  }

CK_BLOCK_TYPES(TYPE)

// ---------------------------------------------------------------- float weights

CK_INLINE lanes float_weights(const ck_type type, const uint8_t *p) {
  if (type == CK_F32) return l_load((const void *)p);
  if (type == CK_F16) return l_half((const void *)p);
  __m256i a = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p));
  __m256i b = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(p + 16)));
  return BOTH(
      _mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16)));
}

// N tiles against T tokens, 2 N T chains of 8.
CK_INLINE void float_tile(
    const ck_type type, const uint32_t N, const uint32_t T, const uint8_t *tile, size_t tile_bytes,
    uint32_t cols, const float *x, size_t stride, float *dst, size_t dst_stride) {
  const size_t step = type == CK_F32 ? 64 : 32;
  lanes sums[4];
  for (uint32_t i = 0; i < N * T; i++) sums[i] = l_zero();
  for (uint32_t k = 0; k < cols; k++) {
    for (uint32_t n = 0; n < N; n++) {
      lanes w = float_weights(type, tile + tile_bytes * n + step * k);
      for (uint32_t t = 0; t < T; t++) sums[n * T + t] = l_fma(w, l_set1(x[stride * t + k]), sums[n * T + t]);
    }
  }
  for (uint32_t n = 0; n < N; n++) {
    for (uint32_t t = 0; t < T; t++) l_store(dst + dst_stride * n + 16 * t, sums[n * T + t]);
  }
}

typedef struct float_job {
  const uint8_t *tile;
  size_t tile_bytes;
  uint32_t cols;
  const float *x;
  size_t stride;
  float *dst;
  size_t dst_stride;
} float_job;

#define FLOAT_TILE(name, type, N, T)                                                                      \
  static __attribute__((noinline)) void name##_##N##_##T(const float_job *j, uint32_t n, uint32_t t) {    \
    float_tile(                                                                                           \
        type, N, T, j->tile + j->tile_bytes * n, j->tile_bytes, j->cols, j->x + j->stride * t, j->stride, \
        j->dst + j->dst_stride * n + 16 * t, j->dst_stride);                                              \
  }

#define FLOAT_TYPE(name, type)                                              \
  FLOAT_TILE(name, type, 4, 1)                                              \
  FLOAT_TILE(name, type, 1, 1)                                              \
  FLOAT_TILE(name, type, 1, 4)                                              \
  static void name(const float_job *j, uint32_t tiles, uint32_t tokens) {   \
    uint32_t t = 0;                                                         \
    for (; tokens - t >= 4; t += 4) {                                       \
      for (uint32_t n = 0; n < tiles; n++) name##_1_4(j, n, t);             \
    }                                                                       \
    for (; t < tokens; t++) {                                               \
      uint32_t n = 0;                                                       \
      for (; tiles - n >= 4; n += 4) name##_4_1(j, n, t);                   \
      for (; n < tiles; n++) name##_1_1(j, n, t);                           \
    }                                                                       \
  }

FLOAT_TYPE(f32, CK_F32)
FLOAT_TYPE(f16, CK_F16)
FLOAT_TYPE(bf16, CK_BF16)

static void float_products(
    const ck_matrix *matrix, const ck_input *input, uint32_t tile, uint32_t tiles, uint32_t token,
    uint32_t tokens, float *dst) {
  size_t tile_bytes = ck_tile_bytes(matrix->type, matrix->cols);
  float_job j = {
      .tile = matrix->data + tile_bytes * tile,
      .tile_bytes = tile_bytes,
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

// float types have separate kernels
#define NO_KERNEL(type, ...) \
  case CK_##type: break;

#define RUN_TYPE(type, name, ...) \
  case CK_##type: name(&j); break;

static void products(
    const ck_matrix *matrix, const ck_input *input, uint32_t tile, uint32_t tiles, uint32_t token,
    uint32_t tokens, const uint8_t *ahead, float *dst) {
  if (!ck_type_takes_blocks(matrix->type)) {
    float_products(matrix, input, tile, tiles, token, tokens, dst);
    return;
  }
  size_t tile_bytes = ck_tile_bytes(matrix->type, matrix->cols);
  ck_ahead from = ck_ahead_of(tile_bytes, distance_to(ahead, matrix->data + tile_bytes * tile));
  for (uint32_t i = 0; i < tiles; i++) {
    job j = {
        .tile = matrix->data + tile_bytes * (tile + i),
        .scales_bytes = ck_scales_bytes(ck_traits_of(matrix->type), matrix->cols),
        .ahead = from,
        .blocks = matrix->cols / 32,
        .records = input->blocks + input->block_stride * token,
        .stride = input->block_stride,
        .tokens = tokens,
        .dst = dst + (size_t)i * tokens * 16,
    };
    switch (matrix->type) {
      CK_BLOCK_TYPES(RUN_TYPE)
      CK_FLOAT_TYPES(NO_KERNEL)
    }
  }
}

// ---------------------------------------------------------------- positions

CK_INLINE void turn(float *a, float *b, float cosine, float sine) {
  float x0 = *a;
  float x1 = *b;
  float x0c = x0 * cosine;
  float x1c = x1 * cosine;
  *a = __builtin_fmaf(-x1, sine, x0c);
  *b = __builtin_fmaf(x0, sine, x1c);
}

static void rope(
    ck_rope_style style, float *x, uint32_t heads, uint32_t head_size, uint32_t pairs, const float *table) {
  for (uint32_t h = 0; h < heads; h++) {
    float *head = x + (size_t)h * head_size;
    uint32_t i = 0;
    if (style == CK_ROPE_INTERLEAVED) {
      const __m256 flip = _mm256_castsi256_ps(_mm256_set1_epi64x(0x80000000));
      for (; pairs - i >= 4; i += 4) {
        __m256 v = _mm256_loadu_ps(head + 2 * i);
        __m256 angles = _mm256_loadu_ps(table + 2 * i);
        __m256 swapped = _mm256_permute_ps(v, 0xb1);
        __m256 sine = _mm256_xor_ps(_mm256_movehdup_ps(angles), flip);
        __m256 straight = _mm256_mul_ps(v, _mm256_moveldup_ps(angles));
        _mm256_storeu_ps(head + 2 * i, _mm256_fmadd_ps(swapped, sine, straight));
      }
      for (; i < pairs; i++) turn(head + 2 * i, head + 2 * i + 1, table[2 * i], table[2 * i + 1]);
    } else {
      for (; pairs - i >= 8; i += 8) {
        __m256 t0 = _mm256_loadu_ps(table + 2 * i);
        __m256 t1 = _mm256_loadu_ps(table + 2 * i + 8);
        __m256d evens = _mm256_castps_pd(_mm256_shuffle_ps(t0, t1, 0x88));
        __m256d odds = _mm256_castps_pd(_mm256_shuffle_ps(t0, t1, 0xdd));
        __m256 cosine = _mm256_castpd_ps(_mm256_permute4x64_pd(evens, 0xd8));
        __m256 sine = _mm256_castpd_ps(_mm256_permute4x64_pd(odds, 0xd8));
        __m256 x0 = _mm256_loadu_ps(head + i);
        __m256 x1 = _mm256_loadu_ps(head + pairs + i);
        _mm256_storeu_ps(head + i, _mm256_fmadd_ps(negated(x1), sine, _mm256_mul_ps(x0, cosine)));
        _mm256_storeu_ps(head + pairs + i, _mm256_fmadd_ps(x0, sine, _mm256_mul_ps(x1, cosine)));
      }
      for (; i < pairs; i++) turn(head + i, head + pairs + i, table[2 * i], table[2 * i + 1]);
    }
  }
}

#pragma clang attribute pop

const ck_kernels ck_kernels_avx2 = {
    .quantise = quantise,
    .blocks_read = blocks_read,
    .products = products,
    .rms_norm = rms_norm,
    .exp = vector_exp,
    .silu = vector_silu,
    .tanh = vector_tanh,
    .gate = vector_gate,
    .add = vector_add,
    .sigmoid_gate = vector_sigmoid_gate,
    .softplus = vector_softplus,
    .unit = unit,
    .convolve = convolve,
    .recur = recur,
    .integers = integers,
    .all_finite = all_finite,
    .rope = rope,
    .scores = scores,
    .weights = weights_of,
    .sum = sum_of,
    .tree = tree_of,
    .mix = mix,
    .maximum = maximum_of,
    .find_above = find_above,
};

#endif
