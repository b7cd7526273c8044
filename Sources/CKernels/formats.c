// formats.c: the block formats of GGUF files, and their packed form (internal.h).
// Source of the layouts: the GGUF and ggml quantisation formats as stored in files.
// Not here: quantising weights (this program never does). Start at ck_block_file.
#include "internal.h"

#define TRAITS(name, kernels, number, values, bytes, d, m, low, high, bias, book, scales) \
  [number] = {#name, book, low, high, bias, values, bytes, d, m, scales},

static const ck_traits traits_table[] = {CK_FLOAT_TYPES(TRAITS) CK_BLOCK_TYPES(TRAITS)};

uint32_t ck_type_end(void) {
  return sizeof traits_table / sizeof *traits_table;
}

bool ck_type_supported(uint32_t type) {
  return type < ck_type_end() && traits_table[type].name != NULL;
}

const ck_traits *ck_traits_of(ck_type type) {
  // no type: a row without a name
  static const ck_traits none = {.block_values = 1};
  return ck_type_supported(type) ? &traits_table[type] : &none;
}

const char *ck_type_name(ck_type type) {
  return ck_traits_of(type)->name;
}

bool ck_type_takes_blocks(ck_type type) {
  return ck_traits_of(type)->scales != CK_SCALES_NONE;
}

uint32_t ck_type_block_values(ck_type type) {
  return ck_traits_of(type)->block_values;
}

uint32_t ck_type_block_bytes(ck_type type) {
  return ck_traits_of(type)->block_bytes;
}

size_t ck_row_bytes(ck_type type, uint32_t cols) {
  const ck_traits *traits = ck_traits_of(type);
  if (traits->name == NULL || cols == 0 || cols % traits->block_values != 0) return 0;
  return (size_t)(cols / traits->block_values) * traits->block_bytes;
}

uint32_t ck_grid_point(ck_type type, uint32_t index, uint8_t *levels) {
  const ck_grid grid = ck_grids[ck_traits_of(type)->book];
  // the low byte and the high bits
  if (grid.columns == 0 || index >= 256u << grid.high_bits) return 0;
  uint32_t point = ck_points[(uint32_t)grid.first + index];
  for (int i = 0; i < grid.columns; i++) levels[i] = point >> (i % 4 * 8 + i / 4 * 4) & 15;
  return (uint32_t)grid.columns;
}

static uint16_t load16(const uint8_t *p) {
  return (uint16_t)(p[0] | p[1] << 8);
}

static void low_nibbles(const uint8_t *bytes, uint8_t q[32]) {
  for (int i = 0; i < 16; i++) {
    q[i] = bytes[i] & 15;
    q[i + 16] = bytes[i] >> 4;
  }
}

static void add_fifth_bits(const uint8_t *bytes, uint8_t q[32]) {
  for (int i = 0; i < 32; i++) q[i] |= (uint8_t)((bytes[i / 8] >> (i % 8) & 1) << 4);
}

// The 6 bit scale and minimum of sub-block j of 8, from the 12 bytes that hold them.
static void scale_and_min(const uint8_t *bytes, uint32_t j, ck_block *out) {
  if (j < 4) {
    out->sc[0] = bytes[j] & 63;
    out->mn[0] = bytes[j + 4] & 63;
  } else {
    out->sc[0] = (int16_t)((bytes[j + 4] & 15) | (bytes[j - 4] >> 6) << 4);
    out->mn[0] = (uint8_t)((bytes[j + 4] >> 4) | (bytes[j] >> 6) << 4);
  }
}

static uint32_t load32(const uint8_t *p) {
  return load16(p) | (uint32_t)load16(p + 2) << 16;
}

// Eight signs, of which seven are stored: their number is even.
static uint32_t eight_signs(uint32_t seven) {
  return seven | (uint32_t)__builtin_parity(seven) << 7;
}

// The stored integers and the scales of a block whose points and side are known.
static void from_grid(const ck_traits *traits, uint32_t signs, ck_block *out) {
  const ck_grid grid = ck_grids[traits->book];
  for (int p = 0; p < 32 / grid.columns; p++) {
    uint32_t index = out->side >> (grid.high_at + grid.high_step * p) & ((1u << grid.high_bits) - 1);
    uint32_t point = ck_points[(uint32_t)grid.first + (out->points[p] | index << 8)];
    for (int i = 0; i < grid.columns; i++) {
      int column = grid.columns * p + i;
      uint32_t level = point >> (i % 4 * 8 + i / 4 * 4) & 15;
      uint32_t high = grid.delta_at < 0 ? signs >> column : out->side >> (grid.delta_at + grid.delta_step * p);
      out->q[column] = (uint8_t)(level | (high & 1) << traits->low_bits);
    }
  }
  for (int h = 0; h < (traits->scales == CK_SCALES_ODD_HALVES ? 2 : 1); h++) {
    uint32_t n = out->side >> (grid.scale_at + 4 * h) & (uint32_t)grid.scale_mask;
    out->sc[h] = (int16_t)(2 * n + 1);
  }
}

// Columns 32 block ..< 32 block + 32 of a row in the file's layout.
static void ck_block_file(ck_type type, const uint8_t *row, uint32_t block, ck_block *out) {
  const ck_traits *traits = ck_traits_of(type);
  uint32_t sub = traits->block_values == 256 ? block % 8 : 0;
  const uint8_t *p = row + (size_t)(block / (traits->block_values / 32)) * traits->block_bytes;
  memset(out, 0, sizeof *out);
  switch (type) {
    case CK_Q4_0:
    case CK_IQ4_NL:
      out->d = load16(p);
      low_nibbles(p + 2, out->q);
      break;
    case CK_MXFP4:
      out->d = p[0];
      low_nibbles(p + 1, out->q);
      break;
    case CK_Q4_1:
      out->d = load16(p);
      out->m = load16(p + 2);
      low_nibbles(p + 4, out->q);
      break;
    case CK_Q5_0:
      out->d = load16(p);
      low_nibbles(p + 6, out->q);
      add_fifth_bits(p + 2, out->q);
      break;
    case CK_Q5_1:
      out->d = load16(p);
      out->m = load16(p + 2);
      low_nibbles(p + 8, out->q);
      add_fifth_bits(p + 4, out->q);
      break;
    case CK_Q8_0:
      out->d = load16(p);
      for (int i = 0; i < 32; i++) out->q[i] = p[2 + i] ^ 128;
      break;
    case CK_Q2_K: {
      // scales[16], then 2 x 32 bytes of four 2 bit planes, then d and dmin
      const uint8_t *bytes = p + 16 + sub / 4 * 32;
      for (int i = 0; i < 32; i++) out->q[i] = bytes[i] >> sub % 4 * 2 & 3;
      for (int h = 0; h < 2; h++) {
        out->sc[h] = p[sub * 2 + h] & 15;
        out->mn[h] = p[sub * 2 + h] >> 4;
      }
      out->d = load16(p + 80);
      out->m = load16(p + 82);
      break;
    }
    case CK_Q3_K: {
      // high bits[32], 2 x 32 bytes of four 2 bit planes, 12 bytes of sixteen 6 bit scales, d
      const uint8_t *bytes = p + 32 + sub / 4 * 32;
      for (int i = 0; i < 32; i++) {
        out->q[i] = (uint8_t)((bytes[i] >> sub % 4 * 2 & 3) | (p[i] >> sub & 1) << 2);
      }
      for (int h = 0; h < 2; h++) {
        uint32_t j = sub * 2 + h;
        int low = p[96 + j % 8] >> (j < 8 ? 0 : 4) & 15;
        int high = p[104 + j % 4] >> j / 4 * 2 & 3;
        out->sc[h] = (int16_t)((low | high << 4) - 32);
      }
      out->d = load16(p + 108);
      break;
    }
    case CK_Q4_K: {
      const uint8_t *bytes = p + 16 + sub / 2 * 32;
      for (int i = 0; i < 32; i++) out->q[i] = bytes[i] >> sub % 2 * 4 & 15;
      scale_and_min(p + 4, sub, out);
      out->d = load16(p);
      out->m = load16(p + 2);
      break;
    }
    case CK_Q5_K: {
      const uint8_t *bytes = p + 48 + sub / 2 * 32;
      for (int i = 0; i < 32; i++) {
        out->q[i] = (uint8_t)((bytes[i] >> sub % 2 * 4 & 15) | (p[16 + i] >> sub & 1) << 4);
      }
      scale_and_min(p + 4, sub, out);
      out->d = load16(p);
      out->m = load16(p + 2);
      break;
    }
    case CK_Q6_K: {
      // low 4 bits[128], high 2 bits[64], 16 signed scales, d
      const uint8_t *low = p + sub / 4 * 64 + sub % 2 * 32;
      const uint8_t *high = p + 128 + sub / 4 * 32;
      for (int i = 0; i < 32; i++) {
        int nibble = low[i] >> (sub % 4 < 2 ? 0 : 4) & 15;
        out->q[i] = (uint8_t)(nibble | (high[i] >> sub % 4 * 2 & 3) << 4);
      }
      for (int h = 0; h < 2; h++) out->sc[h] = (int8_t)p[192 + sub * 2 + h];
      out->d = load16(p + 208);
      break;
    }
    case CK_IQ4_XS: {
      // d, high 2 bits of eight scales, their low 4 bits, 8 x 16 bytes of nibbles
      low_nibbles(p + 8 + sub * 16, out->q);
      int low = p[4 + sub / 2] >> sub % 2 * 4 & 15;
      int high = load16(p + 2) >> sub * 2 & 3;
      out->sc[0] = (int16_t)((low | high << 4) - 32);
      out->d = load16(p);
      break;
    }
    case CK_IQ2_XXS:
    case CK_IQ3_XXS: {
      // d, then the indices of points, and for 32 columns four times 7 signs and a scale: IQ2_XXS has
      // these behind their four indices, IQ3_XXS behind all
      const uint8_t *indices = p + 2 + sub * 8;
      const uint8_t *rest = type == CK_IQ2_XXS ? indices + 4 : p + 66 + sub * 4;
      memcpy(out->points, indices, type == CK_IQ2_XXS ? 4 : 8);
      uint32_t word = load32(rest);
      uint32_t signs = 0;
      for (int i = 0; i < 4; i++) signs |= eight_signs(word >> 7 * i & 127) << 8 * i;
      out->side = word >> 28;
      from_grid(traits, signs, out);
      out->d = load16(p);
      break;
    }
    case CK_IQ2_XS: {
      // d, 32 x (9 bits of index, 7 signs), 8 bytes of two scales
      uint32_t signs = 0;
      out->side = p[66 + sub];
      for (int i = 0; i < 4; i++) {
        uint32_t word = load16(p + 2 + sub * 8 + 2 * (uint32_t)i);
        out->points[i] = (uint8_t)word;
        out->side |= (word >> 8 & 1) << (8 + i);
        signs |= eight_signs(word >> 9) << 8 * i;
      }
      from_grid(traits, signs, out);
      out->d = load16(p);
      break;
    }
    case CK_IQ2_S:
      // d, 32 bytes of indices, 32 of signs, 8 of four times 2 high bits, 8 of two scales
      memcpy(out->points, p + 2 + sub * 4, 4);
      out->side = p[66 + sub] | (uint32_t)p[74 + sub] << 8;
      from_grid(traits, load32(p + 34 + sub * 4), out);
      out->d = load16(p);
      break;
    case CK_IQ3_S:
      // d, 64 bytes of indices, 8 of high bits, 32 of signs, 4 of two blocks' scales
      memcpy(out->points, p + 2 + sub * 8, 8);
      out->side = p[66 + sub] | (uint32_t)(p[106 + sub / 2] >> sub % 2 * 4 & 15) << 8;
      from_grid(traits, load32(p + 74 + sub * 4), out);
      out->d = load16(p);
      break;
    case CK_IQ1_S:
      // d, 32 bytes of indices, 8 x (four times 3 high bits, a scale of 3 bits, the sign of delta)
      memcpy(out->points, p + 2 + sub * 4, 4);
      out->side = load16(p + 34 + sub * 2);
      from_grid(traits, 0, out);
      out->d = load16(p);
      break;
    case CK_IQ1_M: {
      // 32 bytes of indices, 16 of (3 high bits, the sign of delta), 4 x (four scales of 3 bits, 4
      // bits of d)
      uint32_t scales = load16(p + 48 + sub / 2 * 2) >> sub % 2 * 6;
      memcpy(out->points, p + sub * 4, 4);
      out->side = load16(p + 32 + sub * 2) | (scales & 7) << 16 | (scales >> 3 & 7) << 20;
      from_grid(traits, 0, out);
      for (uint32_t i = 0; i < 4; i++) out->d |= (uint16_t)((p[49 + 2 * i] >> 4) << 4 * i);
      break;
    }
    case CK_TQ1_0: {
      // 48 bytes of five digits of base 3, 4 of four digits, d. A byte is the digits as a fraction,
      // rounded up: the first is the integer part of three times it, and so on.
      static const uint8_t power[5] = {1, 3, 9, 27, 81};
      for (uint32_t i = 0; i < 32; i++) {
        uint32_t half = sub * 2 + i / 16;
        uint32_t byte = sub < 5 ? i : half < 15 ? 32 + i % 16 : 48 + i % 4;
        uint32_t digit = sub < 5 ? sub : half < 15 ? half - 10 : i % 16 / 4;
        out->q[i] = (uint8_t)((uint8_t)(p[byte] * power[digit]) * 3 >> 8);
      }
      out->d = load16(p + 52);
      break;
    }
    case CK_TQ2_0: {
      // 2 x 32 bytes of four 2 bit planes, d
      const uint8_t *bytes = p + sub / 4 * 32;
      for (int i = 0; i < 32; i++) out->q[i] = bytes[i] >> sub % 4 * 2 & 3;
      out->d = load16(p + 64);
      break;
    }
    case CK_F32:
    case CK_F16:
    case CK_BF16:
      break;
  }
}

size_t ck_quants_bytes(const ck_traits *traits) {
  return (size_t)ck_lines(traits->low_bits, traits->high_bits, traits->book) * 64;
}

size_t ck_scales_bytes(const ck_traits *traits, uint32_t cols) {
  size_t bytes = 0;
  switch (traits->scales) {
    case CK_SCALES_NONE: return 0;
    case CK_SCALES_D: bytes = (size_t)cols; break;
    case CK_SCALES_DM: bytes = (size_t)cols * 2; break;
    case CK_SCALES_POWER: bytes = (size_t)cols / 2; break;
    default: bytes = (size_t)(cols / 256) * (ck_super_header(traits) + 8 * ck_super_per_block(traits)); break;
  }
  return (bytes + 63) & ~(size_t)63;
}

size_t ck_tile_bytes(ck_type type, uint32_t cols) {
  const ck_traits *traits = ck_traits_of(type);
  // Called for every few tiles. A block's number of values is a power of two, so it needs no
  // division.
  if (traits->name == NULL || (cols & (traits->block_values - 1u)) != 0) return 0;
  if (traits->scales == CK_SCALES_NONE) {
    return ((size_t)cols * 16 * traits->block_bytes + 63) & ~(size_t)63;
  }
  return ck_scales_bytes(traits, cols) + (size_t)(cols / 32) * ck_quants_bytes(traits);
}

uint32_t ck_tile_count(uint32_t rows) {
  return rows / CK_TILE_ROWS + (rows % CK_TILE_ROWS != 0);
}

size_t ck_packed_bytes(ck_type type, uint32_t rows, uint32_t cols) {
  return ck_tile_bytes(type, cols) * ck_tile_count(rows);
}

static void store16(uint8_t *p, uint16_t value) {
  p[0] = (uint8_t)value;
  p[1] = (uint8_t)(value >> 8);
}

static void or32(uint8_t *p, uint32_t bits) {
  uint32_t word;
  memcpy(&word, p, 4);
  word |= bits;
  memcpy(p, &word, 4);
}

static void put_block(
    const ck_traits *traits, uint8_t *tile, uint32_t cols, uint32_t row, uint32_t block, const ck_block *in) {
  const ck_grid grid = ck_grids[traits->book];
  const uint8_t *found = tile;
  uint8_t *scales = tile + (ck_scales_at(traits, tile, block, &found) - tile);
  uint8_t *header = tile + (found - tile);
  switch (traits->scales) {
    case CK_SCALES_D: store16(scales + row * 2, in->d); break;
    case CK_SCALES_DM:
      store16(scales + row * 2, in->d);
      store16(scales + 32 + row * 2, in->m);
      break;
    case CK_SCALES_POWER: scales[row] = (uint8_t)in->d; break;
    case CK_SCALES_SUPER: scales[row] = (uint8_t)in->sc[0]; break;
    case CK_SCALES_SUPER_MIN:
      scales[row] = (uint8_t)in->sc[0];
      scales[16 + row] = in->mn[0];
      break;
    case CK_SCALES_HALVES:
      scales[row] = (uint8_t)in->sc[0];
      scales[16 + row] = (uint8_t)in->sc[1];
      break;
    case CK_SCALES_HALVES_MIN:
      scales[row] = (uint8_t)(in->sc[0] | in->mn[0] << 4);
      scales[16 + row] = (uint8_t)(in->sc[1] | in->mn[1] << 4);
      break;
    case CK_SCALES_ODD:
    case CK_SCALES_ODD_HALVES:
      if (grid.side_bytes == 1) scales[row] = (uint8_t)in->side;
      if (grid.side_bytes >= 2) store16(scales + row * 2, (uint16_t)in->side);
      if (grid.side_bytes == 3) scales[32 + row] = (uint8_t)(in->side >> 16);
      break;
    case CK_SCALES_SHARED:
    case CK_SCALES_NONE: break;
  }
  if (traits->block_values == 256) {
    store16(header + row * 2, in->d);
    if (ck_super_header(traits) == 64) store16(header + 32 + row * 2, in->m);
  }
  uint8_t *low = tile + ck_scales_bytes(traits, cols) + (size_t)block * ck_quants_bytes(traits);
  uint8_t *high = low + (grid.columns == 0 ? traits->low_bits * 64 : ck_index_bytes(traits->book));
  for (int p = 0; grid.columns != 0 && p < 32 / grid.columns; p++) low[16 * (uint32_t)p + row] = in->points[p];
  // four columns at a time: the bits kept of each byte stay inside it when shifted
  uint32_t low_mask = ((1u << traits->low_bits) - 1) * 0x01010101u;
  uint32_t high_mask = ((1u << traits->high_bits) - 1) * 0x01010101u;
  for (uint32_t group = 0; group < 8; group++) {
    uint32_t word;
    memcpy(&word, in->q + group * 4, 4);
    if (grid.columns == 0) {
      or32(
          low + ck_plane_vector(traits->low_bits, group) * 64 + row * 4,
          (word & low_mask) << ck_plane_shift(traits->low_bits, group));
    }
    if (traits->high_bits == 0 || !ck_has_high_plane(traits->book)) continue;
    or32(
        high + ck_plane_vector(traits->high_bits, group) * 64 + row * 4,
        (word >> traits->low_bits & high_mask) << ck_plane_shift(traits->high_bits, group));
  }
  if (!grid.has_spare) return;
  // Bits 1, 3, 5 and 7 of the fourth byte are the signs that parity gives.
  uint8_t *at = high + row * 4 + 3;
  *at &= 0x55;
  for (int i = 0; i < 4; i++) *at |= (uint8_t)((in->side >> (8 * grid.side_bytes + i) & 1) << (2 * i + 1));
}

// The block of a type with a grid, but for its f16 scale.
static void grid_packed(
    const ck_traits *traits, const uint8_t *scales, const uint8_t *quants, uint32_t row, ck_block *out) {
  const ck_grid grid = ck_grids[traits->book];
  for (int p = 0; p < 32 / grid.columns; p++) out->points[p] = quants[16 * (uint32_t)p + row];
  if (grid.side_bytes == 1) out->side = scales[row];
  if (grid.side_bytes >= 2) out->side = load16(scales + row * 2);
  if (grid.side_bytes == 3) out->side |= (uint32_t)scales[32 + row] << 16;
  uint32_t signs = 0;
  if (grid.delta_at < 0) {
    const uint8_t *plane = quants + ck_index_bytes(traits->book) + row * 4;
    for (int i = 0; i < 32; i++) signs |= (uint32_t)(plane[i % 4] >> i / 4 & 1) << i;
  }
  for (int i = 0; grid.has_spare && i < 4; i++) {
    uint32_t eight = signs >> 8 * i & 255;
    out->side |= (eight >> 7) << (8 * grid.side_bytes + i);
    signs ^= (eight ^ eight_signs(eight & 127)) << 8 * i;
  }
  from_grid(traits, signs, out);
}

void ck_block_packed(
    const ck_traits *traits, const uint8_t *tile, uint32_t cols, uint32_t row, uint32_t block, ck_block *out) {
  const uint8_t *header = NULL;
  const uint8_t *scales = ck_scales_at(traits, tile, block, &header);
  memset(out, 0, sizeof *out);
  switch (traits->scales) {
    case CK_SCALES_D: out->d = load16(scales + row * 2); break;
    case CK_SCALES_DM:
      out->d = load16(scales + row * 2);
      out->m = load16(scales + 32 + row * 2);
      break;
    case CK_SCALES_POWER: out->d = scales[row]; break;
    case CK_SCALES_SUPER: out->sc[0] = (int8_t)scales[row]; break;
    case CK_SCALES_SUPER_MIN:
      out->sc[0] = scales[row];
      out->mn[0] = scales[16 + row];
      break;
    case CK_SCALES_HALVES:
      out->sc[0] = (int8_t)scales[row];
      out->sc[1] = (int8_t)scales[16 + row];
      break;
    case CK_SCALES_HALVES_MIN:
      for (int h = 0; h < 2; h++) {
        out->sc[h] = scales[16 * h + row] & 15;
        out->mn[h] = scales[16 * h + row] >> 4;
      }
      break;
    case CK_SCALES_ODD:
    case CK_SCALES_ODD_HALVES:
    case CK_SCALES_SHARED:
    case CK_SCALES_NONE: break;
  }
  if (header != NULL) {
    out->d = load16(header + row * 2);
    if (ck_super_header(traits) == 64) out->m = load16(header + 32 + row * 2);
  }
  const uint8_t *low = tile + ck_scales_bytes(traits, cols) + (size_t)block * ck_quants_bytes(traits);
  if (ck_grids[traits->book].columns != 0) {
    grid_packed(traits, scales, low, row, out);
    return;
  }
  const uint8_t *high = low + traits->low_bits * 64;
  uint32_t low_mask = (1u << traits->low_bits) - 1;
  uint32_t high_mask = (1u << traits->high_bits) - 1;
  for (uint32_t k = 0; k < 32; k++) {
    uint32_t group = k / 4;
    uint32_t byte = row * 4 + k % 4;
    uint32_t q = low[ck_plane_vector(traits->low_bits, group) * 64 + byte]
        >> ck_plane_shift(traits->low_bits, group) & low_mask;
    if (traits->high_bits != 0) {
      uint32_t bits = high[ck_plane_vector(traits->high_bits, group) * 64 + byte]
          >> ck_plane_shift(traits->high_bits, group) & high_mask;
      q |= bits << traits->low_bits;
    }
    out->q[k] = (uint8_t)q;
  }
}

void ck_block_integers(const ck_traits *traits, const ck_block *block, int16_t out[32]) {
  for (int i = 0; i < 32; i++) {
    uint8_t q = block->q[i];
    out[i] = traits->book == CK_BOOK_NONE ? (int16_t)(q - traits->bias) : ck_books[traits->book][q];
  }
}

// The 32 values. A scale times its integer is exact, so each value is rounded once by the product,
// and again by the minimum.
static void block_floats(const ck_traits *traits, const ck_block *block, float *out) {
  int16_t w[32];
  ck_block_integers(traits, block, w);
  float d = ck_block_scale(traits, block);
  float m = ck_half_float(block->m);
  for (int i = 0; i < 32; i++) {
    int half = i / 16;
    switch (traits->scales) {
      case CK_SCALES_NONE:
      case CK_SCALES_POWER:
      case CK_SCALES_SHARED:
      case CK_SCALES_D: out[i] = d * (float)w[i]; break;
      case CK_SCALES_DM: out[i] = d * (float)w[i] + m; break;
      case CK_SCALES_SUPER:
      case CK_SCALES_ODD: out[i] = d * (float)block->sc[0] * (float)w[i]; break;
      case CK_SCALES_SUPER_MIN:
        out[i] = d * (float)block->sc[0] * (float)w[i] - m * (float)block->mn[0];
        break;
      case CK_SCALES_HALVES:
      case CK_SCALES_ODD_HALVES: out[i] = d * (float)block->sc[half] * (float)w[i]; break;
      case CK_SCALES_HALVES_MIN:
        out[i] = d * (float)block->sc[half] * (float)w[i] - m * (float)block->mn[half];
        break;
    }
  }
}

static float float_at(ck_type type, const uint8_t *p) {
  float value;
  switch (type) {
    case CK_F16: return ck_half_float(load16(p));
    case CK_BF16: return ck_bfloat_float(load16(p));
    default: memcpy(&value, p, 4); return value;
  }
}

void ck_dequantise(ck_type type, const void *source, uint32_t cols, float *out) {
  const ck_traits *traits = ck_traits_of(type);
  const uint8_t *row = source;
  if (traits->scales == CK_SCALES_NONE) {
    for (uint32_t i = 0; i < cols; i++) out[i] = float_at(type, row + (size_t)i * traits->block_bytes);
    return;
  }
  for (uint32_t b = 0; b < cols / 32; b++) {
    ck_block block;
    ck_block_file(type, row, b, &block);
    block_floats(traits, &block, out + (size_t)b * 32);
  }
}

void ck_matrix_row(const ck_matrix *matrix, uint32_t row, float *out) {
  const ck_traits *traits = ck_traits_of(matrix->type);
  const uint8_t *tile = matrix->data + ck_tile_bytes(matrix->type, matrix->cols) * (row / CK_TILE_ROWS);
  uint32_t lane = row % CK_TILE_ROWS;
  if (traits->scales == CK_SCALES_NONE) {
    for (uint32_t i = 0; i < matrix->cols; i++) {
      out[i] = float_at(matrix->type, tile + ((size_t)i * CK_TILE_ROWS + lane) * traits->block_bytes);
    }
    return;
  }
  for (uint32_t b = 0; b < matrix->cols / 32; b++) {
    ck_block block;
    ck_block_packed(traits, tile, matrix->cols, lane, b, &block);
    block_floats(traits, &block, out + (size_t)b * 32);
  }
}

void ck_pack(
    ck_type type, const void *source, uint32_t rows, uint32_t cols, uint32_t first_tile, uint32_t tiles,
    void *packed) {
  const ck_traits *traits = ck_traits_of(type);
  size_t row_bytes = ck_row_bytes(type, cols);
  size_t tile_bytes = ck_tile_bytes(type, cols);
  uint32_t end = ck_tile_count(rows);
  if (row_bytes == 0 || first_tile >= end) return;
  if (tiles < end - first_tile) end = first_tile + tiles;
  for (uint32_t t = first_tile; t < end; t++) {
    uint8_t *tile = (uint8_t *)packed + tile_bytes * t;
    memset(tile, 0, tile_bytes);
    for (uint32_t lane = 0; lane < CK_TILE_ROWS; lane++) {
      size_t row = (size_t)t * CK_TILE_ROWS + lane;
      if (row >= rows) break;
      const uint8_t *from = (const uint8_t *)source + row * row_bytes;
      if (traits->scales == CK_SCALES_NONE) {
        size_t size = traits->block_bytes;
        for (size_t i = 0; i < cols; i++) {
          memcpy(tile + (i * CK_TILE_ROWS + lane) * size, from + i * size, size);
        }
        continue;
      }
      for (uint32_t b = 0; b < cols / 32; b++) {
        ck_block block;
        ck_block_file(type, from, b, &block);
        put_block(traits, tile, cols, lane, b, &block);
      }
    }
  }
}
