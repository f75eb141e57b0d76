/* SPDX-License-Identifier: MIT
 *
 * The words of a packet that pure cores share with it (dev/packet.h); they are virtio-net's (virtio
 * 1.2, 5.1.6.1).
 */
#pragma once

/* Into what a packet's payload is still to be cut, or was before it was joined. */
enum packet_gso {
    PACKET_GSO_NONE = 0,
    PACKET_GSO_TCP4 = 1,
    PACKET_GSO_UDP = 3,
    PACKET_GSO_TCP6 = 4,
    PACKET_GSO_UDP_L4 = 5,
    PACKET_GSO_ECN = 0x80
};
