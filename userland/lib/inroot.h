// SPDX-License-Identifier: MIT
// Paths that come from an image or a request, resolved as a process inside that root would see
// them: "/" and ".." stop at the root, links stay inside, magic links of /proc lead nowhere. The
// walk goes from descriptor to descriptor, so names that change meanwhile lead nowhere else.
#pragma once

#include <stdbool.h>

enum inroot_want {
    INROOT_FIND,      /* what is there, links followed */
    INROOT_PARENT,    /* the directory that holds the last component, which is not looked at */
    INROOT_MAKE_DIR,  /* what is there; a directory is made when it is missing */
    INROOT_MAKE_FILE, /* likewise an empty file */
};

/* An O_PATH descriptor below the directory `root`, or -errno. Missing parents are made except for
 * INROOT_FIND. With INROOT_PARENT, *last is the last component, to be freed: never "." or "..", so
 * -EINVAL for a path that ends so. A last link that leads nowhere is made where it leads. */
int inroot_open(int root, const char *path, enum inroot_want want, char **last);

/* An O_PATH descriptor of what is there, when no link is on the way; else -1. */
int inroot_straight(int root, const char *path);
