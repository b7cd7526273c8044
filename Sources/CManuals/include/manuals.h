// manuals.h: the pages of man/, embedded in the program when this is compiled, so that one file
// brings them along. `hotpot install` says where they go.
#ifndef MANUALS_H
#define MANUALS_H

#include <stddef.h>

struct manual {
  const char *name;  // such as "hotpot.1"
  const unsigned char *text;
  size_t size;
};

// How many there are, and each of them; an index beyond has a NULL name.
size_t manuals_count(void);
struct manual manuals_page(size_t index);

#endif
