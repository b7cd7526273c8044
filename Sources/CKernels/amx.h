// amx.h: products of 16 weight rows with 16 tokens on tile registers: one algorithm, compiled
// twice. amx.c supplies the AMX unit; amx_emulated.c a model of the unit in C, with which tests
// prove the algorithm's bits on machines without one. A file defines the operations on tiles, named
// here, then includes this one:
//   unit (type of the state)   TILE_BEGIN(u, width) TILE_END(u)
//   TILE_ZERO(u, n)            TILE_LOAD(u, n, p, stride) TILE_STORE(u, n, p, stride)
//   TILE_DOT(u, c, a, b): c += a * b, on pairs of bf16, with sums in f32
//
// Integers are computed exactly in bf16 and f32: digits (byte limbs) of activations and weights
// have at most 8 bits, and no sum of 32 products reaches 2^24. So high digits, times their place
// value, and low ones are summed in one tile, which then holds the float that N1 item 3 scales.
// Storing and reloading a tile costs as much as a product; with integer tiles we would need two of
// them and would have to combine them afterwards. Only weights above 32 with A15 exceed 2^24; their
// digits are summed separately, and adding the two sums rounds as a conversion would.
//
// Not here: groups with few tokens, float weights and all other kernels (avx512.c). Start at
// products.
#include "internal.h"

#include <immintrin.h>

#include "unpack.h"

enum {
  // the tiles: sums (16 tokens, 16 rows), digits (16 tokens, columns), weights (columns / 2, 16
  // rows of 2)
  SUMS = 0,
  MORE_SUMS = 1,
  HIGH_DIGITS = 2,
  LOW_DIGITS = 3,
  WEIGHTS = 4,
  // How many blocks of 32 columns are widened at once, for CK_MAX_TILES tiles. Together with the
  // digits of one group they fit into the L1 cache, so digits are read from L2 once for all tiles.
  RUN = 4,
  // products in flight in the unit while older ones are scaled
  LAG = 3,
  RING = 4,
  // with fewer tokens in a group the AVX-512 level is faster
  FEW_TOKENS = 12,
};

// 32 columns of 16 rows, with the factors of N1 item 3.
typedef struct wide_block {
  // bf16; pair 2g + e of columns: 4g + e and 4g + e + 2
  uint16_t w[16][32];
  float dw[16];
  float mw[16];
  // scales and minimums of columns 0 ..< 16 and 16 ..< 32, if each half has its own
  int8_t sc[2][16];
  uint8_t mn[2][16];
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

// The bf16 form (upper half) of f32 values that bf16 represents exactly; 32 lanes in the order of
// `index`.
CK_INLINE __m512i brains(__m512i index, __m512i low, __m512i high) {
  return _mm512_permutex2var_epi16(
      _mm512_castps_si512(_mm512_cvtepi32_ps(low)), index, _mm512_castps_si512(_mm512_cvtepi32_ps(high)));
}

// ---------------------------------------------------------------- activations

static void group_blocks(ck_profile profile, const void *blocks, uint32_t cols, void *group, uint32_t slot) {
  // the columns of each four in the order 0, 2, 1, 3; the upper half of each f32
  static const uint16_t order[32] = {1,  5,  3,  7,  9,  13, 11, 15, 17, 21, 19, 23, 25, 29, 27, 31,
                                     33, 37, 35, 39, 41, 45, 43, 47, 49, 53, 51, 55, 57, 61, 59, 63};
  const __m512i index = _mm512_loadu_si512(order);
  const unsigned bits = profile == CK_A15 ? 8 : profile == CK_A12 ? 4 : 0;
  const uint8_t *record = blocks;
  ck_group_block *to = group;
  for (uint32_t b = 0; b < cols / 32; b++, to++, record += profile == CK_A8 ? 48 : 80) {
    for (int digit = 0; digit < (profile == CK_A8 ? 1 : 2); digit++) {
      __m512i low = signed_ints(record + 16 + 32 * digit);
      __m512i high = signed_ints(record + 32 + 32 * digit);
      if (digit == 0) {
        low = _mm512_slli_epi32(low, bits);
        high = _mm512_slli_epi32(high, bits);
      }
      _mm512_store_si512(to->digits[digit][slot], brains(index, low, high));
    }
    memcpy(&to->d[slot], record, 4);
    memcpy(&to->s[slot], record + 4, 4);
    memcpy(&to->sum[0][slot], record + 8, 4);
    memcpy(&to->sum[1][slot], record + 12, 4);
  }
}

// ---------------------------------------------------------------- weights

// The weights, in bf16, of stored integers of up to 6 bits.
typedef struct meanings {
  __m512i low;
  __m512i high;
} meanings;

CK_INLINE meanings meanings_of(const ck_shape s) {
  uint16_t brain[64] = {0};
  for (int q = 0; s.low_bits < 8 && q < 1 << (s.low_bits + s.high_bits); q++) {
    brain[q] = (uint16_t)(ck_float_bits(s.book == CK_BOOK_NONE ? (float)(q - s.bias) : ck_books[s.book][q]) >> 16);
  }
  return (meanings){_mm512_loadu_si512(brain), _mm512_loadu_si512(brain + 32)};
}

// The weights of the stored integers in the low bytes of 32 16-bit lanes; high bytes are not read.
CK_INLINE __m512i weights_of_stored(const ck_shape s, const meanings m, __m512i stored) {
  const int bits = s.low_bits + s.high_bits;
  if (bits <= 5) return _mm512_permutexvar_epi16(stored, m.low);
  if (bits == 6) return _mm512_permutex2var_epi16(m.low, stored, m.high);
  __m512i low = _mm512_and_si512(stored, _mm512_set1_epi32(255));
  __m512i high = _mm512_and_si512(_mm512_srli_epi32(stored, 16), _mm512_set1_epi32(255));
  low = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_sub_epi32(low, _mm512_set1_epi32(s.bias))));
  high = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_sub_epi32(high, _mm512_set1_epi32(s.bias))));
  return _mm512_mask_mov_epi16(_mm512_srli_epi32(low, 16), 0xaaaaaaaa, high);
}

CK_INLINE void widen(
    const ck_shape s, const meanings m, const uint8_t *scales, const uint8_t *header, const uint8_t *quants, wide_block *out) {
  __m512 d = s.scales == CK_SCALES_POWER ? powers(scales) : halves_float(header != NULL ? header : scales);
  __m512i side = _mm512_setzero_si512();
  d = _mm512_mul_ps(d, _mm512_set1_ps(ck_grids[s.book].factor));
  __m512 min = _mm512_setzero_ps();
  __m512 sign = _mm512_set1_ps(-0.0f);
  switch (s.scales) {
    case CK_SCALES_NONE:
    case CK_SCALES_POWER:
    case CK_SCALES_SHARED:
    case CK_SCALES_D: break;
    case CK_SCALES_ODD:
      side = sides(s, scales, quants);
      d = _mm512_mul_ps(d, _mm512_cvtepi32_ps(odd_scales(s, side, 0)));
      break;
    case CK_SCALES_ODD_HALVES:
      side = sides(s, scales, quants);
      for (int h = 0; h < 2; h++) {
        _mm_storeu_si128((void *)out->sc[h], _mm512_cvtepi32_epi8(odd_scales(s, side, h)));
      }
      break;
    case CK_SCALES_DM: min = halves_float(scales + 32); break;
    case CK_SCALES_SUPER: d = _mm512_mul_ps(d, _mm512_cvtepi32_ps(signed_ints(scales))); break;
    case CK_SCALES_SUPER_MIN:
      d = _mm512_mul_ps(d, _mm512_cvtepi32_ps(unsigned_ints(scales)));
      min = _mm512_mul_ps(halves_float(header + 32), _mm512_cvtepi32_ps(unsigned_ints(scales + 16)));
      min = _mm512_xor_ps(min, sign);
      break;
    case CK_SCALES_HALVES: memcpy(out->sc, scales, sizeof out->sc); break;
    case CK_SCALES_HALVES_MIN:
      for (int h = 0; h < 2; h++) {
        __m128i both = _mm_loadu_si128((const void *)(scales + 16 * h));
        __m128i mask = _mm_set1_epi8(15);
        _mm_storeu_si128((void *)out->sc[h], _mm_and_si128(both, mask));
        _mm_storeu_si128((void *)out->mn[h], _mm_and_si128(_mm_srli_epi16(both, 4), mask));
      }
      min = _mm512_xor_ps(halves_float(header + 32), sign);
      break;
  }
  _mm512_store_ps(out->dw, d);
  _mm512_store_ps(out->mw, min);
  __m512i q[8];
  stored_integers(s, quants, side, q);
#pragma clang loop unroll(full)
  for (uint32_t g = 0; g < 8; g++) {
    _mm512_store_si512(out->w[2 * g], weights_of_stored(s, m, q[g]));
    _mm512_store_si512(out->w[2 * g + 1], weights_of_stored(s, m, _mm512_srli_epi16(q[g], 8)));
  }
}

// ---------------------------------------------------------------- products

// How a block is added to the accumulation chain of N1 item 3.
typedef enum chain {
  PLAIN,
  // high and low digits are summed separately
  APART,
  MINIMUM,
  HALVES,
  HALVES_MINIMUM,
} chain;

// Computes the products of a block in SUMS, and also in MORE_SUMS if it has two parts.
CK_INLINE void multiply_block(
    unit *u, const chain kind, const uint32_t digits, const wide_block *wide, const ck_group_block *x) {
  const bool halves = kind == HALVES || kind == HALVES_MINIMUM;
  TILE_LOAD(u, WEIGHTS, wide->w[0], 64);
  TILE_LOAD(u, HIGH_DIGITS, x->digits[0][0], 64);
  TILE_ZERO(u, SUMS);
  TILE_DOT(u, SUMS, HIGH_DIGITS, WEIGHTS);
  if (kind == APART) TILE_ZERO(u, MORE_SUMS);
  if (digits == 2) {
    TILE_LOAD(u, LOW_DIGITS, x->digits[1][0], 64);
    if (kind == APART) TILE_DOT(u, MORE_SUMS, LOW_DIGITS, WEIGHTS);
    if (kind != APART) TILE_DOT(u, SUMS, LOW_DIGITS, WEIGHTS);
  }
  if (!halves) return;
  TILE_LOAD(u, WEIGHTS, wide->w[8], 64);
  TILE_LOAD(u, HIGH_DIGITS, &x->digits[0][0][16], 64);
  TILE_ZERO(u, MORE_SUMS);
  TILE_DOT(u, MORE_SUMS, HIGH_DIGITS, WEIGHTS);
  if (digits == 2) {
    TILE_LOAD(u, LOW_DIGITS, &x->digits[1][0][16], 64);
    TILE_DOT(u, MORE_SUMS, LOW_DIGITS, WEIGHTS);
  }
}

CK_INLINE void store_block(unit *u, const chain kind, float *sums) {
  TILE_STORE(u, SUMS, sums, 64);
  if (kind != PLAIN && kind != MINIMUM) TILE_STORE(u, MORE_SUMS, sums + 256, 64);
}

CK_INLINE void scale_block(
    const chain kind, const wide_block *wide, const ck_group_block *x, const float *sums, __m512 acc[CK_GROUP]) {
  const bool halves = kind == HALVES || kind == HALVES_MINIMUM;
  const __m512 dw = _mm512_loadu_ps(wide->dw);
  const __m512 mw = _mm512_loadu_ps(wide->mw);
  __m512i sc[2], mn[2];
  for (int h = 0; h < 2 && halves; h++) {
    sc[h] = signed_ints((const uint8_t *)wide->sc[h]);
    mn[h] = unsigned_ints(wide->mn[h]);
  }
#pragma clang loop unroll(full)
  for (uint32_t t = 0; t < CK_GROUP; t++) {
    __m512 sum = _mm512_load_ps(sums + 16 * t);
    if (kind == APART) sum = _mm512_add_ps(sum, _mm512_load_ps(sums + 256 + 16 * t));
    if (halves) {
      __m512i first = _mm512_mullo_epi32(_mm512_cvttps_epi32(sum), sc[0]);
      __m512i second = _mm512_mullo_epi32(_mm512_cvttps_epi32(_mm512_load_ps(sums + 256 + 16 * t)), sc[1]);
      sum = _mm512_cvtepi32_ps(_mm512_add_epi32(first, second));
    }
    acc[t] = _mm512_fmadd_ps(sum, _mm512_mul_ps(dw, _mm512_set1_ps(x->d[t])), acc[t]);
    if (kind == MINIMUM) acc[t] = _mm512_fmadd_ps(mw, _mm512_set1_ps(x->s[t]), acc[t]);
    if (kind == HALVES_MINIMUM) {
      __m512i minimum = _mm512_add_epi32(
          _mm512_mullo_epi32(mn[0], _mm512_set1_epi32(x->sum[0][t])),
          _mm512_mullo_epi32(mn[1], _mm512_set1_epi32(x->sum[1][t])));
      acc[t] = _mm512_fmadd_ps(mw, _mm512_mul_ps(_mm512_set1_ps(x->d[t]), _mm512_cvtepi32_ps(minimum)), acc[t]);
    }
  }
}

// A product of some tiles of 16 rows with some groups of 16 tokens.
typedef struct job {
  const ck_matrix *matrix;
  uint32_t tile;
  uint32_t tiles;
  ck_profile profile;
  const uint8_t *ahead;
  // the first block of group 0; groups are `stride` blocks apart
  const ck_group_block *x;
  size_t stride;
  uint32_t first_group;
  uint32_t end_group;
  // the tokens of these groups that are wanted
  uint32_t token;
  uint32_t end_token;
  // the result for tile 0 and `token`, (tokens, 16 rows); the next tile's is `tile_step` further
  float *dst;
  size_t tile_step;
} job;

CK_INLINE bool is_wanted(const job *j, uint32_t token) {
  return token >= j->token && token < j->end_token;
}

// The accumulation chains (N1 item 3) of a group and a tile, kept between two runs of blocks; zero
// before the first.
CK_INLINE void load_chains(const job *j, uint32_t group, uint32_t tile, bool zero, __m512 acc[CK_GROUP]) {
  const uint32_t first = group * CK_GROUP;
  const float *from = j->dst + j->tile_step * tile + ((ptrdiff_t)first - j->token) * 16;
  const bool whole = is_wanted(j, first) && is_wanted(j, first + CK_GROUP - 1);
  if (zero || !whole) {
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < CK_GROUP; t++) acc[t] = _mm512_setzero_ps();
    if (zero) return;
  }
#pragma clang loop unroll(full)
  for (uint32_t t = 0; t < CK_GROUP; t++) {
    if (whole || is_wanted(j, first + t)) acc[t] = _mm512_loadu_ps(from + 16 * t);
  }
}

CK_INLINE void store_chains(const job *j, uint32_t group, uint32_t tile, const __m512 acc[CK_GROUP]) {
  const uint32_t first = group * CK_GROUP;
  float *to = j->dst + j->tile_step * tile + ((ptrdiff_t)first - j->token) * 16;
  const bool whole = is_wanted(j, first) && is_wanted(j, first + CK_GROUP - 1);
#pragma clang loop unroll(full)
  for (uint32_t t = 0; t < CK_GROUP; t++) {
    if (whole || is_wanted(j, first + t)) _mm512_storeu_ps(to + 16 * t, acc[t]);
  }
}

// Blocks start ..< start + count of the job, one stream of blocks through the unit.
CK_INLINE void run(
    unit *u, const chain kind, const uint32_t digits, const job *j, wide_block wide[][RUN], uint32_t start,
    uint32_t count) {
  // one cache line more than needed: otherwise a load would alias a store in flight 4,096 bytes
  // away
  _Alignas(64) float sums[RING][(kind == PLAIN || kind == MINIMUM ? 256 : 512) + 16];
  __m512 acc[CK_GROUP];
  const uint32_t total = count * j->tiles * (j->end_group - j->first_group);
  // the block that enters the unit, and the one that leaves it
  const ck_group_block *in = j->x + j->stride * j->first_group + start;
  const ck_group_block *out = in;
  uint32_t b = 0, tile = 0;
  uint32_t done = 0, done_tile = 0, group = j->first_group;
  for (uint32_t i = 0; i < total + LAG; i++) {
    if (i < total) multiply_block(u, kind, digits, &wide[tile][b], in + b);
    // Older sums are scaled while the unit is busy.
    if (i >= LAG) {
      if (done == 0) load_chains(j, group, done_tile, start == 0, acc);
      scale_block(kind, &wide[done_tile][done], out + done, sums[(i - LAG) % RING], acc);
      if (++done == count) {
        store_chains(j, group, done_tile, acc);
        done = 0;
        if (++done_tile == j->tiles) {
          done_tile = 0;
          out += j->stride;
          group++;
        }
      }
    }
    if (i < total) {
      store_block(u, kind, sums[i % RING]);
      if (++b == count) {
        b = 0;
        if (++tile == j->tiles) {
          tile = 0;
          in += j->stride;
        }
      }
    }
  }
}

#define RUN_OF(name, kind)                                                                           \
  static __attribute__((noinline)) void name(                                                        \
      unit *u, const job *j, wide_block wide[][RUN], uint32_t start, uint32_t count) {               \
    if (j->profile == CK_A8) {                                                                       \
      run(u, kind == APART ? PLAIN : kind, 1, j, wide, start, count);                                \
    } else {                                                                                         \
      run(u, kind, 2, j, wide, start, count);                                                        \
    }                                                                                                \
  }

RUN_OF(run_plain, PLAIN)
RUN_OF(run_apart, APART)
RUN_OF(run_minimum, MINIMUM)
RUN_OF(run_halves, HALVES)
RUN_OF(run_halves_minimum, HALVES_MINIMUM)

CK_INLINE void tile_products(unit *u, const ck_shape s, const job *j) {
  _Alignas(64) wide_block wide[CK_MAX_TILES][RUN];
  const ck_traits *traits = ck_traits_of(j->matrix->type);
  const meanings m = meanings_of(s);
  const uint32_t blocks = j->matrix->cols / 32;
  const size_t tile_bytes = ck_tile_bytes(j->matrix->type, j->matrix->cols);
  const size_t scales_bytes = ck_scales_bytes(traits, j->matrix->cols);
  const size_t quants_bytes = (size_t)ck_lines(s.low_bits, s.high_bits, s.book) * 64;
  const uint8_t *first = j->matrix->data + tile_bytes * j->tile;
  const ck_ahead ahead = ck_ahead_of(tile_bytes, distance_to(j->ahead, first));
  for (uint32_t start = 0; start < blocks; start += RUN) {
    uint32_t count = least(blocks - start, RUN);
    for (uint32_t i = 0; i < j->tiles; i++) {
      const uint8_t *data = first + tile_bytes * i;
      for (uint32_t b = 0; b < count; b++) {
        const uint8_t *header = NULL;
        const uint8_t *scales = ck_scales_at(traits, data, start + b, &header);
        const uint8_t *quants = data + scales_bytes + quants_bytes * (start + b);
        _mm_prefetch((const char *)(scales + ahead.scales), _MM_HINT_T1);
        for (size_t line = 0; line < quants_bytes; line += 64) {
          _mm_prefetch((const char *)(quants + ahead.quants + line), _MM_HINT_T1);
          _mm_prefetch((const char *)(quants + ahead.near + line), _MM_HINT_T0);
        }
        widen(s, m, scales, header, quants, &wide[i][b]);
      }
    }
    switch (s.scales) {
      case CK_SCALES_NONE: break;
      case CK_SCALES_D:
      case CK_SCALES_POWER:
      case CK_SCALES_SHARED:
      case CK_SCALES_ODD:
      case CK_SCALES_SUPER:
        // 32 * 16,383 * 32 is less than 2^24
        if (j->profile == CK_A15 && ck_largest(s) > 32) {
          run_apart(u, j, wide, start, count);
        } else {
          run_plain(u, j, wide, start, count);
        }
        break;
      case CK_SCALES_DM:
      case CK_SCALES_SUPER_MIN: run_minimum(u, j, wide, start, count); break;
      case CK_SCALES_HALVES:
      case CK_SCALES_ODD_HALVES: run_halves(u, j, wide, start, count); break;
      case CK_SCALES_HALVES_MIN:
        run_halves_minimum(u, j, wide, start, count);
        break;
    }
  }
}

#define TYPE(type, name, number, values, bytes, d, m, ...)                                         \
  static __attribute__((noinline)) void name(unit *u, const job *j) { \
    const ck_shape s = {__VA_ARGS__};                                 \
    tile_products(u, s, j);                                           \
  }

CK_BLOCK_TYPES(TYPE)

// float types have separate kernels
#define NO_KERNEL(type, ...) \
  case CK_##type: break;

#define RUN_TYPE(type, name, ...) \
  case CK_##type: name(&u, &j); break;

static void products(
    const ck_matrix *matrix, const ck_input *input, uint32_t tile, uint32_t tiles, uint32_t token, uint32_t tokens,
    const uint8_t *ahead, float *dst) {
  const ck_traits *traits = ck_traits_of(matrix->type);
  // If the first or the last group has few tokens, the other level is faster for them.
  uint32_t end = token + tokens;
  uint32_t first = token / CK_GROUP;
  uint32_t last = (end + CK_GROUP - 1) / CK_GROUP;
  if (first < last && least(end, (first + 1) * CK_GROUP) - token < FEW_TOKENS) first++;
  if (first < last && end - most(token, (last - 1) * CK_GROUP) < FEW_TOKENS) last--;
  if (traits->scales == CK_SCALES_NONE || input->groups == NULL || tokens < CK_FEWEST_GROUPED || first >= last) {
    ck_avx512_products(matrix, input, tile, tiles, token, tokens, ahead, dst);
    return;
  }
  uint32_t from = most(token, first * CK_GROUP);
  uint32_t to = least(end, last * CK_GROUP);
  bool halves = ck_is_halves(traits->scales);
  job j = {
      .matrix = matrix,
      .tile = tile,
      .tiles = tiles,
      .profile = input->profile,
      .ahead = ahead,
      .x = (const ck_group_block *)(const void *)input->groups,
      .stride = input->group_stride / sizeof(ck_group_block),
      .first_group = first,
      .end_group = last,
      .token = from,
      .end_token = to,
      .dst = dst + (size_t)(from - token) * 16,
      .tile_step = (size_t)tokens * 16,
  };
  unit u;
  TILE_BEGIN(&u, halves ? 16 : 32);
  switch (matrix->type) {
    CK_BLOCK_TYPES(RUN_TYPE)
    CK_FLOAT_TYPES(NO_KERNEL)
  }
  TILE_END(&u);
  const struct {
    uint32_t first;
    uint32_t end;
  } rest[2] = {{token, from}, {to, end}};
  for (int part = 0; part < 2; part++) {
    for (uint32_t i = 0; i < tiles && rest[part].first < rest[part].end; i++) {
      ck_avx512_products(
          matrix, input, tile + i, 1, rest[part].first, rest[part].end - rest[part].first, ahead,
          dst + ((size_t)i * tokens + (rest[part].first - token)) * 16);
    }
  }
}
