/* SPDX-License-Identifier: MIT
 *
 * Headers of IPv6 and of neighbour discovery.
 */
#include "net/ip/ipv6.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "lib/wire.h"

enum {
    HEADER_HOPS = 0,
    HEADER_ROUTING = 43,
    HEADER_FRAGMENT = IPV6_FRAGMENT_NEXT,
    HEADER_TARGET = 60
};
enum { OPTION_PAD = 0, OPTION_ALERT = 5 };
enum { PROBLEM_FIELD = 0, PROBLEM_HEADER = 1, PROBLEM_OPTION = 2 };
enum { ND_SOURCE_LINK = 1, ND_TARGET_LINK = 2 };

int ipv6_parse(const u8 *p, u32 n, u32 len, struct ipv6 *out)
{
    if (n < IPV6_HEADER || p[0] >> 4 != 6)
        return -EINVAL;
    out->tos = (u8)(p[0] << 4 | p[1] >> 4);
    out->flow = (u32)(p[1] & 15) << 16 | wire_u16(p + 2);
    out->payload = (u16)wire_u16(p + 4);
    out->next = p[6];
    out->hops = p[7];
    memcpy(&out->from, p + 8, sizeof(out->from));
    memcpy(&out->to, p + 24, sizeof(out->to));
    return out->payload <= len - IPV6_HEADER ? 0 : -EINVAL;
}

void ipv6_build(u8 out[IPV6_HEADER], const struct ipv6 *h)
{
    out[0] = (u8)(0x60 | h->tos >> 4);
    out[1] = (u8)(h->tos << 4 | (h->flow >> 16 & 15));
    out[2] = (u8)(h->flow >> 8);
    out[3] = (u8)h->flow;
    out[4] = (u8)(h->payload >> 8);
    out[5] = (u8)h->payload;
    out[6] = h->next;
    out[7] = h->hops;
    memcpy(out + 8, &h->from, sizeof(h->from));
    memcpy(out + 24, &h->to, sizeof(h->to));
}

/* ::1, or :: if any. */
static bool ipv6_is_host(const struct ip_addr *a, u8 last)
{
    return !a->q[0] && !a->w[2] && !a->b[12] && !a->b[13] && !a->b[14] && a->b[15] == last;
}

/* RFC 4291 2.5.3, 2.7: neither the loopback nor a group of scope 0 or 1 leaves a host. */
bool ipv6_ends_ok(const struct ipv6 *h)
{
    if (h->from.b[0] == 0xff || ip_is_v4(&h->from) || ip_is_v4(&h->to))
        return false;
    if (ipv6_is_host(&h->from, 1) || ipv6_is_host(&h->to, 1) || ipv6_is_host(&h->to, 0))
        return false;
    return h->to.b[0] != 0xff || (h->to.b[1] & 15) > 1;
}

/* The options of a header of n bytes at `at` (RFC 8200 4.2). */
static enum ipv6_verdict chain_options(const u8 *p, u32 at, u32 n, struct ipv6_chain *out)
{
    u32 end = at + n, count = 0;

    for (at += 2; at < end; count++) {
        u8 type = p[at];
        u32 size = type == OPTION_PAD ? 1 : at + 2 <= end ? 2U + p[at + 1] : n;

        if (count == IPV6_OPTIONS_MOST || size > end - at)
            return IPV6_DROP;
        if (type > 1 && type != OPTION_ALERT && type >> 6) {
            out->code = PROBLEM_OPTION;
            out->group_too = type >> 6 == 2;
            out->at = at;
            return type >> 6 == 1 ? IPV6_DROP : IPV6_PROBLEM;
        }
        at += size;
    }
    return IPV6_DELIVER;
}

/* One that has more hops to make does not make them here (RFC 5095, RFC 8200 4.4). */
static enum ipv6_verdict chain_routing(const u8 *p, struct ipv6_chain *out)
{
    if (!p[out->at + 3])
        return IPV6_DELIVER;
    out->code = PROBLEM_FIELD;
    out->at += 2;
    return IPV6_PROBLEM;
}

static bool chain_goes_on(u8 next)
{
    return next == HEADER_HOPS || next == HEADER_ROUTING || next == HEADER_TARGET;
}

enum ipv6_verdict ipv6_chain(const u8 *p, u32 n, u32 len, struct ipv6_chain *out)
{
    *out = (struct ipv6_chain){.protocol = p[6], .at = IPV6_HEADER, .link = 6};
    for (u32 i = 0; chain_goes_on(out->protocol); i++) {
        enum ipv6_verdict verdict;
        u32 at = out->at, size;

        if (i == IPV6_CHAIN_MOST || n < 8 || at > n - 8)
            return IPV6_DROP;
        size = (p[at + 1] + 1U) * 8;
        if (size > n - at)
            return IPV6_DROP;
        if (out->protocol == HEADER_HOPS && i) { /* it may only be the first */
            out->code = PROBLEM_HEADER;
            out->at = out->link;
            return IPV6_PROBLEM;
        }
        verdict = out->protocol == HEADER_ROUTING ? chain_routing(p, out)
                                                  : chain_options(p, at, size, out);
        if (verdict != IPV6_DELIVER)
            return verdict;
        out->protocol = p[at];
        out->link = at;
        out->at = at + size;
    }
    if (out->protocol != HEADER_FRAGMENT)
        return out->protocol == IPV6_NONE ? IPV6_DROP : IPV6_DELIVER;
    if (n < IPV6_FRAGMENT_HEADER || out->at > n - IPV6_FRAGMENT_HEADER)
        return IPV6_DROP;
    out->protocol = p[out->at];
    return out->at + IPV6_FRAGMENT_HEADER <= len ? IPV6_FRAGMENT : IPV6_DROP;
}

void ipv6_fragment_parse(const u8 *p, struct ipv6_fragment *out)
{
    out->id = wire_u32(p + 4);
    out->offset = wire_u16(p + 2) & 0xfff8;
    out->more = p[3] & 1;
}

void ipv6_fragment_build(u8 *out, u8 next, u32 id, u32 offset, bool more)
{
    out[0] = next;
    out[1] = 0;
    out[2] = (u8)(offset >> 8);
    out[3] = (u8)((offset & 0xf8) | more);
    for (u32 i = 0; i < 4; i++)
        out[4 + i] = (u8)(id >> (24 - 8 * i));
}

/* Options are of eight bytes each, none of length zero. */
static int nd_options(const u8 *p, u32 n, u8 wanted, struct nd *out)
{
    for (u32 at = ND_HEADER; at < n; at += p[at + 1] * 8U) {
        if (n - at < 8 || !p[at + 1] || p[at + 1] * 8U > n - at)
            return -EINVAL;
        if (p[at] != wanted || p[at + 1] != 1)
            continue;
        memcpy(out->link, p + at + 2, sizeof(out->link));
        out->has_link = !(out->link[0] & 1);
    }
    return 0;
}

int nd_parse(const u8 *p, u32 n, const struct ip_addr *from, const struct ip_addr *to, u8 hops,
             struct nd *out)
{
    bool unknown = ipv6_is_host(from, 0);
    struct ip_addr group;
    int err;

    *out = (struct nd){.type = n ? p[0] : 0};
    if (n < ND_HEADER || hops != ND_HOPS || p[1])
        return -EINVAL;
    memcpy(&out->target, p + 8, sizeof(out->target));
    if (out->target.b[0] == 0xff || ip_is_v4(&out->target)) /* IPv4's neighbours are ARP's */
        return -EINVAL;
    if (out->type == ICMP6_SOLICIT) {
        err = nd_options(p, n, ND_SOURCE_LINK, out);
        group = nd_group(&out->target);
        return err || (unknown && (out->has_link || !ip_equal(to, &group))) ? -EINVAL : 0;
    }
    out->router = p[4] & 0x80;
    out->solicited = p[4] & 0x40;
    out->override = p[4] & 0x20;
    if (out->type != ICMP6_ADVERTISE || unknown || (to->b[0] == 0xff && out->solicited))
        return -EINVAL;
    return nd_options(p, n, ND_TARGET_LINK, out);
}

u32 nd_build(u8 out[ND_LENGTH], const struct nd *m)
{
    memset(out, 0, ND_LENGTH);
    out[0] = m->type;
    if (m->type == ICMP6_ADVERTISE)
        out[4] =
            (u8)((m->router ? 0x80 : 0) | (m->solicited ? 0x40 : 0) | (m->override ? 0x20 : 0));
    memcpy(out + 8, &m->target, sizeof(m->target));
    if (!m->has_link)
        return ND_HEADER;
    out[ND_HEADER] = m->type == ICMP6_SOLICIT ? ND_SOURCE_LINK : ND_TARGET_LINK;
    out[ND_HEADER + 1] = 1;
    memcpy(out + ND_HEADER + 2, m->link, sizeof(m->link));
    return ND_LENGTH;
}

struct ip_addr nd_group(const struct ip_addr *addr)
{
    struct ip_addr g = {.b = {0xff, 2, [11] = 1, [12] = 0xff}};

    memcpy(g.b + 13, addr->b + 13, 3);
    return g;
}

struct ip_addr nd_link_local(const u8 link[6])
{
    struct ip_addr a = {.b = {0xfe, 0x80, [11] = 0xff, [12] = 0xfe}};

    memcpy(a.b + 8, link, 3);
    a.b[8] ^= 2;
    memcpy(a.b + 13, link + 3, 3);
    return a;
}
