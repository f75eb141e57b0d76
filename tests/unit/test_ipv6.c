/* SPDX-License-Identifier: MIT
 *
 * IPv6's headers, neighbour discovery, ICMP's errors, source addresses: what they say, and that no
 * bytes lead outside themselves (ASan watches: each input is a block of its own).
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "lib/errno.h"
#include "net/ip/icmp.h"
#include "net/ip/ipv4.h"
#include "net/ip/ipv6.h"
#include "net/ip/source.h"

static struct ip_addr six(u64 high, u64 low)
{
    return (struct ip_addr){.q = {__builtin_bswap64(high), __builtin_bswap64(low)}};
}

#define LINK_A six(0xfe80000000000000, 0xa)
#define LINK_B six(0xfe80000000000000, 0xb)

/* A packet with that chain: bytes behind the header; its first header. */
static u32 chain_put(u8 *out, u8 next, const u8 *chain, u32 n)
{
    struct ipv6 h = {.next = next, .hops = 64, .payload = (u16)n, .from = LINK_A, .to = LINK_B};

    ipv6_build(out, &h);
    memcpy(out + IPV6_HEADER, chain, n);
    return IPV6_HEADER + n;
}

TEST(ipv6_header_is_read_as_it_was_built)
{
    struct ipv6 h = {.tos = 0xab,
                     .next = 17,
                     .hops = 3,
                     .payload = 9,
                     .flow = 0xfedcb,
                     .from = LINK_A,
                     .to = LINK_B},
                got;
    u8 b[IPV6_HEADER];

    ipv6_build(b, &h);
    EXPECT(!ipv6_parse(b, sizeof(b), sizeof(b) + 9, &got) && got.tos == 0xab &&
           got.flow == 0xfedcb);
    EXPECT(got.next == 17 && got.hops == 3 && got.payload == 9 && ip_equal(&got.from, &h.from) &&
           ip_equal(&got.to, &h.to));
    EXPECT(ipv6_parse(b, sizeof(b), sizeof(b) + 8, &got) == -EINVAL);
    EXPECT(ipv6_parse(b, 39, 39, &got) == -EINVAL);
}

TEST(ipv6_chain_ends_where_rfc_8200_says)
{
    static const u8 two[] = {60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0, 9};
    static const u8 routing[] = {17, 0, 0, 1, 0, 0, 0, 0}, done[] = {17, 0, 0, 0, 0, 0, 0, 0};
    static const u8 late[] = {0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0};
    static const u8 fragment[] = {17, 0, 0, 1, 0, 0, 0, 5};
    u8 b[400];
    struct ipv6_chain c;
    u32 n = chain_put(b, 0, two, sizeof(two));

    EXPECT(ipv6_chain(b, n, n, &c) == IPV6_DELIVER && c.protocol == 17 && c.at == 56);
    n = chain_put(b, 43, routing, 8);
    EXPECT(ipv6_chain(b, n, n, &c) == IPV6_PROBLEM && !c.code && c.at == 42);
    n = chain_put(b, 43, done, 8);
    EXPECT(ipv6_chain(b, n, n, &c) == IPV6_DELIVER && c.at == 48);
    n = chain_put(b, 60, late, 16);
    EXPECT(ipv6_chain(b, n, n, &c) == IPV6_PROBLEM && c.code == 1 && c.at == 40);
    n = chain_put(b, 44, fragment, 8);
    EXPECT(ipv6_chain(b, n, n, &c) == IPV6_FRAGMENT && c.protocol == 17 && c.at == 40);
    EXPECT(ipv6_chain(b, n - 1, n - 1, &c) == IPV6_DROP);
}

TEST(ipv6_chains_of_any_bytes_stay_inside)
{
    u64 seed = 5;

    for (u32 round = 0; round < 200000; round++) {
        static const u8 kinds[] = {0, 43, 44, 60, 17, 58, 59};
        u32 n = (u32)unit_rand(&seed) % 120;
        u8 *b = malloc(IPV6_HEADER + n);
        struct ipv6_chain c;
        struct icmp_message m;
        struct nd d;
        struct ip_addr a = LINK_A;

        for (u32 i = 0; i < n; i++)
            b[IPV6_HEADER + i] = unit_rand(&seed) % 3 ? (u8)(unit_rand(&seed) % 4)
                                                      : kinds[unit_rand(&seed) % sizeof(kinds)];
        memset(b, 0, IPV6_HEADER);
        b[0] = round & 1 ? 0x60 : 0x45;
        b[6] = kinds[unit_rand(&seed) % sizeof(kinds)];
        if (ipv6_chain(b, IPV6_HEADER + n, IPV6_HEADER + n, &c) == IPV6_DELIVER)
            EXPECT(c.at <= IPV6_HEADER + n);
        b[0] = (u8)(1 + unit_rand(&seed) % 12);
        if (n >= 8) {
            b[8] = round & 2 ? 0x60 : 0x45;
            if (!icmp_error_parse(b, IPV6_HEADER + n, round & 1, &m))
                EXPECT(m.at + 8 <= IPV6_HEADER + n);
        }
        b[0] = (u8)(135 + (round & 1));
        b[1] = 0;
        if (!nd_parse(b, IPV6_HEADER + n, &a, &a, 255, &d))
            EXPECT(d.target.b[0] != 0xff);
        free(b);
    }
}

TEST(nd_messages_are_read_as_they_were_built)
{
    struct nd m = {.type = ICMP6_SOLICIT,
                   .has_link = true,
                   .target = LINK_B,
                   .link = {2, 3, 4, 5, 6, 7}},
              got;
    struct ip_addr a = LINK_A, b = LINK_B, none = {0}, group = nd_group(&b);
    u8 bytes[ND_LENGTH];
    u32 n = nd_build(bytes, &m);

    EXPECT(n == 32 && !nd_parse(bytes, n, &a, &group, 255, &got) && got.has_link &&
           got.link[5] == 7);
    EXPECT(nd_parse(bytes, n, &a, &group, 254, &got) == -EINVAL);
    EXPECT(nd_parse(bytes, n, &none, &group, 255, &got) ==
           -EINVAL); /* nobody has no link address */
    m.has_link = false;
    n = nd_build(bytes, &m);
    EXPECT(!nd_parse(bytes, n, &none, &group, 255, &got) && !got.has_link);
    EXPECT(nd_parse(bytes, n, &none, &b, 255, &got) == -EINVAL);
    m = (struct nd){.type = ICMP6_ADVERTISE, .solicited = true, .target = LINK_B};
    n = nd_build(bytes, &m);
    EXPECT(!nd_parse(bytes, n, &b, &a, 255, &got) && got.solicited && !got.override);
    EXPECT(nd_parse(bytes, n, &b, &group, 255, &got) == -EINVAL); /* nobody asked */
    m.target = ip_from_v4(0x0a000001);                            /* ARP's */
    n = nd_build(bytes, &m);
    EXPECT(nd_parse(bytes, n, &b, &a, 255, &got) == -EINVAL);
}

TEST(icmp_error_says_what_was_sent_and_what_fits)
{
    u8 b[8 + IPV4_HEADER + 8] = {3, 4, 0, 0, 0, 0, 0x02, 0x58};
    struct ipv4 h = {.ttl = 9, .protocol = 6, .total = 1500, .from = 0x0a000002, .to = 0x08080808};
    struct icmp_message m;

    ipv4_build(b + 8, &h);
    EXPECT(!icmp_error_parse(b, sizeof(b), true, &m) && m.error.err == EMSGSIZE &&
           m.error.mtu == 600);
    EXPECT(m.at == 28 && m.first && ip_v4(&m.sent.from) == 0x0a000002 && m.sent.protocol == 6);
    b[6] = b[7] = 0; /* a router of old: the next plateau */
    EXPECT(!icmp_error_parse(b, sizeof(b), true, &m) && m.error.mtu == 1492);
    b[7] = 68; /* less than is believed */
    EXPECT(!icmp_error_parse(b, sizeof(b), true, &m) && m.error.mtu == 552);
    b[1] = 3;
    EXPECT(!icmp_error_parse(b, sizeof(b), true, &m) && m.error.err == ECONNREFUSED &&
           m.error.hard);
    b[1] = 16;
    EXPECT(icmp_error_parse(b, sizeof(b), true, &m) == -EINVAL);
    b[1] = 3;
    EXPECT(icmp_error_parse(b, sizeof(b) - 1, true, &m) == -EINVAL);
}

TEST(icmp_error_of_ipv6_says_nothing_of_ipv4s_addresses)
{
    u8 b[8 + IPV6_HEADER + 8] = {2, 0, 0, 0, 0, 0, 5, 0};
    struct ipv6 h = {.payload = 8, .next = 17, .hops = 9, .from = LINK_A, .to = LINK_B};
    struct icmp_message m;

    ipv6_build(b + 8, &h);
    EXPECT(!icmp_error_parse(b, sizeof(b), false, &m) && m.error.mtu == 1280);
    h.to = ip_from_v4(0x0a000001);
    ipv6_build(b + 8, &h);
    EXPECT(icmp_error_parse(b, sizeof(b), false, &m) == -EINVAL);
    h.from = h.to;
    h.to = (struct ip_addr)LINK_B;
    ipv6_build(b + 8, &h);
    EXPECT(icmp_error_parse(b, sizeof(b), false, &m) == -EINVAL);
}

static struct source6 source(u64 high, u64 low, u8 prefix)
{
    return (struct source6){.addr = six(high, low), .prefix = prefix, .of_device = true};
}

/* The examples of RFC 6724 10.1. */
TEST(source_is_chosen_as_in_the_examples_of_rfc_6724)
{
    struct source6 global = source(0x20010db800030000, 1, 64),
                   local = source(0xfe80000000000000, 1, 64);
    struct source6 near = source(0x20010db800010000, 2, 64), old = near;
    struct source6 six4 = source(0x2002c63364010000, 1, 64);
    struct ip_addr far = six(0x20010db800010000, 1), group = six(0xff05000000000000, 1);
    struct ip_addr link = six(0xfe80000000000000, 9), to6to4 = six(0x2002c63364010000, 9);

    EXPECT(source6_is_better(&global, &local, &far) && !source6_is_better(&local, &global, &far));
    EXPECT(source6_is_better(&global, &local, &group));
    EXPECT(source6_is_better(&local, &global, &link));
    EXPECT(source6_is_better(&near, &global, &far)); /* the longest match */
    old.deprecated = true;
    EXPECT(source6_is_better(&global, &old, &far));
    EXPECT(source6_is_better(&six4, &global, &to6to4)); /* the same label */
    old.deprecated = false;
    old.of_device = false;
    EXPECT(source6_is_better(&global, &old, &far));
}
