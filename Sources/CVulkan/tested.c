// tested.c: a device as what the self-test's vectors run on: inputs are copied to its memory, its
// kernels run in the order of a step, and results come back. The pipelines are those that a step
// would run on. Start at cv_self_test.
#include "device.h"

#include <stdio.h>
#include <string.h>

enum {
  // more than any part needs
  SCRATCH = 8 << 20,
  ALIGNMENT = 256,
  RECORD_BYTES = CV_RECORD_BYTES,
};

// A launch of the self-test takes milliseconds; a device that takes longer hangs.
static const uint64_t longest = 10000000000ull;

// A part of the scratch.
typedef struct span {
  uint8_t *bytes;
  uint64_t address;
} span;

// Launches over the scratch, gathered and then run.
typedef struct work {
  cv_device *device;
  uint64_t used;
  // whether the scratch was too small
  bool is_over;
} work;

static work begin(void *context) {
  work w = {.device = context};
  if (w.device->scratch.bytes == NULL) w.is_over = !cv_arena_make(w.device, SCRATCH, CV_SHARED, &w.device->scratch);
  return w;
}

static span room(work *w, size_t count) {
  uint64_t at = w->used;
  w->used += (count + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (w->is_over || w->used > SCRATCH) {
    w->is_over = true;
    return (span){0};
  }
  return (span){w->device->scratch.bytes + at, w->device->scratch.address + at};
}

static span put(work *w, const void *bytes, size_t count) {
  span s = room(w, count);
  if (s.bytes != NULL) memcpy(s.bytes, bytes, count);
  return s;
}

// Zeros.
static span clear(work *w, size_t count) {
  span s = room(w, count);
  if (s.bytes != NULL) memset(s.bytes, 0, count);
  return s;
}

static bool run(work *w, const cv_dispatch *dispatches, uint32_t count) {
  if (w->is_over) cv_fail(w->device, "the self-test has not enough memory");
  uint64_t ticket = cv_submit(w->device, dispatches, count);
  cv_outcome outcome = cv_wait(w->device, ticket, longest);
  if (outcome == CV_LATE) cv_fail(w->device, "it takes longer than 10 seconds for %s", cv_kernel_name(dispatches->kernel));
  return outcome == CV_DONE;
}

#define LAUNCH(kernel, push, x, y) {kernel, {x, y, 1}, &push, sizeof push}

// ---------------------------------------------------------------- functions and norms

static bool tested_function(void *context, ck_test_function function, const float *x, uint32_t n, float *y) {
  cv_kernel kernel = cv_function_of(function);
  if (kernel == CV_KERNEL_COUNT) return false;
  work w = begin(context);
  span from = put(&w, x, n * sizeof *x);
  span to = put(&w, y, n * sizeof *y);
  cv_function_push push = {from.address, to.address, n, CK_TEST_FACTOR};
  cv_dispatch launch = LAUNCH(kernel, push, (n + 63) / 64, 1);
  if (!run(&w, &launch, 1)) return false;
  memcpy(y, to.bytes, n * sizeof *y);
  return true;
}

// The input is copied first, as rows with a gap: so that is proved as well.
static bool tested_norm(
    void *context, const float *x, const float *weight, uint32_t n, float epsilon, float *y) {
  work w = begin(context);
  span to = room(&w, n * sizeof *y);
  span from = put(&w, x, n * sizeof *x);
  span packed = clear(&w, 3 * n * sizeof *x);
  uint32_t half = n / 2;
  cv_copy_push spread = {from.address, packed.address + n * 4, 2, half, half, 2 * half};
  cv_copy_push joined = {packed.address + n * 4, from.address, 2, half, 2 * half, half};
  cv_norm_push push = {from.address, put(&w, weight, n * sizeof *weight).address, to.address, n, epsilon};
  cv_dispatch launches[] = {
      LAUNCH(CV_COPY, spread, 2, 1),
      LAUNCH(CV_COPY, joined, 3, 1),
      LAUNCH(CV_NORM, push, 1, 1),
  };
  // Between the copies lies nothing of the input.
  cv_copy_push cleared = {packed.address, from.address, 1, 2 * half, 0, 0};
  cv_dispatch clearing = LAUNCH(CV_COPY, cleared, 1, 1);
  if (!run(&w, launches, 1) || !run(&w, &clearing, 1) || !run(&w, launches + 1, 2)) return false;
  memcpy(y, to.bytes, n * sizeof *y);
  return true;
}

static bool tested_rope(
    void *context, ck_rope_style style, float *x, uint32_t heads, uint32_t head_size, uint32_t pairs,
    const float *table) {
  work w = begin(context);
  size_t count = (size_t)heads * head_size * sizeof *x;
  span at = put(&w, x, count);
  cv_rope_push push = {
      at.address, put(&w, table, 2 * pairs * sizeof *table).address, heads, head_size, pairs, (uint32_t)style};
  cv_dispatch launch = LAUNCH(CV_ROPE, push, heads, 1);
  if (!run(&w, &launch, 1)) return false;
  memcpy(x, at.bytes, count);
  return true;
}

// ---------------------------------------------------------------- products

static cv_quantise_push quantising(work *w, ck_profile profile, const float *x, uint32_t tokens, uint32_t cols) {
  return (cv_quantise_push){
      .x = put(w, x, (size_t)tokens * cols * sizeof *x).address,
      .records = 0,
      .flags = 0,
      .blocks = cols / 32,
      .top = ck_profile_top(profile),
  };
}

static bool tested_quantise(
    void *context, ck_profile profile, const float *x, uint32_t cols, int16_t *v, float *d, float *s) {
  work w = begin(context);
  cv_quantise_push push = quantising(&w, profile, x, 1, cols);
  span records = clear(&w, (size_t)cols / 32 * RECORD_BYTES);
  span flags = clear(&w, 4);
  push.records = records.address;
  push.flags = flags.address;
  cv_dispatch launch = LAUNCH(CV_QUANTISE, push, 1, 1);
  if (!run(&w, &launch, 1)) return false;
  uint32_t raised;
  memcpy(&raised, flags.bytes, sizeof raised);
  if (raised != 0) return false;
  for (uint32_t b = 0; b < cols / 32; b++) {
    const uint8_t *record = records.bytes + (size_t)b * RECORD_BYTES;
    for (int i = 0; i < 32; i++) v[b * 32 + (uint32_t)i] = (int16_t)(256 * (int8_t)record[i] + (int8_t)record[32 + i]);
    memcpy(d + b, record + 64, 4);
    memcpy(s + b, record + 68, 4);
  }
  return true;
}

static bool tested_product(void *context, const ck_test_product *p, float *out) {
  cv_kernel kernel = cv_product_of(p->type);
  if (kernel == CV_KERNEL_COUNT) return false;
  work w = begin(context);
  uint32_t tiles = ck_tile_count(p->rows);
  span weights = room(&w, ck_packed_bytes(p->type, p->rows, p->cols));
  cv_quantise_push quantise = quantising(&w, p->profile, p->x, p->tokens, p->cols);
  span records = clear(&w, (size_t)p->tokens * (p->cols / 32) * RECORD_BYTES);
  span flags = clear(&w, 4);
  quantise.records = records.address;
  quantise.flags = flags.address;
  size_t count = (size_t)p->tokens * p->rows * sizeof *out;
  span y = clear(&w, count);
  span up = clear(&w, count);
  cv_product_push product = {
      .weights = weights.address,
      .records = records.address,
      .y = y.address,
      .bias = p->bias == NULL ? y.address : put(&w, p->bias, p->rows * sizeof *out).address,
      .residual = p->residual == NULL ? y.address : put(&w, p->residual, count).address,
      .rows = p->rows,
      .blocks = p->cols / 32,
      .scale_words = cv_scale_words(p->type, p->cols),
      .tile_words = (uint32_t)(ck_tile_bytes(p->type, p->cols) / 4),
      .adds = p->gated ? 0 : (p->bias == NULL ? 0 : 1) | (p->residual == NULL ? 0 : 2),
  };
  if (weights.bytes != NULL) ck_pack(p->type, p->weights, p->rows, p->cols, 0, tiles, weights.bytes);
  cv_product_push second = product;
  second.y = up.address;
  cv_floats_push floats = {
      .weights = weights.address,
      .x = quantise.x,
      .y = y.address,
      .bias = product.bias,
      .residual = product.residual,
      .rows = p->rows,
      .columns = p->cols,
      .tile_words = product.tile_words,
      .tokens = p->tokens,
      .adds = product.adds,
  };
  cv_floats_push other = floats;
  other.y = up.address;
  bool is_float = !ck_type_takes_blocks(p->type);
  cv_function_push gate = {up.address, y.address, p->tokens * p->rows, 0};
  cv_dispatch launches[] = {
      LAUNCH(CV_QUANTISE, quantise, p->tokens, 1),
      LAUNCH(kernel, product, tiles, p->tokens),
      LAUNCH(kernel, second, tiles, p->tokens),
      LAUNCH(CV_SILU_TIMES, gate, (gate.n + 63) / 64, 1),
  };
  if (is_float) {
    launches[1] = (cv_dispatch)LAUNCH(kernel, floats, tiles, (p->tokens + 3) / 4);
    launches[2] = (cv_dispatch)LAUNCH(kernel, other, tiles, (p->tokens + 3) / 4);
  }
  if (!run(&w, launches, p->gated ? 4 : 2)) return false;
  uint32_t raised;
  memcpy(&raised, flags.bytes, sizeof raised);
  if (raised != 0) return false;
  memcpy(out, y.bytes, count);
  return true;
}

// ---------------------------------------------------------------- attention

static bool tested_store(
    void *context, const float *key, const float *value, uint32_t head_size, uint8_t *key_page,
    uint8_t *value_page, uint32_t slot) {
  work w = begin(context);
  size_t page = ck_page_bytes(1, head_size);
  span keys = put(&w, key_page, page);
  span values = put(&w, value_page, page);
  span flags = clear(&w, 4);
  cv_store_push push = {
      .keys = put(&w, key, head_size * sizeof *key).address,
      .values = put(&w, value, head_size * sizeof *value).address,
      .places = put(&w, &slot, sizeof slot).address,
      .key_pages = keys.address,
      .value_pages = values.address,
      .flags = flags.address,
      .heads = 1,
      .head_size = head_size,
      .page_words = (uint32_t)(page / 4),
      .top = head_size > 512 ? 29127.0f : 32767.0f,
  };
  cv_dispatch launch = LAUNCH(CV_STORE, push, 2, 1);
  if (!run(&w, &launch, 1)) return false;
  uint32_t raised;
  memcpy(&raised, flags.bytes, sizeof raised);
  if (raised != 0) return false;
  memcpy(key_page, keys.bytes, page);
  memcpy(value_page, values.bytes, page);
  return true;
}

static bool tested_attend(void *context, const ck_attention *a) {
  if (a->sinks != NULL || a->chunk != 0) return false;
  work w = begin(context);
  uint32_t end = a->first_position + a->tokens;
  uint32_t pages = (end + CK_PAGE - 1) / CK_PAGE;
  uint32_t chains = (end + CK_CHAIN - 1) / CK_CHAIN;
  uint32_t rows = a->tokens * a->group;
  size_t row = (size_t)a->head_size * sizeof(float);
  int32_t last = 0;
  for (uint32_t p = 0; p < pages; p++) last = a->pages[p] > last ? a->pages[p] : last;
  size_t skipped = ck_page_bytes(1, a->head_size) * a->kv_head;
  size_t cached = a->page_stride * (size_t)last + ck_page_bytes(1, a->head_size);
  span queries = room(&w, rows * row);
  span flags = clear(&w, 4);
  span digits = clear(&w, rows * (row / 2 + 4));
  span scores = clear(&w, (size_t)rows * pages * CK_PAGE * sizeof(float));
  span inverses = clear(&w, rows * sizeof(float));
  span partial = clear(&w, rows * chains * row);
  span y = clear(&w, rows * row);
  uint64_t keys = put(&w, a->keys + skipped, cached).address;
  uint64_t values = put(&w, a->values + skipped, cached).address;
  uint64_t table = put(&w, a->pages, pages * sizeof *a->pages).address;
  for (uint32_t t = 0; t < a->tokens && queries.bytes != NULL; t++) {
    memcpy(queries.bytes + t * a->group * row, a->queries + t * a->query_stride, a->group * row);
  }
  uint32_t page_words = (uint32_t)(a->page_stride / 4);
  uint32_t stride = pages * CK_PAGE;
  cv_queries_push turn = {queries.address, digits.address, flags.address, a->head_size, a->scale};
  cv_scores_push score = {
      .digits = digits.address,
      .key_pages = keys,
      .pages = table,
      .scores = scores.address,
      .rows = rows,
      .heads = a->group,
      .group = a->group,
      .head_size = a->head_size,
      .page_words = page_words,
      .stride = stride,
      .first_position = a->first_position,
      .window = a->window,
      .cap = a->soft_cap,
  };
  cv_softmax_push weigh = {scores.address, inverses.address, stride, stride};
  cv_mix_push mix = {
      .weights = scores.address,
      .value_pages = values,
      .pages = table,
      .partial = partial.address,
      .heads = a->group,
      .group = a->group,
      .head_size = a->head_size,
      .page_words = page_words,
      .stride = stride,
      .chains = chains,
      .first_position = a->first_position,
      .window = a->window,
  };
  cv_finish_push finish = {partial.address, inverses.address, y.address, a->head_size, chains};
  cv_dispatch launches[] = {
      LAUNCH(CV_QUERIES, turn, rows, 1),
      LAUNCH(CV_SCORES, score, pages, (rows + 3) / 4),
      LAUNCH(CV_SOFTMAX, weigh, rows, 1),
      LAUNCH(CV_MIX, mix, rows, chains),
      LAUNCH(CV_FINISH, finish, rows, 1),
  };
  if (!run(&w, launches, sizeof launches / sizeof *launches)) return false;
  uint32_t raised;
  memcpy(&raised, flags.bytes, sizeof raised);
  if (raised != 0) return false;
  for (uint32_t t = 0; t < a->tokens; t++) {
    memcpy(a->out + t * a->out_stride, y.bytes + t * a->group * row, a->group * row);
  }
  return true;
}

// ---------------------------------------------------------------- the proof

static bool tested_unit(void *context, const float *x, uint32_t n, float epsilon, float scale, float *y) {
  (void)context, (void)x, (void)n, (void)epsilon, (void)scale, (void)y;
  return false;
}

static bool tested_convolve(void *context, const ck_convolution *convolution) {
  (void)context, (void)convolution;
  return false;
}

static bool tested_recur(void *context, const ck_recurrence *recurrence) {
  (void)context, (void)recurrence;
  return false;
}

ck_tested cv_tested(cv_device *device) {
  return (ck_tested){
      .context = device,
      .quantise = tested_quantise,
      .product = tested_product,
      .function = tested_function,
      .norm = tested_norm,
      .rope = tested_rope,
      .store = tested_store,
      .unit = tested_unit,
      .convolve = tested_convolve,
      .recur = tested_recur,
      .attend = tested_attend,
      .selection = CK_SCALAR,
  };
}

uint32_t cv_compare(cv_device *device, const ck_tested *tested, char reason[CV_REASON]) {
  reason[0] = 0;
  for (uint32_t i = 0; i < ck_test_part_count(); i++) {
    const ck_test_part *part = ck_test_part_at(i);
    if (ck_test_part_digest(tested, part) == part->frozen) continue;
    if (device->problem[0] != 0) {
      snprintf(reason, CV_REASON, "kernel %s: %.400s", part->name, device->problem);
    } else {
      snprintf(reason, CV_REASON, "kernel %s does not give the frozen bits", part->name);
    }
    return i;
  }
  return ck_test_part_count();
}

uint32_t cv_self_test(cv_device *device, char reason[CV_REASON]) {
  ck_tested tested = cv_tested(device);
  // Only tests run on software, whose fma may round twice; there it is computed in integers.
  const ck_test_part *fused = ck_test_part_at(0);
  if (device->is_software && device->fuses && ck_test_part_digest(&tested, fused) != fused->frozen) {
    device->fuses = false;
    cv_forget_pipelines(device);
  }
  return cv_compare(device, &tested, reason);
}
