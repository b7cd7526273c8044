// test_inputs.h: what the self-test's inputs are made with, from seeds, and how outputs become a
// number. Start at draw.
#ifndef CK_TEST_INPUTS_H
#define CK_TEST_INPUTS_H

#include "internal.h"

typedef struct stream {
  uint64_t state;
} stream;

static CK_UNUSED uint32_t draw(stream *s) {
  s->state = s->state * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(s->state >> 32);
}

// A value in about -4 ... 4, many of them small.
static CK_UNUSED float draw_float(stream *s) {
  float unit = (float)(int32_t)(draw(s) >> 8) * 0x1p-23f - 1.0f;
  return unit * (draw(s) % 16 == 0 ? 4.0f : 0.5f);
}

static CK_UNUSED uint64_t digest(uint64_t hash, const void *bytes, size_t count) {
  const uint8_t *p = bytes;
  for (size_t i = 0; i < count; i++) hash = (hash ^ p[i]) * 0x100000001b3ull;
  return hash;
}

// A positive or negative f16 of magnitude 2^-7 ... 2^-3.
static CK_UNUSED uint16_t draw_half(stream *s) {
  uint32_t bits = draw(s);
  return (uint16_t)((bits & 0x83ff) | (8 + (bits >> 16) % 4) << 10);
}

static CK_UNUSED void draw_weights(stream *s, ck_type type, size_t values, uint8_t *out) {
  size_t blocks = values / ck_type_block_values(type);
  uint32_t size = ck_type_block_bytes(type);
  for (size_t b = 0; b < blocks; b++, out += size) {
    if (type == CK_F32) {
      float value = draw_float(s);
      memcpy(out, &value, 4);
    } else if (type == CK_F16 || type == CK_BF16) {
      uint16_t half = draw_half(s);
      if (type == CK_BF16) half = (uint16_t)((half & 0x81ff) + 0x3c00);
      memcpy(out, &half, 2);
    } else {
      for (uint32_t i = 0; i < size; i++) out[i] = (uint8_t)(draw(s) >> 11);
      const ck_traits *traits = ck_traits_of(type);
      if (traits->scales == CK_SCALES_POWER) {
        out[0] = (uint8_t)(120 + draw(s) % 8);
        continue;
      }
      uint16_t half = draw_half(s);
      if (type == CK_IQ1_M) {
        for (int i = 0; i < 4; i++) out[49 + 2 * i] = (uint8_t)((out[49 + 2 * i] & 15) | (half >> 4 * i & 15) << 4);
        continue;
      }
      memcpy(out + traits->d_at, &half, 2);
      if (traits->m_at >= 0) {
        half = draw_half(s);
        memcpy(out + traits->m_at, &half, 2);
      }
    }
  }
}

#endif
