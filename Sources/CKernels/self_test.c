// self_test.c: does this level give the frozen bits on this machine? Run once at start-up, before its use.
// A level is compared with numbers that stand here, not with another level: a compiler that breaks the rules
// of rounding breaks both alike. Start at ck_self_test.
#include "internal.h"

// The digest of every kernel's output on the inputs below. It changes only with the numerics profile, or with the inputs.
#define FROZEN_DIGEST 0xd47c65fec0a43cccull

enum {
  ROWS = 20,
  COLS = 512,
  TOKENS = 5,
  // so many that a level may take some of them together, and one
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

typedef struct stream {
  uint64_t state;
} stream;

static uint32_t draw(stream *s) {
  s->state = s->state * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(s->state >> 32);
}

// A value in about -4 ... 4, many of them small.
static float draw_float(stream *s) {
  float unit = (float)(int32_t)(draw(s) >> 8) * 0x1p-23f - 1.0f;
  return unit * (draw(s) % 16 == 0 ? 4.0f : 0.5f);
}

static uint64_t digest(uint64_t hash, const void *bytes, size_t count) {
  const uint8_t *p = bytes;
  for (size_t i = 0; i < count; i++) hash = (hash ^ p[i]) * 0x100000001b3ull;
  return hash;
}

// A positive or negative f16 of magnitude 2^-7 ... 2^-3.
static uint16_t draw_half(stream *s) {
  uint32_t bits = draw(s);
  return (uint16_t)((bits & 0x83ff) | (8 + (bits >> 16) % 4) << 10);
}

static void draw_weights(stream *s, ck_type type, uint8_t *out) {
  size_t blocks = (size_t)ROWS * COLS / ck_type_block_values(type);
  uint32_t size = ck_type_block_bytes(type);
  for (size_t b = 0; b < blocks; b++, out += size) {
    if (type == CK_F32) {
      float value = draw_float(s);
      memcpy(out, &value, 4);
    } else if (type == CK_F16 || type == CK_BF16) {
      uint16_t half = draw_half(s);
      if (type == CK_BF16) half = (uint16_t)((half & 0x81ff) + 0x3c00);
      memcpy(out, &half, 2);
    } else {
      for (uint32_t i = 0; i < size; i++) out[i] = (uint8_t)(draw(s) >> 11);
      const ck_traits *traits = ck_traits_of(type);
      uint16_t half = draw_half(s);
      memcpy(out + traits->d_at, &half, 2);
      if (traits->m_at >= 0) {
        half = draw_half(s);
        memcpy(out + traits->m_at, &half, 2);
      }
    }
  }
}

static uint64_t test_products(ck_level level, uint64_t hash) {
  _Alignas(64) uint8_t source[ROWS * COLS * 4];
  _Alignas(64) uint8_t packed[32 * COLS * 4];
  _Alignas(64) uint8_t blocks[TOKENS * (COLS / 32 * sizeof(ck_record) + 128)];
  float x[TOKENS * COLS];
  float out[TOKENS * ROWS];
  float bias[ROWS];
  float residual[TOKENS * ROWS];
  stream s = {1};
  for (int i = 0; i < TOKENS * COLS; i++) x[i] = i / 32 % 7 == 3 ? 0 : draw_float(&s);
  for (int i = 0; i < ROWS; i++) bias[i] = draw_float(&s);
  for (int i = 0; i < TOKENS * ROWS; i++) residual[i] = draw_float(&s);
  for (int profile = CK_A8; profile < CK_PROFILE_COUNT; profile++) {
    size_t stride = ck_blocks_bytes((ck_profile)profile, COLS);
    for (int t = 0; t < TOKENS; t++) {
      if (!ck_quantise(level, (ck_profile)profile, x + t * COLS, COLS, blocks + t * stride)) return 0;
      for (uint32_t b = 0; b < COLS / 32; b++) {
        int16_t v[32];
        float d;
        float sum;
        ck_blocks_read(level, (ck_profile)profile, blocks + t * stride, b, v, &d, &sum);
        hash = digest(digest(digest(hash, v, 64), &d, 4), &sum, 4);
      }
    }
    ck_input input = {x, COLS, blocks, stride, (ck_profile)profile, NULL, 0};
    ck_output output = {out, ROWS, bias, residual, ROWS};
    for (uint32_t type = 0; type < ck_type_end(); type++) {
      if (!ck_type_supported(type)) continue;
      draw_weights(&s, (ck_type)type, source);
      ck_pack((ck_type)type, source, ROWS, COLS, 0, 2, packed);
      ck_matrix matrix = {packed, (ck_type)type, ROWS, COLS};
      ck_multiply(level, &matrix, &input, &output, (ck_range){0, 2, 0, TOKENS, NULL});
      hash = digest(hash, out, sizeof out);
      ck_multiply_gated(level, &matrix, &matrix, &input, &output, (ck_range){0, 2, 0, TOKENS, NULL});
      hash = digest(hash, out, sizeof out);
    }
  }
  return hash;
}

// The same for more tokens, one product of each block format.
static uint64_t test_many_tokens(ck_level level, uint64_t hash) {
  _Alignas(64) uint8_t source[ROWS * COLS * 4];
  _Alignas(64) uint8_t packed[FEW_ROWS * FEW_COLS * 2];
  _Alignas(64) uint8_t blocks[MANY_TOKENS * (FEW_COLS / 32 * sizeof(ck_record) + 128)];
  _Alignas(64) uint8_t groups[(MANY_TOKENS / CK_GROUP + 1) * FEW_COLS / 32 * sizeof(ck_group_block)] = {0};
  size_t group_stride = ck_group_bytes(level, FEW_COLS);
  float x[MANY_TOKENS * FEW_COLS];
  float out[MANY_TOKENS * FEW_ROWS];
  stream s = {4};
  for (int i = 0; i < MANY_TOKENS * FEW_COLS; i++) x[i] = draw_float(&s);
  for (int profile = CK_A8; profile < CK_PROFILE_COUNT; profile++) {
    size_t stride = ck_blocks_bytes((ck_profile)profile, FEW_COLS);
    for (int t = 0; t < MANY_TOKENS; t++) {
      if (!ck_quantise(level, (ck_profile)profile, x + t * FEW_COLS, FEW_COLS, blocks + t * stride)) return 0;
      if (group_stride == 0) continue;
      uint8_t *group = groups + group_stride * (size_t)(t / CK_GROUP);
      ck_group(level, (ck_profile)profile, blocks + t * stride, FEW_COLS, group, (uint32_t)(t % CK_GROUP));
    }
    ck_input input = {
        x, FEW_COLS, blocks, stride, (ck_profile)profile, group_stride == 0 ? NULL : groups, group_stride};
    ck_output output = {out, FEW_ROWS, NULL, NULL, 0};
    for (uint32_t type = 0; type < ck_type_end(); type++) {
      if (!ck_type_supported(type) || !ck_type_takes_blocks((ck_type)type)) continue;
      draw_weights(&s, (ck_type)type, source);
      ck_pack((ck_type)type, source, FEW_ROWS, FEW_COLS, 0, 1, packed);
      ck_matrix matrix = {packed, (ck_type)type, FEW_ROWS, FEW_COLS};
      ck_multiply(level, &matrix, &input, &output, (ck_range){0, 1, 0, MANY_TOKENS, NULL});
      hash = digest(hash, out, sizeof out);
    }
  }
  return hash;
}

static uint64_t test_vectors(ck_level level, uint64_t hash) {
  float x[WORDS];
  float y[WORDS];
  stream s = {2};
  for (int i = 0; i < WORDS; i++) x[i] = draw_float(&s) * (i % 3 == 0 ? 40.0f : 1.0f);
  ck_exp(level, x, WORDS, y);
  hash = digest(hash, y, sizeof y);
  ck_silu(level, x, WORDS - 5, y);
  hash = digest(hash, y, sizeof y);
  ck_tanh(level, x, WORDS - 9, y);
  hash = digest(hash, y, sizeof y);
  ck_add(level, x, WORDS - 3, y);
  hash = digest(hash, y, sizeof y);
  ck_rms_norm(level, x, y, 576, 1e-5f, y);
  hash = digest(hash, y, sizeof y);
  float table[64];
  ck_rope_table(10000, 1, NULL, 32, 1234, 1, table);
  hash = digest(hash, table, sizeof table);
  for (int style = 0; style < 2; style++) {
    ck_rope(level, (ck_rope_style)style, x, WORDS / 64, 64, 32, table);
    hash = digest(hash, x, sizeof x);
  }
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

static uint64_t test_attention(ck_level level, uint64_t hash) {
  _Alignas(64) uint8_t keys[PAGES * PAGE_BYTES];
  _Alignas(64) uint8_t values[PAGES * PAGE_BYTES];
  _Alignas(64) uint8_t scratch[64 << 10];
  float queries[4 * GROUP * HEAD];
  float out[4 * GROUP * HEAD];
  int32_t pages[PAGES];
  stream s = {3};
  if (ck_attention_scratch(POSITIONS, HEAD, GROUP) > sizeof scratch) return 0;
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
    ck_store_kv(level, key, value, 1, HEAD, keys + page, values + page, p % CK_PAGE);
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
    ck_attend(level, &attention, scratch);
    hash = digest(hash, out, sizeof out);
  }
  return hash;
}

uint64_t ck_self_test_digest(ck_level level) {
  uint64_t hash = 0xcbf29ce484222325ull;
  hash = test_products(level, hash);
  hash = test_many_tokens(level, hash);
  hash = test_vectors(level, hash);
  return test_attention(level, hash);
}

bool ck_self_test(ck_level level) {
  if (!ck_level_available(level) || !ck_check_fp_environment()) return false;
  return ck_self_test_digest(level) == FROZEN_DIGEST;
}
