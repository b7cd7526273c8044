// integers.glsl: N1 item 2 for a whole vector in shared memory, by a workgroup of 64.

const uint MOST_ELEMENTS = 576u;
// 2^-40, and 2^41
const uint SMALLEST = 0x2b800000u;
const uint LARGEST = 0x54000000u;

shared float elements[MOST_ELEMENTS];
shared int integers[MOST_ELEMENTS];
shared uint largest;

// Turns `elements` into `integers`, and returns their scale: NaN if an element is not finite. Every
// thread calls it. Bit 1 of `flags` says that a product with the scale could meet a denormal or
// overflow.
float to_integers(uint n, float top, out uint flags) {
  uint id = gl_LocalInvocationID.x;
  if (id == 0u) largest = 0u;
  barrier();
  uint most = 0u;
  for (uint i = id; i < n; i += 64u) most = max(most, magnitude_of(elements[i]));
  atomicMax(largest, most);
  barrier();
  bool isFinite = largest < INFINITE;
  flags = largest - 1u < SMALLEST - 1u || largest >= LARGEST ? 2u : 0u;
  float factor = 0.0, scale = float_of(NOT_A_NUMBER);
  if (isFinite) {
    factor = divide(top, float_of(largest));
    scale = divide(float_of(largest), top);
  }
  bool isNothing = !isFinite || bits_of(factor) >= INFINITE;
  if (isFinite && isNothing) scale = 0.0;
  for (uint i = id; i < n; i += 64u) integers[i] = isNothing ? 0 : int(nearest(mul(elements[i], factor)));
  barrier();
  return scale;
}
