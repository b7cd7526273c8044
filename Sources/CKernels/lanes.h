// lanes.h: the kernels that need no more than 16 lanes of f32, written once for the AVX2 and
// AVX-512 levels. A level defines `lanes` (16 floats) and its operations, named here, then includes
// this file:
//   l_zero l_set1 l_load l_store l_add l_sub l_mul l_div l_fma l_negate
//   l_max (x > y ? x : y) l_min l_pow2 (adds the low bits of n to p's exponent)
//   l_zero_below l_keep_nan l_sum (the tree of N1 item 4)
//   l_largest l_finite l_above (bits of lanes greater, or at least equal) l_magnitude
//   l_short (from i16) l_store_short (rounded to nearest even, to i16 in range)
// and `words` (16 i32, or 16 pairs of i16) with theirs: w_zero w_load w_pair (one pair in all
// lanes), w_dot (adds the products of pairs), w_float.
// Not here: integer products and quantising, which differ by level (avx2.c, avx512.c). Start at
// scores.

CK_INLINE lanes l_partial(const float *x, uint32_t count) {
  float padded[16] = {0};
  memcpy(padded, x, count * sizeof(float));
  return l_load(padded);
}

CK_INLINE void l_store_partial(float *y, lanes v, uint32_t count) {
  float padded[16];
  l_store(padded, v);
  memcpy(y, padded, count * sizeof(float));
}

CK_INLINE lanes l_exp(lanes x) {
  lanes magic = l_set1(12582912.0f);
  // with operands in this order a NaN propagates to the end
  lanes bounded = l_min(l_set1(88.0f), x);
  lanes n = l_fma(bounded, l_set1(0x1.715476p+0f), magic);
  lanes f = l_sub(n, magic);
  lanes r = l_fma(f, l_set1(-0x1.62e4p-1f), bounded);
  r = l_fma(f, l_set1(-0x1.7f7d1cp-20f), r);
  lanes p = l_set1(0x1.6850e4p-10f);
  p = l_fma(p, r, l_set1(0x1.123bccp-7f));
  p = l_fma(p, r, l_set1(0x1.555b98p-5f));
  p = l_fma(p, r, l_set1(0x1.55548ep-3f));
  p = l_fma(p, r, l_set1(0x1.fffff8p-2f));
  p = l_fma(p, r, l_set1(1.0f));
  p = l_fma(p, r, l_set1(1.0f));
  return l_keep_nan(x, l_zero_below(x, -87.0f, l_pow2(p, n)));
}

CK_INLINE lanes l_silu(lanes x) {
  lanes one = l_set1(1.0f);
  return l_div(x, l_add(one, l_exp(l_negate(x))));
}

CK_INLINE lanes l_tanh(lanes x) {
  lanes one = l_set1(1.0f);
  return l_sub(one, l_div(l_set1(2.0f), l_add(one, l_exp(l_mul(l_set1(2.0f), x)))));
}

// ---------------------------------------------------------------- vectors

static void rms_norm(const float *x, const float *weight, uint32_t n, float epsilon, float *y) {
  lanes squares = l_zero();
  uint32_t whole = n / 16 * 16;
  for (uint32_t i = 0; i < whole; i += 16) {
    lanes v = l_load(x + i);
    squares = l_fma(v, v, squares);
  }
  if (whole < n) {
    lanes v = l_partial(x + whole, n - whole);
    squares = l_fma(v, v, squares);
  }
  float mean = l_sum(squares) / (float)n;
  float root = __builtin_sqrtf(mean + epsilon);
  float r = 1.0f / root;
  lanes factor = l_set1(r);
  for (uint32_t i = 0; i < whole; i += 16) {
    l_store(y + i, l_mul(l_mul(l_load(x + i), factor), l_load(weight + i)));
  }
  for (uint32_t i = whole; i < n; i++) {
    float scaled = x[i] * r;
    y[i] = scaled * weight[i];
  }
}

#define VECTOR_KERNEL(name, expression)                                 \
  static void name(const float *x, uint32_t n, float *y) {              \
    uint32_t whole = n / 16 * 16;                                       \
    for (uint32_t i = 0; i < whole; i += 16) {                          \
      lanes a = l_load(x + i);                                          \
      lanes b CK_UNUSED = l_load(y + i);                                \
      l_store(y + i, expression);                                       \
    }                                                                   \
    if (whole < n) {                                                    \
      lanes a = l_partial(x + whole, n - whole);                        \
      lanes b CK_UNUSED = l_partial(y + whole, n - whole);              \
      l_store_partial(y + whole, expression, n - whole);                \
    }                                                                   \
  }

VECTOR_KERNEL(vector_exp, l_exp(a))
VECTOR_KERNEL(vector_silu, l_silu(a))
VECTOR_KERNEL(vector_tanh, l_tanh(a))
VECTOR_KERNEL(vector_gate, l_mul(l_silu(b), a))
VECTOR_KERNEL(vector_add, l_add(a, b))

static bool all_finite(const float *x, uint32_t n) {
  uint32_t whole = n / 16 * 16;
  for (uint32_t i = 0; i < whole; i += 16) {
    if (!l_finite(l_load(x + i))) return false;
  }
  return whole == n || l_finite(l_partial(x + whole, n - whole));
}

static float maximum_of(const float *x, uint32_t n) {
  lanes maximum = l_set1(ck_bits_float(0xff800000));
  uint32_t whole = n / 16 * 16;
  for (uint32_t i = 0; i < whole; i += 16) maximum = l_max(l_load(x + i), maximum);
  float result = l_largest(maximum);
  for (uint32_t i = whole; i < n; i++) {
    if (x[i] > result) result = x[i];
  }
  return result + 0.0f;
}

static uint32_t find_above(const float *x, uint32_t from, uint32_t n, float bound, bool at_least) {
  uint32_t i = from;
  lanes limit = l_set1(bound);
  for (; n - i >= 16; i += 16) {
    uint32_t found = l_above(l_load(x + i), limit, at_least);
    if (found != 0) return i + (uint32_t)__builtin_ctz(found);
  }
  for (; i < n; i++) {
    if (x[i] > bound || (at_least && x[i] == bound)) return i;
  }
  return n;
}

// ---------------------------------------------------------------- attention

enum {
  // prefetching this many pages ahead covers the memory's latency
  PAGES_AHEAD = 8,
  MAX_SCORES = 12,
};

static float integers(const float *x, uint32_t n, float top, int16_t *v) {
  lanes largest = l_zero();
  bool finite = true;
  for (uint32_t i = 0; i < n; i += 16) {
    lanes in = l_load(x + i);
    finite = finite && l_finite(in);
    largest = l_max(l_magnitude(in), largest);
  }
  float amax = l_largest(largest);
  float id = top / amax;
  bool nothing = ck_float_bits(id) >= 0x7f800000;
  for (uint32_t i = 0; i < n; i += 16) {
    lanes in = l_mul(l_load(x + i), l_set1(finite && !nothing ? id : 0));
    l_store_short(v + i, finite ? in : l_zero());
  }
  return !finite ? ck_bits_float(0x7fc00000) : nothing ? 0 : amax / top;
}

// The head in page `page` if that is before `end`, otherwise what is read afterwards; `here` if
// nothing follows.
CK_INLINE const uint8_t *head_ahead(
    const ck_rows *in, const uint8_t *pages, uint32_t page, uint32_t end, const uint8_t *here) {
  if (page < end) return ck_head_of(in->attention, pages, page, in->attention->kv_head);
  uint32_t next = in->next_page + (page - end);
  return next < in->next_end ? ck_head_of(in->attention, in->next, next, in->next_head) : here;
}

static __attribute__((noinline)) void cap_scores(float *scores, uint32_t n, float most) {
  lanes cap = l_set1(most);
  for (uint32_t i = 0; i < n; i += 16) {
    l_store(scores + i, l_mul(cap, l_tanh(l_div(l_load(scores + i), cap))));
  }
}

// Scores of `rows` query rows at 16 positions of each of `pages` pages: two sums each, for the
// queries' high and low digits.
CK_INLINE void score_tile(
    const ck_rows *in, uint32_t row, const uint32_t rows, uint32_t page, const uint32_t pages) {
  const ck_attention *a = in->attention;
  words high[MAX_SCORES];
  words low[MAX_SCORES];
  const uint8_t *heads[4];
  const int16_t *digits = in->digits + (size_t)row * 2 * a->head_size;
  for (uint32_t p = 0; p < pages; p++) heads[p] = ck_head_of(a, a->keys, page + p, a->kv_head);
#pragma clang loop unroll(full)
  for (uint32_t i = 0; i < rows * pages; i++) high[i] = low[i] = w_zero();
  // later pages, prefetched while these are processed
  const uint8_t *ahead[4];
  for (uint32_t p = 0; p < pages; p++) {
    ahead[p] = head_ahead(in, a->keys, page + PAGES_AHEAD + p, in->end_page, heads[p]);
    if (rows <= 4) __builtin_prefetch(ahead[p], 0, 2);
  }
  for (uint32_t d = 0; d < a->head_size; d += 2) {
    words key[4];
    for (uint32_t p = 0; p < pages; p++) {
      key[p] = w_load(ck_page_integers(heads[p]) + (size_t)d * CK_PAGE);
      if (rows <= 4) __builtin_prefetch(ck_page_integers(ahead[p]) + (size_t)d * CK_PAGE, 0, 2);
    }
#pragma clang loop unroll(full)
    for (uint32_t r = 0; r < rows; r++) {
      const int16_t *digit = digits + (size_t)r * 2 * a->head_size + d;
      words hi = w_pair(digit);
      for (uint32_t p = 0; p < pages; p++) high[r * pages + p] = w_dot(high[r * pages + p], key[p], hi);
      words lo = w_pair(digit + a->head_size);
      for (uint32_t p = 0; p < pages; p++) low[r * pages + p] = w_dot(low[r * pages + p], key[p], lo);
    }
  }
  float *to = in->scores + in->stride * row + (size_t)(page - in->first_page) * CK_PAGE;
  // Unrolled; otherwise the sums would be spilled to memory.
#pragma clang loop unroll(full)
  for (uint32_t r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (uint32_t p = 0; p < pages; p++) {
      lanes sum = l_fma(w_float(high[r * pages + p]), l_set1(256), w_float(low[r * pages + p]));
      lanes score = l_mul(l_mul(sum, l_load(ck_page_scales(heads[p]))), l_set1(in->factors[row + r]));
      l_store(to + in->stride * r + (size_t)p * CK_PAGE, score);
    }
  }
  if (a->soft_cap > 0) {
    for (uint32_t r = 0; r < rows; r++) cap_scores(to + in->stride * r, pages * CK_PAGE, a->soft_cap);
  }
}

#define SCORE_ROWS(rows, pages)                                                                  \
  _Static_assert(rows * pages <= MAX_SCORES, "sums have room");                                  \
  static __attribute__((noinline)) void score_##rows(const ck_rows *in, uint32_t row) {          \
    uint32_t page = in->first_page;                                                              \
    for (; in->end_page - page >= pages; page += pages) score_tile(in, row, rows, page, pages);  \
    for (; page < in->end_page; page++) score_tile(in, row, rows, page, 1);                      \
  }

SCORE_ROWS(1, SCORE_PAGES_FEW)
SCORE_ROWS(2, SCORE_PAGES_SOME)
SCORE_ROWS(3, SCORE_PAGES_MANY)
#if SCORE_MAX_ROWS == 6
SCORE_ROWS(4, 2)
SCORE_ROWS(6, 2)
#endif

static void scores(const ck_rows *in) {
  uint32_t row = 0;
  while (row < in->count) {
    uint32_t left = in->count - row;
#if SCORE_MAX_ROWS == 6
    if (left >= 6) {
      score_6(in, row);
      row += 6;
      continue;
    }
    if (left >= 4) {
      score_4(in, row);
      row += 4;
      continue;
    }
#endif
    if (left >= 3) {
      score_3(in, row);
      row += 3;
    } else if (left == 2) {
      score_2(in, row);
      row += 2;
    } else {
      score_1(in, row);
      row += 1;
    }
  }
}

static void weights_of(float *row, uint32_t n, float largest) {
  lanes maximum = l_set1(largest);
  for (uint32_t i = 0; i < n; i += 16) l_store(row + i, l_exp(l_sub(l_load(row + i), maximum)));
}

static void sum_of(const float *x, uint32_t n, float sums[16]) {
  lanes sum = l_load(sums);
  for (uint32_t i = 0; i < n; i += 16) sum = l_add(sum, l_load(x + i));
  l_store(sums, sum);
}

static float tree_of(const float sums[16]) {
  return l_sum(l_load(sums));
}

// Adds the weighted values of pages first ..< end to `rows` rows and 16 * vectors dimensions of
// `partial`.
CK_INLINE void mix_tile(
    const ck_rows *in, uint32_t first, uint32_t end, uint32_t row, const uint32_t rows, uint32_t dimension,
    const uint32_t vectors) {
  const ck_attention *a = in->attention;
  uint32_t base = in->first_page * CK_PAGE;
  lanes sums[24];
  // the positions that all rows see
  uint32_t from = 0;
  uint32_t to = UINT32_MAX;
  for (uint32_t r = 0; r < rows; r++) {
    if (in->low[row + r] > from) from = in->low[row + r];
    if (in->high[row + r] < to) to = in->high[row + r];
    const float *partial = in->partial + (size_t)(row + r) * a->head_size + dimension;
    for (uint32_t c = 0; c < vectors; c++) sums[r * vectors + c] = l_load(partial + 16 * c);
  }
  const float *weights = in->scores + in->stride * row;
  for (uint32_t page = first; page < end; page++) {
    const uint8_t *head = ck_head_of(a, a->values, page, a->kv_head);
    const int16_t *values = ck_page_integers(head) + dimension;
    bool whole = page * CK_PAGE >= from && (page + 1) * CK_PAGE <= to;
    const uint8_t *next = head_ahead(in, a->values, page + PAGES_AHEAD, end, head);
    const int16_t *ahead = ck_page_integers(next) + dimension;
    if (rows <= 3) __builtin_prefetch(next, 0, 2);
    float scaled[6][CK_PAGE];
    for (uint32_t r = 0; r < rows; r++) {
      l_store(scaled[r], l_mul(l_load(weights + in->stride * r + (page * CK_PAGE - base)), l_load(ck_page_scales(head))));
    }
    for (uint32_t p = 0; p < CK_PAGE; p++) {
      if (rows <= 3) {
        for (uint32_t c = 0; c < vectors; c += 2) {
          __builtin_prefetch(ahead + (size_t)p * a->head_size + 16 * c, 0, 2);
        }
      }
      uint32_t position = page * CK_PAGE + p;
      lanes value[4];
      for (uint32_t c = 0; c < vectors; c++) value[c] = l_short(values + (size_t)p * a->head_size + 16 * c);
      if (whole) {
        for (uint32_t r = 0; r < rows; r++) {
          lanes w = l_set1(scaled[r][p]);
          for (uint32_t c = 0; c < vectors; c++) {
            sums[r * vectors + c] = l_fma(w, value[c], sums[r * vectors + c]);
          }
        }
      } else {
        for (uint32_t r = 0; r < rows; r++) {
          if (position < in->low[row + r] || position >= in->high[row + r]) continue;
          lanes w = l_set1(scaled[r][p]);
          for (uint32_t c = 0; c < vectors; c++) {
            sums[r * vectors + c] = l_fma(w, value[c], sums[r * vectors + c]);
          }
        }
      }
    }
  }
  for (uint32_t r = 0; r < rows; r++) {
    float *partial = in->partial + (size_t)(row + r) * a->head_size + dimension;
    for (uint32_t c = 0; c < vectors; c++) l_store(partial + 16 * c, sums[r * vectors + c]);
  }
}

#define MIX_ROWS(rows)                                                                          \
  static __attribute__((noinline)) void mix_##rows(                                             \
      const ck_rows *in, uint32_t first, uint32_t end, uint32_t row) {                          \
    uint32_t size = in->attention->head_size;                                                   \
    uint32_t d = 0;                                                                             \
    for (; size - d >= 16 * MIX_VECTORS; d += 16 * MIX_VECTORS) {                               \
      mix_tile(in, first, end, row, rows, d, MIX_VECTORS);                                      \
    }                                                                                           \
    for (; d < size; d += 16) mix_tile(in, first, end, row, rows, d, 1);                        \
  }

MIX_ROWS(1)
MIX_ROWS(2)
MIX_ROWS(3)
MIX_ROWS(6)

static void mix(const ck_rows *in, uint32_t first, uint32_t end) {
  uint32_t row = 0;
  while (row < in->count) {
    uint32_t left = in->count - row;
    if (left >= 6) {
      mix_6(in, first, end, row);
      row += 6;
    } else if (left >= 3) {
      mix_3(in, first, end, row);
      row += 3;
    } else if (left == 2) {
      mix_2(in, first, end, row);
      row += 2;
    } else {
      mix_1(in, first, end, row);
      row += 1;
    }
  }
}
