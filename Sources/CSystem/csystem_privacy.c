#define _GNU_SOURCE
#include "csystem_privacy.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int csystem_forbid_dumps(void) {
  const struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none)) return errno;
  // A core that is piped to a program does not ask for the limit; it asks for this.
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ? errno : 0;
}
