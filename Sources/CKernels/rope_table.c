// rope_table.c: angles of rotary position embedding, in double arithmetic of + - * / alone, so that
// every machine has the same table. No libm: its results differ by version and processor. Start at
// ck_rope_table.
#include "internal.h"

// log2(x) for finite x > 0: x = m 2^e with m near 1, ln m = 2 atanh((m - 1) / (m + 1)).
static double log2_of(double x) {
  uint64_t bits;
  int shift = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    shift = 54;
  }
  memcpy(&bits, &x, 8);
  int exponent = (int)(bits >> 52 & 2047) - 1023 - shift;
  bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
  double m;
  memcpy(&m, &bits, 8);
  if (m > 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    exponent += 1;
  }
  double z = (m - 1) / (m + 1);
  double square = z * z;
  // |z| <= 0.1716: each term is 34 times smaller than the one before
  double sum = 0;
  for (int n = 27; n >= 1; n -= 2) sum = sum * square + 1.0 / n;
  double ln = 2 * z * sum;
  return (double)exponent + ln * 0x1.71547652b82fep+0;
}

double ck_log(double x) {
  return log2_of(x) * 0x1.62e42fefa39efp-1;
}

double ck_exp2(double x) {
  double rounded = (x + 0x1.8p52) - 0x1.8p52;
  double r = (x - rounded) * 0x1.62e42fefa39efp-1;
  // |r| <= 0.3466
  double sum = 1;
  for (int n = 18; n >= 1; n--) sum = 1 + sum * r / n;
  uint64_t bits = (uint64_t)((int64_t)rounded + 1023) << 52;
  double power;
  memcpy(&power, &bits, 8);
  return sum * power;
}

// Cosine and sine of x, |x| below 2^30.
static void cos_sin(double x, double *cosine, double *sine) {
  // pi / 2 in three parts; the first two have 33 bits, so that their products with a quadrant are
  // exact
  double quadrant = (x * 0x1.45f306dc9c883p-1 + 0x1.8p52) - 0x1.8p52;
  double r = x - quadrant * 0x1.921fb544p+0;
  r = r - quadrant * 0x1.0b4611a6p-34;
  r = r - quadrant * 0x1.3198a2e037073p-69;
  double square = r * r;
  double s = 1;
  for (int n = 20; n >= 2; n -= 2) s = 1 - s * square / (double)(n * (n + 1));
  s = s * r;
  double c = 1;
  for (int n = 19; n >= 1; n -= 2) c = 1 - c * square / (double)(n * (n + 1));
  switch ((int64_t)quadrant & 3) {
    case 0: *cosine = c; *sine = s; break;
    case 1: *cosine = -s; *sine = c; break;
    case 2: *cosine = -c; *sine = -s; break;
    default: *cosine = s; *sine = -c; break;
  }
}

void ck_rope_table(
    double base, double scale, double magnitude, const float *factors, uint32_t pairs, uint32_t first,
    uint32_t count, float *out) {
  double log_base = log2_of(base);
  for (uint32_t i = 0; i < pairs; i++) {
    double frequency = ck_exp2(-((double)i / (double)pairs) * log_base) * scale;
    if (factors != NULL) frequency = frequency / (double)factors[i];
    for (uint32_t p = 0; p < count; p++) {
      double cosine;
      double sine;
      cos_sin(((double)first + (double)p) * frequency, &cosine, &sine);
      float *to = out + ((size_t)p * pairs + i) * 2;
      to[0] = (float)(magnitude * cosine);
      to[1] = (float)(magnitude * sine);
    }
  }
}
