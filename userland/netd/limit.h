// SPDX-License-Identifier: MIT
// How often something may happen that others on the wire can cause: `burst` times at once, then
// once in `every_ms`. Pure: told the time in milliseconds.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct limit {
    uint32_t burst, every_ms;
    uint64_t at;       /* when all that has happened will have been paid for */
    uint64_t left_out; /* since it was last let happen; for its user to tell and clear */
};

/* Whether it may happen now; counts it either way. */
static inline bool limit_take(struct limit *l, uint64_t now)
{
    uint64_t at = l->at > now ? l->at : now;

    if (at - now > (uint64_t)(l->burst - 1) * l->every_ms) {
        l->left_out++;
        return false;
    }
    l->at = at + l->every_ms;
    return true;
}
