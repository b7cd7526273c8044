#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
#include "division.glsl"
// quantise.comp: N1 item 2. A workgroup has one token; a thread takes whole blocks of 32. A record
// is 20 words: hi[8], lo[8], d, s, sum[2], where an integer is 256 hi + lo.

layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  Words x;
  Words records;
  // bit 0: a value is not finite; bit 1: a block is so small that a product could meet a denormal
  Words flags;
  uint blocks;
  float top;
};

const uint RECORD = 20u;
// 2^-60
const uint SMALLEST = 0x21800000u;

void main() {
  uint first = gl_WorkGroupID.x * blocks;
  for (uint block = gl_LocalInvocationID.x; block < blocks; block += 64u) {
    uint from = (first + block) * 32u, to = (first + block) * RECORD;
    uint largest = 0u;
    for (uint i = 0u; i < 32u; i++) largest = max(largest, x.at[from + i] & 0x7fffffffu);
    if (largest >= INFINITE) {
      atomicOr(flags.at[0], 1u);
      continue;
    }
    if (largest - 1u < SMALLEST - 1u) atomicOr(flags.at[0], 2u);
    float factor = divide(top, float_of(largest));
    bool isNothing = bits_of(factor) >= INFINITE;
    ivec2 sum = ivec2(0);
    for (uint group = 0u; group < 8u; group++) {
      uint high = 0u, low = 0u;
      for (uint j = 0u; j < 4u; j++) {
        int v = isNothing ? 0 : int(nearest(mul(float_of(x.at[from + group * 4u + j]), factor)));
        if (group < 4u) sum.x += v;
        else sum.y += v;
        int h = (v + 128) >> 8;
        high |= uint(h & 255) << (8u * j);
        low |= uint((v - 256 * h) & 255) << (8u * j);
      }
      records.at[to + group] = high;
      records.at[to + 8u + group] = low;
    }
    float d = isNothing ? 0.0 : divide(float_of(largest), top);
    records.at[to + 16u] = bits_of(d);
    records.at[to + 17u] = isNothing ? 0u : bits_of(mul(d, float(sum.x + sum.y)));
    records.at[to + 18u] = uint(sum.x);
    records.at[to + 19u] = uint(sum.y);
  }
}
