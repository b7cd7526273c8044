#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
#include "weights.glsl"
// product.comp: N1 item 3. A workgroup has a packed tile of 16 rows and one token. All threads make
// the integer sums of a chunk of blocks, whose order is free; 16 threads run the rows' chains over
// them in the profile's order, while the others are at the next chunk in the other half of the
// shared memory.

layout(local_size_x = 128) in;
layout(push_constant) uniform Push {
  Words weights;
  Words records;
  Words y;
  Words bias;
  Words residual;
  uint rows;
  uint blocks;
  uint scale_words;
  uint tile_words;
  // bit 0: bias; bit 1: residual
  uint adds;
};

const uint RECORD = 20u;
const uint CHUNK = 32u;
shared float sums[2u * CHUNK * 16u];
shared float scales[2u * CHUNK * 16u];
shared float minimums[2u * CHUNK * 16u];

uint weight_word(uint i) { return weights.at[i]; }

void main() {
  uint id = gl_LocalInvocationID.x;
  uint tile = gl_WorkGroupID.x * tile_words;
  uint first = gl_WorkGroupID.y * blocks;
  float acc = 0.0;
  uint side = 0u;
  for (uint chunk = 0u; chunk < blocks; chunk += CHUNK) {
    uint count = min(CHUNK, blocks - chunk);
    for (uint i = id; i < count * 16u; i += 128u) {
      uint row = i % 16u, block = chunk + i / 16u;
      uint quants = tile + scale_words + block * uint(LOW_BITS + HIGH_BITS) * 16u;
      uint at = (first + block) * RECORD;
      ivec2 high = ivec2(0), low = ivec2(0);
      for (uint group = 0u; group < 4u; group++) {
        uint w = four_weights(quants, row, group), v = four_weights(quants, row, group + 4u);
        high += ivec2(dot_of_four(w, records.at[at + group]), dot_of_four(v, records.at[at + 4u + group]));
        low += ivec2(dot_of_four(w, records.at[at + 8u + group]), dot_of_four(v, records.at[at + 12u + group]));
      }
      ivec2 halves = high * 256 + low;
      BlockScales s = scales_of(tile, block, row);
      float d = float_of(records.at[at + 16u]);
      uint to = side * CHUNK * 16u + i;
      sums[to] = float(HAS_HALVES ? halves.x * s.sc.x + halves.y * s.sc.y : halves.x + halves.y);
      scales[to] = plain_mul(s.dw, d);
      if (SCALES == DM || SCALES == SUPER_MIN) minimums[to] = s.mw;
      if (SCALES == HALVES_MIN) {
        minimums[to] = plain_mul(d, float(int(records.at[at + 18u]) * s.mn.x + int(records.at[at + 19u]) * s.mn.y));
      }
    }
    barrier();
    if (id < 16u) {
      for (uint j = 0u; j < count; j++) {
        uint from = (side * CHUNK + j) * 16u + id;
        acc = chain(sums[from], scales[from], acc);
        if (SCALES == DM || SCALES == SUPER_MIN) {
          acc = chain(minimums[from], float_of(records.at[(first + chunk + j) * RECORD + 17u]), acc);
        }
        if (SCALES == HALVES_MIN) acc = chain(negative(scales_of(tile, chunk + j, id).mw), minimums[from], acc);
      }
    }
    side ^= 1u;
  }
  uint row = gl_WorkGroupID.x * 16u + id;
  if (id < 16u && row < rows) {
    uint at = gl_WorkGroupID.y * rows + row;
    if ((adds & 1u) != 0u) acc = add(acc, float_of(bias.at[row]));
    if ((adds & 2u) != 0u) acc = add(float_of(residual.at[at]), acc);
    y.at[at] = bits_of(acc);
  }
}
