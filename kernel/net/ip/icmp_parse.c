/* SPDX-License-Identifier: MIT
 *
 * ICMP's errors, as RFC 792, RFC 1191, RFC 4443 have them and as Linux maps them (icmp(7)).
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "lib/wire.h"
#include "net/ip/icmp.h"
#include "net/ip/ipv4.h"
#include "net/ip/ipv6.h"

#define QUOTE_AT 8     /* where the packet begins */
#define QUOTE_LEAST 8  /* bytes of its transport (RFC 792) */
#define MTU_LEAST4 552 /* less is not believed */
#define ORIGIN_ICMP 2
#define ORIGIN_ICMP6 3

struct icmp_meaning {
    u8 err;
    bool hard;
};

/* Of unreachables, by code. */
static const struct icmp_meaning icmp_meaning4[] = {
    {ENETUNREACH, false},  {EHOSTUNREACH, false}, {ENOPROTOOPT, true},  {ECONNREFUSED, true},
    {EMSGSIZE, false},     {EOPNOTSUPP, false},   {ENETUNREACH, true},  {EHOSTDOWN, true},
    {ENONET, true},        {ENETUNREACH, true},   {EHOSTUNREACH, true}, {ENETUNREACH, false},
    {EHOSTUNREACH, false}, {EHOSTUNREACH, true},  {EHOSTUNREACH, true}, {EHOSTUNREACH, true},
};
static const struct icmp_meaning icmp_meaning6[] = {
    {ENETUNREACH, false}, {EACCES, true}, {EHOSTUNREACH, false}, {EHOSTUNREACH, false},
    {ECONNREFUSED, true}, {EACCES, true}, {EACCES, true},
};

/* A router that does not say what fits (RFC 1191 5, 7.1): the next smaller size that links have. */
static u32 icmp_plateau(u32 total)
{
    static const u32 sizes[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 576};

    for (u32 i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (sizes[i] < total)
            return sizes[i];
    return MTU_LEAST4;
}

static u32 icmp_mtu4(const u8 *p)
{
    u32 mtu = wire_u16(p + 6), total = wire_u16(p + QUOTE_AT + 2);

    if (!mtu || mtu >= total)
        mtu = icmp_plateau(total);
    return mtu < MTU_LEAST4 ? MTU_LEAST4 : mtu;
}

static int icmp_meaning_of4(const u8 *p, struct ip_error *e)
{
    struct icmp_meaning m;

    if (p[0] == ICMP_UNREACHABLE && p[1] < sizeof(icmp_meaning4) / sizeof(icmp_meaning4[0]))
        m = icmp_meaning4[p[1]];
    else if (p[0] == ICMP_TIME)
        m = (struct icmp_meaning){EHOSTUNREACH, false};
    else if (p[0] == ICMP_PROBLEM)
        m = (struct icmp_meaning){EPROTO, true};
    else
        return -EINVAL;
    e->err = m.err;
    e->hard = m.hard;
    e->origin = ORIGIN_ICMP;
    e->mtu = m.err == EMSGSIZE ? icmp_mtu4(p) : 0;
    return 0;
}

static int icmp_meaning_of6(const u8 *p, struct ip_error *e)
{
    struct icmp_meaning m = {EPROTO, true};
    u32 mtu = wire_u32(p + 4);

    if (p[0] == ICMP6_UNREACHABLE && p[1] < sizeof(icmp_meaning6) / sizeof(icmp_meaning6[0]))
        m = icmp_meaning6[p[1]];
    else if (p[0] == ICMP6_TOO_BIG)
        m = (struct icmp_meaning){EMSGSIZE, false};
    else if (p[0] == ICMP6_TIME)
        m = (struct icmp_meaning){EHOSTUNREACH, false};
    else if (p[0] != ICMP6_PROBLEM && p[0] != ICMP6_UNREACHABLE)
        return -EINVAL;
    e->err = m.err;
    e->hard = m.hard;
    e->origin = ORIGIN_ICMP6;
    if (m.err == EMSGSIZE)
        e->mtu = mtu < IPV6_MIN_MTU ? IPV6_MIN_MTU : mtu > 65535 ? 65535 : mtu;
    return 0;
}

/* The header of the packet, whose end is mostly cut off, and whose checksum a router may have left
 * wrong. */
static int icmp_quote4(const u8 *q, u32 n, struct icmp_message *out)
{
    u32 header;
    u32 from, to;

    if (n < IPV4_HEADER || q[0] >> 4 != 4)
        return -EINVAL;
    header = (q[0] & 15U) * 4;
    if (header < IPV4_HEADER || n < header + QUOTE_LEAST)
        return -EINVAL;
    memcpy(&from, q + 12, sizeof(from));
    memcpy(&to, q + 16, sizeof(to));
    out->sent = (struct ip_info){.from = ip_from_v4(ip_swap32(from)),
                                 .to = ip_from_v4(ip_swap32(to)),
                                 .protocol = q[9],
                                 .hops = q[8],
                                 .tos = q[1],
                                 .whole_only = q[6] & 0x40};
    out->first = !((q[6] & 0x1f) | q[7]);
    out->at = QUOTE_AT + header;
    return 0;
}

static int icmp_quote6(const u8 *q, u32 n, struct icmp_message *out)
{
    struct ipv6_chain chain;
    enum ipv6_verdict verdict;
    struct ipv6 h;

    if (ipv6_parse(q, n, 0xffff + IPV6_HEADER, &h))
        return -EINVAL;
    if (ip_is_v4(&h.from) || ip_is_v4(&h.to)) /* ICMPv6 says nothing of IPv4's paths */
        return -EINVAL;
    verdict = ipv6_chain(q, n, n, &chain);
    if (verdict != IPV6_DELIVER && verdict != IPV6_FRAGMENT)
        return -EINVAL;
    out->first = verdict == IPV6_DELIVER || !(wire_u16(q + chain.at + 2) & 0xfff8);
    if (verdict == IPV6_FRAGMENT)
        chain.at += IPV6_FRAGMENT_HEADER;
    if (chain.at > n || n - chain.at < QUOTE_LEAST)
        return -EINVAL;
    out->sent = (struct ip_info){.from = h.from,
                                 .to = h.to,
                                 .flow = h.flow,
                                 .protocol = chain.protocol,
                                 .hops = h.hops,
                                 .tos = h.tos};
    out->at = QUOTE_AT + chain.at;
    return 0;
}

int icmp_error_parse(const u8 *p, u32 n, bool v4, struct icmp_message *out)
{
    int err;

    *out = (struct icmp_message){.at = 0};
    if (n < QUOTE_AT + IPV4_HEADER)
        return -EINVAL;
    err = v4 ? icmp_meaning_of4(p, &out->error) : icmp_meaning_of6(p, &out->error);
    if (!err)
        err = v4 ? icmp_quote4(p + QUOTE_AT, n - QUOTE_AT, out)
                 : icmp_quote6(p + QUOTE_AT, n - QUOTE_AT, out);
    out->error.type = p[0];
    out->error.code = p[1];
    return err;
}
