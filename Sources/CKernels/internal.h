// internal.h: what the levels share: the table of kernels, the packed layout, exact scalar
// conversions.
//
// All levels use the same packed layout. A matrix is a sequence of tiles; a tile is 16 rows over
// all columns: first the scales section, then the quants section, each padded to 64 bytes.
//   scales, types with blocks of 32: per block f16 d[16], then f16 m[16] where the type has minimums;
//     MXFP4: the exponents, e[16].
//   scales, types with blocks of 256: per 256 columns f16 d[16], f16 dmin[16] (with minimums), then
//     per 32 columns Q4_K, Q5_K: sc[16], mn[16]; IQ4_XS: signed sc[16];
//     Q3_K, Q6_K: signed sc[2][16]; Q2_K: (sc | mn << 4)[2][16]; TQ1_0, TQ2_0: nothing;
//     types with a grid: what ck_grid calls a row's side, u8[16] or u16[16] or both.
//   quants: 32 columns are 8 groups of 4; byte j of a group's 64 is row j / 4, column 4 group + j % 4.
//     8 bit: the groups in order.
//     4 bit: vector p of 4 holds group p in the low nibble, p + 4 in the high.
//     2 bit: vector h of 2 holds group 4h + i in bits 2i. 1 bit: one vector, group g in bit g.
//     5 and 6 bit types are a 4 bit plane, then a 1 or 2 bit plane;
//     3 bit a 2 bit plane, then a 1 bit plane.
//     Types with a grid: the low bytes of the indices of points, u8[16] for each point, then, but for
//     IQ1, a 1 bit plane of signs.
//   float types: per column 16 values, no scales.
#ifndef CKERNELS_INTERNAL_H
#define CKERNELS_INTERNAL_H

#include "include/ckernels.h"

#include <string.h>

#define CK_UNUSED __attribute__((unused))
#define CK_INLINE static inline __attribute__((always_inline)) CK_UNUSED

typedef enum ck_scales {
  CK_SCALES_NONE,
  CK_SCALES_D,
  CK_SCALES_DM,
  CK_SCALES_SUPER,
  CK_SCALES_SUPER_MIN,
  CK_SCALES_HALVES,
  CK_SCALES_HALVES_MIN,
  // a power of two: 2^(e - 128), e a byte
  CK_SCALES_POWER,
  // one for 256 columns
  CK_SCALES_SHARED,
  // odd numbers, from a row's side: one, or one for each 16 columns
  CK_SCALES_ODD,
  CK_SCALES_ODD_HALVES,
} ck_scales;

// What stored integers mean, where it is not the integer less a bias.
typedef enum ck_book {
  CK_BOOK_NONE,
  CK_BOOK_IQ4,
  // the four bits of an E2M1 number, times 2
  CK_BOOK_E2M1,
  // The rest have a grid: the low bits are a level, the high one a sign, or IQ1's delta.
  CK_BOOK_IQ2_XXS,
  CK_BOOK_IQ2_XS,
  CK_BOOK_IQ2_S,
  CK_BOOK_IQ3_XXS,
  CK_BOOK_IQ3_S,
  CK_BOOK_IQ1_S,
  CK_BOOK_IQ1_M,
} ck_book;

static const int8_t ck_books[][16] CK_UNUSED = {
    [CK_BOOK_IQ4] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113},
    [CK_BOOK_E2M1] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12},
    [CK_BOOK_IQ2_XXS] = {8, 25, 43, 0, -8, -25, -43, 0},
    [CK_BOOK_IQ2_XS] = {8, 25, 43, 0, -8, -25, -43, 0},
    [CK_BOOK_IQ2_S] = {8, 25, 43, 0, -8, -25, -43, 0},
    [CK_BOOK_IQ3_XXS] = {4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62},
    [CK_BOOK_IQ3_S] = {1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15},
    // 8 (level - 1 +- 1/8)
    [CK_BOOK_IQ1_S] = {-7, 1, 9, 0, -9, -1, 7, 0},
    [CK_BOOK_IQ1_M] = {-7, 1, 9, 0, -9, -1, 7, 0},
};

// How a book's blocks name points of a grid (grids.c). What a row has beside the indices' low bytes
// and the signs is its side: a number whose bits the fields below divide.
typedef struct ck_grid {
  // columns of a point: 8 or 4, 0 for books without a grid
  int columns;
  // the first of the grid's points in ck_points
  int first;
  // The bytes of a side that are stored with the scales. With `has_spare` four more bits follow them,
  // which lie in the signs: of eight signs the last is the parity of the others, and is not stored.
  int side_bytes;
  bool has_spare;
  // high bits of the index of point p, at high_at + high_step * p
  int high_bits;
  int high_at;
  int high_step;
  // -1 where columns have signs, else the bit that is the high bit of all columns of point p, at
  // delta_at + delta_step * p
  int delta_at;
  int delta_step;
  // n, for a scale 2n + 1, and four bits further that of the second half, if it has one
  int scale_at;
  int scale_mask;
  // f16 scales are multiplied by this
  float factor;
} ck_grid;

static const ck_grid ck_grids[] CK_UNUSED = {
    [CK_BOOK_NONE] = {.factor = 1},
    [CK_BOOK_IQ4] = {.factor = 1},
    [CK_BOOK_E2M1] = {.factor = 1},
    [CK_BOOK_IQ2_XXS] = {8, 0, 0, true, 0, 0, 0, -1, 0, 0, 15, 0.125f},
    [CK_BOOK_IQ2_XS] = {8, 256, 1, true, 1, 8, 1, -1, 0, 0, 15, 0.125f},
    [CK_BOOK_IQ2_S] = {8, 768, 2, false, 2, 0, 2, -1, 0, 8, 15, 0.125f},
    [CK_BOOK_IQ3_XXS] = {4, 1792, 0, true, 0, 0, 0, -1, 0, 0, 15, 0.25f},
    [CK_BOOK_IQ3_S] = {4, 2048, 2, false, 1, 0, 1, -1, 0, 8, 15, 1},
    [CK_BOOK_IQ1_S] = {8, 2560, 2, false, 3, 0, 3, 15, 0, 12, 7, 0.125f},
    [CK_BOOK_IQ1_M] = {8, 2560, 3, false, 3, 0, 4, 3, 4, 16, 15, 0.125f},
};

enum { CK_POINTS = 4608 };

// Levels: of 8 columns those of 0 ..< 4 in the low nibbles of the four bytes and those of 4 ..< 8 in
// the high ones; of 4 columns the bytes.
extern uint32_t ck_points[CK_POINTS];

// Whether the high bits of stored integers are a plane of the quants.
CK_INLINE bool ck_has_high_plane(ck_book book) {
  return ck_grids[book].columns == 0 || ck_grids[book].delta_at < 0;
}

// 64-byte vectors of quants of a block of 16 rows.
CK_INLINE int ck_lines(int low_bits, int high_bits, ck_book book) {
  const ck_grid grid = ck_grids[book];
  if (grid.columns == 0) return low_bits + high_bits;
  return 8 / grid.columns + (ck_has_high_plane(book) ? 1 : 0);
}

// Bytes of the low bytes of indices, before the signs.
CK_INLINE int ck_index_bytes(ck_book book) {
  return 512 / ck_grids[book].columns;
}

typedef struct ck_traits {
  // NULL: no such type
  const char *name;
  ck_book book;
  uint8_t low_bits;
  uint8_t high_bits;
  // Kernels multiply bytes that are the weight plus this; without a book they are what is stored.
  uint8_t bias;
  uint16_t block_values;
  uint16_t block_bytes;
  // offset of the f16 scales in a block of the file; -1 for none
  int16_t d_at;
  int16_t m_at;
  ck_scales scales;
} ck_traits;

const ck_traits *ck_traits_of(ck_type type);

// The part of ck_traits that a kernel is compiled for.
typedef struct ck_shape {
  int low_bits;
  int high_bits;
  int bias;
  ck_book book;
  ck_scales scales;
} ck_shape;

// Whether 256 columns have a header with scales of their own.
CK_INLINE bool ck_is_super(ck_scales scales) {
  return scales != CK_SCALES_NONE && scales != CK_SCALES_D && scales != CK_SCALES_DM
      && scales != CK_SCALES_POWER;
}

// Whether each 16 columns have a scale.
CK_INLINE bool ck_is_halves(ck_scales scales) {
  return scales == CK_SCALES_HALVES || scales == CK_SCALES_HALVES_MIN || scales == CK_SCALES_ODD_HALVES;
}

// The largest magnitude of a weight's integer.
CK_INLINE int ck_largest(const ck_shape s) {
  int largest = 0;
  for (int q = 0; q < 1 << (s.low_bits + s.high_bits); q++) {
    int w = s.book == CK_BOOK_NONE ? q - s.bias : ck_books[s.book][q];
    if (w < 0) w = -w;
    if (w > largest) largest = w;
  }
  return largest;
}

// One row's 32 columns in the form common to the file's layout and the packed one.
typedef struct ck_block {
  uint8_t q[32];
  // f16, or the exponent of CK_SCALES_POWER
  uint16_t d;
  uint16_t m;
  int16_t sc[2];
  uint8_t mn[2];
  // of types with a grid, which q and sc follow from
  uint8_t points[8];
  uint32_t side;
} ck_block;

void ck_block_packed(
    const ck_traits *traits, const uint8_t *tile, uint32_t cols, uint32_t row, uint32_t block, ck_block *out);

// The weights as integers, biases removed.
void ck_block_integers(const ck_traits *traits, const ck_block *block, int16_t out[32]);

size_t ck_scales_bytes(const ck_traits *traits, uint32_t cols);
size_t ck_quants_bytes(const ck_traits *traits);

// Bytes of the header of 256 columns' scales, and of each block's scales behind it.
CK_INLINE uint32_t ck_super_header(const ck_traits *traits) {
  return traits->scales == CK_SCALES_SUPER_MIN || traits->scales == CK_SCALES_HALVES_MIN ? 64 : 32;
}

CK_INLINE uint32_t ck_super_per_block(const ck_traits *traits) {
  switch (traits->scales) {
    case CK_SCALES_SUPER: return 16;
    case CK_SCALES_SHARED: return 0;
    case CK_SCALES_ODD:
    case CK_SCALES_ODD_HALVES: return 16 * (uint32_t)ck_grids[traits->book].side_bytes;
    default: return 32;
  }
}

// The scales of a block; sets `header` to that of its 256 columns, if the type has one.
CK_INLINE const uint8_t *ck_scales_at(
    const ck_traits *traits, const uint8_t *tile, uint32_t block, const uint8_t **header) {
  switch (traits->scales) {
    case CK_SCALES_D: return tile + (size_t)block * 32;
    case CK_SCALES_DM: return tile + (size_t)block * 64;
    case CK_SCALES_POWER: return tile + (size_t)block * 16;
    default: {
      size_t per = ck_super_per_block(traits);
      *header = tile + (size_t)(block / 8) * (ck_super_header(traits) + 8 * per);
      return *header + ck_super_header(traits) + block % 8 * per;
    }
  }
}

// Where plane `bits` stores the bits of a group: the index of the 64-byte vector, and the shift in
// it.
CK_INLINE uint32_t ck_plane_vector(uint32_t bits, uint32_t group) {
  return bits == 8 ? group : bits == 4 ? group % 4 : bits == 2 ? group / 4 : 0;
}

CK_INLINE uint32_t ck_plane_shift(uint32_t bits, uint32_t group) {
  return bits == 8 ? 0 : bits == 4 ? group / 4 * 4 : bits == 2 ? group % 4 * 2 : group;
}

// Activations of one block of 32: 64 bytes of digits (byte limbs) in the order that the level
// needs.
typedef struct ck_record {
  float d;
  float s;
  // sums of v over columns 0 ..< 16 and 16 ..< 32
  int32_t sum[2];
  uint8_t digits[64];
} ck_record;

_Static_assert(sizeof(ck_record) == 80, "records are packed");

enum {
  // tokens that the tile unit takes together
  CK_GROUP = 16,
};

// Activations of one block of 32 for 16 tokens, in the form that the tile unit needs.
typedef struct ck_group_block {
  // bf16 digits: high ones times their place value, then low ones (none for A8); the columns of
  // each four in the order 0, 2, 1, 3
  uint16_t digits[2][CK_GROUP][32];
  float d[CK_GROUP];
  float s[CK_GROUP];
  int32_t sum[2][CK_GROUP];
} ck_group_block;

_Static_assert(sizeof(ck_group_block) % 64 == 0, "tiles are lines");

enum {
  // the most tokens, and tiles, of one call of `products`; for a single token, CK_MAX_TOKENS tiles
  CK_MAX_TOKENS = 64,
  CK_MAX_TILES = 4,
};

enum {
  // The largest integers of keys and values, and of queries: with digits of at most 8 bits, the sum
  // of 512 products of a query's digit and a key stays below 2^31.
  CK_KV_TOP = 32767,
  // the same for heads of more than 512 elements, up to 576
  CK_LONG_KV_TOP = 29127,
  CK_QUERY_TOP = 32639,
  // bytes of the scales at the start of each head in a page
  CK_PAGE_SCALES = CK_PAGE * sizeof(float),
};

// A sub-tile of query rows for attention; row r is token r / group, head r % group.
typedef struct ck_rows {
  const ck_attention *attention;
  // queries as integers 256 hi + lo, digits in -128 ... 127: (count, 2, head_size), hi first
  const int16_t *digits;
  // (count): a query's scale times the scale of all scores
  const float *factors;
  // (count, stride): scores, then weights, of positions 16 first_page ...
  float *scores;
  size_t stride;
  uint32_t count;
  uint32_t first_page;
  uint32_t end_page;
  // what to prefetch, because it is read after end_page: pages next_page ..< next_end of KV head
  // next_head, keys or values; nothing if the two are equal
  const uint8_t *next;
  uint32_t next_head;
  uint32_t next_page;
  uint32_t next_end;
  // (count, head_size)
  float *partial;
  float *total;
  // positions that row r sees
  const uint32_t *low;
  const uint32_t *high;
} ck_rows;

// Where KV head `head` begins in page `page` of the sequence.
CK_INLINE const uint8_t *ck_head_of(const ck_attention *a, const uint8_t *pages, uint32_t page, uint32_t head) {
  size_t head_bytes = CK_PAGE_SCALES + (size_t)a->head_size * CK_PAGE * sizeof(int16_t);
  return pages + a->page_stride * (size_t)a->pages[page] + head_bytes * head;
}

CK_INLINE const float *ck_page_scales(const uint8_t *head) {
  return (const float *)(const void *)head;
}

CK_INLINE const int16_t *ck_page_integers(const uint8_t *head) {
  return (const int16_t *)(const void *)(head + CK_PAGE_SCALES);
}

// Tokens whose decays and strengths a recurrence computes together.
enum { CK_RECURRENT_TOKENS = 64 };

typedef struct ck_kernels {
  bool (*quantise)(ck_profile, const float *, uint32_t, void *);
  // NULL if the level uses no groups
  void (*group)(ck_profile, const void *blocks, uint32_t cols, void *group, uint32_t slot);
  // of 32 columns and 16 tokens
  size_t group_bytes;
  // whether `products` shares its reading of groups among tiles
  bool takes_tiles;
  void (*blocks_read)(ck_profile, const void *, uint32_t, int16_t *, float *, float *);
  // dst[(tile * tokens + token) * 16 + row], tiles and tokens counted from the first. `ahead` is
  // prefetched, as much as the tiles' own memory, and never read
  void (*products)(
      const ck_matrix *, const ck_input *, uint32_t tile, uint32_t tiles, uint32_t token, uint32_t tokens,
      const uint8_t *ahead, float *dst);
  void (*rms_norm)(const float *, const float *, uint32_t, float, float *);
  void (*exp)(const float *, uint32_t, float *);
  void (*silu)(const float *, uint32_t, float *);
  void (*tanh)(const float *, uint32_t, float *);
  // y = silu(y) * x
  void (*gate)(const float *, uint32_t, float *);
  void (*add)(const float *, uint32_t, float *);
  // y = sigmoid(y) * x
  void (*sigmoid_gate)(const float *, uint32_t, float *);
  void (*softplus)(const float *, uint32_t, float *);
  void (*unit)(const float *, uint32_t, float epsilon, float scale, float *);
  void (*convolve)(const ck_convolution *);
  void (*recur)(const ck_recurrence *);
  // N1 item 2 for a whole vector, n a multiple of 16: integers of magnitude up to `top`; returns
  // their scale, NaN if a value is not finite
  float (*integers)(const float *, uint32_t n, float top, int16_t *);
  bool (*all_finite)(const float *, uint32_t);
  void (*rope)(ck_rope_style, float *, uint32_t, uint32_t, uint32_t, const float *);
  // scores of all rows over the pages, scaled and capped
  void (*scores)(const ck_rows *);
  // scores to weights exp(s - largest); n is a multiple of 16, also for `sum`
  void (*weights)(float *, uint32_t n, float largest);
  // lane l += x[16i + l], i ascending
  void (*sum)(const float *, uint32_t n, float lanes[16]);
  // the tree of N1 item 4
  float (*tree)(const float lanes[16]);
  // adds the weighted values of pages first ..< end, inside one block of 256 positions, to
  // `partial`
  void (*mix)(const ck_rows *, uint32_t first, uint32_t end);
  float (*maximum)(const float *, uint32_t);
  // the first index >= from whose value is greater than the bound (or equal, for at_least); n if
  // none is
  uint32_t (*find_above)(const float *, uint32_t from, uint32_t n, float bound, bool at_least);
} ck_kernels;

extern const ck_kernels ck_kernels_scalar;
extern const ck_kernels ck_kernels_avx2;
extern const ck_kernels ck_kernels_avx512;
// whether the AVX-512 level multiplies many tokens in pairs
bool ck_pairs_pay(void);

// without groups
void ck_avx512_products(
    const ck_matrix *, const ck_input *, uint32_t tile, uint32_t tiles, uint32_t token, uint32_t tokens,
    const uint8_t *ahead, float *dst);

// all but `products` and `group` are the AVX-512 level's
extern const ck_kernels ck_kernels_amx;
extern const ck_kernels ck_kernels_amx_emulated;

void ck_amx_products(
    const ck_matrix *, const ck_input *, uint32_t tile, uint32_t tiles, uint32_t token, uint32_t tokens,
    const uint8_t *ahead, float *dst);
void ck_amx_emulated_products(
    const ck_matrix *, const ck_input *, uint32_t tile, uint32_t tiles, uint32_t token, uint32_t tokens,
    const uint8_t *ahead, float *dst);

void ck_amx_group(ck_profile, const void *blocks, uint32_t cols, void *group, uint32_t slot);
void ck_amx_emulated_group(ck_profile, const void *blocks, uint32_t cols, void *group, uint32_t slot);

// Whether the processor has the unit, the system saves its state (XCR0), and this process may use
// it, which this call requests.
bool ck_amx_available(uint64_t enabled_state);

// Distance in bytes between two addresses that may belong to different objects.
CK_INLINE ptrdiff_t distance_to(const uint8_t *to, const uint8_t *from) {
  return (ptrdiff_t)((intptr_t)to - (intptr_t)from);
}

// Offsets of what to prefetch for a tile, from its scales and from its quants.
typedef struct ck_ahead {
  ptrdiff_t scales;
  ptrdiff_t quants;
  // from the quants to those that move from the L2 cache into L1
  ptrdiff_t near;
} ck_ahead;

enum {
  // Prefetching this many bytes ahead is early enough, and does not yet evict what is needed
  // sooner.
  CK_AHEAD = 16 << 10,
  CK_BIG_TILE = 16 << 10,
  CK_NEAR = 1536,
  CK_NEAR_IN_BIG_TILE = 3072,
};

// Small tiles prefetch the tile `distance` further on. A big tile prefetches within itself and runs
// over into the next tile, which begins with its scales; the part that its quants skip by that is
// prefetched from its scales.
CK_INLINE ck_ahead ck_ahead_of(size_t tile_bytes, ptrdiff_t distance) {
  if (tile_bytes <= CK_BIG_TILE) return (ck_ahead){distance, distance, CK_NEAR};
  return (ck_ahead){(ptrdiff_t)tile_bytes + CK_AHEAD, CK_AHEAD, CK_NEAR_IN_BIG_TILE};
}

const ck_kernels *ck_kernels_at(ck_level level);

CK_INLINE uint32_t least(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}

CK_INLINE uint32_t most(uint32_t a, uint32_t b) {
  return a > b ? a : b;
}

CK_INLINE uint32_t ck_float_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}

CK_INLINE float ck_bits_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

CK_INLINE float ck_half_float(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t exponent = half >> 10 & 31;
  uint32_t mantissa = half & 1023;
  if (exponent == 31) {
    // a signalling NaN becomes quiet, as with the instruction
    return ck_bits_float(sign | 0x7f800000 | mantissa << 13 | (mantissa != 0 ? 0x400000u : 0));
  }
  if (exponent == 0) {
    float magnitude = (float)mantissa * 0x1p-24f;
    return ck_bits_float(ck_float_bits(magnitude) | sign);
  }
  return ck_bits_float(sign | (exponent + 112) << 23 | mantissa << 13);
}

// 2^(exponent - 128) for 0 ... 255; the two smallest are subnormal.
CK_INLINE float ck_power_float(uint32_t exponent) {
  return ck_bits_float(exponent < 2 ? (exponent + 1) << 21 : (exponent - 1) << 23);
}

// A block's scale.
CK_INLINE float ck_block_scale(const ck_traits *traits, const ck_block *block) {
  if (traits->scales == CK_SCALES_POWER) return ck_power_float(block->d);
  return ck_half_float(block->d) * ck_grids[traits->book].factor;
}

CK_INLINE float ck_bfloat_float(uint16_t half) {
  return ck_bits_float((uint32_t)half << 16);
}

#endif
