#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
// mix.comp: N1 item 7, the weighted sum of values over one chain of 256 positions, times 2^64, so
// that no number on the way is denormal (PROOFS.md). A workgroup has a row and a chain, a thread
// some dimensions.

layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  // (rows, stride): weights
  Words weights;
  Words value_pages;
  Words pages;
  // (rows, chains, head_size)
  Words partial;
  uint heads;
  uint group;
  uint head_size;
  uint page_words;
  uint stride;
  uint chains;
  uint first_position;
  uint window;
};

// 2^64, its root, and 2^-62: below it the plain product is denormal
const float UP = 18446744073709551616.0;
const float HALF_UP = 4294967296.0;
const float EDGE = 2.168404344971009e-19;

void main() {
  uint row = gl_WorkGroupID.x, part = gl_WorkGroupID.y;
  uint end = first_position + row / heads + 1u, head = row % heads / group;
  uint first = window != 0u && end > window ? end - window : 0u;
  uint from = max(first, part * 256u), to = min(end, part * 256u + 256u);
  for (uint d = gl_LocalInvocationID.x; d < head_size; d += 64u) {
    float acc = 0.0;
    for (uint p = from; p < to; p++) {
      uint base = pages.at[p / 16u] * page_words + head * (16u + head_size * 8u);
      float scale = float_of(value_pages.at[base + p % 16u]);
      float weight = float_of(weights.at[row * stride + p]);
      float w = plain_mul(plain_mul(weight, UP), scale);
      // A multiple of 2^-149, as a denormal is, here times 2^64. The factors are others, since
      // AMD's compiler splits a fma whose product is there already.
      if (w < EDGE) w = plain_add(chain(plain_mul(weight, HALF_UP), plain_mul(scale, HALF_UP), EDGE), -EDGE);
      int pair = int(value_pages.at[base + 16u + p % 16u * (head_size / 2u) + d / 2u]);
      acc = chain(w, float((d & 1u) != 0u ? pair >> 16 : pair << 16 >> 16), acc);
    }
    partial.at[(row * chains + part) * head_size + d] = bits_of(acc);
  }
}
