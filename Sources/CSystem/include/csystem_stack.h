// csystem_stack.h: how much of its stack the calling thread has left, for code that recurses over
// what strangers wrote. Start at csystem_stack_end.
// Leaves out how threads meet: csystem_threads.h.
#ifndef CSYSTEM_STACK_H
#define CSYSTEM_STACK_H

#include <stdint.h>

// The lowest address of this thread's stack; 0 where the system does not tell.
// This is a system call: keep the answer.
uintptr_t csystem_stack_end(void);

// An address in the caller's part of the stack, which grows down towards csystem_stack_end.
uintptr_t csystem_stack_here(void);

#endif
