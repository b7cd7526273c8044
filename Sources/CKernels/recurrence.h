// recurrence.h: convolution over positions and the recurrent states of linear attention (N1 item
// 13), written once for the AVX2 and AVX-512 levels over the lanes of lanes.h, which a level
// includes first. The twins are in scalar.c, the public names in recurrence.c. Start at recur.

CK_INLINE lanes l_sigmoid(lanes x) {
  lanes one = l_set1(1.0f);
  return l_div(one, l_add(one, l_exp(l_negate(x))));
}

CK_INLINE lanes l_softplus(lanes x) {
  lanes t = l_exp(l_negate(l_magnitude(x)));
  lanes z = l_div(t, l_add(l_set1(2.0f), t));
  lanes q = l_mul(z, z);
  lanes p = l_set1(1.0f / 15);
  p = l_fma(p, q, l_set1(1.0f / 13));
  p = l_fma(p, q, l_set1(1.0f / 11));
  p = l_fma(p, q, l_set1(1.0f / 9));
  p = l_fma(p, q, l_set1(1.0f / 7));
  p = l_fma(p, q, l_set1(1.0f / 5));
  p = l_fma(p, q, l_set1(1.0f / 3));
  p = l_fma(p, q, l_set1(1.0f));
  return l_add(l_max(x, l_zero()), l_mul(l_mul(l_set1(2.0f), z), p));
}

VECTOR_KERNEL(vector_sigmoid, l_sigmoid(a))
VECTOR_KERNEL(vector_softplus, l_softplus(a))
VECTOR_KERNEL(vector_sigmoid_gate, l_mul(l_sigmoid(b), a))

static void unit(const float *x, uint32_t n, float epsilon, float scale, float *y) {
  lanes squares = l_zero();
  for (uint32_t i = 0; i < n; i += 16) {
    lanes v = l_load(x + i);
    squares = l_fma(v, v, squares);
  }
  float root = __builtin_sqrtf(l_sum(squares) + epsilon);
  lanes r = l_set1(1.0f / root);
  lanes factor = l_set1(scale);
  for (uint32_t i = 0; i < n; i += 16) l_store(y + i, l_mul(l_mul(l_load(x + i), r), factor));
}

static void convolve(const ck_convolution *c) {
  const uint32_t kept = c->taps - 1;
  for (uint32_t first = 0; first < c->channels; first += 16) {
    // The taps of 16 channels side by side, and what came before.
    float taps[CK_MOST_TAPS * 16];
    lanes before[CK_MOST_TAPS];
    for (uint32_t tap = 0; tap < c->taps; tap++) {
      for (uint32_t i = 0; i < 16; i++) taps[tap * 16 + i] = c->weights[(first + i) * c->taps + tap];
    }
    for (uint32_t i = 0; i < kept; i++) {
      before[i] = c->from == NULL ? l_zero() : l_load(c->from + i * c->width + first);
    }
    lanes bias = c->bias == NULL ? l_zero() : l_load(c->bias + first);
    for (uint32_t token = 0; token < c->tokens; token++) {
      float *x = c->x + token * c->stride + first;
      lanes present = l_load(x);
      lanes sum = l_zero();
      for (uint32_t i = 0; i < kept; i++) sum = l_fma(l_load(taps + i * 16), before[i], sum);
      sum = l_fma(l_load(taps + kept * 16), present, sum);
      if (c->bias != NULL) sum = l_add(sum, bias);
      l_store(x, c->activates ? l_silu(sum) : sum);
      for (uint32_t i = 0; i + 1 < kept; i++) before[i] = before[i + 1];
      before[kept - 1] = present;
    }
    for (uint32_t i = 0; i < kept; i++) l_store(c->into + i * c->width + first, before[i]);
  }
}

// Some tokens of `rows` rows of a state, which stay at `state`.
CK_INLINE void recur_rows(
    const ck_recurrence *r, const bool isDelta, uint32_t row, const uint32_t rows, uint32_t first,
    uint32_t tokens, const float *decays, const float *strengths) {
  // Stores of vectors may alias anything: what does not change is read once.
  const uint32_t columns = r->columns;
  const float skip = r->skip;
  float *state = r->into + (size_t)row * columns;
  for (uint32_t token = 0; token < tokens; token++) {
    const size_t at = first + token;
    const float *key = r->keys + at * r->key_stride;
    const float *query = r->queries + at * r->query_stride;
    const float *value = r->values + at * r->value_stride + row;
    float *out = r->out + at * r->out_stride + row;
    const float strength = strengths[token];
    const lanes decay = l_set1(decays[token]);
    lanes change[4];
    lanes sums[4];
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < rows; i++) sums[i] = l_zero();
    if (isDelta) {
      for (uint32_t c = 0; c < columns; c += 16) {
        const lanes k = l_load(key + c);
#pragma clang loop unroll(full)
        for (uint32_t i = 0; i < rows; i++) {
          float *m = state + (size_t)i * columns + c;
          const lanes decayed = l_mul(l_load(m), decay);
          l_store(m, decayed);
          sums[i] = l_fma(decayed, k, sums[i]);
        }
      }
    }
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < rows; i++) {
      const float missing = isDelta ? value[i] - l_sum(sums[i]) : value[i];
      change[i] = l_set1(missing * strength);
      sums[i] = l_zero();
    }
    for (uint32_t c = 0; c < columns; c += 16) {
      const lanes k = l_load(key + c);
      const lanes q = l_load(query + c);
#pragma clang loop unroll(full)
      for (uint32_t i = 0; i < rows; i++) {
        float *m = state + (size_t)i * columns + c;
        const lanes before = isDelta ? l_load(m) : l_mul(l_load(m), decay);
        const lanes changed = l_fma(k, change[i], before);
        l_store(m, changed);
        sums[i] = l_fma(changed, q, sums[i]);
      }
    }
    float read[4];
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < rows; i++) read[i] = l_sum(sums[i]);
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < rows; i++) {
      out[i] = isDelta ? read[i] : __builtin_fmaf(skip, value[i], read[i]);
    }
  }
}

static void recur(const ck_recurrence *r) {
  size_t count = (size_t)r->rows * r->columns;
  if (r->from == NULL) {
    memset(r->into, 0, count * sizeof(float));
  } else if (r->from != r->into) {
    memcpy(r->into, r->from, count * sizeof(float));
  }
  for (uint32_t first = 0; first < r->tokens; first += CK_RECURRENT_TOKENS) {
    uint32_t left = r->tokens - first;
    uint32_t tokens = left < CK_RECURRENT_TOKENS ? left : CK_RECURRENT_TOKENS;
    float decays[CK_RECURRENT_TOKENS];
    float strengths[CK_RECURRENT_TOKENS];
    for (uint32_t token = 0; token < tokens; token++) {
      float step = r->steps[(first + token) * r->step_stride];
      decays[token] = step * r->rate;
      strengths[token] = r->strengths == NULL ? step : r->strengths[(first + token) * r->strength_stride];
    }
    vector_exp(decays, tokens, decays);
    uint32_t row = 0;
    if (r->strengths != NULL) {
      vector_sigmoid(strengths, tokens, strengths);
      for (; row + 4 <= r->rows; row += 4) recur_rows(r, true, row, 4, first, tokens, decays, strengths);
      for (; row < r->rows; row++) recur_rows(r, true, row, 1, first, tokens, decays, strengths);
    } else {
      for (; row + 4 <= r->rows; row += 4) recur_rows(r, false, row, 4, first, tokens, decays, strengths);
      for (; row < r->rows; row++) recur_rows(r, false, row, 1, first, tokens, decays, strengths);
    }
  }
}
