/* SPDX-License-Identifier: MIT
 *
 * Headers of IPv4 and ICMP.
 */
#include "net/ip/ipv4.h"
#include "lib/checksum.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "lib/wire.h"

int ipv4_parse(const u8 *p, u32 n, u32 len, struct ipv4 *out)
{
    u16 flags;

    if (n < IPV4_HEADER || p[0] >> 4 != 4)
        return -EINVAL;
    out->header = (u8)((p[0] & 15) * 4);
    out->total = wire_u16(p + 2);
    if (out->header < IPV4_HEADER || out->header > n || out->total < out->header ||
        out->total > len)
        return -EINVAL;
    if (checksum_of(p, out->header))
        return -EINVAL;
    flags = wire_u16(p + 6);
    out->tos = p[1];
    out->id = wire_u16(p + 4);
    out->more = flags & 0x2000;
    out->whole_only = flags & 0x4000;
    out->fragment = (u16)((flags & 0x1fff) * 8);
    out->ttl = p[8];
    out->protocol = p[9];
    out->from = wire_u32(p + 12);
    out->to = wire_u32(p + 16);
    return 0;
}

void ipv4_build(u8 out[IPV4_HEADER], const struct ipv4 *h)
{
    u16 sum;

    out[0] = 0x45;
    out[1] = h->tos;
    wire_put_u16(out + 2, h->total);
    wire_put_u16(out + 4, h->id);
    wire_put_u16(out + 6,
                 (h->more ? 0x2000U : 0) | (h->whole_only ? 0x4000U : 0) | h->fragment / 8);
    out[8] = h->ttl;
    out[9] = h->protocol;
    wire_put_u16(out + 10, 0);
    wire_put_u32(out + 12, h->from);
    wire_put_u32(out + 16, h->to);
    sum = checksum_of(out, IPV4_HEADER);
    memcpy(out + 10, &sum, sizeof(sum));
}

/* 0/8, 127/8, multicast, reserved and broadcast are no host's. */
bool ipv4_source_ok(u32 from)
{
    return from >> 24 != 0 && from >> 24 != 127 && from >> 28 < 14;
}

/* RFC 1141: the field is a sum, so a word that is smaller by 0x100 makes it larger by that. */
void ipv4_hop(u8 *p)
{
    u32 sum = (u32)wire_u16(p + 10) + 0x100;

    p[8]--;
    wire_put_u16(p + 10, (sum & 0xffff) + (sum >> 16));
}

enum {
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_LOOSE = 131,
    OPTION_STRICT = 137,
    OPTION_COPIED = 0x80
};

/* Bytes of the option at `at`, of those below n; 0: nonsense. */
static u32 ipv4_option(const u8 *p, u32 at, u32 n)
{
    if (p[at] == OPTION_NOP || p[at] == OPTION_END)
        return 1;
    if (at + 1 >= n || p[at + 1] < 2 || p[at + 1] > n - at)
        return 0;
    return p[at + 1];
}

bool ipv4_is_source_routed(const u8 *p, u32 n)
{
    for (u32 at = IPV4_HEADER, len; at < n && p[at] != OPTION_END; at += len) {
        len = ipv4_option(p, at, n);
        if (!len || p[at] == OPTION_LOOSE || p[at] == OPTION_STRICT)
            return true;
    }
    return false;
}

void ipv4_fragment_header(u8 *out, const u8 *head, u32 n, u32 total, u32 offset, bool more)
{
    u16 sum;

    memcpy(out, head, n);
    for (u32 at = IPV4_HEADER, len; offset && at < n && out[at] != OPTION_END; at += len) {
        len = ipv4_option(out, at, n);
        len = len ? len : n - at;
        if (!(out[at] & OPTION_COPIED))
            memset(out + at, OPTION_NOP, len);
    }
    wire_put_u16(out + 2, total);
    wire_put_u16(out + 6, (more ? 0x2000U : 0) | (offset / 8 & 0x1fff));
    wire_put_u16(out + 10, 0);
    sum = checksum_of(out, n);
    memcpy(out + 10, &sum, sizeof(sum));
}

/* RFC 1624, equation 3: HC' = ~(~HC + ~m + m'); of the word with type and code. All ones stand for
 * zero: that is right also where nothing else of the message is set. */
void icmp_echo_answer(u8 *p)
{
    u16 sum, before, after;

    memcpy(&before, p, sizeof(before));
    memcpy(&sum, p + 2, sizeof(sum));
    p[0] = ICMP_ECHO_REPLY;
    memcpy(&after, p, sizeof(after));
    sum = (u16)~checksum_fold((u64)(u16)~sum + (u16)~before + after);
    sum = sum ? sum : 0xffff;
    memcpy(p + 2, &sum, sizeof(sum));
}
