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
  if (s.codebook) {
    const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(
        1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153, (char)166, (char)181, (char)197,
        (char)217, (char)241));
    for (int g = 0; g < 8; g++) w[g] = _mm512_shuffle_epi8(table, w[g]);
  }
}
