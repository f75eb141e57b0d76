// SPDX-License-Identifier: MIT
// netd's DHCPv4 client against a server of this file's, right and wrong.
#include "harness.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "netd/dhcp4.h"
#include "netd/wire.h"

#define SERVER 0x0a000001u
#define OURS 0x0a000032u

static const uint8_t dhcp_mac[6] = {0x52, 0x54, 0, 1, 2, 3};

struct answer {
    uint8_t bytes[1024];
    size_t len;
};

static uint32_t order_xid(const struct dhcp4_out *out)
{
    return wire_u32(out->message + 4);
}

static void answer_option(struct answer *a, uint8_t code, const void *data, size_t n)
{
    a->bytes[a->len++] = code;
    a->bytes[a->len++] = (uint8_t)n;
    memcpy(a->bytes + a->len, data, n);
    a->len += n;
}

static void answer_u32(struct answer *a, uint8_t code, uint32_t v)
{
    uint8_t data[4];

    wire_put32(data, v);
    answer_option(a, code, data, 4);
}

static void answer_begin(struct answer *a, uint8_t type, uint32_t xid, uint32_t yiaddr,
                         uint32_t server)
{
    memset(a, 0, sizeof(*a));
    a->bytes[0] = 2;
    a->bytes[1] = 1;
    a->bytes[2] = 6;
    wire_put32(a->bytes + 4, xid);
    wire_put32(a->bytes + 16, yiaddr);
    memcpy(a->bytes + 28, dhcp_mac, 6);
    wire_put32(a->bytes + 236, 0x63825363);
    a->len = 240;
    answer_option(a, 53, &type, 1);
    if (server)
        answer_u32(a, 54, server);
}

/* A lease of 100 s. */
static void answer_lease(struct answer *a, uint8_t type, uint32_t xid)
{
    answer_begin(a, type, xid, OURS, SERVER);
    answer_u32(a, 1, 0xffffff00);
    answer_u32(a, 3, SERVER);
    answer_u32(a, 6, 0x0a000002);
    answer_u32(a, 51, 100);
}

static uint8_t order_type(const struct dhcp4_out *out)
{
    for (size_t at = 240; at < out->len && out->message[at] != 255; at += 2 + out->message[at + 1])
        if (out->message[at] == 53)
            return out->message[at + 2];
    return 0;
}

static bool order_u32(const struct dhcp4_out *out, uint8_t code, uint32_t *v)
{
    for (size_t at = 240; at < out->len && out->message[at] != 255; at += 2 + out->message[at + 1])
        if (out->message[at] == code) {
            *v = wire_u32(out->message + at + 2);
            return true;
        }
    return false;
}

/* Discover, offer, request, ack, three probes: bound at the time that is returned. */
static uint64_t dhcp_bring_up(struct dhcp4 *d, struct dhcp4_out *out)
{
    uint64_t now = 1000;
    struct answer a;

    dhcp4_init(d, dhcp_mac, "box", 7);
    dhcp4_start(d, now, out);
    answer_lease(&a, DHCP4_OFFER, order_xid(out));
    dhcp4_message(d, a.bytes, a.len, now, out);
    answer_lease(&a, DHCP4_ACK, order_xid(out));
    dhcp4_message(d, a.bytes, a.len, now, out);
    while (d->state == DHCP4_PROBING) {
        now = d->wake;
        dhcp4_wake(d, now, out);
    }
    return now;
}

TEST(dhcp4_discovers_requests_probes_and_binds)
{
    struct dhcp4 d;
    struct dhcp4_out out;
    struct answer a;
    uint32_t v;
    int probes = 0;

    dhcp4_init(&d, dhcp_mac, "box", 7);
    dhcp4_start(&d, 1000, &out);
    EXPECT(order_type(&out) == DHCP4_DISCOVER && out.path == DHCP4_ALL);
    answer_lease(&a, DHCP4_OFFER, order_xid(&out));
    dhcp4_message(&d, a.bytes, a.len, 1000, &out);
    EXPECT(order_type(&out) == DHCP4_REQUEST && out.path == DHCP4_ALL);
    EXPECT(order_u32(&out, 50, &v) && v == OURS);
    EXPECT(order_u32(&out, 54, &v) && v == SERVER);
    answer_lease(&a, DHCP4_ACK, order_xid(&out));
    dhcp4_message(&d, a.bytes, a.len, 1001, &out);
    while (d.state == DHCP4_PROBING) {
        probes += out.probe;
        EXPECT(!out.bind);
        dhcp4_wake(&d, d.wake, &out);
    }
    EXPECT(probes == 3 && out.bind && out.announce && d.state == DHCP4_BOUND);
    EXPECT(d.lease.address == OURS && d.lease.prefix == 24 && d.lease.server == SERVER);
    EXPECT(d.lease.routers.n == 1 && d.lease.dns.item[0] == 0x0a000002);
    EXPECT(d.wake == 1000 + 50000 && d.lease_ends == 1000 + 100000);
}

TEST(dhcp4_renews_with_the_server_then_with_any_then_loses_its_address)
{
    struct dhcp4 d;
    struct dhcp4_out out;
    uint64_t now = dhcp_bring_up(&d, &out);
    int renew = 0, rebind = 0;

    EXPECT(out.bind);
    while (d.has_lease) {
        EXPECT(d.wake && d.wake >= now);
        now = d.wake;
        dhcp4_wake(&d, now, &out);
        renew += out.path == DHCP4_TO_SERVER;
        rebind += out.path == DHCP4_ALL_BOUND;
        EXPECT(!out.len || !out.path || order_type(&out) == DHCP4_REQUEST || out.unbind);
        if (out.path == DHCP4_TO_SERVER || out.path == DHCP4_ALL_BOUND)
            EXPECT(wire_u32(out.message + 12) == OURS);
    }
    EXPECT(renew >= 3 && renew < 10 && rebind >= 2 && rebind < 10);
    EXPECT(out.unbind && now == 1000 + 100000 && d.state == DHCP4_SELECTING);
    EXPECT(order_type(&out) == DHCP4_DISCOVER);
}

TEST(dhcp4_renewal_keeps_the_address_and_begins_its_time_anew)
{
    struct dhcp4 d;
    struct dhcp4_out out;
    struct answer a;

    dhcp_bring_up(&d, &out);
    dhcp4_wake(&d, d.wake, &out);
    EXPECT(d.state == DHCP4_RENEWING);
    answer_lease(&a, DHCP4_ACK, order_xid(&out));
    dhcp4_message(&d, a.bytes, a.len, 51005, &out);
    EXPECT(out.bind && !out.unbind && !out.announce && d.state == DHCP4_BOUND);
    EXPECT(d.lease_ends == 51000 + 100000);
}

TEST(dhcp4_nak_of_a_renewal_takes_the_address_away)
{
    struct dhcp4 d;
    struct dhcp4_out out;
    struct answer a;

    dhcp_bring_up(&d, &out);
    dhcp4_wake(&d, d.wake, &out);
    answer_begin(&a, DHCP4_NAK, order_xid(&out), 0, SERVER + 9);
    dhcp4_message(&d, a.bytes, a.len, 51005, &out);
    EXPECT(d.has_lease && d.state == DHCP4_RENEWING); /* another server's */
    answer_begin(&a, DHCP4_NAK, d.xid, 0, SERVER);
    dhcp4_message(&d, a.bytes, a.len, 51005, &out);
    EXPECT(out.unbind && !d.has_lease && order_type(&out) == DHCP4_DISCOVER);
}

TEST(dhcp4_nak_of_a_request_is_no_reason_to_hurry)
{
    struct dhcp4 d;
    struct dhcp4_out out;
    struct answer a;

    dhcp4_init(&d, dhcp_mac, "", 7);
    dhcp4_start(&d, 1000, &out);
    answer_lease(&a, DHCP4_OFFER, order_xid(&out));
    dhcp4_message(&d, a.bytes, a.len, 1000, &out);
    answer_begin(&a, DHCP4_NAK, order_xid(&out), 0, SERVER);
    dhcp4_message(&d, a.bytes, a.len, 1000, &out);
    EXPECT(out.path == DHCP4_SILENT && d.wake >= 2000);
    dhcp4_wake(&d, d.wake, &out);
    EXPECT(order_type(&out) == DHCP4_DISCOVER);
}

/* It probes what a server has given. */
static void dhcp_probe(struct dhcp4 *d, struct dhcp4_out *out)
{
    struct answer a;

    dhcp4_init(d, dhcp_mac, "", 7);
    dhcp4_start(d, 1000, out);
    answer_lease(&a, DHCP4_OFFER, order_xid(out));
    dhcp4_message(d, a.bytes, a.len, 1000, out);
    answer_lease(&a, DHCP4_ACK, order_xid(out));
    dhcp4_message(d, a.bytes, a.len, 1000, out);
}

TEST(dhcp4_declines_an_address_that_is_taken)
{
    struct dhcp4 d;
    struct dhcp4_out out;
    uint8_t arp[ARP_SIZE];
    uint32_t v;

    dhcp_probe(&d, &out);
    arp_make(arp, dhcp_mac, OURS, true);
    dhcp4_arp(&d, arp, sizeof(arp), 1050, &out);
    EXPECT(d.state == DHCP4_PROBING); /* our own */
    arp[13] ^= 1;
    dhcp4_arp(&d, arp, sizeof(arp), 1050, &out);
    EXPECT(d.state == DHCP4_PAUSED && order_type(&out) == DHCP4_DECLINE && !out.bind);
    EXPECT(order_u32(&out, 50, &v) && v == OURS && d.wake == 1050 + 10000);
    dhcp4_wake(&d, d.wake, &out);
    EXPECT(d.state == DHCP4_SELECTING && order_type(&out) == DHCP4_DISCOVER);
}

TEST(dhcp4_declines_an_address_that_another_device_of_this_machine_has)
{
    struct dhcp4 d;
    struct dhcp4_out out;

    dhcp_probe(&d, &out);
    dhcp4_taken(&d, 1000, &out);
    EXPECT(d.state == DHCP4_PAUSED && order_type(&out) == DHCP4_DECLINE && !d.has_lease);
    out = (struct dhcp4_out){.probe = true};
    dhcp4_taken(&d, 1000, &out); /* nothing is on offer */
    EXPECT(d.state == DHCP4_PAUSED && !out.len);
}

/* The lease that was kept while another was asked for ends, and what is on offer is declined. */
TEST(dhcp4_gives_an_ended_lease_up_when_the_next_offer_is_declined)
{
    struct dhcp4 d;
    struct dhcp4_out out;

    dhcp_probe(&d, &out);
    d.has_lease = true;
    d.lease_ends = d.wake;
    dhcp4_wake(&d, d.wake, &out);
    EXPECT(out.unbind && out.probe);
    dhcp4_taken(&d, 1100, &out);
    EXPECT(out.unbind && !out.probe && order_type(&out) == DHCP4_DECLINE);
}

TEST(dhcp4_puts_a_probe_off_until_its_owner_can_tell)
{
    struct dhcp4 d;
    struct dhcp4_out out;
    int probes = 0;

    dhcp_probe(&d, &out);
    for (int i = 0; i < 9; i++) {
        EXPECT(out.probe && d.state == DHCP4_PROBING);
        dhcp4_later(&d, d.wake, &out);
        EXPECT(!out.probe && !out.len);
        dhcp4_wake(&d, d.wake, &out);
    }
    for (; d.state == DHCP4_PROBING; dhcp4_wake(&d, d.wake, &out))
        probes += out.probe;
    EXPECT(probes == 3 && out.bind);
}

TEST(dhcp4_keeps_a_lease_without_a_carrier_and_asks_for_it_again)
{
    struct dhcp4 d;
    struct dhcp4_out out;
    struct answer a;
    uint32_t v;

    dhcp_bring_up(&d, &out);
    dhcp4_stop(&d, 20000, &out);
    EXPECT(d.has_lease && !out.unbind && d.wake == d.lease_ends);
    dhcp4_start(&d, 30000, &out);
    EXPECT(d.state == DHCP4_REBOOTING && order_type(&out) == DHCP4_REQUEST);
    EXPECT(order_u32(&out, 50, &v) && v == OURS && !order_u32(&out, 54, &v));
    answer_lease(&a, DHCP4_ACK, order_xid(&out));
    dhcp4_message(&d, a.bytes, a.len, 30000, &out);
    EXPECT(out.bind && !out.unbind && d.lease_ends == 130000);
    dhcp4_stop(&d, 40000, &out);
    dhcp4_wake(&d, d.wake, &out);
    EXPECT(out.unbind && !d.has_lease && d.state == DHCP4_STOPPED && !d.wake);
}

TEST(dhcp4_drops_what_no_server_would_say)
{
    struct dhcp4_message m;
    struct answer a;

    answer_lease(&a, DHCP4_OFFER, 5);
    EXPECT(dhcp4_parse(a.bytes, a.len, 5, dhcp_mac, &m));
    EXPECT(!dhcp4_parse(a.bytes, a.len, 6, dhcp_mac, &m)); /* another transaction */
    for (size_t n = 0; n < a.len; n++) /* cut within an option, or before the mask */
        EXPECT(!dhcp4_parse(a.bytes, n, 5, dhcp_mac, &m) || n >= 240);
    a.bytes[28] ^= 2;
    EXPECT(!dhcp4_parse(a.bytes, a.len, 5, dhcp_mac, &m)); /* another client */
    answer_lease(&a, DHCP4_ACK, 5);
    wire_put32(a.bytes + 16, 0x7f000001);
    EXPECT(!dhcp4_parse(a.bytes, a.len, 5, dhcp_mac, &m)); /* no address for a host */
    wire_put32(a.bytes + 16, 0x0a0000ff);
    EXPECT(!dhcp4_parse(a.bytes, a.len, 5, dhcp_mac, &m)); /* the broadcast address */
    answer_begin(&a, DHCP4_ACK, 5, OURS, SERVER);
    answer_u32(&a, 1, 0xff00ff00);
    answer_u32(&a, 51, 100);
    EXPECT(!dhcp4_parse(a.bytes, a.len, 5, dhcp_mac, &m)); /* a mask with a hole */
    answer_begin(&a, DHCP4_ACK, 5, OURS, SERVER);
    EXPECT(!dhcp4_parse(a.bytes, a.len, 5, dhcp_mac, &m)); /* a lease of no time */
}

TEST(dhcp4_reads_joined_and_overloaded_options_and_classless_routes)
{
    static const uint8_t routes[] = {24, 192, 168, 7, 10, 0, 0, 9, 0, 10, 0, 0,
                                     8,  33,  1,   1, 1,  1, 1, 1, 1, 1,  1};
    static const uint8_t search[] = "\3lab\7example\0\4test\xc0\x04";
    struct dhcp4_message m;
    struct answer a;
    uint8_t three = 3;

    answer_lease(&a, DHCP4_ACK, 5);
    answer_option(&a, 121, routes, 3);
    answer_option(&a, 121, routes + 3, sizeof(routes) - 3);
    answer_option(&a, 119, search, sizeof(search) - 1);
    answer_option(&a, 15, "home.arpa", 9);
    answer_option(&a, 52, &three, 1);
    memcpy(a.bytes + 44, "\x0c\3box\xff", 6);       /* sname: a host name */
    memcpy(a.bytes + 108, "\x1a\2\x05\x78\xff", 5); /* file: MTU 1400 */
    EXPECT(dhcp4_parse(a.bytes, a.len, 5, dhcp_mac, &m));
    EXPECT(m.lease.has_routes && m.lease.routes == 2);
    EXPECT(m.lease.route[0].to == 0xc0a80700 && m.lease.route[0].via == 0x0a000009);
    EXPECT(m.lease.route[1].prefix == 0 && m.lease.route[1].via == 0x0a000008);
    EXPECT(!strcmp(m.lease.search, "home.arpa lab.example test.example"));
    EXPECT(!strcmp(m.lease.hostname, "box") && m.lease.mtu == 1400);
}

TEST(dhcp4_frames_carry_sums_and_are_taken_apart_again)
{
    struct dhcp4_out out;
    struct dhcp4 d;
    uint8_t frame[DHCP4_FRAME_HEAD + DHCP4_MSG_MAX];
    const uint8_t *m;
    size_t len;

    dhcp4_init(&d, dhcp_mac, "", 7);
    dhcp4_start(&d, 0, &out);
    memcpy(frame + DHCP4_FRAME_HEAD, out.message, out.len);
    dhcp4_frame(frame, out.len);
    EXPECT(!dhcp4_unframe(frame, DHCP4_FRAME_HEAD + out.len, true, &len)); /* to a server */
    wire_put16(frame + 20, 67);
    wire_put16(frame + 22, 68);
    m = dhcp4_unframe(frame, DHCP4_FRAME_HEAD + out.len, true, &len);
    EXPECT(m == frame + DHCP4_FRAME_HEAD && len == out.len);
    frame[60] ^= 1;
    EXPECT(!dhcp4_unframe(frame, DHCP4_FRAME_HEAD + out.len, true, &len));
    EXPECT(dhcp4_unframe(frame, DHCP4_FRAME_HEAD + out.len, false, &len));
}

/* A block of its own, so that the sanitizer sees its bounds. */
static uint8_t *copy_of(const uint8_t *p, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    memcpy(copy, p, len);
    return copy;
}

TEST(dhcp4_survives_damage_and_never_binds_what_no_host_may_have)
{
    u64 seed = 11;

    for (u64 round = 0; round < 3000 * unit_times(); round++) {
        struct dhcp4 d;
        struct dhcp4_out out;
        uint64_t now = 1000;

        dhcp4_init(&d, dhcp_mac, "box", unit_rand(&seed));
        dhcp4_start(&d, now, &out);
        for (int step = 0; step < 30; step++) {
            static const uint8_t types[] = {DHCP4_OFFER, DHCP4_ACK, DHCP4_ACK, DHCP4_NAK};
            struct answer a;
            uint8_t *copy;
            size_t len;

            answer_lease(&a, types[unit_rand(&seed) % 4], d.xid);
            answer_u32(&a, 121, (uint32_t)unit_rand(&seed));
            for (u64 n = unit_rand(&seed) % 4; n; n--)
                a.bytes[unit_rand(&seed) % a.len] = (uint8_t)unit_rand(&seed);
            len = unit_rand(&seed) % 8 ? a.len : unit_rand(&seed) % a.len;
            copy = copy_of(a.bytes, len);
            if (unit_rand(&seed) % 3)
                dhcp4_message(&d, copy, len, now, &out);
            else
                dhcp4_wake(&d, now = d.wake > now ? d.wake : now, &out);
            free(copy);
            EXPECT(!out.bind || (d.lease.address >> 24 && d.lease.prefix && d.lease.prefix <= 32));
            EXPECT(!d.has_lease || !d.lease_ends || d.lease_ends + 1 > now);
            EXPECT(d.state == DHCP4_STOPPED || d.wake || !d.lease_ends);
        }
    }
}

TEST(frames_of_any_bytes_survive)
{
    u64 seed = 12;

    for (u64 round = 0; round < 20000 * unit_times(); round++) {
        uint8_t bytes[80], *copy;
        size_t len = unit_rand(&seed) % sizeof(bytes), n;
        const uint8_t *m;

        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)unit_rand(&seed);
        if (len > 24 && unit_rand(&seed) % 2) {
            bytes[0] = 0x45;
            bytes[9] = 17;
            wire_put32(bytes + 20, 67 << 16 | 68);
            wire_put16(bytes + 10, 0);
            wire_put16(bytes + 10, wire_sum_end(wire_sum(0, bytes, 20)));
        }
        copy = copy_of(bytes, len);
        m = dhcp4_unframe(copy, len, false, &n);
        EXPECT(!m || (m >= copy && m + n <= copy + len));
        arp_conflicts(copy, len, dhcp_mac, OURS);
        free(copy);
    }
}
