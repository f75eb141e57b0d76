// SPDX-License-Identifier: MIT
// What Docker lays between an image and a new container: folders to mount on, files to mount over,
// a link, as one layer below all of the image's own, for all containers. It does for an image with
// nothing in its way.
#pragma once

#include <stdbool.h>

/* Makes the layer in the directory `dir`, or what is missing there: 0 or -errno. */
int base_make(int dir);
/* Whether with this layer of an image, a directory in overlay form, above it, the names of the base
 * are what a new container is to find: 1 or 0, or -errno. */
int base_fits(int layer);
