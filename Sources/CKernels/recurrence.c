// recurrence.c: the public names of the kernels of convolutions and recurrent states: each calls the
// level's kernel. The arithmetic is in scalar.c and recurrence.h.
#include "internal.h"

void ck_sigmoid_times(ck_level level, const float *x, uint32_t n, float *y) {
  ck_kernels_at(level)->sigmoid_gate(x, n, y);
}

void ck_softplus(ck_level level, const float *x, uint32_t n, float *y) {
  ck_kernels_at(level)->softplus(x, n, y);
}

void ck_unit(ck_level level, const float *x, uint32_t n, float epsilon, float scale, float *y) {
  ck_kernels_at(level)->unit(x, n, epsilon, scale, y);
}

void ck_convolve(ck_level level, const ck_convolution *convolution) {
  ck_kernels_at(level)->convolve(convolution);
}

void ck_recur(ck_level level, const ck_recurrence *recurrence) {
  ck_kernels_at(level)->recur(recurrence);
}
