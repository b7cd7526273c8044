// csystem_privacy.h: keeps what a process holds in memory out of files and other processes.
#ifndef CSYSTEM_PRIVACY_H
#define CSYSTEM_PRIVACY_H

// From now on a crash of this process leaves no core and no register dump, also where cores go to a program, and no
// process of the same user may attach to it: prompts, answers and nonces stay in it. Programs that it starts inherit
// the limit of cores and nothing else. Returns 0 or an errno.
int csystem_forbid_dumps(void);

#endif
