/* SPDX-License-Identifier: MIT
 *
 * What can be given out of a range of numbers: ports, guest addresses, interrupt lines (GSIs),
 * BARs of PCI. Pure: no lock, no memory but its own. A space is changed before the guest runs, or
 * under the lock of what owns it.
 */
#pragma once

#include <stdint.h>

#define SPACE_TAKEN 64

struct space_range {
    uint64_t start, size;
};

/* [start, start + size) with the ranges taken of it, in order of their starts. */
struct space {
    uint64_t start, size;
    unsigned count;
    struct space_range taken[SPACE_TAKEN];
};

/* An empty space; size may be 0, and start + size does not wrap. */
void space_init(struct space *s, uint64_t start, uint64_t size);
/* Takes [start, start + size). 0; -ERANGE: it is not within the space, or empty; -EBUSY: some of it
 * is taken; -ENOSPC: there are SPACE_TAKEN ranges. */
int space_take(struct space *s, uint64_t start, uint64_t size);
/* Takes the lowest free range of that size whose start is a multiple of align, a power of two.
 * 0 and its start in *out; -ERANGE: size is 0; -ENOSPC: there is none. */
int space_alloc(struct space *s, uint64_t size, uint64_t align, uint64_t *out);
/* Gives back the range that starts there; it was taken. */
void space_release(struct space *s, uint64_t start);
