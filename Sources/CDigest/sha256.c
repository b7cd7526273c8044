// sha256.c: SHA-256 (FIPS 180-4): portable, with the SHA extensions of x86, and for 16 messages at
// once with AVX-512; chosen at run time. No other hash is here. Start at compress_portable, which
// follows section 6.2.2 word for word.
#include "sha256.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

typedef void (*compress_fn)(uint32_t state[8], const uint8_t *blocks, size_t count);

static const uint32_t initial[8] = {
    0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, 0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u,
};

static const uint32_t K[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
    0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
    0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
    0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
    0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
    0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
    0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u,
};

static inline uint32_t rotr(uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

static inline uint32_t load_be32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static inline void store_be32(uint8_t *p, uint32_t x) {
  p[0] = (uint8_t)(x >> 24);
  p[1] = (uint8_t)(x >> 16);
  p[2] = (uint8_t)(x >> 8);
  p[3] = (uint8_t)x;
}

static void compress_portable(uint32_t state[8], const uint8_t *blocks, size_t count) {
  for (; count > 0; count--, blocks += 64) {
    uint32_t w[64];
    for (int t = 0; t < 16; t++) w[t] = load_be32(blocks + 4 * t);
    for (int t = 16; t < 64; t++) {
      uint32_t s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ (w[t - 15] >> 3);
      uint32_t s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ (w[t - 2] >> 10);
      w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
      uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + K[t] + w[t];
      uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + t1;
      d = c;
      c = b;
      b = a;
      a = t1 + t2;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
  }
}

#if defined(__x86_64__)
enum {
  // messages that are hashed in parallel
  LANES = 16,
};

#define WIDE __attribute__((target("avx512f,avx512bw")))

// Transposes the words of 16 blocks, from one register per block to one per word.
WIDE static inline __attribute__((always_inline)) void transpose(__m512i w[16]) {
  __m512i a[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(w[i], w[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(w[i], w[i + 1]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i += 4) {
    w[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    w[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    w[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    w[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  // Register 4i + j has word j + 4 * quarter of blocks 4i ..< 4i + 4 in each quarter.
#pragma clang loop unroll(full)
  for (int j = 0; j < 4; j++) {
    __m512i low = _mm512_shuffle_i32x4(w[j], w[4 + j], 0x88);
    __m512i high = _mm512_shuffle_i32x4(w[j], w[4 + j], 0xdd);
    __m512i more_low = _mm512_shuffle_i32x4(w[8 + j], w[12 + j], 0x88);
    __m512i more_high = _mm512_shuffle_i32x4(w[8 + j], w[12 + j], 0xdd);
    a[j] = _mm512_shuffle_i32x4(low, more_low, 0x88);
    a[8 + j] = _mm512_shuffle_i32x4(low, more_low, 0xdd);
    a[4 + j] = _mm512_shuffle_i32x4(high, more_high, 0x88);
    a[12 + j] = _mm512_shuffle_i32x4(high, more_high, 0xdd);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i++) w[i] = a[i];
}

// Section 6.2.2 for `count[l]` blocks at `from[l]` of each lane l; its word i is state[i][l].
WIDE static void compress_lanes(uint32_t state[8][LANES], const uint8_t *const from[LANES], const size_t count[LANES]) {
  static const uint8_t nothing[64];
  const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL));
  __m512i s[8];
  for (int i = 0; i < 8; i++) s[i] = _mm512_loadu_si512(state[i]);
  size_t longest = 0;
  for (int l = 0; l < LANES; l++) longest = count[l] > longest ? count[l] : longest;
  for (size_t block = 0; block < longest; block++) {
    __m512i w[16];
    __mmask16 live = 0;
#pragma clang loop unroll(full)
    for (int l = 0; l < LANES; l++) {
      const uint8_t *at = block < count[l] ? from[l] + 64 * block : nothing;
      if (block < count[l]) live |= (__mmask16)(1u << l);
      w[l] = _mm512_shuffle_epi8(_mm512_loadu_si512(at), swap);
    }
    transpose(w);
    __m512i a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    for (int t = 0; t < 64; t += 16) {
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; i++) {
        if (t > 0) {
          const __m512i w15 = w[(i + 1) & 15], w2 = w[(i + 14) & 15];
          __m512i s0 = _mm512_ternarylogic_epi32(
              _mm512_ror_epi32(w15, 7), _mm512_ror_epi32(w15, 18), _mm512_srli_epi32(w15, 3), 0x96);
          __m512i s1 = _mm512_ternarylogic_epi32(
              _mm512_ror_epi32(w2, 17), _mm512_ror_epi32(w2, 19), _mm512_srli_epi32(w2, 10), 0x96);
          w[i] = _mm512_add_epi32(_mm512_add_epi32(w[i], s0), _mm512_add_epi32(w[(i + 9) & 15], s1));
        }
        __m512i sum1 = _mm512_ternarylogic_epi32(
            _mm512_ror_epi32(e, 6), _mm512_ror_epi32(e, 11), _mm512_ror_epi32(e, 25), 0x96);
        __m512i choice = _mm512_ternarylogic_epi32(e, f, g, 0xca);
        __m512i t1 = _mm512_add_epi32(
            _mm512_add_epi32(h, _mm512_add_epi32(w[i], _mm512_set1_epi32((int)K[t + i]))),
            _mm512_add_epi32(sum1, choice));
        __m512i sum0 = _mm512_ternarylogic_epi32(
            _mm512_ror_epi32(a, 2), _mm512_ror_epi32(a, 13), _mm512_ror_epi32(a, 22), 0x96);
        __m512i majority = _mm512_ternarylogic_epi32(a, b, c, 0xe8);
        h = g;
        g = f;
        f = e;
        e = _mm512_add_epi32(d, t1);
        d = c;
        c = b;
        b = a;
        a = _mm512_add_epi32(t1, _mm512_add_epi32(sum0, majority));
      }
    }
    const __m512i after[8] = {a, b, c, d, e, f, g, h};
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++) s[i] = _mm512_mask_add_epi32(s[i], live, s[i], after[i]);
  }
  for (int i = 0; i < 8; i++) _mm512_storeu_si512(state[i], s[i]);
}

static int has_lanes(void) { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"); }

// Four rounds per step. The instructions keep the state as (A,B,E,F) and (C,D,G,H); the message
// schedule runs in a ring of four vectors: w[t] = msg2(msg1(w[t-16], w[t-12]) + w[t-7], w[t-4]).
__attribute__((target("sha,sse4.1,ssse3"))) static void compress_sha_ni(
    uint32_t state[8], const uint8_t *blocks, size_t count) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)&state[0]);
  __m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)&state[4]);
  __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
  __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

  for (; count > 0; count--, blocks += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; i++) {
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(blocks + 16 * i)), swap);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) {
      __m128i wi;
      if (i < 4) {
        wi = w[i];
      } else {
        const __m128i w7 = _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4);
        wi = _mm_sha256msg2_epu32(
            _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]), w7), w[(i + 3) & 3]);
        w[i & 3] = wi;
      }
      const __m128i wk = _mm_add_epi32(wi, _mm_loadu_si128((const __m128i *)(const void *)&K[4 * i]));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }

  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)(void *)&state[0], _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128((__m128i *)(void *)&state[4], _mm_alignr_epi8(dchg, feba, 8));
}

static int has_sha_ni(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & (1u << 29))) return 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 19)) && (c & (1u << 9));
}
#else
static int has_sha_ni(void) { return 0; }
#endif

// CPUID traps to the hypervisor in a virtual machine (tens of microseconds, a hash takes 0.1), so
// the answer is kept. Any thread may write it, and all write the same value: 0 unknown, 1 portable,
// 2 SHA extensions.
static int known_level;

int hp_sha256_accelerated(void) {
  int level = __atomic_load_n(&known_level, __ATOMIC_RELAXED);
  if (level == 0) {
    level = has_sha_ni() ? 2 : 1;
    __atomic_store_n(&known_level, level, __ATOMIC_RELAXED);
  }
  return level == 2;
}

static compress_fn compress(void) {
#if defined(__x86_64__)
  if (hp_sha256_accelerated()) return compress_sha_ni;
#endif
  return compress_portable;
}

void hp_sha256_init(hp_sha256_ctx *ctx) {
  memcpy(ctx->state, initial, sizeof initial);
  ctx->length = 0;
}

static void update(hp_sha256_ctx *ctx, const uint8_t *data, size_t size, compress_fn f) {
  if (size == 0) return;
  size_t have = ctx->length % 64;
  ctx->length += size;
  if (have > 0) {
    size_t take = 64 - have < size ? 64 - have : size;
    memcpy(ctx->block + have, data, take);
    data += take;
    size -= take;
    if (have + take < 64) return;
    f(ctx->state, ctx->block, 1);
  }
  if (size >= 64) f(ctx->state, data, size / 64);
  memcpy(ctx->block, data + (size & ~(size_t)63), size % 64);
}

static void final(hp_sha256_ctx *ctx, uint8_t out[32], compress_fn f) {
  size_t have = ctx->length % 64;
  uint64_t bits = ctx->length * 8;
  ctx->block[have++] = 0x80;
  if (have > 56) {
    memset(ctx->block + have, 0, 64 - have);
    f(ctx->state, ctx->block, 1);
    have = 0;
  }
  memset(ctx->block + have, 0, 56 - have);
  store_be32(ctx->block + 56, (uint32_t)(bits >> 32));
  store_be32(ctx->block + 60, (uint32_t)bits);
  f(ctx->state, ctx->block, 1);
  for (int i = 0; i < 8; i++) store_be32(out + 4 * i, ctx->state[i]);
}

void hp_sha256_update(hp_sha256_ctx *ctx, const void *data, size_t size) {
  update(ctx, data, size, compress());
}

void hp_sha256_final(hp_sha256_ctx *ctx, uint8_t out[32]) { final(ctx, out, compress()); }

static void one(const void *data, size_t size, uint8_t out[32], compress_fn f) {
  hp_sha256_ctx ctx;
  hp_sha256_init(&ctx);
  update(&ctx, data, size, f);
  final(&ctx, out, f);
}

void hp_sha256(const void *data, size_t size, uint8_t out[32]) { one(data, size, out, compress()); }

void hp_sha256_portable(const void *data, size_t size, uint8_t out[32]) {
  one(data, size, out, compress_portable);
}

void hp_sha256_many(const void *data, size_t stride, size_t size, size_t count, uint8_t *out) {
  const compress_fn f = compress();
  const uint8_t *message = data;
  for (size_t i = 0; i < count; i++) one(message + i * stride, size, out + 32 * i, f);
}

void hp_sha256_digests(const uint8_t *digests, size_t count, uint8_t out[32]) {
  hp_sha256(digests, 32 * count, out);
}

static void prefixed(uint8_t prefix, const void *data, size_t size, uint8_t out[32]) {
  const compress_fn f = compress();
  hp_sha256_ctx ctx;
  hp_sha256_init(&ctx);
  update(&ctx, &prefix, 1, f);
  update(&ctx, data, size, f);
  final(&ctx, out, f);
}

void hp_sha256_leaf(const void *data, size_t size, uint8_t out[32]) { prefixed(0x00, data, size, out); }

void hp_sha256_node(const uint8_t left[32], const uint8_t right[32], uint8_t out[32]) {
  uint8_t both[64];
  memcpy(both, left, 32);
  memcpy(both + 32, right, 32);
  prefixed(0x01, both, 64, out);
}

// ---------------------------------------------------------------- lines

static void lines_apart(hp_sha256_line *lines, size_t count) {
  const compress_fn f = compress();
  for (size_t i = 0; i < count; i++) {
    hp_sha256_line *line = &lines[i];
    hp_sha256_ctx ctx;
    hp_sha256_init(&ctx);
    update(&ctx, line->bytes, line->body, f);
    hp_sha256_ctx body = ctx;
    final(&body, line->body_digest, f);
    update(&ctx, line->bytes + line->body, line->size - line->body, f);
    final(&ctx, line->digest, f);
    prefixed(0x00, line->bytes, line->size, line->leaf);
  }
}

#if defined(__x86_64__)
// Writes the last bytes of a message of `size` bytes, those from `start` on, with their padding.
// Returns the number of blocks.
// - size - start: at most 127
static size_t pad(const uint8_t *data, size_t start, size_t size, uint8_t prefix_bytes, uint8_t out[192]) {
  size_t rest = size - start;
  size_t blocks = (rest + 9 + 63) / 64;
  uint64_t bits = (uint64_t)(size + prefix_bytes) * 8;
  memcpy(out, data + start, rest);
  memset(out + rest, 0, 64 * blocks - rest);
  out[rest] = 0x80;
  store_be32(out + 64 * blocks - 8, (uint32_t)(bits >> 32));
  store_be32(out + 64 * blocks - 4, (uint32_t)bits);
  return blocks;
}

static void begin_lanes(uint32_t state[8][LANES]) {
  for (int i = 0; i < 8; i++) {
    for (int l = 0; l < LANES; l++) state[i][l] = initial[i];
  }
}

static void take_lane(uint32_t state[8][LANES], size_t lane, uint8_t out[32]) {
  for (int i = 0; i < 8; i++) store_be32(out + 4 * i, state[i][lane]);
}

// At most LANES lines, each with a body of at least 64 bytes and a seal of at most HP_SHA256_SEAL.
static void lines_together(hp_sha256_line *lines, size_t count) {
  _Alignas(64) uint32_t state[8][LANES], sealed[8][LANES];
  uint8_t ends[2][LANES][192];
  const uint8_t *from[LANES];
  size_t blocks[LANES] = {0}, end_blocks[2][LANES] = {{0}};
  const uint8_t *end_from[2][LANES];
  for (size_t l = 0; l < LANES; l++) {
    end_from[0][l] = ends[0][l];
    end_from[1][l] = ends[1][l];
    from[l] = ends[0][l];
    if (l >= count) continue;
    from[l] = lines[l].bytes;
    blocks[l] = lines[l].body / 64;
    end_blocks[0][l] = pad(lines[l].bytes, 64 * blocks[l], lines[l].body, 0, ends[0][l]);
    end_blocks[1][l] = pad(lines[l].bytes, 64 * blocks[l], lines[l].size, 0, ends[1][l]);
  }
  begin_lanes(state);
  compress_lanes(state, from, blocks);
  memcpy(sealed, state, sizeof sealed);
  compress_lanes(sealed, end_from[0], end_blocks[0]);
  compress_lanes(state, end_from[1], end_blocks[1]);
  for (size_t l = 0; l < count; l++) {
    take_lane(sealed, l, lines[l].body_digest);
    take_lane(state, l, lines[l].digest);
  }
  // The leaf hash: the prefix and 63 bytes, then whole blocks of the line, then its end.
  size_t one[LANES] = {0};
  for (size_t l = 0; l < count; l++) {
    ends[0][l][0] = 0x00;
    memcpy(ends[0][l] + 1, lines[l].bytes, 63);
    one[l] = 1;
    from[l] = lines[l].bytes + 63;
    blocks[l] = (lines[l].size - 63) / 64;
    end_blocks[1][l] = pad(lines[l].bytes, 63 + 64 * blocks[l], lines[l].size, 1, ends[1][l]);
  }
  begin_lanes(state);
  compress_lanes(state, end_from[0], one);
  compress_lanes(state, from, blocks);
  compress_lanes(state, end_from[1], end_blocks[1]);
  for (size_t l = 0; l < count; l++) take_lane(state, l, lines[l].leaf);
}
#endif

void hp_sha256_lines(hp_sha256_line *lines, size_t count) {
#if defined(__x86_64__)
  // With few lines most lanes would be idle.
  while (count > LANES / 2 && has_lanes()) {
    const size_t some = count < LANES ? count : LANES;
    bool fits = true;
    for (size_t i = 0; i < some; i++) {
      fits = fits && lines[i].body >= 64 && lines[i].size - lines[i].body <= HP_SHA256_SEAL;
    }
    if (fits) {
      lines_together(lines, some);
    } else {
      lines_apart(lines, some);
    }
    lines += some;
    count -= some;
  }
#endif
  lines_apart(lines, count);
}
