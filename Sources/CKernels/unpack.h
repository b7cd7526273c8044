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

// Unpacks the eight groups of 4 columns as unsigned bytes: the weights plus their bias.
CK_INLINE void unpack(const ck_shape s, const uint8_t *quants, __m512i w[8]) {
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
  if (s.book != CK_BOOK_NONE) {
    __m128i values = _mm_loadu_si128((const void *)ck_books[s.book]);
    const __m512i table = _mm512_broadcast_i32x4(_mm_add_epi8(values, _mm_set1_epi8((char)s.bias)));
    for (int g = 0; g < 8; g++) w[g] = _mm512_shuffle_epi8(table, w[g]);
  }
}
