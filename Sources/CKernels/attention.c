// attention.c: softmax attention of one KV head's group over a paged cache (N1 items 6 and 7): how
// queries are cut into sub-tiles and keys into pages. The arithmetic is each level's. Start at
// ck_attend.
#include "internal.h"

enum {
  // rows (token, query head) that share one conversion of a page
  MAX_ROWS = 24,
  MOST_ROWS = CK_MOST_GROUP > MAX_ROWS ? CK_MOST_GROUP : MAX_ROWS,
  // scores kept at once, unless one token's group needs more; they should stay in the L2 cache
  SCORES = 1 << 17,
  MAX_HEAD_SIZE = 576,
  // positions whose products form one accumulation chain
  CHAIN_PAGES = CK_CHAIN / CK_PAGE,
};

static size_t round64(size_t bytes) {
  return (bytes + 63) & ~(size_t)63;
}

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

static size_t head_bytes(uint32_t head_size) {
  return CK_PAGE_SCALES + (size_t)head_size * CK_PAGE * sizeof(int16_t);
}

size_t ck_page_bytes(uint32_t kv_heads, uint32_t head_size) {
  return kv_heads * head_bytes(head_size);
}

// Computes the digits of `rows` queries, and their factors.
static size_t digits_bytes(uint32_t rows, uint32_t head_size) {
  return round64((size_t)rows * 2 * head_size * sizeof(int16_t));
}

size_t ck_attention_scratch(uint32_t positions, uint32_t head_size, uint32_t group) {
  size_t rows = MAX_ROWS > group ? MAX_ROWS : group;
  size_t all = rows * padded(positions);
  size_t one = (size_t)group * padded(positions);
  size_t scores = all < SCORES ? all : one > SCORES ? one : SCORES;
  size_t vectors = 2 * round64(rows * head_size * sizeof(float));
  return digits_bytes((uint32_t)rows, head_size) + vectors + round64(scores * sizeof(float));
}

void ck_store_kv(
    ck_level level, const float *key, const float *value, uint32_t kv_heads, uint32_t head_size,
    uint8_t *key_page, uint8_t *value_page, uint32_t slot) {
  const ck_kernels *kernels = ck_kernels_at(level);
  int16_t column[MAX_HEAD_SIZE];
  float top = head_size > 512 ? CK_LONG_KV_TOP : CK_KV_TOP;
  for (uint32_t h = 0; h < kv_heads; h++) {
    uint8_t *keys = key_page + head_bytes(head_size) * h;
    uint8_t *values = value_page + head_bytes(head_size) * h;
    float *key_scales = (float *)(void *)keys;
    float *value_scales = (float *)(void *)values;
    int16_t *pairs = (int16_t *)(void *)(keys + CK_PAGE_SCALES);
    int16_t *row = (int16_t *)(void *)(values + CK_PAGE_SCALES);
    key_scales[slot] = kernels->integers(key + (size_t)h * head_size, head_size, top, column);
    for (uint32_t d = 0; d < head_size; d += 2) {
      memcpy(pairs + (size_t)d * CK_PAGE + (size_t)2 * slot, column + d, 2 * sizeof *column);
    }
    value_scales[slot] =
        kernels->integers(value + (size_t)h * head_size, head_size, top, row + (size_t)slot * head_size);
  }
}

// One row's query.
static void digits_of(const ck_kernels *kernels, const ck_attention *a, const float *query, int16_t *digits, float *factor) {
  int16_t *low = digits + a->head_size;
  *factor = kernels->integers(query, a->head_size, CK_QUERY_TOP, low) * a->scale;
  for (uint32_t d = 0; d < a->head_size; d++) {
    int32_t v = low[d];
    digits[d] = (int16_t)((v + 128) >> 8);
    low[d] = (int16_t)(v - 256 * digits[d]);
  }
}

// Masks positions outside the row's causal window, starting at `first`.
static void mask(float *row, uint32_t first, uint32_t count, uint32_t low, uint32_t high) {
  float lowest = ck_bits_float(0xff800000);
  for (uint32_t p = first; p < low && p < first + count; p++) row[p - first] = lowest;
  for (uint32_t p = high > first ? high : first; p < first + count; p++) row[p - first] = lowest;
}

static void attend_rows(
    const ck_kernels *kernels, const ck_attention *a, uint32_t token, uint32_t tokens, uint8_t *scratch) {
  uint32_t low[MOST_ROWS];
  uint32_t high[MOST_ROWS];
  uint32_t count = tokens * a->group;
  float factors[MOST_ROWS];
  size_t vectors = round64((size_t)count * a->head_size * sizeof(float));
  int16_t *digits = (int16_t *)(void *)scratch;
  uint8_t *floats = scratch + digits_bytes(count, a->head_size);
  ck_rows rows = {
      .attention = a,
      .digits = digits,
      .factors = factors,
      .partial = (float *)(void *)floats,
      .total = (float *)(void *)(floats + vectors),
      .scores = (float *)(void *)(floats + 2 * vectors),
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
      if (a->chunk != 0) low[r] = most(low[r], position / a->chunk * a->chunk);
      const float *query = a->queries + a->query_stride * (token + t) + (size_t)h * a->head_size;
      digits_of(kernels, a, query, digits + (size_t)r * 2 * a->head_size, &factors[r]);
    }
  }
  rows.first_page = low[0] / CK_PAGE;
  rows.end_page = padded(high[count - 1]) / CK_PAGE;
  rows.stride = (size_t)(rows.end_page - rows.first_page) * CK_PAGE;
  kernels->scores(&rows);

  float sums[MOST_ROWS];
  for (uint32_t r = 0; r < count; r++) {
    float *row = rows.scores + rows.stride * r;
    uint32_t positions = (rows.end_page - rows.first_page) * CK_PAGE;
    mask(row, rows.first_page * CK_PAGE, positions, low[r], high[r]);
    float largest = kernels->maximum(row, positions);
    const float *sink = a->sinks != NULL ? a->sinks + r % a->group : NULL;
    if (sink != NULL && *sink > largest) largest = *sink;
    kernels->weights(row, positions, largest);
    float lanes[16] = {0};
    kernels->sum(row, positions, lanes);
    sums[r] = kernels->tree(lanes);
    if (sink != NULL) {
      float weight = *sink - largest;
      kernels->exp(&weight, 1, &weight);
      sums[r] = sums[r] + weight;
    }
  }

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

// The rows of one KV head over one chain, and what is read next.
typedef struct part {
  ck_attention attention;
  ck_rows rows;
  float factors[CK_MOST_GROUP];
  uint32_t low[CK_MOST_GROUP];
  uint32_t high[CK_MOST_GROUP];
} part;

// false if the chain has no positions
static bool begin(part *p, const ck_attention *a, uint32_t chain, float *scores, size_t stride) {
  uint32_t end = a->first_position + 1;
  uint32_t end_page = padded(end) / CK_PAGE;
  uint32_t first = chain * CHAIN_PAGES;
  if (first >= end_page) return false;
  p->attention = *a;
  for (uint32_t h = 0; h < a->group; h++) {
    p->low[h] = 0;
    p->high[h] = end;
  }
  p->rows = (ck_rows){
      .attention = &p->attention,
      .scores = scores + (size_t)first * CK_PAGE,
      .stride = stride,
      .count = a->group,
      .first_page = first,
      .end_page = end_page - first < CHAIN_PAGES ? end_page : first + CHAIN_PAGES,
      .factors = p->factors,
      .low = p->low,
      .high = p->high,
  };
  return true;
}

// Switches to KV head `head`. `pages` of the chain's next head are read afterwards, or `next` of
// the next chain's first head.
static void turn(
    part *p, const ck_attention *a, uint32_t head, uint32_t kv_heads, const uint8_t *pages, uint32_t next_chain,
    const uint8_t *next) {
  uint32_t end_page = padded(a->first_position + 1) / CK_PAGE;
  p->attention.kv_head = head;
  bool more = head + 1 < kv_heads;
  p->rows.next = more ? pages : next;
  p->rows.next_head = more ? head + 1 : 0;
  p->rows.next_page = more ? p->rows.first_page : next_chain * CHAIN_PAGES;
  p->rows.next_end = more ? p->rows.end_page : end_page;
}

void ck_attend_scores(
    ck_level level, const ck_attention *a, uint32_t kv_heads, uint32_t chain, uint32_t next_chain, float *scores,
    size_t stride, float *largest, void *scratch) {
  const ck_kernels *kernels = ck_kernels_at(level);
  part p;
  if (!begin(&p, a, chain, scores, stride)) return;
  int16_t *digits = scratch;
  p.rows.digits = digits;
  uint32_t positions = (p.rows.end_page - p.rows.first_page) * CK_PAGE;
  float *base = p.rows.scores;
  for (uint32_t head = 0; head < kv_heads; head++) {
    turn(&p, a, head, kv_heads, a->keys, next_chain, next_chain > chain ? a->keys : a->values);
    p.rows.scores = base + stride * head * a->group;
    for (uint32_t r = 0; r < a->group; r++) {
      const float *query = a->queries + ((size_t)head * a->group + r) * a->head_size;
      digits_of(kernels, a, query, digits + (size_t)r * 2 * a->head_size, &p.factors[r]);
    }
    kernels->scores(&p.rows);
    for (uint32_t r = 0; r < a->group; r++) {
      float *row = p.rows.scores + stride * r;
      mask(row, p.rows.first_page * CK_PAGE, positions, 0, p.high[r]);
      largest[head * a->group + r] = kernels->maximum(row, positions);
    }
  }
}

void ck_attend_mix(
    ck_level level, const ck_attention *a, uint32_t kv_heads, uint32_t chain, uint32_t next_chain,
    const float *largest, float *scores, size_t stride, float *partial) {
  const ck_kernels *kernels = ck_kernels_at(level);
  part p;
  if (!begin(&p, a, chain, scores, stride)) return;
  uint32_t positions = (p.rows.end_page - p.rows.first_page) * CK_PAGE;
  uint32_t chains = (a->first_position + CK_CHAIN) / CK_CHAIN;
  uint32_t heads = kv_heads * a->group;
  float *base = p.rows.scores;
  for (uint32_t head = 0; head < kv_heads; head++) {
    turn(&p, a, head, kv_heads, a->values, next_chain, a->values);
    p.rows.scores = base + stride * head * a->group;
    for (uint32_t r = 0; r < a->group; r++) {
      float most = largest[head * a->group + r];
      for (uint32_t c = 1; c < chains; c++) {
        float other = largest[(size_t)heads * c + head * a->group + r];
        if (other > most) most = other;
      }
      kernels->weights(p.rows.scores + stride * r, positions, most);
    }
    p.rows.partial = partial + (size_t)head * a->group * a->head_size;
    memset(p.rows.partial, 0, (size_t)a->group * a->head_size * sizeof(float));
    kernels->mix(&p.rows, p.rows.first_page, p.rows.end_page);
  }
}

void ck_attend_add(
    ck_level level, const ck_attention *a, uint32_t heads, uint32_t first_chain, uint32_t end_chain,
    const float *weights, size_t stride, const float *partials, size_t partial_stride, float *sums,
    float *totals) {
  const ck_kernels *kernels = ck_kernels_at(level);
  uint32_t first = first_chain * CK_CHAIN;
  uint32_t end = padded(a->first_position + 1);
  if (end > end_chain * CK_CHAIN) end = end_chain * CK_CHAIN;
  if (end <= first) return;
  for (uint32_t h = 0; h < heads; h++) {
    kernels->sum(weights + stride * h + first, end - first, sums + 16 * (size_t)h);
  }
  uint32_t elements = heads * a->head_size;
  for (uint32_t c = first_chain; c * CK_CHAIN < end; c++) {
    kernels->add(partials + partial_stride * c, elements, totals);
  }
}

void ck_attend_finish(
    ck_level level, uint32_t heads, uint32_t head_size, const float *sums, const float *totals, float *out) {
  for (uint32_t h = 0; h < heads; h++) {
    float inverse = 1.0f / ck_kernels_at(level)->tree(sums + 16 * (size_t)h);
    const float *from = totals + (size_t)h * head_size;
    float *to = out + (size_t)h * head_size;
    for (uint32_t d = 0; d < head_size; d++) to[d] = from[d] * inverse;
  }
}
