// vectors.c: the public names of the vector kernels, and selection among logits.
// Start at ck_rms_norm: like the others it calls the level's kernel; ck_top_k has no separate
// kernel.
#include "internal.h"

void ck_rms_norm(ck_level level, const float *x, const float *weight, uint32_t n, float epsilon, float *y) {
  ck_kernels_at(level)->rms_norm(x, weight, n, epsilon, y);
}

void ck_layer_norm(
    ck_level level, const float *x, const float *weight, const float *bias, uint32_t n, float epsilon,
    float *y) {
  const ck_kernels *kernels = ck_kernels_at(level);
  float sums[16] = {0};
  const uint32_t whole = n / 16 * 16;
  kernels->sum(x, whole, sums);
  for (uint32_t i = whole; i < n; i++) sums[i - whole] += x[i];
  const float mean = kernels->tree(sums) / (float)n;
  for (uint32_t i = 0; i < n; i++) y[i] = x[i] - mean;
  kernels->rms_norm(y, weight, n, epsilon, y);
  if (bias != NULL) kernels->add(bias, n, y);
}

void ck_exp(ck_level level, const float *x, uint32_t n, float *y) {
  ck_kernels_at(level)->exp(x, n, y);
}

void ck_silu(ck_level level, const float *x, uint32_t n, float *y) {
  ck_kernels_at(level)->silu(x, n, y);
}

void ck_silu_times(ck_level level, const float *x, uint32_t n, float *y) {
  ck_kernels_at(level)->gate(x, n, y);
}

void ck_tanh(ck_level level, const float *x, uint32_t n, float *y) {
  ck_kernels_at(level)->tanh(x, n, y);
}

void ck_gelu(ck_level level, uint32_t n, float *y) {
  // The plain loops have one rounding an operation, whatever the compiler makes of them.
  float t[256];
  for (uint32_t first = 0; first < n; first += 256) {
    const uint32_t count = n - first < 256 ? n - first : 256;
    float *values = y + first;
    for (uint32_t i = 0; i < count; i++) {
      const float v = values[i];
      t[i] = v * 0x1.988454p-1f * (v * v * 0x1.6e4e26p-5f + 1);
    }
    ck_tanh(level, t, count, t);
    for (uint32_t i = 0; i < count; i++) values[i] = values[i] * (t[i] * 0.5f + 0.5f);
  }
}

void ck_gelu_times(ck_level level, const float *x, uint32_t n, float *y) {
  ck_gelu(level, n, y);
  for (uint32_t i = 0; i < n; i++) y[i] *= x[i];
}

void ck_squared_relu(uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) {
    // NaN is not below 0, so it is kept and found later.
    const float v = y[i] < 0 ? 0 : y[i];
    y[i] = v * v;
  }
}

void ck_clamped_swish_times(ck_level level, const float *x, uint32_t n, float *y) {
  float t[256];
  for (uint32_t first = 0; first < n; first += 256) {
    const uint32_t count = n - first < 256 ? n - first : 256;
    const float *others = x + first;
    float *values = y + first;
    for (uint32_t i = 0; i < count; i++) {
      values[i] = values[i] > 7.0f ? 7.0f : values[i];
      t[i] = values[i] * -1.702f;
    }
    ck_exp(level, t, count, t);
    for (uint32_t i = 0; i < count; i++) {
      const float other = others[i] > 7.0f ? 7.0f : others[i] < -7.0f ? -7.0f : others[i];
      values[i] = values[i] / (1.0f + t[i]) * (other + 1.0f);
    }
  }
}

void ck_weigh(ck_level level, float share, uint32_t n, float *y) {
  float t = -share;
  ck_exp(level, &t, 1, &t);
  ck_scale(1.0f / (1.0f + t), n, y);
}

void ck_cap(ck_level level, float cap, uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) y[i] /= cap;
  ck_tanh(level, y, n, y);
  for (uint32_t i = 0; i < n; i++) y[i] *= cap;
}

void ck_scale(float factor, uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) y[i] *= factor;
}

void ck_times(const float *x, uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) y[i] *= x[i];
}

void ck_add(ck_level level, const float *x, uint32_t n, float *y) {
  ck_kernels_at(level)->add(x, n, y);
}

bool ck_all_finite(ck_level level, const float *x, uint32_t n) {
  return ck_kernels_at(level)->all_finite(x, n);
}

void ck_rope(
    ck_level level, ck_rope_style style, float *x, uint32_t heads, uint32_t head_size, uint32_t pairs,
    const float *table) {
  ck_kernels_at(level)->rope(style, x, heads, head_size, pairs, table);
}

float ck_maximum(ck_level level, const float *x, uint32_t n) {
  return ck_kernels_at(level)->maximum(x, n);
}

uint32_t ck_argmax(ck_level level, const float *x, uint32_t n) {
  const ck_kernels *kernels = ck_kernels_at(level);
  uint32_t index = kernels->find_above(x, 0, n, kernels->maximum(x, n), true);
  // n if every value is NaN
  return index < n ? index : 0;
}

// Whether (value, index) a comes after b in the order: smaller, or equal and of a higher index.
static bool after(float a, uint32_t i, float b, uint32_t j) {
  return a < b || (a == b && i > j);
}

// Restores the heap below `at`: every parent comes after its children.
static void sift(uint32_t *indices, float *values, uint32_t count, uint32_t at) {
  float value = values[at];
  uint32_t index = indices[at];
  for (;;) {
    uint32_t child = 2 * at + 1;
    if (child >= count) break;
    if (child + 1 < count && after(values[child + 1], indices[child + 1], values[child], indices[child])) {
      child++;
    }
    if (!after(values[child], indices[child], value, index)) break;
    values[at] = values[child];
    indices[at] = indices[child];
    at = child;
  }
  values[at] = value;
  indices[at] = index;
}

uint32_t ck_top_k(
    ck_level level, const float *x, uint32_t n, uint32_t k, uint32_t *indices, float *values) {
  const ck_kernels *kernels = ck_kernels_at(level);
  if (k > n) k = n;
  if (k == 0) return 0;
  for (uint32_t i = 0; i < k; i++) {
    indices[i] = i;
    values[i] = x[i];
  }
  for (uint32_t i = k / 2; i-- > 0;) sift(indices, values, k, i);
  // an equal value of a higher index comes after all that are kept, so only greater ones are
  // inserted
  for (uint32_t i = kernels->find_above(x, k, n, values[0], false); i < n;) {
    indices[0] = i;
    values[0] = x[i];
    sift(indices, values, k, 0);
    i = kernels->find_above(x, i + 1, n, values[0], false);
  }
  for (uint32_t count = k; count > 1; count--) {
    float value = values[0];
    uint32_t index = indices[0];
    values[0] = values[count - 1];
    indices[0] = indices[count - 1];
    sift(indices, values, count - 1, 0);
    values[count - 1] = value;
    indices[count - 1] = index;
  }
  return k;
}
