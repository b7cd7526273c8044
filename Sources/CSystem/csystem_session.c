#define _GNU_SOURCE
#include "csystem_session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

// A descriptor that a child inherits under another number. A descriptor that is duplicated onto
// itself keeps its close-on-exec flag only before glibc 2.29.
typedef struct gift {
  int from;
  int to;
} gift;

// Starts a program with no signal blocked and none ignored. A gift whose `from` is negative is
// skipped.
static int spawn(const char *path, char *const argv[], char *const environment[], const char *directory,
                 const gift *gifts, size_t count, short flags, pid_t *pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int error = posix_spawn_file_actions_init(&actions);
  if (error) return error;
  error = posix_spawnattr_init(&attributes);
  if (error) {
    posix_spawn_file_actions_destroy(&actions);
    return error;
  }
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  for (size_t i = 0; i < count && !error; i++) {
    if (gifts[i].from >= 0) error = posix_spawn_file_actions_adddup2(&actions, gifts[i].from, gifts[i].to);
  }
  if (!error && directory) error = posix_spawn_file_actions_addchdir_np(&actions, directory);
  if (!error) error = posix_spawnattr_setsigmask(&attributes, &none);
  if (!error) error = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!error)
    error = posix_spawnattr_setflags(
        &attributes, (short)(flags | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
  if (!error) error = posix_spawn(pid, path, &actions, &attributes, argv, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

int csystem_spawn_session(const char *path, char *const argv[], int link, int line, pid_t *pid) {
  const gift gifts[] = {{link, 3}, {line, 4}};
  return spawn(path, argv, environ, NULL, gifts, 2, POSIX_SPAWN_SETSID, pid);
}

int csystem_find_program(const char *name, char *path, size_t size) {
  if (!*name) return ENOENT;
  if (strchr(name, '/')) {
    int length = snprintf(path, size, "%s", name);
    return length < 0 || (size_t)length >= size ? ENAMETOOLONG : 0;
  }
  const char *rest = getenv("PATH");
  if (!rest) rest = "/usr/local/bin:/usr/bin:/bin";
  int error = ENOENT;
  while (*rest) {
    size_t count = strcspn(rest, ":");
    if (*rest == '/') {
      int length = snprintf(path, size, "%.*s/%s", (int)count, rest, name);
      struct stat found;
      if (length > 0 && (size_t)length < size && stat(path, &found) == 0 && S_ISREG(found.st_mode)) {
        if (access(path, X_OK) == 0) return 0;
        error = EACCES;
      }
    }
    rest += count;
    if (*rest == ':') rest++;
  }
  return error;
}

int csystem_spawn_tool(const char *path, char *const argv[], char *const environment[], const char *directory,
                       int input, int output, pid_t *pid) {
  const gift gifts[] = {{input, 0}, {output, 1}, {output, 2}};
  return spawn(path, argv, environment, directory, gifts, 3, 0, pid);
}

int csystem_spawn_piped(char *const argv[], int link, int errors, pid_t *pid) {
  char program[4096];
  int error = csystem_find_program(argv[0], program, sizeof program);
  if (error) return error;
  const gift gifts[] = {{link, 0}, {link, 1}, {errors, 2}};
  return spawn(program, argv, environ, NULL, gifts, 3, 0, pid);
}

int csystem_forbid_dumps(void) {
  const struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none)) return errno;
  // Cores piped to a program ignore the limit; they honour this flag.
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ? errno : 0;
}
