/* SPDX-License-Identifier: MIT
 *
 * ARP's packets: RFC 826.
 */
#include "net/link/arp.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "lib/wire.h"

/* Hardware ethernet, protocol IPv4, their lengths. */
static const u8 arp_kind[6] = {0, 1, 8, 0, ETHERNET_ADDR, 4};

int arp_parse(const u8 *p, u32 n, struct arp *out)
{
    if (n < ARP_LENGTH || memcmp(p, arp_kind, sizeof(arp_kind)))
        return -EINVAL;
    out->operation = (u16)(p[6] << 8 | p[7]);
    if (out->operation != ARP_REQUEST && out->operation != ARP_REPLY)
        return -EINVAL;
    memcpy(out->from_link, p + 8, ETHERNET_ADDR);
    out->from = wire_u32(p + 14);
    memcpy(out->to_link, p + 18, ETHERNET_ADDR);
    out->to = wire_u32(p + 24);
    return ethernet_is_multicast(out->from_link) ? -EINVAL : 0;
}

void arp_build(u8 out[ARP_LENGTH], const struct arp *a)
{
    memcpy(out, arp_kind, sizeof(arp_kind));
    out[6] = (u8)(a->operation >> 8);
    out[7] = (u8)a->operation;
    memcpy(out + 8, a->from_link, ETHERNET_ADDR);
    wire_put_u32(out + 14, a->from);
    memcpy(out + 18, a->to_link, ETHERNET_ADDR);
    wire_put_u32(out + 24, a->to);
}
