// SPDX-License-Identifier: MIT
// LZMA2 data: chunks of LZMA, or stored, over one dictionary. What xz blocks hold.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/source.h"
#include "lib/window.h"

#define LZMA_STATES 12
#define LZMA_CHUNK_MAX 65536 /* compressed */

struct lzma_len {
    uint16_t choice, choice2;
    uint16_t low[16][8], mid[16][8], high[256];
};

/* All probabilities: one array of uint16_t to reset. */
struct lzma_probs {
    uint16_t match[LZMA_STATES][16], rep[LZMA_STATES], rep0[LZMA_STATES], rep1[LZMA_STATES];
    uint16_t rep2[LZMA_STATES], rep0_long[LZMA_STATES][16];
    uint16_t slot[4][64], special[10][32], align[16];
    struct lzma_len len, rep_len;
    uint16_t literal[16][0x300];
};

struct lzma2 {
    struct window out;
    uint64_t dict; /* bytes of history that a match may reach */
    bool need_dict, need_state, need_props;
    uint32_t lc, lp, pb;
    unsigned state;
    uint32_t rep[4];
    uint64_t position; /* since the last reset of the state's position bits */
    /* the chunk at hand */
    bool stored;
    uint32_t left; /* bytes it still makes */
    uint32_t range, code;
    uint32_t at, len;
    bool starved; /* it asked for more than it has */
    uint8_t data[LZMA_CHUNK_MAX];
    struct lzma_probs probs;
};

/* For a new block, with the dictionary's size as its header writes it. -E2BIG when that
 * is more than 64 MiB, or not a size. */
int lzma2_reset(struct lzma2 *z, uint8_t dict);
/* Makes bytes into z->out, which holds none that are unread: 0; 1 at the end of the data; or
 * -errno with *why. `*read` counts the input. */
int lzma2_step(struct lzma2 *z, struct source_bytes *in, uint64_t *read, const char **why);
