// compile.c: compiles every kernel for the first device and says which, for instructions.py.
// Nothing is launched.
#include "../../../Sources/CVulkan/device.h"

#include <stdio.h>

int main(void) {
  char reason[CV_REASON];
  cv_loader *loader = cv_load("libvulkan.so.1", reason);
  cv_device *device = loader == NULL ? NULL : cv_open(loader, 0, true, reason);
  if (device == NULL) {
    fprintf(stderr, "compile: %s\n", reason);
    return 69;
  }
  for (int kernel = 0; kernel < CV_KERNEL_COUNT; kernel++) {
    fprintf(stderr, "kernel %s\n", cv_kernel_name((cv_kernel)kernel));
    if (cv_pipeline(device, (cv_kernel)kernel) == 0) {
      fprintf(stderr, "compile: %s\n", cv_problem(device));
      return 1;
    }
  }
  return 0;
}
