// sha256.c: SHA-256 (FIPS 180-4), portable and with the SHA extensions of x86, chosen at run time.
// Leaves out every other hash. Start at compress_portable, which follows section 6.2.2 word for word.
#include "sha256.h"

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
// Four rounds a step. The instructions keep the state as (A,B,E,F) and (C,D,G,H); the message schedule
// runs in a ring of four vectors: w[t] = msg2(msg1(w[t-16], w[t-12]) + w[t-7], w[t-4]).
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

// CPUID traps to the hypervisor in a virtual machine (tens of microseconds, a hash takes 0.1), so the answer is
// kept. Any thread may write it, and all write the same value: 0 unknown, 1 portable, 2 SHA extensions.
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
