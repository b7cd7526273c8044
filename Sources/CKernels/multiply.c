// multiply.c: the public matrix products: the loop over tiles and tokens, and the output of a
// product. The products themselves are each level's (internal.h). Start at ck_multiply.
#include "internal.h"

size_t ck_blocks_bytes(ck_profile profile, uint32_t cols) {
  (void)profile;
  // 64 more, so that tokens do not fall into the same cache sets if cols is a power of two
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

size_t ck_group_bytes(ck_level level, uint32_t cols) {
  if (level == CK_AVX512 && !ck_pairs_pay()) return 0;
  return (size_t)(cols / 32) * ck_kernels_at(level)->group_bytes;
}

void ck_group(ck_level level, ck_profile profile, const void *blocks, uint32_t cols, void *group, uint32_t slot) {
  ck_kernels_at(level)->group(profile, blocks, cols, group, slot);
}

void ck_blocks_read(
    ck_level level, ck_profile profile, const void *blocks, uint32_t block, int16_t *v, float *d, float *s) {
  ck_kernels_at(level)->blocks_read(profile, blocks, block, v, d, s);
}

// How many tiles one call of `products` takes, and how many tiles ahead it prefetches.
typedef struct stride {
  uint32_t tiles;
  uint32_t ahead;
} stride;

// With few tokens, several tiles at once keep more loads and accumulation chains in flight. For a
// single token a call takes all tiles but the last few, because what follows those is in another
// matrix. A tile unit loads the digits of activations once for all tiles.
static stride stride_for(const ck_kernels *kernels, uint32_t tokens, uint32_t tiles_left, uint32_t most_tiles) {
  if (tokens > CK_MAX_TOKENS / CK_MAX_TILES && !kernels->takes_tiles) most_tiles = 1;
  uint32_t ahead = least(CK_MAX_TILES, most_tiles);
  if (tokens == 1 && tiles_left > ahead) return (stride){least(tiles_left - ahead, CK_MAX_TOKENS), ahead};
  uint32_t tiles = least(tiles_left, ahead);
  return (stride){tiles, tiles};
}

// What is read after the tiles of one call: the following tiles, or what the caller reads next.
static const uint8_t *after(
    const ck_matrix *matrix, size_t tile_bytes, uint32_t tile, uint32_t end_tile, const uint8_t *next) {
  return tile < end_tile || next == NULL ? matrix->data + tile_bytes * tile : next;
}

enum {
  // from this many on, what `emit` writes is no longer in the L1 cache
  MANY_TOKENS = 32,
};

// Prefetches the memory that `emit` will write, one place per token, while the products are
// computed.
static void expect(const ck_output *output, uint32_t tile, uint32_t tiles, uint32_t token, uint32_t tokens) {
  for (uint32_t t = 0; t < tokens; t++) {
    const float *to = output->values + output->stride * (token + t) + (size_t)tile * CK_TILE_ROWS;
    for (uint32_t i = 0; i < tiles; i++) __builtin_prefetch(to + (size_t)i * CK_TILE_ROWS, 1, 2);
  }
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
      if (lanes == CK_TILE_ROWS && output->bias == NULL && output->residual == NULL) {
        memcpy(to, from, CK_TILE_ROWS * sizeof(float));
        continue;
      }
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
        for (uint32_t l = 0; l < lanes; l++) to[l] = sums[l];
      }
    }
  }
}

// The arguments are separate, not in a structure written just before: a load that spans several
// recent stores waits until all stores are done, including those to lines that another thread owns.
static void multiply(
    const ck_kernels *kernels, const ck_matrix *matrix, const ck_input *input, const ck_output *output,
    uint32_t first_tile, uint32_t end_tile, uint32_t most_tiles, uint32_t first_token, uint32_t end_token,
    const uint8_t *next) {
  _Alignas(64) float products[CK_MAX_TILES * CK_MAX_TOKENS * CK_TILE_ROWS];
  size_t tile_bytes = ck_tile_bytes(matrix->type, matrix->cols);
  for (uint32_t token = first_token; token < end_token; token += CK_MAX_TOKENS) {
    uint32_t tokens = least(end_token - token, CK_MAX_TOKENS);
    uint32_t tiles;
    for (uint32_t tile = first_tile; tile < end_tile; tile += tiles) {
      stride at_once = stride_for(kernels, end_token - first_token, end_tile - tile, most_tiles);
      tiles = at_once.tiles;
      const uint8_t *ahead = after(matrix, tile_bytes, tile + at_once.ahead, end_tile, next);
      if (tokens >= MANY_TOKENS) expect(output, tile, tiles, token, tokens);
      kernels->products(matrix, input, tile, tiles, token, tokens, ahead, products);
      emit(matrix, output, tile, tiles, token, tokens, products);
    }
  }
}

static void multiply_gated(
    const ck_kernels *kernels, const ck_matrix *gate, const ck_matrix *up, const ck_input *input,
    const ck_output *output, uint32_t first_tile, uint32_t end_tile, uint32_t most_tiles, uint32_t first_token,
    uint32_t end_token, const uint8_t *next) {
  _Alignas(64) float gates[CK_MAX_TILES * CK_MAX_TOKENS * CK_TILE_ROWS];
  _Alignas(64) float ups[CK_MAX_TILES * CK_MAX_TOKENS * CK_TILE_ROWS];
  ck_output plain = {.values = output->values, .stride = output->stride};
  size_t gate_bytes = ck_tile_bytes(gate->type, gate->cols);
  size_t up_bytes = ck_tile_bytes(up->type, up->cols);
  for (uint32_t token = first_token; token < end_token; token += CK_MAX_TOKENS) {
    uint32_t tokens = least(end_token - token, CK_MAX_TOKENS);
    uint32_t tiles;
    for (uint32_t tile = first_tile; tile < end_tile; tile += tiles) {
      tiles = stride_for(kernels, end_token - first_token, end_tile - tile, most_tiles).ahead;
      const uint8_t *ahead = after(gate, gate_bytes, tile + tiles, end_tile, next);
      if (tokens >= MANY_TOKENS) expect(output, tile, tiles, token, tokens);
      kernels->products(gate, input, tile, tiles, token, tokens, up->data + up_bytes * tile, gates);
      kernels->products(up, input, tile, tiles, token, tokens, ahead, ups);
      kernels->gate(ups, tiles * tokens * CK_TILE_ROWS, gates);
      emit(gate, &plain, tile, tiles, token, tokens, gates);
    }
  }
}

static uint32_t end_of(uint32_t first, uint32_t count, uint32_t limit) {
  return first > limit || count > limit - first ? limit : first + count;
}

void ck_multiply(
    ck_level level, const ck_matrix *matrix, const ck_input *input, const ck_output *output, ck_range range) {
  uint32_t end = end_of(range.first_tile, range.tiles, ck_tile_count(matrix->rows));
  multiply(
      ck_kernels_at(level), matrix, input, output, range.first_tile, end, CK_MAX_TILES, range.first_token,
      range.first_token + range.tokens, range.next);
}

void ck_multiply_gated(
    ck_level level, const ck_matrix *gate, const ck_matrix *up, const ck_input *input, const ck_output *output,
    ck_range range) {
  uint32_t end = end_of(range.first_tile, range.tiles, ck_tile_count(gate->rows));
  multiply_gated(
      ck_kernels_at(level), gate, up, input, output, range.first_tile, end, CK_MAX_TILES, range.first_token,
      range.first_token + range.tokens, range.next);
}

void ck_multiply_expert(
    ck_level level, const ck_matrix *matrix, const ck_input *input, const float *bias, const uint32_t *tokens,
    const float *weights, float *out, size_t stride, ck_range range) {
  const ck_kernels *kernels = ck_kernels_at(level);
  _Alignas(64) float products[CK_MAX_TILES * CK_MAX_TOKENS * CK_TILE_ROWS];
  size_t tile_bytes = ck_tile_bytes(matrix->type, matrix->cols);
  uint32_t end_tile = end_of(range.first_tile, range.tiles, ck_tile_count(matrix->rows));
  uint32_t end_place = range.first_token + range.tokens;
  for (uint32_t place = range.first_token; place < end_place; place += CK_MAX_TOKENS) {
    uint32_t count = least(end_place - place, CK_MAX_TOKENS);
    uint32_t tiles;
    for (uint32_t tile = range.first_tile; tile < end_tile; tile += tiles) {
      struct stride at_once = stride_for(kernels, range.tokens, end_tile - tile, CK_MAX_TILES);
      tiles = at_once.tiles;
      const uint8_t *ahead = after(matrix, tile_bytes, tile + at_once.ahead, end_tile, range.next);
      kernels->products(matrix, input, tile, tiles, place, count, ahead, products);
      for (uint32_t i = 0; i < tiles; i++) {
        size_t row = (size_t)(tile + i) * CK_TILE_ROWS;
        uint32_t lanes = least(CK_TILE_ROWS, (uint32_t)(matrix->rows - row));
        for (uint32_t t = 0; t < count; t++) {
          const float *from = products + ((size_t)i * count + t) * CK_TILE_ROWS;
          float *to = out + stride * tokens[place + t] + row;
          float weight = weights != NULL ? weights[place + t] : 1.0f;
          for (uint32_t l = 0; l < lanes; l++) {
            float sum = bias != NULL ? from[l] + bias[row + l] : from[l];
            float weighted = weight * sum;
            to[l] = to[l] + weighted;
          }
        }
      }
    }
  }
}

// ---------------------------------------------------------------- divided among threads

static uint32_t token_units(const ck_division *d) {
  return (d->tokens + d->tokens_at_once - 1) / d->tokens_at_once;
}

uint32_t ck_division_units(const ck_division *d, uint32_t tiles) {
  return (tiles + d->tiles_at_once - 1) / d->tiles_at_once * token_units(d);
}

// One worker's way through the units: it is taking from the part of the worker `step` places after
// itself.
typedef struct taker {
  uint32_t units;
  // consecutive units claimed in one go
  uint32_t run;
  uint32_t step;
  uint32_t unit;
  uint32_t count;
  // no more units of its own part follow
  bool last;
} taker;

enum {
  // units of one group of tokens that a worker claims in one go from its own part
  LONGEST_RUN = 8,
};

static taker taker_of(const ck_division *d, uint32_t tiles) {
  return (taker){.units = ck_division_units(d, tiles), .run = token_units(d) == 1 ? LONGEST_RUN : 1};
}

static bool take(taker *t, const ck_division *d) {
  for (; t->step < d->workers; t->step++) {
    uint32_t owner = (d->worker + t->step) % d->workers;
    uint32_t first = (uint32_t)((uint64_t)t->units * owner / d->workers);
    uint32_t end = (uint32_t)((uint64_t)t->units * (owner + 1) / d->workers);
    uint32_t taken = ck_counter_take_run(&d->counters[owner], end - first, t->step == 0 ? t->run : 1, &t->count);
    if (taken == end - first) continue;
    t->unit = first + taken;
    t->last = t->step > 0 || t->unit + t->count == end;
    return true;
  }
  return false;
}

void ck_multiply_part(
    ck_level level, const ck_product *products, uint32_t count, const ck_input *input, const ck_division *d) {
  const ck_kernels *kernels = ck_kernels_at(level);
  uint32_t total = 0;
  for (uint32_t i = 0; i < count; i++) total += ck_tile_count(products[i].matrix.rows);
  uint32_t per_tile = token_units(d);
  taker t = taker_of(d, total);
  while (take(&t, d)) {
    uint32_t token = t.unit % per_tile * d->tokens_at_once;
    uint32_t end_token = token + least(d->tokens_at_once, d->tokens - token);
    uint32_t first = t.unit / per_tile * d->tiles_at_once;
    uint32_t end = first + least(d->tiles_at_once * t.count, total - first);
    uint32_t start = 0;
    for (uint32_t i = 0; i < count; i++) {
      const ck_matrix *matrix = &products[i].matrix;
      uint32_t tiles = ck_tile_count(matrix->rows);
      uint32_t from = first > start ? first - start : 0;
      uint32_t to = end > start ? least(end - start, tiles) : 0;
      start += tiles;
      if (from >= to) continue;
      const uint8_t *next = matrix->data + ck_tile_bytes(matrix->type, matrix->cols) * to;
      if (to == tiles && i + 1 < count) next = products[i + 1].matrix.data;
      if (t.last && end <= start) next = d->next;
      multiply(kernels, matrix, input, &products[i].output, from, to, d->tiles_at_once, token, end_token, next);
    }
  }
}

void ck_multiply_gated_part(
    ck_level level, const ck_matrix *gate, const ck_matrix *up, const ck_input *input, const ck_output *output,
    const ck_division *d) {
  const ck_kernels *kernels = ck_kernels_at(level);
  uint32_t total = ck_tile_count(gate->rows);
  size_t tile_bytes = ck_tile_bytes(gate->type, gate->cols);
  uint32_t per_tile = token_units(d);
  taker t = taker_of(d, total);
  while (take(&t, d)) {
    uint32_t token = t.unit % per_tile * d->tokens_at_once;
    uint32_t end_token = token + least(d->tokens_at_once, d->tokens - token);
    uint32_t first = t.unit / per_tile * d->tiles_at_once;
    uint32_t end = first + least(d->tiles_at_once * t.count, total - first);
    const uint8_t *next = t.last ? d->next : gate->data + tile_bytes * end;
    multiply_gated(
        kernels, gate, up, input, output, first, end, d->tiles_at_once, token, end_token, next);
  }
}

uint64_t ck_read_memory(const void *bytes, size_t count) {
  const uint8_t *at = bytes;
  uint64_t sum[8] = {0};
  for (size_t i = 0; i + 64 <= count; i += 64) {
    // as far ahead as the kernels prefetch
    __builtin_prefetch(at + i + (12 << 10), 0, 2);
    uint64_t line[8];
    memcpy(line, at + i, sizeof line);
    for (int k = 0; k < 8; k++) sum[k] ^= line[k];
  }
  return sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}
