#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
// floats.comp: N1 item 3 for matrices of floats: a chain over all columns. A workgroup has a packed
// tile of 16 rows and four tokens, a thread one sum.

layout(constant_id = 1) const int BITS = 32;
layout(constant_id = 2) const int IS_HALF = 0;

layout(local_size_x = 16, local_size_y = 4) in;
layout(push_constant) uniform Push {
  Words weights;
  // (tokens, columns)
  Words x;
  // (tokens, rows)
  Words y;
  Words bias;
  Words residual;
  uint rows;
  uint columns;
  uint tile_words;
  uint tokens;
  // bit 0: bias; bit 1: residual
  uint adds;
};

float weight_at(uint tile, uint i) {
  if (BITS == 32) return float_of(weights.at[tile + i]);
  uint half_word = weights.at[tile + i / 2u] >> (i % 2u * 16u) & 0xffffu;
  return IS_HALF != 0 ? half_of(half_word) : float_of(half_word << 16);
}

void main() {
  uint lane = gl_LocalInvocationID.x, row = gl_WorkGroupID.x * 16u + lane;
  uint token = gl_WorkGroupID.y * 4u + gl_LocalInvocationID.y;
  if (row >= rows || token >= tokens) return;
  uint tile = gl_WorkGroupID.x * tile_words;
  float acc = 0.0;
  for (uint k = 0u; k < columns; k++) {
    acc = fused(weight_at(tile, k * 16u + lane), float_of(x.at[token * columns + k]), acc);
  }
  uint at = token * rows + row;
  if ((adds & 1u) != 0u) acc = add(acc, float_of(bias.at[row]));
  if ((adds & 2u) != 0u) acc = add(float_of(residual.at[at]), acc);
  y.at[at] = bits_of(acc);
}
