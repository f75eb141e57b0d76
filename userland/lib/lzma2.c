// SPDX-License-Identifier: MIT
// LZMA2; see lzma2.h. By the LZMA specification (LZMA SDK, public domain) and the xz format's
// description of LZMA2's chunks.
//
// A chunk is read whole before it is decoded: it is at most 64 KiB. A decoder that runs past its
// end gets zeros and `starved` is set, so the inner loop judges no input.
#include "lib/lzma2.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/buf.h"

#define LZMA_DICT_MAX (64u << 20)
#define LZMA_SLACK 65536u /* beside the history: what may wait for the reader */
#define LZMA_MATCH_MAX 273
#define LZMA_CUT "xz data is truncated"
#define LZMA_BAD "xz data is corrupt"

int lzma2_reset(struct lzma2 *z, uint8_t dict)
{
    uint64_t size = dict > 40 ? UINT64_MAX : (uint64_t)(2 | (dict & 1)) << (dict / 2 + 11);

    if (size > LZMA_DICT_MAX)
        return -E2BIG;
    if (size + LZMA_SLACK > z->out.size) {
        free(z->out.data);
        z->out.data = mem_alloc(size + LZMA_SLACK);
        z->out.size = size + LZMA_SLACK;
        z->out.head = 0;
    }
    z->out.base = z->out.made;
    z->dict = size;
    z->need_dict = z->need_state = z->need_props = true;
    z->left = 0;
    return 0;
}

/* ---- the range decoder ----------------------------------------------------------------------- */

static inline void lzma_refill(struct lzma2 *z)
{
    if (z->range >> 24)
        return;
    z->range <<= 8;
    if (z->at == z->len)
        z->starved = true;
    z->code = z->code << 8 | (z->at < z->len ? z->data[z->at++] : 0);
}

static inline unsigned lzma_bit(struct lzma2 *z, uint16_t *prob)
{
    uint32_t bound;

    lzma_refill(z);
    bound = (z->range >> 11) * *prob;
    if (z->code < bound) {
        z->range = bound;
        *prob = (uint16_t)(*prob + ((2048 - *prob) >> 5));
        return 0;
    }
    z->range -= bound;
    z->code -= bound;
    *prob = (uint16_t)(*prob - (*prob >> 5));
    return 1;
}

static inline uint32_t lzma_tree(struct lzma2 *z, uint16_t *probs, int bits)
{
    uint32_t m = 1;

    for (int i = 0; i < bits; i++)
        m = m << 1 | lzma_bit(z, probs + m);
    return m - (1u << bits);
}

/* Least significant bit first. */
static uint32_t lzma_tree_reverse(struct lzma2 *z, uint16_t *probs, int bits)
{
    uint32_t m = 1, v = 0;

    for (int i = 0; i < bits; i++) {
        unsigned bit = lzma_bit(z, probs + m);

        m = m << 1 | bit;
        v |= bit << i;
    }
    return v;
}

static uint32_t lzma_direct(struct lzma2 *z, int bits)
{
    uint32_t v = 0;

    while (bits--) {
        lzma_refill(z);
        z->range >>= 1;
        v <<= 1;
        if (z->code >= z->range) {
            z->code -= z->range;
            v |= 1;
        }
    }
    return v;
}

/* ---- symbols --------------------------------------------------------------------------------- */

static void lzma_literal(struct lzma2 *z)
{
    struct window *w = &z->out;
    uint32_t previous = w->made > w->base ? window_back(w, 1) : 0, m = 1;
    uint32_t low = (uint32_t)z->position & ((1u << z->lp) - 1);
    uint16_t *probs = z->probs.literal[(low << z->lc) + (previous >> (8 - z->lc))];

    if (z->state >= 7) { /* after a match: the byte that the match would have gone on with */
        uint32_t match = window_back(w, (size_t)z->rep[0] + 1);

        while (m < 0x100) {
            uint32_t expected = match >> 7 & 1,
                     bit = lzma_bit(z, probs + ((1 + expected) << 8) + m);

            match <<= 1;
            m = m << 1 | bit;
            if (bit != expected)
                break;
        }
    }
    while (m < 0x100)
        m = m << 1 | lzma_bit(z, probs + m);
    window_put(w, (uint8_t)m);
    z->state = z->state < 4 ? 0 : z->state < 10 ? z->state - 3 : z->state - 6;
}

static uint32_t lzma_length(struct lzma2 *z, struct lzma_len *l, unsigned pos)
{
    if (!lzma_bit(z, &l->choice))
        return 2 + lzma_tree(z, l->low[pos], 3);
    if (!lzma_bit(z, &l->choice2))
        return 10 + lzma_tree(z, l->mid[pos], 3);
    return 18 + lzma_tree(z, l->high, 8);
}

static uint32_t lzma_distance(struct lzma2 *z, uint32_t len)
{
    uint32_t slot = lzma_tree(z, z->probs.slot[len < 6 ? len - 2 : 3], 6), base;
    int bits = (int)(slot >> 1) - 1;

    if (slot < 4)
        return slot;
    base = (2 | (slot & 1)) << bits;
    if (slot < 14)
        return base + lzma_tree_reverse(z, z->probs.special[slot - 4], bits);
    base += lzma_direct(z, bits - 4) << 4;
    return base + lzma_tree_reverse(z, z->probs.align, 4);
}

/* A repeated match: which of the last four distances, moved to the front. True when it is the
 * short one, of a single byte. */
static bool lzma_repeat(struct lzma2 *z, unsigned pos)
{
    struct lzma_probs *p = &z->probs;
    uint32_t distance;
    int which;

    if (!lzma_bit(z, &p->rep0[z->state]))
        return !lzma_bit(z, &p->rep0_long[z->state][pos]);
    if (!lzma_bit(z, &p->rep1[z->state]))
        which = 1;
    else
        which = lzma_bit(z, &p->rep2[z->state]) ? 3 : 2;
    distance = z->rep[which];
    for (; which; which--)
        z->rep[which] = z->rep[which - 1];
    z->rep[0] = distance;
    return false;
}

/* A match's length, its distance being rep[0]. */
static uint32_t lzma_match(struct lzma2 *z, unsigned pos)
{
    struct lzma_probs *p = &z->probs;
    uint32_t len;

    if (lzma_bit(z, &p->rep[z->state])) {
        if (lzma_repeat(z, pos)) {
            z->state = z->state < 7 ? 9 : 11;
            return 1;
        }
        len = lzma_length(z, &p->rep_len, pos);
        z->state = z->state < 7 ? 8 : 11;
        return len;
    }
    for (int i = 3; i; i--)
        z->rep[i] = z->rep[i - 1];
    len = lzma_length(z, &p->len, pos);
    z->rep[0] = lzma_distance(z, len);
    z->state = z->state < 7 ? 7 : 10;
    return len;
}

/* One literal or match; false when the data is not sound. */
static bool lzma_symbol(struct lzma2 *z)
{
    unsigned pos = (unsigned)z->position & ((1u << z->pb) - 1);
    uint32_t len = 1;

    if (!lzma_bit(z, &z->probs.match[z->state][pos])) {
        /* its expected byte lies as far back as a match would */
        if (z->state >= 7 && !window_reaches(&z->out, (uint64_t)z->rep[0] + 1, z->dict))
            return false;
        lzma_literal(z);
    } else {
        len = lzma_match(z, pos);
        if (len > z->left || !window_reaches(&z->out, (uint64_t)z->rep[0] + 1, z->dict))
            return false;
        window_copy(&z->out, (size_t)z->rep[0] + 1, len);
    }
    z->left -= len;
    z->position += len;
    return !z->starved;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static int lzma2_fail(const char **why, const char *what)
{
    *why = what;
    return -EINVAL;
}

static int lzma2_get(struct lzma2 *z, struct source_bytes *in, uint64_t *read, void *data,
                     size_t len, const char **why)
{
    int err = source_exact(in, data, len, LZMA_CUT, why);

    *read += err ? 0 : len;
    return err;
}

static void lzma2_state_reset(struct lzma2 *z)
{
    uint16_t *p = (uint16_t *)&z->probs;

    for (size_t i = 0; i < sizeof(z->probs) / sizeof(*p); i++)
        p[i] = 1024;
    z->state = 0;
    memset(z->rep, 0, sizeof(z->rep));
    z->need_state = false;
}

static bool lzma2_props(struct lzma2 *z, uint8_t props)
{
    if (props >= 9 * 5 * 5)
        return false;
    z->lc = props % 9;
    z->lp = props / 9 % 5;
    z->pb = props / 45;
    z->need_props = false;
    return z->lc + z->lp <= 4;
}

/* What the control byte of an LZMA chunk resets, and the chunk itself. */
static int lzma2_chunk(struct lzma2 *z, struct source_bytes *in, uint64_t *read, uint8_t control,
                       const char **why)
{
    uint8_t h[5];
    unsigned reset = control >> 5 & 3;
    int err = lzma2_get(z, in, read, h, reset >= 2 ? 5 : 4, why);

    if (err)
        return err;
    z->left = ((uint32_t)(control & 0x1f) << 16 | (uint32_t)h[0] << 8 | h[1]) + 1;
    z->len = ((uint32_t)h[2] << 8 | h[3]) + 1;
    if (reset == 3) {
        z->out.base = z->out.made;
        z->need_dict = false;
        z->position = 0;
    }
    if (reset >= 2 && !lzma2_props(z, h[4]))
        return lzma2_fail(why, LZMA_BAD);
    if (reset)
        lzma2_state_reset(z);
    if (z->need_dict || z->need_state || z->need_props || z->len < 5)
        return lzma2_fail(why, LZMA_BAD);
    err = lzma2_get(z, in, read, z->data, z->len, why);
    if (err)
        return err;
    z->range = ~0u;
    z->code = (uint32_t)z->data[1] << 24 | (uint32_t)z->data[2] << 16 | (uint32_t)z->data[3] << 8 |
              z->data[4];
    z->at = 5;
    z->stored = z->starved = false;
    return z->data[0] ? lzma2_fail(why, LZMA_BAD) : 0;
}

static int lzma2_stored(struct lzma2 *z, struct source_bytes *in, uint64_t *read, uint8_t control,
                        const char **why)
{
    uint8_t h[2];
    int err;

    if (control > 2 || (control == 2 && z->need_dict))
        return lzma2_fail(why, LZMA_BAD);
    if (control == 1) {
        z->out.base = z->out.made;
        z->need_dict = false;
        z->position = 0;
    }
    err = lzma2_get(z, in, read, h, 2, why);
    if (err)
        return err;
    z->left = ((uint32_t)h[0] << 8 | h[1]) + 1;
    z->stored = true;
    return 0;
}

/* Decodes until the chunk ends or enough waits for the reader. */
static int lzma2_decode(struct lzma2 *z, const char **why)
{
    while (z->left && window_pending(&z->out) < LZMA_SLACK - LZMA_MATCH_MAX)
        if (!lzma_symbol(z))
            return lzma2_fail(why, LZMA_BAD);
    if (z->left)
        return 0;
    lzma_refill(z);
    return z->code || z->at != z->len || z->starved ? lzma2_fail(why, LZMA_BAD) : 0;
}

int lzma2_step(struct lzma2 *z, struct source_bytes *in, uint64_t *read, const char **why)
{
    uint8_t control;
    int err;

    if (!z->left) {
        err = lzma2_get(z, in, read, &control, 1, why);
        if (err)
            return err;
        if (!control)
            return 1;
        err = control & 0x80 ? lzma2_chunk(z, in, read, control, why)
                             : lzma2_stored(z, in, read, control, why);
        if (err)
            return err;
    }
    if (!z->stored)
        return lzma2_decode(z, why);
    z->len = z->left < LZMA_SLACK ? z->left : LZMA_SLACK;
    err = lzma2_get(z, in, read, z->data, z->len, why);
    if (err)
        return err;
    window_add(&z->out, z->data, z->len);
    z->left -= z->len;
    z->position += z->len;
    return 0;
}
