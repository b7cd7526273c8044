// self_test.c: does a device give the frozen bits? For a level of the kernels this runs once at
// start-up, before its use. A device is compared with a frozen number, not with another device,
// because a compiler that breaks the rules of rounding breaks both alike. Start at
// ck_self_test_digest_of; the inputs are data, made from seeds.
#include "include/self_test.h"
#include "internal.h"
#include "test_inputs.h"

// The digest of every output on the inputs below. It changes only with the numerics profile or the
// inputs.
#define FROZEN_DIGEST 0xe47b96cc6563319cull
#define FROZEN_RECURRENCE_DIGEST 0x478b55677616c478ull

enum {
  ROWS = 20,
  COLS = 512,
  TOKENS = 5,
  // enough that a level may group some of them, and one more
  MANY_TOKENS = 29,
  FEW_ROWS = 16,
  FEW_COLS = 256,
  HEAD = 32,
  GROUP = 3,
  POSITIONS = 300,
  PAGES = 19,
  PAGE_BYTES = CK_PAGE_SCALES + HEAD * CK_PAGE * 2,
  WORDS = 1024,
};

// ---------------------------------------------------------------- the vectors

static uint64_t test_products(const ck_tested *device, uint64_t hash) {
  _Alignas(64) uint8_t source[ROWS * COLS * 4];
  float x[TOKENS * COLS];
  float out[TOKENS * ROWS];
  float bias[ROWS];
  float residual[TOKENS * ROWS];
  stream s = {1};
  for (int i = 0; i < TOKENS * COLS; i++) x[i] = i / 32 % 7 == 3 ? 0 : draw_float(&s);
  for (int i = 0; i < ROWS; i++) bias[i] = draw_float(&s);
  for (int i = 0; i < TOKENS * ROWS; i++) residual[i] = draw_float(&s);
  for (int profile = CK_A8; profile < CK_PROFILE_COUNT; profile++) {
    for (int t = 0; t < TOKENS; t++) {
      int16_t v[COLS];
      float d[COLS / 32];
      float sum[COLS / 32];
      if (!device->quantise(device->context, (ck_profile)profile, x + t * COLS, COLS, v, d, sum)) return 0;
      for (uint32_t b = 0; b < COLS / 32; b++) {
        hash = digest(digest(digest(hash, v + b * 32, 64), d + b, 4), sum + b, 4);
      }
    }
    for (uint32_t type = 0; type < ck_type_end(); type++) {
      if (!ck_type_supported(type)) continue;
      draw_weights(&s, (ck_type)type, (size_t)ROWS * COLS, source);
      ck_test_product product = {
          .type = (ck_type)type,
          .profile = (ck_profile)profile,
          .weights = source,
          .rows = ROWS,
          .cols = COLS,
          .x = x,
          .tokens = TOKENS,
          .bias = bias,
          .residual = residual,
      };
      if (!device->product(device->context, &product, out)) return 0;
      hash = digest(hash, out, sizeof out);
      product.gated = true;
      if (!device->product(device->context, &product, out)) return 0;
      hash = digest(hash, out, sizeof out);
    }
  }
  return hash;
}

// The same for more tokens, one product of each block format.
static uint64_t test_many_tokens(const ck_tested *device, uint64_t hash) {
  _Alignas(64) uint8_t source[ROWS * COLS * 4];
  float x[MANY_TOKENS * FEW_COLS];
  float out[MANY_TOKENS * FEW_ROWS];
  stream s = {4};
  for (int i = 0; i < MANY_TOKENS * FEW_COLS; i++) x[i] = draw_float(&s);
  for (int profile = CK_A8; profile < CK_PROFILE_COUNT; profile++) {
    for (uint32_t type = 0; type < ck_type_end(); type++) {
      if (!ck_type_supported(type) || !ck_type_takes_blocks((ck_type)type)) continue;
      draw_weights(&s, (ck_type)type, (size_t)ROWS * COLS, source);
      ck_test_product product = {
          .type = (ck_type)type,
          .profile = (ck_profile)profile,
          .weights = source,
          .rows = FEW_ROWS,
          .cols = FEW_COLS,
          .x = x,
          .tokens = MANY_TOKENS,
      };
      if (!device->product(device->context, &product, out)) return 0;
      hash = digest(hash, out, sizeof out);
    }
  }
  return hash;
}

static uint64_t test_vectors(const ck_tested *device, uint64_t hash) {
  float x[WORDS];
  float y[WORDS];
  stream s = {2};
  for (int i = 0; i < WORDS; i++) x[i] = draw_float(&s) * (i % 3 == 0 ? 40.0f : 1.0f);
  if (!device->function(device->context, CK_TEST_EXP, x, WORDS, y)) return 0;
  hash = digest(hash, y, sizeof y);
  if (!device->function(device->context, CK_TEST_SILU, x, WORDS - 5, y)) return 0;
  hash = digest(hash, y, sizeof y);
  if (!device->function(device->context, CK_TEST_TANH, x, WORDS - 9, y)) return 0;
  hash = digest(hash, y, sizeof y);
  if (!device->function(device->context, CK_TEST_ADD, x, WORDS - 3, y)) return 0;
  hash = digest(hash, y, sizeof y);
  if (!device->norm(device->context, x, y, 576, 1e-5f, y)) return 0;
  hash = digest(hash, y, sizeof y);
  float table[64];
  ck_rope_table(10000, 1, 1, NULL, 32, 1234, 1, table);
  hash = digest(hash, table, sizeof table);
  for (int style = 0; style < 2; style++) {
    if (!device->rope(device->context, (ck_rope_style)style, x, WORDS / 64, 64, 32, table)) return 0;
    hash = digest(hash, x, sizeof x);
  }
  // The level that chooses tokens from a device's logits.
  ck_level level = device->selection;
  uint32_t indices[40];
  indices[39] = ck_argmax(level, x, WORDS);
  if (ck_top_k(level, x, WORDS, 39, indices, y) != 39) return 0;
  if (!ck_all_finite(level, x, WORDS)) return 0;
  y[50] = ck_maximum(level, x, WORDS);
  x[WORDS - 1] = ck_bits_float(0x7f800000);
  if (ck_all_finite(level, x, WORDS)) return 0;
  hash = digest(hash, indices, sizeof indices);
  return digest(hash, y, sizeof y);
}

static uint64_t test_attention(const ck_tested *device, uint64_t hash) {
  _Alignas(64) uint8_t keys[PAGES * PAGE_BYTES];
  _Alignas(64) uint8_t values[PAGES * PAGE_BYTES];
  float queries[4 * GROUP * HEAD];
  float out[4 * GROUP * HEAD];
  int32_t pages[PAGES];
  stream s = {3};
  for (int i = 0; i < 4 * GROUP * HEAD; i++) queries[i] = draw_float(&s);
  for (int p = 0; p < PAGES; p++) pages[p] = p * 7 % PAGES;
  memset(keys, 0, sizeof keys);
  memset(values, 0, sizeof values);
  for (uint32_t p = 0; p < POSITIONS; p++) {
    float key[HEAD];
    float value[HEAD];
    for (int i = 0; i < HEAD; i++) {
      key[i] = draw_float(&s);
      value[i] = draw_float(&s);
    }
    size_t page = (size_t)pages[p / CK_PAGE] * PAGE_BYTES;
    if (!device->store(device->context, key, value, HEAD, keys + page, values + page, p % CK_PAGE)) return 0;
  }
  hash = digest(digest(hash, keys, sizeof keys), values, sizeof values);
  for (int variant = 0; variant < 2; variant++) {
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
        .first_position = POSITIONS - 4,
        .tokens = 4,
        .scale = 0.17677669f,
        .window = variant == 0 ? 0 : 100,
        .soft_cap = variant == 0 ? 0 : 3,
    };
    if (!device->attend(device->context, &attention)) return 0;
    hash = digest(hash, out, sizeof out);
  }
  return hash;
}

// A convolution with and without what came before, and both rules of recurrent states.
static uint64_t test_recurrence(const ck_tested *device, uint64_t hash) {
  enum { CHANNELS = 48, TAPS = 4, STEPS = 70, STATE = 32, VALUES = 6 };
  float x[WORDS];
  float y[WORDS];
  stream s = {5};
  for (int i = 0; i < WORDS; i++) x[i] = draw_float(&s) * (i % 3 == 0 ? 30.0f : 1.0f);
  for (int i = 0; i < WORDS; i++) y[i] = draw_float(&s) * 5.0f;
  if (!device->function(device->context, CK_TEST_SIGMOID_TIMES, x, WORDS - 7, y)) return 0;
  hash = digest(hash, y, sizeof y);
  if (!device->function(device->context, CK_TEST_SOFTPLUS, x, WORDS - 5, y)) return 0;
  hash = digest(hash, y, sizeof y);
  if (!device->unit(device->context, x, 576, 1e-6f, 0.25f, y)) return 0;
  hash = digest(hash, y, sizeof y);

  float weights[CHANNELS * TAPS];
  float columns[(TAPS - 1) * CHANNELS];
  for (int i = 0; i < CHANNELS * TAPS; i++) weights[i] = draw_float(&s);
  for (int variant = 0; variant < 2; variant++) {
    float rows[9 * CHANNELS];
    for (int i = 0; i < 9 * CHANNELS; i++) rows[i] = draw_float(&s);
    ck_convolution convolution = {
        .x = rows,
        .stride = CHANNELS,
        .tokens = variant == 0 ? 9 : 2,
        .channels = CHANNELS,
        .taps = TAPS,
        .weights = weights,
        .bias = variant == 0 ? NULL : x,
        .activates = variant == 1,
        .from = variant == 0 ? NULL : columns,
        .into = columns,
        .width = CHANNELS,
    };
    if (!device->convolve(device->context, &convolution)) return 0;
    hash = digest(digest(hash, rows, sizeof rows), columns, sizeof columns);
  }

  float keys[STEPS * STATE];
  float queries[STEPS * STATE];
  float values[STEPS * VALUES];
  float steps[STEPS];
  float strengths[STEPS];
  float out[STEPS * VALUES];
  float state[VALUES * STATE];
  for (int i = 0; i < STEPS * STATE; i++) {
    keys[i] = draw_float(&s) * 0.25f;
    queries[i] = draw_float(&s);
  }
  for (int i = 0; i < STEPS * VALUES; i++) values[i] = draw_float(&s);
  for (int i = 0; i < STEPS; i++) {
    steps[i] = 0.1f + (float)(draw(&s) % 64) * 0x1p-7f;
    strengths[i] = draw_float(&s);
  }
  for (int variant = 0; variant < 3; variant++) {
    ck_recurrence recurrence = {
        .keys = keys,
        .key_stride = STATE,
        .queries = queries,
        .query_stride = STATE,
        .values = values,
        .value_stride = VALUES,
        .steps = steps,
        .step_stride = 1,
        .strengths = variant == 2 ? NULL : strengths,
        .strength_stride = 1,
        .rate = -0.75f,
        .skip = 0.5f,
        .out = out,
        .out_stride = VALUES,
        .tokens = variant == 1 ? 1 : STEPS,
        .rows = VALUES,
        .columns = STATE,
        .from = variant == 0 ? NULL : state,
        .into = state,
    };
    if (!device->recur(device->context, &recurrence)) return 0;
    hash = digest(digest(hash, out, sizeof out), state, sizeof state);
  }
  return hash;
}

uint64_t ck_recurrence_digest_of(const ck_tested *device) {
  return test_recurrence(device, 0xcbf29ce484222325ull);
}

uint64_t ck_self_test_digest_of(const ck_tested *device) {
  uint64_t hash = 0xcbf29ce484222325ull;
  hash = test_products(device, hash);
  hash = test_many_tokens(device, hash);
  hash = test_vectors(device, hash);
  return test_attention(device, hash);
}

bool ck_self_test_passes(const ck_tested *device) {
  return ck_self_test_digest_of(device) == FROZEN_DIGEST &&
         ck_recurrence_digest_of(device) == FROZEN_RECURRENCE_DIGEST;
}

// ---------------------------------------------------------------- a level as a device

static ck_level level_of(const void *context) {
  return *(const ck_level *)context;
}

static bool level_quantise(
    void *context, ck_profile profile, const float *x, uint32_t cols, int16_t *v, float *d, float *s) {
  _Alignas(64) uint8_t blocks[COLS / 32 * sizeof(ck_record) + 128];
  if (cols > COLS || !ck_quantise(level_of(context), profile, x, cols, blocks)) return false;
  for (uint32_t b = 0; b < cols / 32; b++) {
    ck_blocks_read(level_of(context), profile, blocks, b, v + (size_t)b * 32, d + b, s + b);
  }
  return true;
}

static bool level_product(void *context, const ck_test_product *p, float *out) {
  ck_level level = level_of(context);
  _Alignas(64) uint8_t packed[48 * COLS * 4];
  _Alignas(64) uint8_t blocks[MANY_TOKENS * (FEW_COLS / 32 * sizeof(ck_record) + 128)];
  _Alignas(64) uint8_t groups[(MANY_TOKENS / CK_GROUP + 1) * FEW_COLS / 32 * sizeof(ck_group_block)] = {0};
  size_t stride = ck_blocks_bytes(p->profile, p->cols);
  size_t group_stride = p->tokens < CK_FEWEST_GROUPED ? 0 : ck_group_bytes(level, p->cols);
  if (ck_packed_bytes(p->type, p->rows, p->cols) > sizeof packed || stride * p->tokens > sizeof blocks) return false;
  if (group_stride * ((p->tokens + CK_GROUP - 1) / CK_GROUP) > sizeof groups) return false;
  for (uint32_t t = 0; t < p->tokens; t++) {
    uint8_t *to = blocks + t * stride;
    if (!ck_quantise(level, p->profile, p->x + (size_t)t * p->cols, p->cols, to)) return false;
    if (group_stride == 0) continue;
    ck_group(level, p->profile, to, p->cols, groups + group_stride * (t / CK_GROUP), t % CK_GROUP);
  }
  uint32_t tiles = ck_tile_count(p->rows);
  ck_pack(p->type, p->weights, p->rows, p->cols, 0, tiles, packed);
  ck_matrix matrix = {packed, p->type, p->rows, p->cols};
  ck_input input = {
      p->x, p->cols, blocks, stride, p->profile, group_stride == 0 ? NULL : groups, group_stride};
  ck_output output = {out, p->rows, p->bias, p->residual, p->rows};
  ck_range all = {0, tiles, 0, p->tokens, NULL};
  if (p->gated) {
    ck_multiply_gated(level, &matrix, &matrix, &input, &output, all);
  } else {
    ck_multiply(level, &matrix, &input, &output, all);
  }
  return true;
}

static bool level_function(void *context, ck_test_function function, const float *x, uint32_t n, float *y) {
  switch (function) {
    case CK_TEST_EXP: ck_exp(level_of(context), x, n, y); break;
    case CK_TEST_SILU: ck_silu(level_of(context), x, n, y); break;
    case CK_TEST_TANH: ck_tanh(level_of(context), x, n, y); break;
    case CK_TEST_ADD: ck_add(level_of(context), x, n, y); break;
    case CK_TEST_SIGMOID_TIMES: ck_sigmoid_times(level_of(context), x, n, y); break;
    case CK_TEST_SOFTPLUS: ck_softplus(level_of(context), x, n, y); break;
    case CK_TEST_SILU_TIMES: ck_silu_times(level_of(context), x, n, y); break;
    case CK_TEST_SCALE: ck_scale(CK_TEST_FACTOR, n, y); break;
    case CK_TEST_GELU_TIMES: ck_gelu_times(level_of(context), x, n, y); break;
    default: return ck_test_operation(function, x, n, y);
  }
  return true;
}

static bool level_norm(void *context, const float *x, const float *weight, uint32_t n, float epsilon, float *y) {
  ck_rms_norm(level_of(context), x, weight, n, epsilon, y);
  return true;
}

static bool level_rope(
    void *context, ck_rope_style style, float *x, uint32_t heads, uint32_t head_size, uint32_t pairs,
    const float *table) {
  ck_rope(level_of(context), style, x, heads, head_size, pairs, table);
  return true;
}

static bool level_store(
    void *context, const float *key, const float *value, uint32_t head_size, uint8_t *key_page,
    uint8_t *value_page, uint32_t slot) {
  ck_store_kv(level_of(context), key, value, 1, head_size, key_page, value_page, slot);
  return true;
}

static bool level_unit(void *context, const float *x, uint32_t n, float epsilon, float scale, float *y) {
  ck_unit(level_of(context), x, n, epsilon, scale, y);
  return true;
}

static bool level_convolve(void *context, const ck_convolution *convolution) {
  ck_convolve(level_of(context), convolution);
  return true;
}

static bool level_recur(void *context, const ck_recurrence *recurrence) {
  ck_recur(level_of(context), recurrence);
  return true;
}

static bool level_attend(void *context, const ck_attention *attention) {
  _Alignas(64) uint8_t scratch[64 << 10];
  uint32_t positions = attention->first_position + attention->tokens;
  if (ck_attention_scratch(positions, attention->head_size, attention->group) > sizeof scratch) return false;
  ck_attend(level_of(context), attention, scratch);
  return true;
}

static ck_tested tested(ck_level *level) {
  return (ck_tested){
      .context = level,
      .quantise = level_quantise,
      .product = level_product,
      .function = level_function,
      .norm = level_norm,
      .rope = level_rope,
      .store = level_store,
      .unit = level_unit,
      .convolve = level_convolve,
      .recur = level_recur,
      .attend = level_attend,
      .selection = *level,
  };
}

uint64_t ck_self_test_part_digest(ck_level level, const ck_test_part *part) {
  ck_tested device = tested(&level);
  return ck_test_part_digest(&device, part);
}

uint64_t ck_self_test_digest(ck_level level) {
  ck_tested device = tested(&level);
  return ck_self_test_digest_of(&device);
}

bool ck_self_test(ck_level level) {
  if (!ck_level_available(level) || !ck_check_fp_environment()) return false;
  ck_tested device = tested(&level);
  return ck_self_test_passes(&device);
}
