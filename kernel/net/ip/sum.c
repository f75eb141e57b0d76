/* SPDX-License-Identifier: MIT
 *
 * Checksums of transports: over the pseudo header and all that follows (RFC 9293 3.1, RFC 768, RFC
 * 8200 8.1).
 */
#include "lib/checksum.h"
#include "lib/string.h"
#include "net/ip/ip.h"

u64 ip_pseudo_sum(const struct ip_info *h, u32 n)
{
    const u32 *a = h->from.w, *b = h->to.w;
    u64 sum = (u64)a[3] + b[3] + ip_swap32(n) + ((u64)h->protocol << 24);

    if (ip_is_v4(&h->to))
        return sum;
    return sum + a[0] + a[1] + a[2] + b[0] + b[1] + b[2];
}

bool ip_sum_is_ok(const struct packet *p, const struct ip_info *h)
{
    if (p->flags & (PACKET_CSUM_PARTIAL | PACKET_CSUM_VALID))
        return true;
    return checksum_fold(packet_sum(p, 0, p->len, ip_pseudo_sum(h, p->len))) == 0xffff;
}

void ip_sum_later(struct packet *p, const struct ip_info *h, u16 offset)
{
    u16 sum = checksum_fold(ip_pseudo_sum(h, p->len));

    memcpy(packet_data(p) + offset, &sum, sizeof(sum));
    p->csum_start = 0;
    p->csum_offset = offset;
    p->flags |= PACKET_CSUM_PARTIAL;
}

bool ip_sum_now(struct packet *p, const struct ip_info *h, u16 offset)
{
    if ((u32)offset + sizeof(u16) > p->linear)
        return false;
    ip_sum_later(p, h, offset);
    return packet_finish_sum(p);
}
