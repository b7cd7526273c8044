// multiply.c: the public matrix products: the walk over tiles and tokens, and what is done with a product.
// The products themselves are each level's; see internal.h. Start at ck_multiply.
#include "internal.h"

size_t ck_blocks_bytes(ck_profile profile, uint32_t cols) {
  (void)profile;
  // 64 more, so that tokens do not fall into the same cache sets where cols is a power of two
  return (((size_t)(cols / 32) * sizeof(ck_record) + 63) & ~(size_t)63) + 64;
}

float ck_profile_top(ck_profile profile) {
  switch (profile) {
    case CK_A8: return 127.0f;
    case CK_A12: return 2032.0f;
    case CK_A15: return 16383.0f;
  }
  return 127.0f;
}

bool ck_quantise(ck_level level, ck_profile profile, const float *x, uint32_t cols, void *out) {
  return ck_kernels_at(level)->quantise(profile, x, cols, out);
}

void ck_blocks_read(
    ck_level level, ck_profile profile, const void *blocks, uint32_t block, int16_t *v, float *d, float *s) {
  ck_kernels_at(level)->blocks_read(profile, blocks, block, v, d, s);
}

typedef struct walk {
  ck_range range;
  uint32_t end_tile;
  uint32_t end_token;
  uint32_t tiles_at_once;
  size_t tile_bytes;
} walk;

// Few tokens: several tiles at once keep more loads and chains in flight.
static walk walk_of(const ck_matrix *matrix, ck_range range) {
  walk w = {.range = range, .end_tile = ck_tile_count(matrix->rows)};
  if (range.first_tile > w.end_tile) w.range.first_tile = w.end_tile;
  if (range.tiles < w.end_tile - w.range.first_tile) w.end_tile = w.range.first_tile + range.tiles;
  w.end_token = range.first_token + range.tokens;
  w.tile_bytes = ck_tile_bytes(matrix->type, matrix->cols);
  w.tiles_at_once = range.tokens <= CK_MAX_TOKENS / CK_MAX_TILES ? CK_MAX_TILES : 1;
  return w;
}

// What is read after the tiles before `tile`: those from there on, or what the caller goes on with.
static const uint8_t *after(const walk *w, const ck_matrix *matrix, uint32_t tile) {
  if (tile < w->end_tile || w->range.next == NULL) return matrix->data + w->tile_bytes * tile;
  return w->range.next;
}

static void emit(
    const ck_matrix *matrix, const ck_output *output, uint32_t tile, uint32_t tiles, uint32_t token,
    uint32_t tokens, const float *products) {
  for (uint32_t i = 0; i < tiles; i++) {
    size_t row = (size_t)(tile + i) * CK_TILE_ROWS;
    uint32_t lanes = matrix->rows - row < CK_TILE_ROWS ? (uint32_t)(matrix->rows - row) : CK_TILE_ROWS;
    for (uint32_t t = 0; t < tokens; t++) {
      const float *from = products + ((size_t)i * tokens + t) * CK_TILE_ROWS;
      float *to = output->values + output->stride * (token + t) + row;
      float sums[CK_TILE_ROWS];
      memcpy(sums, from, sizeof sums);
      if (output->bias != NULL) {
        for (uint32_t l = 0; l < lanes; l++) sums[l] = sums[l] + output->bias[row + l];
      }
      if (output->residual != NULL) {
        const float *residual = output->residual + output->residual_stride * (token + t) + row;
        for (uint32_t l = 0; l < lanes; l++) sums[l] = residual[l] + sums[l];
      }
      if (lanes == CK_TILE_ROWS) {
        memcpy(to, sums, sizeof sums);
      } else {
        memcpy(to, sums, lanes * sizeof(float));
      }
    }
  }
}

void ck_multiply(
    ck_level level, const ck_matrix *matrix, const ck_input *input, const ck_output *output, ck_range range) {
  const ck_kernels *kernels = ck_kernels_at(level);
  _Alignas(64) float products[CK_MAX_TOKENS * CK_TILE_ROWS];
  walk w = walk_of(matrix, range);
  for (uint32_t token = range.first_token; token < w.end_token; token += CK_MAX_TOKENS) {
    uint32_t tokens = w.end_token - token < CK_MAX_TOKENS ? w.end_token - token : CK_MAX_TOKENS;
    for (uint32_t tile = w.range.first_tile; tile < w.end_tile; tile += w.tiles_at_once) {
      uint32_t tiles = w.end_tile - tile < w.tiles_at_once ? w.end_tile - tile : w.tiles_at_once;
      kernels->products(matrix, input, tile, tiles, token, tokens, after(&w, matrix, tile + tiles), products);
      emit(matrix, output, tile, tiles, token, tokens, products);
    }
  }
}

void ck_multiply_gated(
    ck_level level, const ck_matrix *gate, const ck_matrix *up, const ck_input *input, const ck_output *output,
    ck_range range) {
  const ck_kernels *kernels = ck_kernels_at(level);
  _Alignas(64) float gates[CK_MAX_TOKENS * CK_TILE_ROWS];
  _Alignas(64) float ups[CK_MAX_TOKENS * CK_TILE_ROWS];
  ck_output plain = {.values = output->values, .stride = output->stride};
  walk w = walk_of(gate, range);
  size_t up_bytes = ck_tile_bytes(up->type, up->cols);
  for (uint32_t token = range.first_token; token < w.end_token; token += CK_MAX_TOKENS) {
    uint32_t tokens = w.end_token - token < CK_MAX_TOKENS ? w.end_token - token : CK_MAX_TOKENS;
    for (uint32_t tile = w.range.first_tile; tile < w.end_tile; tile += w.tiles_at_once) {
      uint32_t tiles = w.end_tile - tile < w.tiles_at_once ? w.end_tile - tile : w.tiles_at_once;
      kernels->products(gate, input, tile, tiles, token, tokens, up->data + up_bytes * tile, gates);
      kernels->products(up, input, tile, tiles, token, tokens, after(&w, gate, tile + tiles), ups);
      kernels->gate(ups, tiles * tokens * CK_TILE_ROWS, gates);
      emit(gate, &plain, tile, tiles, token, tokens, gates);
    }
  }
}
