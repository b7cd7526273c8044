// self_test_parts.c: the self-test's vectors for one kernel at a time, with inputs that a processor
// never minds and another device may: ties, cancellation, denormals, signed zeros, weights of
// attention near 1e-38. Inputs are made from seeds. Not here: the whole test of a level
// (self_test.c). Start at ck_test_part_digest.
#include "include/self_test.h"
#include "test_inputs.h"

enum {
  // of functions
  NUMBERS = 4096,
  ROWS = 40,
  COLS = 512,
  TOKENS = 5,
  HEAD = 64,
  HEADS = 4,
  GROUP = 3,
  POSITIONS = 300,
  PAGES = 19,
  PAGE_BYTES = CK_PAGE_SCALES + HEAD * CK_PAGE * 2,
};

// The parts of which a device beside the processors has kernels.
static const ck_test_part parts[] = {
    {"fused multiply-add", CK_TEST_KIND_FUNCTION, CK_TEST_FUSED, 0xc44f9b39ad000591ull},
    {"multiply", CK_TEST_KIND_FUNCTION, CK_TEST_MULTIPLY, 0xc7c35f4f17169128ull},
    {"add", CK_TEST_KIND_FUNCTION, CK_TEST_ADD, 0x6a459c2f09c22f39ull},
    {"divide", CK_TEST_KIND_FUNCTION, CK_TEST_DIVIDE, 0x8db3326c1a0ab6e8ull},
    {"root", CK_TEST_KIND_FUNCTION, CK_TEST_ROOT, 0xd4adc2fe55a1457bull},
    {"chain of operations", CK_TEST_KIND_FUNCTION, CK_TEST_CHAIN, 0x18ada32bd40e60c6ull},
    {"half", CK_TEST_KIND_FUNCTION, CK_TEST_HALF, 0x09b3f04bbd1ce720ull},
    {"integer", CK_TEST_KIND_FUNCTION, CK_TEST_INTEGER, 0x3e70f3ca086cb2b5ull},
    {"nearest", CK_TEST_KIND_FUNCTION, CK_TEST_NEAREST, 0x0849499c0bdd90c2ull},
    {"exp", CK_TEST_KIND_FUNCTION, CK_TEST_EXP, 0xf4af949fffcefe29ull},
    {"silu", CK_TEST_KIND_FUNCTION, CK_TEST_SILU, 0xc9a4c389407fb72bull},
    {"tanh", CK_TEST_KIND_FUNCTION, CK_TEST_TANH, 0x8bb56d2aab7fefc9ull},
    {"sigmoid times", CK_TEST_KIND_FUNCTION, CK_TEST_SIGMOID_TIMES, 0xd145ca3917ce540dull},
    {"silu times", CK_TEST_KIND_FUNCTION, CK_TEST_SILU_TIMES, 0xb9f0b5cf4cdf6130ull},
    {"quantise A8", CK_TEST_KIND_QUANTISE, CK_A8, 0xc91ced7df0c83538ull},
    {"quantise A12", CK_TEST_KIND_QUANTISE, CK_A12, 0xaf436fbaa5810e06ull},
    {"quantise A15", CK_TEST_KIND_QUANTISE, CK_A15, 0xd8952b1cb876afc3ull},
    {"product Q4_0", CK_TEST_KIND_PRODUCT, CK_Q4_0, 0xdeaffcfbcb1597abull},
    {"product Q4_1", CK_TEST_KIND_PRODUCT, CK_Q4_1, 0x6c57726864a6f34eull},
    {"product Q5_0", CK_TEST_KIND_PRODUCT, CK_Q5_0, 0xaf654a628680c842ull},
    {"product Q5_1", CK_TEST_KIND_PRODUCT, CK_Q5_1, 0x8e4eeda49a2551dfull},
    {"product Q8_0", CK_TEST_KIND_PRODUCT, CK_Q8_0, 0x90a42595df78ff75ull},
    {"product Q2_K", CK_TEST_KIND_PRODUCT, CK_Q2_K, 0xfdcf17f4ab59c94full},
    {"product Q3_K", CK_TEST_KIND_PRODUCT, CK_Q3_K, 0x2bf95308255555e4ull},
    {"product Q4_K", CK_TEST_KIND_PRODUCT, CK_Q4_K, 0x3d9d16d08cd5ee0dull},
    {"product Q5_K", CK_TEST_KIND_PRODUCT, CK_Q5_K, 0x77de4d5b99035e46ull},
    {"product Q6_K", CK_TEST_KIND_PRODUCT, CK_Q6_K, 0xd45bfad8679e399full},
    {"product IQ4_NL", CK_TEST_KIND_PRODUCT, CK_IQ4_NL, 0xace28772aea1febbull},
    {"product IQ4_XS", CK_TEST_KIND_PRODUCT, CK_IQ4_XS, 0x4c5fc7a95935acc3ull},
    {"product TQ1_0", CK_TEST_KIND_PRODUCT, CK_TQ1_0, 0x245a332e48984bc7ull},
    {"product TQ2_0", CK_TEST_KIND_PRODUCT, CK_TQ2_0, 0xe97ac1b3deb1d273ull},
    {"product F32", CK_TEST_KIND_PRODUCT, CK_F32, 0x0cac5dba653244daull},
    {"product F16", CK_TEST_KIND_PRODUCT, CK_F16, 0x786f31ba7b3526feull},
    {"product BF16", CK_TEST_KIND_PRODUCT, CK_BF16, 0x83b94b63340b53bcull},
    {"scale", CK_TEST_KIND_FUNCTION, CK_TEST_SCALE, 0x56b9c20e4109cfeeull},
    {"gelu times", CK_TEST_KIND_FUNCTION, CK_TEST_GELU_TIMES, 0x0f662b031c2a2046ull},
    {"norm", CK_TEST_KIND_NORM, 0, 0x408171fcdc2b5b42ull},
    {"rope", CK_TEST_KIND_ROPE, 0, 0xead11a41dbb8d9b6ull},
    {"store", CK_TEST_KIND_STORE, 0, 0xaf20c01f9991a98cull},
    {"attention", CK_TEST_KIND_ATTEND, 0, 0xac615a09ecf1abd6ull},
};

uint32_t ck_test_part_count(void) {
  return sizeof parts / sizeof *parts;
}

const ck_test_part *ck_test_part_at(uint32_t index) {
  return &parts[index];
}

// ---------------------------------------------------------------- operations

CK_INLINE float fused_of(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}

bool ck_test_operation(ck_test_function function, const float *x, uint32_t n, float *y) {
  for (uint32_t i = 0; i < n; i++) {
    float a = x[i];
    float b = y[i];
    switch (function) {
      case CK_TEST_FUSED: y[i] = fused_of(a, x[(i + 1) % n], b); break;
      case CK_TEST_MULTIPLY: y[i] = a * b; break;
      case CK_TEST_DIVIDE: y[i] = a / b; break;
      case CK_TEST_ROOT: y[i] = __builtin_sqrtf(a); break;
      case CK_TEST_CHAIN:
        for (int step = 0; step < 8; step++) {
          float product = a * y[i];
          float sum = product + b;
          y[i] = fused_of(sum, a, -y[i]);
        }
        break;
      case CK_TEST_HALF: y[i] = ck_half_float((uint16_t)ck_float_bits(a)); break;
      case CK_TEST_INTEGER: y[i] = (float)(int32_t)ck_float_bits(a); break;
      case CK_TEST_NEAREST: {
        float shifted = a + 12582912.0f;
        y[i] = shifted - 12582912.0f;
        break;
      }
      default: return false;
    }
  }
  return true;
}

// ---------------------------------------------------------------- inputs

// A number of any magnitude: one of five is denormal, zero or at an end of the range.
static float draw_any(stream *s) {
  uint32_t bits = draw(s);
  switch (draw(s) % 10) {
    case 0: return ck_bits_float(bits & 0x807fffff);
    case 1: {
      static const uint32_t ends[] = {0, 1, 0x7fffff, 0x800000, 0x3f800000, 0x7f7fffff, 0x7f800000, 0x3f7fffff};
      return ck_bits_float((bits & 0x80000000) | ends[bits % 8]);
    }
    default: {
      // Exponents that meet each other's, so that sums cancel and products leave the range.
      uint32_t wide = draw(s) % 4 == 0 ? bits >> 23 & 255 : 117 + bits % 20;
      uint32_t exponent = wide == 255 ? 254 : wide;
      return ck_bits_float((bits & 0x807fffff) | exponent << 23);
    }
  }
}

// Not what no kernel promises: which NaN an operation gives.
static uint64_t digest_floats(uint64_t hash, const float *x, size_t count) {
  for (size_t i = 0; i < count; i++) {
    float value = x[i] == x[i] ? x[i] : ck_bits_float(0x7fc00000);
    hash = digest(hash, &value, sizeof value);
  }
  return hash;
}

// Sums of products that cancel but for their rounding, and products half-way between two numbers.
static void draw_function_inputs(stream *s, ck_test_function function, float *x, float *y) {
  for (int i = 0; i < NUMBERS; i++) {
    bool is_operation = function >= CK_TEST_FUSED && function != CK_TEST_CHAIN && function != CK_TEST_GELU_TIMES;
    // The kernel's exp is cut at -87: what lies about it, and about zero.
    x[i] = is_operation ? draw_any(s) : draw_float(s) * (i % 3 == 0 ? 40.0f : i % 7 == 0 ? 0x1p-130f : 1.0f);
    y[i] = is_operation || function == CK_TEST_ADD ? draw_any(s) : draw_float(s) * (i % 5 == 0 ? 0x1p-128f : 5.0f);
    if (function == CK_TEST_NEAREST) x[i] = (float)(int32_t)(draw(s) >> 10) * 0.5f - 0x1p20f;
    if (function == CK_TEST_HALF) x[i] = ck_bits_float((uint32_t)i * 16 + (uint32_t)(i % 16));
    if (function == CK_TEST_INTEGER) x[i] = ck_bits_float(draw(s));
    if (function == CK_TEST_ROOT && i % 8 != 0) x[i] = ck_bits_float(ck_float_bits(x[i]) & 0x7fffffff);
  }
  if (function == CK_TEST_FUSED) {
    for (int i = 0; i + 1 < NUMBERS; i += 3) y[i] = -(x[i] * x[i + 1]);
  }
}

// ---------------------------------------------------------------- the vectors

static uint64_t test_function(const ck_tested *device, ck_test_function function, uint64_t hash) {
  float x[NUMBERS];
  float y[NUMBERS];
  stream s = {11};
  draw_function_inputs(&s, function, x, y);
  // Not a multiple of any device's width.
  if (!device->function(device->context, function, x, NUMBERS - 3, y)) return 0;
  return digest_floats(hash, y, NUMBERS - 3);
}

// - is_extreme: some blocks are so large or small that they hide others in a sum
static void draw_activations(stream *s, bool is_extreme, float *x) {
  for (int i = 0; i < TOKENS * COLS; i++) {
    int block = i / 32;
    float value = draw_float(s);
    // Zeros, and denormals beside ordinary numbers.
    if (block % 7 == 3) value = 0;
    if (block % 7 == 4 && i % 3 != 0) value = ck_bits_float(draw(s) & 0x807fffff);
    if (is_extreme && block % 7 == 5) value *= 0x1p-50f;
    if (is_extreme && block % 7 == 6) value *= 0x1p40f;
    x[i] = value;
  }
}

static uint64_t test_quantise(const ck_tested *device, ck_profile profile, uint64_t hash) {
  float x[TOKENS * COLS];
  stream s = {12};
  draw_activations(&s, true, x);
  for (int t = 0; t < TOKENS; t++) {
    int16_t v[COLS];
    float d[COLS / 32];
    float sum[COLS / 32];
    if (!device->quantise(device->context, profile, x + t * COLS, COLS, v, d, sum)) return 0;
    hash = digest(digest(digest(hash, v, sizeof v), d, sizeof d), sum, sizeof sum);
  }
  return hash;
}

static uint64_t test_product(const ck_tested *device, ck_type type, uint64_t hash) {
  _Alignas(64) uint8_t source[ROWS * COLS * 4];
  float x[TOKENS * COLS];
  float extreme[TOKENS * COLS];
  float bias[ROWS];
  float residual[TOKENS * ROWS];
  float out[TOKENS * ROWS];
  stream s = {13};
  draw_activations(&s, false, x);
  draw_activations(&s, true, extreme);
  for (int i = 0; i < ROWS; i++) bias[i] = draw_float(&s);
  for (int i = 0; i < TOKENS * ROWS; i++) residual[i] = draw_float(&s);
  for (int profile = CK_A8; profile < CK_PROFILE_COUNT; profile++) {
    draw_weights(&s, type, (size_t)ROWS * COLS, source);
    // With bias and residual, alone for one token, gated, and with extremes.
    for (int variant = 0; variant < 4; variant++) {
      ck_test_product product = {
          .type = type,
          .profile = (ck_profile)profile,
          .weights = source,
          .rows = ROWS,
          .cols = COLS,
          .x = variant == 3 ? extreme : x,
          .tokens = variant == 1 ? 1 : TOKENS,
          .bias = variant == 0 ? bias : NULL,
          .residual = variant == 0 ? residual : NULL,
          .gated = variant == 2,
      };
      if (!device->product(device->context, &product, out)) return 0;
      hash = digest(hash, out, sizeof(float) * product.tokens * ROWS);
    }
  }
  return hash;
}

static uint64_t test_norm(const ck_tested *device, uint64_t hash) {
  float x[COLS];
  float weight[COLS];
  float y[COLS];
  stream s = {14};
  for (int variant = 0; variant < 4; variant++) {
    for (int i = 0; i < COLS; i++) {
      // Squares of the second are denormal, those of the third beyond what a sum of many holds
      // exactly.
      x[i] = draw_float(&s) * (variant == 1 ? 0x1p-66f : variant == 2 ? 0x1p50f : 1.0f);
      weight[i] = draw_float(&s);
    }
    if (!device->norm(device->context, x, weight, variant == 3 ? 80 : COLS, 1e-5f, y)) return 0;
    hash = digest_floats(hash, y, variant == 3 ? 80 : COLS);
  }
  return hash;
}

static uint64_t test_rope(const ck_tested *device, uint64_t hash) {
  float x[HEADS * HEAD];
  float table[HEAD];
  stream s = {15};
  ck_rope_table(10000, 1, 1, NULL, HEAD / 2, 4321, 1, table);
  for (int style = 0; style < 2; style++) {
    for (int i = 0; i < HEADS * HEAD; i++) x[i] = draw_float(&s) * (i % 9 == 0 ? 0x1p-127f : 1.0f);
    // All of a head, then a part of it.
    if (!device->rope(device->context, (ck_rope_style)style, x, HEADS, HEAD, HEAD / 2, table)) return 0;
    hash = digest(hash, x, sizeof x);
    if (!device->rope(device->context, (ck_rope_style)style, x, HEADS, HEAD, HEAD / 4, table)) return 0;
    hash = digest(hash, x, sizeof x);
  }
  return hash;
}

static void draw_pair(stream *s, float scale, float *key, float *value) {
  for (int i = 0; i < HEAD; i++) {
    key[i] = draw_float(s) * scale;
    value[i] = draw_float(s);
  }
}

static uint64_t test_store(const ck_tested *device, uint64_t hash) {
  _Alignas(64) uint8_t keys[PAGE_BYTES];
  _Alignas(64) uint8_t values[PAGE_BYTES];
  memset(keys, 0, sizeof keys);
  memset(values, 0, sizeof values);
  stream s = {16};
  for (uint32_t slot = 0; slot < CK_PAGE; slot++) {
    float key[HEAD];
    float value[HEAD];
    draw_pair(&s, slot == 3 ? 0 : slot == 4 ? 0x1p-30f : 3.0f, key, value);
    if (slot == 5) key[7] = ck_bits_float(0x00000123);
    if (!device->store(device->context, key, value, HEAD, keys, values, slot)) return 0;
  }
  return digest(digest(hash, keys, sizeof keys), values, sizeof values);
}

// A key and a value of which every fiftieth position takes nearly all weight, with values that are
// zero in every other element; the rest have weights near 1e-38 and small values there, so that
// those elements are sums of denormals, and some denormal.
static void draw_steep_pair(stream *s, uint32_t position, float *key, float *value) {
  bool takes_all = position % 50 == 20;
  float base = takes_all ? 2.6f : -2.55f - (float)(position % 8) * 0.02f;
  for (int i = 0; i < HEAD; i++) {
    key[i] = base + draw_float(s) * 0.125f;
    value[i] = draw_float(s);
    if (i % 2 == 0) value[i] = takes_all ? 0 : value[i] * 0x1p-10f;
  }
}

static uint64_t test_attend(const ck_tested *device, uint64_t hash) {
  _Alignas(64) uint8_t keys[PAGES * PAGE_BYTES];
  _Alignas(64) uint8_t values[PAGES * PAGE_BYTES];
  float queries[4 * GROUP * HEAD];
  float out[4 * GROUP * HEAD];
  int32_t pages[PAGES];
  stream s = {17};
  for (int p = 0; p < PAGES; p++) pages[p] = p * 7 % PAGES;
  for (int steep = 0; steep < 2; steep++) {
    for (int i = 0; i < 4 * GROUP * HEAD; i++) queries[i] = draw_float(&s) * (steep ? 0.125f : 1.0f) + (steep ? 2.0f : 0.0f);
    memset(keys, 0, sizeof keys);
    memset(values, 0, sizeof values);
    for (uint32_t p = 0; p < POSITIONS; p++) {
      float key[HEAD];
      float value[HEAD];
      if (steep) {
        draw_steep_pair(&s, p, key, value);
      } else {
        draw_pair(&s, 1, key, value);
      }
      size_t page = (size_t)pages[p / CK_PAGE] * PAGE_BYTES;
      ck_store_kv(CK_SCALAR, key, value, 1, HEAD, keys + page, values + page, p % CK_PAGE);
    }
    for (int variant = 0; variant < 3; variant++) {
      ck_attention attention = {
          .keys = keys,
          .values = values,
          .page_stride = PAGE_BYTES,
          .pages = pages,
          .queries = queries,
          .query_stride = GROUP * HEAD,
          .out = out,
          .out_stride = GROUP * HEAD,
          .group = GROUP,
          .head_size = HEAD,
          // Across the end of a chain, before it, and one token at the end.
          .first_position = variant == 0 ? CK_CHAIN - 2 : variant == 1 ? 100 : POSITIONS - 1,
          .tokens = variant == 2 ? 1 : 4,
          .scale = 0.125f,
          .window = variant == 1 ? 70 : 0,
          .soft_cap = variant == 1 ? 3 : 0,
      };
      if (!device->attend(device->context, &attention)) return 0;
      hash = digest(hash, out, sizeof(float) * attention.tokens * GROUP * HEAD);
    }
  }
  return hash;
}

uint64_t ck_test_part_digest(const ck_tested *device, const ck_test_part *part) {
  const uint64_t hash = 0xcbf29ce484222325ull;
  switch (part->kind) {
    case CK_TEST_KIND_FUNCTION: return test_function(device, (ck_test_function)part->which, hash);
    case CK_TEST_KIND_QUANTISE: return test_quantise(device, (ck_profile)part->which, hash);
    case CK_TEST_KIND_PRODUCT: return test_product(device, (ck_type)part->which, hash);
    case CK_TEST_KIND_NORM: return test_norm(device, hash);
    case CK_TEST_KIND_ROPE: return test_rope(device, hash);
    case CK_TEST_KIND_STORE: return test_store(device, hash);
    case CK_TEST_KIND_ATTEND: return test_attend(device, hash);
  }
  return 0;
}
