/* SPDX-License-Identifier: MIT
 *
 * The pure core of ethernet: IEEE 802.3 3.1.1, 802.1Q 9.
 */
#include "net/link/ethernet.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "lib/wire.h"

#define VLAN_TAG 4

int ethernet_parse(const u8 *frame, u32 n, struct ethernet *out)
{
    if (n < ETHERNET_HEADER)
        return -EINVAL;
    memcpy(out->to, frame, ETHERNET_ADDR);
    memcpy(out->from, frame + ETHERNET_ADDR, ETHERNET_ADDR);
    out->type = wire_u16(frame + 12);
    out->vlan = 0;
    out->header = ETHERNET_HEADER;
    if (out->type == ETHERTYPE_VLAN) {
        if (n < ETHERNET_HEADER + VLAN_TAG)
            return -EINVAL;
        out->vlan = wire_u16(frame + 14) & 0xfff;
        out->type = wire_u16(frame + 16);
        out->header = ETHERNET_HEADER + VLAN_TAG;
    }
    if (out->type < ETHERNET_MIN_TYPE || out->type == ETHERTYPE_VLAN ||
        ethernet_is_multicast(out->from))
        return -EINVAL;
    return 0;
}

void ethernet_build(u8 out[ETHERNET_HEADER], const u8 *to, const u8 *from, u16 type)
{
    memcpy(out, to, ETHERNET_ADDR);
    memcpy(out + ETHERNET_ADDR, from, ETHERNET_ADDR);
    out[12] = (u8)(type >> 8);
    out[13] = (u8)type;
}
