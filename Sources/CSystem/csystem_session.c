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

int csystem_spawn_session(const char *path, char *const argv[], int link, int line, pid_t *pid) {
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
  // A descriptor duplicated onto itself would keep its close-on-exec flag (it is cleared since glibc 2.29).
  error = posix_spawn_file_actions_adddup2(&actions, link, 3);
  if (!error && line >= 0) error = posix_spawn_file_actions_adddup2(&actions, line, 4);
  if (!error) error = posix_spawnattr_setsigmask(&attributes, &none);
  if (!error) error = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!error)
    error = posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  if (!error) error = posix_spawn(pid, path, &actions, &attributes, argv, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
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
  error = posix_spawn_file_actions_adddup2(&actions, input, 0);
  if (!error) error = posix_spawn_file_actions_adddup2(&actions, output, 1);
  if (!error) error = posix_spawn_file_actions_adddup2(&actions, output, 2);
  if (!error) error = posix_spawn_file_actions_addchdir_np(&actions, directory);
  if (!error) error = posix_spawnattr_setsigmask(&attributes, &none);
  if (!error) error = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!error)
    error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  if (!error) error = posix_spawn(pid, path, &actions, &attributes, argv, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

int csystem_spawn_piped(char *const argv[], int link, int errors, pid_t *pid) {
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
  error = posix_spawn_file_actions_adddup2(&actions, link, 0);
  if (!error) error = posix_spawn_file_actions_adddup2(&actions, link, 1);
  if (!error && errors >= 0) error = posix_spawn_file_actions_adddup2(&actions, errors, 2);
  if (!error) error = posix_spawnattr_setsigmask(&attributes, &none);
  if (!error) error = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!error)
    error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  char program[4096];
  if (!error) error = csystem_find_program(argv[0], program, sizeof program);
  if (!error) error = posix_spawn(pid, program, &actions, &attributes, argv, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

int csystem_forbid_dumps(void) {
  const struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none)) return errno;
  // A core that is piped to a program does not ask for the limit; it asks for this.
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ? errno : 0;
}
