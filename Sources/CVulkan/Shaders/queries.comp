#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
#include "division.glsl"
#include "integers.glsl"
// queries.comp: a row's query (a head of a token) as digits, N1 item 7: 256 hi + lo. A row of
// `digits` is hi[head_size / 4], lo[head_size / 4], and what its scores are multiplied by.

layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  Words queries;
  Words digits;
  // bit 1 as to_integers says
  Words flags;
  uint head_size;
  float scale;
};

void main() {
  uint id = gl_LocalInvocationID.x, row = gl_WorkGroupID.x;
  for (uint i = id; i < head_size; i += 64u) elements[i] = float_of(queries.at[row * head_size + i]);
  barrier();
  uint raised;
  float factor = to_integers(head_size, 32639.0, raised);
  uint at = row * (head_size / 2u + 1u);
  for (uint group = id; group < head_size / 4u; group += 64u) {
    uint high = 0u, low = 0u;
    for (uint j = 0u; j < 4u; j++) {
      int v = integers[group * 4u + j], h = (v + 128) >> 8;
      high |= uint(h & 255) << (8u * j);
      low |= uint((v - 256 * h) & 255) << (8u * j);
    }
    digits.at[at + group] = high;
    digits.at[at + head_size / 4u + group] = low;
  }
  if (id == 0u) {
    digits.at[at + head_size / 2u] = bits_of(mul(factor, scale));
    if (raised != 0u) atomicOr(flags.at[0], raised);
  }
}
