// csystem_stack.h: how much stack the calling thread has left, for code that recurses over
// strangers' input. Not here: how threads wait for each other (csystem_threads.h). Start at
// csystem_stack_end.
#ifndef CSYSTEM_STACK_H
#define CSYSTEM_STACK_H

#include <stdint.h>

// The lowest address of this thread's stack; 0 if the system does not tell. This is a system call:
// keep the result.
uintptr_t csystem_stack_end(void);

// An address in the caller's part of the stack, which grows down towards csystem_stack_end.
uintptr_t csystem_stack_here(void);

#endif
