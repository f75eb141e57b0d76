/* SPDX-License-Identifier: MIT
 *
 * Fragments of one datagram.
 */
#include "net/ip/fragment.h"
#include "lib/string.h"

/* The end that is known and this one agree. */
static bool fragment_end_ok(const struct fragments *f, u32 to, bool more)
{
    if (f->end)
        return more ? to < f->end : to == f->end;
    return more || !f->nr || f->piece[f->nr - 1].to <= to;
}

enum fragment_verdict fragments_add(struct fragments *f, u32 offset, u32 len, bool more, u32 most,
                                    u32 *at)
{
    u32 to = offset + len, i = f->nr;

    if (!len)
        return FRAGMENT_DROP;
    if (len > most || to > most || (more && len % 8) || !fragment_end_ok(f, to, more))
        return FRAGMENT_SPOILT;
    while (i && f->piece[i - 1].from >= offset)
        i--;
    if (i < f->nr && f->piece[i].from == offset && f->piece[i].to == to)
        return FRAGMENT_DROP;
    if ((i < f->nr && f->piece[i].from < to) || (i && f->piece[i - 1].to > offset) ||
        f->nr == FRAGMENT_PIECES)
        return FRAGMENT_SPOILT;
    memmove(&f->piece[i + 1], &f->piece[i], (f->nr - i) * sizeof(f->piece[0]));
    f->piece[i].from = offset;
    f->piece[i].to = to;
    f->nr++;
    f->have += len;
    if (!more)
        f->end = to;
    *at = i;
    return f->have == f->end ? FRAGMENT_WHOLE : FRAGMENT_KEEP;
}
