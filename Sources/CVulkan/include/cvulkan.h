// cvulkan.h: graphics processors as devices for N1's kernels, through Vulkan, which is opened at
// run time and never linked. Kernels have a number and take addresses and a grid, so that another
// interface (CUDA) fits in the same place. Not here: what the kernels compute (Shaders/), the
// vectors that they are tested on (CKernels' self_test.h), and the plan of a step. A driver may
// crash or hang: the caller gives a device that it does not know a process of its own. Start at
// cv_load, then cv_open, cv_self_test.
#ifndef CVULKAN_H
#define CVULKAN_H

#include "self_test.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// Bytes of a reason in words, its end included.
enum { CV_REASON = 512 };

// ---------------------------------------------------------------- finding devices

/// The loader with an instance.
typedef struct cv_loader cv_loader;

/// Opens the loader, "libvulkan.so.1", and asks it for its devices. NULL, with the reason: there is
/// no such library, it is no Vulkan loader, or it has no driver.
cv_loader *_Nullable cv_load(const char *path, char reason[_Nonnull CV_REASON]);

typedef void (*cv_function)(void);
/// vkGetInstanceProcAddr, from which all of Vulkan's functions are found.
typedef cv_function _Nullable (*cv_finder)(void *_Nullable instance, const char *name);

/// The same with functions of the caller's, such as a layer's. They must outlive the loader.
cv_loader *_Nullable cv_load_from(cv_finder find, char reason[_Nonnull CV_REASON]);

/// Every device must be closed before.
void cv_unload(cv_loader *loader);

uint32_t cv_count(const cv_loader *loader);

typedef struct cv_facts {
  char name[256];
  /// such as "Vulkan 1.3.230"
  char api[32];
  /// its name, version and parts, as it says them; empty if it does not
  char driver[520];
  /// bytes that belong to the device
  uint64_t memory;
  /// whether it is a processor that plays a graphics processor
  bool is_software;
} cv_facts;

/// - index: below cv_count
void cv_describe(const cv_loader *loader, uint32_t index, cv_facts *facts);

// ---------------------------------------------------------------- one device

/// A device with a queue, its pipelines and their scratch. One thread uses it at a time.
typedef struct cv_device cv_device;

/// NULL, with the reason, if the device lacks something that N1's kernels need (the decision record
/// 0001-vulkan-by-the-bits.md lists it), or if it is a software device and these are not allowed.
cv_device *_Nullable cv_open(
    cv_loader *loader, uint32_t index, bool allows_software, char reason[_Nonnull CV_REASON]);

/// Waits for what runs.
void cv_close(cv_device *device);

/// Why the device cannot be used any longer, empty as long as it can.
const char *cv_problem(const cv_device *device);

typedef enum cv_memory {
  /// both the device and the processor see it
  CV_SHARED,
  /// the device's own, where it has some: only kernels see it
  CV_OWN,
} cv_memory;

typedef struct cv_arena {
  /// NULL for CV_OWN
  uint8_t *_Nullable bytes;
  uint64_t size;
  /// where kernels find it
  uint64_t address;
  uint64_t handles[2];
} cv_arena;

/// false if there is no such memory left; then cv_problem says why.
bool cv_arena_make(cv_device *device, uint64_t size, cv_memory memory, cv_arena *arena);
void cv_arena_free(cv_device *device, cv_arena *arena);

// ---------------------------------------------------------------- kernels

/// Each is a shader, with the constants that it is compiled with (kernels.c).
typedef enum cv_kernel {
  CV_EXP,
  CV_SILU,
  CV_TANH,
  CV_ADD,
  CV_SIGMOID_TIMES,
  CV_SILU_TIMES,
  CV_FUSED,
  CV_MULTIPLY,
  CV_DIVIDE,
  CV_ROOT,
  CV_CHAIN,
  CV_HALF,
  CV_INTEGER,
  CV_NEAREST,
  CV_SCALE,
  CV_GELU_TIMES,
  CV_COPY,
  CV_QUANTISE,
  CV_PRODUCT_Q4_0,
  CV_PRODUCT_Q4_1,
  CV_PRODUCT_Q5_0,
  CV_PRODUCT_Q5_1,
  CV_PRODUCT_Q8_0,
  CV_PRODUCT_Q2_K,
  CV_PRODUCT_Q3_K,
  CV_PRODUCT_Q4_K,
  CV_PRODUCT_Q5_K,
  CV_PRODUCT_Q6_K,
  CV_PRODUCT_IQ4_NL,
  CV_PRODUCT_IQ4_XS,
  CV_PRODUCT_TQ1_0,
  CV_PRODUCT_TQ2_0,
  CV_PRODUCT_F32,
  CV_PRODUCT_F16,
  CV_PRODUCT_BF16,
  CV_NORM,
  CV_ROPE,
  CV_STORE,
  CV_QUERIES,
  CV_SCORES,
  CV_SOFTMAX,
  CV_MIX,
  CV_FINISH,
  CV_KERNEL_COUNT,
} cv_kernel;

const char *cv_kernel_name(cv_kernel kernel);

/// The kernel of a product, CV_KERNEL_COUNT if there is none.
cv_kernel cv_product_of(ck_type type);

/// Words of a packed tile's scales, before its quants.
uint32_t cv_scale_words(ck_type type, uint32_t cols);

// ---------------------------------------------------------------- what kernels are told

// As the shaders of Shaders/ declare it: addresses of floats or words, then numbers.

/// EXP ... NEAREST, SCALE, GELU_TIMES; a workgroup has 64 numbers.
typedef struct cv_function_push {
  uint64_t x;
  uint64_t y;
  uint32_t n;
  /// of SCALE
  float factor;
} cv_function_push;

/// `count` words of each of `rows` rows, from one place to another; any grid.
typedef struct cv_copy_push {
  uint64_t from;
  uint64_t to;
  uint32_t rows;
  uint32_t count;
  /// words from one row to the next
  uint32_t from_stride;
  uint32_t to_stride;
} cv_copy_push;

/// A workgroup has a token.
typedef struct cv_quantise_push {
  uint64_t x;
  /// (tokens, blocks) of CV_RECORD_BYTES
  uint64_t records;
  /// bit 0: a value is not finite; bit 1: a product could meet a denormal
  uint64_t flags;
  uint32_t blocks;
  float top;
} cv_quantise_push;

enum { CV_RECORD_BYTES = 80 };

/// Grid (tiles, tokens).
typedef struct cv_product_push {
  uint64_t weights;
  uint64_t records;
  /// (tokens, rows)
  uint64_t y;
  uint64_t bias;
  uint64_t residual;
  uint32_t rows;
  uint32_t blocks;
  uint32_t scale_words;
  uint32_t tile_words;
  /// bit 0: bias; bit 1: residual
  uint32_t adds;
  uint32_t rest;
} cv_product_push;

/// Of a type without blocks: grid (tiles, tokens / 4).
typedef struct cv_floats_push {
  uint64_t weights;
  /// (tokens, columns)
  uint64_t x;
  /// (tokens, rows)
  uint64_t y;
  uint64_t bias;
  uint64_t residual;
  uint32_t rows;
  uint32_t columns;
  uint32_t tile_words;
  uint32_t tokens;
  /// as above
  uint32_t adds;
  uint32_t rest;
} cv_floats_push;

/// A workgroup has a row of n.
typedef struct cv_norm_push {
  uint64_t x;
  uint64_t weight;
  uint64_t y;
  uint32_t n;
  float epsilon;
} cv_norm_push;

/// Grid (heads, tokens).
typedef struct cv_rope_push {
  uint64_t x;
  /// (tokens, pairs, 2)
  uint64_t table;
  uint32_t heads;
  uint32_t head_size;
  uint32_t pairs;
  uint32_t style;
} cv_rope_push;

/// Grid (2 heads, tokens).
typedef struct cv_store_push {
  uint64_t keys;
  uint64_t values;
  /// (tokens): page * 16 + slot
  uint64_t places;
  uint64_t key_pages;
  uint64_t value_pages;
  uint64_t flags;
  uint32_t heads;
  uint32_t head_size;
  uint32_t page_words;
  float top;
} cv_store_push;

/// A workgroup has a row: a head of a token.
typedef struct cv_queries_push {
  uint64_t queries;
  /// (rows, head_size / 2 + 1)
  uint64_t digits;
  uint64_t flags;
  uint32_t head_size;
  float scale;
} cv_queries_push;

/// Grid (pages, rows / 4).
typedef struct cv_scores_push {
  uint64_t digits;
  uint64_t key_pages;
  uint64_t pages;
  /// (rows, stride)
  uint64_t scores;
  uint32_t rows;
  uint32_t heads;
  uint32_t group;
  uint32_t head_size;
  uint32_t page_words;
  uint32_t stride;
  uint32_t first_position;
  uint32_t window;
  float cap;
  uint32_t rest;
} cv_scores_push;

/// A workgroup has a row.
typedef struct cv_softmax_push {
  uint64_t scores;
  uint64_t inverses;
  uint32_t positions;
  uint32_t stride;
} cv_softmax_push;

/// Grid (rows, chains).
typedef struct cv_mix_push {
  uint64_t weights;
  uint64_t value_pages;
  uint64_t pages;
  /// (rows, chains, head_size)
  uint64_t partial;
  uint32_t heads;
  uint32_t group;
  uint32_t head_size;
  uint32_t page_words;
  uint32_t stride;
  uint32_t chains;
  uint32_t first_position;
  uint32_t window;
} cv_mix_push;

/// A workgroup has a row.
typedef struct cv_finish_push {
  uint64_t partial;
  uint64_t inverses;
  uint64_t y;
  uint32_t head_size;
  uint32_t chains;
} cv_finish_push;

// ---------------------------------------------------------------- launches

/// One launch. It sees all that earlier ones wrote.
typedef struct cv_dispatch {
  cv_kernel kernel;
  /// workgroups
  uint32_t grid[3];
  /// what the kernel is told: addresses, then numbers, as its shader declares them
  const void *push;
  uint32_t push_bytes;
} cv_dispatch;

/// Starts launches, and returns a ticket to wait for; 0 if they cannot start, and then cv_problem
/// says why. Kernels are compiled when they are first launched.
uint64_t cv_submit(cv_device *device, const cv_dispatch *dispatches, uint32_t count);

typedef enum cv_outcome {
  CV_DONE,
  /// the time is over, the work goes on
  CV_LATE,
  /// the device was lost, and cv_problem says so
  CV_FAILED,
} cv_outcome;

/// Waits until a ticket's launches have ended, and their results can be read.
cv_outcome cv_wait(cv_device *device, uint64_t ticket, uint64_t nanoseconds);

// ---------------------------------------------------------------- the proof

/// The device for the vectors of self_test.h, on the pipelines that a step would run on.
ck_tested cv_tested(cv_device *device);

/// Compares every kernel with the frozen bits. Returns how many parts agreed; if one did not,
/// `reason` names it, else it is empty.
uint32_t cv_self_test(cv_device *device, char reason[_Nonnull CV_REASON]);

/// The same for another one that computes with this device.
uint32_t cv_compare(cv_device *device, const ck_tested *tested, char reason[_Nonnull CV_REASON]);

#pragma clang assume_nonnull end

#endif
