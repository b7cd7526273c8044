#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
#include "division.glsl"
#include "integers.glsl"
// store.comp: N1 item 6. A workgroup has one head of one token: of the keys first, then of the
// values. `places` says where each token goes: page * 16 + slot.

layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  Words keys;
  Words values;
  Words places;
  Words key_pages;
  Words value_pages;
  // bit 1 as to_integers says
  Words flags;
  uint heads;
  uint head_size;
  uint page_words;
  float top;
};

void main() {
  uint id = gl_LocalInvocationID.x, token = gl_WorkGroupID.y;
  bool isKey = gl_WorkGroupID.x < heads;
  uint head = isKey ? gl_WorkGroupID.x : gl_WorkGroupID.x - heads;
  for (uint i = id; i < head_size; i += 64u) {
    uint at = (token * heads + head) * head_size + i;
    elements[i] = float_of(isKey ? keys.at[at] : values.at[at]);
  }
  barrier();
  uint raised;
  float scale = to_integers(head_size, top, raised);
  uint place = places.at[token];
  uint base = place / 16u * page_words + head * (16u + head_size * 8u), slot = place % 16u;
  for (uint i = id; i < head_size / 2u; i += 64u) {
    uint word = uint(integers[2u * i] & 0xffff) | uint(integers[2u * i + 1u]) << 16;
    if (isKey) key_pages.at[base + 16u + i * 16u + slot] = word;
    else value_pages.at[base + 16u + slot * (head_size / 2u) + i] = word;
  }
  if (id == 0u) {
    if (isKey) key_pages.at[base + slot] = bits_of(scale);
    else value_pages.at[base + slot] = bits_of(scale);
    if (raised != 0u) atomicOr(flags.at[0], raised);
  }
}
