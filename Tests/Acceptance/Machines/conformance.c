// conformance.c: every kernel of one level on inputs made from a seed, one digest a line, for machines
// that no Swift compiler builds for. Equal lines mean equal bits. The frozen digests of the start-up
// self-test come first; whoever runs this compares the rest with another machine's. Start at main.
#include "../../../Sources/CDigest/include/sha256.h"
#include "../../../Sources/CKernels/include/self_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  ROWS = 72,
  COLS = 1024,
  TOKENS = 37,
  POSITIONS = 700,
  PAGES = (POSITIONS + CK_PAGE - 1) / CK_PAGE,
  EXPERTS = 64,
  NUMBERS = 4099,
};

static uint64_t state;

static uint32_t draw(void) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(state >> 32);
}

// In about -4 ... 4, and now and then a power of two far from it.
static float draw_float(void) {
  float unit = (float)(int32_t)(draw() >> 8) * 0x1p-23f - 1.0f;
  if (draw() % 251 == 0) return unit * 0x1p-60f;
  return unit * (draw() % 16 == 0 ? 4.0f : 0.5f);
}

static void *room(size_t bytes) {
  void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (memory == NULL) abort();
  memset(memory, 0, (bytes + 63) / 64 * 64);
  return memory;
}

static float *floats(size_t count) {
  float *values = room(count * sizeof(float));
  for (size_t i = 0; i < count; i++) values[i] = draw_float();
  return values;
}

static void say(const char *what, const char *which, hp_sha256_ctx *hash) {
  uint8_t digest[32];
  hp_sha256_final(hash, digest);
  printf("%s %s ", what, which);
  for (int i = 0; i < 32; i++) printf("%02x", digest[i]);
  printf("\n");
  hp_sha256_init(hash);
}

static void products(ck_level level, hp_sha256_ctx *hash) {
  uint8_t *source = room((size_t)ROWS * COLS * 4);
  float *x = floats((size_t)TOKENS * COLS);
  float *bias = floats(ROWS);
  float *out = room(sizeof(float) * TOKENS * ROWS);
  for (uint32_t type = 0; type < ck_type_end(); type++) {
    if (!ck_type_supported(type)) continue;
    // Any bytes are a block; a scale that is no number gives none, which is not compared.
    size_t bytes = ck_row_bytes((ck_type)type, COLS) * ROWS;
    for (size_t i = 0; i < bytes; i++) source[i] = (uint8_t)(draw() >> 11);
    float *row = room(COLS * sizeof(float));
    for (uint32_t r = 0; r < ROWS; r++) {
      ck_dequantise((ck_type)type, source + r * ck_row_bytes((ck_type)type, COLS), COLS, row);
      for (uint32_t c = 0; c < COLS; c++) {
        if (row[c] == row[c]) hp_sha256_update(hash, row + c, sizeof(float));
      }
    }
    uint8_t *packed = room(ck_packed_bytes((ck_type)type, ROWS, COLS));
    ck_pack((ck_type)type, source, ROWS, COLS, 0, ck_tile_count(ROWS), packed);
    ck_matrix matrix = {packed, (ck_type)type, ROWS, COLS};
    for (int profile = CK_A8; profile < CK_PROFILE_COUNT; profile++) {
      size_t stride = ck_blocks_bytes((ck_profile)profile, COLS);
      uint8_t *blocks = room(stride * TOKENS);
      for (uint32_t t = 0; t < TOKENS; t++) {
        if (!ck_quantise(level, (ck_profile)profile, x + (size_t)t * COLS, COLS, blocks + t * stride)) abort();
      }
      ck_input input = {x, COLS, blocks, stride, (ck_profile)profile, NULL, 0};
      ck_output output = {out, ROWS, bias, NULL, 0};
      ck_multiply(level, &matrix, &input, &output, (ck_range){0, ck_tile_count(ROWS), 0, TOKENS, NULL});
      for (size_t i = 0; i < (size_t)TOKENS * ROWS; i++) {
        if (out[i] == out[i]) hp_sha256_update(hash, out + i, sizeof(float));
      }
      free(blocks);
    }
    free(packed);
    free(row);
    say("product", ck_type_name((ck_type)type), hash);
  }
  free(out);
  free(bias);
  free(x);
  free(source);
}

static void vectors(ck_level level, hp_sha256_ctx *hash) {
  static const uint32_t counts[] = {16, 64, 576, 1000, 4096, NUMBERS};
  float *weight = floats(NUMBERS);
  for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
    uint32_t n = counts[c];
    float *x = floats(n);
    float *y = floats(n);
    float *z = room(sizeof(float) * n);
    ck_rms_norm(level, x, weight, n, 1e-6f, z);
    hp_sha256_update(hash, z, sizeof(float) * n);
    ck_layer_norm(level, x, weight, y, n, 1e-5f, z);
    hp_sha256_update(hash, z, sizeof(float) * n);
    for (uint32_t i = 0; i < n; i++) x[i] *= 30.0f;
    ck_exp(level, x, n, z);
    hp_sha256_update(hash, z, sizeof(float) * n);
    ck_silu(level, x, n, z);
    hp_sha256_update(hash, z, sizeof(float) * n);
    ck_tanh(level, x, n, z);
    hp_sha256_update(hash, z, sizeof(float) * n);
    ck_softplus(level, x, n, z);
    hp_sha256_update(hash, z, sizeof(float) * n);
    ck_gelu(level, n, y);
    ck_silu_times(level, x, n, y);
    ck_gelu_times(level, x, n, y);
    hp_sha256_update(hash, y, sizeof(float) * n);
    ck_clamped_swish_times(level, x, n, y);
    ck_sigmoid_times(level, x, n, y);
    ck_weigh(level, 0.7f, n, y);
    ck_cap(level, 30.0f, n, y);
    hp_sha256_update(hash, y, sizeof(float) * n);
    ck_squared_relu(n, z);
    ck_scale(0.3f, n, z);
    ck_times(x, n, z);
    ck_add(level, x, n, z);
    hp_sha256_update(hash, z, sizeof(float) * n);
    uint32_t indices[64];
    float values[64];
    uint32_t found = ck_top_k(level, x, n, 50, indices, values);
    hp_sha256_update(hash, indices, found * sizeof *indices);
    indices[0] = ck_argmax(level, x, n);
    values[0] = ck_maximum(level, x, n);
    hp_sha256_update(hash, indices, sizeof *indices);
    hp_sha256_update(hash, values, sizeof *values);
    free(z);
    free(y);
    free(x);
  }
  free(weight);
  say("vectors", "all", hash);
}

static void rotations(ck_level level, hp_sha256_ctx *hash) {
  static const double bases[] = {10000, 500000, 1000000, 150000};
  float *factors = room(64 * sizeof(float));
  for (int i = 0; i < 64; i++) factors[i] = 1.0f + (float)(draw() % 64) / 8;
  float *table = room(2 * 64 * 32 * sizeof(float));
  float *x = floats(8 * 128);
  for (uint32_t first = 0; first < 262144; first = first * 3 + 7) {
    for (size_t b = 0; b < sizeof bases / sizeof *bases; b++) {
      ck_rope_table(bases[b], b == 1 ? 0.25 : 1, b == 2 ? 1.2 : 1, b == 3 ? factors : NULL, 64, first, 32, table);
      hp_sha256_update(hash, table, 2 * 64 * 32 * sizeof(float));
      ck_rope(level, (ck_rope_style)(b % 2), x, 8, 128, 64, table);
      hp_sha256_update(hash, x, 8 * 128 * sizeof(float));
    }
  }
  for (int i = 1; i < 2000; i++) {
    double logarithm = ck_log(i * 0.37);
    double power = ck_exp2((i - 1000) * 0.71);
    hp_sha256_update(hash, &logarithm, sizeof logarithm);
    hp_sha256_update(hash, &power, sizeof power);
  }
  free(x);
  free(table);
  free(factors);
  say("rotation", "all", hash);
}

static void attention(ck_level level, hp_sha256_ctx *hash) {
  static const uint32_t heads[] = {32, 64, 128, 256};
  for (size_t h = 0; h < sizeof heads / sizeof *heads; h++) {
    uint32_t head = heads[h];
    enum { GROUP = 4, QUERIES = 33 };
    size_t page = ck_page_bytes(2, head);
    uint8_t *keys = room(page * PAGES);
    uint8_t *values = room(page * PAGES);
    int32_t *pages = room(PAGES * sizeof(int32_t));
    for (int p = 0; p < PAGES; p++) pages[p] = p * 7 % PAGES;
    for (uint32_t p = 0; p < POSITIONS; p++) {
      float *key = floats(2 * head);
      float *value = floats(2 * head);
      size_t at = page * (size_t)pages[p / CK_PAGE];
      ck_store_kv(level, key, value, 2, head, keys + at, values + at, p % CK_PAGE);
      free(value);
      free(key);
    }
    float *queries = floats((size_t)QUERIES * GROUP * head);
    float *sinks = floats(GROUP);
    float *out = room((size_t)QUERIES * GROUP * head * sizeof(float));
    void *scratch = room(ck_attention_scratch(POSITIONS, head, GROUP));
    for (int variant = 0; variant < 4; variant++) {
      ck_attention all = {
          .keys = keys,
          .values = values,
          .page_stride = page,
          .pages = pages,
          .queries = queries,
          .query_stride = GROUP * head,
          .out = out,
          .out_stride = GROUP * head,
          .kv_head = 1,
          .group = GROUP,
          .head_size = head,
          .first_position = POSITIONS - QUERIES,
          .tokens = QUERIES,
          .scale = 0.125f,
          .window = variant == 1 ? 300 : 0,
          .chunk = variant == 2 ? 256 : 0,
          .soft_cap = variant == 1 ? 50.0f : 0,
          .sinks = variant == 3 ? sinks : NULL,
      };
      ck_attend(level, &all, scratch);
      hp_sha256_update(hash, out, (size_t)QUERIES * GROUP * head * sizeof(float));
    }
    free(scratch);
    free(out);
    free(sinks);
    free(queries);
    free(pages);
    free(values);
    free(keys);
  }
  say("attention", "all", hash);
}

static void routes(ck_level level, hp_sha256_ctx *hash) {
  float *bias = floats(EXPERTS);
  for (int round = 0; round < 300; round++) {
    float *logits = floats(EXPERTS);
    float choices[2 * 8];
    ck_router router = {
        .experts = EXPERTS,
        .chosen = 8,
        .gating = (ck_gating)(round % 3),
        .bias = round % 2 == 0 ? bias : NULL,
        .groups = round % 5 == 0 ? 8 : 0,
        .groups_chosen = 4,
        .normalises = round % 7 != 0,
        .scale = 2.5f,
    };
    ck_route(level, &router, logits, choices);
    hp_sha256_update(hash, choices, sizeof choices);
    free(logits);
  }
  free(bias);
  say("routes", "all", hash);
}

// The answer of FIPS 180-4 for a million letters a, which no seed makes.
static bool digests_hold(void) {
  static const uint8_t wanted[4] = {0xcd, 0xc7, 0x6e, 0x5c};
  char *letters = room(1000000);
  memset(letters, 'a', 1000000);
  uint8_t digest[32];
  hp_sha256(letters, 1000000, digest);
  free(letters);
  return memcmp(digest, wanted, sizeof wanted) == 0;
}

int main(int count, char **words) {
  ck_level level = CK_SCALAR;
  for (int l = 0; count > 1 && l < CK_LEVEL_COUNT; l++) {
    if (strcmp(words[1], ck_level_name((ck_level)l)) == 0) level = (ck_level)l;
  }
  if (!ck_level_available(level)) {
    printf("absent\n");
    return 0;
  }
  ck_set_fp_environment();
  printf("frozen digests: %s\n", ck_self_test(level) ? "equal" : "DIFFER");
  printf("self-test %016llx\n", (unsigned long long)ck_self_test_digest(level));
  printf("sha-256: %s\n", digests_hold() ? "equal" : "DIFFERS");
  hp_sha256_ctx hash;
  hp_sha256_init(&hash);
  state = 19;
  products(level, &hash);
  vectors(level, &hash);
  rotations(level, &hash);
  attention(level, &hash);
  routes(level, &hash);
  return 0;
}
