// attention.c: softmax attention of one KV head's group over a paged f16 cache (N1 item 7): how queries are
// cut into sub-tiles and keys into pages. The arithmetic is each level's. Start at ck_attend.
#include "internal.h"

enum {
  // rows (token, query head) that share one conversion of a page
  MAX_ROWS = 24,
  MAX_GROUP = 64,
  // scores kept at once, unless one token's group needs more: they should stay in the L2 cache
  SCORES = 1 << 17,
  // positions whose products form one chain
  CHAIN_PAGES = CK_CHAIN / CK_PAGE,
};

static uint32_t rows_for(uint32_t positions, uint32_t group) {
  uint32_t rows = MAX_ROWS > group ? MAX_ROWS : group;
  uint32_t fit = SCORES / positions;
  if (rows > fit) rows = fit;
  rows -= rows % group;
  return rows < group ? group : rows;
}

static uint32_t padded(uint32_t positions) {
  return (positions + CK_PAGE - 1) / CK_PAGE * CK_PAGE;
}

static size_t round64(size_t bytes) {
  return (bytes + 63) & ~(size_t)63;
}

size_t ck_page_elements(uint32_t kv_heads, uint32_t head_size) {
  return (size_t)kv_heads * head_size * CK_PAGE;
}

size_t ck_attention_scratch(uint32_t positions, uint32_t head_size, uint32_t group) {
  size_t rows = MAX_ROWS > group ? MAX_ROWS : group;
  size_t all = rows * padded(positions);
  size_t one = (size_t)group * padded(positions);
  size_t scores = all < SCORES ? all : one > SCORES ? one : SCORES;
  size_t vectors = 3 * round64(rows * head_size * sizeof(float));
  size_t pages = round64((size_t)2 * CK_PAGE * head_size * sizeof(float));
  return round64(scores * sizeof(float)) + vectors + pages;
}

void ck_store_kv(
    ck_level level, const float *key, const float *value, uint32_t kv_heads, uint32_t head_size,
    uint16_t *key_page, uint16_t *value_page, uint32_t slot) {
  const ck_kernels *kernels = ck_kernels_at(level);
  uint16_t column[512];
  for (uint32_t h = 0; h < kv_heads; h++) {
    const float *k = key + (size_t)h * head_size;
    kernels->to_half(k, head_size, column);
    uint16_t *page = key_page + (size_t)h * head_size * CK_PAGE + slot;
    for (uint32_t d = 0; d < head_size; d++) page[(size_t)d * CK_PAGE] = column[d];
    kernels->to_half(
        value + (size_t)h * head_size, head_size, value_page + ((size_t)h * CK_PAGE + slot) * head_size);
  }
}

static void attend_rows(
    const ck_kernels *kernels, const ck_attention *a, uint32_t token, uint32_t tokens, uint8_t *scratch) {
  uint32_t low[MAX_GROUP > MAX_ROWS ? MAX_GROUP : MAX_ROWS];
  uint32_t high[MAX_GROUP > MAX_ROWS ? MAX_GROUP : MAX_ROWS];
  uint32_t count = tokens * a->group;
  size_t vectors = round64((size_t)count * a->head_size * sizeof(float));
  float *queries = (float *)(void *)scratch;
  ck_rows rows = {
      .attention = a,
      .queries = queries,
      .partial = (float *)(void *)(scratch + vectors),
      .total = (float *)(void *)(scratch + 2 * vectors),
      .page = (float *)(void *)(scratch + 3 * vectors),
      .scores = (float *)(void *)(scratch + 3 * vectors
          + round64((size_t)2 * CK_PAGE * a->head_size * sizeof(float))),
      .count = count,
      .low = low,
      .high = high,
  };
  for (uint32_t t = 0; t < tokens; t++) {
    uint32_t position = a->first_position + token + t;
    for (uint32_t h = 0; h < a->group; h++) {
      uint32_t r = t * a->group + h;
      high[r] = position + 1;
      low[r] = a->window != 0 && position + 1 > a->window ? position + 1 - a->window : 0;
      memcpy(
          queries + (size_t)r * a->head_size,
          a->queries + a->query_stride * (token + t) + (size_t)h * a->head_size,
          a->head_size * sizeof(float));
    }
  }
  rows.first_page = low[0] / CK_PAGE;
  rows.end_page = padded(high[count - 1]) / CK_PAGE;
  rows.stride = (size_t)(rows.end_page - rows.first_page) * CK_PAGE;
  kernels->scores(&rows);

  float sums[MAX_GROUP > MAX_ROWS ? MAX_GROUP : MAX_ROWS];
  for (uint32_t r = 0; r < count; r++) sums[r] = kernels->softmax(&rows, r);

  size_t elements = (size_t)count * a->head_size;
  memset(rows.total, 0, elements * sizeof(float));
  for (uint32_t page = rows.first_page; page < rows.end_page;) {
    uint32_t end = (page / CHAIN_PAGES + 1) * CHAIN_PAGES;
    if (end > rows.end_page) end = rows.end_page;
    memset(rows.partial, 0, elements * sizeof(float));
    kernels->mix(&rows, page, end);
    for (size_t i = 0; i < elements; i++) rows.total[i] = rows.total[i] + rows.partial[i];
    page = end;
  }
  for (uint32_t r = 0; r < count; r++) {
    float inverse = 1.0f / sums[r];
    const float *from = rows.total + (size_t)r * a->head_size;
    float *to = a->out + a->out_stride * (token + r / a->group) + (size_t)(r % a->group) * a->head_size;
    for (uint32_t d = 0; d < a->head_size; d++) to[d] = from[d] * inverse;
  }
}

void ck_attend(ck_level level, const ck_attention *attention, void *scratch) {
  if (attention->tokens == 0) return;
  const ck_kernels *kernels = ck_kernels_at(level);
  uint32_t end = attention->first_position + attention->tokens;
  uint32_t at_once = rows_for(padded(end), attention->group) / attention->group;
  for (uint32_t token = 0; token < attention->tokens; token += at_once) {
    uint32_t tokens = attention->tokens - token < at_once ? attention->tokens - token : at_once;
    attend_rows(kernels, attention, token, tokens, scratch);
  }
}

// ---------------------------------------------------------------- one token in parts

static ck_rows rows_of(const ck_attention *a, float *scores, size_t stride, uint32_t *low, uint32_t *high) {
  uint32_t end = a->first_position + 1;
  uint32_t start = a->window != 0 && end > a->window ? end - a->window : 0;
  for (uint32_t h = 0; h < a->group; h++) {
    low[h] = start;
    high[h] = end;
  }
  return (ck_rows){
      .attention = a,
      .queries = a->queries,
      .scores = scores,
      .stride = stride,
      .count = a->group,
      .first_page = 0,
      .end_page = padded(end) / CK_PAGE,
      .low = low,
      .high = high,
  };
}

void ck_attend_scores(
    ck_level level, const ck_attention *a, uint32_t chain, float *scores, size_t stride, void *scratch) {
  uint32_t low[MAX_GROUP];
  uint32_t high[MAX_GROUP];
  ck_rows rows = rows_of(a, scores, stride, low, high);
  rows.first_page = chain * CHAIN_PAGES;
  if (rows.end_page > rows.first_page + CHAIN_PAGES) rows.end_page = rows.first_page + CHAIN_PAGES;
  if (rows.end_page <= rows.first_page) return;
  rows.scores = scores + (size_t)rows.first_page * CK_PAGE;
  rows.page = scratch;
  ck_kernels_at(level)->scores(&rows);
}

float ck_attend_weights(ck_level level, const ck_attention *a, uint32_t head, float *scores, size_t stride) {
  uint32_t low[MAX_GROUP];
  uint32_t high[MAX_GROUP];
  ck_rows rows = rows_of(a, scores, stride, low, high);
  return ck_kernels_at(level)->softmax(&rows, head);
}

void ck_attend_mix(
    ck_level level, const ck_attention *a, uint32_t chain, const float *weights, size_t stride, float *partial,
    void *scratch) {
  uint32_t low[MAX_GROUP];
  uint32_t high[MAX_GROUP];
  // read only by mix
  ck_rows rows = rows_of(a, (float *)(uintptr_t)weights, stride, low, high);
  uint32_t end = (chain + 1) * CHAIN_PAGES;
  rows.partial = partial;
  rows.page = scratch;
  memset(partial, 0, (size_t)a->group * a->head_size * sizeof(float));
  if (chain * CHAIN_PAGES >= rows.end_page) return;
  ck_kernels_at(level)->mix(&rows, chain * CHAIN_PAGES, end < rows.end_page ? end : rows.end_page);
}

void ck_attend_finish(
    const ck_attention *a, uint32_t head, const float *partials, size_t partial_stride, float sum) {
  uint32_t chains = (a->first_position + 1 + CK_CHAIN - 1) / CK_CHAIN;
  float inverse = 1.0f / sum;
  float *to = a->out + (size_t)head * a->head_size;
  for (uint32_t d = 0; d < a->head_size; d++) {
    float total = 0;
    for (uint32_t c = 0; c < chains; c++) {
      total = total + partials[partial_stride * c + (size_t)head * a->head_size + d];
    }
    to[d] = total * inverse;
  }
}
