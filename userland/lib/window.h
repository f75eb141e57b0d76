// SPDX-License-Identifier: MIT
// What a decoder has made: a ring that keeps the history which matches refer to, and the bytes
// that its reader has not taken yet. The decoder sees to it that these fit beside the history.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct window {
    uint8_t *data;
    size_t size;
    size_t head;    /* where the next byte goes */
    uint64_t made;  /* bytes, ever */
    uint64_t taken; /* by the reader */
    uint64_t base;  /* of `made`: the history begins here */
};

static inline size_t window_pending(const struct window *w)
{
    return (size_t)(w->made - w->taken);
}

static inline void window_put(struct window *w, uint8_t c)
{
    w->data[w->head++] = c;
    if (w->head == w->size)
        w->head = 0;
    w->made++;
}

/* The byte `distance` back: 1 is the last one. */
static inline uint8_t window_back(const struct window *w, size_t distance)
{
    return w->data[w->head >= distance ? w->head - distance : w->head + w->size - distance];
}

/* Whether a match may begin `distance` back, with a history of `keep` bytes. */
static inline bool window_reaches(const struct window *w, uint64_t distance, uint64_t keep)
{
    return distance && distance <= w->made - w->base && distance <= keep;
}

static inline void window_copy(struct window *w, size_t distance, size_t len)
{
    while (len--)
        window_put(w, window_back(w, distance));
}

static inline void window_add(struct window *w, const uint8_t *data, size_t len)
{
    while (len--)
        window_put(w, *data++);
}

/* Up to `len` bytes for the reader, in order. */
static inline size_t window_take(struct window *w, uint8_t *out, size_t len)
{
    size_t pending = window_pending(w), n = pending < len ? pending : len;
    size_t from = w->head >= pending ? w->head - pending : w->head + w->size - pending;
    size_t first = w->size - from < n ? w->size - from : n;

    if (!n)
        return 0;
    memcpy(out, w->data + from, first);
    memcpy(out + first, w->data, n - first);
    w->taken += n;
    return n;
}
