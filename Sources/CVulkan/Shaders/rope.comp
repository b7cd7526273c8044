#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
// rope.comp: N1 item 5, in place. A workgroup has a head of a token; `table` is (tokens, pairs, 2).

layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  Words x;
  Words table;
  uint heads;
  uint head_size;
  uint pairs;
  // as ck_rope_style
  uint style;
};

void main() {
  uint token = gl_WorkGroupID.y;
  uint base = (token * heads + gl_WorkGroupID.x) * head_size;
  for (uint i = gl_LocalInvocationID.x; i < pairs; i += 64u) {
    uint a = base + (style == 1u ? i : 2u * i);
    uint b = style == 1u ? a + pairs : a + 1u;
    float c = float_of(table.at[(token * pairs + i) * 2u]), s = float_of(table.at[(token * pairs + i) * 2u + 1u]);
    float first = float_of(x.at[a]), second = float_of(x.at[b]);
    x.at[a] = bits_of(fused(negative(second), s, mul(first, c)));
    x.at[b] = bits_of(fused(first, s, mul(second, c)));
  }
}
