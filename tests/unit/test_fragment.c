/* SPDX-License-Identifier: MIT
 *
 * Fragments: against a map of bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "net/ip/fragment.h"

#define MOST 65515U

TEST(fragments_in_any_order_are_a_whole)
{
    u64 seed = 3;

    for (u32 round = 0; round < 2000; round++) {
        u32 n = 1 + (u32)unit_rand(&seed) % 40, order[40], at;
        struct fragments f = {0};
        enum fragment_verdict v = FRAGMENT_KEEP;

        for (u32 i = 0; i < n; i++)
            order[i] = i;
        for (u32 i = n; i-- > 1;) {
            u32 k = (u32)unit_rand(&seed) % (i + 1), x = order[i];

            order[i] = order[k];
            order[k] = x;
        }
        for (u32 i = 0; i < n; i++) {
            EXPECT(v == FRAGMENT_KEEP);
            v = fragments_add(&f, order[i] * 800, order[i] == n - 1 ? 5 : 800, order[i] < n - 1,
                              MOST, &at);
            if (i && i < n - 1)
                EXPECT(fragments_add(&f, order[i] * 800, order[i] == n - 1 ? 5 : 800,
                                     order[i] < n - 1, MOST, &at) == FRAGMENT_DROP);
        }
        EXPECT(v == FRAGMENT_WHOLE && f.end == (n - 1) * 800 + 5 && f.nr == n);
    }
}

TEST(fragments_that_overlap_or_end_twice_spoil_the_whole)
{
    struct fragments f = {0}, g;
    u32 at;

    EXPECT(fragments_add(&f, 80, 80, true, MOST, &at) == FRAGMENT_KEEP);
    g = f;
    EXPECT(fragments_add(&g, 152, 80, true, MOST, &at) == FRAGMENT_SPOILT);
    g = f;
    EXPECT(fragments_add(&g, 72, 16, true, MOST, &at) == FRAGMENT_SPOILT);
    g = f;
    EXPECT(fragments_add(&g, 80, 72, true, MOST, &at) == FRAGMENT_SPOILT);
    g = f;
    EXPECT(fragments_add(&g, 88, 8, true, MOST, &at) == FRAGMENT_SPOILT);
    g = f;
    EXPECT(fragments_add(&g, 0, 240, true, MOST, &at) == FRAGMENT_SPOILT);
    g = f;
    EXPECT(fragments_add(&g, 0, 20, true, MOST, &at) == FRAGMENT_SPOILT); /* no multiple of eight */
    g = f;
    EXPECT(fragments_add(&g, 0, 80, false, MOST, &at) ==
           FRAGMENT_SPOILT); /* it ends before another */
    EXPECT(fragments_add(&f, 160, 10, false, MOST, &at) == FRAGMENT_KEEP);
    g = f;
    EXPECT(fragments_add(&g, 168, 10, false, MOST, &at) == FRAGMENT_SPOILT);
    EXPECT(fragments_add(&f, 0, 0, true, MOST, &at) == FRAGMENT_DROP);
    EXPECT(fragments_add(&f, 65528, 8, false, MOST, &at) == FRAGMENT_SPOILT);
    EXPECT(fragments_add(&f, 0, 80, true, MOST, &at) == FRAGMENT_WHOLE && !at);
}

TEST(fragments_of_any_places_are_never_more_than_fit)
{
    u64 seed = 9;

    for (u32 round = 0; round < 3000; round++) {
        struct fragments f = {0};
        u8 *seen = calloc(1, MOST);
        u32 at;

        for (u32 i = 0; i < 100; i++) {
            u32 offset = (u32)unit_rand(&seed) % 64 * 8, len = (u32)unit_rand(&seed) % 40;
            bool more = unit_rand(&seed) % 8, overlaps = false;
            enum fragment_verdict v = fragments_add(&f, offset, len, more, MOST, &at);

            for (u32 k = 0; k < len; k++)
                overlaps |= seen[offset + k];
            if (v == FRAGMENT_SPOILT)
                break;
            if (v == FRAGMENT_DROP)
                continue;
            EXPECT(!overlaps && at < f.nr && f.piece[at].from == offset);
            memset(seen + offset, 1, len);
            if (v == FRAGMENT_WHOLE) {
                for (u32 k = 0; k < f.end; k++)
                    EXPECT(seen[k]);
                break;
            }
        }
        free(seen);
    }
}
