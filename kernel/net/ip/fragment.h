/* SPDX-License-Identifier: MIT
 *
 * Fragments of one datagram, as they come: the pure core, which builds on the host. It knows where
 * they lie and not what is in them. One that overlaps another makes the whole worthless (RFC 5722);
 * one that repeats another exactly is dropped by itself.
 */
#pragma once

#include "lib/types.h"

#define FRAGMENT_PIECES 64 /* of a datagram; 64 KiB over the least MTU of IPv6 are 53 */

/* Zeroed: none has come. */
struct fragments {
    u32 nr;
    u32 have; /* bytes */
    u32 end;  /* bytes of the whole; 0: the last one has not come */
    struct {
        u32 from, to;
    } piece[FRAGMENT_PIECES]; /* in their order */
};
enum fragment_verdict {
    FRAGMENT_KEEP,
    FRAGMENT_WHOLE, /* kept, and it was the one that was missing */
    FRAGMENT_DROP,  /* this one: it repeats another, or is empty */
    FRAGMENT_SPOILT /* all of the datagram */
};
/* len bytes from offset, which is a multiple of 8; most: bytes a datagram may have. *at: its place
 * among the pieces, when it is kept. */
enum fragment_verdict fragments_add(struct fragments *f, u32 offset, u32 len, bool more, u32 most,
                                    u32 *at);
