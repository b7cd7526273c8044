// scalar.c: the twins in portable C. They define the bits; the other levels reproduce them.
// The only concern here is the order and the rounding of N1. Start at products.
#include "internal.h"

// a * b + c rounded once. The product is exact in double; the sum is rounded to odd, so that the
// second rounding, to float, is the only one that counts (Boldo and Melquiond 2008).
CK_INLINE float fused(float a, float b, float c) {
  double product = (double)a * (double)b;
  double addend = (double)c;
  double sum = product + addend;
  double back = sum - product;
  double error = (product - (sum - back)) + (addend - back);
  // also false if the sum is not finite, because the error is then NaN
  if (error > 0 || error < 0) {
    uint64_t bits;
    memcpy(&bits, &sum, 8);
    if ((bits & 1) == 0) bits = (error > 0) == (sum > 0) ? bits + 1 : bits - 1;
    memcpy(&sum, &bits, 8);
  }
  return (float)sum;
}

// x rounded to the nearest integer, ties to even; |x| below 2^22.
CK_INLINE float nearest(float x) {
  float shifted = x + 12582912.0f;
  return shifted - 12582912.0f;
}

CK_INLINE float tree16(float lanes[16]) {
  for (int width = 8; width >= 1; width /= 2) {
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

CK_INLINE float exp_of(float x) {
  if (x != x) return ck_bits_float(0x7fc00000);
  if (x < -87.0f) return 0;
  if (x > 88.0f) x = 88.0f;
  float n = fused(x, 0x1.715476p+0f, 12582912.0f);
  float f = n - 12582912.0f;
  float r = fused(f, -0x1.62e4p-1f, x);
  r = fused(f, -0x1.7f7d1cp-20f, r);
  float p = 0x1.6850e4p-10f;
  p = fused(p, r, 0x1.123bccp-7f);
  p = fused(p, r, 0x1.555b98p-5f);
  p = fused(p, r, 0x1.55548ep-3f);
  p = fused(p, r, 0x1.fffff8p-2f);
  p = fused(p, r, 1.0f);
  p = fused(p, r, 1.0f);
  return ck_bits_float(ck_float_bits(p) + (ck_float_bits(n) << 23));
}

CK_INLINE float silu_of(float x) {
  return x / (1.0f + exp_of(-x));
}

CK_INLINE float sigmoid_of(float x) {
  return 1.0f / (1.0f + exp_of(-x));
}

CK_INLINE float softplus_of(float x) {
  float t = exp_of(x < 0 ? x : -x);
  float z = t / (2.0f + t);
  float q = z * z;
  float p = 1.0f / 15;
  for (int k = 13; k >= 1; k -= 2) p = fused(p, q, 1.0f / (float)k);
  float above = x > 0 ? x : 0;
  return above + 2.0f * z * p;
}

CK_INLINE float tanh_of(float x) {
  return 1.0f - 2.0f / (1.0f + exp_of(2.0f * x));
}

// ---------------------------------------------------------------- activations

static bool quantise(ck_profile profile, const float *x, uint32_t cols, void *out) {
  ck_record *records = out;
  float top = ck_profile_top(profile);
  for (uint32_t b = 0; b < cols / 32; b++) {
    const float *in = x + (size_t)b * 32;
    uint32_t amax_bits = 0;
    for (int i = 0; i < 32; i++) {
      uint32_t magnitude = ck_float_bits(in[i]) & 0x7fffffff;
      if (magnitude > amax_bits) amax_bits = magnitude;
    }
    if (amax_bits >= 0x7f800000) return false;
    float amax = ck_bits_float(amax_bits);
    float id = top / amax;
    ck_record *record = &records[b];
    memset(record, 0, sizeof *record);
    if (ck_float_bits(id) >= 0x7f800000) continue;
    record->d = amax / top;
    int16_t v[32];
    for (int i = 0; i < 32; i++) {
      v[i] = (int16_t)nearest(in[i] * id);
      record->sum[i / 16] += v[i];
    }
    record->s = record->d * (float)(record->sum[0] + record->sum[1]);
    memcpy(record->digits, v, sizeof v);
  }
  return true;
}

static void blocks_read(
    ck_profile profile, const void *blocks, uint32_t block, int16_t *v, float *d, float *s) {
  (void)profile;
  const ck_record *record = (const ck_record *)blocks + block;
  memcpy(v, record->digits, 64);
  *d = record->d;
  *s = record->s;
}

// ---------------------------------------------------------------- products

static void block_products(
    const ck_matrix *matrix, const uint8_t *tile, const ck_input *input, uint32_t token, uint32_t tokens,
    float *dst) {
  const ck_traits *traits = ck_traits_of(matrix->type);
  for (uint32_t b = 0; b < matrix->cols / 32; b++) {
    for (uint32_t lane = 0; lane < CK_TILE_ROWS; lane++) {
      ck_block block;
      int16_t w[32];
      ck_block_packed(traits, tile, matrix->cols, lane, b, &block);
      ck_block_integers(traits, &block, w);
      float dw = ck_block_scale(traits, &block);
      float mw = ck_half_float(block.m);
      bool halves = ck_is_halves(traits->scales);
      if (traits->scales == CK_SCALES_SUPER || traits->scales == CK_SCALES_ODD) dw *= (float)block.sc[0];
      if (traits->scales == CK_SCALES_SUPER_MIN) {
        dw *= (float)block.sc[0];
        mw = -(mw * (float)block.mn[0]);
      }
      for (uint32_t t = 0; t < tokens; t++) {
        const ck_record *record =
            (const ck_record *)(const void *)(input->blocks + input->block_stride * (token + t)) + b;
        int16_t v[32];
        memcpy(v, record->digits, sizeof v);
        int32_t sums[2] = {0, 0};
        for (int i = 0; i < 16; i++) {
          sums[0] += w[i] * v[i];
          sums[1] += w[i + 16] * v[i + 16];
        }
        int32_t isum = halves ? sums[0] * block.sc[0] + sums[1] * block.sc[1] : sums[0] + sums[1];
        float acc = dst[t * CK_TILE_ROWS + lane];
        float scale = dw * record->d;
        acc = fused((float)isum, scale, acc);
        if (traits->scales == CK_SCALES_DM || traits->scales == CK_SCALES_SUPER_MIN) {
          acc = fused(mw, record->s, acc);
        }
        if (traits->scales == CK_SCALES_HALVES_MIN) {
          int32_t minimum = record->sum[0] * block.mn[0] + record->sum[1] * block.mn[1];
          float s = record->d * (float)minimum;
          acc = fused(-mw, s, acc);
        }
        dst[t * CK_TILE_ROWS + lane] = acc;
      }
    }
  }
}

static void float_products(
    const ck_matrix *matrix, const uint8_t *tile, const ck_input *input, uint32_t token, uint32_t tokens,
    float *dst) {
  for (uint32_t k = 0; k < matrix->cols; k++) {
    float w[CK_TILE_ROWS];
    for (uint32_t lane = 0; lane < CK_TILE_ROWS; lane++) {
      size_t at = (size_t)k * CK_TILE_ROWS + lane;
      uint16_t half;
      if (matrix->type == CK_F32) {
        memcpy(&w[lane], tile + at * 4, 4);
      } else {
        memcpy(&half, tile + at * 2, 2);
        w[lane] = matrix->type == CK_F16 ? ck_half_float(half) : ck_bfloat_float(half);
      }
    }
    for (uint32_t t = 0; t < tokens; t++) {
      float x = input->values[input->value_stride * (token + t) + k];
      for (uint32_t lane = 0; lane < CK_TILE_ROWS; lane++) {
        dst[t * CK_TILE_ROWS + lane] = fused(w[lane], x, dst[t * CK_TILE_ROWS + lane]);
      }
    }
  }
}

static void products(
    const ck_matrix *matrix, const ck_input *input, uint32_t tile, uint32_t tiles, uint32_t token,
    uint32_t tokens, const uint8_t *ahead, float *dst) {
  (void)ahead;
  size_t tile_bytes = ck_tile_bytes(matrix->type, matrix->cols);
  memset(dst, 0, (size_t)tiles * tokens * CK_TILE_ROWS * sizeof(float));
  for (uint32_t i = 0; i < tiles; i++) {
    const uint8_t *at = matrix->data + tile_bytes * (tile + i);
    float *to = dst + (size_t)i * tokens * CK_TILE_ROWS;
    if (ck_type_takes_blocks(matrix->type)) {
      block_products(matrix, at, input, token, tokens, to);
    } else {
      float_products(matrix, at, input, token, tokens, to);
    }
  }
}

// ---------------------------------------------------------------- vectors

static void rms_norm(const float *x, const float *weight, uint32_t n, float epsilon, float *y) {
  float lanes[16] = {0};
  for (uint32_t i = 0; i < n; i++) lanes[i % 16] = fused(x[i], x[i], lanes[i % 16]);
  float mean = tree16(lanes) / (float)n;
  float root = __builtin_sqrtf(mean + epsilon);
  float r = 1.0f / root;
  for (uint32_t i = 0; i < n; i++) {
    float scaled = x[i] * r;
    y[i] = scaled * weight[i];
  }
}

static void vector_exp(const float *x, uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) y[i] = exp_of(x[i]);
}

static void vector_silu(const float *x, uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) y[i] = silu_of(x[i]);
}

static void vector_tanh(const float *x, uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) y[i] = tanh_of(x[i]);
}

static void vector_gate(const float *x, uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) {
    float activated = silu_of(y[i]);
    y[i] = activated * x[i];
  }
}

static void vector_add(const float *x, uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) y[i] = x[i] + y[i];
}

static void vector_sigmoid_gate(const float *x, uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) y[i] = sigmoid_of(y[i]) * x[i];
}

static void vector_softplus(const float *x, uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) y[i] = softplus_of(x[i]);
}

static void unit(const float *x, uint32_t n, float epsilon, float scale, float *y) {
  float lanes[16] = {0};
  for (uint32_t i = 0; i < n; i++) lanes[i % 16] = fused(x[i], x[i], lanes[i % 16]);
  float root = __builtin_sqrtf(tree16(lanes) + epsilon);
  float r = 1.0f / root;
  for (uint32_t i = 0; i < n; i++) y[i] = x[i] * r * scale;
}

static bool all_finite(const float *x, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    if ((ck_float_bits(x[i]) & 0x7fffffff) >= 0x7f800000) return false;
  }
  return true;
}

static void rope(
    ck_rope_style style, float *x, uint32_t heads, uint32_t head_size, uint32_t pairs, const float *table) {
  for (uint32_t h = 0; h < heads; h++) {
    float *head = x + (size_t)h * head_size;
    for (uint32_t i = 0; i < pairs; i++) {
      float *a = style == CK_ROPE_INTERLEAVED ? head + 2 * i : head + i;
      float *b = style == CK_ROPE_INTERLEAVED ? a + 1 : a + pairs;
      float c = table[2 * i];
      float s = table[2 * i + 1];
      float x0 = *a;
      float x1 = *b;
      float x0c = x0 * c;
      float x1c = x1 * c;
      *a = fused(-x1, s, x0c);
      *b = fused(x0, s, x1c);
    }
  }
}

// ---------------------------------------------------------------- recurrence

static void convolve(const ck_convolution *c) {
  const uint32_t kept = c->taps - 1;
  for (uint32_t channel = 0; channel < c->channels; channel++) {
    const float *taps = c->weights + (size_t)channel * c->taps;
    float before[CK_MOST_TAPS];
    for (uint32_t i = 0; i < kept; i++) before[i] = c->from == NULL ? 0 : c->from[i * c->width + channel];
    for (uint32_t token = 0; token < c->tokens; token++) {
      float *x = c->x + token * c->stride + channel;
      float present = *x;
      float sum = 0;
      for (uint32_t i = 0; i < kept; i++) sum = fused(taps[i], before[i], sum);
      sum = fused(taps[kept], present, sum);
      if (c->bias != NULL) sum = sum + c->bias[channel];
      *x = c->activates ? silu_of(sum) : sum;
      for (uint32_t i = 0; i + 1 < kept; i++) before[i] = before[i + 1];
      before[kept - 1] = present;
    }
    for (uint32_t i = 0; i < kept; i++) c->into[i * c->width + channel] = before[i];
  }
}

static float product16(const float *x, const float *y, uint32_t n) {
  float lanes[16] = {0};
  for (uint32_t i = 0; i < n; i++) lanes[i % 16] = fused(x[i], y[i], lanes[i % 16]);
  return tree16(lanes);
}

static void recur(const ck_recurrence *r) {
  for (uint32_t row = 0; row < r->rows; row++) {
    float *state = r->into + (size_t)row * r->columns;
    const float *from = r->from == NULL ? NULL : r->from + (size_t)row * r->columns;
    for (uint32_t i = 0; i < r->columns; i++) state[i] = from == NULL ? 0 : from[i];
    for (uint32_t token = 0; token < r->tokens; token++) {
      const float *key = r->keys + token * r->key_stride;
      const float *query = r->queries + token * r->query_stride;
      float value = r->values[token * r->value_stride + row];
      float step = r->steps[token * r->step_stride];
      float decay = exp_of(step * r->rate);
      for (uint32_t i = 0; i < r->columns; i++) state[i] = state[i] * decay;
      float change = value * step;
      if (r->strengths != NULL) {
        float missing = value - product16(state, key, r->columns);
        change = missing * sigmoid_of(r->strengths[token * r->strength_stride]);
      }
      for (uint32_t i = 0; i < r->columns; i++) state[i] = fused(key[i], change, state[i]);
      float read = product16(state, query, r->columns);
      r->out[token * r->out_stride + row] = r->strengths == NULL ? fused(r->skip, value, read) : read;
    }
  }
}

// ---------------------------------------------------------------- attention

static float integers(const float *x, uint32_t n, float top, int16_t *v) {
  uint32_t amax_bits = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t magnitude = ck_float_bits(x[i]) & 0x7fffffff;
    if (magnitude > amax_bits) amax_bits = magnitude;
  }
  memset(v, 0, n * sizeof *v);
  if (amax_bits >= 0x7f800000) return ck_bits_float(0x7fc00000);
  float amax = ck_bits_float(amax_bits);
  float id = top / amax;
  if (ck_float_bits(id) >= 0x7f800000) return 0;
  for (uint32_t i = 0; i < n; i++) v[i] = (int16_t)nearest(x[i] * id);
  return amax / top;
}

static void scores(const ck_rows *rows) {
  const ck_attention *a = rows->attention;
  for (uint32_t page = rows->first_page; page < rows->end_page; page++) {
    const uint8_t *head = ck_head_of(a, a->keys, page, a->kv_head);
    const int16_t *keys = ck_page_integers(head);
    for (uint32_t r = 0; r < rows->count; r++) {
      const int16_t *digits = rows->digits + (size_t)r * 2 * a->head_size;
      float *to = rows->scores + rows->stride * r + (size_t)(page - rows->first_page) * CK_PAGE;
      for (uint32_t p = 0; p < CK_PAGE; p++) {
        int32_t high = 0;
        int32_t low = 0;
        for (uint32_t d = 0; d < a->head_size; d++) {
          int32_t key = keys[d / 2 * 2 * CK_PAGE + 2 * p + d % 2];
          high += digits[d] * key;
          low += digits[a->head_size + d] * key;
        }
        float score = fused((float)high, 256, (float)low) * ck_page_scales(head)[p] * rows->factors[r];
        if (a->soft_cap > 0) score = a->soft_cap * tanh_of(score / a->soft_cap);
        to[p] = score;
      }
    }
  }
}

static void weights_of(float *row, uint32_t n, float largest) {
  for (uint32_t i = 0; i < n; i++) row[i] = exp_of(row[i] - largest);
}

static void sum_of(const float *x, uint32_t n, float lanes[16]) {
  for (uint32_t i = 0; i < n; i++) lanes[i % 16] += x[i];
}

static float tree_of(const float lanes[16]) {
  float copy[16];
  memcpy(copy, lanes, sizeof copy);
  return tree16(copy);
}

static void mix(const ck_rows *rows, uint32_t first, uint32_t end) {
  const ck_attention *a = rows->attention;
  uint32_t base = rows->first_page * CK_PAGE;
  for (uint32_t page = first; page < end; page++) {
    const uint8_t *head = ck_head_of(a, a->values, page, a->kv_head);
    for (uint32_t r = 0; r < rows->count; r++) {
      float *to = rows->partial + (size_t)r * a->head_size;
      for (uint32_t p = 0; p < CK_PAGE; p++) {
        uint32_t position = page * CK_PAGE + p;
        if (position < rows->low[r] || position >= rows->high[r]) continue;
        float weight = rows->scores[rows->stride * r + position - base] * ck_page_scales(head)[p];
        const int16_t *value = ck_page_integers(head) + p * a->head_size;
        for (uint32_t d = 0; d < a->head_size; d++) to[d] = fused(weight, value[d], to[d]);
      }
    }
  }
}

// ---------------------------------------------------------------- selection

static float maximum_of(const float *x, uint32_t n) {
  float maximum = ck_bits_float(0xff800000);
  for (uint32_t i = 0; i < n; i++) {
    if (x[i] > maximum) maximum = x[i];
  }
  return maximum + 0.0f;
}

static uint32_t find_above(const float *x, uint32_t from, uint32_t n, float bound, bool at_least) {
  for (uint32_t i = from; i < n; i++) {
    if (x[i] > bound || (at_least && x[i] == bound)) return i;
  }
  return n;
}

const ck_kernels ck_kernels_scalar = {
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
