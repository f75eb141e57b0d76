/* SPDX-License-Identifier: MIT
 *
 * The pure cores of kernel/net: frames, ARP, headers of IPv4 and ICMP, the states of a neighbour,
 * checksums.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "lib/checksum.h"
#include "lib/errno.h"
#include "net/ip/ipv4.h"
#include "net/ip/neighbour.h"
#include "net/link/arp.h"
#include "net/link/ethernet.h"

/* ---- forwarding ---- */

static void header_make(u8 *p, u32 n)
{
    struct ipv4 h = {.total = 100, .id = 7, .ttl = 64, .protocol = 17, .from = 0x0a010002, .to = 1};
    u16 sum;

    memset(p, 1, n);
    ipv4_build(p, &h);
    p[0] = (u8)(0x40 | n / 4);
    p[10] = p[11] = 0;
    sum = checksum_of(p, n);
    memcpy(p + 10, &sum, sizeof(sum));
}

TEST(ipv4_hop_keeps_the_checksum_right)
{
    u8 p[IPV4_HEADER];

    for (u32 id = 0; id < 65536; id += 13) {
        header_make(p, sizeof(p));
        p[4] = (u8)(id >> 8);
        p[5] = (u8)id;
        p[10] = p[11] = 0;
        u16 sum = checksum_of(p, sizeof(p));

        memcpy(p + 10, &sum, sizeof(sum));
        for (int ttl = 63; ttl > 0; ttl--) {
            ipv4_hop(p);
            EXPECT(p[8] == ttl && !checksum_of(p, sizeof(p)));
        }
    }
}

TEST(ipv4_source_routes_are_found_whatever_stands_before)
{
    u8 p[IPV4_HEADER_MAX];

    header_make(p, sizeof(p));
    EXPECT(!ipv4_is_source_routed(p, IPV4_HEADER) && !ipv4_is_source_routed(p, sizeof(p)));
    p[30] = 131;
    p[31] = 3;
    EXPECT(ipv4_is_source_routed(p, sizeof(p)));
    p[30] = 137;
    EXPECT(ipv4_is_source_routed(p, sizeof(p)));
    p[30] = 7;
    EXPECT(!ipv4_is_source_routed(p, sizeof(p)));
    p[31] = 31; /* beyond the header */
    EXPECT(ipv4_is_source_routed(p, sizeof(p)));
    p[31] = 0;
    EXPECT(ipv4_is_source_routed(p, sizeof(p)));
    p[29] = 0; /* the end of the list */
    EXPECT(!ipv4_is_source_routed(p, sizeof(p)));
}

TEST(ipv4_later_fragments_have_the_options_that_are_copied)
{
    u8 p[32], out[32];

    header_make(p, sizeof(p));
    memcpy(p + 20, "\x94\4\0\0\7\7\x8\0\0\0\0", 12);
    ipv4_fragment_header(out, p, 32, 92, 0, true);
    EXPECT(!checksum_of(out, 32) && !memcmp(out + 20, p + 20, 12) && out[6] == 0x20 && !out[7]);
    ipv4_fragment_header(out, p, 32, 40, 800, false);
    EXPECT(!checksum_of(out, 32) && !memcmp(out + 20, p + 20, 4) && out[6] == 0 && out[7] == 100);
    EXPECT(!memcmp(out + 24, "\1\1\1\1\1\1\1\0", 8) && out[3] == 40);
    ipv4_fragment_header(out, p, 32, 40, 0x10000 + 800, false); /* no flag of that */
    EXPECT(!checksum_of(out, 32) && out[6] == 0 && out[7] == 100);
    p[21] = 0; /* nonsense, of foreign hand */
    ipv4_fragment_header(out, p, 32, 40, 800, false);
    EXPECT(!checksum_of(out, 32));
}

/* ---- checksums ---- */

/* RFC 1071, word for word. */
static u16 slow_sum(const u8 *p, size_t n)
{
    u32 sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += i % 2 ? p[i] : (u32)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (u16)sum;
}

static u16 fast_sum(const u8 *p, size_t n)
{
    return __builtin_bswap16(checksum_fold(checksum_add(0, p, n)));
}

TEST(checksum_is_rfc_1071s_at_every_length_and_place)
{
    u8 data[300];
    u64 seed = 7;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = i % 5 ? (u8)unit_rand(&seed) : 0xff;
    for (size_t at = 0; at < 16; at++)
        for (size_t n = 0; n + at <= sizeof(data); n++)
            EXPECT(fast_sum(data + at, n) == slow_sum(data + at, n));
}

TEST(checksum_of_parts_is_that_of_the_whole)
{
    u8 data[200];
    u64 seed = 11;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (u8)unit_rand(&seed);
    for (size_t cut = 0; cut <= sizeof(data); cut++) {
        u64 first = checksum_add(0, data, cut);
        u64 rest = checksum_add(0, data + cut, sizeof(data) - cut);

        if (cut % 2)
            rest = checksum_odd(rest);
        EXPECT(__builtin_bswap16(checksum_fold((u64)checksum_fold(first) + checksum_fold(rest))) ==
               slow_sum(data, sizeof(data)));
    }
}

TEST(checksum_of_many_carries_is_right)
{
    static u8 data[65535];

    memset(data, 0xff, sizeof(data));
    EXPECT(fast_sum(data, sizeof(data)) == slow_sum(data, sizeof(data)));
    EXPECT(checksum_fold(0xffffffffffffffffULL) == 0xffff);
    EXPECT(checksum_fold(0x1ffff0000ffffULL) <= 0xffff);
}

/* ---- ethernet and ARP ---- */

static const u8 us[6] = {2, 0, 0, 0, 0, 1}, them[6] = {2, 0, 0, 0, 0, 2};

TEST(ethernet_header_comes_back_as_it_was_built)
{
    u8 frame[ETHERNET_HEADER];
    struct ethernet e;

    ethernet_build(frame, us, them, ETHERTYPE_ARP);
    EXPECT(!ethernet_parse(frame, sizeof(frame), &e));
    EXPECT(!memcmp(e.to, us, 6) && !memcmp(e.from, them, 6) && e.type == ETHERTYPE_ARP);
    EXPECT(e.header == ETHERNET_HEADER && !e.vlan);
}

TEST(ethernet_refuses_what_is_no_frame)
{
    u8 frame[18];
    struct ethernet e;

    memset(frame, 0, sizeof(frame));
    ethernet_build(frame, us, them, ETHERTYPE_IPV4);
    for (u32 n = 0; n < ETHERNET_HEADER; n++)
        EXPECT(ethernet_parse(frame, n, &e) == -EINVAL);
    ethernet_build(frame, us, (const u8[6]){3, 0, 0, 0, 0, 9}, ETHERTYPE_IPV4); /* from a group */
    EXPECT(ethernet_parse(frame, 18, &e) == -EINVAL);
    ethernet_build(frame, us, them, 46); /* a length */
    EXPECT(ethernet_parse(frame, 18, &e) == -EINVAL);
    ethernet_build(frame, us, them, ETHERTYPE_VLAN);
    EXPECT(ethernet_parse(frame, 17, &e) == -EINVAL); /* its tag is cut off */
    frame[14] = 0xe0;
    frame[15] = 5;
    frame[16] = 8;
    EXPECT(!ethernet_parse(frame, 18, &e) && e.vlan == 5 && e.type == ETHERTYPE_IPV4);
    EXPECT(e.header == 18);
    frame[16] = 0x81; /* a second tag */
    EXPECT(ethernet_parse(frame, 18, &e) == -EINVAL);
}

TEST(arp_comes_back_as_it_was_built)
{
    struct arp a = {.operation = ARP_REPLY, .from = 0x0a000001, .to = 0xc0a80102}, b;
    u8 p[ARP_LENGTH];

    memcpy(a.from_link, us, 6);
    memcpy(a.to_link, them, 6);
    arp_build(p, &a);
    EXPECT(p[14] == 10 && p[17] == 1 && p[24] == 192);
    EXPECT(!arp_parse(p, sizeof(p), &b) && !memcmp(&a, &b, sizeof(a)));
    for (u32 n = 0; n < ARP_LENGTH; n++)
        EXPECT(arp_parse(p, n, &b) == -EINVAL);
    for (u32 i = 0; i < 8; i++) { /* kinds, lengths, operation */
        p[i] ^= 0x40;
        EXPECT(arp_parse(p, sizeof(p), &b) == -EINVAL);
        p[i] ^= 0x40;
    }
    p[8] |= 1;
    EXPECT(arp_parse(p, sizeof(p), &b) == -EINVAL);
}

/* ---- IPv4 ---- */

TEST(ipv4_header_comes_back_as_it_was_built)
{
    struct ipv4 h = {.tos = 0x10,
                     .ttl = 9,
                     .protocol = 1,
                     .total = 84,
                     .id = 0x1234,
                     .whole_only = true,
                     .from = 0x0a000001,
                     .to = 0x0a000002},
                b;
    u8 p[IPV4_HEADER];

    ipv4_build(p, &h);
    EXPECT(slow_sum(p, sizeof(p)) == 0xffff);
    EXPECT(!ipv4_parse(p, sizeof(p), 84, &b) && b.header == 20 && b.total == 84 && b.tos == 0x10);
    EXPECT(b.ttl == 9 && b.protocol == 1 && b.id == 0x1234 && b.whole_only && !b.more);
    EXPECT(b.from == h.from && b.to == h.to && !ipv4_is_fragment(&b));
    h.more = true;
    h.fragment = 1480;
    ipv4_build(p, &h);
    EXPECT(!ipv4_parse(p, sizeof(p), 84, &b) && b.more && b.fragment == 1480);
    EXPECT(ipv4_is_fragment(&b));
}

TEST(ipv4_refuses_lengths_that_do_not_agree)
{
    struct ipv4 h = {.ttl = 1, .total = 40}, b;
    u8 p[IPV4_HEADER_MAX] = {0};

    ipv4_build(p, &h);
    EXPECT(!ipv4_parse(p, 20, 40, &b) && !ipv4_parse(p, 20, 46, &b));
    EXPECT(ipv4_parse(p, 19, 40, &b) == -EINVAL); /* cut */
    EXPECT(ipv4_parse(p, 20, 39, &b) == -EINVAL); /* less than it says */
    h.total = 19;
    ipv4_build(p, &h);
    EXPECT(ipv4_parse(p, 20, 40, &b) == -EINVAL);
    h.total = 40;
    for (unsigned length = 0; length < 16; length++) { /* in words, with a right checksum */
        u16 sum = 0;

        ipv4_build(p, &h);
        p[0] = (u8)(0x40 | length);
        memcpy(p + 10, &sum, 2);
        sum = checksum_of(p, length * 4);
        memcpy(p + 10, &sum, 2);
        EXPECT(!ipv4_parse(p, 40, 40, &b) == (length >= 5 && length <= 10));
    }
    ipv4_build(p, &h);
    for (unsigned bit = 0; bit < 160; bit++) { /* one flipped bit: the checksum */
        p[bit / 8] ^= 1 << bit % 8;
        EXPECT(ipv4_parse(p, 20, 60000, &b) == -EINVAL);
        p[bit / 8] ^= 1 << bit % 8;
    }
}

TEST(ipv4_sources_that_are_no_hosts)
{
    EXPECT(ipv4_source_ok(0x0a000001) && ipv4_source_ok(0xdfffffff));
    EXPECT(!ipv4_source_ok(0) && !ipv4_source_ok(0x7f000001) && !ipv4_source_ok(0xe0000001));
    EXPECT(!ipv4_source_ok(0xffffffff) && !ipv4_source_ok(0x00ffffff));
}

TEST(icmp_answers_have_a_right_checksum)
{
    u8 p[64];
    u64 seed = 3;

    for (int round = 0; round < 2000; round++) {
        u16 sum = 0;

        for (size_t i = 0; i < sizeof(p); i++)
            p[i] = round % 3 ? (u8)unit_rand(&seed) : round % 2 ? 0xff : 0;
        p[0] = ICMP_ECHO;
        p[1] = 0;
        memcpy(p + 2, &sum, 2);
        sum = checksum_of(p, sizeof(p));
        memcpy(p + 2, &sum, 2);
        icmp_echo_answer(p);
        EXPECT(p[0] == ICMP_ECHO_REPLY && slow_sum(p, sizeof(p)) == 0xffff);
    }
}

/* ---- neighbours ---- */

#define SECOND 1000000000ULL

/* RFC 4861 section 10. */
static const struct neighbour_times times = {30 * SECOND, 5 * SECOND, SECOND, 3, 3};

TEST(neighbour_is_asked_for_three_times_and_then_failed)
{
    struct neighbour n = {0};
    u64 now = 5 * SECOND;

    EXPECT(neighbour_use(&n, &times, now) == NEIGHBOUR_ASK_ALL && n.state == NEIGHBOUR_INCOMPLETE);
    EXPECT(neighbour_use(&n, &times, now) == 0); /* it is asked for already */
    EXPECT(neighbour_time(&n, &times, now + SECOND / 2) == 0);
    EXPECT(neighbour_time(&n, &times, now += SECOND) == NEIGHBOUR_ASK_ALL);
    EXPECT(neighbour_time(&n, &times, now += SECOND) == NEIGHBOUR_ASK_ALL);
    EXPECT(neighbour_time(&n, &times, now += SECOND) == NEIGHBOUR_DROP &&
           n.state == NEIGHBOUR_FAILED);
    EXPECT(neighbour_use(&n, &times, now) == NEIGHBOUR_DROP); /* a flood asks no more often */
    EXPECT(neighbour_use(&n, &times, now + SECOND) == NEIGHBOUR_ASK_ALL);
}

TEST(neighbour_that_answers_is_used_until_it_is_stale)
{
    struct neighbour n = {0};
    u64 now = SECOND;

    neighbour_use(&n, &times, now);
    EXPECT(neighbour_heard(&n, &times, them, NEIGHBOUR_ANSWERS, now) == NEIGHBOUR_SEND);
    EXPECT(n.state == NEIGHBOUR_REACHABLE && !memcmp(n.link, them, 6));
    EXPECT(neighbour_use(&n, &times, now) == NEIGHBOUR_SEND &&
           neighbour_time(&n, &times, now) == 0);
    EXPECT(neighbour_time(&n, &times, now += 30 * SECOND) == 0 && n.state == NEIGHBOUR_STALE);
    EXPECT(!n.deadline); /* what is not used costs no timer */
    EXPECT(neighbour_use(&n, &times, now) == NEIGHBOUR_SEND && n.state == NEIGHBOUR_DELAY);
    EXPECT(neighbour_time(&n, &times, now += 5 * SECOND) == NEIGHBOUR_ASK_ONE);
    EXPECT(neighbour_use(&n, &times, now) == NEIGHBOUR_SEND); /* meanwhile it is used */
    EXPECT(neighbour_heard(&n, &times, them, NEIGHBOUR_ANSWERS, now) == 0);
    EXPECT(n.state == NEIGHBOUR_REACHABLE);
    now += 30 * SECOND;
    neighbour_time(&n, &times, now);
    neighbour_use(&n, &times, now);
    for (int i = 0; i < 3; i++)
        EXPECT(neighbour_time(&n, &times, now += 5 * SECOND) == NEIGHBOUR_ASK_ONE);
    EXPECT(neighbour_time(&n, &times, now += SECOND) == NEIGHBOUR_DROP);
}

TEST(neighbour_that_asks_us_is_known_and_stale)
{
    struct neighbour n = {0};

    EXPECT(neighbour_heard(&n, &times, them, NEIGHBOUR_ASKS, SECOND) == NEIGHBOUR_SEND);
    EXPECT(n.state == NEIGHBOUR_STALE && neighbour_known(&n));
    neighbour_heard(&n, &times, them, NEIGHBOUR_ANSWERS, 2 * SECOND);
    neighbour_heard(&n, &times, them, NEIGHBOUR_ASKS, 3 * SECOND); /* nothing new */
    EXPECT(n.state == NEIGHBOUR_REACHABLE);
}

TEST(neighbour_does_not_follow_two_that_contradict_each_other)
{
    struct neighbour n = {0};
    static const u8 liar[6] = {2, 0, 0, 0, 0, 66};

    neighbour_heard(&n, &times, them, NEIGHBOUR_ANSWERS, 10 * SECOND);
    neighbour_heard(&n, &times, liar, NEIGHBOUR_ANSWERS, 10 * SECOND + 5);
    EXPECT(!memcmp(n.link, them, 6));
    neighbour_heard(&n, &times, liar, NEIGHBOUR_ASKS,
                    12 * SECOND); /* it may have moved: to be asked */
    EXPECT(!memcmp(n.link, liar, 6) && n.state == NEIGHBOUR_STALE);
}

/* ---- whatever comes ---- */

/* Bytes of the length that is claimed, and not one more: the sanitizer sees a read beyond. */
TEST(net_parsers_survive_damage)
{
    u64 seed = 99, rounds = 20000 * unit_times();

    for (u64 i = 0; i < rounds; i++) {
        u32 n = (u32)(unit_rand(&seed) % 80);
        u8 *p = malloc(n + 1);
        struct ethernet e;
        struct arp a;
        struct ipv4 h;

        for (u32 k = 0; k < n; k++)
            p[k] = unit_rand(&seed) % 4 ? (u8)unit_rand(&seed) : (u8)(0x45 * (k == 0));
        p = realloc(p, n ? n : 1);
        if (!ethernet_parse(p, n, &e))
            EXPECT(e.header <= n && e.type >= ETHERNET_MIN_TYPE && !(e.from[0] & 1));
        if (n >= ARP_LENGTH && unit_rand(&seed) % 2)
            memcpy(p, (const u8[8]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
        if (!arp_parse(p, n, &a))
            EXPECT(n >= ARP_LENGTH && (a.operation == 1 || a.operation == 2));
        if (n >= 20 && unit_rand(&seed) % 2) { /* the checksum is right: what is behind it counts */
            u32 header = (p[0] & 15) * 4U;
            u16 sum = 0;

            memcpy(p + 10, &sum, 2);
            sum = header <= n ? checksum_of(p, header) : 0;
            memcpy(p + 10, &sum, 2);
        }
        if (!ipv4_parse(p, n, n, &h))
            EXPECT(h.header >= 20 && h.header <= h.total && h.total <= n && h.fragment <= 65528);
        free(p);
    }
}

/* Every step: it is used only when it is known, and it never waits without a time. */
TEST(neighbour_survives_any_order_of_events)
{
    u64 seed = 5, rounds = 50000 * unit_times(), now = SECOND;
    struct neighbour n = {0};

    for (u64 i = 0; i < rounds; i++) {
        const u8 *link = unit_rand(&seed) % 2 ? us : them;
        u32 actions = 0;

        now += unit_rand(&seed) % (3 * SECOND);
        switch (unit_rand(&seed) % 4) {
        case 0:
            actions = neighbour_use(&n, &times, now);
            break;
        case 1:
            actions = neighbour_heard(&n, &times, link, unit_rand(&seed) % 2, now);
            break;
        default:
            actions = neighbour_time(&n, &times, now);
        }
        EXPECT(!(actions & NEIGHBOUR_SEND) || neighbour_known(&n));
        EXPECT(n.state != NEIGHBOUR_INCOMPLETE || n.deadline);
        EXPECT(n.state != NEIGHBOUR_PROBE || n.deadline);
        EXPECT(n.asked <= 3);
    }
}
