#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
#include "division.glsl"
// norm.comp: N1 item 4. A workgroup has one row.

layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  Words x;
  Words weight;
  Words y;
  uint n;
  float epsilon;
};

shared float lanes[16];
shared float factor;

void main() {
  uint id = gl_LocalInvocationID.x, base = gl_WorkGroupID.x * n;
  if (id < 16u) {
    float sum = 0.0;
    for (uint i = id; i < n; i += 16u) {
      float value = float_of(x.at[base + i]);
      sum = fused(value, value, sum);
    }
    lanes[id] = sum;
  }
  for (uint width = 8u; width >= 1u; width /= 2u) {
    barrier();
    if (id < width) lanes[id] = add(lanes[id], lanes[id + width]);
  }
  barrier();
  if (id == 0u) factor = divide(1.0, root_of(add(divide(lanes[0], float(n)), epsilon)));
  barrier();
  for (uint i = id; i < n; i += 64u) {
    float scaled = mul(float_of(x.at[base + i]), factor);
    y.at[base + i] = bits_of(mul(scaled, float_of(weight.at[i])));
  }
}
