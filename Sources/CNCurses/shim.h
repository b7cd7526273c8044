/* shim.h: ncursesw, and what Swift cannot import of it: globals, macros over bits, variadics.
   Input is not here: Terminal reads and decodes bytes itself. Everything here is static inline. */
#ifndef CNCURSES_SHIM_H
#define CNCURSES_SHIM_H
#define NCURSES_WIDECHAR 1
#include <execinfo.h>
#include <fcntl.h>
#include <ncurses.h>
#include <stdio.h>
#include <stdlib.h>
#include <term.h>
#include <unistd.h>
#include <wchar.h>

/* term.h defines hundreds of lower-case macros (lines, columns, tab...); they would break Swift's import of nothing,
   but C code after this header should not meet them. */
#undef lines
#undef columns
#undef tab

extern int wcwidth(wchar_t);
extern int memfd_create(const char *, unsigned);

static inline WINDOW *cn_stdscr(void) { return stdscr; }
static inline int cn_colors(void) { return COLORS; }
static inline int cn_color_pairs(void) { return COLOR_PAIRS; }

static inline attr_t cn_attr_bold(void) { return A_BOLD; }
static inline attr_t cn_attr_dim(void) { return A_DIM; }
static inline attr_t cn_attr_italic(void) { return A_ITALIC; }
static inline attr_t cn_attr_underline(void) { return A_UNDERLINE; }
static inline attr_t cn_attr_reverse(void) { return A_REVERSE; }

/* One cell with a colour pair beyond 255: the pair travels through `opts` (ncurses 6.1, curs_getcchar(3)). */
static inline int cn_add_cell(WINDOW *window, int y, int x, const wchar_t *text, attr_t attributes, int pair) {
  cchar_t cell;
  if (setcchar(&cell, text, attributes, 0, &pair) == ERR) return ERR;
  if (wmove(window, y, x) == ERR) return ERR;
  return wadd_wch(window, &cell);
}

static inline int cn_wcwidth(unsigned scalar) { return wcwidth((wchar_t)scalar); }

/* An unnamed file in memory that a write never blocks on; close-on-exec. -1 and errno on failure. */
static inline int cn_memory_file(void) { return memfd_create("hotpot-screen", 1u); }

static inline int cn_has_capability(const char *name) {
  const char *value = tigetstr((char *)name);
  return value != 0 && value != (const char *)-1;
}

/* Return addresses of the caller's stack; the first call loads libgcc and is not safe in a signal handler. */
static inline int cn_backtrace(void **frames, int count) { return backtrace(frames, count); }
static inline void cn_backtrace_write(void *const *frames, int count, int fd) {
  backtrace_symbols_fd(frames, count, fd);
}
#endif
