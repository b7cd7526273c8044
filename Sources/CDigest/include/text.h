// text.h: the spellings of canonical lines, many bytes at once: hexadecimal, decimal, plain text.
// The code is inline in this header, because a field takes less time than a call. Not here: which
// fields a line has (Receipts). Start at hp_hex64.
#ifndef HP_TEXT_H
#define HP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// ---------------------------------------------------------------- hexadecimal

// 32 bytes as big-endian words, the first byte in the highest of w0; `is_valid` is false if a
// character was not a digit.
typedef struct {
  uint64_t w0, w1, w2, w3;
  bool is_valid;
} hp_hex_words;

// The value of a lower-case digit; 16 for any other byte.
static inline uint8_t hp_hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return (uint8_t)(c - '0');
  return c >= 'a' && c <= 'f' ? (uint8_t)(c - 'a' + 10) : 16;
}

#if defined(__SSE2__)
// The values of 16 digits; a byte of `bad` becomes 255 if its character is not a digit.
static inline __m128i hp_hex_digits(__m128i text, __m128i *bad) {
  const __m128i digit = _mm_sub_epi8(text, _mm_set1_epi8('0')), letter = _mm_sub_epi8(text, _mm_set1_epi8('a'));
  const __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
  const __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(5)), letter);
  *bad = _mm_or_si128(*bad, _mm_cmpeq_epi8(_mm_or_si128(is_digit, is_letter), _mm_setzero_si128()));
  return _mm_or_si128(
      _mm_and_si128(digit, is_digit), _mm_and_si128(_mm_add_epi8(letter, _mm_set1_epi8(10)), is_letter));
}

// Converts 32 digits to 16 bytes.
static inline __m128i hp_hex_bytes(const uint8_t *text, __m128i *bad) {
  __m128i pairs[2];
  for (int i = 0; i < 2; i++) {
    const __m128i v = hp_hex_digits(_mm_loadu_si128((const __m128i *)(const void *)(text + 16 * i)), bad);
    // The first of two digits is the low byte of its pair, and the high half of the result.
    pairs[i] = _mm_and_si128(_mm_or_si128(_mm_slli_epi16(v, 4), _mm_srli_epi16(v, 8)), _mm_set1_epi16(0xff));
  }
  return _mm_packus_epi16(pairs[0], pairs[1]);
}
#endif

// Writes 64 digits in lower case.
static inline hp_hex_words hp_hex64(const void *digits) {
  const uint8_t *text = digits;
  hp_hex_words out = {0};
#if defined(__SSE2__)
  uint64_t words[4];
  __m128i bad = _mm_setzero_si128();
  _mm_storeu_si128((__m128i *)(void *)&words[0], hp_hex_bytes(text, &bad));
  _mm_storeu_si128((__m128i *)(void *)&words[2], hp_hex_bytes(text + 32, &bad));
  out.w0 = __builtin_bswap64(words[0]);
  out.w1 = __builtin_bswap64(words[1]);
  out.w2 = __builtin_bswap64(words[2]);
  out.w3 = __builtin_bswap64(words[3]);
  out.is_valid = _mm_movemask_epi8(bad) == 0;
#else
  uint64_t words[4] = {0};
  uint8_t all = 0;
  for (int i = 0; i < 64; i++) {
    const uint8_t digit = hp_hex_digit(text[i]);
    all |= digit;
    words[i / 16] = words[i / 16] << 4 | (digit & 15);
  }
  out.w0 = words[0];
  out.w1 = words[1];
  out.w2 = words[2];
  out.w3 = words[3];
  out.is_valid = all < 16;
#endif
  return out;
}

// ---------------------------------------------------------------- decimal

// The digits that a text begins with, at most 16.
typedef struct {
  uint64_t value;
  size_t digits;
} hp_decimal;

// The same for 8 bytes; the first is the lowest byte of `text`.
static inline hp_decimal hp_decimal8(uint64_t text) {
  const uint64_t each = 0x0101010101010101u;
  uint64_t digits = text ^ (each * 0x30);
  // A digit is below 10: neither the digit nor the digit plus 6 reaches 16.
  const uint64_t others = (digits | ((digits & (each * 0x0f)) + each * 6)) & (each * 0xf0);
  const size_t count = others == 0 ? 8 : (size_t)__builtin_ctzll(others) / 8;
  if (count == 0) return (hp_decimal){0, 0};
  // Shift out what is not a digit; zeros come in front.
  digits <<= 64 - 8 * count;
  // Pairs, then fours, then eight: each step combines two neighbours.
  digits = (digits * 10 + (digits >> 8)) & 0x00ff00ff00ff00ffu;
  digits = (digits * 100 + (digits >> 16)) & 0x0000ffff0000ffffu;
  return (hp_decimal){(digits * 10000 + (digits >> 32)) & 0xffffffffu, count};
}

// - text: 16 bytes can be read there
static inline hp_decimal hp_decimal16(const void *text) {
  static const uint64_t powers[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
  uint64_t words[2];
  memcpy(words, text, sizeof words);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  words[0] = __builtin_bswap64(words[0]);
  words[1] = __builtin_bswap64(words[1]);
#endif
  hp_decimal number = hp_decimal8(words[0]);
  if (number.digits < 8) return number;
  const hp_decimal more = hp_decimal8(words[1]);
  number.value = number.value * powers[more.digits] + more.value;
  number.digits += more.digits;
  return number;
}

// ---------------------------------------------------------------- text

// How many bytes at `text`, of at most `size`, precede the first one that a JSON string cannot
// contain unescaped as ASCII: a quotation mark, a backslash, a control character or a byte above
// 0x7E.
static inline size_t hp_plain_bytes(const void *text, size_t size) {
  const uint8_t *bytes = text;
  size_t at = 0;
#if defined(__SSE2__)
  for (; size - at >= 16; at += 16) {
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(bytes + at));
    const __m128i marks =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    // Signed: bytes above 0x7F are negative, and so below a space.
    const __m128i others =
        _mm_or_si128(_mm_cmpgt_epi8(_mm_set1_epi8(' '), v), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
    const int mask = _mm_movemask_epi8(_mm_or_si128(marks, others));
    if (mask != 0) return at + (size_t)__builtin_ctz((unsigned)mask);
  }
#endif
  while (at < size && bytes[at] >= ' ' && bytes[at] < 0x7f && bytes[at] != '"' && bytes[at] != '\\') at++;
  return at;
}

#endif
