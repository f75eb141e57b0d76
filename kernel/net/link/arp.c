/* SPDX-License-Identifier: MIT
 *
 * ARP's packets: RFC 826.
 */
#include "net/link/arp.h"
#include "lib/errno.h"
#include "lib/string.h"

/* Hardware ethernet, protocol IPv4, their lengths. */
static const u8 arp_kind[6] = {0, 1, 8, 0, ETHERNET_ADDR, 4};

static u32 arp_u32(const u8 *p)
{
    return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

static void arp_put_u32(u8 *p, u32 v)
{
    p[0] = (u8)(v >> 24);
    p[1] = (u8)(v >> 16);
    p[2] = (u8)(v >> 8);
    p[3] = (u8)v;
}

int arp_parse(const u8 *p, u32 n, struct arp *out)
{
    if (n < ARP_LENGTH || memcmp(p, arp_kind, sizeof(arp_kind)))
        return -EINVAL;
    out->operation = (u16)(p[6] << 8 | p[7]);
    if (out->operation != ARP_REQUEST && out->operation != ARP_REPLY)
        return -EINVAL;
    memcpy(out->from_link, p + 8, ETHERNET_ADDR);
    out->from = arp_u32(p + 14);
    memcpy(out->to_link, p + 18, ETHERNET_ADDR);
    out->to = arp_u32(p + 24);
    return ethernet_is_multicast(out->from_link) ? -EINVAL : 0;
}

void arp_build(u8 out[ARP_LENGTH], const struct arp *a)
{
    memcpy(out, arp_kind, sizeof(arp_kind));
    out[6] = (u8)(a->operation >> 8);
    out[7] = (u8)a->operation;
    memcpy(out + 8, a->from_link, ETHERNET_ADDR);
    arp_put_u32(out + 14, a->from);
    memcpy(out + 18, a->to_link, ETHERNET_ADDR);
    arp_put_u32(out + 24, a->to);
}
