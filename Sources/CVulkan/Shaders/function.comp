#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
#include "division.glsl"
#include "functions.glsl"
// function.comp: a function of each number by itself, one of ck_test_function's. The first are what
// layers need; those from FUSED on are single operations, and a chain of them, for the self-test.
// Compilers take longer for what is there and not called, so each is a module of its own.
// variants: EXP SILU TANH ADD SIGMOID_TIMES SILU_TIMES FUSED MULTIPLY DIVIDE ROOT CHAIN HALF INTEGER NEAREST SCALE GELU_TIMES

layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  Words x;
  Words y;
  uint n;
  // of SCALE
  float factor;
};

void main() {
  uint i = gl_GlobalInvocationID.x;
  if (i >= n) return;
  float a = float_of(x.at[i]), b = float_of(y.at[i]), r;
#if defined(EXP)
  r = exp_of(a);
#elif defined(SILU)
  r = silu_of(a);
#elif defined(TANH)
  r = tanh_of(a);
#elif defined(ADD)
  r = add(a, b);
#elif defined(SIGMOID_TIMES)
  r = mul(divide(1.0, add(1.0, exp_of(negative(b)))), a);
#elif defined(SILU_TIMES)
  r = mul(silu_of(b), a);
#elif defined(SCALE)
  r = mul(b, factor);
#elif defined(GELU_TIMES)
  r = mul(gelu_of(b), a);
#elif defined(FUSED)
  r = fused(a, float_of(x.at[i + 1u < n ? i + 1u : 0u]), b);
#elif defined(MULTIPLY)
  r = mul(a, b);
#elif defined(DIVIDE)
  r = divided_by_residues(a, b);
#elif defined(ROOT)
  r = root_of(a);
#elif defined(CHAIN)
  r = b;
  for (int step = 0; step < 8; step++) r = fused(add(mul(a, r), b), a, negative(r));
#elif defined(HALF)
  r = half_of(x.at[i] & 0xffffu);
#elif defined(INTEGER)
  r = float(int(x.at[i]));
#elif defined(NEAREST)
  r = nearest(a);
#endif
  y.at[i] = bits_of(r);
}
