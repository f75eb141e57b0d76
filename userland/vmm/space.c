/* SPDX-License-Identifier: MIT
 *
 * Ranges of one number space, given out: see space.h.
 */
#include "vmm/space.h"

#include <errno.h>
#include <string.h>

void space_init(struct space *s, uint64_t start, uint64_t size)
{
    s->start = start;
    s->size = size;
    s->count = 0;
}

/* How many of the ranges taken start below `start`. */
static unsigned space_below(const struct space *s, uint64_t start)
{
    unsigned at = 0;

    while (at < s->count && s->taken[at].start < start)
        at++;
    return at;
}

int space_take(struct space *s, uint64_t start, uint64_t size)
{
    unsigned at = space_below(s, start);
    const struct space_range *below = at ? &s->taken[at - 1] : NULL;
    const struct space_range *above = at < s->count ? &s->taken[at] : NULL;

    if (!size || start < s->start || start - s->start >= s->size ||
        size > s->size - (start - s->start))
        return -ERANGE;
    if ((below && start - below->start < below->size) || (above && above->start - start < size))
        return -EBUSY;
    if (s->count == SPACE_TAKEN)
        return -ENOSPC;
    memmove(&s->taken[at + 1], &s->taken[at], (s->count - at) * sizeof s->taken[0]);
    s->taken[at] = (struct space_range){start, size};
    s->count++;
    return 0;
}

int space_alloc(struct space *s, uint64_t size, uint64_t align, uint64_t *out)
{
    uint64_t at = s->start;
    int err = -EBUSY;

    for (unsigned i = 0; err == -EBUSY; i++) {
        uint64_t start = (at + align - 1) & ~(align - 1);

        if (start < at)
            return -ENOSPC;
        err = space_take(s, start, size);
        if (!err)
            *out = start;
        if (err == -EBUSY && i < s->count && s->taken[i].start + s->taken[i].size > at)
            at = s->taken[i].start + s->taken[i].size;
    }
    return err == -ERANGE && size ? -ENOSPC : err;
}

void space_release(struct space *s, uint64_t start)
{
    unsigned at = space_below(s, start);

    if (at == s->count || s->taken[at].start != start)
        return;
    s->count--;
    memmove(&s->taken[at], &s->taken[at + 1], (s->count - at) * sizeof s->taken[0]);
}
