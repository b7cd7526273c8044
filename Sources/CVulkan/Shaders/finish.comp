#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
// finish.comp: N1 item 7, the chains' sums in order, divided by the weights' sum and by the 2^64 of
// mix.comp. A workgroup has one row.

layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  // (rows, chains, head_size)
  Words partial;
  Words inverses;
  // (rows, head_size)
  Words y;
  uint head_size;
  uint chains;
};

// 2^-62, and 64 in an exponent's place
const uint EDGE = 0x20800000u;
const uint DOWN = 0x20000000u;

void main() {
  uint row = gl_WorkGroupID.x;
  float inverse = float_of(inverses.at[row]);
  for (uint d = gl_LocalInvocationID.x; d < head_size; d += 64u) {
    float total = 0.0;
    for (uint c = 0u; c < chains; c++) {
      total = plain_add(total, float_of(partial.at[(row * chains + c) * head_size + d]));
    }
    float r = plain_mul(total, inverse);
    uint sign = bits_of(r) & 0x80000000u, magnitude = magnitude_of(r);
    uint result = bits_of(r);
    if (magnitude >= INFINITE) {
      result = bits_of(r);
    } else if (magnitude >= EDGE) {
      result = bits_of(r) - DOWN;
    } else if (magnitude >= 1u) {
      // A denormal result: rounded once, to a multiple of 2^-85, and written as bits.
      float edge = float_of(EDGE | sign);
      result = sign | (magnitude_of(chain(total, inverse, edge)) - EDGE);
    }
    y.at[row * head_size + d] = result;
  }
}
