/* SPDX-License-Identifier: MIT
 *
 * Which queue a flow goes to: both its directions to one, whatever the bytes are.
 */
#include "harness.h"

#include "lib/string.h"
#include "net/link/flow.h"

static const struct hash_key key = {1, 2};

/* A frame of TCP, tagged or not, between two hosts that are `ports` apart. */
static u32 flow_frame(u8 *f, bool v6, bool tagged, const u8 *from, const u8 *to, u16 port_from,
                      u16 port_to)
{
    u32 size = v6 ? 16 : 4, at = 12;

    memset(f, 0, FLOW_HEAD);
    if (tagged) {
        f[at] = 0x81;
        f[at + 3] = 5;
        at += 4;
    }
    f[at] = v6 ? 0x86 : 8;
    f[at + 1] = v6 ? 0xdd : 0;
    at += 2;
    f[at] = v6 ? 0x60 : 0x45;
    f[at + (v6 ? 6 : 9)] = 6;
    memcpy(f + at + (v6 ? 8 : 12), from, size);
    memcpy(f + at + (v6 ? 8 : 12) + size, to, size);
    at += v6 ? 40 : 20;
    f[at] = (u8)(port_from >> 8);
    f[at + 1] = (u8)port_from;
    f[at + 2] = (u8)(port_to >> 8);
    f[at + 3] = (u8)port_to;
    return at + 20;
}

TEST(flow_has_one_hash_both_ways_with_a_tag_and_without)
{
    static const u8 a[16] = {0x20, 1, 9, 1}, b[16] = {0x20, 1, 9, 0, 7};
    u8 f[FLOW_HEAD];

    for (u32 v6 = 0; v6 < 2; v6++) {
        u32 there = flow_hash(&key, f, flow_frame(f, v6, false, a, b, 4000, 80), true);
        u32 other = flow_hash(&key, f, flow_frame(f, v6, false, a, b, 4001, 80), true);
        u32 back = flow_hash(&key, f, flow_frame(f, v6, true, b, a, 80, 4000), true);

        EXPECT(there == back && there != other);
        EXPECT(flow_hash(&key, f + 18, FLOW_HEAD - 18, false) == there);
    }
}

TEST(flow_of_parts_has_no_ports)
{
    static const u8 a[4] = {10, 0, 0, 1}, b[4] = {10, 0, 0, 2};
    u8 f[FLOW_HEAD], g[FLOW_HEAD];
    u32 n = flow_frame(f, false, false, a, b, 4000, 80);

    (void)flow_frame(g, false, false, a, b, 5000, 80);
    f[20] = g[20] = 0x20; /* more follow */
    EXPECT(flow_hash(&key, f, n, true) == flow_hash(&key, g, n, true));
}

TEST(flow_behind_extension_headers_has_its_ports)
{
    u8 f[54 + 16 + 4] = {0}, g[sizeof(f)];

    f[12] = 0x86;
    f[13] = 0xdd;
    f[14] = 0x60;
    f[54] = 60; /* hop by hop, then options of the destination, then UDP */
    f[62] = 17;
    f[70] = 1;
    memcpy(g, f, sizeof(f));
    g[71] = 9;
    EXPECT(flow_hash(&key, f, sizeof(f), true) != flow_hash(&key, g, sizeof(g), true));
}

TEST(flow_goes_to_the_queue_that_it_came_by_last)
{
    static struct flow_table t;
    u64 seed = 1;
    u32 hash = 0x12345678, spread = flow_queue(&t, hash, 8);

    EXPECT(spread < 8);
    flow_learn(&t, hash, 5);
    flow_learn(&t, hash, 3);
    EXPECT(flow_queue(&t, hash, 8) == 3 && flow_queue(&t, hash + 2 * FLOW_SLOTS, 8) != 3);
    EXPECT(flow_queue(&t, hash, 3) < 3); /* it is not there any more */
    flow_move(&t, 3, 1);
    EXPECT(flow_queue(&t, hash, 8) == 1);
    flow_move(&t, 1, 1);
    EXPECT(flow_queue(&t, hash, 8) == spread);
    for (u32 i = 0; i < 100000; i++) {
        u32 n = 1 + (u32)(unit_rand(&seed) % FLOW_QUEUES), queue = (u32)(unit_rand(&seed) % n);

        hash = (u32)unit_rand(&seed);
        EXPECT(flow_queue(&t, hash, n) < n);
        flow_learn(&t, hash, queue);
        EXPECT(flow_queue(&t, hash, n) == queue);
    }
}

/* As many as have space beside each other; one more takes the place of one. */
TEST(flows_of_one_place_keep_their_queues)
{
    static struct flow_table t;
    u32 kept = 0;

    for (u32 i = 0; i < FLOW_WAYS; i++)
        flow_learn(&t, 7 + i * 2 * FLOW_SLOTS, 10 + i);
    for (u32 i = 0; i < FLOW_WAYS; i++)
        EXPECT(flow_queue(&t, 7 + i * 2 * FLOW_SLOTS, FLOW_QUEUES) == 10 + i);
    flow_learn(&t, 7 + FLOW_WAYS * 2 * FLOW_SLOTS, 99);
    EXPECT(flow_queue(&t, 7 + FLOW_WAYS * 2 * FLOW_SLOTS, FLOW_QUEUES) == 99);
    for (u32 i = 0; i < FLOW_WAYS; i++)
        kept += flow_queue(&t, 7 + i * 2 * FLOW_SLOTS, FLOW_QUEUES) == 10 + i;
    EXPECT(kept == FLOW_WAYS - 1);
}

TEST(flow_of_any_bytes_is_some)
{
    u64 seed = 7;

    for (u64 round = 0; round < 200000 * unit_times(); round++) {
        u32 n = (u32)(unit_rand(&seed) % (FLOW_HEAD + 1));
        u8 *p = __builtin_malloc(n ? n : 1); /* its end is watched */

        for (u32 i = 0; i < n; i++)
            p[i] = (u8)unit_rand(&seed);
        if (n > 14) {
            p[12] = round & 1 ? 0x86 : 8;
            p[13] = round & 1 ? 0xdd : 0;
            p[14] = (u8)(round & 1 ? 0x60 : 0x45 + (p[14] & 3));
        }
        if (n > 20)
            p[20] = (u8)(p[20] % 3 ? 60 : p[20]);
        EXPECT(flow_hash(&key, p, n, true) == flow_hash(&key, p, n, true));
        (void)flow_hash(&key, p, n, false);
        __builtin_free(p);
    }
}
