// csystem_session.h: starting children, one of them in its own session so that closing its terminal
// does not end it (Glibc hides POSIX_SPAWN_SETSID from Swift), and keeping this process's memory
// private. Not here: what is said to the children.
#ifndef CSYSTEM_SESSION_H
#define CSYSTEM_SESSION_H

#include <stddef.h>
#include <sys/types.h>

// Starts `path` with `argv` and this process's environment, as the leader of a new session without
// a controlling terminal. Descriptors 0 to 2 stay as they are here, `link` becomes descriptor 3 of
// the child and `line`, unless it is negative, descriptor 4; all signal dispositions and masks are
// the defaults. Both must be above 4 here. Returns 0 and the child's pid, or an errno.
int csystem_spawn_session(const char *path, char *const argv[], int link, int line, pid_t *pid);

// Finds the program `name`: `name` itself if it has a slash, otherwise the first executable file of
// that name in the absolute folders of PATH. Empty and relative entries of PATH are skipped, so
// that a file in the working directory is never run by accident. Writes the path into `path` of
// `size` bytes. Returns 0 or an errno.
int csystem_find_program(const char *name, char *path, size_t size);

// Starts the program at `path` with exactly `environment`, in the directory `directory`, with
// `input` as its standard input and `output` as its standard output and error. Signal dispositions
// and masks are the defaults; it stays in this process's group, so Ctrl-C ends both. Returns 0
// and the child's pid, or an errno.
int csystem_spawn_tool(const char *path, char *const argv[], char *const environment[], const char *directory,
                       int input, int output, pid_t *pid);

// Starts `argv[0]`, found as csystem_find_program does, with descriptor `link` as its standard
// input and output, and `errors` as its standard error, or, if that is negative, the one of this
// process. Returns 0 and the child's pid, or an errno.
int csystem_spawn_piped(char *const argv[], int link, int errors, pid_t *pid);

// From now on a crash of this process leaves no core and no register dump, even where cores are
// piped to a program, and no process of the same user may attach to it: prompts, answers and nonces
// stay in this process. Programs that it starts inherit only the limit on cores. Returns 0 or an
// errno.
int csystem_forbid_dumps(void);

#endif
