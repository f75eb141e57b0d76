/* SPDX-License-Identifier: MIT
 *
 * struct virtio_net_hdr (virtio 1.2, 5.1.6) as a program writes it before a packet: the pure core.
 * Its words come from a program that may lie: they are checked against the packet's length before
 * anything acts on them.
 */
#pragma once

#include "lib/types.h"

#define VNET_HEADER 10U /* bytes; what follows up to the size that was agreed on is passed over */

struct vnet_header {
    bool partial, valid; /* the checksum is still to be done; it was checked */
    u8 gso;              /* enum packet_gso, ECN included */
    u16 header, segment; /* bytes of all headers; of each segment's payload */
    u16 csum_start, csum_offset;
};

/* Of a packet of n bytes behind it. 0 or -EINVAL: a place outside the packet, segments without a
 * size, or without a checksum that is to be done, a kind that is not there. */
int vnet_header_parse(const u8 p[VNET_HEADER], u32 n, struct vnet_header *out) __must_check;
void vnet_header_build(u8 out[VNET_HEADER], const struct vnet_header *h);
