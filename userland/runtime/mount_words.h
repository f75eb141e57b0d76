// SPDX-License-Identifier: MIT
// The words that say how to mount: one table for --tmpfs, --mount and -v. Pure.
#pragma once

#include <stdbool.h>

#include "lib/buf.h"

enum mount_words_for { WORDS_TMPFS = 1, WORDS_BIND = 2 };

struct mount_words {
    unsigned long flags; /* MS_*, applied to what was there */
    struct buf data;     /* options for the file system, "size=..." and the like */
    bool no_copy;        /* a new volume is not to be filled from the image */
};

/* Reads a comma-separated list into *w, which holds the defaults. NULL; or the word that is
 * unknown, does not go with what is mounted, or says the opposite of one before, to be freed. */
char *mount_words_parse(const char *text, enum mount_words_for what, struct mount_words *w);
