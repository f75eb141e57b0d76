/* SPDX-License-Identifier: MIT
 *
 * A byte ring over a buffer of the caller's whose size is a power of two. `head` counts bytes ever
 * written, `tail` bytes ever read: their difference is what is inside.
 *
 * One writer and one reader may run at the same time without a lock; several of either need one.
 */
#pragma once

#include "lib/atomic.h"
#include "lib/compiler.h"
#include "lib/string.h"

struct ring {
    u8 *buf;
    u32 size;
    u32 head; /* the writer's; release store after the bytes */
    u32 tail; /* the reader's; release store after the copy */
};

static inline void ring_init(struct ring *ring, void *buf, u32 size)
{
    *ring = (struct ring){.buf = buf, .size = size};
}

static inline u32 ring_used(const struct ring *ring)
{
    return load_acquire(&ring->head) - load_acquire(&ring->tail);
}

static inline u32 ring_space(const struct ring *ring)
{
    return ring->size - ring_used(ring);
}

/* Appends as much of `data` as fits; returns how much. */
static inline u32 ring_write(struct ring *ring, const void *data, u32 n)
{
    u32 space = ring_space(ring);
    u32 at = ring->head & (ring->size - 1);

    n = MIN(n, space);
    u32 first = MIN(n, ring->size - at);

    memcpy(ring->buf + at, data, first);
    memcpy(ring->buf, (const u8 *)data + first, n - first);
    store_release(&ring->head, ring->head + n);
    return n;
}

/* Copies up to `n` of the oldest bytes without taking them; returns how many. */
static inline u32 ring_peek(const struct ring *ring, void *data, u32 n)
{
    u32 used = ring_used(ring);
    u32 at = ring->tail & (ring->size - 1);

    n = MIN(n, used);
    u32 first = MIN(n, ring->size - at);

    memcpy(data, ring->buf + at, first);
    memcpy((u8 *)data + first, ring->buf, n - first);
    return n;
}

/* Drops up to `n` of the oldest bytes; returns how many. */
static inline u32 ring_skip(struct ring *ring, u32 n)
{
    u32 used = ring_used(ring);

    n = MIN(n, used);
    store_release(&ring->tail, ring->tail + n);
    return n;
}

static inline u32 ring_read(struct ring *ring, void *data, u32 n)
{
    return ring_skip(ring, ring_peek(ring, data, n));
}
