#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_GOOGLE_include_directive : require
#include "float.glsl"
#include "division.glsl"
#include "functions.glsl"
// scores.comp: N1 item 7, what a query and a key give: exact integer sums, scaled, capped, masked.
// A thread has one position of a page and one row (a head of a token).

layout(local_size_x = 16, local_size_y = 4) in;
layout(push_constant) uniform Push {
  Words digits;
  Words key_pages;
  // page of each 16 positions of the sequence
  Words pages;
  // (rows, stride)
  Words scores;
  uint rows;
  uint heads;
  // query heads that share a key
  uint group;
  uint head_size;
  uint page_words;
  uint stride;
  uint first_position;
  uint window;
  float cap;
};

void main() {
  uint slot = gl_LocalInvocationID.x, page = gl_WorkGroupID.x;
  uint row = gl_WorkGroupID.y * 4u + gl_LocalInvocationID.y;
  if (row >= rows) return;
  uint token = row / heads;
  uint base = pages.at[page] * page_words + row % heads / group * (16u + head_size * 8u);
  uint at = row * (head_size / 2u + 1u);
  int high = 0, low = 0;
  for (uint g = 0u; g < head_size / 4u; g++) {
    int h = int(digits.at[at + g]), l = int(digits.at[at + head_size / 4u + g]);
    int a = int(key_pages.at[base + 16u + 2u * g * 16u + slot]);
    int b = int(key_pages.at[base + 16u + (2u * g + 1u) * 16u + slot]);
    ivec4 key = ivec4(a << 16 >> 16, a >> 16, b << 16 >> 16, b >> 16);
    ivec4 highs = ivec4(h << 24 >> 24, h << 16 >> 24, h << 8 >> 24, h >> 24) * key;
    ivec4 lows = ivec4(l << 24 >> 24, l << 16 >> 24, l << 8 >> 24, l >> 24) * key;
    high += highs.x + highs.y + highs.z + highs.w;
    low += lows.x + lows.y + lows.z + lows.w;
  }
  float sum = chain(float(high), 256.0, float(low));
  float score = plain_mul(plain_mul(sum, float_of(key_pages.at[base + slot])), float_of(digits.at[at + head_size / 2u]));
  if (cap > 0.0) score = mul(cap, tanh_of(divide(score, cap)));
  uint position = page * 16u + slot, own = first_position + token;
  bool isSeen = position <= own && (window == 0u || position + window > own);
  scores.at[row * stride + position] = isSeen ? bits_of(score) : 0xff800000u;
}
