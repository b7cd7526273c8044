#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
#include "division.glsl"
#include "functions.glsl"
// softmax.comp: N1 item 7, scores to weights, in place, and what their sum's inverse is. A
// workgroup has one row. A difference of scores that is denormal gives a weight of 1 whether it is
// flushed or not.

layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  // (rows, stride)
  Words scores;
  Words inverses;
  // a multiple of 16
  uint positions;
  uint stride;
};

shared float largest[64];
shared float lanes[16];

void main() {
  uint id = gl_LocalInvocationID.x, base = gl_WorkGroupID.x * stride;
  float most = float_of(0xff800000u);
  for (uint i = id; i < positions; i += 64u) {
    float score = float_of(scores.at[base + i]);
    if (rank_of(score) > rank_of(most)) most = score;
  }
  largest[id] = most;
  for (uint width = 32u; width >= 1u; width /= 2u) {
    barrier();
    if (id < width && rank_of(largest[id + width]) > rank_of(largest[id])) largest[id] = largest[id + width];
  }
  barrier();
  most = magnitude_of(largest[0]) < 1u ? 0.0 : largest[0];
  for (uint i = id; i < positions; i += 64u) {
    scores.at[base + i] = bits_of(exp_of(plain_add(float_of(scores.at[base + i]), negative(most))));
  }
  memoryBarrierBuffer();
  barrier();
  if (id < 16u) {
    float sum = 0.0;
    for (uint i = id; i < positions; i += 16u) sum = plain_add(sum, float_of(scores.at[base + i]));
    lanes[id] = sum;
  }
  for (uint width = 8u; width >= 1u; width /= 2u) {
    barrier();
    if (id < width) lanes[id] = plain_add(lanes[id], lanes[id + width]);
  }
  barrier();
  if (id == 0u) inverses.at[gl_WorkGroupID.x] = bits_of(divide(1.0, lanes[0]));
}
