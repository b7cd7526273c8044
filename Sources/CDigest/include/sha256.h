// sha256.h: SHA-256 as in FIPS 180-4, the only cryptography that Hotpot implements itself. Not
// here: keys, signatures and other lengths of SHA-2. Start at hp_sha256 (one call) or at
// hp_sha256_init / _update / _final (a stream, on the caller's memory). Nothing here allocates or
// fails.
#ifndef HP_SHA256_H
#define HP_SHA256_H

#include <stddef.h>
#include <stdint.h>

// A running hash. The caller owns the memory; copying the struct forks the hash.
typedef struct {
  uint32_t state[8];   // working variables H0..H7, host order
  uint64_t length;     // bytes given so far
  uint8_t block[64];   // the bytes of the unfinished block, length mod 64 of them
} hp_sha256_ctx;

void hp_sha256_init(hp_sha256_ctx *ctx);
// `data` may be NULL when `size` is 0.
void hp_sha256_update(hp_sha256_ctx *ctx, const void *data, size_t size);
// Writes 32 bytes; the context must be initialised again before another use.
void hp_sha256_final(hp_sha256_ctx *ctx, uint8_t out[32]);
// One call: the digest of `size` bytes at `data`.
void hp_sha256(const void *data, size_t size, uint8_t out[32]);

// Digests of `count` messages of one length, message i at `data + i * stride`, its digest at `out +
// 32 * i`.
void hp_sha256_many(const void *data, size_t stride, size_t size, size_t count, uint8_t *out);
// The digest of the concatenation of `count` 32-byte digests.
void hp_sha256_digests(const uint8_t *digests, size_t count, uint8_t out[32]);
// RFC 6962, 2.1: a leaf, SHA-256(0x00 || data), and a node, SHA-256(0x01 || left || right).
void hp_sha256_leaf(const void *data, size_t size, uint8_t out[32]);
void hp_sha256_node(const uint8_t left[32], const uint8_t right[32], uint8_t out[32]);

// A line that ends in a seal over what precedes it.
typedef struct {
  const uint8_t *bytes;
  size_t size;
  // bytes before the seal, which has at most HP_SHA256_SEAL
  size_t body;
  // digests of the body and of the whole line, and the line's leaf hash
  uint8_t body_digest[32];
  uint8_t digest[32];
  uint8_t leaf[32];
} hp_sha256_line;

enum { HP_SHA256_SEAL = 64 };

// Fills in the digests of `count` lines: many at a time if the machine has AVX-512, which takes
// half as long as one after another.
void hp_sha256_lines(hp_sha256_line *lines, size_t count);

// 1 if the SHA extensions of x86 are used, 0 if the portable code is.
int hp_sha256_accelerated(void);
// The portable twin of hp_sha256, so that tests can compare both on one machine.
void hp_sha256_portable(const void *data, size_t size, uint8_t out[32]);

#endif
