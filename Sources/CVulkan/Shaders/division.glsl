// division.glsl: division and square root, correctly rounded. `divide` takes residues of fused
// operations (Markstein); where exponents are near their ends, and where fma does not round once,
// it divides integers.

float divided_by_integers(float a, float b) {
  uint x = bits_of(a), y = bits_of(b);
  uint sign = (x ^ y) & 0x80000000u;
  x &= 0x7fffffffu;
  y &= 0x7fffffffu;
  if (x > INFINITE || y > INFINITE) return float_of(NOT_A_NUMBER);
  if (x == INFINITE) return y == INFINITE ? float_of(NOT_A_NUMBER) : float_of(sign | x);
  if (y == INFINITE) return float_of(sign);
  if (y < 1u) return x < 1u ? float_of(NOT_A_NUMBER) : float_of(sign | INFINITE);
  if (x < 1u) return float_of(sign);
  int ea, eb;
  uint ma, mb;
  split(x, ea, ma);
  split(y, eb, mb);
  int e = ea - eb;
  if (ma < mb) {
    ma <<= 1;
    e -= 1;
  }
  // 1 + 24 bits of the quotient, eight at a time.
  uint rest = ma - mb;
  uint quotient = 1u;
  for (int i = 0; i < 3; i++) {
    uint n = rest << 8;
    uint digit = n / mb;
    rest = n - digit * mb;
    quotient = quotient << 8 | digit;
  }
  return rounded(sign, e, uvec2(rest != 0u ? 1u : 0u, quotient << 6));
}

// Exponents are taken out, so that nothing over- or underflows on the way.
float divided_by_residues(float a, float b) {
  uint x = bits_of(a), y = bits_of(b);
  uint sign = (x ^ y) & 0x80000000u;
  x &= 0x7fffffffu;
  y &= 0x7fffffffu;
  if (x - 1u >= 0x7f7fffffu || y - 1u >= 0x7f7fffffu) return divided_by_integers(a, b);
  int ea, eb;
  uint ma, mb;
  split(x, ea, ma);
  split(y, eb, mb);
  int e = ea - eb;
  if (e < -125 || e > 126) return divided_by_integers(a, b);
  float over = float_of(0x3f800000u | (ma & 0x7fffffu));
  float under = float_of(0x3f800000u | (mb & 0x7fffffu));
  // Any estimate will do; two steps make it the nearest but for 2 - 2^-23, and two more the
  // quotient.
  float i = 1.0 / under;
  for (int step = 0; step < 2; step++) i = chain(chain(negative(under), i, 1.0), i, i);
  float q = plain_mul(over, i);
  for (int step = 0; step < 2; step++) q = chain(chain(negative(under), q, over), i, q);
  return float_of(sign | uint(int(bits_of(q)) + (e << 23)));
}

float divide(float a, float b) { return FUSES ? divided_by_residues(a, b) : divided_by_integers(a, b); }

// Two bits of the radicand a step.
float root_of(float a) {
  uint x = bits_of(a);
  if (x > 0x80000000u) return float_of(NOT_A_NUMBER);
  if (x - 1u >= 0x7f7fffffu) return x > INFINITE && x < 0x80000000u ? float_of(NOT_A_NUMBER) : a;
  int e;
  uint m;
  split(x, e, m);
  if ((e & 1) != 0) {
    m <<= 1;
    e -= 1;
  }
  uvec2 n = shift_left(uvec2(m, 0u), 25u);
  uint root = 0u, rest = 0u;
  for (int i = 24; i >= 0; i--) {
    int at = 2 * i;
    uint two = (at >= 32 ? n.y >> uint(at - 32) : n.x >> uint(at)) & 3u;
    rest = rest << 2 | two;
    uint next = root << 2 | 1u;
    root <<= 1;
    if (rest >= next) {
      rest -= next;
      root |= 1u;
    }
  }
  return rounded(0u, e / 2, uvec2(rest != 0u ? 1u : 0u, root << 6));
}
