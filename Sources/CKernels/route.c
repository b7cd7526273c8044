// route.c: which experts a token goes to (N1 item 12), and the tokens of a step ordered by expert.
// Not here: the experts' products (multiply.c). Start at ck_route.
#include "internal.h"

enum {
  MAX_EXPERTS = 1024,
};

_Static_assert(MAX_EXPERTS == CK_MAX_EXPERTS && MAX_EXPERTS % 16 == 0, "whole vectors");

// e[i] = exp(x[i] - largest), and their sum in lanes. `e` has room for whole vectors.
static float exponentials(const ck_kernels *kernels, const float *x, uint32_t n, float largest, float *e) {
  uint32_t padded = (n + 15) / 16 * 16;
  for (uint32_t i = 0; i < n; i++) e[i] = x[i] - largest;
  kernels->exp(e, n, e);
  for (uint32_t i = n; i < padded; i++) e[i] = 0;
  float lanes[16] = {0};
  kernels->sum(e, padded, lanes);
  return kernels->tree(lanes);
}

static void probabilities(const ck_kernels *kernels, const ck_router *r, const float *logits, float *p) {
  switch (r->gating) {
    case CK_GATING_SOFTMAX: {
      float sum = exponentials(kernels, logits, r->experts, kernels->maximum(logits, r->experts), p);
      for (uint32_t i = 0; i < r->experts; i++) p[i] = p[i] / sum;
      break;
    }
    case CK_GATING_SIGMOID:
      for (uint32_t i = 0; i < r->experts; i++) p[i] = -logits[i];
      kernels->exp(p, r->experts, p);
      for (uint32_t i = 0; i < r->experts; i++) p[i] = 1.0f / (1.0f + p[i]);
      break;
    case CK_GATING_SOFTMAX_OF_CHOSEN: break;
  }
}

// Leaves out what is in none of the best groups.
static void keep_groups(ck_level level, const ck_router *r, float *values) {
  float scores[MAX_EXPERTS];
  uint32_t indices[MAX_EXPERTS];
  float best[MAX_EXPERTS];
  uint32_t size = r->experts / r->groups;
  float lowest = ck_bits_float(0xff800000);
  for (uint32_t g = 0; g < r->groups; g++) {
    const float *of = values + g * size;
    ck_top_k(level, of, size, 2, indices, best);
    scores[g] = size > 1 ? best[0] + best[1] : best[0];
  }
  uint32_t count = ck_top_k(level, scores, r->groups, r->groups_chosen, indices, best);
  bool kept[MAX_EXPERTS] = {false};
  for (uint32_t i = 0; i < count; i++) kept[indices[i]] = true;
  for (uint32_t i = 0; i < r->experts; i++) {
    if (!kept[i / size]) values[i] = lowest;
  }
}

void ck_route(ck_level level, const ck_router *r, const float *logits, float *choices) {
  const ck_kernels *kernels = ck_kernels_at(level);
  float p[MAX_EXPERTS];
  float values[MAX_EXPERTS];
  uint32_t indices[MAX_EXPERTS];
  float *weights = choices + r->chosen;
  if (!kernels->all_finite(logits, r->experts)) {
    for (uint32_t j = 0; j < r->chosen; j++) {
      choices[j] = (float)j;
      weights[j] = ck_bits_float(0x7fc00000);
    }
    return;
  }
  probabilities(kernels, r, logits, p);
  const float *compared = logits;
  if (r->bias != NULL || r->groups > 1) {
    for (uint32_t i = 0; i < r->experts; i++) values[i] = r->bias != NULL ? p[i] + r->bias[i] : p[i];
    if (r->groups > 1) keep_groups(level, r, values);
    compared = values;
  }
  float found[MAX_EXPERTS];
  ck_top_k(level, compared, r->experts, r->chosen, indices, found);
  if (r->gating == CK_GATING_SOFTMAX_OF_CHOSEN) {
    for (uint32_t j = 0; j < r->chosen; j++) weights[j] = logits[indices[j]] - logits[indices[0]];
    kernels->exp(weights, r->chosen, weights);
  } else {
    for (uint32_t j = 0; j < r->chosen; j++) weights[j] = p[indices[j]];
  }
  float sum = 0;
  for (uint32_t j = 0; j < r->chosen; j++) sum = sum + weights[j];
  if (r->gating == CK_GATING_SOFTMAX_OF_CHOSEN || r->normalises) {
    float divisor = sum > 0x1p-14f ? sum : 0x1p-14f;
    for (uint32_t j = 0; j < r->chosen; j++) weights[j] = weights[j] / divisor;
  }
  for (uint32_t j = 0; j < r->chosen; j++) {
    choices[j] = (float)indices[j];
    weights[j] = weights[j] * r->scale;
    if (r->factors != NULL) weights[j] = weights[j] * r->factors[indices[j]];
  }
}

void ck_place_choices(
    const float *choices, size_t stride, uint32_t tokens, uint32_t chosen, uint32_t experts, ck_places *places) {
  uint32_t *first = places->first;
  memset(first, 0, (experts + 1) * sizeof *first);
  for (uint32_t t = 0; t < tokens; t++) {
    for (uint32_t j = 0; j < chosen; j++) first[(uint32_t)choices[stride * t + j] + 1]++;
  }
  places->busy = 0;
  for (uint32_t e = 0; e < experts; e++) {
    if (first[e + 1] > 0) places->experts[places->busy++] = e;
    first[e + 1] += first[e];
  }
  // While places are given out, first[e] is the next free one; afterwards each is that of e + 1.
  for (uint32_t t = 0; t < tokens; t++) {
    for (uint32_t j = 0; j < chosen; j++) {
      uint32_t place = first[(uint32_t)choices[stride * t + j]]++;
      places->tokens[place] = t;
      places->weights[place] = choices[stride * t + chosen + j];
      places->of_token[t * chosen + j] = place;
    }
  }
  memmove(first + 1, first, experts * sizeof *first);
  first[0] = 0;
}
