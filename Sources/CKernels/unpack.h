// unpack.h: stored weights as bytes, for the levels with AVX-512. Include it only in files compiled
// for AVX-512. Start at unpack.
#include "internal.h"

#include <immintrin.h>

// Moves bits `shift` and up of every byte to bit `to`; `mask` selects those that stay.
CK_INLINE __m512i moved(__m512i v, int shift, int to, int mask) {
  __m512i at = shift > to ? _mm512_srli_epi16(v, (unsigned)(shift - to))
      : shift < to        ? _mm512_slli_epi16(v, (unsigned)(to - shift))
                          : v;
  return _mm512_and_si512(at, _mm512_set1_epi8((char)mask));
}

// As ck_power_float.
CK_INLINE __m512 powers(const uint8_t *p) {
  __m512i exponent = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
  __m512i one = _mm512_set1_epi32(1);
  __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(exponent, one), 23);
  __m512i subnormal = _mm512_slli_epi32(_mm512_add_epi32(exponent, one), 21);
  __mmask16 is_normal = _mm512_cmpgt_epi32_mask(exponent, one);
  return _mm512_castsi512_ps(_mm512_mask_mov_epi32(subnormal, is_normal, normal));
}

// The sides of 16 rows (ck_grid).
CK_INLINE __m512i sides(const ck_shape s, const uint8_t *scales, const uint8_t *quants) {
  const ck_grid grid = ck_grids[s.book];
  __m512i side = _mm512_setzero_si512();
  if (grid.side_bytes == 1) side = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)scales));
  if (grid.side_bytes >= 2) side = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)scales));
  if (grid.side_bytes == 3) {
    __m512i third = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(scales + 32)));
    side = _mm512_or_si512(side, _mm512_slli_epi32(third, 16));
  }
  if (!grid.has_spare) return side;
  // Bits 25, 27, 29 and 31 of the signs move together.
  __m512i spare = _mm512_srli_epi32(_mm512_loadu_si512(quants + ck_index_bytes(s.book)), 25);
  spare = _mm512_and_si512(spare, _mm512_set1_epi32(0x55));
  spare = _mm512_and_si512(_mm512_or_si512(spare, _mm512_srli_epi32(spare, 1)), _mm512_set1_epi32(0x33));
  spare = _mm512_and_si512(_mm512_or_si512(spare, _mm512_srli_epi32(spare, 2)), _mm512_set1_epi32(0x0f));
  return _mm512_or_si512(side, _mm512_slli_epi32(spare, (unsigned)(8 * grid.side_bytes)));
}

// The scales of 16 rows from their sides: of all columns, or of a half.
CK_INLINE __m512i odd_scales(const ck_shape s, __m512i side, int half) {
  const ck_grid grid = ck_grids[s.book];
  __m512i n = _mm512_srli_epi32(side, (unsigned)(grid.scale_at + 4 * half));
  n = _mm512_and_si512(n, _mm512_set1_epi32(grid.scale_mask));
  return _mm512_add_epi32(_mm512_add_epi32(n, n), _mm512_set1_epi32(1));
}

// The plane of signs, complete.
CK_INLINE __m512i sign_plane(const ck_shape s, const uint8_t *quants) {
  __m512i signs = _mm512_loadu_si512(quants + ck_index_bytes(s.book));
  if (!ck_grids[s.book].has_spare) return signs;
  // The parity of the seven signs of columns 8i ..< 8i + 7, which are in bits 2i and 2i + 1 of the
  // bytes, goes to bit 2i + 1 of the fourth.
  signs = _mm512_and_si512(signs, _mm512_set1_epi32(0x55ffffff));
  __m512i parity = _mm512_xor_si512(signs, _mm512_srli_epi32(signs, 1));
  parity = _mm512_xor_si512(parity, _mm512_srli_epi32(parity, 16));
  parity = _mm512_xor_si512(parity, _mm512_srli_epi32(parity, 8));
  parity = _mm512_and_si512(parity, _mm512_set1_epi32(0x55));
  return _mm512_or_si512(signs, _mm512_slli_epi32(parity, 25));
}

// The stored integers of a type with a grid: eight groups of 4 columns.
CK_INLINE void grid_integers(const ck_shape s, const uint8_t *quants, __m512i side, __m512i w[8]) {
  const ck_grid grid = ck_grids[s.book];
  const int *points = (const int *)ck_points + grid.first;
  const __m512i nibbles = _mm512_set1_epi8(15);
#pragma clang loop unroll(full)
  for (int p = 0; p < 32 / grid.columns; p++) {
    __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(quants + 16 * p)));
    if (grid.high_bits != 0) {
      __m512i high = _mm512_srli_epi32(side, (unsigned)(grid.high_at + grid.high_step * p));
      high = _mm512_and_si512(high, _mm512_set1_epi32((1 << grid.high_bits) - 1));
      index = _mm512_or_si512(index, _mm512_slli_epi32(high, 8));
    }
    __m512i point = _mm512_i32gather_epi32(index, points, 4);
    if (grid.columns == 4) {
      w[p] = point;
      continue;
    }
    w[2 * p] = _mm512_and_si512(point, nibbles);
    w[2 * p + 1] = _mm512_and_si512(_mm512_srli_epi16(point, 4), nibbles);
    if (grid.delta_at < 0) continue;
    __m512i bit = _mm512_set1_epi32((int)(1u << (grid.delta_at + grid.delta_step * p)));
    __mmask16 delta = _mm512_test_epi32_mask(side, bit);
    __m512i high = _mm512_set1_epi8((char)(1 << s.low_bits));
    w[2 * p] = _mm512_mask_or_epi32(w[2 * p], delta, w[2 * p], high);
    w[2 * p + 1] = _mm512_mask_or_epi32(w[2 * p + 1], delta, w[2 * p + 1], high);
  }
  if (grid.delta_at >= 0) return;
  __m512i signs = sign_plane(s, quants);
#pragma clang loop unroll(full)
  for (int g = 0; g < 8; g++) w[g] = _mm512_or_si512(w[g], moved(signs, g, s.low_bits, 1 << s.low_bits));
}

// The stored integers of the eight groups of 4 columns as bytes. `side` is read of types with a grid.
CK_INLINE void stored_integers(const ck_shape s, const uint8_t *quants, __m512i side, __m512i w[8]) {
  if (ck_grids[s.book].columns != 0) {
    grid_integers(s, quants, side, w);
    return;
  }
  const uint8_t *high = quants + s.low_bits * 64;
  for (int g = 0; g < 8; g++) {
    if (s.low_bits == 8) {
      w[g] = _mm512_loadu_si512(quants + 64 * g);
    } else if (s.low_bits == 4) {
      w[g] = moved(_mm512_loadu_si512(quants + 64 * (g % 4)), g / 4 * 4, 0, 15);
    } else {
      w[g] = moved(_mm512_loadu_si512(quants + 64 * (g / 4)), g % 4 * 2, 0, 3);
    }
  }
  if (s.high_bits == 1) {
    __m512i bits = _mm512_loadu_si512(high);
    for (int g = 0; g < 8; g++) {
      w[g] = _mm512_or_si512(w[g], moved(bits, g, s.low_bits, 1 << s.low_bits));
    }
  }
  if (s.high_bits == 2) {
    for (int g = 0; g < 8; g++) {
      __m512i bits = _mm512_loadu_si512(high + 64 * (g / 4));
      w[g] = _mm512_or_si512(w[g], moved(bits, g % 4 * 2, s.low_bits, 3 << s.low_bits));
    }
  }
}

// Unpacks the eight groups of 4 columns as unsigned bytes: the weights plus their bias.
CK_INLINE void unpack(const ck_shape s, const uint8_t *quants, __m512i side, __m512i w[8]) {
  stored_integers(s, quants, side, w);
  if (s.book != CK_BOOK_NONE) {
    __m128i values = _mm_loadu_si128((const void *)ck_books[s.book]);
    const __m512i table = _mm512_broadcast_i32x4(_mm_add_epi8(values, _mm_set1_epi8((char)s.bias)));
    for (int g = 0; g < 8; g++) w[g] = _mm512_shuffle_epi8(table, w[g]);
  }
}
