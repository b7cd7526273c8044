#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
// copy.comp: words of rows, as they are: uploads, rows taken together, and parts of rows.

layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  Words from;
  Words to;
  uint rows;
  uint count;
  // words from one row to the next
  uint from_stride;
  uint to_stride;
};

void main() {
  uint step = gl_NumWorkGroups.x * 64u;
  for (uint i = gl_GlobalInvocationID.x; i < rows * count; i += step) {
    uint row = i / count, column = i % count;
    to.at[row * to_stride + column] = from.at[row * from_stride + column];
  }
}
