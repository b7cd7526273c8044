// weights.glsl: the packed tiles of CKernels as words (its internal.h has the layout). All is exact
// here but what `chain` and `plain_mul` round.
layout(constant_id = 1) const int LOW_BITS = 4;
layout(constant_id = 2) const int HIGH_BITS = 0;
layout(constant_id = 3) const int BIAS = 0;
layout(constant_id = 4) const int SCALES = 0;
// Whether four bits are an index of BOOK.
layout(constant_id = 5) const int HAS_BOOK = 0;

// IQ4's values.
const int BOOK[16] = int[](-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

// Values of SCALES: a kind of scales of CKernels, as products.c numbers them.
const int D = 0;
const int DM = 1;
const int SUPER_MIN = 2;
const int HALVES = 3;
const int HALVES_MIN = 4;
const int SUPER = 5;
const int SHARED = 6;
const bool HAS_HALVES = SCALES == HALVES || SCALES == HALVES_MIN;

uint weight_word(uint i);

uint plane_vector(int bits, uint group) {
  return bits == 8 ? group : bits == 4 ? group % 4u : bits == 2 ? group / 4u : 0u;
}

uint plane_shift(int bits, uint group) {
  return bits == 8 ? 0u : bits == 4 ? group / 4u * 4u : bits == 2 ? group % 4u * 2u : group;
}

// Four signed weights: columns 4 group ... of a row.
uint four_weights(uint quants, uint row, uint group) {
  uint mask = LOW_BITS == 8 ? 0xffffffffu : ((1u << LOW_BITS) - 1u) * 0x01010101u;
  uint w = weight_word(quants + plane_vector(LOW_BITS, group) * 16u + row) >> plane_shift(LOW_BITS, group) & mask;
  if (HIGH_BITS != 0) {
    uint high = weight_word(quants + uint(LOW_BITS) * 16u + plane_vector(HIGH_BITS, group) * 16u + row);
    w |= (high >> plane_shift(HIGH_BITS, group) & ((1u << HIGH_BITS) - 1u) * 0x01010101u) << LOW_BITS;
  }
  if (HAS_BOOK != 0) {
    uint values = 0u;
    for (uint i = 0u; i < 4u; i++) values |= uint(BOOK[w >> (8u * i) & 15u] & 255) << (8u * i);
    return values;
  }
  if (BIAS != 0) w = (w + uint(128 - BIAS) * 0x01010101u) ^ 0x80808080u;
  return w;
}

float half_at(uint word, uint row) { return half_of(weight_word(word + row / 2u) >> (row % 2u * 16u) & 0xffffu); }

int byte_at(uint word, uint row) { return int(weight_word(word + row / 4u) >> (row % 4u * 8u) & 255u); }

struct BlockScales {
  float dw;
  float mw;
  ivec2 sc;
  ivec2 mn;
};

BlockScales scales_of(uint tile, uint block, uint row) {
  BlockScales s = BlockScales(0.0, 0.0, ivec2(1), ivec2(0));
  if (SCALES == D) {
    s.dw = half_at(tile + block * 8u, row);
  } else if (SCALES == DM) {
    s.dw = half_at(tile + block * 16u, row);
    s.mw = half_at(tile + block * 16u + 8u, row);
  } else if (SCALES == SUPER) {
    uint at = tile + block / 8u * 40u;
    s.dw = plain_mul(half_at(at, row), float(byte_at(at + 8u + block % 8u * 4u, row) << 24 >> 24));
  } else if (SCALES == SHARED) {
    s.dw = half_at(tile + block / 8u * 8u, row);
  } else {
    uint header = SCALES == HALVES ? 8u : 16u;
    uint at = tile + block / 8u * (header + 64u);
    s.dw = half_at(at, row);
    if (SCALES != HALVES) s.mw = half_at(at + 8u, row);
    at += header + block % 8u * 8u;
    int first = byte_at(at, row), second = byte_at(at + 4u, row);
    if (SCALES == SUPER_MIN) {
      s.dw = plain_mul(s.dw, float(first));
      s.mw = negative(plain_mul(s.mw, float(second)));
    } else if (SCALES == HALVES) {
      s.sc = ivec2(first << 24 >> 24, second << 24 >> 24);
    } else {
      s.sc = ivec2(first & 15, second & 15);
      s.mn = ivec2(first >> 4, second >> 4);
    }
  }
  return s;
}

int dot_of_four(uint a, uint b) {
  int x = int(a), y = int(b);
  return (x << 24 >> 24) * (y << 24 >> 24) + (x << 16 >> 24) * (y << 16 >> 24) + (x << 8 >> 24) * (y << 8 >> 24)
       + (x >> 24) * (y >> 24);
}
