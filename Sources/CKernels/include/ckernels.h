// ckernels.h: the arithmetic of the numerics profile N1, at every level a machine can have. Each
// kernel has a scalar twin that gives the same bits. Nothing here allocates, does I/O or keeps
// state: the caller owns all memory, splits the work among its threads, and passes the level with
// every call. Not here: the file format, the forward pass, sampling beyond ordering (all in
// Inference).
//
// Start at ck_level_available, then ck_pack (weights, once), ck_quantise (activations),
// ck_multiply.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

// ---------------------------------------------------------------- levels

/// An instruction set that kernels are written for. Every level gives the same bits.
typedef enum ck_level {
  /// portable C
  CK_SCALAR = 0,
  /// AVX2, FMA, F16C
  CK_AVX2 = 1,
  /// AVX-512 F, BW, DQ, VL, VNNI
  CK_AVX512 = 2,
  /// AVX-512 as above, and AMX-TILE and AMX-INT8 for the products of 16 tokens and more
  CK_AMX = 3,
  /// for tests on machines with AVX-512 but without AMX: the same algorithm, with the unit modelled
  /// in C
  CK_AMX_EMULATED = 4,
} ck_level;

/// Levels to choose from; CK_AMX_EMULATED is none of them.
enum { CK_LEVEL_COUNT = 4 };

/// Whether the processor and the operating system offer the level. For CK_AMX this asks the system
/// to let the process use the unit, so the first call must come before the computing threads are
/// started.
bool ck_level_available(ck_level level);

/// The lower-case name of a level: "scalar", "avx2", "avx512", "amx".
const char *ck_level_name(ck_level level);

/// Runs every kernel of a level on fixed inputs (self_test.h) and compares with frozen digests. A
/// level that fails must not be used. Needs about 256 KiB of stack and a few milliseconds.
bool ck_self_test(ck_level level);

/// What ck_self_test compares: a level that is available, in the right floating-point environment.
uint64_t ck_self_test_digest(ck_level level);

/// The highest level that is available and passes its self-test.
ck_level ck_best_level(void);

/// Sets this thread's control register, MXCSR or FPCR: round to nearest even, no flush to zero,
/// exceptions masked.
void ck_set_fp_environment(void);

/// Whether the settings of that register are those that N1 requires.
bool ck_check_fp_environment(void);

// ---------------------------------------------------------------- weights

// Each type of weights is one row here. The enum, the table of traits, the kernels of each level,
// the self-test's list and the list that Swift reads are generated from it. To add a type, add its
// row, and teach ck_block_file (formats.c) to read a block's integers and scales. X(name, its
// kernels, number in files (ggml_type), values and bytes of a block, offsets of a block's f16 scale
// and minimum (-1: none), then what a kernel is compiled for (ck_shape): low bits, high bits, bias,
// code book, scales).

/// Types whose values are floats.
#define CK_FLOAT_TYPES(X)                                               \
  X(F32, f32, 0, 1, 4, -1, -1, 32, 0, 0, CK_BOOK_NONE, CK_SCALES_NONE)  \
  X(F16, f16, 1, 1, 2, -1, -1, 16, 0, 0, CK_BOOK_NONE, CK_SCALES_NONE)  \
  X(BF16, bf16, 30, 1, 2, -1, -1, 16, 0, 0, CK_BOOK_NONE, CK_SCALES_NONE)

/// Types with blocks of integers.
#define CK_BLOCK_TYPES(X)                                                          \
  X(Q4_0, q4_0, 2, 32, 18, 0, -1, 4, 0, 8, CK_BOOK_NONE, CK_SCALES_D)              \
  X(Q4_1, q4_1, 3, 32, 20, 0, 2, 4, 0, 0, CK_BOOK_NONE, CK_SCALES_DM)              \
  X(Q5_0, q5_0, 6, 32, 22, 0, -1, 4, 1, 16, CK_BOOK_NONE, CK_SCALES_D)             \
  X(Q5_1, q5_1, 7, 32, 24, 0, 2, 4, 1, 0, CK_BOOK_NONE, CK_SCALES_DM)              \
  X(Q8_0, q8_0, 8, 32, 34, 0, -1, 8, 0, 128, CK_BOOK_NONE, CK_SCALES_D)            \
  X(Q2_K, q2_k, 10, 256, 84, 80, 82, 2, 0, 0, CK_BOOK_NONE, CK_SCALES_HALVES_MIN)  \
  X(Q3_K, q3_k, 11, 256, 110, 108, -1, 2, 1, 4, CK_BOOK_NONE, CK_SCALES_HALVES)    \
  X(Q4_K, q4_k, 12, 256, 144, 0, 2, 4, 0, 0, CK_BOOK_NONE, CK_SCALES_SUPER_MIN)    \
  X(Q5_K, q5_k, 13, 256, 176, 0, 2, 4, 1, 0, CK_BOOK_NONE, CK_SCALES_SUPER_MIN)    \
  X(Q6_K, q6_k, 14, 256, 210, 208, -1, 4, 2, 32, CK_BOOK_NONE, CK_SCALES_HALVES)   \
  X(IQ2_XXS, iq2_xxs, 16, 256, 66, 0, -1, 2, 1, 43, CK_BOOK_IQ2_XXS, CK_SCALES_ODD) \
  X(IQ2_XS, iq2_xs, 17, 256, 74, 0, -1, 2, 1, 43, CK_BOOK_IQ2_XS, CK_SCALES_ODD_HALVES) \
  X(IQ3_XXS, iq3_xxs, 18, 256, 98, 0, -1, 3, 1, 62, CK_BOOK_IQ3_XXS, CK_SCALES_ODD) \
  X(IQ1_S, iq1_s, 19, 256, 50, 0, -1, 2, 1, 9, CK_BOOK_IQ1_S, CK_SCALES_ODD)       \
  X(IQ4_NL, iq4_nl, 20, 32, 18, 0, -1, 4, 0, 128, CK_BOOK_IQ4, CK_SCALES_D)        \
  X(IQ3_S, iq3_s, 21, 256, 110, 0, -1, 3, 1, 15, CK_BOOK_IQ3_S, CK_SCALES_ODD)     \
  X(IQ2_S, iq2_s, 22, 256, 82, 0, -1, 2, 1, 43, CK_BOOK_IQ2_S, CK_SCALES_ODD_HALVES) \
  X(IQ4_XS, iq4_xs, 23, 256, 136, 0, -1, 4, 0, 128, CK_BOOK_IQ4, CK_SCALES_SUPER)  \
  X(IQ1_M, iq1_m, 29, 256, 56, -1, -1, 2, 1, 9, CK_BOOK_IQ1_M, CK_SCALES_ODD_HALVES) \
  X(TQ1_0, tq1_0, 34, 256, 54, 52, -1, 2, 0, 1, CK_BOOK_NONE, CK_SCALES_SHARED)    \
  X(TQ2_0, tq2_0, 35, 256, 66, 64, -1, 2, 0, 1, CK_BOOK_NONE, CK_SCALES_SHARED)    \
  X(MXFP4, mxfp4, 39, 32, 17, -1, -1, 4, 0, 12, CK_BOOK_E2M1, CK_SCALES_POWER)

#define CK_TYPE_CONSTANT(name, kernels, number, ...) CK_##name = number,

/// The numbers are those of GGUF's ggml_type.
typedef enum ck_type { CK_FLOAT_TYPES(CK_TYPE_CONSTANT) CK_BLOCK_TYPES(CK_TYPE_CONSTANT) } ck_type;

/// Rows of a packed matrix are processed in tiles of this many.
enum { CK_TILE_ROWS = 16 };

/// Whether a ggml_type number is one of ck_type.
bool ck_type_supported(uint32_t type);

/// One more than the highest type number.
uint32_t ck_type_end(void);

/// ggml's name for it, such as "Q4_1".
const char *ck_type_name(ck_type type);

/// Whether the type multiplies quantised activations (ck_input.blocks) and not floats
/// (ck_input.values).
bool ck_type_takes_blocks(ck_type type);

/// Values per block in the file: `cols` must be a multiple. 1 for the float types, 32 or 256
/// otherwise.
uint32_t ck_type_block_values(ck_type type);

/// Bytes per block in the file.
uint32_t ck_type_block_bytes(ck_type type);

/// Bytes of one row in the file; 0 if `cols` is 0 or not a multiple of the block.
size_t ck_row_bytes(ck_type type, uint32_t cols);

/// The levels of a point of the grid that an IQ1, IQ2 or IQ3 type indexes, for devices that read
/// blocks themselves: 8 of 0 ... 2, or 4 of 0 ... 7.
/// - levels: room for 8
/// Returns how many; 0 if the type has no grid, or the grid no such point.
uint32_t ck_grid_point(ck_type type, uint32_t index, uint8_t *levels);

/// Converts one row of the file's layout to f32, each value rounded at most once per operation of
/// its formula.
/// - source: ck_row_bytes(type, cols) bytes, any alignment
void ck_dequantise(ck_type type, const void *source, uint32_t cols, float *out);

/// Bytes of a tile of 16 rows in the packed layout, a multiple of 64.
size_t ck_tile_bytes(ck_type type, uint32_t cols);

/// Bytes of a packed matrix: ck_tile_bytes times the tiles. 0 if the row size is not valid.
size_t ck_packed_bytes(ck_type type, uint32_t rows, uint32_t cols);

/// Tiles of a matrix: rows / 16, rounded up.
uint32_t ck_tile_count(uint32_t rows);

/// Rearranges rows of the file's layout into packed tiles; loses nothing, pads the last tile with
/// zeros. Threads may pack different ranges of tiles of one matrix.
/// - source: the first row of the whole matrix, rows * ck_row_bytes bytes, any alignment
/// - packed: ck_packed_bytes(type, rows, cols) bytes for the whole matrix, aligned to 64
void ck_pack(
    ck_type type, const void *source, uint32_t rows, uint32_t cols, uint32_t first_tile, uint32_t tiles,
    void *packed);

/// A packed matrix, (rows, cols) as in out[row] = sum over col of w[row][col] * x[col].
typedef struct ck_matrix {
  /// ck_packed_bytes, aligned to 64
  const uint8_t *data;
  ck_type type;
  uint32_t rows;
  uint32_t cols;
} ck_matrix;

/// Converts one row of a packed matrix to f32, for token embeddings; the same bits as ck_dequantise
/// of that row.
void ck_matrix_row(const ck_matrix *matrix, uint32_t row, float *out);

// ---------------------------------------------------------------- activations

/// Bits of the quantised activations.
typedef enum ck_profile {
  CK_A8 = 0,
  CK_A12 = 1,
  CK_A15 = 2,
} ck_profile;

enum { CK_PROFILE_COUNT = 3 };

/// V of N1 item 2, the largest integer of a profile: 127, 2,032 or 16,383. With 16,383 a block's
/// sum of products still fits int32 for every type: 32 columns * 32 (Q6_K's weight) * 128 (its
/// scale) * V < 2^31.
float ck_profile_top(ck_profile profile);

/// Bytes of one token's quantised activations, a multiple of 64. `cols` must be a multiple of 32.
size_t ck_blocks_bytes(ck_profile profile, uint32_t cols);

/// Quantises one token's activations per block of 32 (N1 item 2). A block whose largest magnitude
/// is 0, or so small that V / amax is not finite, becomes zeros.
/// - out: ck_blocks_bytes(profile, cols) bytes, aligned to 64; read only by kernels of the same
/// level Returns false if a value is not finite; then `out` must not be used.
bool ck_quantise(ck_level level, ck_profile profile, const float *x, uint32_t cols, void *out);

/// Reads what a level stored for block `block`: the 32 integers, d and s. For tests.
void ck_blocks_read(
    ck_level level, ck_profile profile, const void *blocks, uint32_t block, int16_t *v, float *d, float *s);

/// With fewer tokens than this, groups are not read.
enum { CK_FEWEST_GROUPED = 28 };

/// Bytes of the activations of 16 tokens in the additional form that a level with a tile unit
/// needs; a multiple of 64. 0 if the level has no tile unit.
size_t ck_group_bytes(ck_level level, uint32_t cols);

/// Writes a token's blocks into its group of 16. Other tokens' parts are kept and must be
/// initialised: zeros at first.
/// - group: ck_group_bytes, not 0, aligned to 64
/// - slot: token mod 16
void ck_group(ck_level level, ck_profile profile, const void *blocks, uint32_t cols, void *group, uint32_t slot);

/// The activations of a batch of tokens. Matrices of quantised types read `blocks`; float types
/// read `values`.
typedef struct ck_input {
  /// (tokens, cols), row stride `value_stride` floats
  const float *_Nullable values;
  size_t value_stride;
  /// per token ck_blocks_bytes, stride `block_stride` bytes (a multiple of 64)
  const uint8_t *_Nullable blocks;
  size_t block_stride;
  ck_profile profile;
  /// The same blocks again, 16 tokens together as ck_group writes them, stride `group_stride`
  /// bytes; NULL if there are none.
  const uint8_t *_Nullable groups;
  size_t group_stride;
} ck_input;

/// Where products are written. Every addition is rounded separately: r = product; r = r + bias; r =
/// residual + r.
typedef struct ck_output {
  /// (tokens, rows), row stride `stride` floats
  float *values;
  size_t stride;
  /// (rows)
  const float *_Nullable bias;
  /// (tokens, rows), stride `residual_stride` floats; may be `values` itself
  const float *_Nullable residual;
  size_t residual_stride;
} ck_output;

/// A rectangle of the output: any partition into ranges gives the same bits.
typedef struct ck_range {
  uint32_t first_tile;
  uint32_t tiles;
  uint32_t first_token;
  uint32_t tokens;
  /// Weights that the caller reads after these; they are prefetched during the second half of the
  /// work. May be NULL.
  const uint8_t *_Nullable next;
} ck_range;

/// out[token][row] = products of N1 item 3, for the range's tiles and tokens. Indices are absolute.
void ck_multiply(
    ck_level level, const ck_matrix *matrix, const ck_input *input, const ck_output *output, ck_range range);

/// out[token][row] = silu(gate[row] . x) * (up[row] . x). Both matrices have the same rows and
/// cols; their types may differ. `bias` and `residual` of the output are not read.
void ck_multiply_gated(
    ck_level level, const ck_matrix *gate, const ck_matrix *up, const ck_input *input, const ck_output *output,
    ck_range range);

// ---------------------------------------------------------------- vectors

/// y = (x * r) * weight with r = 1 / sqrt(sum of squares / n + epsilon), N1 item 4. y may be x.
void ck_rms_norm(
    ck_level level, const float *x, const float *weight, uint32_t n, float epsilon, float *y);

/// As ck_rms_norm, over x minus its mean, then plus `bias` (n numbers) where that is not NULL. y may be x.
void ck_layer_norm(
    ck_level level, const float *x, const float *weight, const float *_Nullable bias, uint32_t n,
    float epsilon, float *y);

/// y = exp(x), N1 item 8. Inputs above 88 count as 88, below -87 the result is zero, NaN stays NaN.
/// y may be x.
void ck_exp(ck_level level, const float *x, uint32_t n, float *y);

/// y = x / (1 + exp(-x)). y may be x.
void ck_silu(ck_level level, const float *x, uint32_t n, float *y);

/// y = silu(y) * x, each operation rounded, as ck_multiply_gated does with its two products.
void ck_silu_times(ck_level level, const float *x, uint32_t n, float *y);

/// y = x / (1 + exp(-y)), as sigmoid(y) rounded, times x (N1 item 8).
void ck_sigmoid_times(ck_level level, const float *x, uint32_t n, float *y);

/// y = log(1 + exp(x)), N1 item 8. y may be x.
void ck_softplus(ck_level level, const float *x, uint32_t n, float *y);

/// y = (x * r) * scale with r = 1 / sqrt(sum of squares + epsilon), N1 item 4; n is a multiple of
/// 16. y may be x.
void ck_unit(ck_level level, const float *x, uint32_t n, float epsilon, float scale, float *y);

/// y = 1 - 2 / (1 + exp(2x)). y may be x.
void ck_tanh(ck_level level, const float *x, uint32_t n, float *y);

/// y = gelu(y), each operation rounded (N1 item 8).
void ck_gelu(ck_level level, uint32_t n, float *y);

/// y = y * y where y is above 0, otherwise 0; NaN stays NaN.
void ck_squared_relu(uint32_t n, float *y);

/// y = gelu(y) * x, each operation rounded (N1 item 8).
void ck_gelu_times(ck_level level, const float *x, uint32_t n, float *y);

/// y = y' / (1 + exp(-1.702 y')) * (x' + 1) with y' at most 7 and x' between -7 and 7, each operation
/// rounded (N1 item 8).
void ck_clamped_swish_times(ck_level level, const float *x, uint32_t n, float *y);

/// y = y * (1 / (1 + exp(-share))), each operation rounded.
void ck_weigh(ck_level level, float share, uint32_t n, float *y);

/// y = cap * tanh(y / cap), each operation rounded.
void ck_cap(ck_level level, float cap, uint32_t n, float *y);

/// y = y * factor, rounded once.
void ck_scale(float factor, uint32_t n, float *y);

/// y = x * y, rounded once.
void ck_times(const float *x, uint32_t n, float *y);

/// y = x + y, rounded once.
void ck_add(ck_level level, const float *x, uint32_t n, float *y);

/// Whether no value is NaN or infinite.
bool ck_all_finite(ck_level level, const float *x, uint32_t n);

// ---------------------------------------------------------------- recurrence

/// The most taps of a convolution.
#define CK_MOST_TAPS 8

/// Some channels of a causal depthwise convolution over consecutive positions of one sequence (N1
/// item 13). A multiple of 16 channels; 2 to CK_MOST_TAPS taps.
typedef struct ck_convolution {
  /// (tokens, channels), changed in place.
  float *x;
  size_t stride;
  uint32_t tokens;
  uint32_t channels;
  uint32_t taps;
  /// (channels, taps); the last tap is the present.
  const float *weights;
  /// (channels); NULL for none.
  const float *_Nullable bias;
  /// Whether silu follows.
  bool activates;
  /// (taps - 1, channels): the inputs of the positions before, the oldest first; NULL for zeros.
  const float *_Nullable from;
  /// The same after the last token; may be `from`.
  float *into;
  /// Floats from one position of `from` and `into` to the next.
  size_t width;
} ck_convolution;

void ck_convolve(ck_level level, const ck_convolution *convolution);

/// Some rows of one head's recurrent state over consecutive positions of one sequence (N1 item 13):
/// the gated delta rule, or Mamba-2 where there are no strengths. `columns` is a multiple of 16.
typedef struct ck_recurrence {
  /// (tokens, columns)
  const float *keys;
  size_t key_stride;
  const float *queries;
  size_t query_stride;
  /// (tokens, rows)
  const float *values;
  size_t value_stride;
  /// (tokens, 1): times `rate` it is the logarithm of what remains of the state.
  const float *steps;
  size_t step_stride;
  /// (tokens, 1), before the sigmoid; NULL for Mamba-2.
  const float *_Nullable strengths;
  size_t strength_stride;
  float rate;
  /// Of Mamba-2: times the value, added to what is read.
  float skip;
  /// (tokens, rows)
  float *out;
  size_t out_stride;
  uint32_t tokens;
  uint32_t rows;
  uint32_t columns;
  /// (rows, columns), before the first token; NULL for zeros.
  const float *_Nullable from;
  /// The same after the last; may be `from`.
  float *into;
} ck_recurrence;

void ck_recur(ck_level level, const ck_recurrence *recurrence);

// ---------------------------------------------------------------- positions

/// Fills the RoPE table of positions first ..< first + count: out[position][pair] = (cos, sin) of
/// position * scale * base^(-2 pair / (2 pairs)) / factors[pair], both times magnitude, in its own
/// double arithmetic, rounded to f32. The same bits on every machine.
/// - factors: (pairs), or NULL for all 1
/// - out: count * pairs * 2 floats
void ck_rope_table(
    double base, double scale, double magnitude, const float *_Nullable factors, uint32_t pairs,
    uint32_t first, uint32_t count, float *out);

/// The natural logarithm of a finite x > 0, and 2^x for |x| < 1000, in the same arithmetic.
double ck_log(double x);
double ck_exp2(double x);

typedef enum ck_rope_style {
  /// pairs (2i, 2i + 1), as `llama` files are arranged
  CK_ROPE_INTERLEAVED = 0,
  /// pairs (i, i + pairs), as `qwen2` and `qwen3` files are arranged
  CK_ROPE_HALVES = 1,
} ck_rope_style;

/// Rotates the first 2 * pairs values of each head in place; the rest of the head is unchanged.
/// - x: (heads, head_size)
/// - table: (pairs, 2), one position of ck_rope_table
void ck_rope(
    ck_level level, ck_rope_style style, float *x, uint32_t heads, uint32_t head_size, uint32_t pairs,
    const float *table);

// ---------------------------------------------------------------- attention

/// Positions in a page of the KV cache.
enum { CK_PAGE = 16 };

/// Bytes of one page of keys, or of values, a multiple of 64. Each head's part is laid out like a
/// page with one head. Keys are (kv_heads) of f32 scales (16), then i16 (head_size / 2, 16, 2);
/// values of f32 scales (16), then i16 (16, head_size).
size_t ck_page_bytes(uint32_t kv_heads, uint32_t head_size);

/// Stores the key and value of one position, all KV heads, each quantised to 16 bits with its own
/// scale (N1 item 6). A vector that is not finite makes every attention that sees it NaN.
/// - key, value: (kv_heads, head_size)
/// - key_page, value_page: ck_page_bytes(kv_heads, head_size), aligned to 64
/// - slot: position mod 16
void ck_store_kv(
    ck_level level, const float *key, const float *value, uint32_t kv_heads, uint32_t head_size,
    uint8_t *key_page, uint8_t *value_page, uint32_t slot);

/// Query heads that may share a KV head.
#define CK_MOST_GROUP 128

/// One KV head's group of query heads, over consecutive query tokens of one sequence.
typedef struct ck_attention {
  /// page 0 of this layer's keys and values; page p starts p * page_stride bytes later; aligned to
  /// 64
  const uint8_t *keys;
  const uint8_t *values;
  size_t page_stride;
  /// page number of positions 16i ..< 16i + 16 of the sequence
  const int32_t *pages;
  /// query of token t, head h of the group: queries[t * query_stride + h * head_size]
  const float *queries;
  size_t query_stride;
  /// like the queries
  float *out;
  size_t out_stride;
  /// which head of the pages
  uint32_t kv_head;
  /// query heads that share it, at most CK_MOST_GROUP
  uint32_t group;
  /// a multiple of 16, at most 576
  uint32_t head_size;
  /// position of token 0; token t sees positions 0 ... first_position + t
  uint32_t first_position;
  uint32_t tokens;
  /// multiplies the scores
  float scale;
  /// 0, or the number of last positions that a token sees, its own included
  uint32_t window;
  /// 0, or a token sees positions from the last multiple of this on
  uint32_t chunk;
  /// 0, or c in c * tanh(score / c)
  float soft_cap;
  /// (group): what a head could attend to beside its positions, without a value; NULL if there are none
  const float *_Nullable sinks;
} ck_attention;

/// Bytes of scratch that ck_attend needs for sequences of up to `positions` positions, a multiple
/// of 64.
size_t ck_attention_scratch(uint32_t positions, uint32_t head_size, uint32_t group);

/// N1 item 7. Any split of the tokens over calls gives the same bits.
/// - scratch: ck_attention_scratch bytes, aligned to 64
void ck_attend(ck_level level, const ck_attention *attention, void *scratch);

/// Positions whose products form one accumulation chain (N1 item 7).
enum { CK_CHAIN = 256 };

// The same attention for one token (`tokens` is 1) and all KV heads, in parts that threads share
// when few sequences are long: the scores of all chains, then each chain's weighted sum of values,
// then the addition of those sums. Same bits as ck_attend; no window, chunk or sinks. `kv_head` is 0; the queries
// and results of head h are h * head_size floats further on. The thread that scores a chain should
// also compute its weighted sum, because the scores are in its cache. `next_chain` is the chain
// that the caller continues with, which is prefetched; the number of chains if there is none.

/// Scores of positions 256 chain ..< 256 chain + 256, as far as the token sees. A `next_chain` that
/// is not after `chain` is one whose values the caller sums next.
/// - scores: (kv_heads * group, stride), all chains; stride at least the positions, rounded up to
///   16
/// - largest: (kv_heads * group), of this chain
/// - scratch: ck_attention_scratch bytes of any number of positions, aligned to 64
void ck_attend_scores(
    ck_level level, const ck_attention *attention, uint32_t kv_heads, uint32_t chain, uint32_t next_chain,
    float *scores, size_t stride, float *largest, void *scratch);

/// Turns the chain's scores into weights, in place, and computes the weighted sum of its values.
/// - largest: (chains, kv_heads * group)
/// - partial: (kv_heads * group, head_size)
void ck_attend_mix(
    ck_level level, const ck_attention *attention, uint32_t kv_heads, uint32_t chain, uint32_t next_chain,
    const float *largest, float *scores, size_t stride, float *partial);

/// Adds the weights and the weighted sums of values of chains first_chain ..< end_chain to `sums`
/// and `totals`, which are zeros before the first chain; chains must come in ascending order. A
/// thread that owns the first chains can begin while others still compute theirs.
/// - partials: (chains, heads, head_size), row stride `partial_stride` floats
/// - sums: (heads, 16)
/// - totals: (heads, head_size)
void ck_attend_add(
    ck_level level, const ck_attention *attention, uint32_t heads, uint32_t first_chain, uint32_t end_chain,
    const float *weights, size_t stride, const float *partials, size_t partial_stride, float *sums,
    float *totals);

/// Divides the totals of all chains by their sums, into `out`.
/// - out: (heads, head_size)
void ck_attend_finish(
    ck_level level, uint32_t heads, uint32_t head_size, const float *sums, const float *totals, float *out);

// ---------------------------------------------------------------- selection

/// The index of the largest value, the lowest index among equals; n > 0.
uint32_t ck_argmax(ck_level level, const float *x, uint32_t n);

/// The largest value, with +-0 as +0; n > 0.
float ck_maximum(ck_level level, const float *x, uint32_t n);

/// The k largest in the order of N1 item 10: value descending, index ascending. Returns their
/// number, min(k, n).
/// - indices, values: space for k each
uint32_t ck_top_k(
    ck_level level, const float *x, uint32_t n, uint32_t k, uint32_t *indices, float *values);

// ---------------------------------------------------------------- experts

/// The most experts of a layer.
enum { CK_MAX_EXPERTS = 1024 };

/// How a router's numbers become weights (N1 item 12).
typedef enum ck_gating {
  CK_GATING_SOFTMAX = 0,
  CK_GATING_SIGMOID = 1,
  /// softmax over the chosen ones alone
  CK_GATING_SOFTMAX_OF_CHOSEN = 2,
} ck_gating;

typedef struct ck_router {
  /// at most CK_MAX_EXPERTS
  uint32_t experts;
  /// 1 to `experts`
  uint32_t chosen;
  ck_gating gating;
  /// (experts), added for the choice alone
  const float *_Nullable bias;
  /// 0 or 1: none; a divisor of `experts`
  uint32_t groups;
  uint32_t groups_chosen;
  bool normalises;
  float scale;
  /// (experts), each multiplies the weight of its expert at the end
  const float *_Nullable factors;
} ck_router;

/// The experts of one token, in the order of the choice. Where a logit is not finite all weights are
/// NaN.
/// - logits: (experts)
/// - choices: (2, chosen): the experts' numbers, then their weights
void ck_route(ck_level level, const ck_router *router, const float *logits, float *choices);

/// The pairs of a token and one of its experts, in the order of experts, then of tokens: each pair
/// has a place.
typedef struct ck_places {
  /// (experts + 1): the first place of each expert
  uint32_t *first;
  /// (experts): those that have places, ascending, and how many they are
  uint32_t *experts;
  uint32_t busy;
  /// (tokens * chosen), by place: token and weight
  uint32_t *tokens;
  float *weights;
  /// (tokens, chosen): the place of each pair
  uint32_t *of_token;
} ck_places;

/// - choices: (tokens, 2 * chosen) as ck_route writes them, row stride `stride` floats
void ck_place_choices(
    const float *choices, size_t stride, uint32_t tokens, uint32_t chosen, uint32_t experts, ck_places *places);

/// What one expert gives to the tokens of its places `range.first_token` ..< + `range.tokens`:
/// out[token][row] += weight * (product + bias), each operation rounded. Two experts may not add to
/// the same rows of the same token at a time.
/// - input: its rows are places
/// - bias: (rows)
/// - tokens, weights: by place; without weights the result is added as it is
/// - out: (tokens, rows), row stride `stride` floats
void ck_multiply_expert(
    ck_level level, const ck_matrix *matrix, const ck_input *input, const float *_Nullable bias,
    const uint32_t *tokens, const float *_Nullable weights, float *out, size_t stride, ck_range range);

// ---------------------------------------------------------------- work, taken by threads

/// A queue of item numbers that threads take from.
typedef struct ck_counter {
  uint32_t next;
  uint32_t rest[15];
} ck_counter;

void ck_counter_set(ck_counter *counter, uint32_t value);

/// Takes the next number: every number is taken once.
uint32_t ck_counter_take(ck_counter *counter);

/// The same below `limit`. Returns `limit` if all are taken, without disturbing the threads that
/// still take.
uint32_t ck_counter_take_below(ck_counter *counter, uint32_t limit);

// ---------------------------------------------------------------- products, divided among threads

/// Takes several numbers below `limit` at once, at most `most_taken`, and fewer as they run out.
/// Returns the first of them, and their number in `count`; if none is left, returns `limit` and
/// leaves `count` unchanged.
uint32_t ck_counter_take_run(ck_counter *counter, uint32_t limit, uint32_t most_taken, uint32_t *count);

/// How threads divide the products of one input: into units of some tiles and tokens. The units are
/// split into `workers` consecutive parts, one per worker. A worker takes its own units in order,
/// so that memory can be prefetched; then it steals units that others have not reached. Every
/// worker calls with the same division except for `worker` and `next`.
typedef struct ck_division {
  uint32_t tokens;
  uint32_t tokens_at_once;
  /// Tiles of a unit; with few tokens this is also how many tiles ahead memory is prefetched.
  uint32_t tiles_at_once;
  uint32_t worker;
  uint32_t workers;
  /// (workers), zero at first
  ck_counter *counters;
  /// Weights that this worker reads afterwards. May be NULL.
  const uint8_t *_Nullable next;
} ck_division;

typedef struct ck_product {
  ck_matrix matrix;
  ck_output output;
} ck_product;

/// The number of units for `tiles` tiles.
uint32_t ck_division_units(const ck_division *division, uint32_t tiles);

/// This worker's units of the products, as ck_multiply computes them; tiles are numbered
/// consecutively across all products.
void ck_multiply_part(
    ck_level level, const ck_product *products, uint32_t count, const ck_input *input,
    const ck_division *division);

/// This worker's units of what ck_multiply_gated computes.
void ck_multiply_gated_part(
    ck_level level, const ck_matrix *gate, const ck_matrix *up, const ck_input *input, const ck_output *output,
    const ck_division *division);

/// Reads memory as fast as one thread can, for measuring. Returns a sum, so that no read is
/// optimised away.
uint64_t ck_read_memory(const void *bytes, size_t count);

#pragma clang assume_nonnull end

#endif
