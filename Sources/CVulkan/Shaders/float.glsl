// float.glsl: N1's float operations, from what a device really guarantees. Devices may flush
// denormals and may not say so; so `fused`, `mul` and `add` do in integers what could meet one, and
// `chain` and `plain_mul` stand only where PROOFS.md beside this file shows that none occurs.
// Compilers may contract a product and a sum; generate.py forbids it for every operation. Not here:
// division (division.glsl), exp (functions.glsl).

// Whether the built-in fma rounds once. Where it does not, which the self-test finds out, it is
// computed in integers: far slower, so that only software devices are used in this way.
layout(constant_id = 0) const bool FUSES = true;

layout(buffer_reference, std430, buffer_reference_align = 4) buffer Words { uint at[]; };

uint bits_of(float x) { return floatBitsToUint(x); }
float float_of(uint x) { return uintBitsToFloat(x); }
uint magnitude_of(float x) { return floatBitsToUint(x) & 0x7fffffffu; }

// By its bit: as an operation of floats it could flush.
float negative(float x) { return uintBitsToFloat(floatBitsToUint(x) ^ 0x80000000u); }

const uint INFINITE = 0x7f800000u;
const uint NOT_A_NUMBER = 0x7fc00000u;

// ---------------------------------------------------------------- 64 bits as (low, high)

uvec2 shift_left(uvec2 v, uint by) {
  if (by == 0u) return v;
  if (by >= 64u) return uvec2(0u);
  if (by >= 32u) return uvec2(0u, v.x << (by - 32u));
  return uvec2(v.x << by, v.y << by | v.x >> (32u - by));
}

// Bits that fall out stay visible in bit 0.
uvec2 shift_right_jamming(uvec2 v, uint by) {
  if (by == 0u) return v;
  uint lost;
  uvec2 r;
  if (by >= 64u) {
    lost = v.x | v.y;
    r = uvec2(0u);
  } else if (by >= 32u) {
    lost = v.x | (by == 32u ? 0u : v.y << (64u - by));
    r = uvec2(v.y >> (by - 32u), 0u);
  } else {
    lost = v.x << (32u - by);
    r = uvec2(v.x >> by | v.y << (32u - by), v.y >> by);
  }
  return uvec2(r.x | (lost != 0u ? 1u : 0u), r.y);
}

// m * 2^(e - 62), where m is 0 or its top bit is bit 62, rounded to nearest, ties to even.
float rounded(uint sign, int e, uvec2 m) {
  if ((m.x | m.y) == 0u) return float_of(sign);
  int biased = e + 127;
  uint below = 0u;
  if (biased < 1) {
    below = uint(1 - biased);
    biased = 1;
  }
  m = shift_right_jamming(m, min(below, 64u));
  // Bits 62 ... 39 are the result's; eight more say how the rest rounds.
  uint rest = (m.y & 0x7fu) << 1 | (m.x != 0u ? 1u : 0u);
  uint mantissa = m.y >> 7;
  mantissa += rest > 0x80u || (rest == 0x80u && (mantissa & 1u) != 0u) ? 1u : 0u;
  // The hidden bit adds one to the exponent.
  uint result = (uint(biased - 1) << 23) + mantissa;
  return float_of(sign | min(result, INFINITE));
}

// The exponent and the 24 bits of a number that is neither zero nor infinite.
void split(uint bits, out int e, out uint m) {
  e = int(bits >> 23 & 255u);
  m = bits & 0x7fffffu;
  if (e == 0) {
    int by = 23 - findMSB(m);
    m <<= uint(by);
    e = 1 - by;
  } else {
    m |= 0x800000u;
  }
  e -= 127;
}

// ---------------------------------------------------------------- fused multiply-add

float fused_by_integers(float a, float b, float c) {
  uint x = bits_of(a), y = bits_of(b), z = bits_of(c);
  uint ma = x & 0x7fffffffu, mb = y & 0x7fffffffu, mc = z & 0x7fffffffu;
  if (ma > INFINITE || mb > INFINITE || mc > INFINITE) return float_of(NOT_A_NUMBER);
  uint sign = (x ^ y) & 0x80000000u, sign_of_c = z & 0x80000000u;
  if (ma == INFINITE || mb == INFINITE) {
    if (ma == 0u || mb == 0u || (mc == INFINITE && sign != sign_of_c)) return float_of(NOT_A_NUMBER);
    return float_of(sign | INFINITE);
  }
  if (mc == INFINITE) return c;
  if (ma == 0u || mb == 0u) return mc == 0u ? float_of(sign & sign_of_c) : c;
  int ea, eb, ec;
  uint xa, xb, xc;
  split(ma, ea, xa);
  split(mb, eb, xb);
  uint high, low;
  umulExtended(xa, xb, high, low);
  // The product's top bit is 46 or 47: moved to 61 or 62.
  uvec2 p = shift_left(uvec2(low, high), 15u);
  int e = ea + eb + 1;
  if (mc == 0u) {
    if ((p.y & 0x40000000u) == 0u) {
      p = shift_left(p, 1u);
      e -= 1;
    }
    return rounded(sign, e, p);
  }
  split(mc, ec, xc);
  uvec2 q = shift_left(uvec2(xc, 0u), 38u);
  int apart = e - (ec + 1);
  if (apart >= 0) {
    q = shift_right_jamming(q, uint(min(apart, 64)));
  } else {
    p = shift_right_jamming(p, uint(min(-apart, 64)));
    e = ec + 1;
  }
  uvec2 r;
  if (sign == sign_of_c) {
    uint carry;
    r.x = uaddCarry(p.x, q.x, carry);
    r.y = p.y + q.y + carry;
    if ((r.y & 0x80000000u) != 0u) {
      r = shift_right_jamming(r, 1u);
      e += 1;
    }
  } else {
    if (p.y < q.y || (p.y == q.y && p.x < q.x)) {
      uvec2 t = p;
      p = q;
      q = t;
      sign = sign_of_c;
    }
    uint borrow;
    r.x = usubBorrow(p.x, q.x, borrow);
    r.y = p.y - q.y - borrow;
    if ((r.x | r.y) == 0u) return 0.0;
  }
  int top = r.y != 0u ? 32 + findMSB(r.y) : findMSB(r.x);
  return rounded(sign, e - (62 - top), shift_left(r, uint(62 - top)));
}

// A denormal. The comparison is of ranges of integers: compilers may make one of floats, which
// flushes, of `bits == 0`.
bool is_denormal(float x) { return magnitude_of(x) - 1u < 0x7fffffu; }

// Below 2^-100, so that a denormal may have been met on the way.
bool is_tiny(float x) { return magnitude_of(x) < 0x0d800000u; }

// Where no operand and no result is denormal.
float chain(float a, float b, float c) { return FUSES ? fma(a, b, c) : fused_by_integers(a, b, c); }

float plain_mul(float a, float b) {
  precise float r = a * b;
  return r;
}

float plain_add(float a, float b) {
  precise float r = a + b;
  return r;
}

// Whatever the operands are.
float fused(float a, float b, float c) {
  if (FUSES) {
    float r = fma(a, b, c);
    if (!(is_denormal(a) || is_denormal(b) || is_denormal(c) || is_tiny(r))) return r;
  }
  return fused_by_integers(a, b, c);
}

float mul(float a, float b) {
  precise float r = a * b;
  if (!(is_denormal(a) || is_denormal(b) || is_tiny(r))) return r;
  uint sign = (bits_of(a) ^ bits_of(b)) & 0x80000000u;
  // The addend has the product's sign, so that a zero has it too.
  return fused_by_integers(a, b, float_of(sign));
}

float add(float a, float b) {
  precise float r = a + b;
  if (!(is_denormal(a) || is_denormal(b) || is_tiny(r))) return r;
  return fused_by_integers(a, 1.0, b);
}

float sub(float a, float b) { return add(a, negative(b)); }

float nearest(float x) {
  precise float shifted = x + 12582912.0;
  precise float r = shifted - 12582912.0;
  return r;
}

// The order of what is not NaN, both zeros alike.
int rank_of(float x) {
  int i = int(bits_of(x));
  return i < 0 ? -(i & 0x7fffffff) : i;
}

// f16 to f32, exact whatever the device does with small halves.
float half_of(uint h) {
  uint sign = (h & 0x8000u) << 16;
  uint e = h >> 10 & 31u;
  uint m = h & 1023u;
  if (e == 31u) return float_of(sign | INFINITE | m << 13 | (m != 0u ? 0x400000u : 0u));
  if (e == 0u) {
    if (m == 0u) return float_of(sign);
    int top = findMSB(m);
    return float_of(sign | uint(top + 103) << 23 | (m << uint(23 - top) & 0x7fffffu));
  }
  return float_of(sign | (e + 112u) << 23 | m << 13);
}
