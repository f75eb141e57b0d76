/* SPDX-License-Identifier: MIT
 *
 * Source addresses of IPv6: RFC 6724.
 */
#include "net/ip/source.h"
#include "net/ip/addr.h"
#include "net/ip/lpm.h"

enum { SCOPE6_HOST = 1, SCOPE6_LINK = 2, SCOPE6_SITE = 5, SCOPE6_GLOBAL = 14 };

static u8 source_scope(const struct ip_addr *a)
{
    if (a->b[0] == 0xff)
        return a->b[1] & 15;
    if (ip_is_link_local(a) || ip_is_loopback(a))
        return SCOPE6_LINK;
    if (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0xc0)
        return SCOPE6_SITE;
    return SCOPE6_GLOBAL;
}

/* The policy table of RFC 6724 2.1: labels. */
static const struct source_policy {
    struct ip_addr net;
    u8 prefix, label;
} source_policies[] = {
    {{.b = {[15] = 1}}, 128, 0},   {{.b = {[10] = 0xff, 0xff}}, 96, 4},
    {{.b = {0}}, 96, 3},           {{.b = {0x20, 0x01}}, 32, 5},
    {{.b = {0x20, 0x02}}, 16, 2},  {{.b = {0x3f, 0xfe}}, 16, 12},
    {{.b = {0xfe, 0xc0}}, 10, 11}, {{.b = {0xfc}}, 7, 13},
};

static u32 source_common(const struct ip_addr *a, const struct ip_addr *b)
{
    u32 n = 0;

    while (n < 16 && a->b[n] == b->b[n])
        n++;
    return n == 16 ? 128 : n * 8 + (u32)__builtin_clz(a->b[n] ^ b->b[n]) - 24;
}

static u8 source_label(const struct ip_addr *a)
{
    for (u32 i = 0; i < sizeof(source_policies) / sizeof(source_policies[0]); i++)
        if (source_common(a, &source_policies[i].net) >= source_policies[i].prefix)
            return source_policies[i].label;
    return 1;
}

/* Rule 2: of two scopes the smaller one that is at least the destination's. */
static bool source_scope_better(u8 a, u8 b, u8 to)
{
    return a < b ? a >= to : b < to;
}

static u32 source_match(const struct source6 *s, const struct ip_addr *to)
{
    u32 n = source_common(&s->addr, to);

    return n < s->prefix ? n : s->prefix;
}

bool source6_is_better(const struct source6 *a, const struct source6 *b, const struct ip_addr *to)
{
    u8 sa = source_scope(&a->addr), sb = source_scope(&b->addr), label = source_label(to);
    bool la = source_label(&a->addr) == label, lb = source_label(&b->addr) == label;

    if (ip_equal(&a->addr, to) != ip_equal(&b->addr, to))
        return ip_equal(&a->addr, to);
    if (sa != sb)
        return source_scope_better(sa, sb, source_scope(to));
    if (a->deprecated != b->deprecated)
        return b->deprecated;
    if (a->of_device != b->of_device)
        return a->of_device;
    if (la != lb)
        return la;
    return source_match(a, to) > source_match(b, to);
}
