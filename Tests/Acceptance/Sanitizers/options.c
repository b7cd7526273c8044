// options.c: the sanitizers' options for every program of the suite, those that tests start with an environment of
// their own too. Linked into them by Tests/Acceptance/Sanitizers/run, not by the package; REPORTS is where it looks for reports.
//
// Leaks are not looked for: Foundation leaks 32 bytes with each Process and 4096 with each empty file that is read,
// XCTest and ncurses some at the end, and what Swift reaches through a pointer with tag bits counts as leaked. What
// memory does over time is watched by the load tests.
#define LOG "log_path='" REPORTS "'"

const char *__asan_default_options(void);
const char *__asan_default_options(void) { return LOG ":detect_leaks=0"; }

const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return LOG; }

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return LOG ":print_stacktrace=1"; }
