// pairs.h: products of many tokens by half of the multiplications: the AVX-512 level's on processors whose
// units for additions are not those for multiplications. Included by avx512.c. Start at pair_products.
//
// With a and b two neighbouring columns of activations and v and w those of weights,
//   a v + b w = (a + w) (b + v) - a b - v w,
// where a b is summed when activations are grouped and v w once for 16 tokens (Winograd 1968). All is
// integer arithmetic modulo 2^32, and the sum of a block's products fits 32 bits, so no bit changes. One
// group of four columns in four is multiplied as it is, so that both kinds of units are busy.

// Beside a token's integers of a block: 32 bytes, so that writing a token touches few cache lines.
typedef struct pair_scalars {
  // as in its record
  float d;
  float s;
  int32_t sum[2];
  // sums of the products of neighbours: in all, then in each half
  int32_t own[3];
  int32_t unused;
} pair_scalars;

// Activations of one block of 32 columns, of 16 tokens.
typedef struct pair_block {
  // of each group of four columns the first and the third, then the second and the fourth
  int16_t values[CK_GROUP][8][2][2];
  pair_scalars scalars[CK_GROUP];
} pair_block;

_Static_assert(sizeof(pair_block) % 64 == 0 && sizeof(pair_block) <= sizeof(ck_group_block), "groups have room");

// Tokens whose sums are in registers at a time.
#define PAIR_TOKENS 4

// Whether the products of a group of four columns are taken as they are.
CK_INLINE bool is_plain(int group) { return group % 4 == 3; }

static void pair_up(ck_profile profile, const void *blocks, uint32_t cols, void *group, uint32_t slot) {
  // read by no product
  if (profile == CK_A8) return;
  const __m512i order =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  const uint8_t *record = blocks;
  pair_block *to = group;
  for (uint32_t b = 0; b < cols / 32; b++, to++, record += record_bytes(profile)) {
    __m512i high = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)(record + 16)));
    __m512i low = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)(record + 48)));
    __m512i v = _mm512_add_epi16(_mm512_slli_epi16(high, low_bits_of(profile)), low);
    _mm512_storeu_si512(to->values[slot], _mm512_shuffle_epi8(v, order));
    // Two lanes are a group; the plain ones count for nothing.
    __m512i own = _mm512_maskz_madd_epi16(0x3f3f, v, _mm512_srli_epi32(v, 16));
    __m256i four = _mm256_hadd_epi32(_mm512_castsi512_si256(own), _mm512_extracti64x4_epi64(own, 1));
    __m128i two = _mm_add_epi32(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
    two = _mm_hadd_epi32(two, two);
    // (low + high, low, high, 0)
    __m128i sums = _mm_add_epi32(
        _mm_maskz_shuffle_epi32(7, two, _MM_SHUFFLE(0, 1, 0, 0)), _mm_maskz_shuffle_epi32(1, two, 1));
    _mm_storeu_si128((void *)&to->scalars[slot].d, _mm_loadu_si128((const void *)record));
    _mm_storeu_si128((void *)to->scalars[slot].own, sums);
  }
}

// The product with one pair in all lanes.
CK_INLINE __m512i dot_pair(__m512i sum, __m512i x, const int16_t pair[2]) {
  // As w_dot.
  __asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(x), "m"(*(const int16_t(*)[2])pair));
  return sum;
}

// The columns of a tile's block, without their bias, and minus the sums of products of neighbours.
typedef struct pair_weights {
  __m512i even[8];
  __m512i odd[8];
  __m512i less[2];
} pair_weights;

CK_INLINE pair_weights pair_weights_of(const ck_shape s, const __m512i w[8]) {
  const int second = ck_is_halves(s.scales) ? 1 : 0;
  const __m512i bias = _mm512_set1_epi16((int16_t)s.bias);
  pair_weights p;
  __m512i own[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
#pragma clang loop unroll(full)
  for (int g = 0; g < 8; g++) {
    p.even[g] = _mm512_and_si512(w[g], _mm512_set1_epi16(255));
    p.odd[g] = _mm512_srli_epi16(w[g], 8);
    if (s.bias != 0) {
      p.even[g] = _mm512_sub_epi16(p.even[g], bias);
      p.odd[g] = _mm512_sub_epi16(p.odd[g], bias);
    }
    if (!is_plain(g)) own[g / 4 * second] = w_dot(own[g / 4 * second], p.even[g], p.odd[g]);
  }
  for (int h = 0; h < 2; h++) p.less[h] = _mm512_sub_epi32(_mm512_setzero_si512(), own[h]);
  return p;
}

// Adds one block's products with PAIR_TOKENS tokens, from `t` on, to their chains (N1 item 3) in `dst`.
CK_INLINE void pair_block_products(
    const ck_shape s, const block_scales *b, const pair_weights *p, const pair_block *x, uint32_t t, float *dst) {
  const bool halves = ck_is_halves(s.scales);
  __m512i sums[PAIR_TOKENS][2];
#pragma clang loop unroll(full)
  for (uint32_t k = 0; k < PAIR_TOKENS; k++) {
    sums[k][0] = _mm512_sub_epi32(p->less[0], _mm512_set1_epi32(x->scalars[t + k].own[halves ? 1 : 0]));
    if (halves) sums[k][1] = _mm512_sub_epi32(p->less[1], _mm512_set1_epi32(x->scalars[t + k].own[2]));
  }
  // The tokens take turns, so that no product waits for the one before.
#pragma clang loop unroll(full)
  for (int g = 0; g < 8; g++) {
    const int half = halves ? g / 4 : 0;
#pragma clang loop unroll(full)
    for (uint32_t k = 0; k < PAIR_TOKENS; k++) {
      const int16_t(*v)[2] = x->values[t + k][g];
      if (is_plain(g)) {
        sums[k][half] = dot_pair(sums[k][half], p->even[g], v[0]);
      } else {
        __m512i first = _mm512_add_epi16(w_pair(v[0]), p->odd[g]);
        __m512i second = _mm512_add_epi16(w_pair(v[1]), p->even[g]);
        sums[k][half] = w_dot(sums[k][half], first, second);
      }
    }
#pragma clang loop unroll(full)
    for (uint32_t k = 0; k < PAIR_TOKENS; k++) {
      if (is_plain(g)) sums[k][half] = dot_pair(sums[k][half], p->odd[g], x->values[t + k][g][1]);
    }
  }
#pragma clang loop unroll(full)
  for (uint32_t k = 0; k < PAIR_TOKENS; k++) {
    __m512i isum = sums[k][0];
    if (halves) {
      isum = _mm512_add_epi32(
          _mm512_mullo_epi32(sums[k][0], b->sc[0]), _mm512_mullo_epi32(sums[k][1], b->sc[1]));
    }
    float *to = dst + 16 * (t + k);
    __m512 d = _mm512_set1_ps(x->scalars[t + k].d);
    __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum), _mm512_mul_ps(b->d, d), _mm512_loadu_ps(to));
    if (s.scales == CK_SCALES_DM || s.scales == CK_SCALES_SUPER_MIN) {
      sum = _mm512_fmadd_ps(b->m, _mm512_set1_ps(x->scalars[t + k].s), sum);
    }
    if (s.scales == CK_SCALES_HALVES_MIN) {
      __m512i minimum = _mm512_add_epi32(
          _mm512_mullo_epi32(b->mn[0], _mm512_set1_epi32(x->scalars[t + k].sum[0])),
          _mm512_mullo_epi32(b->mn[1], _mm512_set1_epi32(x->scalars[t + k].sum[1])));
      sum = _mm512_fmadd_ps(b->m, _mm512_mul_ps(d, _mm512_cvtepi32_ps(minimum)), sum);
    }
    _mm512_storeu_ps(to, sum);
  }
}

// One tile of 16 rows against `groups` groups of 16 tokens, whose chains stay in `dst`. A block is unpacked
// once for all of them.
CK_INLINE void pair_products(
    const ck_shape s, const job *j, const uint8_t *x, size_t stride, uint32_t groups, float *dst) {
  const bool super = ck_is_super(s.scales);
  const uint32_t run = super ? 8 : 1;
  const uint8_t *scales = j->tile;
  const uint8_t *quants = j->tile + j->scales_bytes;
  for (uint32_t t = 0; t < groups * CK_GROUP; t++) _mm512_storeu_ps(dst + 16 * t, _mm512_setzero_ps());
  for (uint32_t start = 0; start < j->blocks; start += run) {
    __m512 d = _mm512_setzero_ps();
    __m512 dmin = _mm512_setzero_ps();
    if (super) d = shared_scales(s, &scales, &dmin);
    for (uint32_t i = 0; i < run; i++, x += sizeof(pair_block)) {
      __m512i w[8];
      const block_scales b = scales_of(s, d, dmin, &scales, quants);
      unpack(s, quants, b.side, w);
      quants += ck_lines(s.low_bits, s.high_bits, s.book) * 64;
      const pair_weights p = pair_weights_of(s, w);
      for (uint32_t g = 0; g < groups; g++) {
        const pair_block *group = (const void *)(x + stride * g);
#pragma clang loop unroll(disable)
        for (uint32_t t = 0; t < CK_GROUP; t += PAIR_TOKENS) {
          pair_block_products(s, &b, &p, group, t, dst + 16 * CK_GROUP * g);
        }
      }
    }
  }
}

#define PAIRS(type, name, number, values, bytes, d, m, ...)                         \
  static __attribute__((noinline)) void name##_pairs(                               \
      const job *j, const uint8_t *x, size_t stride, uint32_t groups, float *dst) { \
    pair_products(name##_shape, j, x, stride, groups, dst);                         \
  }

CK_BLOCK_TYPES(PAIRS)

#define RUN_PAIRS(type, name, ...) \
  case CK_##type: name##_pairs(&j, x, input->group_stride, groups, to); break;

static void many_products(
    const ck_matrix *matrix, const ck_input *input, uint32_t tile, uint32_t tiles, uint32_t token,
    uint32_t tokens, const uint8_t *ahead, float *dst) {
  // Whole groups of 16 tokens; what is before and behind them is multiplied without.
  const uint32_t first = (token + CK_GROUP - 1) / CK_GROUP * CK_GROUP;
  const uint32_t end = (token + tokens) / CK_GROUP * CK_GROUP;
  if (input->groups == NULL || input->profile == CK_A8 || !ck_type_takes_blocks(matrix->type) ||
      tokens < CK_FEWEST_GROUPED || first >= end) {
    ck_avx512_products(matrix, input, tile, tiles, token, tokens, ahead, dst);
    return;
  }
  const size_t tile_bytes = ck_tile_bytes(matrix->type, matrix->cols);
  for (uint32_t i = 0; i < tiles; i++) {
    float *out = dst + (size_t)i * tokens * 16;
    const job j = {
        .tile = matrix->data + tile_bytes * (tile + i),
        .scales_bytes = ck_scales_bytes(ck_traits_of(matrix->type), matrix->cols),
        .blocks = matrix->cols / 32,
    };
    const uint8_t *x = input->groups + input->group_stride * (first / CK_GROUP);
    const uint32_t groups = (end - first) / CK_GROUP;
    float *to = out + (size_t)(first - token) * 16;
    switch (matrix->type) {
      CK_BLOCK_TYPES(RUN_PAIRS)
      CK_FLOAT_TYPES(NO_KERNEL)
    }
    if (first > token) ck_avx512_products(matrix, input, tile + i, 1, token, first - token, ahead, out);
    if (token + tokens > end) {
      ck_avx512_products(
          matrix, input, tile + i, 1, end, token + tokens - end, ahead, out + (size_t)(end - token) * 16);
    }
  }
}
