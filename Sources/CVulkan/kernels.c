// kernels.c: the table of kernels: which shader, compiled with which constants. To add one, write
// its shader in Shaders/, name it in cv_kernel and here, and run Shaders/generate.py.
#include "device.h"
#include "words.h"

#define WORDS(shader) cv_words_##shader, sizeof cv_words_##shader / sizeof(uint32_t)

// Kinds of scales, as weights.glsl numbers them.
enum { D, DM, SUPER_MIN, HALVES, HALVES_MIN, SUPER, SHARED };

// Low bits, high bits, bias, scales, whether integers are values of a book: as CK_BLOCK_TYPES has them.
#define PRODUCT(type, ...) [CV_PRODUCT_##type] = {"product " #type, WORDS(product), {__VA_ARGS__}, 5}

static const cv_source sources[CV_KERNEL_COUNT] = {
    [CV_EXP] = {"exp", WORDS(function_exp), {0}, 0},
    [CV_SILU] = {"silu", WORDS(function_silu), {0}, 0},
    [CV_TANH] = {"tanh", WORDS(function_tanh), {0}, 0},
    [CV_ADD] = {"add", WORDS(function_add), {0}, 0},
    [CV_SIGMOID_TIMES] = {"sigmoid times", WORDS(function_sigmoid_times), {0}, 0},
    [CV_SILU_TIMES] = {"silu times", WORDS(function_silu_times), {0}, 0},
    [CV_FUSED] = {"fused multiply-add", WORDS(function_fused), {0}, 0},
    [CV_MULTIPLY] = {"multiply", WORDS(function_multiply), {0}, 0},
    [CV_DIVIDE] = {"divide", WORDS(function_divide), {0}, 0},
    [CV_ROOT] = {"root", WORDS(function_root), {0}, 0},
    [CV_CHAIN] = {"chain", WORDS(function_chain), {0}, 0},
    [CV_HALF] = {"half", WORDS(function_half), {0}, 0},
    [CV_INTEGER] = {"integer", WORDS(function_integer), {0}, 0},
    [CV_NEAREST] = {"nearest", WORDS(function_nearest), {0}, 0},
    [CV_SCALE] = {"scale", WORDS(function_scale), {0}, 0},
    [CV_GELU_TIMES] = {"gelu times", WORDS(function_gelu_times), {0}, 0},
    [CV_COPY] = {"copy", WORDS(copy), {0}, 0},
    [CV_QUANTISE] = {"quantise", WORDS(quantise), {0}, 0},
    PRODUCT(Q4_0, 4, 0, 8, D, 0),
    PRODUCT(Q4_1, 4, 0, 0, DM, 0),
    PRODUCT(Q5_0, 4, 1, 16, D, 0),
    PRODUCT(Q5_1, 4, 1, 0, DM, 0),
    PRODUCT(Q8_0, 8, 0, 128, D, 0),
    PRODUCT(Q2_K, 2, 0, 0, HALVES_MIN, 0),
    PRODUCT(Q3_K, 2, 1, 4, HALVES, 0),
    PRODUCT(Q4_K, 4, 0, 0, SUPER_MIN, 0),
    PRODUCT(Q5_K, 4, 1, 0, SUPER_MIN, 0),
    PRODUCT(Q6_K, 4, 2, 32, HALVES, 0),
    PRODUCT(IQ4_NL, 4, 0, 0, D, 1),
    PRODUCT(IQ4_XS, 4, 0, 0, SUPER, 1),
    PRODUCT(TQ1_0, 2, 0, 1, SHARED, 0),
    PRODUCT(TQ2_0, 2, 0, 1, SHARED, 0),
    [CV_PRODUCT_F32] = {"product F32", WORDS(floats), {32, 0}, 2},
    [CV_PRODUCT_F16] = {"product F16", WORDS(floats), {16, 1}, 2},
    [CV_PRODUCT_BF16] = {"product BF16", WORDS(floats), {16, 0}, 2},
    [CV_NORM] = {"norm", WORDS(norm), {0}, 0},
    [CV_ROPE] = {"rope", WORDS(rope), {0}, 0},
    [CV_STORE] = {"store", WORDS(store), {0}, 0},
    [CV_QUERIES] = {"queries", WORDS(queries), {0}, 0},
    [CV_SCORES] = {"scores", WORDS(scores), {0}, 0},
    [CV_SOFTMAX] = {"softmax", WORDS(softmax), {0}, 0},
    [CV_MIX] = {"mix", WORDS(mix), {0}, 0},
    [CV_FINISH] = {"finish", WORDS(finish), {0}, 0},
};

const cv_source *cv_source_of(cv_kernel kernel) {
  return &sources[kernel];
}

const char *cv_kernel_name(cv_kernel kernel) {
  return kernel < CV_KERNEL_COUNT ? sources[kernel].name : "none";
}

cv_kernel cv_product_of(ck_type type) {
  switch (type) {
    case CK_F32: return CV_PRODUCT_F32;
    case CK_F16: return CV_PRODUCT_F16;
    case CK_BF16: return CV_PRODUCT_BF16;
    case CK_Q4_0: return CV_PRODUCT_Q4_0;
    case CK_Q4_1: return CV_PRODUCT_Q4_1;
    case CK_Q5_0: return CV_PRODUCT_Q5_0;
    case CK_Q5_1: return CV_PRODUCT_Q5_1;
    case CK_Q8_0: return CV_PRODUCT_Q8_0;
    case CK_Q2_K: return CV_PRODUCT_Q2_K;
    case CK_Q3_K: return CV_PRODUCT_Q3_K;
    case CK_Q4_K: return CV_PRODUCT_Q4_K;
    case CK_Q5_K: return CV_PRODUCT_Q5_K;
    case CK_Q6_K: return CV_PRODUCT_Q6_K;
    case CK_IQ4_NL: return CV_PRODUCT_IQ4_NL;
    case CK_IQ4_XS: return CV_PRODUCT_IQ4_XS;
    case CK_TQ1_0: return CV_PRODUCT_TQ1_0;
    case CK_TQ2_0: return CV_PRODUCT_TQ2_0;
    default: return CV_KERNEL_COUNT;
  }
}

cv_kernel cv_function_of(ck_test_function function) {
  switch (function) {
    case CK_TEST_EXP: return CV_EXP;
    case CK_TEST_SILU: return CV_SILU;
    case CK_TEST_TANH: return CV_TANH;
    case CK_TEST_ADD: return CV_ADD;
    case CK_TEST_SIGMOID_TIMES: return CV_SIGMOID_TIMES;
    case CK_TEST_SILU_TIMES: return CV_SILU_TIMES;
    case CK_TEST_FUSED: return CV_FUSED;
    case CK_TEST_MULTIPLY: return CV_MULTIPLY;
    case CK_TEST_DIVIDE: return CV_DIVIDE;
    case CK_TEST_ROOT: return CV_ROOT;
    case CK_TEST_CHAIN: return CV_CHAIN;
    case CK_TEST_HALF: return CV_HALF;
    case CK_TEST_INTEGER: return CV_INTEGER;
    case CK_TEST_NEAREST: return CV_NEAREST;
    case CK_TEST_SCALE: return CV_SCALE;
    case CK_TEST_GELU_TIMES: return CV_GELU_TIMES;
    default: return CV_KERNEL_COUNT;
  }
}

// As internal.h of CKernels has them.
uint32_t cv_scale_words(ck_type type, uint32_t cols) {
  uint32_t count;
  switch (type) {
    case CK_Q4_0:
    case CK_Q5_0:
    case CK_IQ4_NL:
    case CK_Q8_0: count = cols; break;
    case CK_Q4_1:
    case CK_Q5_1: count = 2 * cols; break;
    case CK_Q3_K:
    case CK_Q6_K: count = cols / 256 * (32 + 8 * 32); break;
    case CK_IQ4_XS: count = cols / 256 * (32 + 8 * 16); break;
    case CK_TQ1_0:
    case CK_TQ2_0: count = cols / 256 * 32; break;
    default: count = cols / 256 * (64 + 8 * 32); break;
  }
  return (count + 63) / 64 * 16;
}
