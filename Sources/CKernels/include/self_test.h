// self_test.h: the vectors that decide whether a device gives the bits of N1. Inputs and outputs
// are plain arrays and blocks of the file's layout, so that a device with any internal layout can
// run them. The inputs are made from seeds in self_test.c. Start at ck_tested.
#ifndef CK_SELF_TEST_H
#define CK_SELF_TEST_H

#include "ckernels.h"

#pragma clang assume_nonnull begin

/// A product (N1 items 2 and 3), computed on the profile's integers if the type has blocks.
typedef struct ck_test_product {
  ck_type type;
  ck_profile profile;
  /// (rows), each ck_row_bytes(type, cols) as in a file
  const uint8_t *weights;
  uint32_t rows;
  uint32_t cols;
  /// (tokens, cols)
  const float *x;
  uint32_t tokens;
  /// (rows); added after the product
  const float *_Nullable bias;
  /// (tokens, rows); the sum is added to it
  const float *_Nullable residual;
  /// silu(product) * product, with neither bias nor residual
  bool gated;
} ck_test_product;

/// A function of each number by itself (N1 item 8): y = f(x), for ADD y = x + y, for
/// SIGMOID_TIMES, SILU_TIMES and GELU_TIMES y = f(y) x, and for SCALE y = CK_TEST_FACTOR y. From FUSED to
/// NEAREST they are single operations (N1 item 1), for
/// devices whose arithmetic has to be proved: fma(x[i], x[i + 1], y[i]), x y, x / y, the root of x; CHAIN,
/// eight times r = fma(x r + y, x, -r) from r = y, where product, sum and fma are rounded one by one; HALF,
/// the f16 in the low bits of x; INTEGER, the bits of x as an integer; NEAREST, ties to even.
typedef enum ck_test_function {
  CK_TEST_EXP = 0,
  CK_TEST_SILU = 1,
  CK_TEST_TANH = 2,
  CK_TEST_ADD = 3,
  CK_TEST_SIGMOID_TIMES = 4,
  CK_TEST_SOFTPLUS = 5,
  CK_TEST_SILU_TIMES = 6,
  CK_TEST_FUSED = 7,
  CK_TEST_MULTIPLY = 8,
  CK_TEST_DIVIDE = 9,
  CK_TEST_ROOT = 10,
  CK_TEST_CHAIN = 11,
  CK_TEST_HALF = 12,
  CK_TEST_INTEGER = 13,
  CK_TEST_NEAREST = 14,
  CK_TEST_SCALE = 15,
  CK_TEST_GELU_TIMES = 16,
} ck_test_function;

#define CK_TEST_FACTOR 0x1.8p-3f

/// A device under test. Each function returns false if the device cannot do it, which fails the
/// test. They run one after another.
typedef struct ck_tested {
  void *_Nullable context;
  /// N1 item 2: v (cols), d and s (cols / 32)
  bool (*quantise)(
      void *_Nullable context, ck_profile profile, const float *x, uint32_t cols, int16_t *v, float *d, float *s);
  /// out: (tokens, rows)
  bool (*product)(void *_Nullable context, const ck_test_product *product, float *out);
  bool (*function)(void *_Nullable context, ck_test_function function, const float *x, uint32_t n, float *y);
  /// As ck_rms_norm; y may be weight.
  bool (*norm)(
      void *_Nullable context, const float *x, const float *weight, uint32_t n, float epsilon, float *y);
  /// As ck_rope.
  bool (*rope)(
      void *_Nullable context, ck_rope_style style, float *x, uint32_t heads, uint32_t head_size, uint32_t pairs,
      const float *table);
  /// As ck_store_kv for one head, in the pages that ck_page_bytes describes.
  bool (*store)(
      void *_Nullable context, const float *key, const float *value, uint32_t head_size, uint8_t *key_page,
      uint8_t *value_page, uint32_t slot);
  /// As ck_unit.
  bool (*unit)(void *_Nullable context, const float *x, uint32_t n, float epsilon, float scale, float *y);
  /// As ck_convolve and ck_recur.
  bool (*convolve)(void *_Nullable context, const ck_convolution *convolution);
  bool (*recur)(void *_Nullable context, const ck_recurrence *recurrence);
  /// As ck_attend.
  bool (*attend)(void *_Nullable context, const ck_attention *attention);
  /// The level that chooses among this device's logits.
  ck_level selection;
} ck_tested;

/// The operations among the functions, as the processor has them in C; false for the others.
bool ck_test_operation(ck_test_function function, const float *x, uint32_t n, float *y);

// ---------------------------------------------------------------- one kernel at a time

typedef enum ck_test_kind {
  CK_TEST_KIND_FUNCTION,
  CK_TEST_KIND_QUANTISE,
  CK_TEST_KIND_PRODUCT,
  CK_TEST_KIND_NORM,
  CK_TEST_KIND_ROPE,
  CK_TEST_KIND_STORE,
  CK_TEST_KIND_ATTEND,
} ck_test_kind;

/// The vectors of one kernel, with a digest of their own, so that a device that has some of the kernels
/// is tested on those, and a difference has a name.
typedef struct ck_test_part {
  const char *name;
  ck_test_kind kind;
  /// of FUNCTION a ck_test_function, of QUANTISE a ck_profile, of PRODUCT a ck_type
  uint32_t which;
  /// The digest that every device gives.
  uint64_t frozen;
} ck_test_part;

uint32_t ck_test_part_count(void);

/// - index: below ck_test_part_count
const ck_test_part *ck_test_part_at(uint32_t index);

/// 0 if a function returned false.
uint64_t ck_test_part_digest(const ck_tested *device, const ck_test_part *part);

/// The same for a level of the kernels.
uint64_t ck_self_test_part_digest(ck_level level, const ck_test_part *part);

// ---------------------------------------------------------------- the levels' whole test

/// The digest of all outputs, in their order; 0 if a function returned false. What convolutions and
/// recurrent states need has a digest of its own.
uint64_t ck_self_test_digest_of(const ck_tested *device);
uint64_t ck_recurrence_digest_of(const ck_tested *device);

/// Whether the device gives the frozen digests, so that it may be used.
bool ck_self_test_passes(const ck_tested *device);

#pragma clang assume_nonnull end

#endif
