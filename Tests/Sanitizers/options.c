// options.c: the address sanitizer's options for every program of the suite, those that tests start with an
// environment of their own too. Linked into them by Tests/Sanitizers/run, not by the package.
//
// Leaks are not looked for: Foundation leaks 32 bytes with each Process and 4096 with each empty file that is read,
// XCTest and ncurses some at the end, and what Swift reaches through a pointer with tag bits counts as leaked. What
// memory does over time is watched by the load tests.
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }
