// SPDX-License-Identifier: MIT
// netd's router discovery and stateless DHCPv6.
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "netd/address.h"
#include "netd/dhcp6.h"
#include "netd/limit.h"
#include "netd/ra.h"
#include "netd/wire.h"

static const uint8_t v6_mac[6] = {0x52, 0x54, 0, 1, 2, 3};
static const uint8_t v6_net[16] = {0xfd, 0, 0, 7};
static const uint8_t v6_dns[16] = {0xfd, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53};

struct advert {
    uint8_t bytes[512];
    size_t len;
    struct ra_packet packet;
};

/* `seconds`: for how long its sender is a router. */
static void advert_begin(struct advert *a, uint16_t seconds)
{
    memset(a, 0, sizeof(*a));
    a->bytes[0] = 134;
    a->bytes[4] = 61;
    wire_put16(a->bytes + 6, seconds);
    a->len = 16;
    a->packet.source[0] = 0xfe;
    a->packet.source[1] = 0x80;
    a->packet.source[15] = 1;
    a->packet.hop_limit = 255;
}

static void advert_prefix(struct advert *a, uint8_t flags, uint32_t valid, uint32_t preferred)
{
    uint8_t *o = a->bytes + a->len;

    o[0] = 3;
    o[1] = 4;
    o[2] = 64;
    o[3] = flags;
    wire_put32(o + 4, valid);
    wire_put32(o + 8, preferred);
    memcpy(o + 16, v6_net, 16);
    a->len += 32;
}

static void advert_names(struct advert *a, uint32_t seconds)
{
    static const uint8_t domains[16] = "\3lab\7example";
    uint8_t *o = a->bytes + a->len;

    o[0] = 25;
    o[1] = 3;
    wire_put32(o + 4, seconds);
    memcpy(o + 8, v6_dns, 16);
    o += 24;
    o[0] = 31;
    o[1] = 3;
    wire_put32(o + 4, seconds);
    memcpy(o + 8, domains, 16);
    a->len += 48;
}

static void advert_hear(struct ra *r, struct advert *a, uint64_t now, struct ra_out *out)
{
    uint8_t *copy = malloc(a->len);

    memcpy(copy, a->bytes, a->len);
    a->packet.bytes = copy;
    a->packet.len = a->len;
    ra_input(r, &a->packet, now, out);
    free(copy);
}

static void ra_ready(struct ra *r, uint64_t now)
{
    struct ra_out out;

    ra_init(r, 3);
    ra_start(r, now, &out);
}

/* It has heard of a router and a prefix. */
static void ra_led(struct ra *r, struct advert *a, uint16_t seconds, uint32_t valid,
                   struct ra_out *out)
{
    ra_ready(r, 1000);
    advert_begin(a, seconds);
    advert_prefix(a, 0xc0, valid, valid);
    advert_hear(r, a, 1000, out);
}

TEST(ra_solicits_until_a_router_answers)
{
    struct ra r;
    struct ra_out out;
    struct advert a;
    uint64_t now = 1000;

    ra_ready(&r, now);
    for (int i = 0; i < 5; i++) {
        EXPECT(r.wake > now);
        now = r.wake;
        ra_wake(&r, now, &out);
        EXPECT(out.solicit);
        EXPECT(r.wake - now >= (3600u << i) && r.wake - now <= (4400u << i));
    }
    advert_begin(&a, 1800);
    advert_hear(&r, &a, now, &out);
    EXPECT(out.routers && r.router[0].e.changed && r.router[0].address[15] == 1);
    EXPECT(r.wake == now + 1800000); /* the router's end: nothing is asked before */
    ra_wake(&r, r.wake, &out);
    EXPECT(out.routers && r.router[0].e.gone && out.solicit);
}

TEST(ra_gives_prefixes_names_and_words_of_the_link)
{
    struct ra r;
    struct ra_out out;
    struct advert a;

    ra_ready(&r, 1000);
    advert_begin(&a, 1800);
    a.bytes[5] = 0x40;
    advert_prefix(&a, 0xc0, 7200, 3600);
    advert_names(&a, 600);
    wire_put32(a.bytes + a.len, 0x05010000);
    wire_put32(a.bytes + a.len + 4, 1400);
    a.len += 8;
    advert_hear(&r, &a, 1000, &out);
    EXPECT(out.prefixes && out.names && out.link && out.ask && out.routers);
    EXPECT(r.on_link[0].e.used && r.prefix[0].e.used && r.prefix[0].bits == 64);
    EXPECT(ra_left(r.prefix[0].e.ends, 1000) == 7200 &&
           ra_left(r.prefix[0].preferred, 1000) == 3600);
    EXPECT(!memcmp(r.server[0].address, v6_dns, 16) && !strcmp(r.domain[0].name, "lab.example"));
    EXPECT(r.mtu == 1400 && r.hop_limit == 61);
    advert_hear(&r, &a, 2000, &out);
    EXPECT(!out.ask && !out.link && !out.routers); /* all that is not new */
    EXPECT(r.wake == 2000 + 600000);
    ra_wake(&r, r.wake, &out);
    EXPECT(out.names && r.server[0].e.gone && r.domain[0].e.gone);
}

TEST(ra_takes_no_address_away_within_two_hours)
{
    struct ra r;
    struct ra_out out;
    struct advert a;

    ra_led(&r, &a, 1800, 86400, &out);
    advert_begin(&a, 1800);
    advert_prefix(&a, 0xc0, 0, 0);
    advert_hear(&r, &a, 2000, &out);
    EXPECT(!r.prefix[0].e.gone && ra_left(r.prefix[0].e.ends, 2000) == 7200);
    EXPECT(ra_left(r.prefix[0].preferred, 2000) == 0); /* but not for what is new */
    advert_hear(&r, &a, 5000, &out);
    EXPECT(ra_left(r.prefix[0].e.ends, 2000) == 7200);
    ra_wake(&r, 2000 + 7200000, &out);
    EXPECT(r.prefix[0].e.gone);
}

TEST(ra_hears_routers_of_its_own_link_alone)
{
    struct ra r;
    struct ra_out out;
    struct advert a;

    ra_ready(&r, 1000);
    advert_begin(&a, 1800);
    a.packet.hop_limit = 254;
    advert_hear(&r, &a, 1000, &out);
    EXPECT(!out.routers);
    advert_begin(&a, 1800);
    a.packet.source[0] = 0x20;
    advert_hear(&r, &a, 1000, &out);
    EXPECT(!out.routers);
    advert_begin(&a, 1800);
    a.len += 8; /* an option of no length */
    advert_hear(&r, &a, 1000, &out);
    EXPECT(!out.routers);
    advert_begin(&a, 1800);
    advert_prefix(&a, 0xc0, 100, 200); /* preferred for longer than valid */
    a.bytes[16 + 32] = 3;
    a.bytes[16 + 33] = 9; /* beyond the end */
    a.len += 8;
    advert_hear(&r, &a, 1000, &out);
    EXPECT(!out.routers && !out.prefixes);
}

TEST(ra_floods_take_nothing_away)
{
    struct ra r;
    struct ra_out out;
    struct advert a;
    u64 seed = 4;

    ra_ready(&r, 1000);
    advert_begin(&a, 9000);
    advert_prefix(&a, 0xc0, 86400, 86400);
    advert_names(&a, 9000);
    advert_hear(&r, &a, 1000, &out);
    for (int i = 0; i < 1000; i++) {
        a.packet.source[14] = (uint8_t)unit_rand(&seed);
        a.bytes[16 + 16 + 6] = (uint8_t)unit_rand(&seed);
        a.bytes[16 + 32 + 20] = (uint8_t)unit_rand(&seed);
        advert_hear(&r, &a, 1000 + (uint64_t)i, &out);
    }
    EXPECT(r.router[0].address[14] == 0 && r.router[0].e.used);
    EXPECT(!memcmp(r.prefix[0].bytes, v6_net, 16) && !memcmp(r.server[0].address, v6_dns, 16));
}

TEST(ra_flags_that_flip_leave_nothing_behind)
{
    struct ra r;
    struct ra_out out;
    struct advert a;

    ra_ready(&r, 1000);
    advert_begin(&a, 1800);
    advert_prefix(&a, 0x40, UINT32_MAX, UINT32_MAX);
    advert_hear(&r, &a, 1000, &out);
    EXPECT(r.prefix[0].e.changed && r.prefix[0].e.ends == RA_FOREVER && !r.on_link[0].e.used);
    advert_begin(&a, 1800);
    advert_prefix(&a, 0x80, 0, 0); /* says nothing of addresses, and there is no such route */
    advert_hear(&r, &a, 2000, &out);
    EXPECT(!r.prefix[0].e.changed && r.prefix[0].e.ends == RA_FOREVER && !r.on_link[0].e.used);
    advert_begin(&a, 1800);
    advert_prefix(&a, 0x80, 100, 100);
    advert_hear(&r, &a, 3000, &out);
    EXPECT(r.on_link[0].e.changed && ra_left(r.on_link[0].e.ends, 3000) == 100);
    EXPECT(r.prefix[0].e.used && !r.prefix[0].e.changed);
    advert_begin(&a, 1800);
    advert_prefix(&a, 0x40, 0, 0);
    advert_hear(&r, &a, 4000, &out);
    EXPECT(!r.on_link[0].e.changed && ra_left(r.prefix[0].e.ends, 4000) == 7200);
    ra_wake(&r, 103000, &out);
    EXPECT(out.prefixes && r.on_link[0].e.gone && !r.prefix[0].e.gone);
    ra_wake(&r, 4000 + 7200000, &out);
    EXPECT(out.prefixes && r.prefix[0].e.gone);
}

TEST(ra_routers_that_fall_silent_make_way)
{
    struct ra r;
    struct ra_out out;
    struct advert a;

    ra_ready(&r, 1000);
    for (uint8_t i = 0; i < RA_ROUTERS; i++) {
        advert_begin(&a, 9000);
        advert_names(&a, 9000);
        a.packet.source[14] = i;
        a.bytes[16 + 8 + 15] = i; /* a server of its own; the fifth is left out */
        advert_hear(&r, &a, 1000, &out);
    }
    a.packet.source[14] = 99;
    a.bytes[16 + 8 + 15] = 99;
    advert_hear(&r, &a, 1000 + RA_STALE_MS - 1, &out);
    EXPECT(!out.routers && !r.router[0].e.gone);
    advert_hear(&r, &a, 1000 + RA_STALE_MS, &out);
    EXPECT(out.routers && r.router[0].e.gone && r.server[0].e.gone);
    advert_hear(&r, &a, 2000 + RA_STALE_MS, &out);
    EXPECT(out.routers && out.names && r.router[0].address[14] == 99 &&
           r.server[0].address[15] == 99);
}

TEST(ra_prefixes_of_which_nothing_is_heard_make_way)
{
    struct ra r;
    struct ra_out out;
    struct advert a;

    ra_ready(&r, 1000);
    for (uint8_t i = 0; i < RA_PREFIXES; i++) {
        advert_begin(&a, 9000);
        advert_prefix(&a, 0xc0, UINT32_MAX, UINT32_MAX);
        a.bytes[16 + 16 + 7] = i;
        advert_hear(&r, &a, 1000, &out);
    }
    a.bytes[16 + 16 + 7] = 3; /* one is heard of later */
    advert_hear(&r, &a, 2000, &out);
    a.bytes[16 + 16 + 7] = 99;
    advert_hear(&r, &a, 1000 + RA_STALE_MS - 1, &out);
    EXPECT(!out.prefixes && !r.prefix[0].e.gone && !r.on_link[0].e.gone);
    advert_hear(&r, &a, 1000 + RA_STALE_MS, &out);
    EXPECT(out.prefixes && r.prefix[0].e.gone && r.on_link[0].e.gone && r.prefix[0].e.changed);
    EXPECT(!r.prefix[3].e.gone && !r.on_link[3].e.gone);
    advert_hear(&r, &a, 2000 + RA_STALE_MS, &out);
    EXPECT(out.prefixes && r.prefix[0].bytes[7] == 99 && r.on_link[0].bytes[7] == 99);
}

TEST(ra_of_a_link_that_was_down_is_told_again_but_for_its_words)
{
    struct ra r;
    struct ra_out out;
    struct advert a;

    ra_led(&r, &a, 1, 7200, &out);
    advert_hear(&r, &a, 1001, &out);
    EXPECT(!out.routers && r.hop_limit == 61);
    EXPECT(out.renewed && r.router[0].e.changed && r.router[0].e.ends == 2001); /* a new end */
    ra_stop(&r);
    ra_start(&r, 1002, &out);
    EXPECT(out.routers && r.router[0].e.changed && !r.router[0].e.gone && !r.router[1].e.changed);
    EXPECT(out.prefixes && r.prefix[0].e.changed && r.on_link[0].e.changed);
    EXPECT(out.link && r.hop_limit == 0);
    advert_hear(&r, &a, 1003, &out);
    EXPECT(out.link && r.hop_limit == 61);
    ra_wake(&r, 9000, &out); /* the last router has gone */
    EXPECT(out.routers && out.link && r.hop_limit == 0);
}

TEST(ra_lowers_no_hop_limit_to_where_nothing_is_reached)
{
    struct ra r;
    struct ra_out out;
    struct advert a;

    ra_ready(&r, 1000);
    advert_begin(&a, 1800);
    a.bytes[4] = 1;
    advert_hear(&r, &a, 1000, &out);
    EXPECT(!out.link && !r.hop_limit);
    a.bytes[4] = 128;
    advert_hear(&r, &a, 1000, &out);
    EXPECT(out.link && r.hop_limit == 128);
}

TEST(what_others_cause_is_limited)
{
    struct limit l = {.burst = 3, .every_ms = 1000};
    unsigned n = 0;

    for (int i = 0; i < 10; i++)
        n += limit_take(&l, 5000);
    EXPECT(n == 3 && l.left_out == 7);
    EXPECT(!limit_take(&l, 5999) && limit_take(&l, 6000) && !limit_take(&l, 6500));
    n = 0;
    for (int i = 0; i < 10; i++)
        n += limit_take(&l, 100000);
    EXPECT(n == 3);
}

TEST(a_network_lies_within_another)
{
    struct address net = address_v4(0xac110000, 16), six = address_v6(v6_net, 60);
    struct address a = address_v4(0xac118000, 17), b = address_v6(v6_net, 64);

    EXPECT(address_within(&a, &net) && address_within(&net, &net) && !address_within(&net, &a));
    EXPECT(address_within(&b, &six) && !address_within(&six, &b) && !address_within(&b, &net));
    b.bytes[7] = 0x10;
    EXPECT(!address_within(&b, &six));
    net.prefix = 0;
    EXPECT(address_within(&a, &net));
}

TEST(advertisements_of_any_bytes_survive)
{
    u64 seed = 5;

    for (u64 round = 0; round < 2000 * unit_times(); round++) {
        uint64_t now = 1000;
        struct ra_out out;
        struct ra r;

        ra_ready(&r, now);
        for (int step = 0; step < 20; step++) {
            struct advert a;

            advert_begin(&a, (uint16_t)unit_rand(&seed));
            advert_prefix(&a, (uint8_t)unit_rand(&seed),
                          (uint32_t)unit_rand(&seed) >> unit_rand(&seed) % 32,
                          (uint32_t)unit_rand(&seed) >> unit_rand(&seed) % 32);
            advert_names(&a, (uint32_t)unit_rand(&seed) % 5000);
            for (u64 n = unit_rand(&seed) % 4; n; n--)
                a.bytes[unit_rand(&seed) % a.len] = (uint8_t)unit_rand(&seed);
            if (unit_rand(&seed) % 8 == 0)
                a.len = 1 + unit_rand(&seed) % a.len;
            if (unit_rand(&seed) % 3)
                advert_hear(&r, &a, now, &out);
            else if (r.wake)
                ra_wake(&r, now = r.wake > now ? r.wake : now, &out);
            for (int i = 0; i < RA_PREFIXES; i++)
                EXPECT(!r.prefix[i].e.used ||
                       (r.prefix[i].bits <= 128 && r.prefix[i].bytes[0] != 0xff));
            EXPECT(!r.wake || r.wake > now || step == 0 || out.solicit || r.wake >= now);
        }
    }
}

TEST(interface_identifiers_are_stable_and_tell_nothing)
{
    uint8_t a[8], b[8], eui[8];

    ra_id_eui64(v6_mac, eui);
    EXPECT(!memcmp(eui, "\x50\x54\x00\xff\xfe\x01\x02\x03", 8));
    ra_id_stable("secret", v6_net, "eth0", 0, a);
    ra_id_stable("secret", v6_net, "eth0", 0, b);
    EXPECT(!memcmp(a, b, 8));
    ra_id_stable("secret", v6_net, "eth0", 1, b);
    EXPECT(memcmp(a, b, 8));
    ra_id_stable("Secret", v6_net, "eth0", 0, b);
    EXPECT(memcmp(a, b, 8));
    ra_id_stable("secret", v6_net, "eth1", 0, b);
    EXPECT(memcmp(a, b, 8));
}

/* ---- stateless DHCPv6 ---- */

struct reply6 {
    uint8_t bytes[512];
    size_t len;
};

static void reply6_option(struct reply6 *r, uint16_t code, const void *data, uint16_t n)
{
    wire_put16(r->bytes + r->len, code);
    wire_put16(r->bytes + r->len + 2, n);
    memcpy(r->bytes + r->len + 4, data, n);
    r->len += 4u + n;
}

static void reply6_make(struct reply6 *r, uint32_t xid)
{
    static const uint8_t search[] = "\3lab\7example\0\4test";
    static const uint8_t refresh[4] = {0, 0, 0, 9};
    uint8_t ntp[20] = {0, 1, 0, 16};

    memset(r, 0, sizeof(*r));
    wire_put32(r->bytes, 7u << 24 | xid);
    r->len = 4;
    memcpy(ntp + 4, v6_dns, 16);
    reply6_option(r, 2, "\0\3\0\1abcdef", 10);
    reply6_option(r, 23, v6_dns, 16);
    reply6_option(r, 24, search, sizeof(search));
    reply6_option(r, 56, ntp, 20);
    reply6_option(r, 32, refresh, 4);
}

TEST(dhcp6_asks_until_it_is_answered_and_again_in_time)
{
    struct dhcp6 d;
    struct dhcp6_out out;
    struct reply6 r;
    uint64_t now = 1000;

    dhcp6_init(&d, v6_mac, 3);
    dhcp6_start(&d, now, &out);
    for (int i = 0; i < 4; i++) {
        EXPECT(!out.len || out.message[0] == 11);
        now = d.wake;
        dhcp6_wake(&d, now, &out);
        EXPECT(out.len && d.wake - now >= (900u << i) && d.wake - now <= (1100u << i));
    }
    reply6_make(&r, d.xid ^ 1);
    dhcp6_message(&d, r.bytes, r.len, now, &out);
    EXPECT(!out.changed);
    reply6_make(&r, d.xid);
    dhcp6_message(&d, r.bytes, r.len, now, &out);
    EXPECT(out.changed && d.answer.dns_n == 1 && d.answer.ntp_n == 1);
    EXPECT(!strcmp(d.answer.search, "lab.example test"));
    EXPECT(d.wake == now + 600000); /* not sooner, whatever it says */
    dhcp6_message(&d, r.bytes, r.len, now, &out);
    EXPECT(!out.changed);
    now = d.wake;
    dhcp6_wake(&d, now, &out);
    EXPECT(out.len);
}

TEST(dhcp6_answers_of_any_bytes_survive)
{
    u64 seed = 6;

    for (u64 round = 0; round < 10000 * unit_times(); round++) {
        struct dhcp6 d;
        struct dhcp6_out out;
        struct reply6 r;
        uint8_t *copy;
        size_t len;

        dhcp6_init(&d, v6_mac, unit_rand(&seed));
        dhcp6_start(&d, 1000, &out);
        reply6_make(&r, d.xid);
        for (u64 n = unit_rand(&seed) % 5; n; n--)
            r.bytes[unit_rand(&seed) % r.len] = (uint8_t)unit_rand(&seed);
        len = unit_rand(&seed) % 4 ? r.len : unit_rand(&seed) % r.len;
        copy = malloc(len ? len : 1);
        memcpy(copy, r.bytes, len);
        dhcp6_message(&d, copy, len, 1000, &out);
        free(copy);
        EXPECT(d.answer.dns_n <= DHCP6_SERVERS && d.answer.ntp_n <= DHCP6_SERVERS);
        EXPECT(d.asking || d.has_answer);
    }
}
