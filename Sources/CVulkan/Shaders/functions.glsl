// functions.glsl: N1 item 8. No step of exp meets a denormal (PROOFS.md).

float exp_of(float x) {
  if (magnitude_of(x) > INFINITE) return float_of(NOT_A_NUMBER);
  if (x < -87.0) return 0.0;
  if (x > 88.0) x = 88.0;
  float n = chain(x, float_of(0x3fb8aa3bu), 12582912.0);
  float f = plain_add(n, -12582912.0);
  float r = chain(f, float_of(0xbf317200u), x);
  r = chain(f, float_of(0xb5bfbe8eu), r);
  const uint coefficients[6] = uint[](0x3c091de6u, 0x3d2aadccu, 0x3e2aaa47u, 0x3efffffcu, 0x3f800000u, 0x3f800000u);
  float p = float_of(0x3ab42872u);
  for (int i = 0; i < 6; i++) p = chain(p, r, float_of(coefficients[i]));
  return float_of(bits_of(p) + (bits_of(n) << 23));
}

float silu_of(float x) { return divide(x, add(1.0, exp_of(negative(x)))); }

float tanh_of(float x) { return sub(1.0, divide(2.0, add(1.0, exp_of(mul(2.0, x))))); }

float gelu_of(float x) {
  float t = tanh_of(mul(mul(x, float_of(0x3f4c422au)), add(mul(mul(x, x), float_of(0x3d372713u)), 1.0)));
  return mul(x, add(mul(t, 0.5), 0.5));
}
