#define _GNU_SOURCE
#include "csystem_stack.h"

#include <pthread.h>
#include <stddef.h>

uintptr_t csystem_stack_end(void) {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return 0;
  void *end = NULL;
  size_t size = 0;
  int failed = pthread_attr_getstack(&attributes, &end, &size);
  pthread_attr_destroy(&attributes);
  return failed ? 0 : (uintptr_t)end;
}

__attribute__((noinline)) uintptr_t csystem_stack_here(void) {
  return (uintptr_t)__builtin_frame_address(0);
}
