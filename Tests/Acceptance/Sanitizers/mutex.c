// mutex.c: lets the thread sanitizer see Swift's Mutex. Linked into test programs by Tests/Acceptance/Sanitizers/run, not by the
// package.
//
// `Synchronization.Mutex` takes and gives a free lock in code inlined into ours, which the sanitizer sees. Where two
// threads meet, both go through these two functions of libswiftSynchronization.so, which spin and then let the kernel
// hand the lock over (FUTEX_LOCK_PI): that library is not instrumented, so the sanitizer knows of no order between the
// one that left and the one that entered, and takes whatever the lock guards for a race. Two threads that append to one
// array in one Mutex 200,000 times are 12 reports with Swift 6.3.1, and none with this file. The functions do what they
// did; around them stands what the sanitizer is to know. A suppression would hide the true races beside the false ones.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

// Of the sanitizer's runtime: what came before a release of an address is seen after an acquire of it.
void __tsan_acquire(void *address);
void __tsan_release(void *address);

// _MutexHandle._lockSlow(UInt32) and _MutexHandle._unlockSlow(), as Swift names them.
#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

// Methods of Swift get the value that they belong to in a register of its own.
#define METHOD __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *

static METHOD void (*lock_slow)(uint32_t thread, SELF mutex);
static METHOD void (*unlock_slow)(SELF mutex);

__attribute__((constructor)) static void find(void) {
  *(void **)&lock_slow = dlsym(RTLD_NEXT, LOCK_SLOW);
  *(void **)&unlock_slow = dlsym(RTLD_NEXT, UNLOCK_SLOW);
  // Another Swift may have other functions: better no run than one that sees races where there are none.
  if (lock_slow == NULL || unlock_slow == NULL) abort();
}

METHOD void seen_lock_slow(uint32_t thread, SELF mutex) __asm__(LOCK_SLOW);
METHOD void seen_lock_slow(uint32_t thread, SELF mutex) {
  lock_slow(thread, mutex);
  __tsan_acquire(mutex);
}

METHOD void seen_unlock_slow(SELF mutex) __asm__(UNLOCK_SLOW);
METHOD void seen_unlock_slow(SELF mutex) {
  __tsan_release(mutex);
  unlock_slow(mutex);
}
