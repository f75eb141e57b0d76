/* SPDX-License-Identifier: MIT
 *
 * A program's virtio header: what passes lies in the packet, and comes back as it was.
 */
#include "harness.h"

#include "lib/string.h"
#include "net/link/vnet_header.h"

TEST(vnet_header_that_passes_points_into_the_packet)
{
    u64 seed = 3, passed = 0;

    for (u64 round = 0; round < 200000 * unit_times(); round++) {
        u32 n = (u32)(unit_rand(&seed) % 2000);
        u8 p[VNET_HEADER], again[VNET_HEADER];
        struct vnet_header h;

        for (u32 i = 0; i < VNET_HEADER; i++)
            p[i] = (u8)unit_rand(&seed);
        p[0] &= 3;
        p[1] &= 0x87;
        for (u32 i = 3; i < VNET_HEADER; i += 2)
            p[i] &= 7;
        if (vnet_header_parse(p, n, &h))
            continue;
        passed++;
        EXPECT(!h.partial || (u32)h.csum_start + h.csum_offset + 2 <= n);
        EXPECT(!h.gso || (h.partial && h.segment && h.header <= n));
        vnet_header_build(again, &h);
        EXPECT(!memcmp(p, again, VNET_HEADER));
    }
    EXPECT(passed > 1000);
}
