// SPDX-License-Identifier: MIT
// What those that copy or pack a whole tree share. Directories are opened by their path from the
// top, so that depth costs no descriptors; the length of paths bounds it.
#pragma once

#include <sys/stat.h>

#include "lib/buf.h"

/* The first names of files that have several, by a hash of the inode. */
struct tree_link {
    dev_t dev;
    ino_t ino;
    char *path;
};

struct tree_links {
    struct tree_link *place; /* a power of two of them */
    size_t places, count;
};

/* Whether the file has been met: *first is its first name, or NULL and `path` is it from now on.
 * 0, or -EMLINK when there are too many. */
int tree_links_find(struct tree_links *t, const struct stat *st, const char *path,
                    const char **first);
void tree_links_free(struct tree_links *t);

/* A directory below `top`, "" for itself, though others may change its names meanwhile: -ELOOP when
 * a link is on the way. */
int tree_dir_open(int top, const char *path);
/* The names in a directory, which may be O_PATH, each ended by a zero byte, and an empty one at the
 * end. 0 or -errno. */
int tree_names(int dir, struct buf *names);
